//! Collectives on values: taken apart, sent around, put together.

use opledger_dims::Scalar;
use opledger_ir::{OpError, Value};
use opledger_tensor::Tensor;

use crate::pieces::{cut, cut_value, join, reshaped};
use crate::placement::Placement;
use crate::ring::{Wire, all_gather, all_reduce, all_to_all, reduce_scatter};
use crate::transfer::Collective;

/// A collective on the parts of all ranks.
pub(crate) fn exchange<T: Scalar>(
    wire: &mut impl Wire,
    collective: Collective,
    (from, to): (Placement, Placement),
    parts: Vec<Value<T>>,
    sizes: &[usize],
) -> Result<Vec<Value<T>>, OpError> {
    let ranks = parts.len();
    if let Collective::AllReduce = collective {
        let summed = all_reduce(wire, reals(parts)?);
        return summed.into_iter().map(|data| Ok(Tensor::new(sizes, data)?.into())).collect();
    }
    // Cut element by element, a value has one axis.
    let flat = [from, to].contains(&Placement::Flat);
    let (shape, sizes) = (sizes, if flat { vec![sizes.iter().product()] } else { sizes.to_vec() });
    let sizes = &sizes[..];
    let (before, behind) = (from.axis().unwrap_or_default(), to.axis().unwrap_or_default());
    let mut part =
        if let Collective::AllGather = collective { shape.to_vec() } else { sizes.to_vec() };
    if let (Collective::ReduceScatter | Collective::AllToAll, Some(size)) =
        (collective, part.get_mut(behind))
    {
        *size /= ranks;
    }
    if let Some(Value::Index(_)) = parts.first() {
        let parts: Vec<Vec<i64>> =
            parts.into_iter().filter_map(|v| v.index().map(|t| t.data().to_vec())).collect();
        let moved = rearranged(wire, collective, (before, behind), parts, sizes);
        return moved.into_iter().map(|data| Ok(Value::Index(Tensor::new(&part, data)?))).collect();
    }
    let parts = reals(parts)?;
    let moved = match collective {
        Collective::ReduceScatter => {
            let parts = parts.iter().map(|data| cut(data, sizes, behind, ranks)).collect();
            reduce_scatter(wire, parts)
        }
        Collective::AllReduce | Collective::AllGather | Collective::AllToAll => {
            rearranged(wire, collective, (before, behind), parts, sizes)
        }
    };
    moved.into_iter().map(|data| Ok(Tensor::new(&part, data)?.into())).collect()
}

/// Collectives that sum nothing.
fn rearranged<U: Copy>(
    wire: &mut impl Wire,
    collective: Collective,
    (before, behind): (usize, usize),
    parts: Vec<Vec<U>>,
    sizes: &[usize],
) -> Vec<Vec<U>> {
    let ranks = parts.len();
    if let Collective::AllToAll = collective {
        let mut own = sizes.to_vec();
        own[before] /= ranks;
        let pieces = parts.iter().map(|data| cut(data, &own, behind, ranks)).collect();
        let mut part = sizes.to_vec();
        part[behind] /= ranks;
        let arrived = all_to_all(wire, pieces);
        return arrived.iter().map(|pieces| join(pieces, &part, before)).collect();
    }
    all_gather(wire, parts).iter().map(|pieces| join(pieces, sizes, before)).collect()
}

fn reals<T: Scalar>(parts: Vec<Value<T>>) -> Result<Vec<Vec<T>>, OpError> {
    let data = |part: Value<T>| part.real().map(|t| t.data().to_vec()).ok_or(OpError::Operand(0));
    parts.into_iter().map(data).collect()
}

/// A value from the parts of all ranks.
pub(crate) fn assembled<T: Scalar>(
    parts: &[Value<T>],
    sizes: &[usize],
    axis: usize,
) -> Result<Value<T>, OpError> {
    if let Some(Value::Index(_)) = parts.first() {
        let pieces: Vec<Vec<i64>> =
            parts.iter().filter_map(|v| v.index().map(|t| t.data().to_vec())).collect();
        return Ok(Value::Index(Tensor::new(sizes, join(&pieces, sizes, axis))?));
    }
    let pieces = reals(parts.to_vec())?;
    Ok(Tensor::new(sizes, join(&pieces, sizes, axis))?.into())
}

/// A value cut into equal runs of its elements.
pub(crate) fn flat<T: Scalar>(value: &Value<T>, ranks: usize) -> Result<Vec<Value<T>>, OpError> {
    let len = value.shape().iter().product();
    cut_value(&reshaped(value, &[len])?, 0, ranks)
}
