//! Rotary position embedding (Su et al. 2021, equation 34): each pair of elements of a head is turned
//! by position · θ^(−2p/e), p being the pair.
//!
//! Count: for each (position, pair) once, whatever the batch and heads: 1 mul (the angle), 1 sin,
//! 1 cos; for each pair of elements turned: 4 mul, 2 add. The frequencies are constants.

use opledger_dims::{Class, Counts, Poly, Symbol};
use opledger_tensor::Scalar;

use crate::op::{Operation, operands};
use crate::{Call, Cost, OpError, Part, Shape, ShapeError, Value};

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Element p with p + e/2, as Llama's weights are stored.
    Halves,
    /// Element 2p with 2p + 1, as the paper writes it.
    Neighbours,
}

/// Rotation of `[…, n, h, e]` by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Which elements form a pair.
    pub pairs: RopePairs,
    /// The base of the frequencies, usually 10,000.
    pub theta: f64,
    /// The position of the first token.
    pub offset: Poly,
}

/// The angle per position of pair `pair` among `width` elements: θ^(−2·pair/width).
pub fn inverse_frequency(theta: f64, pair: usize, width: usize) -> f64 {
    theta.powf(-2.0 * pair as f64 / width as f64)
}

impl Operation for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect_real(0)?;
        let [.., _, _, width] = &x.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 3, found: x.axes.len() });
        };
        match width.size.as_integer() {
            Some(e) if &e % 2 != 0.into() => Err(ShapeError::Sizes(format!(
                "axis `{}` is {e}; rotation turns pairs",
                width.name
            ))),
            _ => Ok(x.clone()),
        }
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let all = output.elements();
        let [.., tokens, _, width] = &output.axes[..] else { return Cost::free() };
        let angles = (&tokens.size * &width.size).ratio(1, 2);
        let counts = Counts::zero()
            .with(Class::Mul, &all * 2 + &angles)
            .with(Class::Add, all)
            .with(Class::Sin, angles.clone())
            .with(Class::Cos, angles);
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Value<T>, OpError> {
        let x = call.real(0)?;
        let offset = call.size(&self.offset)?;
        let [batch @ .., tokens, heads, width] = call.output else {
            return Err(OpError::Operand(0));
        };
        let mut out = x.data().to_vec();
        for token in 0..*tokens {
            for pair in 0..width / 2 {
                let frequency = T::from_f64(inverse_frequency(self.theta, pair, *width));
                let angle = T::from_f64((offset + token) as f64) * frequency;
                let (sin, cos) = (angle.sin(), angle.cos());
                let (first, second) = match self.pairs {
                    RopePairs::Halves => (pair, pair + width / 2),
                    RopePairs::Neighbours => (2 * pair, 2 * pair + 1),
                };
                for item in 0..batch.iter().product() {
                    for head in 0..*heads {
                        let at = ((item * tokens + token) * heads + head) * width;
                        let (a, b) = (x.data()[at + first], x.data()[at + second]);
                        out[at + first] = a * cos - b * sin;
                        out[at + second] = a * sin + b * cos;
                    }
                }
            }
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::RopePairs;
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, h in 1..4_usize, p in 1..4_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
            g.rope(x, RopePairs::Halves, 1e4, 0).unwrap();
            g.rope(x, RopePairs::Neighbours, 1e4, 3).unwrap();
            prove(&g, &[("b", b), ("n", n), ("h", h), ("e", 2 * p)]);
        }
    }

    #[test]
    fn a_pair_turns_by_its_angle() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 1), ("h", 1), ("e", 4)]).unwrap();
        let halves = g.rope(x, RopePairs::Halves, 100.0, 2).unwrap();
        let neighbours = g.rope(x, RopePairs::Neighbours, 100.0, 2).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 1., 0., 0.])];
        let (fast, slow) = (2.0_f64, 2.0 * 0.1_f64);
        let expected = [fast.cos(), slow.cos(), fast.sin(), slow.sin()];
        assert_abs_diff_eq!(evaluate(&g, halves, &feeds)[..], expected[..], epsilon = 1e-12);
        let expected = [fast.cos() - fast.sin(), fast.sin() + fast.cos(), 0., 0.];
        assert_abs_diff_eq!(evaluate(&g, neighbours, &feeds)[..], expected[..], epsilon = 1e-12);
        let odd = g.input("odd", [("n", 1), ("h", 1), ("e", 3)]).unwrap();
        let error = g.rope(odd, RopePairs::Halves, 1e4, 0).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `e` is 3; rotation turns pairs");
    }

    #[test]
    fn each_token_of_every_batch_and_head_turns_by_its_position() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 2), ("n", 3), ("h", 2), ("e", 2)]).unwrap();
        let y = g.rope(x, RopePairs::Halves, 1e4, 0).unwrap();
        let lengths: Vec<f64> = (1..=12).map(f64::from).collect();
        let data: Vec<f64> = lengths.iter().flat_map(|v| [*v, 0.0]).collect();
        let turned = |(i, v): (usize, &f64)| {
            let angle = (i / 2 % 3) as f64;
            [v * angle.cos(), v * angle.sin()]
        };
        let expected: Vec<f64> = lengths.iter().enumerate().flat_map(turned).collect();
        assert_abs_diff_eq!(evaluate(&g, y, &[("x", &data)])[..], expected[..], epsilon = 1e-12);
    }
}
