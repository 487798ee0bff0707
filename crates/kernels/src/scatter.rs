//! Writing and adding elements at their places.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::meter::{Meter, Tally};
use crate::number::Number;

/// Writes each of `values` to its place in `out`, in their order, or with `add` adds it there: one add
/// each.
///
/// # Errors
/// [`KernelError::Length`] if there are not as many places; [`KernelError::IdOutOfRange`] for the first
/// that `out` does not have.
pub fn scatter<T: Number, M: Meter>(
    values: &[T],
    places: &[usize],
    add: bool,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    exactly("places", places.len(), &[values.len()])?;
    if let Some(position) = places.iter().position(|place| *place >= out.len()) {
        let id = places[position] as i64;
        return Err(KernelError::IdOutOfRange { id, position, bound: out.len() });
    }
    for (value, place) in values.iter().zip(places) {
        out[*place] = if add { out[*place] + *value } else { *value };
    }
    if add {
        let mut tally = Tally::default();
        tally.both(Class::Add, values.len());
        if M::ON {
            meter.record(&tally);
        }
    }
    Ok(())
}
