//! The sums or products of all elements up to each, along one axis.
//!
//! Count, per row of n elements: n − 1 add or mul where they are reals. Whole numbers are indices: count
//! none.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Elem, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// What is made of all elements up to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CumulativeKind {
    /// Their sum.
    Sum,
    /// Their product.
    Product,
}

impl CumulativeKind {
    /// What is made of two whole numbers; sums and products that are too large wrap round.
    pub fn of_whole(self, a: i64, b: i64) -> i64 {
        match self {
            CumulativeKind::Sum => a.wrapping_add(b),
            CumulativeKind::Product => a.wrapping_mul(b),
        }
    }
}

/// `out[…, j, …] = Σ_{i ≤ j} x[…, i, …]`, or the product.
#[derive(Clone, Debug, PartialEq)]
pub struct Cumulative {
    /// What is made of elements.
    pub kind: CumulativeKind,
    /// The axis along which they stand.
    pub axis: Symbol,
}

impl Cumulative {
    /// How many elements lie along the axis, and how many inside it.
    ///
    /// # Errors
    /// When the axis is missing.
    pub fn runs<T>(&self, call: &Call<'_, T>) -> Result<[usize; 2], OpError> {
        let at = call.shapes[0].position(&self.axis).ok_or(OpError::Operand(0))?;
        Ok([call.output[at], call.output[at + 1..].iter().product()])
    }
}

/// Joins each element with the one before it along an axis of `terms`, `inner` elements apart.
fn joined<N: Copy>(x: &[N], [terms, inner]: [usize; 2], join: impl Fn(N, N) -> N) -> Vec<N> {
    let mut out = x.to_vec();
    for at in 0..out.len() {
        if at / inner % terms > 0 {
            out[at] = join(out[at - inner], out[at]);
        }
    }
    out
}

impl Operation for Cumulative {
    fn name(&self) -> &'static str {
        match self.kind {
            CumulativeKind::Sum => "cumulative_sum",
            CumulativeKind::Product => "cumulative_product",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        if x.position(&self.axis).is_none() {
            return Err(ShapeError::Missing { operand: 0, axis: self.axis.clone() });
        }
        let elem = match x.elem.kind() {
            Kind::Real => x.elem,
            Kind::Whole => Elem::I64,
        };
        Ok(vec![Shape { axes: x.axes.clone(), elem }])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let others = output.axes.iter().filter(|axis| axis.name != self.axis);
        let rows: Poly = others.map(|axis| &axis.size).product();
        let class = match self.kind {
            CumulativeKind::Sum => Class::Add,
            CumulativeKind::Product => Class::Mul,
        };
        let counts = match inputs[0].elem.kind() {
            Kind::Real => Counts::zero().with(class, output.elements() - rows),
            Kind::Whole => Counts::zero(),
        };
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        let axis = inputs[0].axes.iter().find(|axis| axis.name == self.axis);
        axis.map(|axis| (axis.name.clone(), axis.size.clone())).into_iter().collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let map = AxisMap::by_name(inputs, output);
        match inputs[0].position(&self.axis) {
            Some(at) => map.mixing(0, at),
            None => map,
        }
    }

    fn detail(&self) -> String {
        format!("along {}", self.axis)
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let runs = self.runs(call)?;
        let value = match call.inputs.first() {
            Some(Value::Index(_)) => {
                let all = joined(call.index(0)?.data(), runs, |a, b| self.kind.of_whole(a, b));
                Value::Index(Tensor::new(call.output, all)?)
            }
            Some(Value::Real(_)) | None => {
                let x = call.real(0)?.data();
                let all = match self.kind {
                    CumulativeKind::Sum => joined(x, runs, |sum, x| sum + x),
                    CumulativeKind::Product => joined(x, runs, |product, x| product * x),
                };
                Tensor::new(call.output, all)?.into()
            }
        };
        mark(Part::Pointwise);
        Ok(vec![value])
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..6_usize, c in 1..5_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let ids = g.input_ids("ids", ["b", "n"], 9).unwrap();
            g.cumulative(x, "n").unwrap();
            g.cumulative(x, "c").unwrap();
            g.cumulative(ids, "n").unwrap();
            for axis in ["n", "c"] {
                g.cumulative_product(x, axis).unwrap();
            }
            g.cumulative_product(ids, "n").unwrap();
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }
    }

    #[test]
    fn along_the_axis_named() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 3)]).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 2., 3., 4., 5., 6.])];
        let (down, along) = (g.cumulative(x, "i").unwrap(), g.cumulative(x, "j").unwrap());
        assert_eq!(evaluate(&g, down, &feeds), [1., 2., 3., 5., 7., 9.]);
        assert_eq!(evaluate(&g, along, &feeds), [1., 3., 6., 4., 9., 15.]);
        let products = g.cumulative_product(x, "j").unwrap();
        assert_eq!(evaluate(&g, products, &feeds), [1., 2., 6., 4., 20., 120.]);
        let places = g.arg_max(x, "j").unwrap();
        let sums = g.cumulative(places, "i").unwrap();
        assert_eq!(evaluate(&g, sums, &feeds), [2., 4.]);
        let products = g.cumulative_product(places, "i").unwrap();
        assert_eq!(evaluate(&g, products, &feeds), [2., 4.]);
        let error = g.cumulative(x, "k").unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 has no axis `k`");
    }
}
