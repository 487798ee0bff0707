//! Arithmetic of sizes, and what asserts something of them. A real number that is made of sizes is a tensor
//! of one element.

use opledger_dims::Poly;
use opledger_ir::ops::{ArithmeticKind, Pointwise};

use super::elementwise::combined;
use super::movement::sizes_of;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::schema::{Argument, SymIntArgument};

/// What an operation on sizes gives; none where it is none.
pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Option<Meaning>> {
    let name = call.operation;
    if name.starts_with("aten._assert") || name.starts_with("aten.sym_constrain") {
        return Ok(Some(Meaning::None));
    }
    match name {
        "aten.sym_numel.default" => {
            let sizes = sizes_of(&call.value(own, "self")?)?;
            return Ok(Some(Meaning::Size(sizes.iter().product())));
        }
        "aten.sym_size.int" => {
            let sizes = sizes_of(&call.value(own, "self")?)?;
            let dim = call.dim("dim", 0, sizes.len())?;
            return Ok(Some(Meaning::Size(sizes[dim].clone())));
        }
        _ => {}
    }
    let of_python = ["_operator.", "math.", "torch.", "builtins."];
    let Some(base) = of_python.into_iter().find_map(|from| name.strip_prefix(from)) else {
        return Ok(None);
    };
    match call.node.outputs.first() {
        Some(Argument::SymInt(SymIntArgument::AsName(result))) => {
            whole(own, call, base, result).map(|size| Some(Meaning::Size(size)))
        }
        Some(Argument::SymFloat(_)) => real(own, call, base).map(Some),
        // Whether something holds of sizes, which is asserted or a guard of the export.
        _ => match base {
            "ge" | "le" | "eq" | "ne" | "gt" | "lt" | "and_" | "or_" | "sym_not" => {
                Ok(Some(Meaning::None))
            }
            _ => Err(Obstacle::Unknown),
        },
    }
}

/// A whole number: of its operands, or as the program says it.
fn whole(own: &mut Importer<'_>, call: &Call<'_>, base: &str, result: &str) -> Lowered<Poly> {
    let size = |own: &Importer<'_>, name: &str| match call.value(own, name)? {
        Meaning::Size(size) => Ok(size),
        _ => Err(Obstacle::Unknown),
    };
    match base {
        "neg" => Ok(-size(own, "a")?),
        "add" => Ok(&size(own, "a")? + &size(own, "b")?),
        "sub" => Ok(&size(own, "a")? - &size(own, "b")?),
        "mul" => Ok(&size(own, "a")? * &size(own, "b")?),
        "floordiv" => {
            let (a, b) = (size(own, "a")?, size(own, "b")?);
            Ok(own.floor_div(&a, &b))
        }
        "mod" => {
            let (a, b) = (size(own, "a")?, size(own, "b")?);
            Ok(&a - &(&b * &own.floor_div(&a, &b)))
        }
        "pos" | "pow" | "lshift" | "rshift" | "trunc" | "floor" | "ceil" | "round" | "sym_int"
        | "sym_ite" | "sym_max" | "sym_min" => {
            let said = own.program.graph_module.graph.sym_int_values.get(result);
            own.size(said.ok_or_else(|| Obstacle::Bad(format!("`{result}` has no value")))?)
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// A real number.
fn real(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Meaning> {
    let a = call.value(own, "a")?;
    let kind = match base {
        "sym_float" | "pos" => return Ok(a),
        "neg" | "_sym_sqrt" => {
            let function = if base == "neg" { Pointwise::Neg } else { Pointwise::Sqrt };
            let mut number = own.real(a)?;
            number.var = own.graph.pointwise(number.var, function)?;
            return Ok(Meaning::Tensor(number));
        }
        "add" => ArithmeticKind::Add,
        "sub" => ArithmeticKind::Sub,
        "mul" => ArithmeticKind::Mul,
        "truediv" => ArithmeticKind::Div,
        "pow" => ArithmeticKind::Pow,
        "sym_max" => ArithmeticKind::Max,
        "sym_min" => ArithmeticKind::Min,
        _ => return Err(Obstacle::Unknown),
    };
    let b = call.value(own, "b")?;
    combined(own, kind, a, b).map(Meaning::Tensor)
}
