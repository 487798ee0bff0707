//! What hides pairs of scores, and what is added to them or taken from them.

use opledger_ir::IndexExpr;
use opledger_ir::ops::Pointwise;

use super::{Chain, Chains, Stage};
use crate::call::Call;
use crate::hidden::{Finite, hides};
use crate::importer::{Importer, Lowered, Meaning};
use crate::lower::hidden::hiding;
use crate::lower::movement;
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

/// Scores where a condition holds, hidden elsewhere; or the other way about.
pub(super) fn chosen(
    chains: &Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
) -> Lowered<Option<Chain>> {
    let chain = |name| chains.of(call, name).cloned().map(Chain::scaled);
    let (chain, other, holds) = match (chain("self"), chain("other")) {
        (Some(chain), None) => (chain, "other", true),
        (None, Some(chain)) => (chain, "self", false),
        _ => return Ok(None),
    };
    let (Meaning::Whole(mask), true) =
        (call.value(own, "condition")?, matches!(chain.stage, Stage::Scores | Stage::Changed))
    else {
        return Ok(None);
    };
    let number = match call.value(own, other)? {
        Meaning::Number(number) => Some(number),
        Meaning::Choice { when, then, otherwise } => {
            when.expr.as_number().map(|held| if held != 0 { then } else { otherwise })
        }
        _ => None,
    };
    let Some(number) = number.filter(|number| hides(*number)) else { return Ok(None) };
    let chain = Chain { filled: chain.filled || number.is_finite(), ..chain };
    let zero = opledger_ir::IndexExpr::is_zero;
    let seen = if holds { mask } else { mask.each(WholeKind::Truth, zero) };
    Ok(masked(own, chain, Some(seen), None))
}

/// Scores and what is added to them: a mask that hides, a bias, or both.
pub(super) fn added(
    chains: &Chains,
    own: &mut Importer<'_>,
    call: &Call<'_>,
    base: &str,
) -> Lowered<Option<Chain>> {
    if !matches!(base, "add" | "sub") || call.has("alpha") {
        return Ok(None);
    }
    let chain = |name| chains.of(call, name).cloned().map(Chain::scaled);
    let (chain, other) = match (chain("self"), chain("other")) {
        (Some(chain), None) => (chain, "other"),
        (None, Some(chain)) if base == "add" => (chain, "self"),
        _ => return Ok(None),
    };
    if !matches!(chain.stage, Stage::Scores | Stage::Changed) {
        return Ok(None);
    }
    let mut value = call.value(own, other)?;
    if base == "sub" {
        let Some(opposite) = negative(own, value)? else { return Ok(None) };
        value = opposite;
    }
    Ok(match (hiding(&value), value) {
        (Some((seen, Finite::Number(0.0))), _) => masked(own, chain, Some(seen), None),
        (Some((seen, Finite::Tensor(bias))), _) => masked(own, chain, Some(seen), Some(bias)),
        (None, Meaning::Tensor(bias)) => masked(own, chain, None, Some(bias)),
        // Numbers that follow from places: distances, for one.
        (None, value @ (Meaning::Whole(_) | Meaning::Choice { .. }))
            if movement::sizes_of(&value).is_ok_and(|sizes| !sizes.is_empty()) =>
        {
            let bias = own.spared(|own| own.real(value))?;
            masked(own, chain, None, Some(bias))
        }
        _ => None,
    })
}

/// A value of the other sign, which costs nothing; none of values that are no mask and no bias.
fn negative(own: &mut Importer<'_>, value: Meaning) -> Lowered<Option<Meaning>> {
    Ok(match value {
        Meaning::Tensor(mut bias) => {
            bias.var = own.graph.pointwise(bias.var, Pointwise::Neg)?;
            Some(Meaning::Tensor(bias))
        }
        Meaning::Whole(whole) => {
            let kind = whole.kind;
            let opposite = |expr: &IndexExpr| IndexExpr::from(0).minus(expr);
            Some(Meaning::Whole(whole.each(kind, opposite)))
        }
        Meaning::Choice { when, then, otherwise } => {
            Some(Meaning::Choice { when, then: -then, otherwise: -otherwise })
        }
        Meaning::Hidden(_)
        | Meaning::Groups(_)
        | Meaning::Size(_)
        | Meaning::Number(_)
        | Meaning::List(_)
        | Meaning::None => None,
    })
}

/// A chain with more that hides, and with one bias at most.
pub(super) fn masked(
    own: &mut Importer<'_>,
    chain: Chain,
    seen: Option<Whole>,
    bias: Option<Placed>,
) -> Option<Chain> {
    let seen = match seen {
        Some(seen) => Some(chain.letters.of_whole(&seen)?),
        None => None,
    };
    let seen = match (chain.seen.clone(), seen) {
        (Some(a), Some(b)) => Some(a.zip(&b, WholeKind::Truth, |a, b| a.and(b)).ok()?),
        (a, b) => a.or(b),
    };
    let bias = match (chain.bias.clone(), bias) {
        (Some(_), Some(_)) => return None,
        (None, Some(bias)) => Some(chain.letters.of_tensor(own, &bias)?),
        (bias, None) => bias,
    };
    Some(Chain { seen, bias, stage: Stage::Changed, ..chain })
}

/// Whether a condition of those that must all hold for a pair asks for nothing of its key.
pub(super) fn hides_rows(seen: &IndexExpr, keys: &[usize]) -> bool {
    let asks_nothing = || seen.as_size().is_none() && keys.iter().all(|key| !seen.uses(*key));
    match seen {
        IndexExpr::And(both) | IndexExpr::Product(both) => {
            both.iter().any(|one| hides_rows(one, keys))
        }
        IndexExpr::Sum { constant, terms } if constant.is_zero() && terms.len() == 1 => {
            hides_rows(&terms[0].0, keys)
        }
        IndexExpr::IsZero(inner) => match &**inner {
            IndexExpr::IsZero(twice) => hides_rows(twice, keys),
            IndexExpr::Or(both) => both.iter().any(|one| hides_rows(&one.is_zero(), keys)),
            IndexExpr::Sum { .. }
            | IndexExpr::Position(_)
            | IndexExpr::Lookup { .. }
            | IndexExpr::Product(_)
            | IndexExpr::FloorDiv(_)
            | IndexExpr::Mod(_)
            | IndexExpr::IsPositive(_)
            | IndexExpr::And(_)
            | IndexExpr::Choose(_) => asks_nothing(),
        },
        IndexExpr::Sum { .. }
        | IndexExpr::Position(_)
        | IndexExpr::Lookup { .. }
        | IndexExpr::FloorDiv(_)
        | IndexExpr::Mod(_)
        | IndexExpr::IsPositive(_)
        | IndexExpr::Or(_)
        | IndexExpr::Choose(_) => asks_nothing(),
    }
}
