//! What each operation of PyTorch is to the graph.

mod arranged;
pub(crate) mod attention;
mod bags;
pub(crate) mod beside;
mod bits;
mod by_data;
mod cases;
pub(crate) mod chained;
pub(crate) mod complex;
mod converted;
mod create;
mod defined;
mod einstein;
mod elementwise;
mod extreme;
mod foremost;
mod forms;
mod grids;
pub(crate) mod hidden;
mod index;
mod joining;
mod losses;
mod margins;
pub(crate) mod movement;
mod norm;
pub(crate) mod overwriting;
mod places;
mod product;
mod quantile;
mod recurrent;
mod reduction;
mod resample;
mod running;
mod sampled;
mod scatter;
mod shuffle;
mod sizes;
mod sorted;
mod truth;
mod window;

use opledger_dims::Poly;

use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};

/// Records the operations of a group; refuses all others as unknown.
type Group = fn(&mut Importer<'_>, &Call<'_>, &str) -> Lowered<Vec<Meaning>>;

/// Other names of operations: those of `torch.special`, and those that are the same of reals.
const SAME: &[(&str, &str)] = &[
    ("special_erf", "erf"),
    ("special_erfc", "erfc"),
    ("special_exp2", "exp2"),
    ("special_expit", "sigmoid"),
    ("special_expm1", "expm1"),
    ("special_log1p", "log1p"),
    ("special_log_softmax", "log_softmax"),
    ("special_logit", "logit"),
    ("special_logsumexp", "logsumexp"),
    ("special_round", "round"),
    ("special_softmax", "softmax"),
    ("adjoint", "mT"),
    ("arccos", "acos"),
    ("arccosh", "acosh"),
    ("arcsin", "asin"),
    ("arcsinh", "asinh"),
    ("arctan", "atan"),
    ("arctan2", "atan2"),
    ("arctanh", "atanh"),
    ("float_power", "pow"),
    ("mH", "mT"),
    ("moveaxis", "movedim"),
];

/// Records an operation; its results.
pub(crate) fn lower(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let name = call.operation;
    let base = name.strip_prefix("aten.").and_then(|rest| rest.split('.').next());
    if let Some(size) = sizes::lower(own, call)? {
        return Ok(vec![size]);
    }
    if name == "transformers.grouped_mm_fallback.default" {
        return sorted::grouped(own, call).map(|value| vec![value]);
    }
    let Some(base) = base else { return by_data::higher_order(call) };
    // What writes in place gives what the other form gives; who else sees it is the driver's business.
    let base = match base {
        "__and__" | "__or__" => base,
        "__xor__" => "bitwise_xor",
        "__lshift__" => "bitwise_left_shift",
        "__rshift__" => "bitwise_right_shift",
        _ => base.strip_suffix('_').unwrap_or(base),
    };
    let base = SAME.iter().find(|(other, _)| *other == base).map_or(base, |(_, base)| base);
    if matches!(base, "softmax" | "_softmax" | "log_softmax" | "_log_softmax")
        && call.sizes(own, 0)?.iter().any(Poly::is_zero)
    {
        // Of no elements: nothing is computed.
        let sizes = call.sizes(own, 0)?;
        return Ok(vec![Meaning::Tensor(own.zeros(sizes)?)]);
    }
    let groups: [Group; 31] = [
        by_data::lower,
        movement::lower,
        converted::lower,
        shuffle::lower,
        bits::lower,
        elementwise::lower,
        truth::lower,
        cases::lower,
        defined::lower,
        forms::lower,
        product::lower,
        chained::lower,
        attention::lower,
        norm::lower,
        window::lower,
        resample::lower,
        sampled::lower,
        sorted::lower,
        quantile::lower,
        extreme::lower,
        foremost::lower,
        reduction::lower,
        running::lower,
        index::lower,
        bags::lower,
        scatter::lower,
        create::lower,
        recurrent::lower,
        grids::lower,
        losses::lower,
        margins::lower,
    ];
    for group in groups {
        match group(own, call, base) {
            Err(Obstacle::Unknown) => {}
            result => return result,
        }
    }
    Err(Obstacle::Unknown)
}
