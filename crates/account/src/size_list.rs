//! The sizes that a symbol takes one after the other: as many as one likes, in the memory of their ranges.

use opledger_dims::Integer;

/// SizeList in an order, each worked out when it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeList {
    ranges: Vec<Range>,
}

/// How a range goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stride {
    /// By so much more.
    Add(Integer),
    /// By so many times as much.
    Times(Integer),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: Integer,
    step: Stride,
    length: usize,
}

impl Range {
    fn at(&self, index: usize) -> Integer {
        match &self.step {
            Stride::Add(by) => &self.first + by * Integer::from(index),
            // A range by factors is as long as its last size has digits in base 2, at most.
            Stride::Times(by) => &self.first * by.pow(u32::try_from(index).unwrap_or(u32::MAX)),
        }
    }
}

impl SizeList {
    /// The same and after them so many from `first` on.
    #[must_use]
    pub fn then(mut self, first: Integer, step: Stride, length: usize) -> Self {
        self.ranges.push(Range { first, step, length });
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|range| range.length).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size at a position.
    pub fn at(&self, mut index: usize) -> Option<Integer> {
        for range in &self.ranges {
            match index.checked_sub(range.length) {
                None => return Some(range.at(index)),
                Some(rest) => index = rest,
            }
        }
        None
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Integer> {
        self.ranges.iter().flat_map(|range| (0..range.length).map(|index| range.at(index)))
    }

    /// The first and the last of each range, among which are the least and the greatest.
    fn ends(&self) -> impl Iterator<Item = Integer> {
        let filled = self.ranges.iter().filter(|range| range.length > 0);
        filled.flat_map(|range| [range.at(0), range.at(range.length - 1)])
    }

    /// The least.
    pub fn min(&self) -> Option<Integer> {
        self.ends().min()
    }

    /// The greatest.
    pub fn max(&self) -> Option<Integer> {
        self.ends().max()
    }
}

impl FromIterator<Integer> for SizeList {
    fn from_iter<I: IntoIterator<Item = Integer>>(sizes: I) -> Self {
        let one = |sizes: SizeList, size| sizes.then(size, Stride::Add(Integer::from(0)), 1);
        sizes.into_iter().fold(SizeList::default(), one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_their_ranges() {
        let sizes = SizeList::default()
            .then(8.into(), Stride::Times(2.into()), 3)
            .then(3.into(), Stride::Add(2.into()), 2)
            .then(9.into(), Stride::Add(0.into()), 1);
        let all: Vec<String> = sizes.iter().map(|size| size.to_string()).collect();
        assert_eq!(all, ["8", "16", "32", "3", "5", "9"]);
        assert_eq!((sizes.len(), sizes.min(), sizes.max()), (6, Some(3.into()), Some(32.into())));
        let by_position: Vec<Integer> = (0..6).filter_map(|at| sizes.at(at)).collect();
        assert_eq!(by_position, sizes.iter().collect::<Vec<_>>());
        assert_eq!((sizes.at(6), SizeList::default().max()), (None, None));
        assert_eq!((sizes.is_empty(), SizeList::default().is_empty()), (false, true));
        assert_eq!(by_position.into_iter().collect::<SizeList>().iter().count(), 6);
    }
}
