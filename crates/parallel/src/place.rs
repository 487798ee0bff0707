//! What an operation is to a rank that has some of the queries, words or experts.

use opledger_dims::Scalar;
use opledger_ir::ops::Attention;
use opledger_ir::{OpError, Value};
use opledger_tensor::Tensor;

use crate::placement::Placement;

/// Queries of a rank stand behind those of the ranks before it.
pub(crate) fn shift<T>(
    attention: &mut Attention,
    made: Placement,
    rank: usize,
    queries: &Value<T>,
) {
    let Some(query) = queries.shape().len().checked_sub(3) else { return };
    if made == Placement::Cut(query)
        && let Some(offset) = &mut attention.mask.offset
    {
        let before = rank * queries.shape()[query];
        *offset = &*offset + &opledger_dims::Poly::from(before as u64);
    }
}

/// Ids among the rows that a rank has, and which of them are none of its rows.
pub(crate) fn local_ids<T>(
    ids: &Value<T>,
    held: usize,
    rank: usize,
) -> Result<(Value<T>, Vec<bool>), OpError> {
    let ids = ids.index().ok_or(OpError::Operand(1))?;
    let own = |id: &i64| id - (rank * held) as i64;
    let foreign = |id: &i64| !(0..held as i64).contains(&own(id));
    let local = ids.map(|id| if foreign(id) { 0 } else { own(id) });
    Ok((Value::Index(local), ids.data().iter().map(foreign).collect()))
}

/// A value whose rows of foreign ids are zeros.
pub(crate) fn without<T: Scalar>(value: &Value<T>, foreign: &[bool]) -> Result<Value<T>, OpError> {
    let tensor = value.real().ok_or(OpError::Operand(0))?;
    let width = tensor.len() / foreign.len().max(1);
    let mut data = tensor.data().to_vec();
    for (row, _) in foreign.iter().enumerate().filter(|(_, foreign)| **foreign) {
        data[row * width..(row + 1) * width].fill(T::from_f64(0.0));
    }
    Ok(Value::Real(Tensor::new(tensor.shape(), data)?))
}
