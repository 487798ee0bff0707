//! What a model is trained by: how far its results are from what is wanted
//! (`aten/src/ATen/native/Loss.cpp`, `LossNLL.cpp`).

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, CompareKind, Pointwise, Reduce};

use super::elementwise::combined;
use super::places::{At, taken};
use super::reduction::{along, log_softmax, summed};
use super::truth::{chosen, compare, laid};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};
use crate::whole::{Whole, WholeKind};

use ArithmeticKind::{Add, Div, Mul, Sub};

/// PyTorch takes no logarithm for less.
const LEAST_LOG: f64 = -100.0;

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let loss = match base {
        "mse_loss" => {
            let apart = apart(own, call)?;
            of(own, Pointwise::Power(2.0), apart)?
        }
        "l1_loss" => absolute(own, call)?,
        "smooth_l1_loss" | "huber_loss" => bent(own, call, base)?,
        "binary_cross_entropy" => of_two(own, call)?,
        "binary_cross_entropy_with_logits" => of_two_by_scores(own, call)?,
        "kl_div" => divergence(own, call)?,
        "xlogy" | "special_xlogy" => {
            let (x, y) = (call.value(own, "self")?, call.value(own, "other")?);
            return Ok(vec![times_log(own, x, y)?]);
        }
        "special_xlog1py" => {
            let (x, y) = (call.value(own, "self")?, call.value(own, "other")?);
            let y = combined(own, ArithmeticKind::Add, y, Meaning::Number(1.0))?;
            return Ok(vec![times_log(own, x, Meaning::Tensor(y))?]);
        }
        "special_entr" => {
            let x = call.value(own, "self")?;
            let all = times_log(own, x.clone(), x.clone())?;
            let all = of(own, Pointwise::Neg, all)?;
            let below = compare(own, CompareKind::Less, x, Meaning::Number(0.0))?;
            let held = below.each(WholeKind::Truth, IndexExpr::is_zero);
            let all = own.real(all)?;
            return Ok(vec![Meaning::Tensor(chosen(own, held, all, f64::NEG_INFINITY)?)]);
        }
        "nll_loss" | "nll_loss_nd" | "nll_loss2d" => {
            let x = call.tensor(own, "self")?;
            return Ok(vec![by_class(own, call, &x)?]);
        }
        "cross_entropy_loss" => return cross_entropy(own, call).map(|loss| vec![loss]),
        _ => return Err(Obstacle::Unknown),
    };
    let loss = own.real(loss)?;
    Ok(vec![reduced(own, call, loss)?])
}

/// The loss of all, as the call asks for it: of each, their mean or their sum.
pub(super) fn reduced(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    mut loss: Placed,
) -> Lowered<Meaning> {
    let all: Vec<usize> = (0..loss.dims.len()).collect();
    match call.int("reduction", 1) {
        0 => {}
        1 => along(own, &mut loss, &all, false, Reduce::Mean)?,
        _ => along(own, &mut loss, &all, false, Reduce::Sum)?,
    }
    Ok(Meaning::Tensor(loss))
}

pub(super) fn with(
    own: &mut Importer<'_>,
    kind: ArithmeticKind,
    a: Meaning,
    b: Meaning,
) -> Lowered<Meaning> {
    combined(own, kind, a, b).map(Meaning::Tensor)
}

pub(super) fn of(own: &mut Importer<'_>, function: Pointwise, x: Meaning) -> Lowered<Meaning> {
    let mut x = own.real(x)?;
    own.movement().real(&mut x)?;
    x.var = own.graph.pointwise(x.var, function)?;
    Ok(Meaning::Tensor(x))
}

fn apart(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, target) = (call.value(own, "self")?, call.value(own, "target")?);
    with(own, Sub, x, target)
}

fn absolute(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let apart = apart(own, call)?;
    of(own, Pointwise::Abs, apart)
}

