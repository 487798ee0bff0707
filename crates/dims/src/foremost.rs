//! Which of several numbers comes first.

/// Which of several numbers is chosen first; NaN is larger than every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foremost {
    /// The largest, and NaN before every number.
    Largest,
    /// The smallest, and NaN behind every number.
    Smallest,
}
