//! The table of a rotary position embedding (Su et al. 2021, §3.2.2): cosine and sine of position ·
//! θ^(−2p/r) for each pair p of the r elements that turn. A pair's angle stands at p and again at
//! p + r/2, and each entry is evaluated, as libraries do (`cat((freqs, freqs))`).
//!
//! Count, for each position: r/2 mul (the angles), r cos, r sin. The frequencies are constants, scaled
//! or not. Tokens may stand in a grid instead (DINOv3, Siméoni et al. 2025): the first half of the pairs then
//! turns by how far down the centre of a cell is, the second by how far across, both from −1 to 1, times
//! 2π·θ^(−4p/r). Where YaRN's attention factor is not 1, cosines and sines are multiplied by it: 2·r mul more.

use std::f64::consts::TAU;

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::RopeScaling;
use crate::operation::{Operation, operands};
use crate::{Axis, AxisMap, Call, Cost, Facts, OpError, Part, Shape, ShapeError, Value};

/// A table `[tokens, cos_sin=2, width]` of cosines and sines.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryAngles {
    /// The axis of tokens.
    pub tokens: Axis,
    /// The axis of the elements that turn; their number is even.
    pub width: Axis,
    /// The position of the first token.
    pub offset: Poly,
    /// The base of the frequencies, usually 10,000.
    pub theta: f64,
    /// How the frequencies are scaled.
    pub scaling: RopeScaling,
    /// How many tokens a grid has down and across, where they stand in one and not in a row.
    pub grid: Option<[usize; 2]>,
}

impl RotaryAngles {
    /// The angle of each pair among `width` elements per position, where there are `tokens` so far.
    pub fn frequencies(&self, width: usize, tokens: usize) -> Vec<f64> {
        if self.grid.is_none() {
            return self.scaling.frequencies(self.theta, width, tokens);
        }
        let half = self.scaling.frequencies(self.theta, width / 2, tokens);
        half.iter().chain(&half).map(|frequency| TAU * frequency).collect()
    }

    /// What the first half of the pairs of a row is multiplied with, and the second.
    fn positions(&self, offset: usize, row: usize) -> [f64; 2] {
        let Some([down, across]) = self.grid else { return [(offset + row) as f64; 2] };
        let centre = |at: usize, of: usize| (2 * at + 1) as f64 / of as f64 - 1.0;
        let across = across.max(1);
        [centre(row / across, down), centre(row % across, across)]
    }

    /// From position 0 on, the frequencies not scaled.
    pub fn new(tokens: impl Into<Axis>, width: impl Into<Axis>, theta: f64) -> Self {
        let (offset, scaling) = (Poly::zero(), RopeScaling::None);
        let (tokens, width) = (tokens.into(), width.into());
        RotaryAngles { tokens, width, offset, theta, scaling, grid: None }
    }

    /// The axis of the two functions.
    pub(super) fn functions() -> Axis {
        Axis::new("cos_sin", 2)
    }
}

