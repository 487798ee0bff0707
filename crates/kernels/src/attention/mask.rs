//! Which keys a query may see.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{KernelError, exactly};
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
    /// `[batch, keys]`: zero masks the key for every query of the batch item.
    pub keep: Option<&'a [i64]>,
}

impl<'a> Mask<'a> {
    pub(crate) fn check(&self, batch: usize, keys: usize) -> Result<(), KernelError> {
        match self.keep {
            Some(keep) => exactly("keep", keep.len(), &[batch, keys]),
            None => Ok(()),
        }
    }

    /// The keys of a batch item that are kept.
    pub(crate) fn keys(&self, item: usize, keys: usize) -> VisibleKeys {
        let kept = self.keep.and_then(|keep| {
            let keep = &keep[item * keys..][..keys];
            if keep.iter().all(|&k| k != 0) {
                return None;
            }
            let index: Vec<usize> = (0..keys).filter(|&j| keep[j] != 0).collect();
            let mut rank = Vec::with_capacity(keys + 1);
            rank.push(0);
            for &k in keep {
                rank.push(rank[rank.len() - 1] + usize::from(k != 0));
            }
            Some(Kept { index, rank })
        });
        VisibleKeys { causal_offset: self.causal_offset, window: self.window, keys, kept }
    }
}

/// Vectors of `width` elements, `stride` apart.
pub(crate) struct Vectors<'a, T: Clone> {
    pub(crate) data: Cow<'a, [T]>,
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

/// The kept keys of one batch item, numbered without gaps: the keys that a query sees are then a
/// range of these numbers.
pub(crate) struct VisibleKeys {
    causal_offset: Option<i64>,
    window: Option<usize>,
    keys: usize,
    kept: Option<Kept>,
}

struct Kept {
    /// The position of each kept key.
    index: Vec<usize>,
    /// How many keys are kept before each position.
    rank: Vec<usize>,
}

impl VisibleKeys {
    /// The numbers of the keys that a query sees.
    pub(crate) fn seen_by(&self, query: usize) -> Range<usize> {
        // No slice is longer than `isize::MAX`.
        let clip = |edge: i64| edge.clamp(0, self.keys as i64) as usize;
        let end = (query as i64 + 1).saturating_add(self.causal_offset.unwrap_or(0));
        let high = if self.causal_offset.is_some() { clip(end) } else { self.keys };
        let start = |window| end.saturating_sub(i64::try_from(window).unwrap_or(i64::MAX));
        let low = self.window.map_or(0, |window| clip(start(window))).min(high);
        match &self.kept {
            Some(kept) => kept.rank[low]..kept.rank[high],
            None => low..high,
        }
    }

    /// The positions of a range of numbers, if they differ.
    pub(crate) fn positions(&self, numbers: Range<usize>) -> Option<&[usize]> {
        self.kept.as_ref().map(|kept| &kept.index[numbers])
    }

    /// Rows `numbers` of a key or value matrix of one head: in place, or gathered to be contiguous.
    pub(crate) fn rows<'a, T: Number>(
        &self,
        numbers: Range<usize>,
        data: &'a [T],
        stride: usize,
        width: usize,
    ) -> Vectors<'a, T> {
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

    /// How many keys are kept.
    pub(crate) fn count(&self) -> usize {
        self.kept.as_ref().map_or(self.keys, |kept| kept.index.len())
    }

    /// The position of a key of a number.
    pub(crate) fn position(&self, number: usize) -> usize {
        self.kept.as_ref().map_or(number, |kept| kept.index[number])
    }

    /// Whether no key is left out.
    pub(crate) fn all(&self) -> bool {
        self.kept.is_none()
    }
}
