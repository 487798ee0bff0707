//! Linear maps and matrix products: one contraction each.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::Role;
use opledger_ir::ops::{ArithmeticKind, Einsum, Factor};

use super::movement::permute;
use crate::call::{Call, place};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one = |tensor: Placed| Ok(vec![Meaning::Tensor(tensor)]);
    match base {
        "linear" => {
            let (x, weight) = (call.tensor(own, "input")?, call.tensor(own, "weight")?);
            let weight = turned(weight)?.placed()?;
            let mut product = matmul(own, &x, &weight)?;
            named_by_size(own, &mut product)?;
            match call.optional(own, "bias")? {
                Some(bias) => one(biased(own, product, bias)?),
                None => one(product),
            }
        }
        "tensordot" => one(by_dims(own, call)?),
        "inner" => {
            let (a, b) = (call.tensor(own, "self")?, call.tensor(own, "other")?);
            match (a.dims.len().checked_sub(1), b.dims.len().checked_sub(1)) {
                (Some(of_a), Some(of_b)) => one(summed_over(own, &a, &b, [&[of_a], &[of_b]])?),
                // A number and a tensor.
                _ => {
                    let (a, b) = (Meaning::Tensor(a), Meaning::Tensor(b));
                    one(super::elementwise::combined(own, ArithmeticKind::Mul, a, b)?)
                }
            }
        }
        "matmul" | "mm" | "bmm" | "mv" | "dot" | "vdot" => {
            let a = call.tensor(own, if call.has("self") { "self" } else { "input" })?;
            let other = ["other", "mat2", "vec", "tensor"].into_iter().find(|name| call.has(name));
            let b = call.tensor(own, other.ok_or(Obstacle::Unknown)?)?;
            one(matmul(own, &a, &b)?)
        }
        "addmm" | "baddbmm" | "addbmm" | "addmv" | "addr" => {
            let [first, second] = match base {
                "addmm" => ["mat1", "mat2"],
                "addmv" => ["mat", "vec"],
                "addr" => ["vec1", "vec2"],
                _ => ["batch1", "batch2"],
            };
            let (a, b) = (call.tensor(own, first)?, call.tensor(own, second)?);
            let mut product = match base {
                // Summed over the items too.
                "addbmm" => summed_over(own, &a, &b, [&[0, 2], &[0, 1]])?,
                "addr" => {
                    let a = Placed { dims: [a.dims, vec![Dim::new()]].concat(), ..a };
                    let (a, b) = (Meaning::Tensor(a), Meaning::Tensor(b));
                    super::elementwise::combined(own, ArithmeticKind::Mul, a, b)?
                }
                _ => matmul(own, &a, &b)?,
            };
            let alpha = call.float("alpha").unwrap_or(1.0);
            if alpha != 1.0 {
                product.var = own.graph.scale(product.var, Factor::Number(alpha))?;
            }
            let beta = call.float("beta").unwrap_or(1.0);
            if beta == 0.0 {
                return one(product);
            }
            let mut bias = call.tensor(own, "self")?;
            if beta != 1.0 {
                bias.var = own.graph.scale(bias.var, Factor::Number(beta))?;
            }
            one(biased(own, product, bias)?)
        }
        "einsum" => one(super::einstein::einsum(own, call)?),
        "bilinear" => one(super::einstein::bilinear(own, call)?),
        _ => Err(Obstacle::Unknown),
    }
}

/// Gives the last dimension the name that its size has, as the operand's may have had it: layers of one
/// width that follow each other are equal then.
fn named_by_size(own: &mut Importer<'_>, tensor: &mut Placed) -> Lowered<()> {
    let Some([DimPart::Axis(axis)]) = tensor.dims.last().map(Vec::as_slice) else { return Ok(()) };
    let axis = axis.clone();
    let others = tensor.axes().into_iter().map(|own| own.name).filter(|own| *own != axis.name);
    let mut movement = own.movement();
    let name = movement.name(&axis.size, &others.collect());
    Ok(movement.renamed(tensor, &[(axis.name, name)])?)
}

