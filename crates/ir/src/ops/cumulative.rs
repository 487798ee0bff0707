//! The sums of all elements up to each, along one axis.
//!
//! Count, per row of n elements: n − 1 add where they are reals. Whole numbers are indices: count none.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Elem, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// `out[…, j, …] = Σ_{i ≤ j} x[…, i, …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cumulative {
    /// The axis along which elements are added up.
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

/// Adds to each element the one before it along an axis of `terms`, `inner` elements apart.
fn add_up<N: Copy>(x: &[N], [terms, inner]: [usize; 2], add: impl Fn(N, N) -> N) -> Vec<N> {
    let mut out = x.to_vec();
    for at in 0..out.len() {
        if at / inner % terms > 0 {
            out[at] = add(out[at - inner], out[at]);
        }
    }
    out
}

impl Operation for Cumulative {
    fn name(&self) -> &'static str {
        "cumulative_sum"
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
        let counts = match inputs[0].elem.kind() {
            Kind::Real => Counts::zero().with(Class::Add, output.elements() - rows),
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
                let sums = add_up(call.index(0)?.data(), runs, i64::wrapping_add);
                Value::Index(Tensor::new(call.output, sums)?)
            }
            Some(Value::Real(_)) | None => {
                let sums = add_up(call.real(0)?.data(), runs, |sum, x| sum + x);
                Tensor::new(call.output, sums)?.into()
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
        let places = g.arg_max(x, "j").unwrap();
        let sums = g.cumulative(places, "i").unwrap();
        assert_eq!(evaluate(&g, sums, &feeds), [2., 4.]);
        let error = g.cumulative(x, "k").unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 has no axis `k`");
    }
}
