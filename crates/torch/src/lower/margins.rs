//! Losses that end at a margin, and those of counts (`aten/src/ATen/native/Loss.cpp`,
//! `LossMultiMargin.cpp`).

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, CompareKind, Pointwise, Reduce};

use super::losses::{of, reduced, with};
use super::reduction::{along, pairwise};
use super::truth::{chosen, compare, laid};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::Dim;
use crate::whole::{Whole, WholeKind};

use ArithmeticKind::{Add, Div, Mul, Sub};

/// What cosines are kept from a division by zero with.
const LEAST_SQUARE: f64 = 1e-12;

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let loss = match base {
        "margin_ranking_loss" => ranking(own, call)?,
        "hinge_embedding_loss" => hinge(own, call)?,
        "cosine_embedding_loss" => by_cosine(own, call)?,
        "triplet_margin_loss" => triplet(own, call)?,
        "soft_margin_loss" => soft(own, call)?,
        "poisson_nll_loss" => of_counts(own, call)?,
        "multi_margin_loss" => by_classes(own, call)?,
        _ => return Err(Obstacle::Unknown),
    };
    let loss = own.real(loss)?;
    Ok(vec![reduced(own, call, loss)?])
}

/// What is above 0.
fn above_none(own: &mut Importer<'_>, x: Meaning) -> Lowered<Meaning> {
    of(own, Pointwise::Clamp { min: Some(0.0), max: None }, x)
}

fn margin(call: &Call<'_>, default: f64) -> f64 {
    call.float("margin").unwrap_or(default)
}

/// `max(0, m − y·(a − b))`.
fn ranking(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (a, b) = (call.value(own, "input1")?, call.value(own, "input2")?);
    let apart = with(own, Sub, a, b)?;
    let target = call.value(own, "target")?;
    let opposite = of(own, Pointwise::Neg, target)?;
    let product = with(own, Mul, opposite, apart)?;
    let beyond = of(own, Pointwise::Shift(margin(call, 0.0)), product)?;
    above_none(own, beyond)
}

/// Where a target is not a number.
fn is_not(own: &mut Importer<'_>, target: &Meaning, number: f64) -> Lowered<Whole> {
    let is = compare(own, CompareKind::Equal, target.clone(), Meaning::Number(number))?;
    Ok(is.each(WholeKind::Truth, IndexExpr::is_zero))
}

/// `max(0, m − x)` where the target is not 1, and x where it is not −1, added.
fn hinge(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, target) = (call.value(own, "self")?, call.value(own, "target")?);
    let short = with(own, Sub, Meaning::Number(margin(call, 1.0)), x.clone())?;
    let short = above_none(own, short)?;
    let (not_one, not_opposite) = (is_not(own, &target, 1.0)?, is_not(own, &target, -1.0)?);
    let (short, x) = (own.real(short)?, own.real(x)?);
    let short = chosen(own, not_one, short, 0.0)?;
    let x = chosen(own, not_opposite, x, 0.0)?;
    with(own, Add, Meaning::Tensor(short), Meaning::Tensor(x))
}

/// `1 − cos` where the target is 1, and `max(0, cos − m)` where it is −1, added.
fn by_cosine(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let both = [call.value(own, "input1")?, call.value(own, "input2")?];
    let target = call.value(own, "target")?;
    let summed = |own: &mut Importer<'_>, a: Meaning, b: Meaning| {
        let product = with(own, Mul, a, b)?;
        let mut sum = own.real(product)?;
        let last = sum.dims.len().checked_sub(1).ok_or(Obstacle::Unknown)?;
        along(own, &mut sum, &[last], false, Reduce::Sum)?;
        Ok::<_, Obstacle>(Meaning::Tensor(sum))
    };
    let [a, b] = both.clone();
    let product = summed(own, a, b)?;
    let mut squares = Vec::new();
    for x in both {
        let square = summed(own, x.clone(), x)?;
        squares.push(of(own, Pointwise::Shift(LEAST_SQUARE), square)?);
    }
    let [a, b] = <[Meaning; 2]>::try_from(squares).map_err(|_| Obstacle::Unknown)?;
    let lengths = with(own, Mul, a, b)?;
    let lengths = of(own, Pointwise::Sqrt, lengths)?;
    let cosine = with(own, Div, product, lengths)?;
    let alike = with(own, Sub, Meaning::Number(1.0), cosine.clone())?;
    let unlike = of(own, Pointwise::Shift(-margin(call, 0.0)), cosine)?;
    let unlike = above_none(own, unlike)?;
    let mut sum = Vec::new();
    for (loss, wanted) in [(alike, 1.0), (unlike, -1.0)] {
        let when = compare(own, CompareKind::Equal, target.clone(), Meaning::Number(wanted))?;
        let loss = own.real(loss)?;
        sum.push(Meaning::Tensor(chosen(own, when, loss, 0.0)?));
    }
    let [alike, unlike] = <[Meaning; 2]>::try_from(sum).map_err(|_| Obstacle::Unknown)?;
    with(own, Add, alike, unlike)
}