/// Squares near 0 and straight lines elsewhere: `z²/2β` below β and `z − β/2`, or `z²/2` up to δ and
/// `δ·(z − δ/2)`.
fn bent(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let z = absolute(own, call)?;
    let huber = base == "huber_loss";
    let at = call.float(if huber { "delta" } else { "beta" }).unwrap_or(1.0);
    if at == 0.0 && !huber {
        return Ok(z);
    }
    let square = of(own, Pointwise::Power(2.0), z.clone())?;
    let share = if huber { 0.5 } else { 0.5 / at };
    let inside = with(own, Mul, square, Meaning::Number(share))?;
    let mut outside = of(own, Pointwise::Shift(-0.5 * at), z.clone())?;
    if huber {
        outside = with(own, Mul, outside, Meaning::Number(at))?;
    }
    let kind = if huber { CompareKind::AtMost } else { CompareKind::Less };
    let near = compare(own, kind, z, Meaning::Number(at))?;
    laid(own, &near, inside, outside).map(Meaning::Tensor)
}

fn weighed(own: &mut Importer<'_>, call: &Call<'_>, loss: Meaning) -> Lowered<Meaning> {
    match call.value(own, "weight")? {
        Meaning::None => Ok(loss),
        weight => with(own, Mul, loss, weight),
    }
}

/// `(y − 1)·ln(1 − p) − y·ln p` of probabilities, no logarithm below −100.
fn of_two(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (p, y) = (call.value(own, "self")?, call.value(own, "target")?);
    let bound = Pointwise::Clamp { min: Some(LEAST_LOG), max: None };
    let less = with(own, Sub, y.clone(), Meaning::Number(1.0))?;
    let mut log_other = of(own, Pointwise::Neg, p.clone())?;
    for function in [Pointwise::Log1p, bound] {
        log_other = of(own, function, log_other)?;
    }
    let log = of(own, Pointwise::Log, p)?;
    let log = of(own, bound, log)?;
    let (other, this) = (with(own, Mul, less, log_other)?, with(own, Mul, y, log)?);
    let loss = with(own, Sub, other, this)?;
    weighed(own, call, loss)
}

/// `(1 − y)·x − (1 + (w − 1)·y)·ln σ(x)` of scores.
fn of_two_by_scores(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, y) = (call.value(own, "self")?, call.value(own, "target")?);
    let mut log = of(own, Pointwise::LogSigmoid, x.clone())?;
    let positive = call.value(own, "pos_weight")?;
    if !matches!(positive, Meaning::None) {
        let more = with(own, Sub, positive, Meaning::Number(1.0))?;
        let more = with(own, Mul, more, y.clone())?;
        let weight = with(own, Add, more, Meaning::Number(1.0))?;
        log = with(own, Mul, log, weight)?;
    }
    let other = with(own, Sub, Meaning::Number(1.0), y)?;
    let other = with(own, Mul, other, x)?;
    let loss = with(own, Sub, other, log)?;
    weighed(own, call, loss)
}

/// `x·ln y`, and 0 where x is.
fn times_log(own: &mut Importer<'_>, x: Meaning, y: Meaning) -> Lowered<Meaning> {
    let log = of(own, Pointwise::Log, y)?;
    let product = combined(own, Mul, x.clone(), log)?;
    let none = compare(own, CompareKind::Equal, x, Meaning::Number(0.0))?;
    let some = none.each(WholeKind::Truth, IndexExpr::is_zero);
    chosen(own, some, product, 0.0).map(Meaning::Tensor)
}

/// `t·(ln t − x)`, of logarithms `eᵗ·(t − x)`.
fn divergence(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let (x, target) = (call.value(own, "self")?, call.value(own, "target")?);
    if call.flag("log_target", false) {
        let wanted = of(own, Pointwise::Exp, target.clone())?;
        let apart = with(own, Sub, target, x)?;
        return with(own, Mul, wanted, apart);
    }
    let information = times_log(own, target.clone(), target.clone())?;
    let product = with(own, Mul, target, x)?;
    with(own, Sub, information, product)
}

