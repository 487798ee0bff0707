//! The gradients of attention: what is given, and what is counted.

use opledger_dims::Class;

use crate::attention::{Attention, AttentionShape, Heads};
use crate::error::{KernelError, exactly};
use crate::meter::{Meter, Substitution, Tally};
use crate::number::Number;

/// Attention, of whose result the gradient is given. A bias, a soft cap and sinks have no such kernel.
#[derive(Clone, Copy, Debug)]
pub struct AttentionGradient<'a, T = f32> {
    /// The attention.
    pub of: Attention<'a, T>,
    /// The gradient of its result, `[batch, queries, heads, value_width]`.
    pub dy: Heads<'a, T>,
}

/// One meter per part; they may be the same.
#[derive(Debug)]
pub struct AttentionGradientMeters<'a, M> {
    /// The scores, computed again: per allowed pair and head, `key_width` mul and `key_width - 1` add.
    pub scores: &'a M,
    /// Their scale, one mul or div per allowed pair and head; the queries are multiplied instead.
    pub scale: &'a M,
    /// The softmax, computed again, as of [`AttentionMeters`](crate::AttentionMeters).
    pub softmax: &'a M,
    /// The four products: per allowed pair and head `value_width` mul and `value_width - 1` add for the
    /// gradients of the weights, `value_width` mul and add for those of values, `key_width` for those of
    /// queries and of keys. A row's first term joins nothing, nor does that of a key without a mask.
    pub products: &'a M,
    /// The gradients of scores: per allowed pair and head two add and two mul, but one add in each row, and
    /// one mul or div more with a scale.
    pub pointwise: &'a M,
}

/// What one task adds to each of the [`AttentionGradientMeters`].
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) scores: Tally,
    pub(super) scale: Tally,
    pub(super) softmax: Tally,
    pub(super) products: Tally,
    pub(super) pointwise: Tally,
}

impl Tallies {
    /// Counts what the pairs of some rows ask for, but for sums over all rows.
    pub(super) fn useful<T>(&mut self, of: &Attention<'_, T>, pairs: usize, rows: usize) {
        let AttentionShape { key_width, value_width, .. } = of.shape;
        let joined = pairs - rows;
        self.scores.useful(Class::Mul, pairs * key_width);
        self.scores.useful(Class::Add, pairs * (key_width - 1));
        if of.scale.is_some() {
            let (class, folded) = match of.divides {
                true => (Class::Div, Substitution::FoldedDivisor),
                false => (Class::Mul, Substitution::FoldedScale),
            };
            self.scale.useful(class, pairs);
            self.scale.substituted(folded, pairs);
            self.pointwise.useful(class, pairs);
            if of.divides {
                self.pointwise.substituted(Substitution::Reciprocal, pairs);
            }
        }
        self.softmax.useful(Class::Max, joined);
        self.softmax.useful(Class::Add, pairs + joined);
        self.softmax.useful(Class::Exp, pairs);
        self.softmax.useful(Class::Div, pairs);
        self.softmax.substituted(Substitution::Reciprocal, pairs);
        self.pointwise.useful(Class::Mul, 2 * pairs);
        self.pointwise.useful(Class::Add, pairs + joined);
        self.products.useful(Class::Mul, 2 * pairs * (key_width + value_width));
        let sums = pairs * (value_width - 1) + joined * key_width;
        self.products.useful(Class::Add, sums + pairs * (key_width + value_width));
    }

    pub(super) fn record<M: Meter>(&self, meters: &AttentionGradientMeters<'_, M>) {
        if M::ON {
            meters.scores.record(&self.scores);
            meters.scale.record(&self.scale);
            meters.softmax.record(&self.softmax);
            meters.products.record(&self.products);
            meters.pointwise.record(&self.pointwise);
        }
    }
}

impl<T: Number> AttentionGradient<'_, T> {
    pub(super) fn check(&self, [dq, dk, dv]: [&[T]; 3]) -> Result<(), KernelError> {
        let Attention { shape, q, k, v, mask, soft_cap, bias, sinks, .. } = &self.of;
        let AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width } =
            *shape;
        exactly("dq", dq.len(), &[batch, queries, heads, key_width])?;
        exactly("dk", dk.len(), &[batch, keys, kv_heads, key_width])?;
        exactly("dv", dv.len(), &[batch, keys, kv_heads, value_width])?;
        if soft_cap.is_some() || bias.is_some() || sinks.is_some() {
            return Err(KernelError::Shape { what: "scores have no bias, cap or sink" });
        }
        shape.check()?;
        if key_width == 0 || value_width == 0 {
            return Err(KernelError::EmptyReduction { what: "the width of a head" });
        }
        q.check("q", [batch, queries, heads, key_width])?;
        k.check("k", [batch, keys, kv_heads, key_width])?;
        v.check("v", [batch, keys, kv_heads, value_width])?;
        self.dy.check("dy", [batch, queries, heads, value_width])?;
        mask.check(shape)
    }
}
