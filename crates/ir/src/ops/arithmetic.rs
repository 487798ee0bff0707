//! Operations on two numbers, element by element, the second operand broadcast by axis name.
//!
//! Count, per element of the result: sum and difference one add, product one mul, quotient one div,
//! max(a, b) and min(a, b) = −max(−a, −b) one max, the power exp(b·ln a) one log, one mul and one exp. Under a mask only the allowed entries are
//! computed; the others are 0 and cost nothing.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol, power};

use crate::masked::{self, Masked};
use crate::operation::Operation;
use crate::value::{indices, strides};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticKind {
    /// Addition: biases, residuals.
    Add,
    /// Multiplication: gates.
    Mul,
    /// Division: weights by their sum.
    Div,
    /// Subtraction.
    Sub,
    /// The larger of two; NaN if either is.
    Max,
    /// The smaller of two; NaN if either is.
    Min,
    /// `a` to the power of `b`, as [`power`] says.
    Pow,
}

/// `a + b`, `a · b` and their kin.
#[derive(Clone, Debug, PartialEq)]
pub struct Arithmetic {
    /// Which operation.
    pub kind: ArithmeticKind,
    /// Which entries exist, when not all: queries are the axis before the last, keys the last.
    pub masked: Option<Masked>,
}

impl Arithmetic {
    /// For each axis of `a`, where it stands in `b`, if it does.
    pub fn broadcast(a: &Shape, b: &Shape) -> Vec<Option<usize>> {
        a.axes.iter().map(|axis| b.position(&axis.name)).collect()
    }
}

/// The offset into the second operand for every element of the result.
fn offsets(from: &[Option<usize>], shape: &[usize], output: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let along: Vec<usize> = from.iter().map(|at| at.map_or(0, |at| own[at])).collect();
    indices(output).map(|index| index.iter().zip(&along).map(|(i, s)| i * s).sum()).collect()
}

impl Operation for Arithmetic {
    fn name(&self) -> &'static str {
        match self.kind {
            ArithmeticKind::Add => "add",
            ArithmeticKind::Mul => "mul",
            ArithmeticKind::Div => "div",
            ArithmeticKind::Sub => "sub",
            ArithmeticKind::Max => "max",
            ArithmeticKind::Min => "min",
            ArithmeticKind::Pow => "pow",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [a, b] = masked::entries(self.masked.as_ref(), inputs)?;
        for (operand, shape) in [a, b].into_iter().enumerate() {
            shape.expect(operand, Kind::Real)?;
        }
        for axis in &b.axes {
            let at = a.position(&axis.name);
            let at =
                at.ok_or_else(|| ShapeError::Missing { operand: 0, axis: axis.name.clone() })?;
            if a.axes[at].size != axis.size {
                let (left, right) = (a.axes[at].size.clone(), axis.size.clone());
                return Err(ShapeError::Size { axis: axis.name.clone(), left, right });
            }
        }
        Ok(vec![a.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let classes: &[Class] = match self.kind {
            ArithmeticKind::Add | ArithmeticKind::Sub => &[Class::Add],
            ArithmeticKind::Mul => &[Class::Mul],
            ArithmeticKind::Div => &[Class::Div],
            ArithmeticKind::Max | ArithmeticKind::Min => &[Class::Max],
            ArithmeticKind::Pow => &[Class::Log, Class::Mul, Class::Exp],
        };
        let entries = masked::count(self.masked.as_ref(), output);
        let each = |counts: Counts<Poly>, class: &Class| counts.with(*class, entries.clone());
        Cost::of(Part::Pointwise, classes.iter().fold(Counts::zero(), each))
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).masked(self.masked.as_ref()).in_place(&[0])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::of_entries(self.masked.as_ref(), inputs, output)
    }

    fn detail(&self) -> String {
        masked::detail(self.masked.as_ref())
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
        let from = Arithmetic::broadcast(call.shapes[0], call.shapes[1]);
        let offsets = offsets(&from, b.shape(), call.output);
        let visible = masked::visible(self.masked.as_ref(), call)?;
        let entries = a.data().iter().zip(offsets).zip(visible);
        let compute = |((x, at), visible): ((&T, usize), bool)| match (visible, self.kind) {
            (false, _) => T::from_f64(0.0),
            (true, ArithmeticKind::Add) => *x + b.data()[at],
            (true, ArithmeticKind::Mul) => *x * b.data()[at],
            (true, ArithmeticKind::Div) => *x / b.data()[at],
            (true, ArithmeticKind::Sub) => *x - b.data()[at],
            (true, ArithmeticKind::Max) => x.max(b.data()[at]),
            (true, ArithmeticKind::Min) => -(-*x).max(-b.data()[at]),
            (true, ArithmeticKind::Pow) => power(*x, b.data()[at]),
        };
        let out = entries.map(compute).collect();
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::ArithmeticKind;
    use crate::Graph;
    use crate::masked::tests::every_mask;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..6_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let y = g.input("y", ["c", "b"]).unwrap();
            g.add("", x, y).unwrap();
            g.mul("", x, y).unwrap();
            g.div("", x, y).unwrap();
            use ArithmeticKind::{Max, Min, Pow, Sub};
            for kind in [Sub, Max, Min, Pow] {
                g.arithmetic("", kind, x, y).unwrap();
            }
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }

        #[test]
        fn counted_reference_equals_cost_under_every_mask(
            b in 0..3_usize, h in 1..3_usize, n in 1..6_usize, m in 1..7_usize, w in 1..4_i64,
        ) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
            let bias = g.input("bias", ["h", "n", "m"]).unwrap();
            let column = g.input("column", ["n"]).unwrap();
            for masked in every_mask(&mut g, w) {
                g.add_masked("", x, bias, Some(masked.clone())).unwrap();
                g.mul_masked("", x, column, Some(masked)).unwrap();
            }
            prove(&g, &[("b", b), ("h", h), ("n", n), ("m", m)]);
        }
    }

    #[test]
    fn broadcast_is_by_name() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 2)]).unwrap();
        let y = g.input("y", [("i", 2)]).unwrap();
        let (sum, product) = (g.add("", x, y).unwrap(), g.mul("", x, y).unwrap());
        let feeds: [(&str, &[f64]); 2] = [("x", &[1., 2., 3., 4.]), ("y", &[10., 20.])];
        assert_eq!(evaluate(&g, sum, &feeds), [11., 12., 23., 24.]);
        assert_eq!(evaluate(&g, product, &feeds), [10., 20., 60., 80.]);
        let quotient = g.div("", x, y).unwrap();
        assert_eq!(evaluate(&g, quotient, &feeds), [0.1, 0.2, 0.15, 0.2]);
        let mut of = |kind| {
            let z = g.arithmetic("", kind, x, y).unwrap();
            evaluate(&g, z, &[("x", &[1., -2., 3., 4.]), ("y", &[2., -2.])])
        };
        assert_eq!(of(ArithmeticKind::Sub), [-1., -4., 5., 6.]);
        assert_eq!(of(ArithmeticKind::Max), [2., 2., 3., 4.]);
        assert_eq!(of(ArithmeticKind::Min), [1., -2., -2., -2.]);
        let powers = of(ArithmeticKind::Pow);
        for (power, expected) in powers.into_iter().zip([1., 4., 1. / 9., 1. / 16.]) {
            assert!((power - expected).abs() < 1e-12, "{power} for {expected}");
        }
        let error = g.add("", y, x).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 has no axis `j`");
        let z = g.input("z", [("i", 3)]).unwrap();
        let error = g.mul("", x, z).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `i` is 2 in one operand and 3 in another");
    }
}