/// The dimension of the classes.
fn classes(x: &Placed) -> usize {
    usize::from(x.dims.len() > 1)
}

/// A dimension that differs from that of the wanted classes: one size under two symbols, also where
/// several dimensions have become one, such as items and tokens.
fn unlike(own: &Importer<'_>, dim: &Dim, ids: &Whole, size: &Poly) -> Obstacle {
    let parts: Vec<Poly> = dim.iter().map(|part| part.size().clone()).collect();
    let mut pair = [parts.iter().product(), size.clone()];
    ids.expr.visit(&mut |expr| {
        let IndexExpr::Lookup { operand, .. } = expr else { return };
        let Some(given) = own.whole_var(*operand) else { return };
        let axes = own.graph.shape(given).axes.iter().map(|axis| axis.size.clone());
        let sizes: Vec<Poly> = axes.collect();
        if sizes.len() == parts.len() && sizes.iter().product::<Poly>() == *size {
            let mut both = parts.iter().zip(&sizes);
            if let Some((a, b)) = both.find(|(a, b)| a != b) {
                pair = [a.clone(), b.clone()];
            }
        }
    });
    Obstacle::sizes(pair)
}

/// The entry of each item at its class, which stand in a dimension.
pub(super) fn entries(
    own: &mut Importer<'_>,
    of: &Placed,
    wanted: &Whole,
    class: usize,
) -> Lowered<Meaning> {
    let at: Vec<At> = (0..of.dims.len())
        .map(|dim| match dim == class {
            true => At::Place(wanted.expr.clone()),
            false => At::Along(if dim < class { dim } else { dim - 1 }),
        })
        .collect();
    taken(own, Meaning::Tensor(of.clone()), &wanted.sizes, &at)
}

/// The wanted classes of a call, with those that are ignored.
struct Wanted {
    classes: Whole,
    seen: Whole,
}

impl Wanted {
    fn new(own: &Importer<'_>, call: &Call<'_>, x: &Placed) -> Lowered<Wanted> {
        let ids = call.value(own, "target")?.whole()?;
        let ignored = IndexExpr::from(call.int("ignore_index", -100));
        let mut rest = x.dims.clone();
        rest.remove(classes(x));
        for (dim, size) in rest.iter().zip(&ids.sizes) {
            if crate::tensor::size(dim) != *size {
                return Err(unlike(own, dim, &ids, size));
            }
        }
        let is_ignored = |expr: &IndexExpr| expr.equals(&ignored);
        let seen = ids.each(WholeKind::Truth, |expr| is_ignored(expr).is_zero());
        let of = |expr: &IndexExpr| is_ignored(expr).choose(&0.into(), expr);
        Ok(Wanted { classes: ids.each(WholeKind::Whole, of), seen })
    }

    /// The entry of each at its class, of the weights of classes too.
    fn entries(&self, own: &mut Importer<'_>, of: &Placed) -> Lowered<Meaning> {
        entries(own, of, &self.classes, classes(of))
    }

    /// How much all that are not ignored weigh: how many they are, without weights.
    fn total(&self, own: &mut Importer<'_>, weight: Option<&Placed>) -> Lowered<Meaning> {
        let all: Vec<usize> = (0..self.seen.sizes.len()).collect();
        let Some(weight) = weight else {
            let mut count = self.seen.each(WholeKind::Whole, IndexExpr::clone);
            for dim in all {
                count = summed(own, &count, dim)?;
            }
            return Ok(Meaning::Whole(count.reshaped(&[])));
        };
        let weights = self.entries(own, weight)?;
        let weights = own.real(weights)?;
        let mut weights = chosen(own, self.seen.clone(), weights, 0.0)?;
        along(own, &mut weights, &all, false, Reduce::Sum)?;
        Ok(Meaning::Tensor(weights))
    }

