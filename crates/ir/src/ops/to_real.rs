//! Whole numbers as reals, such as a mask that is multiplied. Another way to write the same number:
//! count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// `[…]` of whole numbers to the same axes of reals, each rounded to the nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct ToReal;

impl Operation for ToReal {
    fn name(&self) -> &'static str {
        "to_real"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Whole)?;
        Ok(vec![Shape::real(x.axes.clone())])
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
        AxisMap::by_name(inputs, output)
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
        call.result(call.index(0)?.data().iter().map(|x| T::from_f64(*x as f64)).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 0..5_usize) {
            let mut g = Graph::new();
            let ids = g.input_ids("ids", ["b", "n"], 99).unwrap();
            let x = g.to_real(ids).unwrap();
            prove(&g, &[("b", b), ("n", n)]);
            assert_eq!(g.shape(x).to_string(), "[b, n]");
        }
    }

    #[test]
    fn numbers_stay_what_they_are() {
        let mut g = Graph::new();
        let ids = g.input_ids("ids", [("n", 5)], 99).unwrap();
        let x = g.to_real(ids).unwrap();
        assert_eq!(evaluate(&g, x, &[]), evaluate(&g, ids, &[]));
        let error = g.to_real(x).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 holds f32 elements where whole numbers are needed");
    }
}