/// `tensordot`, by the dimensions that it names.
fn by_dims(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let (a, b) = (call.tensor(own, "self")?, call.tensor(own, "other")?);
    let over = |name: &str, rank: usize| -> Lowered<Vec<usize>> {
        let dims = call.ints(name).ok_or(Obstacle::Unknown)?;
        dims.into_iter().map(|dim| place(dim, rank)).collect()
    };
    let (of_a, of_b) = (over("dims_self", a.dims.len())?, over("dims_other", b.dims.len())?);
    summed_over(own, &a, &b, [&of_a, &of_b])
}

/// The sum over some dimensions of each, pair by pair; the others of the first stand before those of the
/// second.
fn summed_over(
    own: &mut Importer<'_>,
    a: &Placed,
    b: &Placed,
    [of_a, of_b]: [&[usize]; 2],
) -> Lowered<Placed> {
    if of_a.len() != of_b.len() {
        return Err(Obstacle::Unknown);
    }
    let free = |of: &Placed, gone: &[usize]| -> Vec<Dim> {
        let kept = (0..of.dims.len()).filter(|dim| !gone.contains(dim));
        kept.map(|dim| of.dims[dim].clone()).collect()
    };
    let summed =
        |of: &Placed, dims: &[usize]| dims.iter().map(|dim| of.dims[*dim].clone()).collect();
    let (first, second) = (free(a, of_a), free(b, of_b));
    let (none_of_a, none_of_b) = (vec![Dim::new(); first.len()], vec![Dim::new(); second.len()]);
    let kept = first.len() + second.len();
    // Both over [first…, second…, summed…].
    let a = Placed { var: a.var, dims: [first, none_of_b, summed(a, of_a)].concat() };
    let b = Placed { var: b.var, dims: [none_of_a, second, summed(b, of_b)].concat() };
    let gone: Vec<usize> = (kept..kept + of_a.len()).collect();
    let mut product = contracted(own, &a, &b, &gone)?;
    product.dims.truncate(kept);
    Ok(product)
}

/// A matrix with its last two dimensions exchanged.
fn turned(tensor: Placed) -> Lowered<Meaning> {
    let rank = tensor.dims.len();
    let mut order: Vec<usize> = (0..rank).collect();
    if rank >= 2 {
        order.swap(rank - 2, rank - 1);
    }
    permute(Meaning::Tensor(tensor), &order)
}

/// A product with a bias added to it.
pub(super) fn biased(own: &mut Importer<'_>, product: Placed, bias: Placed) -> Lowered<Placed> {
    let (a, b) = (Meaning::Tensor(product), Meaning::Tensor(bias));
    let sum = super::elementwise::combined(own, ArithmeticKind::Add, a, b)?;
    own.graph.mark(sum.var, Role::Bias);
    Ok(sum)
}

/// The matrix product over the last dimension of the first and the one before the last of the second;
/// those before are broadcast.
pub(super) fn matmul(own: &mut Importer<'_>, a: &Placed, b: &Placed) -> Lowered<Placed> {
    let (vector_a, vector_b) = (a.dims.len() == 1, b.dims.len() == 1);
    let (mut a, mut b) = (a.clone(), b.clone());
    if a.dims.is_empty() || b.dims.is_empty() {
        return Err(Obstacle::Bad("a product of a matrix and a number".to_owned()));
    }
    if vector_a {
        a.dims.insert(0, Dim::new());
    }
    if vector_b {
        b.dims.push(Dim::new());
    }
    // Both over [batch…, row, summed, column].
    a.dims.push(Dim::new());
    let rows = b.dims.len() - 2;
    b.dims.insert(rows, Dim::new());
    let rank = a.dims.len().max(b.dims.len());
    let summed = rank - 2;
    let mut product = contracted(own, &a, &b, &[summed])?;
    // The summed dimension has one element now; so have those of vectors.
    product.dims.remove(summed);
    if vector_b {
        product.dims.pop();
    }
    if vector_a {
        let row = product.dims.len() - if vector_b { 1 } else { 2 };
        product.dims.remove(row);
    }
    Ok(product)
}

