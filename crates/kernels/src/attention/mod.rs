//! Attention: fused in [`attention`], or as the chain [`masked_scores`], [`softmax`](crate::softmax()),
//! [`masked_context`] when the weights are wanted.

mod chain;
mod decode;
mod flash;
mod fused;
mod gradient;
mod mask;
mod online_softmax;
mod ranges;
mod row_loops;
mod score_tile;

pub use chain::{Context, Scores, masked_context, masked_scores};
pub use fused::attention;
pub use gradient::{AttentionGradient, AttentionGradientMeters, attention_gradient};
pub(crate) use mask::VisibleKeys;
pub use mask::{Keep, Mask, Pairs};
use mask::{Vectors, shown};
pub(crate) use row_loops::{count_finite, finite};

use std::borrow::Cow;

use opledger_dims::Class;

use crate::error::{KernelError, holds, reaches};
use crate::meter::{AttentionPart, Meter, Substitution, Tally};
use crate::number::Number;

/// Multiplications below which no other thread is started.
const SERIAL: usize = 1 << 17;

/// The sizes of an attention problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Batch items.
    pub batch: usize,
    /// Queries of each item.
    pub queries: usize,
    /// Keys, and values, of each item.
    pub keys: usize,
    /// Heads of the queries and of the output.
    pub heads: usize,
    /// Heads of the keys and values, a divisor of `heads`: query head `h` uses number
    /// `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Width of a query and of a key in one head.
    pub key_width: usize,
    /// Width of a value and of an output in one head.
    pub value_width: usize,
}

impl AttentionShape {
    /// Whether no query exists.
    fn no_rows(&self) -> bool {
        self.batch == 0 || self.queries == 0 || self.heads == 0
    }

    fn check(&self) -> Result<(), KernelError> {
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return Err(KernelError::Shape { what: "kv_heads divides heads" });
        }
        Ok(())
    }

    /// Pairs of a query and a key, over all heads.
    fn pairs(&self) -> usize {
        let rows = [self.batch, self.heads, self.queries];
        rows.iter().fold(self.keys, |pairs, &size| pairs.saturating_mul(size))
    }

    /// Query heads of a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn kv_head(&self, head: usize) -> usize {
        head / self.group()
    }
}

/// Vectors indexed by (batch item, token, head), each contiguous, no two of them sharing elements.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a, T = f32> {
    /// The slice that holds them.
    pub data: &'a [T],
    /// Elements from a batch item to the next.
    pub batch_stride: usize,
    /// Elements from a token to the next.
    pub token_stride: usize,
    /// Elements from a head to the next.
    pub head_stride: usize,
}

impl<'a, T: Number> Heads<'a, T> {
    /// A contiguous `[batch, tokens, heads, width]`.
    pub fn contiguous(data: &'a [T], tokens: usize, heads: usize, width: usize) -> Self {
        // Strides that overflow are refused with the sizes they come from.
        let token_stride = heads.saturating_mul(width);
        let batch_stride = tokens.saturating_mul(token_stride);
        Heads { data, batch_stride, token_stride, head_stride: width }
    }

    /// The vectors of one head of one item, from its first token on.
    fn of(&self, item: usize, head: usize) -> &'a [T] {
        let [item, head] = [(item, self.batch_stride), (head, self.head_stride)]
            .map(|(i, by)| i.saturating_mul(by));
        self.data.get(item.saturating_add(head)..).unwrap_or(&[])
    }

    /// The same from a later token on.
    fn from(&self, item: usize, head: usize, token: usize, width: usize) -> Vectors<'a, T> {
        let data = &self.of(item, head)[token * self.token_stride..];
        Vectors { data: Cow::Borrowed(data), stride: self.token_stride, width }
    }

    fn check(
        &self,
        what: &'static str,
        [batch, tokens, heads, width]: [usize; 4],
    ) -> Result<(), KernelError> {
        let axes = [
            (batch, self.batch_stride),
            (tokens, self.token_stride),
            (heads, self.head_stride),
            (width, 1),
        ];
        reaches(what, self.data.len(), 0, &axes)?;
        holds(what, self.data.len(), &[batch, tokens, heads, width])
    }
}

