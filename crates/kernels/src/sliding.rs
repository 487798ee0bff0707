//! Windows that slide along axes.

use std::ops::Range;

use crate::error::KernelError;

/// An axis along which a window slides: tap `k` of result `i` stands at
/// `stride·i + dilation·k - before` of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingAxis {
    /// Positions of the input.
    pub input: usize,
    /// Taps of the window.
    pub taps: usize,
    /// Results.
    pub results: usize,
    /// Positions from a result to the next.
    pub stride: usize,
    /// Positions of padding before the input.
    pub before: usize,
    /// Positions from a tap to the next.
    pub dilation: usize,
}

impl SlidingAxis {
    /// An axis of one position, which changes nothing.
    pub(crate) const ONE: SlidingAxis =
        SlidingAxis { input: 1, taps: 1, results: 1, stride: 1, before: 0, dilation: 1 };

    /// Three axes, those that are missing before the others.
    pub(crate) fn three(axes: &[SlidingAxis]) -> Result<[SlidingAxis; 3], KernelError> {
        if axes.is_empty() || axes.len() > 3 {
            return Err(KernelError::Shape { what: "a window slides along 1 to 3 axes" });
        }
        if axes.iter().any(|axis| axis.stride == 0 || axis.dilation == 0) {
            return Err(KernelError::Shape { what: "strides and dilations are at least 1" });
        }
        let mut three = [SlidingAxis::ONE; 3];
        three[3 - axes.len()..].copy_from_slice(axes);
        Ok(three)
    }

    /// The taps of a result that fall on the input.
    pub(crate) fn inside(&self, result: usize) -> Range<usize> {
        let first = result * self.stride;
        let start = self.before.saturating_sub(first).div_ceil(self.dilation);
        let end = (self.before + self.input).saturating_sub(first).div_ceil(self.dilation);
        let end = end.min(self.taps);
        start.min(end)..end
    }

    /// The results of which a tap falls on the input.
    pub(crate) fn reached(&self, tap: usize) -> Range<usize> {
        let first = tap * self.dilation;
        let start = self.before.saturating_sub(first).div_ceil(self.stride);
        let end = (self.before + self.input).saturating_sub(first).div_ceil(self.stride);
        let end = end.min(self.results);
        start.min(end)..end
    }

    /// How many taps of a result fall on the input and its padding, which goes on so many positions
    /// after the input.
    pub(crate) fn on_padded(&self, result: usize, after: usize) -> usize {
        let end = self.before + self.input + after;
        end.saturating_sub(result * self.stride).div_ceil(self.dilation).min(self.taps)
    }

    /// Where a tap of a result that falls on the input stands.
    pub(crate) fn place(&self, result: usize, tap: usize) -> usize {
        result * self.stride + tap * self.dilation - self.before
    }
}
