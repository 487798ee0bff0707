//! Which query may see which key, and how many pairs that leaves.

use std::ops::Range;

use num_traits::{One, Zero};
use opledger_dims::{Binding, Integer, Poly, Symbol};
use opledger_tensor::Tensor;

use crate::value::{indices, strides};
use crate::{Axis, Call, OpError, Shape};

/// How far back a query sees, of the keys up to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<N> {
    /// So many keys, a sliding window (Beltagy et al. 2020, §3.1).
    Window(N),
    /// Those in the chunk of its last, keys being cut into chunks of so many from the first on (Llama 4).
    Chunk(N),
}

impl<N> Reach<N> {
    /// How many keys a query sees at most.
    pub fn most(&self) -> &N {
        match self {
            Reach::Window(keys) | Reach::Chunk(keys) => keys,
        }
    }

    /// The same with another size.
    pub fn map<M>(&self, size: impl FnOnce(&N) -> M) -> Reach<M> {
        match self {
            Reach::Window(keys) => Reach::Window(size(keys)),
            Reach::Chunk(keys) => Reach::Chunk(size(keys)),
        }
    }
}

impl<N, E> Reach<Result<N, E>> {
    /// The same where its size has a value.
    ///
    /// # Errors
    /// That of the size.
    pub fn transpose(self) -> Result<Reach<N>, E> {
        Ok(match self {
            Reach::Window(keys) => Reach::Window(keys?),
            Reach::Chunk(keys) => Reach::Chunk(keys?),
        })
    }
}

/// Which keys a query may see, as an operation says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskRule {
    /// Causal: query `i` sees keys `j <= i + offset`.
    pub offset: Option<Poly>,
    /// With `offset` only: of those, the last so many, or those of one chunk.
    pub reach: Option<Reach<Poly>>,
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
        self.offset.iter().chain(self.reach.as_ref().map(Reach::most))
    }

    /// The band of keys at the binding of a call.
    ///
    /// # Errors
    /// When a size is unbound or does not fit the machine.
    pub fn band<T>(&self, call: &Call<'_, T>) -> Result<Band, OpError> {
        Band::at((&self.offset, &self.reach), call.binding)
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
    /// Of those, the last so many, or those of one chunk.
    pub reach: Option<Reach<i64>>,
}

impl Band {
    /// An offset and a reach in numbers.
    pub(crate) fn at(
        (offset, reach): (&Option<Poly>, &Option<Reach<Poly>>),
        binding: &Binding,
    ) -> Result<Band, OpError> {
        let size = |size: &Poly| signed(&size.at(binding)?);
        Ok(Band {
            offset: offset.as_ref().map(size).transpose()?,
            reach: reach.as_ref().map(|reach| reach.map(size).transpose()).transpose()?,
        })
    }

    /// Whether query `i` may see key `j`.
    pub fn allows(&self, i: usize, j: usize) -> bool {
        self.keys(i, j + 1).contains(&j)
    }

    /// The keys that query `i` may see among `keys`.
    pub fn keys(&self, i: usize, keys: usize) -> Range<usize> {
        let Some(offset) = self.offset else { return 0..keys };
        let end = (i as i64).saturating_add(offset).saturating_add(1);
        let start = match self.reach {
            None => 0,
            Some(Reach::Window(window)) => end.saturating_sub(window),
            Some(Reach::Chunk(chunk)) if chunk > 0 => {
                end.saturating_sub(1).div_euclid(chunk).saturating_mul(chunk)
            }
            Some(Reach::Chunk(_)) => end,
        };
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
pub(crate) fn band_support(
    queries: &Integer,
    keys: &Integer,
    offset: &Integer,
    reach: Option<&Reach<Integer>>,
) -> (Integer, Integer) {
    match reach {
        None => window_support(queries, keys, offset, None),
        Some(Reach::Window(window)) => window_support(queries, keys, offset, Some(window)),
        Some(Reach::Chunk(chunk)) => chunk_support(queries, keys, offset, chunk),
    }
}

/// The same of chunks of `c` keys.
///
/// A query whose last key is `t = i + o` sees `t mod c + 1` keys; past the last key, those of the last chunk
/// up to its end, none after it. Of the queries with `0 ≤ t < c·q + r`, full chunks of them see
/// `q·c·(c + 1)/2` pairs, the others `r·(r + 1)/2`.
fn chunk_support(
    queries: &Integer,
    keys: &Integer,
    offset: &Integer,
    chunk: &Integer,
) -> (Integer, Integer) {
    let zero = Integer::zero();
    if *chunk <= zero || keys.is_zero() {
        return (zero.clone(), zero);
    }
    let before_last = (keys - 1u32) / chunk * chunk;
    let (end, in_last) = (&before_last + chunk, keys - &before_last);
    let clamp = |t: Integer| t.max(zero.clone()).min(end.clone());
    let triangle = |n: &Integer| n * (n + 1u32) / 2u32;
    let pairs_before = |t: &Integer| {
        let own = t.clone().min(keys.clone());
        let (full, rest) = (&own / chunk, &own % chunk);
        full * triangle(chunk) + triangle(&rest) + (t - own) * &in_last
    };
    let (first, last) = (clamp(offset.clone()), clamp(offset + queries));
    (pairs_before(&last) - pairs_before(&first), last - first)
}

/// The same of a window.
///
/// Query `i` sees keys `max(0, i+o+1-w) .. min(m, i+o+1)`, so the number of pairs is a difference of
/// two sums of clamped arithmetic progressions.
fn window_support(
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
                    let windows = [1, 2, 4, 9].map(|size| Some(Reach::Window(size)));
                    let chunks = [0, 1, 2, 3, 4, 9].map(|size| Some(Reach::Chunk(size)));
                    for reach in [None].into_iter().chain(windows).chain(chunks) {
                        let band = Band { offset: Some(offset), reach };
                        let lengths = (0..queries).map(|i| band.keys(i, keys).len());
                        let pairs: usize = lengths.clone().sum();
                        let rows = lengths.filter(|l| *l > 0).count();
                        let reach = reach.map(|reach| reach.map(|size: &i64| (*size).into()));
                        let closed = band_support(
                            &queries.into(),
                            &keys.into(),
                            &offset.into(),
                            reach.as_ref(),
                        );
                        assert_eq!(
                            closed,
                            (pairs.into(), rows.into()),
                            "{queries} {keys} {offset} {reach:?}"
                        );
                    }
                }
            }
        }
    }
}
