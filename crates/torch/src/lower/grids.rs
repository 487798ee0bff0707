//! Tensors repeated along each other, and differences of neighbours.

use opledger_dims::Poly;
use opledger_ir::ops::ArithmeticKind;

use super::beside::{side_by_side, whole_joined};
use super::elementwise::combined;
use super::movement::{cut, expand, reshape, sizes_of};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::WholeKind;

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "meshgrid" => {
            let values = call.value(own, "tensors")?.list()?;
            let turned = call.text("indexing") == Some("xy");
            Ok(vec![Meaning::List(meshed(own, values, turned)?)])
        }
        "cartesian_prod" => product(own, call),
        "broadcast_tensors" => {
            let values = call.value(own, "tensors")?.list()?;
            let sizes = call.sizes(own, 0)?;
            let each = values.into_iter().map(|value| expand(value, &sizes));
            Ok(vec![Meaning::List(each.collect::<Lowered<_>>()?)])
        }
        "diff" => differences(own, call),
        _ => Err(Obstacle::Unknown),
    }
}

/// Each of some vectors along a dimension of its own, repeated along all others; `turned`, the first two
/// take each other's.
fn meshed(own: &mut Importer<'_>, values: Vec<Meaning>, turned: bool) -> Lowered<Vec<Meaning>> {
    let along = |at: usize| match at {
        0 | 1 if turned && values.len() > 1 => 1 - at,
        at => at,
    };
    let lengths: Vec<Poly> =
        values.iter().map(|value| Ok(sizes_of(value)?.iter().product())).collect::<Lowered<_>>()?;
    let sizes: Vec<Poly> = (0..lengths.len()).map(|dim| lengths[along(dim)].clone()).collect();
    let dims: Vec<usize> = (0..lengths.len()).map(along).collect();
    let each = values.into_iter().zip(dims).map(|(value, dim)| {
        let mut own_sizes = vec![Poly::one(); sizes.len()];
        own_sizes[dim] = sizes[dim].clone();
        expand(reshape(own, value, &own_sizes)?, &sizes)
    });
    each.collect()
}

/// All choices of an element of each of some vectors, a row each.
fn product(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let values = call.value(own, "tensors")?.list()?;
    if values.len() == 1 {
        return Ok(values);
    }
    let sizes = call.sizes(own, 0)?;
    let column = [sizes.first().cloned().ok_or(Obstacle::Unknown)?, Poly::one()];
    let mut rows: Option<Meaning> = None;
    for value in meshed(own, values, false)? {
        let next = reshape(own, value, &column)?;
        rows = Some(match rows {
            None => next,
            Some(before) => beside(own, before, next, 1)?,
        });
    }
    Ok(rows.into_iter().collect())
}

/// Two tensors one after the other along a dimension.
fn beside(own: &mut Importer<'_>, a: Meaning, b: Meaning, dim: usize) -> Lowered<Meaning> {
    if let (Meaning::Whole(before), Meaning::Whole(after)) = (&a, &b) {
        let mut sizes = before.sizes.clone();
        sizes[dim] = &sizes[dim] + &after.sizes[dim];
        return whole_joined(vec![a, b], dim, sizes);
    }
    let (a, b) = (own.real(a)?, own.real(b)?);
    side_by_side(own, &a, &b, dim).map(Meaning::Tensor)
}

/// Differences of neighbours, of those again, and so on.
fn differences(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let mut value = call.value(own, "self")?;
    let (dim, kind) = (call.dim("dim", -1, sizes_of(&value)?.len())?, call.kind(own, 0)?);
    if call.has("prepend") {
        let before = call.value(own, "prepend")?;
        value = beside(own, before, value, dim)?;
    }
    if call.has("append") {
        let after = call.value(own, "append")?;
        value = beside(own, value, after, dim)?;
    }
    for _ in 0..call.int("n", 1) {
        let left = &sizes_of(&value)?[dim] - &Poly::one();
        let later = cut(own, value.clone(), dim, &Poly::one(), &left)?;
        let earlier = cut(own, value, dim, &Poly::zero(), &left)?;
        value = match (later, earlier) {
            // Of truth values it would be whether they differ.
            (Meaning::Whole(_), _) if kind == WholeKind::Truth => return Err(Obstacle::Unknown),
            (Meaning::Whole(later), Meaning::Whole(earlier)) => {
                let apart = later.zip(&earlier, kind, |later, earlier| later.minus(earlier));
                Meaning::Whole(apart.map_err(Obstacle::sizes)?)
            }
            (later, earlier) => {
                Meaning::Tensor(combined(own, ArithmeticKind::Sub, later, earlier)?)
            }
        };
    }
    Ok(vec![value])
}