impl Operation for RotaryAngles {
    fn name(&self) -> &'static str {
        "rotary_angles"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [] = operands(inputs)?;
        if !(self.theta > 0.0 && self.theta.is_finite()) {
            let problem = format!("the base of the rotation is {}, no number above 0", self.theta);
            return Err(ShapeError::Sizes(problem));
        }
        if let Some(problem) = self.scaling.problem() {
            return Err(ShapeError::Sizes(problem.to_owned()));
        }
        if self.tokens.name == self.width.name {
            return Err(ShapeError::Duplicate(self.width.name.clone()));
        }
        match self.conflict(inputs, &Binding::new()) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => {
                let axes = vec![self.tokens.clone(), Self::functions(), self.width.clone()];
                Ok(vec![Shape::real(axes)])
            }
        }
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let each = output.elements().ratio(1, 2);
        let factor = match self.scaling.attention_factor() {
            Some(_) => output.elements(),
            None => Poly::zero(),
        };
        let counts = Counts::zero()
            .with(Class::Mul, each.clone().ratio(1, 2) + factor)
            .with(Class::Sin, each.clone())
            .with(Class::Cos, each);
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).sizes([&self.offset])
    }

    fn axis_map(&self, _: &[&Shape], _: &Shape) -> AxisMap {
        AxisMap::new([])
    }

    fn detail(&self) -> String {
        if let Some([down, across]) = self.grid {
            return format!("{down}×{across}");
        }
        match &self.scaling {
            RopeScaling::None => String::new(),
            RopeScaling::Linear { factor } => format!("linear, factor {factor}"),
            RopeScaling::Llama3 { factor, .. } => format!("llama3, factor {factor}"),
            RopeScaling::Yarn { factor, .. } => format!("yarn, factor {factor}"),
            RopeScaling::Dynamic { factor, .. } => format!("dynamic, factor {factor}"),
            RopeScaling::LongRope { .. } => "longrope".to_owned(),
            RopeScaling::Proportional { pairs, .. } => format!("the first {pairs} pairs"),
        }
    }

    fn conflict(&self, _: &[&Shape], binding: &Binding) -> Option<String> {
        let width = self.width.size.at(binding).ok()?;
        let misfit = || self.scaling.misfit((&width).try_into().ok()?);
        if let Some([down, across]) = self.grid {
            let cells = opledger_dims::Integer::from(down) * opledger_dims::Integer::from(across);
            if self.tokens.size.at(binding).is_ok_and(|tokens| tokens != cells) {
                return Some(format!("a grid of {down}×{across} has not as many tokens"));
            }
            if &width % 4u32 != 0u32.into() {
                let name = &self.width.name;
                return Some(format!(
                    "axis `{name}` has no two halves of pairs, for down and across"
                ));
            }
        }
        let odd = &width % 2u32 != 0u32.into();
        odd.then(|| format!("axis `{}` is odd; rotation turns pairs", self.width.name))
            .or_else(misfit)
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let offset = call.size(&self.offset)?;
        let [tokens, _, width] = call.output else { return Err(OpError::Operand(0)) };
        let frequencies = self.frequencies(*width, offset + tokens);
        let factor = self.scaling.attention_factor().map(T::from_f64);
        let scaled = |x: T| factor.map_or(x, |factor| x * factor);
        let mut out = Vec::with_capacity(call.output_len());
        for row in 0..*tokens {
            let [first, second] = self.positions(offset, row).map(T::from_f64);
            let angle = |(pair, frequency): (usize, &f64)| {
                let position = if 4 * pair < *width { first } else { second };
                position * T::from_f64(*frequency)
            };
            let once: Vec<T> = frequencies.iter().enumerate().map(angle).collect();
            let angles = || once.iter().chain(&once);
            out.extend(angles().map(|angle| scaled(angle.cos())));
            out.extend(angles().map(|angle| scaled(angle.sin())));
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::RotaryAngles;
    use crate::Graph;
    use crate::ops::RopeScaling;
    use crate::ops::proof::{evaluate, prove};
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    fn yarn(attention_factor: f64) -> RopeScaling {
        RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_position_embeddings: 64,
            attention_factor,
            truncate: true,
        }
    }

    /// Cosine and sine of each pair at position 8.
    fn at_eight(scaling: RopeScaling, width: i64) -> Vec<f64> {
        let mut g = Graph::new();
        let plain = RotaryAngles::new(("n", 1), ("e", width), 100.0);
        let angles = RotaryAngles { offset: 8.into(), scaling, ..plain };
        let table = g.record("", angles, &[]).unwrap();
        assert_eq!(g.shape(table).to_string(), format!("[n=1, cos_sin=2, e={width}]"));
        evaluate(&g, table, &[])
    }

    /// The angles of a grid of two by three: down the centres are at −1/2 and 1/2, across at −2/3, 0
    /// and 2/3.
    #[test]
    fn a_grid_turns_half_of_the_pairs_by_each_direction() {
        let mut g = Graph::new();
        let grid = Some([2, 3]);
        let angles = RotaryAngles { grid, ..RotaryAngles::new(("n", 6), ("e", 4), 100.0) };
        let table = g.record("", angles, &[]).unwrap();
        let half = 3_f64.sqrt() / 2.0;
        let row = [(-0.5, half), (1.0, 0.0), (-0.5, -half)]
            .map(|(cos, sin)| [-1.0, cos, -1.0, cos, 0.0, sin, 0.0, sin]);
        let expected = row.concat().repeat(2);
        assert_abs_diff_eq!(evaluate(&g, table, &[])[..], expected[..], epsilon = 1e-12);
        for (tokens, width) in [(5, 4), (6, 6)] {
            let angles = RotaryAngles::new(("n", tokens), ("e", width), 100.0);
            assert!(g.record("", RotaryAngles { grid, ..angles }, &[]).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_grid_costs_what_its_reference_counts(y in 0..4_usize, x in 0..4_usize, e in 0..3_usize) {
            let mut g = Graph::new();
            let grid = Some([y, x]);
            let angles = RotaryAngles::new(("n", (y * x) as i64), "e", 1e2);
            g.record("", RotaryAngles { grid, ..angles }, &[]).unwrap();
            prove(&g, &[("e", 4 * e)]);
        }

        #[test]
        fn counted_reference_equals_cost(n in 0..5_usize, pairs in 0..4_usize, p in 0..9_usize) {
            let mut g = Graph::new();
            for scaling in [RopeScaling::None, yarn(1.0), yarn(1.25)] {
                let offset = "p".into();
                let angles = RotaryAngles { offset, scaling, ..RotaryAngles::new("n", "e", 1e4) };
                g.record("", angles, &[]).unwrap();
            }
            prove(&g, &[("n", n), ("e", 2 * pairs), ("p", p)]);
        }
    }

    #[test]
    fn an_angle_is_the_position_times_the_frequency_of_its_pair_and_stands_twice() {
        let (fast, slow) = (8.0_f64, 0.8_f64);
        let [c, d, s, t] = [fast.cos(), slow.cos(), fast.sin(), slow.sin()];
        let expected = [c, d, c, d, s, t, s, t];
        assert_abs_diff_eq!(at_eight(RopeScaling::None, 4)[..], expected[..], epsilon = 1e-12);
    }

    #[test]
    fn frequencies_are_scaled_and_the_attention_factor_multiplies() {
        let linear = at_eight(RopeScaling::Linear { factor: 4.0 }, 2);
        let (cos, sin) = (2.0_f64.cos(), 2.0_f64.sin());
        assert_abs_diff_eq!(linear[..], [cos, cos, sin, sin][..], epsilon = 1e-12);
        let stretched: Vec<f64> = at_eight(yarn(1.0), 4).iter().map(|x| 1.5 * x).collect();
        assert_abs_diff_eq!(at_eight(yarn(1.5), 4)[..], stretched[..], epsilon = 1e-12);
    }

    #[test]
    fn what_does_not_turn_is_refused() {
        let mut g = Graph::new();
        let mut refused = |angles| g.record("", angles, &[]).unwrap_err().problem.to_string();
        let odd = RotaryAngles::new("n", ("e", 3), 1e4);
        assert_eq!(refused(odd), "axis `e` is odd; rotation turns pairs");
        let plain = RotaryAngles::new("n", ("e", 4), 1e4);
        let scaling = RopeScaling::Linear { factor: 0.0 };
        let error = refused(RotaryAngles { scaling, ..plain });
        assert_eq!(error, "the factor of a rope scaling must be a positive number");
    }
}
