//! Which keys a query may see.

use std::borrow::Cow;
use std::ops::Range;

use super::AttentionShape;
use crate::error::{KernelError, exactly, reaches};
use crate::number::Number;

/// The pairs (query `i`, key `j`) that take part in attention; by default all of them.
///
/// A pair is allowed when every given part allows it. What a masked key holds, `NaN` included,
/// never reaches an output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mask<'a> {
    /// Query `i` sees keys `j <= i + causal_offset`.
    pub causal_offset: Option<i64>,
    /// Query `i` sees keys `j > i + offset - window`, where `offset` is `causal_offset` or zero.
    pub window: Option<usize>,
    /// Query `i` sees keys from the first of the chunk of `i + offset` on, keys being cut into chunks of so
    /// many; none where a chunk has none.
    pub chunk: Option<usize>,
    /// Truth values: zero hides.
    pub keep: Option<Keep<'a>>,
}

/// Truth values of a mask, zero where it hides.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// `[batch, keys]`: of a key, for every query and head of the batch item.
    Keys(&'a [i64]),
    /// Of each pair.
    Pairs(Pairs<'a>),
}

/// Truth values indexed by (batch item, head, query, key); keys are contiguous. Batch items and heads
/// that share a start share them.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// The slice that holds them.
    pub data: &'a [i64],
    /// Where each (batch item, head) starts, heads inner.
    pub starts: &'a [usize],
    /// Elements from a query to the next: zero where all queries see the same keys.
    pub query_stride: usize,
}

impl<'a> Pairs<'a> {
    fn check(&self, shape: &AttentionShape) -> Result<(), KernelError> {
        if Some(self.starts.len()) != shape.batch.checked_mul(shape.heads) {
            return Err(KernelError::Shape {
                what: "one start of the mask per batch item and head",
            });
        }
        let last = self.starts.iter().copied().max().unwrap_or(0);
        let axes = [(self.starts.len(), 0), (shape.queries, self.query_stride), (shape.keys, 1)];
        reaches("mask", self.data.len(), last, &axes)
    }

    /// The truth values of the keys of an item, where they are the same for all of its pairs.
    fn of_all(&self, queries: usize, keys: usize) -> Option<&'a [i64]> {
        let (first, heads) = self.starts.split_first()?;
        let same = heads.iter().all(|start| start == first);
        let one = queries == 1 || self.query_stride == 0;
        (same && one).then(|| &self.data[*first..][..keys])
    }

    fn row(&self, head: usize, query: usize, keys: usize) -> &'a [i64] {
        &self.data[self.starts[head] + query * self.query_stride..][..keys]
    }
}

impl<'a> Mask<'a> {
    /// Whether every pair is allowed.
    pub(crate) fn is_none(&self) -> bool {
        let Mask { causal_offset, window, chunk, keep } = self;
        causal_offset.is_none() && window.is_none() && chunk.is_none() && keep.is_none()
    }

    pub(crate) fn check(&self, shape: &AttentionShape) -> Result<(), KernelError> {
        match &self.keep {
            Some(Keep::Keys(keep)) => exactly("keep", keep.len(), &[shape.batch, shape.keys]),
            Some(Keep::Pairs(pairs)) => pairs.check(shape),
            None => Ok(()),
        }
    }

    /// The keys of a batch item that its queries may see.
    pub(crate) fn keys(&self, item: usize, shape: &AttentionShape) -> VisibleKeys<'a> {
        let &AttentionShape { heads, queries, keys, .. } = shape;
        let &Mask { causal_offset, window, chunk, keep } = self;
        let keep = keep.filter(|_| keys > 0 && queries > 0);
        let mut visible = VisibleKeys {
            causal_offset,
            window,
            chunk,
            keys,
            run: 0..keys,
            kept: None,
            pairs: None,
        };
        let of_all = match keep {
            None => None,
            Some(Keep::Keys(keep)) => Some(&keep[item * keys..][..keys]),
            Some(Keep::Pairs(pairs)) => {
                let pairs = Pairs { starts: &pairs.starts[item * heads..][..heads], ..pairs };
                let of_all = pairs.of_all(queries, keys);
                visible.pairs = of_all.is_none().then_some(pairs);
                of_all
            }
        };
        if let Some(keep) = of_all {
            visible.keeping(keep);
        }
        visible
    }
}

/// Vectors of `width` elements, `stride` apart.
pub(crate) struct Vectors<'a, T: Clone> {
    pub(crate) data: Cow<'a, [T]>,
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

