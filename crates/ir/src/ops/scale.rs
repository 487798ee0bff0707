//! Multiplication by a constant, such as 1/√e of scaled dot-product attention (Vaswani et al. 2017,
//! equation 1).
//!
//! Count: one mul per element. The constant is known before the run and costs nothing. Under a mask
//! only the allowed entries are multiplied; the others are 0 and cost nothing.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use crate::masked::{self, Masked};
use crate::operation::Operation;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// A constant that may depend on a size.
#[derive(Clone, Debug, PartialEq)]
pub enum Factor {
    /// A number.
    Number(f64),
    /// One over the square root of a size.
    InverseSqrt(Poly),
    /// The square root of a size.
    Sqrt(Poly),
}

impl Factor {
    /// The size it depends on.
    pub(crate) fn size(&self) -> Option<&Poly> {
        match self {
            Factor::Number(_) => None,
            Factor::InverseSqrt(size) | Factor::Sqrt(size) => Some(size),
        }
    }

    /// The value at the binding of a call.
    ///
    /// # Errors
    /// When the size is unbound.
    pub fn value<T>(&self, call: &Call<'_, T>) -> Result<f64, OpError> {
        Ok(match self {
            Factor::Number(value) => *value,
            Factor::InverseSqrt(size) => 1.0 / (call.size(size)? as f64).sqrt(),
            Factor::Sqrt(size) => (call.size(size)? as f64).sqrt(),
        })
    }
}

/// `x · factor`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The constant.
    pub factor: Factor,
    /// Which entries exist, when not all: queries are the axis before the last, keys the last.
    pub masked: Option<Masked>,
}

impl Operation for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = masked::entries(self.masked.as_ref(), inputs)?;
        x.expect(0, Kind::Real)?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let entries = masked::count(self.masked.as_ref(), output);
        Cost::of(Part::Pointwise, Counts::zero().with(Class::Mul, entries))
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
            .masked(self.masked.as_ref())
            .sizes(self.factor.size())
            .in_place(&[0])
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
        let factor = T::from_f64(self.factor.value(call)?);
        let visible = masked::visible(self.masked.as_ref(), call)?;
        let entries = call.real(0)?.data().iter().zip(visible);
        let zero = T::from_f64(0.0);
        let out = entries.map(|(x, visible)| if visible { *x * factor } else { zero }).collect();
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Factor;
    use crate::Graph;
    use crate::masked::tests::every_mask;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..4_usize, n in 1..9_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n"]).unwrap();
            g.scale(x, Factor::InverseSqrt("n".into())).unwrap();
            prove(&g, &[("b", b), ("n", n)]);
        }

        #[test]
        fn counted_reference_equals_cost_under_every_mask(
            b in 0..3_usize, h in 1..3_usize, n in 1..6_usize, m in 1..7_usize, w in 1..4_i64,
        ) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
            for masked in every_mask(&mut g, w) {
                g.scale_masked(x, Factor::InverseSqrt("n".into()), Some(masked)).unwrap();
            }
            prove(&g, &[("b", b), ("h", h), ("n", n), ("m", m)]);
        }
    }

    #[test]
    fn factors_are_what_they_say() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 4)]).unwrap();
        let down = g.scale(x, Factor::InverseSqrt(4.into())).unwrap();
        let up = g.scale(x, Factor::Sqrt(4.into())).unwrap();
        let by = g.scale(x, Factor::Number(3.0)).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 2., 3., 4.])];
        assert_eq!(evaluate(&g, down, &feeds), [0.5, 1., 1.5, 2.]);
        assert_eq!(evaluate(&g, up, &feeds), [2., 4., 6., 8.]);
        assert_eq!(evaluate(&g, by, &feeds), [3., 6., 9., 12.]);
    }
}
