//! Sum, mean or maximum along one axis.
//!
//! Count, per result over k elements: sum k − 1 add; mean one div more; maximum k − 1 max.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::norm::sum;
use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// A reduction along an axis, which the result no longer has.
#[derive(Clone, Debug, PartialEq)]
pub enum Reduce {
    /// The sum.
    Sum(Symbol),
    /// The arithmetic mean.
    Mean(Symbol),
    /// The largest element.
    Max(Symbol),
}

impl Reduce {
    /// The axis.
    pub fn axis(&self) -> &Symbol {
        match self {
            Reduce::Sum(axis) | Reduce::Mean(axis) | Reduce::Max(axis) => axis,
        }
    }
}

impl Operation for Reduce {
    fn name(&self) -> &'static str {
        match self {
            Reduce::Sum(_) => "sum",
            Reduce::Mean(_) => "mean",
            Reduce::Max(_) => "max",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        let axis = self.axis();
        let at = x
            .position(axis)
            .ok_or_else(|| ShapeError::Missing { operand: 0, axis: axis.clone() })?;
        let mut shape = x.clone();
        shape.axes.remove(at);
        Ok(vec![shape])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let (all, results) = (inputs[0].elements(), output.elements());
        let fewer = all - &results;
        let counts = match self {
            Reduce::Sum(_) => Counts::zero().with(Class::Add, fewer),
            Reduce::Mean(_) => Counts::zero().with(Class::Add, fewer).with(Class::Div, results),
            Reduce::Max(_) => Counts::zero().with(Class::Max, fewer),
        };
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        let axis = inputs[0].axes.iter().find(|a| a.name == *self.axis());
        axis.map(|a| (a.name.clone(), a.size.clone())).into_iter().collect()
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
        let x = call.real(0)?;
        let at = call.shapes[0].position(self.axis()).ok_or(OpError::Operand(0))?;
        let terms = x.shape()[at];
        let inner: usize = x.shape()[at + 1..].iter().product();
        let count = T::from_f64(terms as f64);
        let mut out = Vec::with_capacity(call.output_len());
        for flat in 0..call.output_len() {
            let start = flat / inner * terms * inner + flat % inner;
            let along = (0..terms).map(|k| x.data()[start + k * inner]);
            let reduced = match self {
                Reduce::Sum(_) => sum(along),
                Reduce::Mean(_) => sum(along).map(|sum| sum / count),
                Reduce::Max(_) => along.reduce(T::max),
            };
            out.push(reduced.ok_or(OpError::Operand(0))?);
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Reduce;
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..6_usize, c in 1..5_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            for reduce in [Reduce::Sum("n".into()), Reduce::Mean("c".into()), Reduce::Max("n".into())] {
                g.reduce(x, reduce).unwrap();
            }
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }
    }

    #[test]
    fn along_the_axis_named() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 2)]).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 2., 3., 6.])];
        let mut run = |reduce| {
            let y = g.reduce(x, reduce).unwrap();
            evaluate(&g, y, &feeds)
        };
        assert_eq!(run(Reduce::Sum("i".into())), [4., 8.]);
        assert_eq!(run(Reduce::Mean("j".into())), [1.5, 4.5]);
        assert_eq!(run(Reduce::Max("i".into())), [3., 6.]);
    }

    #[test]
    fn a_middle_axis_keeps_what_lies_inside_it() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 3), ("k", 2)]).unwrap();
        let y = g.reduce(x, Reduce::Sum("j".into())).unwrap();
        let data: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(evaluate(&g, y, &[("x", &data)]), [6., 9., 24., 27.]);
    }
}
