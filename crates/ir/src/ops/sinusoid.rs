//! The fixed position table of Vaswani et al. 2017, §3.5: element 2i of position p is
//! sin(p · 10000^(−2i/c)), element 2i + 1 its cosine.
//!
//! Count, per position and pair of elements: 1 mul, 1 sin, 1 cos. The frequencies are constants.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::inverse_frequency;
use crate::operation::{Operation, operands};
use crate::{Axis, AxisMap, Call, Cost, Facts, OpError, Part, Shape, ShapeError, Value};

/// The base of the frequencies.
const THETA: f64 = 10_000.0;

/// A table of `positions × width`, the width even.
#[derive(Clone, Debug, PartialEq)]
pub struct Sinusoid {
    /// The axis of positions.
    pub positions: Axis,
    /// The axis of elements.
    pub width: Axis,
}

impl Sinusoid {
    /// The angle per position of each pair of a table of this width.
    pub fn frequencies(width: usize) -> Vec<f64> {
        (0..width / 2).map(|pair| inverse_frequency(THETA, pair, width)).collect()
    }
}

impl Operation for Sinusoid {
    fn name(&self) -> &'static str {
        "sinusoid"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [] = operands(inputs)?;
        match self.width.size.as_integer() {
            Some(c) if &c % 2 != 0.into() => {
                let name = &self.width.name;
                Err(ShapeError::Sizes(format!(
                    "axis `{name}` is {c}; sines and cosines come in pairs"
                )))
            }
            _ if self.positions.name == self.width.name => {
                Err(ShapeError::Duplicate(self.width.name.clone()))
            }
            _ => Ok(vec![Shape::real(vec![self.positions.clone(), self.width.clone()])]),
        }
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let angles = output.elements().ratio(1, 2);
        let counts = Counts::zero()
            .with(Class::Mul, angles.clone())
            .with(Class::Sin, angles.clone())
            .with(Class::Cos, angles);
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
    }

    fn axis_map(&self, _: &[&Shape], _: &Shape) -> AxisMap {
        AxisMap::new([])
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, _: &[&Shape], binding: &Binding) -> Option<String> {
        let width = self.width.size.at(binding).ok()?;
        (width % 2u32 != 0u32.into())
            .then(|| format!("axis `{}` is odd; sines and cosines come in pairs", self.width.name))
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let [positions, width] = call.output else { return Err(OpError::Operand(0)) };
        let frequencies = Sinusoid::frequencies(*width);
        let mut out = Vec::with_capacity(call.output_len());
        for position in 0..*positions {
            for frequency in &frequencies {
                let angle = T::from_f64(position as f64) * T::from_f64(*frequency);
                out.push(angle.sin());
                out.push(angle.cos());
            }
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use approx::assert_abs_diff_eq;

    #[test]
    fn counted_reference_equals_cost() {
        let mut g = Graph::new();
        g.sinusoid("n", "c").unwrap();
        for (n, c) in [(0, 2), (1, 2), (3, 8), (7, 6)] {
            prove(&g, &[("n", n), ("c", c)]);
        }
    }

    #[test]
    fn position_one_by_hand() {
        let mut g = Graph::new();
        let table = g.sinusoid(("n", 2), ("c", 4)).unwrap();
        let out = evaluate(&g, table, &[]);
        let expected = [0.0, 1.0, 0.0, 1.0, 1f64.sin(), 1f64.cos(), 0.01f64.sin(), 0.01f64.cos()];
        assert_abs_diff_eq!(out[..], expected[..], epsilon = 1e-12);
        assert!(g.sinusoid(("n", 2), ("c", 3)).is_err());
    }
}
