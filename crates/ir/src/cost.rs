//! What operations cost, part by part, and the views that turn counts into one number.

use opledger_dims::{Binding, Class, Counts, EvalError, Integer, Poly, Quantity};

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
    /// Attention: scaled scores kept below a cap.
    SoftCap,
    /// Attention: scores plus a bias.
    Bias,
    /// Attention: softmax of the scores.
    Softmax,
    /// Attention: weights times values.
    Context,
    /// Executed alone: making numbers of a weight that is kept in blocks.
    Widening,
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
            Part::SoftCap => "soft cap",
            Part::Bias => "bias",
            Part::Softmax => "softmax",
            Part::Context => "context",
            Part::Widening => "widening",
            Part::Unforeseen => "unforeseen",
        }
    }
}

/// Counts by part, in the order in which parts were added: polynomials when derived, integers when
/// measured. No part occurs twice.
#[derive(Clone, Debug)]
pub struct PartCounts<N>(Vec<(Part, Counts<N>)>);

/// The derived cost of an operation.
pub type Cost = PartCounts<Poly>;

impl<N> PartCounts<N> {
    /// No operations at all.
    pub fn free() -> Self {
        PartCounts(Vec::new())
    }

    /// One part.
    pub fn of(part: Part, counts: Counts<N>) -> Self {
        PartCounts(vec![(part, counts)])
    }

    /// The parts that occur, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Part, &Counts<N>)> {
        self.0.iter().map(|(part, counts)| (*part, counts))
    }

    /// The parts that occur.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.0.iter().map(|(part, _)| *part)
    }

    /// The counts of one part, where it occurs.
    fn get(&self, part: Part) -> Option<&Counts<N>> {
        self.0.iter().find(|(own, _)| *own == part).map(|(_, counts)| counts)
    }

    /// Applies `f` to the counts of each part.
    pub fn map<M>(&self, mut f: impl FnMut(&Counts<N>) -> Counts<M>) -> PartCounts<M> {
        PartCounts(self.iter().map(|(part, counts)| (part, f(counts))).collect())
    }
}

impl<N> PartCounts<N>
where
    N: Clone + num_traits::Zero + for<'a> std::ops::AddAssign<&'a N>,
{
    /// The sum over the parts.
    pub fn total(&self) -> Counts<N> {
        self.0.iter().fold(Counts::zero(), |mut sum, (_, counts)| {
            sum += counts;
            sum
        })
    }

    /// The counts of one part, zero when it does not occur.
    pub fn part(&self, part: Part) -> Counts<N> {
        self.get(part).cloned().unwrap_or_else(Counts::zero)
    }

    /// A quantity of these operations; zero where it is not operations that are counted.
    pub fn quantity(&self, quantity: Quantity) -> N {
        let mut sum = N::zero();
        for (part, counts) in self.iter() {
            sum += &quantity.of_counts(counts, part.is_contraction());
        }
        sum
    }

    /// Multiply-accumulates: the multiplications inside contractions (the convention `macs`).
    pub fn macs(&self) -> N {
        self.quantity(Quantity::Macs)
    }

    /// All scalar operations, each worth one (the convention `flops`).
    pub fn flops(&self) -> N {
        self.quantity(Quantity::Flops)
    }

    /// Twice the macs (the convention `matmul-flops`).
    pub fn matmul_flops(&self) -> N {
        self.quantity(Quantity::MatmulFlops)
    }

    /// Adds `counts` to a part.
    pub fn add(&mut self, part: Part, counts: &Counts<N>) {
        match self.0.iter_mut().find(|(own, _)| *own == part) {
            Some((_, sum)) => *sum += counts,
            None => self.0.push((part, counts.clone())),
        }
    }

    /// Adds the counts of each part.
    pub fn add_all(&mut self, other: &PartCounts<N>) {
        for (part, counts) in other.iter() {
            self.add(part, counts);
        }
    }
}

impl<N: PartialEq> PartialEq for PartCounts<N> {
    /// Whether the same parts have the same counts, in whatever order.
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.iter().all(|(part, counts)| other.get(part) == Some(counts))
    }
}

impl<N: Eq> Eq for PartCounts<N> {}

impl<N> FromIterator<(Part, Counts<N>)> for PartCounts<N>
where
    N: Clone + num_traits::Zero + for<'a> std::ops::AddAssign<&'a N>,
{
    /// The counts of parts, those of equal parts added.
    fn from_iter<I: IntoIterator<Item = (Part, Counts<N>)>>(counts: I) -> Self {
        let mut all = PartCounts::free();
        for (part, counts) in counts {
            all.add(part, &counts);
        }
        all
    }
}

impl Cost {
    /// The exact counts at a binding.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn at(&self, binding: &Binding) -> Result<PartCounts<Integer>, EvalError> {
        let at = |(part, counts): (Part, &Counts<Poly>)| Ok((part, counts.at(binding)?));
        self.iter().map(at).collect()
    }
}

/// A dot product of `terms` terms, computed `times` times: `terms` multiplications and one addition
/// fewer, since the first product starts the sum.
pub(crate) fn dot(times: &Poly, terms: &Poly) -> Counts<Poly> {
    Counts::zero().with(Class::Mul, times * terms).with(Class::Add, times * (terms - &Poly::one()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_where_each_has_the_same_counts() {
        let of = |parts: &[(Part, u64)]| {
            let mut counts = PartCounts::free();
            for (part, n) in parts {
                counts.add(*part, &Counts::zero().with(Class::Add, *n));
            }
            counts
        };
        let (scores, bias) = (Part::Scores, Part::Bias);
        let both = of(&[(scores, 1), (bias, 2)]);
        assert_eq!(both, of(&[(bias, 2), (scores, 1)]));
        assert_eq!(both, of(&[(bias, 2), (scores, 0), (scores, 1)]));
        for other in
            [&[(scores, 1)][..], &[(scores, 2), (bias, 1)], &[(scores, 1), (Part::Scale, 2)]]
        {
            assert_ne!(both, of(other));
        }
    }
}
