//! Scaled dot-product attention, with its mask read from what made it.

use opledger_dims::Poly;
use opledger_ir::ops::Factor;
use opledger_ir::{IndexExpr, Mask};

use crate::call::Call;
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
    /// Truth values over batch and keys.
    keys: Option<IndexExpr>,
    /// Truth values of another form.
    other: Option<IndexExpr>,
}

/// Reads the conditions of a truth value over dimensions of which the last two are query and key.
fn read(expr: &IndexExpr, query: usize, key: usize) -> Seen {
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
        } else if !condition.uses(query) {
            seen.keys = Some(join(seen.keys, condition));
        } else {
            seen.other = Some(join(seen.other, condition));
        }
    }
    for (at, (constant, condition)) in floors.into_iter().enumerate() {
        match &seen.offset {
            // Keys up to i + o, of those the last w: from i + o − w + 1.
            Some(offset) if at == 0 => seen.window = Some(&constant + offset),
            _ => seen.other = Some(join(seen.other, condition)),
        }
    }
    seen
}

fn join(before: Option<IndexExpr>, condition: &IndexExpr) -> IndexExpr {
    before.map_or_else(|| condition.truth(), |before| before.and(condition))
}

/// A mask as the program hands it over.
enum Given {
    Nothing,
    /// Pairs that are seen.
    Truth(Whole),
    /// Numbers that are added to the scores.
    Bias(Placed),
}

fn given(own: &mut Importer<'_>, value: Meaning) -> Lowered<Given> {
    Ok(match value {
        Meaning::None => Given::Nothing,
        Meaning::Whole(whole) if whole.kind == WholeKind::Truth => Given::Truth(whole),
        // Numbers below any score hide a pair: −∞, or the least that a type of elements has.
        Meaning::Choice { when, then, otherwise } if then == 0.0 && hides(otherwise) => {
            Given::Truth(when)
        }
        Meaning::Choice { when, then, otherwise } if hides(then) && otherwise == 0.0 => {
            Given::Truth(when.each(WholeKind::Truth, IndexExpr::is_zero))
        }
        value => Given::Bias(own.real(value)?),
    })
}

fn hides(number: f64) -> bool {
    number <= f64::from(half::f16::MIN)
}

fn attention(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let [q, k, v] = ["query", "key", "value"].map(|name| call.tensor(own, name));
    let (mut q, mut k, mut v) = (q?, k?, v?);
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
    let mask = call.value(own, "attn_mask")?;
    let mut mask = given(own, mask)?;
    if call.flag("is_causal", false) {
        let causal =
            IndexExpr::Position(rank - 1).below(&IndexExpr::Position(query).plus(&1.into()));
        let all = [&sizes[..query], &[sizes[query].clone(), keys.clone()]].concat();
        mask = Given::Truth(Whole { sizes: all, expr: causal, kind: WholeKind::Truth });
    }
    let (rule, bias) = match mask {
        Given::Nothing => (Mask::none(), None),
        Given::Truth(whole) => masked(own, &whole.ranked(rank), &sizes, &keys)?,
        Given::Bias(bias) => (Mask::none(), Some(bias)),
    };
    let bias = bias.map(|bias| biased(own, &bias, &q, &sizes, &keys)).transpose()?;
    let [queries, keys, values] = vars[..] else { return Err(Obstacle::Unknown) };
    let scale = (scale != Factor::Number(1.0)).then_some(scale);
    let var = own.graph.attention((queries, keys, values), rule, scale, bias)?;
    // [batch…, query, head, width] as PyTorch's [batch…, head, query, width].
    let mut result = own.movement().tensor_of_all(var);
    result.dims.swap(head, query);
    own.movement().dropped(&mut result)?;
    if !heads {
        result.dims.remove(0);
    }
    Ok(result)
}

/// The value with the axes batch…, tokens, head, width.
fn arranged(own: &mut Importer<'_>, tensor: &mut Placed) -> Lowered<opledger_ir::Var> {
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

/// What hides pairs: a rule, a tensor of keys, and where it has another form, a bias.
fn masked(
    own: &mut Importer<'_>,
    mask: &Whole,
    sizes: &[Poly],
    keys: &Poly,
) -> Lowered<(Mask, Option<Placed>)> {
    let rank = sizes.len();
    let seen = read(&mask.expr, rank - 2, rank - 1);
    if mask.expr.as_number().is_some_and(|number| number != 0) {
        return Ok((Mask::none(), None));
    }
    // Per head is no rule of keys.
    let by_head = seen.keys.as_ref().is_some_and(|expr| expr.uses(rank - 3));
    if seen.other.is_some() || by_head {
        let full = [&sizes[..rank - 1], std::slice::from_ref(keys)].concat();
        let when = Whole { sizes: full, ..mask.clone() };
        let value = Meaning::Choice { when, then: 0.0, otherwise: f64::NEG_INFINITY };
        return Ok((Mask::none(), Some(own.real(value)?)));
    }
    let mut rule = Mask { offset: seen.offset, window: seen.window, keep: None };
    if let Some(expr) = seen.keys {
        let expr = seen_keys(&expr);
        // Over [batch…, key].
        let batch = rank - 3;
        let own_sizes = [&sizes[..batch], std::slice::from_ref(keys)].concat();
        let moved = expr.at(&|dim| match dim {
            dim if dim < batch => IndexExpr::Position(dim),
            _ => IndexExpr::Position(batch),
        });
        let mut movement = own.movement();
        let tensor = movement.whole(&own_sizes, &moved, true)?;
        rule.keep = Some(movement.dense(&tensor)?.var);
    }
    Ok((rule, None))
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
) -> Lowered<opledger_ir::Var> {
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
