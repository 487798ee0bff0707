//! Scaled dot-product attention, with its mask read from what made it.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{Factor, Scaling};
use opledger_ir::{Axis, IndexExpr, Mask, Reach, Scoring, Var};

use super::hidden;
use crate::call::Call;
use crate::hidden::Finite;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, DimPart, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "scaled_dot_product_attention" => {
            attention(own, call).map(|tensor| vec![Meaning::Tensor(tensor)])
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// What a mask hides by its rule, and what is left of it.
#[derive(Debug, Default)]
struct Seen {
    offset: Option<Poly>,
    window: Option<Poly>,
    /// Truth values of another form.
    rest: Option<IndexExpr>,
}

/// Reads the conditions of a truth value over dimensions of which the last two are query and key, of
/// so many keys.
fn read(expr: &IndexExpr, query: usize, key: usize, keys: &Poly) -> Seen {
    let mut seen = Seen::default();
    let one = Poly::one();
    let mut floors = Vec::new();
    for condition in expr.conditions() {
        let (constant, terms) = match condition {
            IndexExpr::IsPositive(of) => of.parts(),
            _ => (Poly::zero(), Vec::new()),
        };
        let factor = |axis: usize| {
            let own = terms.iter().find(|(term, _)| *term == IndexExpr::Position(axis));
            own.map_or_else(Poly::zero, |(_, factor)| factor.clone())
        };
        let (of_query, of_key) = (factor(query), factor(key));
        if terms.len() == 2 && of_query == one && of_key == -one.clone() && seen.offset.is_none() {
            // i − j + c > 0: keys up to i + c − 1.
            seen.offset = Some(&constant - &one);
        } else if terms.len() == 2 && of_query == -one.clone() && of_key == one {
            // j − i + c > 0: keys from i − c + 1.
            floors.push((constant, condition));
        } else {
            seen.rest = Some(join(seen.rest, condition));
        }
    }
    for (at, (constant, condition)) in floors.into_iter().enumerate() {
        match at {
            // Keys up to i + o, of those the last w: from i + o − w + 1. Without an end, all keys are
            // before i + m.
            0 => {
                let offset = seen.offset.get_or_insert_with(|| keys.clone());
                seen.window = Some(&constant + &*offset);
            }
            _ => seen.rest = Some(join(seen.rest, condition)),
        }
    }
    seen
}

fn join(before: Option<IndexExpr>, condition: &IndexExpr) -> IndexExpr {
    before.map_or_else(|| condition.truth(), |before| before.and(condition))
}

/// A mask as the program hands it over: pairs that are seen, and numbers that are added to their scores.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) seen: Option<Whole>,
    pub(crate) bias: Option<Placed>,
}

/// What attention is of: `[batch…, heads, tokens, width]` each, and what becomes of its scores.
pub(crate) struct WrittenAttention {
    pub(crate) q: Placed,
    pub(crate) k: Placed,
    pub(crate) v: Placed,
    pub(crate) scale: Option<Scaling>,
    pub(crate) soft_cap: Option<f64>,
    pub(crate) given: Given,
    /// A number for each head.
    pub(crate) sinks: Option<Placed>,
}

fn given(own: &mut Importer<'_>, value: Meaning) -> Lowered<Given> {
    let truth = |seen: Whole| Given { seen: Some(seen), bias: None };
    Ok(match (hidden::hiding(&value), value) {
        (_, Meaning::None) => Given::default(),
        (_, Meaning::Whole(whole)) if whole.kind == WholeKind::Truth => truth(whole),
        (Some((seen, Finite::Number(0.0))), _) => truth(seen),
        (Some((seen, Finite::Tensor(bias))), _) => Given { seen: Some(seen), bias: Some(bias) },
        (_, value) => Given { seen: None, bias: Some(own.real(value)?) },
    })
}

fn attention(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let [q, k, v] = ["query", "key", "value"].map(|name| call.tensor(own, name));
    let (q, k, v) = (q?, k?, v?);
    if call.float("dropout_p").is_some_and(|p| p != 0.0) {
        return Err(Obstacle::Bad(
            "dropout of attention's weights: export the model in evaluation (`model.eval()`)"
                .to_owned(),
        ));
    }
    let scale = match call.float("scale") {
        Some(scale) => Factor::Number(scale),
        None => Factor::InverseSqrt(q.sizes().last().cloned().ok_or(Obstacle::Unknown)?),
    };
    let mask = call.value(own, "attn_mask")?;
    let mut given = given(own, mask)?;
    if call.flag("is_causal", false) {
        let sizes = [q.sizes(), k.sizes()].map(|sizes| sizes.into_iter().rev().nth(1));
        let [Some(queries), Some(keys)] = sizes else { return Err(Obstacle::Unknown) };
        let [query, key] = [0, 1].map(IndexExpr::Position);
        let (sizes, kind) = (vec![queries, keys], WholeKind::Truth);
        let expr = key.below(&query.plus(&1.into()));
        given = Given { seen: Some(Whole { sizes, expr, kind }), bias: None };
    }
    let scale = (scale != Factor::Number(1.0)).then_some(Scaling::Times(scale));
    record(own, WrittenAttention { q, k, v, scale, soft_cap: None, given, sinks: None })
}

