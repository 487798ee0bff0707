//! Concatenation: of a cache and what is new, in the buffer of the cache.

use opledger_ir::ops::Concat;
use opledger_ir::{Call, Op, OpError, Value};
use opledger_tensor::Tensor;
use rayon::prelude::*;

use crate::{NodeCall, Operand};

pub(super) fn apply(op: &Concat, call: &Call<'_, f32>, out: &mut [f32]) -> Result<(), OpError> {
    let (first, second) = op.runs(call)?;
    let (a, b) = (op.first(call)?.data(), call.real(1)?.data());
    out.par_chunks_mut((first + second).max(1)).enumerate().for_each(|(step, out)| {
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&a[step * first..][..first]);
        tail.copy_from_slice(&b[step * second..][..second]);
    });
    Ok(())
}

/// The concatenation in the buffer of its first operand, where a node has that for itself and what is
/// added comes after all its elements. The buffer grows by doubling unless it has room.
pub(super) fn in_place(call: &mut NodeCall<'_, f32>) -> Result<Option<Value<f32>>, OpError> {
    let Op::Concat(op) = &call.node.op else { return Ok(None) };
    let outside = call.shapes[0].position(&op.axis).and_then(|at| call.output.get(..at));
    let [Operand::Own(Value::Real(past)), new] = &mut call.operands[..] else { return Ok(None) };
    if outside.is_none_or(|outside| outside.iter().product::<usize>() != 1) {
        return Ok(None);
    }
    let new = new.value().and_then(Value::real).ok_or(OpError::Operand(1))?;
    let empty = Tensor::new(&[0], Vec::new())?;
    let mut data = std::mem::replace(past, empty).into_data();
    let (held, room) = (data.len(), data.capacity());
    data.extend_from_slice(new.data());
    let added = new.len();
    call.reads.all(1, added);
    call.record_bytes(added);
    if data.capacity() != room {
        call.row.record_relocated(size_of_val(&data[..held]) as u64);
    }
    Ok(Some(Tensor::new(call.output, data)?.into()))
}