/// A term added to the scores, indexed by (batch item, head, query, key); keys are contiguous. Batch
/// items and heads that share a start share the term.
#[derive(Clone, Copy, Debug)]
pub struct Bias<'a, T = f32> {
    /// The slice that holds it.
    pub data: &'a [T],
    /// Where each (batch item, head) starts, heads inner.
    pub starts: &'a [usize],
    /// Elements from a query to the next.
    pub query_stride: usize,
}

impl<'a, T: Number> Bias<'a, T> {
    fn check(&self, shape: &AttentionShape) -> Result<(), KernelError> {
        if Some(self.starts.len()) != shape.batch.checked_mul(shape.heads) {
            return Err(KernelError::Shape {
                what: "one start of the bias per batch item and head",
            });
        }
        let last = self.starts.iter().copied().max().unwrap_or(0);
        reaches(
            "bias",
            self.data.len(),
            last,
            &[(shape.queries, self.query_stride), (shape.keys, 1)],
        )
    }

    /// The terms of one query; `matrix` is `item·heads + head`.
    fn row(&self, matrix: usize, query: usize, keys: usize) -> &'a [T] {
        &self.data[self.starts[matrix] + query * self.query_stride..][..keys]
    }
}

/// Attention of queries `[batch, queries, heads, key_width]` over keys
/// `[batch, keys, kv_heads, key_width]` and values `[batch, keys, kv_heads, value_width]`.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T = f32> {
    /// The sizes.
    pub shape: AttentionShape,
    /// The queries.
    pub q: Heads<'a, T>,
    /// The keys.
    pub k: Heads<'a, T>,
    /// The values.
    pub v: Heads<'a, T>,
    /// The allowed pairs.
    pub mask: Mask<'a>,
    /// Keeps scaled scores below it, above its negative: `c·tanh(score / c)`.
    pub soft_cap: Option<f32>,
    /// Added to the scores then. A number beyond ±2.358·10³⁸ (the greatest float over log₂e, scores
    /// being powers of two) counts as that; only `-∞` is `-∞`.
    pub bias: Option<Bias<'a, T>>,
    /// Multiplies the scores; `None` multiplies and counts nothing.
    pub scale: Option<f32>,
    /// Whether by definition the scores are divided by the inverse of the scale.
    pub divides: bool,
    /// A number for each head that joins the softmax of its rows as one more score and weighs no value.
    /// It counts in powers of two as a bias does.
    pub sinks: Option<&'a [T]>,
}

impl<T> Attention<'_, T> {
    /// What the queries are multiplied with: scores are then in powers of two, or, where they have a cap,
    /// in multiples of it.
    fn factor(&self) -> f32 {
        let scale = self.scale.unwrap_or(1.0);
        self.soft_cap.map_or(scale * std::f32::consts::LOG2_E, |cap| scale / cap)
    }

    /// What that is for: without a scale for the cap or the exponentials alone.
    fn scaling(&self) -> AttentionPart {
        match (self.scale, self.soft_cap) {
            (Some(_), _) => AttentionPart::Scale,
            (None, Some(_)) => AttentionPart::SoftCap,
            (None, None) => AttentionPart::Softmax,
        }
    }

    /// The cap in powers of two, by which what it bounds is multiplied.
    fn cap(&self) -> Option<f32> {
        self.soft_cap.map(|cap| cap * std::f32::consts::LOG2_E)
    }
}

