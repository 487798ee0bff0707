//! Rotary position embedding (Su et al. 2021, equation 34): each pair of the first r elements of a
//! head is turned by position · θ^(−2p/r), p being the pair. r is the head's width e, or less (Black
//! et al. 2022, §2.1.1): the other elements stay as they are.
//!
//! Count: for each (position, pair) once, whatever the batch and heads: 1 mul (the angle), 1 sin,
//! 1 cos; for each pair of elements turned: 4 mul, 2 add. The frequencies are constants, scaled or
//! not. Where YaRN's attention factor is not 1, sine and cosine are multiplied by it: 2 mul more for
//! each (position, pair).

use opledger_dims::{Binding, Class, Counts, Integer, Poly, Scalar, Symbol};

use super::RopeScaling;
use crate::operation::{Operation, operands};
use crate::{Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Element p with p + r/2, as Llama's weights are stored.
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
    /// How the frequencies are scaled.
    pub scaling: RopeScaling,
    /// How many elements of a head are turned, its first; all when `None`.
    pub rotated: Option<Poly>,
}

impl Rope {
    /// The whole head turned, in halves, from position 0, the frequencies not scaled.
    pub fn new(theta: f64) -> Self {
        let (offset, scaling) = (Poly::zero(), RopeScaling::None);
        Rope { pairs: RopePairs::Halves, theta, offset, scaling, rotated: None }
    }

    /// How many elements of a head as wide as an axis are turned.
    pub fn width<'a>(&'a self, axis: &'a Axis) -> &'a Poly {
        self.rotated.as_ref().unwrap_or(&axis.size)
    }

    /// Why so many elements cannot be turned, if they cannot.
    pub(crate) fn problem(
        &self,
        axis: &Axis,
        size: impl Fn(&Poly) -> Option<Integer>,
    ) -> Option<String> {
        let rotated = size(self.width(axis))?;
        let odd = &rotated % 2u32 != 0u32.into();
        match &self.rotated {
            None if odd => Some(format!("axis `{}` is {rotated}; rotation turns pairs", axis.name)),
            Some(_) if odd => Some(format!("{rotated} elements are to turn; rotation turns pairs")),
            Some(_) => size(&axis.size).filter(|all| rotated > *all).map(|all| {
                format!("{rotated} elements of axis `{}` are to turn, and it has {all}", axis.name)
            }),
            None => None,
        }
    }
}

