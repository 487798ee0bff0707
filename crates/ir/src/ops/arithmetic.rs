//! Addition and multiplication, element by element, the second operand broadcast by axis name.
//!
//! Count: one add or one mul per element of the result.

use opledger_dims::{Class, Counts, Poly, Symbol};
use opledger_tensor::Scalar;

use crate::op::{Operation, operands};
use crate::value::{indices, strides};
use crate::{Call, Cost, Elem, OpError, Part, Shape, ShapeError, Value};

/// `a + b` or `a · b`.
#[derive(Clone, Debug, PartialEq)]
pub enum Arithmetic {
    /// Addition: biases, residuals.
    Add,
    /// Multiplication: gates.
    Mul,
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
        match self {
            Arithmetic::Add => "add",
            Arithmetic::Mul => "mul",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let [a, b] = operands(inputs)?;
        for (operand, shape) in [a, b].into_iter().enumerate() {
            if shape.elem != Elem::Real {
                return Err(ShapeError::Elem { operand, expected: Elem::Real, found: shape.elem });
            }
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
        Ok(a.clone())
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let class = match self {
            Arithmetic::Add => Class::Add,
            Arithmetic::Mul => Class::Mul,
        };
        Cost::of(Part::Pointwise, Counts::zero().with(class, output.elements()))
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Value<T>, OpError> {
        let (a, b) = (call.real(0)?, call.real(1)?);
        let from = Arithmetic::broadcast(call.shapes[0], call.shapes[1]);
        let offsets = offsets(&from, b.shape(), call.output);
        let pairs = a.data().iter().zip(offsets).map(|(x, at)| (*x, b.data()[at]));
        let out = match self {
            Arithmetic::Add => pairs.map(|(x, y)| x + y).collect(),
            Arithmetic::Mul => pairs.map(|(x, y)| x * y).collect(),
        };
        mark(Part::Pointwise);
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
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..6_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let y = g.input("y", ["c", "b"]).unwrap();
            g.add("", x, y).unwrap();
            g.mul("", x, y).unwrap();
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
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
        let error = g.add("", y, x).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 has no axis `j`");
        let z = g.input("z", [("i", 3)]).unwrap();
        let error = g.mul("", x, z).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `i` is 2 in one operand and 3 in another");
    }
}
