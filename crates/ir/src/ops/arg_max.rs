//! The place of the largest element along one axis; of equal ones the first.
//!
//! Count, per row of n reals: n − 1 max. Comparing whole numbers is indexing: none.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Elem, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// A place along an axis, which the result no longer has. NaN is larger than every number.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgMax {
    /// The axis.
    pub axis: Symbol,
}

impl ArgMax {
    /// How many elements lie along the axis, and how many inside it.
    ///
    /// # Errors
    /// When the axis is missing.
    pub fn runs<T>(&self, call: &Call<'_, T>) -> Result<[usize; 2], OpError> {
        let at = call.shapes[0].position(&self.axis).ok_or(OpError::Operand(0))?;
        let sizes = call.inputs.first().ok_or(OpError::Operand(0))?.shape();
        Ok([sizes[at], sizes[at + 1..].iter().product()])
    }
}

/// For each run of `terms` elements, `inner` apart, the place of the one that no other exceeds.
fn largest<N: Copy>(
    x: &[N],
    [terms, inner]: [usize; 2],
    results: usize,
    exceeds: impl Fn(N, N) -> bool,
) -> Vec<i64> {
    let of_run = |flat: usize| {
        let first = flat / inner * terms * inner + flat % inner;
        let later = |best, at| match exceeds(x[first + best * inner], x[first + at * inner]) {
            true => at,
            false => best,
        };
        (1..terms).fold(0, later) as i64
    };
    (0..results).map(of_run).collect()
}

impl Operation for ArgMax {
    fn name(&self) -> &'static str {
        "arg_max"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        let missing = || ShapeError::Missing { operand: 0, axis: self.axis.clone() };
        let at = x.position(&self.axis).ok_or_else(missing)?;
        let mut axes = x.axes.clone();
        axes.remove(at);
        Ok(vec![Shape { axes, elem: Elem::I64 }])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let counts = match inputs[0].elem.kind() {
            Kind::Real => Counts::zero().with(Class::Max, inputs[0].elements() - output.elements()),
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
        AxisMap::by_name(inputs, output)
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
        let results = call.output_len();
        let places = match call.inputs.first() {
            Some(Value::Index(_)) => {
                largest(call.index(0)?.data(), runs, results, |value, other| other > value)
            }
            Some(Value::Real(_)) | None => {
                largest(call.real(0)?.data(), runs, results, |value: T, other| {
                    let (greater, value) = (value.max(other).to_f64(), value.to_f64());
                    !value.is_nan() && greater != value
                })
            }
        };
        mark(Part::Pointwise);
        Ok(vec![Value::Index(Tensor::new(call.output, places)?)])
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
            g.arg_max(x, "n").unwrap();
            g.arg_max(x, "c").unwrap();
            let ids = g.input_ids("ids", ["b", "n"], 9).unwrap();
            g.arg_max(ids, "n").unwrap();
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }
    }

    #[test]
    fn the_first_of_the_largest_along_the_axis_named() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 3)]).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[2., 2., 1., 2., f64::NAN, 5.])];
        let (down, along) = (g.arg_max(x, "i").unwrap(), g.arg_max(x, "j").unwrap());
        assert_eq!(g.shape(along).to_string(), "[i=2]");
        assert_eq!(evaluate(&g, down, &feeds), [0., 1., 1.]);
        assert_eq!(evaluate(&g, along, &feeds), [0., 1.]);
        let error = g.arg_max(x, "k").unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 has no axis `k`");
    }
}