/// One meter per part of attention; they may be the same.
#[derive(Debug)]
pub struct AttentionMeters<'a, M> {
    /// Products of queries and keys: per allowed pair and head, `key_width` mul and
    /// `key_width - 1` add.
    pub scores: &'a M,
    /// One mul, or one div, per allowed pair and head, when there is a scale; fused attention multiplies the
    /// queries instead.
    pub scale: &'a M,
    /// A div, a tanh and a mul per allowed pair and head, when there is a soft cap; the queries are
    /// divided instead of the scores.
    pub soft_cap: &'a M,
    /// One add per allowed pair and head, when there is a bias.
    pub bias: &'a M,
    /// As [`softmax`](crate::softmax()) over the allowed keys of each row; with sinks a max, two add and an
    /// exp more for each row that sees a key.
    pub softmax: &'a M,
    /// Products of weights and values: per row with `k` allowed keys, `k·value_width` mul and
    /// `(k - 1)·value_width` add.
    pub context: &'a M,
}

impl<M> Clone for AttentionMeters<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for AttentionMeters<'_, M> {}

/// What one task adds to each of the [`AttentionMeters`].
#[derive(Default)]
struct AttentionTallies {
    scores: Tally,
    scale: Tally,
    soft_cap: Tally,
    bias: Tally,
    softmax: Tally,
    context: Tally,
}

impl AttentionTallies {
    /// Counts what attention asks for: its pairs, and its pairs but the first of each row.
    fn useful<T>(&mut self, problem: &Attention<'_, T>, pairs: usize, joined: usize) {
        let AttentionShape { key_width, value_width, .. } = problem.shape;
        self.scores.useful(Class::Mul, pairs * key_width);
        self.scores.useful(Class::Add, pairs * (key_width - 1));
        if problem.scale.is_some() {
            let (class, folded) = match problem.divides {
                true => (Class::Div, Substitution::FoldedDivisor),
                false => (Class::Mul, Substitution::FoldedScale),
            };
            self.scale.useful(class, pairs);
            self.scale.substituted(folded, pairs);
        }
        if problem.soft_cap.is_some() {
            self.soft_cap.useful(Class::Div, pairs);
            self.soft_cap.substituted(Substitution::FoldedCap, pairs);
            self.soft_cap.useful(Class::Tanh, pairs);
            self.soft_cap.useful(Class::Mul, pairs);
        }
        if problem.bias.is_some() {
            self.bias.useful(Class::Add, pairs);
        }
        if problem.sinks.is_some() {
            self.softmax.useful(Class::Max, pairs - joined);
            self.softmax.useful(Class::Add, 2 * (pairs - joined));
            self.softmax.useful(Class::Exp, pairs - joined);
        }
        self.softmax.useful(Class::Max, joined);
        self.softmax.useful(Class::Add, pairs + joined);
        self.softmax.useful(Class::Exp, pairs);
        self.softmax.useful(Class::Div, pairs);
        self.softmax.substituted(Substitution::Reciprocal, pairs);
        self.context.useful(Class::Mul, pairs * value_width);
        self.context.useful(Class::Add, joined * value_width);
    }

    /// Counts the multiplications of so many elements of queries.
    fn scaled<T>(&mut self, problem: &Attention<'_, T>, elements: usize) {
        let part = match problem.scaling() {
            AttentionPart::Scale => &mut self.scale,
            AttentionPart::SoftCap => &mut self.soft_cap,
            AttentionPart::Scores
            | AttentionPart::Bias
            | AttentionPart::Softmax
            | AttentionPart::Context
            | AttentionPart::Products
            | AttentionPart::Pointwise => &mut self.softmax,
        };
        part.executed(Class::Mul, elements);
    }

    fn record<M: Meter>(&self, meters: &AttentionMeters<'_, M>) {
        if M::ON {
            meters.scores.record(&self.scores);
            meters.scale.record(&self.scale);
            meters.soft_cap.record(&self.soft_cap);
            meters.bias.record(&self.bias);
            meters.softmax.record(&self.softmax);
            meters.context.record(&self.context);
        }
    }
}
