//! Ranges of keys that queries see.

use std::ops::Range;

/// The smallest range that holds all non-empty ones.
pub(super) fn hull(ranges: &[Range<usize>]) -> Range<usize> {
    let filled = || ranges.iter().filter(|range| !range.is_empty());
    let start = filled().map(|range| range.start).min().unwrap_or(0);
    start..filled().map(|range| range.end).max().unwrap_or(start)
}

/// What all ranges have in common.
pub(super) fn common(ranges: &[Range<usize>]) -> Range<usize> {
    let start = ranges.iter().map(|range| range.start).max().unwrap_or(0);
    start..ranges.iter().map(|range| range.end).min().unwrap_or(start).max(start)
}

/// The part of a range inside `keys`, relative to its start.
pub(super) fn clip(range: &Range<usize>, keys: &Range<usize>) -> Range<usize> {
    let start = range.start.max(keys.start);
    let end = range.end.min(keys.end);
    if start < end { start - keys.start..end - keys.start } else { 0..0 }
}