impl Operation for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        let [.., _, _, width] = &x.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 3, found: x.axes.len() });
        };
        if let Some(problem) = self.scaling.problem() {
            return Err(ShapeError::Sizes(problem.to_owned()));
        }
        match self.problem(width, Poly::as_integer) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => Ok(vec![x.clone()]),
        }
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let [rows @ .., width] = &output.axes[..] else { return Cost::free() };
        let [.., tokens, _] = rows else { return Cost::free() };
        let rotated = self.width(width);
        let all = rows.iter().map(|axis| &axis.size).product::<Poly>() * rotated;
        let angles = (&tokens.size * rotated).ratio(1, 2);
        let per_angle = if self.scaling.attention_factor().is_some() { 3 } else { 1 };
        let counts = Counts::zero()
            .with(Class::Mul, &all * 2 + &angles * per_angle)
            .with(Class::Add, all)
            .with(Class::Sin, angles.clone())
            .with(Class::Cos, angles);
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).sizes(std::iter::once(&self.offset).chain(&self.rotated))
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0)
    }

    fn detail(&self) -> String {
        {
            let scaling = match self.scaling {
                RopeScaling::None => None,
                RopeScaling::Linear { factor } => Some(format!("linear, factor {factor}")),
                RopeScaling::Llama3 { factor, .. } => Some(format!("llama3, factor {factor}")),
                RopeScaling::Yarn { factor, .. } => Some(format!("yarn, factor {factor}")),
            };
            let part = self.rotated.as_ref().map(|width| format!("the first {width}"));
            part.into_iter().chain(scaling).collect::<Vec<_>>().join(", ")
        }
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        self.problem(inputs[0].last()?, |size| size.at(binding).ok())
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let x = call.real(0)?;
        let offset = call.size(&self.offset)?;
        let [batch @ .., tokens, heads, width] = call.output else {
            return Err(OpError::Operand(0));
        };
        let rotated = self.rotated.as_ref().map_or(Ok(*width), |size| call.size(size))?;
        let frequencies = self.scaling.frequencies(self.theta, rotated);
        let factor = self.scaling.attention_factor().map(T::from_f64);
        let scaled = |x: T| factor.map_or(x, |factor| x * factor);
        let mut out = x.data().to_vec();
        for token in 0..*tokens {
            for (pair, frequency) in frequencies.iter().enumerate() {
                let angle = T::from_f64((offset + token) as f64) * T::from_f64(*frequency);
                let (sin, cos) = (scaled(angle.sin()), scaled(angle.cos()));
                let (first, second) = match self.pairs {
                    RopePairs::Halves => (pair, pair + rotated / 2),
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
    use super::{Rope, RopePairs};
    use crate::Graph;
    use crate::ops::RopeScaling;
    use crate::ops::proof::{evaluate, prove};
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    fn yarn(attention_factor: f64) -> RopeScaling {
        let (factor, beta_fast, beta_slow) = (4.0, 32.0, 1.0);
        let original_max_position_embeddings = 64;
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            original_max_position_embeddings,
            attention_factor,
        }
    }

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, h in 1..4_usize, p in 1..4_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
            g.rope(x, RopePairs::Halves, 1e4, 0).unwrap();
            g.rope(x, RopePairs::Neighbours, 1e4, 3).unwrap();
            for attention_factor in [1.0, 1.25] {
                let scaling = yarn(attention_factor);
                for rotated in [None, Some("r".into())] {
                    let (pairs, offset) = (RopePairs::Halves, 3.into());
                    let rope = Rope { pairs, theta: 1e4, offset, scaling, rotated };
                    g.record("", rope, &[x]).unwrap();
                }
            }
            prove(&g, &[("b", b), ("n", n), ("h", h), ("e", 2 * p), ("r", 2 * (p / 2))]);
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
    fn scaled_frequencies_turn_and_the_attention_factor_stretches() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 1), ("h", 1), ("e", 2)]).unwrap();
        let mut turned = |scaling| {
            let (pairs, offset) = (RopePairs::Halves, 8.into());
            let rope = Rope { pairs, theta: 1e4, offset, scaling, rotated: None };
            let y = g.record("", rope, &[x])?;
            Ok::<_, crate::GraphError>(evaluate(&g, y, &[("x", &[1., 0.])]))
        };
        let (cos, sin) = (2.0_f64.cos(), 2.0_f64.sin());
        let linear = turned(RopeScaling::Linear { factor: 4.0 }).unwrap();
        assert_abs_diff_eq!(linear[..], [cos, sin][..], epsilon = 1e-12);
        let yarned = turned(yarn(1.5)).unwrap();
        let plain = turned(yarn(1.0)).unwrap();
        assert_abs_diff_eq!(yarned[..], [1.5 * plain[0], 1.5 * plain[1]][..], epsilon = 1e-12);
        let error = turned(RopeScaling::Linear { factor: 0.0 }).unwrap_err().problem.to_string();
        assert_eq!(error, "the factor of a rope scaling must be a positive number");
    }

    #[test]
    fn what_is_not_rotated_stays() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 1), ("h", 1), ("e", 5)]).unwrap();
        let mut first = |rotated: i64, pairs| {
            let rotated = Some(rotated.into());
            let (offset, scaling) = (2.into(), RopeScaling::None);
            let y = g.record("", Rope { pairs, theta: 100.0, offset, scaling, rotated }, &[x])?;
            Ok::<_, crate::GraphError>(evaluate(&g, y, &[("x", &[1., 1., 0., 0., 7.])]))
        };
        let (fast, slow) = (2.0_f64, 2.0 * 0.1_f64);
        let halves = first(4, RopePairs::Halves).unwrap();
        let expected = [fast.cos(), slow.cos(), fast.sin(), slow.sin(), 7.];
        assert_abs_diff_eq!(halves[..], expected[..], epsilon = 1e-12);
        let neighbours = first(2, RopePairs::Neighbours).unwrap();
        let expected = [fast.cos() - fast.sin(), fast.sin() + fast.cos(), 0., 0., 7.];
        assert_abs_diff_eq!(neighbours[..], expected[..], epsilon = 1e-12);
        let mut refused = |r| first(r, RopePairs::Halves).unwrap_err().problem.to_string();
        assert_eq!(refused(3), "3 elements are to turn; rotation turns pairs");
        assert_eq!(refused(6), "6 elements of axis `e` are to turn, and it has 5");
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
