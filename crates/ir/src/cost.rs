//! What operations cost, part by part, and the views that turn counts into one number.

use opledger_dims::{Class, Counts, Poly};

/// A part of an operation whose count is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The sum of products of an `einsum`.
    Contraction,
    /// Anything that is no contraction.
    Pointwise,
    /// Attention: query times key.
    Scores,
    /// Attention: scores times a constant.
    Scale,
    /// Attention: scores plus a bias.
    Bias,
    /// Attention: softmax of the scores.
    Softmax,
    /// Attention: weights times values.
    Context,
    /// Counted by an interpreter in a part that the cost does not have.
    Unforeseen,
}

impl Part {
    /// Whether the multiplications of this part are multiply-accumulates.
    pub fn is_contraction(self) -> bool {
        matches!(self, Part::Contraction | Part::Scores | Part::Context)
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Part::Contraction => "contraction",
            Part::Pointwise => "pointwise",
            Part::Scores => "scores",
            Part::Scale => "scale",
            Part::Bias => "bias",
            Part::Softmax => "softmax",
            Part::Context => "context",
            Part::Unforeseen => "unforeseen",
        }
    }
}

/// Counts by part: polynomials when derived, integers when measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartCounts<N>(pub Vec<(Part, Counts<N>)>);

/// The derived cost of an operation.
pub type Cost = PartCounts<Poly>;

impl<N> PartCounts<N>
where
    N: Clone + num_traits::Zero + for<'a> std::ops::AddAssign<&'a N>,
{
    /// No operations at all.
    pub fn free() -> Self {
        PartCounts(Vec::new())
    }

    /// One part.
    pub fn of(part: Part, counts: Counts<N>) -> Self {
        PartCounts(vec![(part, counts)])
    }

    /// The sum over the parts.
    pub fn total(&self) -> Counts<N> {
        self.0.iter().fold(Counts::zero(), |mut sum, (_, counts)| {
            sum += counts;
            sum
        })
    }

    /// The counts of one part, zero when it does not occur.
    pub fn part(&self, part: Part) -> Counts<N> {
        self.0.iter().find(|(p, _)| *p == part).map_or_else(Counts::zero, |(_, c)| c.clone())
    }

    /// Multiply-accumulates: the multiplications inside contractions (the convention `macs`).
    pub fn macs(&self) -> N {
        let mut macs = N::zero();
        for (part, counts) in &self.0 {
            if part.is_contraction() {
                macs += &counts[Class::Mul];
            }
        }
        macs
    }

    /// Adds `counts` to a part.
    pub fn add(&mut self, part: Part, counts: &Counts<N>) {
        match self.0.iter_mut().find(|(p, _)| *p == part) {
            Some((_, sum)) => *sum += counts,
            None => self.0.push((part, counts.clone())),
        }
    }
}

/// A dot product of `terms` terms, computed `times` times: `terms` multiplications and one addition
/// fewer, since the first product starts the sum.
pub(crate) fn dot(times: &Poly, terms: &Poly) -> Counts<Poly> {
    Counts::zero().with(Class::Mul, times * terms).with(Class::Add, times * (terms - &Poly::one()))
}