/// Records attention: `[batch…, heads, queries, width]`.
pub(crate) fn record(own: &mut Importer<'_>, attended: WrittenAttention) -> Lowered<Placed> {
    let WrittenAttention { mut q, mut k, mut v, scale, soft_cap, given, sinks } = attended;
    let heads = q.dims.len() > 2;
    let rank = q.dims.len().max(3);
    for tensor in [&mut q, &mut k, &mut v] {
        if !heads {
            tensor.dims.insert(0, Dim::new());
        }
        if tensor.dims.len() != rank {
            return Err(Obstacle::Bad("queries, keys and values of different ranks".to_owned()));
        }
    }
    let (head, query) = (rank - 3, rank - 2);
    // A head of keys that stands again and again beside itself is one that several queries share.
    let shared = |tensor: &Placed| match &tensor.dims[head][..] {
        [own @ .., DimPart::Repeat(times)] if own.iter().all(|p| p.axis().is_some()) => {
            Some((own.to_vec(), times.clone()))
        }
        _ => None,
    };
    if let (Some((keys, times)), Some((values, again))) = (shared(&k), shared(&v))
        && times == again
        && crate::tensor::size(&keys) == crate::tensor::size(&values)
    {
        (k.dims[head], v.dims[head]) = (keys, values);
    }
    // Keys and values of fewer items or heads than queries.
    let wide: Vec<Poly> = q.sizes()[..rank - 3].to_vec();
    for tensor in [&mut k, &mut v] {
        for (dim, size) in wide.iter().enumerate() {
            if tensor.dims[dim].is_empty() && *size != Poly::one() {
                tensor.dims[dim] = vec![DimPart::Repeat(size.clone())];
            }
        }
    }
    let (sizes, keys) = (q.sizes(), k.sizes()[query].clone());
    let mut vars = Vec::new();
    for tensor in [&mut q, &mut k, &mut v] {
        vars.push(arranged(own, tensor)?);
    }
    let mask = match given.seen {
        Some(seen) => masked(own, &seen.ranked(rank), &q, &keys)?,
        None => Mask::none(),
    };
    let bias = given.bias.map(|bias| biased(own, &bias, &q, &sizes, &keys)).transpose()?;
    let sinks = sinks.map(|sinks| by_head(own, sinks, &q)).transpose()?;
    let [queries, keys, _] = vars[..] else { return Err(Obstacle::Unknown) };
    let values = width_apart(own, &mut v, &q)?;
    let scoring = Scoring { scale, soft_cap, bias, mask, sinks };
    let var = own.graph.attention_by((queries, keys, values), scoring)?;
    // [batch…, query, head, width] as PyTorch's [batch…, head, query, width].
    let mut result = own.movement().tensor_of_all(var);
    result.dims.swap(head, query);
    own.movement().dropped(&mut result)?;
    if !heads {
        result.dims.remove(0);
    }
    Ok(result)
}

/// Values whose width is called as no axis of the queries that the result has beside it.
fn width_apart(own: &mut Importer<'_>, v: &mut Placed, q: &Placed) -> Lowered<Var> {
    let mut axes = q.axes();
    axes.pop();
    let beside: BTreeSet<Symbol> = axes.into_iter().map(|axis| axis.name).collect();
    let width = v.axes().pop().filter(|width| beside.contains(&width.name));
    if let Some(width) = width {
        let others = v.axes().into_iter().map(|axis| axis.name).chain(beside).collect();
        let mut movement = own.movement();
        let name = movement.name(&width.size, &others);
        movement.renamed(v, &[(width.name, name)])?;
    }
    Ok(v.var)
}

/// The value with the axes batch…, tokens, head, width.
fn arranged(own: &mut Importer<'_>, tensor: &mut Placed) -> Lowered<Var> {
    let mut movement = own.movement();
    let rank = tensor.dims.len();
    let mut names = Vec::new();
    for dim in 0..rank {
        names.push(movement.axis(tensor, dim)?.name);
    }
    names.swap(rank - 3, rank - 2);
    movement.order(tensor, names)?;
    Ok(tensor.var)
}

