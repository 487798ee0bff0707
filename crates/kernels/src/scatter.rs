//! Writing elements at their places, and joining them with what is there.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::meter::{Meter, Tally};
use crate::number::Number;

/// What becomes of a number at whose place another arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// The other takes its place.
    Write,
    /// Both are added: one add.
    Add,
    /// Both are multiplied: one mul.
    Mul,
    /// The larger of both takes its place, NaN before every number: one max. Executed are two, as NaN is
    /// looked for in the other.
    Max,
}

/// Writes each of `values` to its place in `out`, in their order, or joins it with what is there.
///
/// # Errors
/// [`KernelError::Length`] if there are not as many places; [`KernelError::IdOutOfRange`] for the first
/// that `out` does not have.
pub fn scatter<T: Number, M: Meter>(
    values: &[T],
    places: &[usize],
    meeting: Meeting,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("places", places.len(), &[values.len()])?;
    if let Some(position) = places.iter().position(|place| *place >= out.len()) {
        let id = places[position] as i64;
        return Err(KernelError::IdOutOfRange { id, position, bound: out.len() });
    }
    let pairs = values.iter().copied().zip(places.iter().copied());
    let mut tally = Tally::default();
    match meeting {
        Meeting::Write => pairs.for_each(|(value, place)| out[place] = value),
        Meeting::Add => {
            pairs.for_each(|(value, place)| out[place] += value);
            tally.both(Class::Add, values.len());
        }
        Meeting::Mul => {
            pairs.for_each(|(value, place)| out[place] *= value);
            tally.both(Class::Mul, values.len());
        }
        Meeting::Max => {
            for (value, place) in pairs {
                if (value > out[place]) | value.is_nan() {
                    out[place] = value;
                }
            }
            tally.useful(Class::Max, values.len());
            tally.executed(Class::Max, 2 * values.len());
        }
    }
    if M::ON && meeting != Meeting::Write {
        meter.record(&tally);
    }
    Ok(())
}