/// The keys of one batch item that queries may see, numbered without gaps: the keys that a query sees
/// are then a range of these numbers, or, where pairs are hidden one by one, some of that range.
pub(crate) struct VisibleKeys<'a> {
    causal_offset: Option<i64>,
    window: Option<usize>,
    chunk: Option<usize>,
    keys: usize,
    /// The first and last keys that are kept.
    run: Range<usize>,
    kept: Option<Kept>,
    pairs: Option<Pairs<'a>>,
}

/// Kept keys with gaps between them.
struct Kept {
    /// The position of each kept key.
    index: Vec<usize>,
    /// How many keys are kept before each position.
    rank: Vec<usize>,
}

/// The positions from the first truth value that is not zero to the last.
fn filled(keep: &[i64]) -> Range<usize> {
    let first = keep.iter().position(|&k| k != 0).unwrap_or(0);
    first..keep.iter().rposition(|&k| k != 0).map_or(first, |last| last + 1)
}

impl<'a> VisibleKeys<'a> {
    /// Leaves keys out for all queries.
    fn keeping(&mut self, keep: &[i64]) {
        self.run = filled(keep);
        if keep[self.run.clone()].iter().all(|&k| k != 0) {
            return;
        }
        let mut rank = Vec::with_capacity(self.keys + 1);
        rank.push(0);
        for &k in keep {
            rank.push(rank[rank.len() - 1] + usize::from(k != 0));
        }
        let index = (0..self.keys).filter(|&j| keep[j] != 0).collect();
        self.kept = Some(Kept { index, rank });
    }

    /// The numbers of the keys that a query sees, from the first to the last.
    pub(crate) fn seen_by(&self, head: usize, query: usize) -> Range<usize> {
        // No slice is longer than `isize::MAX`.
        let clip = |edge: i64| edge.clamp(self.run.start as i64, self.run.end as i64) as usize;
        let end = (query as i64 + 1).saturating_add(self.causal_offset.unwrap_or(0));
        let high = if self.causal_offset.is_some() { clip(end) } else { self.run.end };
        let signed = |size| i64::try_from(size).unwrap_or(i64::MAX);
        let of_window = self.window.map(|window| end.saturating_sub(signed(window)));
        let of_chunk = self.chunk.map(|chunk| match signed(chunk) {
            0 => i64::MAX,
            chunk => end.saturating_sub(1).div_euclid(chunk).saturating_mul(chunk),
        });
        let start = of_window.max(of_chunk);
        let low = start.map_or(self.run.start, clip).min(high);
        match (&self.kept, self.row(head, query)) {
            (Some(kept), _) => kept.rank[low]..kept.rank[high],
            (None, Some(row)) => {
                let filled = filled(&row[low..high]);
                low + filled.start..low + filled.end
            }
            (None, None) => low..high,
        }
    }

    /// Truth values of the keys for a query of a head, where pairs are hidden one by one; numbers of
    /// keys are then their positions.
    pub(crate) fn row(&self, head: usize, query: usize) -> Option<&'a [i64]> {
        self.pairs.as_ref().map(|pairs| pairs.row(head, query, self.keys))
    }

    /// Whether pairs are hidden one by one.
    pub(crate) fn by_pairs(&self) -> bool {
        self.pairs.is_some()
    }

    /// The positions of a range of numbers, if they differ.
    pub(crate) fn positions(&self, numbers: Range<usize>) -> Option<&[usize]> {
        self.kept.as_ref().map(|kept| &kept.index[numbers])
    }

    /// Rows `numbers` of a key or value matrix of one head: in place, or gathered to be contiguous.
    pub(crate) fn rows<'d, T: Number>(
        &self,
        numbers: Range<usize>,
        data: &'d [T],
        stride: usize,
        width: usize,
    ) -> Vectors<'d, T> {
        match self.positions(numbers.clone()) {
            None => Vectors { data: Cow::Borrowed(&data[numbers.start * stride..]), stride, width },
            Some(positions) => {
                let mut rows = Vec::with_capacity(positions.len() * width);
                for &j in positions {
                    rows.extend_from_slice(&data[j * stride..][..width]);
                }
                Vectors { data: Cow::Owned(rows), stride: width, width }
            }
        }
    }

    /// How many keys have a number.
    pub(crate) fn count(&self) -> usize {
        self.kept.as_ref().map_or(self.run.end, |kept| kept.index.len())
    }

    /// The position of a key of a number.
    pub(crate) fn position(&self, number: usize) -> usize {
        self.kept.as_ref().map_or(number, |kept| kept.index[number])
    }

    /// Whether numbers are positions.
    pub(crate) fn all(&self) -> bool {
        self.kept.is_none()
    }
}

/// How many of some truth values are not zero.
pub(super) fn shown(row: &[i64]) -> usize {
    row.iter().filter(|&&k| k != 0).count()
}
