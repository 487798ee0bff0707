//! Entries by their place along the last axis: `out[…, j] = x[…, ids[…, j]]`. A look-up is no
//! arithmetic: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Picked, Shape, ShapeError, Value};

/// `[…, x]` and places `[…, k]` in `0..x` to `[…, k]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather;

impl Operation for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, ids] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        ids.expect(1, Kind::Whole)?;
        if x.axes.is_empty() {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        }
        ids.expect_leading(1, &x.axes[..x.axes.len() - 1], 1)?;
        Ok(vec![x.with_axes(ids.axes.clone())])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).picking(0, Picked::Result)
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (x, ids) = (call.table(0)?, call.index(1)?);
        let size = |shape: &[usize]| shape.last().copied().ok_or(OpError::Operand(0));
        let (entries, chosen) = (size(x.shape())?, size(ids.shape())?);
        let mut out = Vec::with_capacity(call.output_len());
        for (at, &id) in ids.data().iter().enumerate() {
            let place = usize::try_from(id).ok().filter(|place| *place < entries);
            let place = place.ok_or(OpError::Index { index: id, rows: entries })?;
            call.reads.some(0, 1);
            out.push(x.data()[at / chosen * entries + place]);
        }
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, x in 1..6_usize, k in 0..6_usize) {
            let mut g = Graph::new();
            let scores = g.input("scores", ["b", "n", "x"]).unwrap();
            let ids = g.input_ids("ids", ["b", "n", "k"], "x").unwrap();
            g.gather(scores, ids).unwrap();
            prove(&g, &[("b", b), ("n", n), ("x", x), ("k", k)]);
        }
    }

    #[test]
    fn each_row_has_its_own_places() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 2), ("x", 3)]).unwrap();
        let ids = g.top_k(x, ("k", 2)).unwrap();
        let y = g.gather(x, ids).unwrap();
        assert_eq!(g.shape(y).to_string(), "[n=2, k=2]");
        assert_eq!(evaluate(&g, y, &[("x", &[1., 3., 2., 6., 4., 5.])]), [3., 2., 6., 5.]);
        let other = g.input_ids("other", [("n", 3), ("k", 2)], 3).unwrap();
        let error = g.gather(x, other).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `n` is 3 in one operand and 2 in another");
        let error = g.gather(x, y).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 1 holds f32 elements where whole numbers are needed");
    }
}
