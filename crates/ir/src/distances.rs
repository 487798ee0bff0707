//! How the distance between two tokens becomes a row of a table, or the coordinates that one is made of.

/// DistanceBuckets of one direction: how many, how many of them hold a single distance, and the distance
/// from which all share the last.
#[derive(Clone, Copy)]
pub(crate) struct DistanceBuckets {
    pub(crate) all: usize,
    pub(crate) exact: usize,
    max_distance: usize,
}

impl DistanceBuckets {
    pub(crate) fn new(bidirectional: bool, buckets: usize, max_distance: usize) -> Self {
        let all = if bidirectional { buckets / 2 } else { buckets };
        DistanceBuckets { all, exact: all / 2, max_distance }
    }

    /// The bucket of a distance, rounded as in the authors' code: the logarithm and all that follows
    /// it in single precision, the divisor found in double precision.
    pub(crate) fn of(self, distance: usize) -> usize {
        let DistanceBuckets { all, exact, max_distance } = self;
        if distance < exact {
            return distance;
        }
        let range = (max_distance as f64 / exact as f64).ln() as f32;
        let share = (distance as f32 / exact as f32).ln() / range * (all - exact) as f32;
        (exact + share as usize).min(all - 1)
    }
}

/// The row of a distance of a query from a key, in single precision as in the authors' code.
pub(crate) fn distance_row(distance: i64, span: usize, max_distance: Option<usize>) -> i64 {
    let (middle, magnitude) = (span / 2, distance.unsigned_abs());
    let shared = match max_distance {
        Some(most) if magnitude > middle as u64 => {
            let range = (((most - 1) as f64 / middle as f64) as f32).ln();
            let share = (magnitude as f32 / middle as f32).ln() / range;
            distance.signum() * ((share * (middle - 1) as f32).ceil() as i64 + middle as i64)
        }
        Some(_) | None => distance,
    };
    (shared + span as i64).clamp(0, 2 * span as i64 - 1)
}

/// A displacement as a coordinate that grows as its logarithm, where `reach` is the farthest one that a window
/// has: sign(d)·log₂(1 + 8·|d| / reach) / log₂ 8.
pub(crate) fn log_coordinate(displacement: i64, reach: usize) -> f64 {
    let share = 8.0 * displacement.unsigned_abs() as f64 / reach.max(1) as f64;
    displacement.signum() as f64 * (share + 1.0).log2() / 3.0
}
