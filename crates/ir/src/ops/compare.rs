//! Comparisons of two reals at the same place, as truth values: `a < b`, `a ≤ b`, `a = b`. None of them
//! holds of NaN.
//!
//! Count, per element of the result: one max, which is any comparison.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use super::gather_nd::steps;
use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::value::indices;
use crate::{
    Axis, AxisMap, Call, Cost, Elem, Facts, Kind, OpError, Part, Shape, ShapeError, Value,
};

/// Which comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareKind {
    /// The first is below the second.
    Less,
    /// The first is the second or below it.
    AtMost,
    /// Both are the same number.
    Equal,
}

/// Two operands of reals, broadcast by axis name over the axes of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// Which comparison.
    pub kind: CompareKind,
    /// The axes of the result; each operand has some of them, in any order.
    pub axes: Vec<Axis>,
}

impl Compare {
    /// For each axis of the result, the elements of an operand from one position to the next; 0 where
    /// it lacks the axis.
    pub fn strides(&self, operand: &Shape, sizes: &[usize]) -> Vec<usize> {
        steps(&self.axes, operand, sizes, &[])
    }
}

impl Operation for Compare {
    fn name(&self) -> &'static str {
        match self.kind {
            CompareKind::Less => "less",
            CompareKind::AtMost => "at_most",
            CompareKind::Equal => "equal",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let both: [&Shape; 2] = operands(inputs)?;
        expect_distinct(&self.axes)?;
        for (operand, shape) in both.into_iter().enumerate() {
            shape.expect(operand, Kind::Real)?;
            shape.expect_among(operand, &self.axes, &[])?;
        }
        Ok(vec![Shape { axes: self.axes.clone(), elem: Elem::Bool }])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        Cost::of(Part::Pointwise, Counts::zero().with(Class::Max, output.elements()))
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
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
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (a, b) = (call.real(0)?, call.real(1)?);
        let along =
            [self.strides(call.shapes[0], a.shape()), self.strides(call.shapes[1], b.shape())];
        let holds = |index: Vec<usize>| {
            let at = |operand: usize| -> usize {
                index.iter().zip(&along[operand]).map(|(i, step)| i * step).sum()
            };
            let (a, b) = (a.data()[at(0)], b.data()[at(1)]);
            // The larger of both, NaN if either is.
            let (larger, a, b) = (a.max(b).to_f64(), a.to_f64(), b.to_f64());
            i64::from(match self.kind {
                CompareKind::Less => larger == b && larger != a,
                CompareKind::AtMost => larger == b,
                CompareKind::Equal => larger == a && larger == b,
            })
        };
        let truths = indices(call.output).map(holds).collect();
        mark(Part::Pointwise);
        Ok(vec![Value::Index(Tensor::new(call.output, truths)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::CompareKind;
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    const KINDS: [CompareKind; 3] = [CompareKind::Less, CompareKind::AtMost, CompareKind::Equal];

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..4_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "c"]).unwrap();
            let y = g.input("y", ["c", "n"]).unwrap();
            for kind in KINDS {
                g.compare(kind, ["b", "n", "c"], x, y).unwrap();
            }
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }
    }

    #[test]
    fn nothing_holds_of_nan() {
        let mut g = Graph::new();
        let [x, y] = ["x", "y"].map(|name| g.input(name, [("n", 6)]).unwrap());
        let nan = f64::NAN;
        let infinity = f64::INFINITY;
        let feeds: [(&str, &[f64]); 2] =
            [("x", &[1., 2., 3., nan, 1., infinity]), ("y", &[2., 2., 2., 1., nan, infinity])];
        let expected =
            [[1., 0., 0., 0., 0., 0.], [1., 1., 0., 0., 0., 1.], [0., 1., 0., 0., 0., 1.]];
        for (kind, expected) in KINDS.into_iter().zip(expected) {
            let truths = g.compare(kind, [("n", 6)], x, y).unwrap();
            assert_eq!(evaluate(&g, truths, &feeds), expected, "{kind:?}");
        }
        let less = g.compare(CompareKind::Less, [("n", 6)], x, y).unwrap();
        let mut refused =
            |x, axis| g.compare(CompareKind::Equal, [axis], x, y).unwrap_err().problem.to_string();
        assert_eq!(refused(less, ("n", 6)), "operand 0 holds bool elements where reals are needed");
        assert_eq!(refused(x, ("n", 5)), "axis `n` is 6 in one operand and 5 in another");
    }
}
