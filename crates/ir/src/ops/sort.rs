//! Whole numbers in their order, and the places where they stood, as tokens are brought to their
//! experts. Whole numbers are no arithmetic of the ledger: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// `[…, n]` to the same numbers, the smallest first, equal ones in the order they stood in; and to the
/// place of each along the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort;

impl Operation for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Whole)?;
        if x.axes.is_empty() {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        }
        Ok(vec![x.clone(), x.clone()])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[])
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
        let ids = call.index(0)?;
        let (mut sorted, mut places) = (Vec::new(), Vec::new());
        for row in ids.data().chunks(call.output.last().copied().unwrap_or(1).max(1)) {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by_key(|place| row[*place]);
            sorted.extend(order.iter().map(|place| row[*place]));
            places.extend(order.iter().map(|place| *place as i64));
        }
        let tensor = |data| Ok::<_, OpError>(Value::Index(Tensor::new(call.output, data)?));
        Ok(vec![tensor(sorted)?, tensor(places)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::prove;
    use crate::{Graph, Reads};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 0..5_usize) {
            let mut g = Graph::new();
            let ids = g.input_ids("ids", ["b", "n"], 9).unwrap();
            g.sort(ids).unwrap();
            prove(&g, &[("b", b), ("n", n)]);
        }
    }

    #[test]
    fn equal_numbers_keep_their_order() {
        let ids = Value::Index(Tensor::new(&[2, 3], vec![2, 1, 2, 0, 0, -1]).unwrap());
        let (inputs, binding, reads) = ([&ids], Binding::new(), Reads::of(1));
        let inputs: &[&Value<f64>] = &inputs;
        let (reads, binding) = (&reads, &binding);
        let call = Call { path: "", inputs, shapes: &[], output: &[2, 3], binding, reads };
        let found = Sort.reference(&call, &mut |_| {}).unwrap();
        assert_eq!(found[0].index().unwrap().data(), [1, 2, 2, -1, 0, 0]);
        assert_eq!(found[1].index().unwrap().data(), [1, 0, 2, 2, 0, 1]);
    }
}