    /// Losses without those that are ignored, as the call asks for them.
    fn reduced(
        &self,
        own: &mut Importer<'_>,
        call: &Call<'_>,
        loss: Placed,
        weight: Option<&Placed>,
    ) -> Lowered<Meaning> {
        let mut loss = chosen(own, self.seen.clone(), loss, 0.0)?;
        let reduction = call.int("reduction", 1);
        if reduction == 0 {
            return Ok(Meaning::Tensor(loss));
        }
        let all: Vec<usize> = (0..loss.dims.len()).collect();
        along(own, &mut loss, &all, false, Reduce::Sum)?;
        if reduction != 1 {
            return Ok(Meaning::Tensor(loss));
        }
        let total = self.total(own, weight)?;
        with(own, Div, Meaning::Tensor(loss), total)
    }
}

/// The opposite of the logarithm of each wanted class's probability.
fn by_class(own: &mut Importer<'_>, call: &Call<'_>, x: &Placed) -> Lowered<Meaning> {
    let wanted = Wanted::new(own, call, x)?;
    let weight = call.optional(own, "weight")?;
    let mut loss = wanted.entries(own, x)?;
    if let Some(weight) = &weight {
        let weights = wanted.entries(own, weight)?;
        loss = with(own, Mul, loss, weights)?;
    }
    let loss = of(own, Pointwise::Neg, loss)?;
    let loss = own.real(loss)?;
    wanted.reduced(own, call, loss, weight.as_ref())
}

/// Of scores: by the wanted class, or by wanted probabilities of all.
fn cross_entropy(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let x = call.tensor(own, "self")?;
    let class = classes(&x);
    let count = x.sizes().get(class).cloned().ok_or(Obstacle::Unknown)?;
    let smoothing = call.float("label_smoothing").unwrap_or(0.0);
    let target = call.name_of("target").ok_or(Obstacle::Unknown)?;
    let by_probabilities = own.kind_of(target)? == WholeKind::Real;
    let log = log_softmax(own, x, class)?;
    let mut weight = call.optional(own, "weight")?;
    // What is given to every class.
    let share = |own: &mut Importer<'_>| {
        with(own, Div, Meaning::Number(smoothing), Meaning::Size(count.clone()))
    };
    if by_probabilities {
        let mut wanted = call.value(own, "target")?;
        if smoothing != 0.0 {
            wanted = with(own, Mul, wanted, Meaning::Number(1.0 - smoothing))?;
            let share = share(own)?;
            wanted = with(own, Add, wanted, share)?;
        }
        let product = with(own, Mul, Meaning::Tensor(log), wanted)?;
        let loss = over_classes(own, product, weight, class)?;
        return reduced(own, call, loss);
    }
    let loss = by_class(own, call, &log)?;
    if smoothing == 0.0 {
        return Ok(loss);
    }
    let wanted = Wanted::new(own, call, &log)?;
    let all = over_classes(own, Meaning::Tensor(log), weight.clone(), class)?;
    let all = wanted.reduced(own, call, all, weight.take().as_ref())?;
    let share = share(own)?;
    let all = with(own, Mul, all, share)?;
    let loss = with(own, Mul, loss, Meaning::Number(1.0 - smoothing))?;
    with(own, Add, loss, all)
}

/// The opposite of the sum over all classes, which may have weights.
fn over_classes(
    own: &mut Importer<'_>,
    mut product: Meaning,
    weight: Option<Placed>,
    class: usize,
) -> Lowered<Placed> {
    if let Some(mut weight) = weight {
        let behind = super::movement::sizes_of(&product)?.len() - class - 1;
        weight.dims.extend(vec![Dim::new(); behind]);
        product = with(own, Mul, product, Meaning::Tensor(weight))?;
    }
    let mut sum = own.real(product)?;
    along(own, &mut sum, &[class], false, Reduce::Sum)?;
    sum.var = own.graph.pointwise(sum.var, Pointwise::Neg)?;
    Ok(sum)
}
