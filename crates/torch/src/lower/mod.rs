//! What each operation of PyTorch is to the graph.

pub(crate) mod attention;
mod by_data;
mod cases;
pub(crate) mod complex;
mod converted;
mod create;
mod einstein;
mod elementwise;
mod extreme;
pub(crate) mod hidden;
mod index;
mod joining;
pub(crate) mod movement;
mod norm;
mod places;
mod product;
mod recurrent;
mod reduction;
mod resample;
mod running;
mod sampled;
mod scatter;
mod shuffle;
mod sorted;
mod truth;
mod window;

use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};

/// Records the operations of a group; refuses all others as unknown.
type Group = fn(&mut Importer<'_>, &Call<'_>, &str) -> Lowered<Vec<Meaning>>;

/// Records an operation; its results.
pub(crate) fn lower(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let name = call.operation;
    let base = name.strip_prefix("aten.").and_then(|rest| rest.split('.').next());
    if let Some(size) = sizes(own, call)? {
        return Ok(vec![size]);
    }
    if name == "transformers.grouped_mm_fallback.default" {
        return sorted::grouped(own, call).map(|value| vec![value]);
    }
    let Some(base) = base else { return by_data::higher_order(name) };
    // What writes in place gives what the other form gives; who else sees it is the driver's business.
    let base = match base {
        "__and__" | "__or__" => base,
        _ => base.strip_suffix('_').unwrap_or(base),
    };
    let groups: [Group; 21] = [
        by_data::lower,
        movement::lower,
        converted::lower,
        shuffle::lower,
        elementwise::lower,
        truth::lower,
        cases::lower,
        product::lower,
        attention::lower,
        norm::lower,
        window::lower,
        resample::lower,
        sampled::lower,
        sorted::lower,
        extreme::lower,
        reduction::lower,
        running::lower,
        index::lower,
        scatter::lower,
        create::lower,
        recurrent::lower,
    ];
    for group in groups {
        match group(own, call, base) {
            Err(Obstacle::Unknown) => {}
            result => return result,
        }
    }
    Err(Obstacle::Unknown)
}

/// Arithmetic of sizes, and what asserts something of them.
fn sizes(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Meaning>> {
    let operands = || {
        let both = [call.size(own, "a")?, call.size(own, "b")?];
        match both {
            [Some(a), Some(b)] => Ok([a, b]),
            _ => Err(Obstacle::Unknown),
        }
    };
    Ok(Some(match call.operation {
        "aten.sym_numel.default" => {
            Meaning::Size(movement::sizes_of(&call.value(own, "self")?)?.iter().product())
        }
        "aten.sym_size.int" => {
            let sizes = movement::sizes_of(&call.value(own, "self")?)?;
            let dim = call.dim("dim", 0, sizes.len())?;
            Meaning::Size(sizes[dim].clone())
        }
        "_operator.add" => operands().map(|[a, b]| Meaning::Size(&a + &b))?,
        "_operator.sub" => operands().map(|[a, b]| Meaning::Size(&a - &b))?,
        "_operator.mul" => operands().map(|[a, b]| Meaning::Size(&a * &b))?,
        "_operator.floordiv" => {
            let [a, b] = operands()?;
            Meaning::Size(own.floor_div(&a, &b))
        }
        "_operator.mod" => {
            let [a, b] = operands()?;
            let whole = own.floor_div(&a, &b);
            Meaning::Size(&a - &(&b * &whole))
        }
        "_operator.ge" | "_operator.le" | "_operator.eq" | "_operator.ne" | "_operator.gt"
        | "_operator.lt" => Meaning::None,
        name if name.starts_with("aten._assert") || name.starts_with("aten.sym_constrain") => {
            Meaning::None
        }
        _ => return Ok(None),
    }))
}
