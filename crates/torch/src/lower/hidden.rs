//! Reals with numbers that hide, as they are made, added, chosen and moved.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use crate::call::Call;
use crate::hidden::{Finite, Hidden, hides};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

/// A value that hides: where it does not, and what it is there.
pub(crate) fn hiding(value: &Meaning) -> Option<(Whole, Finite)> {
    let of = |when: &Whole, [then, otherwise]: [f64; 2]| match [then, otherwise].map(hides) {
        [false, true] => Some((when.clone(), Finite::Number(then))),
        [true, false] => {
            Some((when.each(WholeKind::Truth, IndexExpr::is_zero), Finite::Number(otherwise)))
        }
        _ => None,
    };
    match value {
        Meaning::Choice { when, then, otherwise } => of(when, [*then, *otherwise]),
        Meaning::Whole(whole) => {
            let (when, then, otherwise) = whole.one_of_two()?;
            of(&when, [then, otherwise])
        }
        Meaning::Hidden(hidden) => Some((hidden.seen.clone(), hidden.finite.clone())),
        _ => None,
    }
}

/// A sum of two values of which one hides at least; none of others. `add` records a sum.
pub(super) fn sum(
    own: &mut Importer<'_>,
    [a, b]: [&Meaning; 2],
    add: impl Fn(&mut Importer<'_>, Meaning, Meaning) -> Lowered<Placed>,
) -> Lowered<Option<Meaning>> {
    let (seen, finite) = match (hiding(a), hiding(b), a, b) {
        (Some((seen, x)), Some((also, y)), _, _) => {
            let both = seen.zip(&also, WholeKind::Truth, |a, b| a.and(b));
            (both.map_err(Obstacle::sizes)?, [x, y])
        }
        (Some((seen, x)), None, _, Meaning::Tensor(other))
        | (None, Some((seen, x)), Meaning::Tensor(other), _) => {
            (seen, [x, Finite::Tensor(other.clone())])
        }
        _ => return Ok(None),
    };
    let real = own.spared(|own| add(own, a.clone(), b.clone()))?;
    let finite = match finite {
        [Finite::Number(x), Finite::Number(y)] => Finite::Number(x + y),
        [Finite::Number(0.0), tensor] | [tensor, Finite::Number(0.0)] => tensor,
        [Finite::Tensor(x), Finite::Tensor(y)] => {
            let (x, y) = (Meaning::Tensor(x), Meaning::Tensor(y));
            Finite::Tensor(own.spared(|own| add(own, x, y))?)
        }
        // A number beside a tensor is a bias that somebody asked for.
        [Finite::Number(_), Finite::Tensor(_)] | [Finite::Tensor(_), Finite::Number(_)] => {
            return Ok(Some(Meaning::Tensor(real)));
        }
    };
    Ok(Some(hidden(seen, finite, real)))
}

/// A value where a truth value holds, hidden elsewhere; `real` is that.
pub(super) fn where_seen(seen: Whole, value: &Meaning, real: Placed) -> Lowered<Meaning> {
    let (seen, finite) = match (hiding(value), value) {
        (Some((also, finite)), _) => {
            let both = seen.zip(&also, WholeKind::Truth, |a, b| a.and(b));
            (both.map_err(Obstacle::sizes)?, finite)
        }
        (None, Meaning::Tensor(tensor)) => (seen, Finite::Tensor(tensor.clone())),
        (None, _) => return Ok(Meaning::Tensor(real)),
    };
    Ok(hidden(seen, finite, real))
}

/// The truth value and what is left, over the dimensions of all of it.
fn hidden(seen: Whole, finite: Finite, real: Placed) -> Meaning {
    let sizes: Vec<Poly> = real.sizes();
    let seen = seen.ranked(sizes.len()).expanded(sizes.clone());
    let finite = match finite {
        Finite::Number(number) => Finite::Number(number),
        Finite::Tensor(tensor) => Finite::Tensor(tensor.expanded(&sizes)),
    };
    Meaning::Hidden(Box::new(Hidden { seen, finite, real }))
}

/// Moves all that such a tensor is made of alike: `lower` lowers the call on what `self` is then.
pub(super) fn moved(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    hidden: Hidden,
    lower: impl Fn(&mut Importer<'_>) -> Lowered<Vec<Meaning>>,
) -> Lowered<Vec<Meaning>> {
    let Some(name) = call.name_of("self").map(str::to_owned) else { return Err(Obstacle::Unknown) };
    let on = |own: &mut Importer<'_>, value: Meaning| -> Lowered<Meaning> {
        let before = own.values.insert(name.clone(), value);
        let results = own.spared(&lower);
        own.values.extend(before.map(|before| (name.clone(), before)));
        let mut results = results?.into_iter();
        match (results.next(), results.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(Obstacle::Unknown),
        }
    };
    let Hidden { seen, finite, real } = hidden;
    let real = on(own, Meaning::Tensor(real))?;
    let (Meaning::Whole(seen), Meaning::Tensor(real)) = (on(own, Meaning::Whole(seen))?, real)
    else {
        return Err(Obstacle::Unknown);
    };
    let finite = match finite {
        Finite::Number(number) => Finite::Number(number),
        Finite::Tensor(tensor) => match on(own, Meaning::Tensor(tensor))? {
            Meaning::Tensor(tensor) => Finite::Tensor(tensor),
            _ => return Err(Obstacle::Unknown),
        },
    };
    Ok(vec![Meaning::Hidden(Box::new(Hidden { seen, finite, real }))])
}
