//! One of two values for each element: `out = a` where the condition is not zero, else `b`. A choice
//! moves numbers: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::value::{indices, strides};
use crate::{Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// A condition of whole numbers and two values of reals, broadcast by axis name over the axes of the
/// result.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The axes of the result; each operand has some of them, in any order.
    pub axes: Vec<Axis>,
}

impl Select {
    /// For each axis of the result, the elements of an operand from one position to the next; 0 where
    /// it lacks the axis.
    pub fn strides(&self, operand: &Shape, sizes: &[usize]) -> Vec<usize> {
        let own = strides(sizes);
        let along = |axis: &Axis| operand.position(&axis.name).map_or(0, |at| own[at]);
        self.axes.iter().map(along).collect()
    }
}

impl Operation for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [condition, a, b] = operands(inputs)?;
        condition.expect(0, Kind::Whole)?;
        a.expect(1, Kind::Real)?;
        b.expect(2, Kind::Real)?;
        expect_distinct(&self.axes)?;
        for (at, operand) in inputs.iter().enumerate() {
            operand.expect_among(at, &self.axes, &[])?;
        }
        Ok(vec![a.with_axes(self.axes.clone())])
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
        let (condition, a, b) = (call.index(0)?, call.real(1)?, call.real(2)?);
        let strides = |operand: usize, sizes| self.strides(call.shapes[operand], sizes);
        let along = [strides(0, condition.shape()), strides(1, a.shape()), strides(2, b.shape())];
        let at = |index: &[usize], operand: usize| -> usize {
            index.iter().zip(&along[operand]).map(|(i, stride)| i * stride).sum()
        };
        let choose = |index: Vec<usize>| match condition.data()[at(&index, 0)] {
            0 => b.data()[at(&index, 2)],
            _ => a.data()[at(&index, 1)],
        };
        call.result(indices(call.output).map(choose).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..4_usize) {
            let mut g = Graph::new();
            let condition = g.input_mask("condition", ["n", "b"]).unwrap();
            let x = g.input("x", ["b", "c"]).unwrap();
            let y = g.input("y", ["c"]).unwrap();
            g.select(["b", "n", "c"], condition, x, y).unwrap();
            g.select(["c", "n", "b"], condition, y, x).unwrap();
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }
    }

    #[test]
    fn each_operand_is_broadcast_by_name() {
        let mut g = Graph::new();
        let condition = g.input_ids("condition", [("i", 2)], 2).unwrap();
        let x = g.input("x", [("j", 3), ("i", 2)]).unwrap();
        let y = g.input("y", [("j", 3)]).unwrap();
        let z = g.select([("i", 2), ("j", 3)], condition, x, y).unwrap();
        let keep = g.top_k(x, ("k", 1)).unwrap();
        let feeds: [(&str, &[f64]); 2] = [("x", &[1., 2., 3., 4., 5., 6.]), ("y", &[7., 8., 9.])];
        let ids = evaluate(&g, condition, &feeds);
        let row = |id: f64, taken: [f64; 3]| if id == 0.0 { [7., 8., 9.] } else { taken };
        let expected = [row(ids[0], [1., 3., 5.]), row(ids[1], [2., 4., 6.])].concat();
        assert_eq!(evaluate(&g, z, &feeds), expected);
        let error = g.select([("i", 2)], condition, x, y).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 1 has an axis `j`, which [i=2] lacks");
        let error = g.select([("i", 4), ("j", 3)], condition, x, y).unwrap_err();
        assert_eq!(error.problem.to_string(), "axis `i` is 2 in one operand and 4 in another");
        let error = g.select([("j", 3), ("k", 1)], keep, keep, y).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 1 holds i64 elements where reals are needed");
    }
}