/// `max(0, m + d(anchor, positive) − d(anchor, negative))`; with `swap` the negative is as far as from
/// the nearer of the other two.
fn triplet(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let three = ["anchor", "positive", "negative"].map(|name| call.tensor(own, name));
    let [anchor, positive, negative] = three;
    let (anchor, positive, negative) = (anchor?, positive?, negative?);
    let near = pairwise(own, call, &anchor, &positive)?;
    let mut far = Meaning::Tensor(pairwise(own, call, &anchor, &negative)?);
    if call.flag("swap", false) {
        let other = pairwise(own, call, &positive, &negative)?;
        far = with(own, ArithmeticKind::Min, far, Meaning::Tensor(other))?;
    }
    let near = of(own, Pointwise::Shift(margin(call, 1.0)), Meaning::Tensor(near))?;
    let beyond = with(own, Sub, near, far)?;
    above_none(own, beyond)
}

/// `ln(1 + e^(−x·y))`.
fn soft(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, target) = (call.value(own, "self")?, call.value(own, "target")?);
    let opposite = of(own, Pointwise::Neg, x)?;
    let product = with(own, Mul, opposite, target)?;
    let power = of(own, Pointwise::Exp, product)?;
    of(own, Pointwise::Log1p, power)
}

/// `eˣ − y·x`, or `x − y·ln(x + ε)`; with `full` Stirling's `y·ln y − y + ln(2πy)/2` where y is above 1.
fn of_counts(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, target) = (call.value(own, "input")?, call.value(own, "target")?);
    let (rate, log) = match call.flag("log_input", true) {
        true => (of(own, Pointwise::Exp, x.clone())?, x),
        false => {
            let shift = Pointwise::Shift(call.float("eps").unwrap_or(1e-8));
            let shifted = of(own, shift, x.clone())?;
            (x, of(own, Pointwise::Log, shifted)?)
        }
    };
    let product = with(own, Mul, target.clone(), log)?;
    let loss = with(own, Sub, rate, product)?;
    if !call.flag("full", false) {
        return Ok(loss);
    }
    let log = of(own, Pointwise::Log, target.clone())?;
    let product = with(own, Mul, target.clone(), log)?;
    let less = with(own, Sub, product, target.clone())?;
    let around = with(own, Mul, target.clone(), Meaning::Number(std::f64::consts::TAU))?;
    let around = of(own, Pointwise::Log, around)?;
    let half = with(own, Mul, around, Meaning::Number(0.5))?;
    let stirling = with(own, Add, less, half)?;
    let few = compare(own, CompareKind::AtMost, target, Meaning::Number(1.0))?;
    let stirling = laid(own, &few, Meaning::Number(0.0), stirling)?;
    with(own, Add, loss, Meaning::Tensor(stirling))
}

/// `Σ max(0, m − x[y] + x[j])^p / C` over all classes j but the wanted y, weighed by that of y.
fn by_classes(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let x = call.tensor(own, "self")?;
    let wanted = call.value(own, "target")?.whole()?;
    let sizes = x.sizes();
    let (Some(class), true) = (sizes.len().checked_sub(1), wanted.sizes.len() < 2) else {
        return Err(Obstacle::Unknown);
    };
    let entries = super::losses::entries(own, &x, &wanted, class)?;
    let mut entries = own.real(entries)?;
    entries.dims.truncate(class);
    entries.dims.push(Dim::new());
    let apart = with(own, Sub, Meaning::Number(margin(call, 1.0)), Meaning::Tensor(entries))?;
    let apart = with(own, Add, apart, Meaning::Tensor(x))?;
    let mut loss = above_none(own, apart)?;
    if call.float("p").unwrap_or(1.0) == 2.0 {
        loss = of(own, Pointwise::Power(2.0), loss)?;
    }
    if !matches!(call.value(own, "weight")?, Meaning::None) {
        let weight = call.tensor(own, "weight")?;
        let weights = super::losses::entries(own, &weight, &wanted, 0)?;
        let mut weights = own.real(weights)?;
        weights.dims.truncate(class);
        weights.dims.push(Dim::new());
        loss = with(own, Mul, loss, Meaning::Tensor(weights))?;
    }
    let is_wanted = |expr: &IndexExpr| IndexExpr::Position(class).equals(expr).is_zero();
    let other = Whole { sizes: sizes.clone(), ..wanted.each(WholeKind::Truth, is_wanted) };
    let loss = own.real(loss)?;
    let mut loss = chosen(own, other, loss, 0.0)?;
    along(own, &mut loss, &[class], false, Reduce::Sum)?;
    let count: Poly = sizes[class].clone();
    with(own, Div, Meaning::Tensor(loss), Meaning::Size(count))
}