/// What hides pairs: a rule, and for what has another form a tensor of some of batch, heads and queries, by
/// their names, and the keys.
fn masked(own: &mut Importer<'_>, mask: &Whole, q: &Placed, keys: &Poly) -> Lowered<Mask> {
    let rank = q.dims.len();
    let (query, key) = (rank - 2, rank - 1);
    if mask.expr.as_number().is_some_and(|number| number != 0) {
        return Ok(Mask::none());
    }
    let seen = read(&mask.expr, query, key, keys);
    let reach = seen.window.map(Reach::Window);
    let mut rule = Mask { offset: seen.offset, reach, keep: None };
    if let Some(expr) = seen.rest {
        let mut axes: Vec<Axis> = Vec::new();
        for dim in 0..key {
            match q.dims[dim].first() {
                Some(DimPart::Axis(axis)) => axes.push(axis.clone()),
                Some(DimPart::Repeat(_)) | None => return Err(Obstacle::Unknown),
            }
        }
        let name = apart(&axes);
        axes.push(Axis::new(name, keys.clone()));
        let known = own.masks.iter().find(|(of, over, _)| *of == expr && *over == axes);
        let var = match known {
            Some((_, _, var)) => *var,
            None => {
                let var = own.for_all(|own| truths(own, &seen_keys(&expr), &axes))?;
                own.masks.push((expr, axes, var));
                var
            }
        };
        rule.keep = Some(var);
    }
    Ok(rule)
}

/// Truth values over those of some axes on which they depend, and the last.
fn truths(own: &mut Importer<'_>, expr: &IndexExpr, axes: &[Axis]) -> Lowered<Var> {
    let used: Vec<usize> =
        (0..axes.len()).filter(|dim| dim + 1 == axes.len() || expr.uses(*dim)).collect();
    let named: Vec<Axis> = used.iter().map(|dim| axes[*dim].clone()).collect();
    let mut movement = own.movement();
    let sizes: Vec<Poly> = axes.iter().map(|axis| axis.size.clone()).collect();
    let Some(given) = movement.given(expr, &used, &sizes) else {
        return Ok(movement.mapped(expr, &used, named, true)?);
    };
    let mut tensor = movement.tensor_of_all(given);
    let names =
        tensor.axes().into_iter().map(|axis| axis.name).zip(named.into_iter().map(|a| a.name));
    let names: Vec<(Symbol, Symbol)> = names.collect();
    movement.renamed(&mut tensor, &names)?;
    Ok(tensor.var)
}

/// A name for the keys that none of these axes has.
fn apart(axes: &[Axis]) -> Symbol {
    let mut name = Symbol::from("keys".to_owned());
    while axes.iter().any(|axis| axis.name == name) {
        name = Symbol::from(format!("{name}'"));
    }
    name
}

/// Numbers of heads under the name of the queries' heads.
fn by_head(own: &mut Importer<'_>, mut sinks: Placed, q: &Placed) -> Lowered<Var> {
    let head = q.dims.len() - 3;
    let Some(DimPart::Axis(axis)) = q.dims[head].first() else { return Err(Obstacle::Unknown) };
    let mut movement = own.movement();
    let own_axis = movement.axis(&mut sinks, 0)?;
    movement.renamed(&mut sinks, &[(own_axis.name, axis.name.clone())])?;
    Ok(sinks.var)
}

/// Truth values that a tensor has itself are that tensor.
fn seen_keys(expr: &IndexExpr) -> IndexExpr {
    match expr {
        IndexExpr::IsZero(of) => match &**of {
            IndexExpr::IsZero(of) if matches!(**of, IndexExpr::Lookup { .. }) => (**of).clone(),
            _ => expr.clone(),
        },
        _ => expr.clone(),
    }
}

/// A bias with the names of the queries' batch and heads, query and key last.
fn biased(
    own: &mut Importer<'_>,
    bias: &Placed,
    q: &Placed,
    sizes: &[Poly],
    keys: &Poly,
) -> Lowered<Var> {
    let rank = sizes.len();
    let mut bias = bias.clone();
    let missing = rank.saturating_sub(bias.dims.len());
    bias.dims.splice(0..0, vec![Dim::new(); missing]);
    let mut movement = own.movement();
    for (dim, size) in [(rank - 2, &sizes[rank - 2]), (rank - 1, keys)] {
        if bias.dims[dim].is_empty() && *size != Poly::one() {
            bias.dims[dim] = vec![DimPart::Repeat(size.clone())];
        }
    }
    let mut names = Vec::new();
    let mut order = Vec::new();
    for dim in 0..rank {
        let of_pair = dim >= rank - 2;
        if !of_pair {
            bias.dims[dim].retain(|piece| piece.axis().is_some());
        }
        let axis = match of_pair {
            true => Some(movement.axis(&mut bias, dim)?),
            false => movement.single(&mut bias, dim)?,
        };
        let Some(axis) = axis else { continue };
        let Some(DimPart::Axis(own)) = q.dims[dim].first() else {
            return Err(Obstacle::Bad("a bias of another batch than the queries'".to_owned()));
        };
        // The axes of query and key go by their place, and must not be called as batch and heads are.
        let name = match of_pair {
            true => opledger_dims::Symbol::from(format!("{}''{dim}", own.name)),
            false => own.name.clone(),
        };
        names.push((axis.name, name.clone()));
        order.push(name);
    }
    movement.renamed(&mut bias, &names)?;
    movement.order(&mut bias, order)?;
    Ok(bias.var)
}
