//! Which query may see which key, and how many pairs that leaves.

use std::ops::Range;

use num_traits::{One, Zero};
use opledger_dims::{Integer, Poly, Symbol};
use opledger_tensor::Tensor;

use crate::value::{indices, strides};
use crate::{Axis, Call, OpError, Shape};

/// Which keys a query may see, as an operation says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskRule {
    /// Causal: query `i` sees keys `j <= i + offset`.
    pub offset: Option<Poly>,
    /// Sliding window, with `offset` only: of those, the last `window` keys.
    pub window: Option<Poly>,
    /// Whether the last operand is a tensor of 0 (hidden) and 1 (visible). Its last axis is the keys; the
    /// others are some of those of batch, heads and queries, by name: `[batch…, keys]` hides keys, one with
    /// the queries among its axes any pair.
    pub keep: bool,
}

impl MaskRule {
    /// Whether every pair is allowed.
    pub fn is_none(&self) -> bool {
        *self == MaskRule::default()
    }

    /// The sizes it is made of.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = &Poly> {
        self.offset.iter().chain(&self.window)
    }

    /// The band of keys at the binding of a call.
    ///
    /// # Errors
    /// When a size is unbound or does not fit the machine.
    pub fn band<T>(&self, call: &Call<'_, T>) -> Result<Band, OpError> {
        let size = |p: &Option<Poly>| p.as_ref().map(|p| signed(&p.at(call.binding)?)).transpose();
        Ok(Band { offset: size(&self.offset)?, window: size(&self.window)? })
    }
}

fn signed(value: &Integer) -> Result<i64, OpError> {
    i64::try_from(value).map_err(|_| OpError::TooLarge(value.to_string()))
}

/// A mask's rule on positions, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Query `i` sees keys `j <= i + offset`; `None` sees all.
    pub offset: Option<i64>,
    /// Of those, the last `window`.
    pub window: Option<i64>,
}

impl Band {
    /// Whether query `i` may see key `j`.
    pub fn allows(&self, i: usize, j: usize) -> bool {
        self.keys(i, j + 1).contains(&j)
    }

    /// The keys that query `i` may see among `keys`.
    pub fn keys(&self, i: usize, keys: usize) -> Range<usize> {
        let Some(offset) = self.offset else { return 0..keys };
        let end = (i as i64).saturating_add(offset).saturating_add(1);
        let start = self.window.map_or(0, |w| end.saturating_sub(w));
        let clip = |x: i64| x.clamp(0, keys as i64) as usize;
        clip(start)..clip(end)
    }
}

/// For every place of some axes, where it starts in a tensor whose first axes, `named`, may be among them.
pub(crate) fn starts(axes: &[(&Symbol, usize)], named: &[Axis], strides: &[usize]) -> Vec<usize> {
    let stride =
        |name: &Symbol| named.iter().position(|axis| axis.name == *name).map(|at| strides[at]);
    let along: Vec<usize> = axes.iter().map(|(name, _)| stride(name).unwrap_or(0)).collect();
    let sizes: Vec<usize> = axes.iter().map(|(_, size)| *size).collect();
    indices(&sizes).map(|i| i.iter().zip(&along).map(|(i, s)| i * s).sum()).collect()
}

/// How a mask tensor is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepLayout {
    /// Where each (batch item, head) starts.
    pub starts: Vec<usize>,
    /// Elements from a query to the next: zero where all queries see the same keys.
    pub query_stride: usize,
}

impl KeepLayout {
    /// Of a tensor of a shape and sizes, for the axes of batch and heads and that of the queries.
    pub(crate) fn new(
        (shape, sizes): (&Shape, &[usize]),
        matrices: &[(&Symbol, usize)],
        query: &Symbol,
    ) -> Self {
        let own = strides(sizes);
        let named = &shape.axes[..shape.axes.len().saturating_sub(1)];
        let query = named.iter().position(|axis| axis.name == *query);
        let query_stride = query.map_or(0, |at| own[at]);
        KeepLayout { starts: starts(matrices, named, &own), query_stride }
    }
}

/// Pairs and rows that a mask tensor leaves, by looking at every pair: `query` is the axis of the queries;
/// a tensor without one stands for so many queries.
pub(crate) fn kept_support(
    keep: &Tensor<i64>,
    query: Option<usize>,
    queries: usize,
    band: Band,
) -> (u64, u64) {
    let [outer @ .., keys] = keep.shape() else { return (0, 0) };
    let (mut pairs, mut rows) = (0, 0);
    let mut look = |row: &[i64], query: usize| {
        let seen = row[band.keys(query, *keys)].iter().filter(|k| **k != 0).count();
        pairs += seen as u64;
        rows += u64::from(seen > 0);
    };
    for (at, row) in keep.data().chunks((*keys).max(1)).enumerate() {
        match query {
            Some(axis) => {
                let inner: usize = outer[axis + 1..].iter().product();
                look(row, at / inner % outer[axis]);
            }
            None => (0..queries).for_each(|query| look(row, query)),
        }
    }
    (pairs, rows)
}

/// The domain of a masked operation: how many (batch, head, query, key) pairs the mask allows, and
/// how many (batch, head, query) rows have at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// Allowed pairs.
    pub pairs: Poly,
    /// Rows that see a key.
    pub rows: Poly,
}

/// Pairs and rows of a band over `queries` × `keys`, in closed form.
///
/// Query `i` sees keys `max(0, i+o+1-w) .. min(m, i+o+1)`, so the number of pairs is a difference of
/// two sums of clamped arithmetic progressions.
pub(crate) fn band_support(
    queries: &Integer,
    keys: &Integer,
    offset: &Integer,
    window: Option<&Integer>,
) -> (Integer, Integer) {
    let zero = Integer::zero();
    // Sum of clamp(x, 0, keys) over all x below `end`.
    let sum_below = |end: &Integer| -> Integer {
        let ramp = (end.clone().min(keys + 1u32)).max(zero.clone());
        let flat = (end - keys - 1u32).max(zero.clone());
        (&ramp * (&ramp - 1u32)) / 2u32 + flat * keys
    };
    let clamped_sum = |start: &Integer| sum_below(&(start + queries)) - sum_below(start);
    let end = offset + Integer::one();
    let pairs = clamped_sum(&end) - window.map_or_else(Integer::zero, |w| clamped_sum(&(&end - w)));
    let first = (-offset).max(zero.clone());
    let last = window.map_or_else(|| queries.clone(), |w| (keys + w - &end).min(queries.clone()));
    let rows = if keys.is_zero() { zero } else { (last - first).max(zero) };
    (pairs, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form_counts_what_the_band_allows() {
        for queries in 0..7 {
            for keys in 0..7_usize {
                for offset in -4_i64..6 {
                    for window in [None, Some(1_i64), Some(2), Some(4), Some(9)] {
                        let band = Band { offset: Some(offset), window };
                        let lengths = (0..queries).map(|i| band.keys(i, keys).len());
                        let pairs: usize = lengths.clone().sum();
                        let rows = lengths.filter(|l| *l > 0).count();
                        let window = window.map(Integer::from);
                        let closed = band_support(
                            &queries.into(),
                            &keys.into(),
                            &offset.into(),
                            window.as_ref(),
                        );
                        assert_eq!(
                            closed,
                            (pairs.into(), rows.into()),
                            "{queries} {keys} {offset} {window:?}"
                        );
                    }
                }
            }
        }
    }
}
