//! Which of several numbers comes first.

/// The order in which the foremost of several numbers are chosen; NaN is larger than every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The largest first, and so NaN before every number.
    Descending,
    /// The smallest first, and so NaN behind every number.
    Ascending,
}