/// The sum of products over some of the broadcast dimensions, which then have one element.
pub(super) fn contracted(
    own: &mut Importer<'_>,
    a: &Placed,
    b: &Placed,
    summed: &[usize],
) -> Lowered<Placed> {
    let mut movement = own.movement();
    let (mut a, mut b, mut dims) = movement.aligned(a, b)?;
    let mut sizes = Placed { var: a.var, dims: dims.clone() }.sizes();
    if summed.iter().any(|dim| sizes[*dim].is_zero()) {
        // A sum of nothing.
        summed.iter().for_each(|dim| sizes[*dim] = Poly::one());
        return own.zeros(sizes);
    }
    // What is repeated in both is computed as often as the program says.
    let both = |dims: &[Dim]| dims.iter().flatten().any(|p| matches!(p, DimPart::Repeat(_)));
    if both(&dims) {
        a.dims = dims;
        movement.real(&mut a)?;
        dims = a.dims.clone();
    }
    // A summed axis stands in both operands.
    let mut gone: BTreeSet<Symbol> = BTreeSet::new();
    for dim in summed {
        if dims[*dim].is_empty() {
            let axis = opledger_ir::Axis::new(
                movement.name(
                    &Poly::one(),
                    &dims
                        .iter()
                        .flatten()
                        .filter_map(DimPart::axis)
                        .map(|axis| axis.name.clone())
                        .collect(),
                ),
                1,
            );
            dims[*dim] = vec![DimPart::Axis(axis)];
        }
        gone.extend(dims[*dim].iter().filter_map(DimPart::axis).map(|axis| axis.name.clone()));
    }
    for tensor in [&mut a, &mut b] {
        let own = crate::tensor::names(movement.graph.shape(tensor.var));
        for axis in dims.iter().flatten().filter_map(DimPart::axis) {
            if gone.contains(&axis.name) && !own.contains(&axis.name) {
                let how = opledger_ir::ops::Rearrange::Expand { axis: axis.clone() };
                tensor.var = movement.graph.rearrange(tensor.var, how)?;
            }
        }
    }
    let (lhs, rhs) = (
        crate::tensor::names(movement.graph.shape(a.var)),
        crate::tensor::names(movement.graph.shape(b.var)),
    );
    let kept: Vec<(usize, usize)> = dims
        .iter()
        .enumerate()
        .flat_map(|(dim, pieces)| (0..pieces.len()).map(move |at| (dim, at)))
        .filter(|(dim, _)| !summed.contains(dim))
        .collect();
    let out: Vec<Symbol> = kept
        .iter()
        .filter_map(|(dim, at)| dims[*dim][*at].axis().map(|axis| axis.name.clone()))
        .collect();
    // As the operands have them: the first operand's axes, then those of the second alone.
    let mut stored: Vec<Symbol> = lhs.iter().filter(|name| out.contains(name)).cloned().collect();
    stored.extend(rhs.iter().filter(|name| out.contains(name) && !lhs.contains(name)).cloned());
    let op = Einsum { lhs, rhs, out: stored.clone(), masked: None };
    let var = movement.graph.record("", op, &[a.var, b.var])?;
    // A name may have lost its primes.
    let shown = crate::tensor::names(movement.graph.shape(var));
    for piece in dims.iter_mut().flatten() {
        if let DimPart::Axis(axis) = piece
            && let Some(at) = stored.iter().position(|name| *name == axis.name)
        {
            axis.name = shown[at].clone();
        }
    }
    for dim in summed {
        dims[*dim].clear();
    }
    Ok(Placed { var, dims })
}
