//! What the symbols of an export are called, and under which conditions its shapes hold.

use std::collections::BTreeMap;

use opledger_dims::Symbol;
use opledger_ir::SizeRole;

use crate::schema::{Argument, ExportedProgram, InputSpec, SymInt, TensorMeta};
use crate::symbolic::SizeExpr;

/// What symbols are called, and which of them count items and tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    pub(crate) names: BTreeMap<String, Symbol>,
    pub(crate) roles: BTreeMap<SizeRole, Symbol>,
}

/// A name for each symbol of the program: the one that is given, else `b` for the first dimension of
/// the inputs, `n` for the second of tokens, `height` and `width` for the last two of images; its own
/// for any other.
pub(crate) fn naming(program: &ExportedProgram, given: &BTreeMap<String, Symbol>) -> Naming {
    const BATCH: (usize, Option<SizeRole>, &str) = (0, Some(SizeRole::Batch), "b");
    let mut naming = Naming { names: given.clone(), roles: BTreeMap::new() };
    let inputs = program.graph_module.signature.input_specs.iter().filter_map(|spec| match spec {
        InputSpec::UserInput(input) => match &input.arg {
            Argument::Tensor(name) => program.graph_module.graph.tensor_values.get(name),
            _ => None,
        },
        _ => None,
    });
    for meta in inputs {
        let dims: &[(usize, Option<SizeRole>, &str)] = match meta.sizes.len() {
            4 => &[BATCH, (2, None, "height"), (3, None, "width")],
            2 | 3 => &[BATCH, (1, Some(SizeRole::Tokens), "n")],
            _ => &[BATCH],
        };
        for (dim, role, name) in dims {
            let Some(symbol) = meta.sizes.get(*dim).and_then(symbol) else { continue };
            let name = match naming.names.get(&symbol) {
                Some(name) => name.clone(),
                None => {
                    let name = Symbol::new(name);
                    if naming.names.values().any(|taken| *taken == name) {
                        continue;
                    }
                    naming.names.insert(symbol, name.clone());
                    name
                }
            };
            if let Some(role) = role {
                naming.roles.entry(*role).or_insert(name);
            }
        }
    }
    naming
}

fn symbol(size: &SymInt) -> Option<String> {
    match size {
        SymInt::AsInt(_) => None,
        SymInt::AsExpr(expression) => match SizeExpr::parse(&expression.expr_str)? {
            SizeExpr::Symbol(symbol) => Some(symbol),
            SizeExpr::Integer(_) | SizeExpr::Call(..) => None,
        },
    }
}

/// The conditions of an export as a reader is told them.
pub(crate) fn conditions(
    program: &ExportedProgram,
    naming: &Naming,
    equal: &BTreeMap<Symbol, Symbol>,
) -> Vec<String> {
    let mut conditions = Vec::new();
    for (symbol, range) in &program.range_constraints {
        let name = naming.names.get(symbol).map_or(symbol.as_str(), Symbol::as_str);
        if let Some(most) = range.max_val {
            conditions.push(format!("{name} ≤ {most}"));
        }
        // Sizes of 0 and 1 are told apart in tracing only: a lower bound of 2 is that of the tracer.
        if let Some(least) = range.min_val.filter(|least| *least > 2) {
            conditions.push(format!("{name} ≥ {least}"));
        }
    }
    // `L['x'].size()[0] == L['y'].size()[0]`, as the tracer writes it.
    let plain = |guard: &String| guard.replace("L['", "").replace("']", "").replace(" == ", " = ");
    conditions.extend(program.guards_code.iter().map(plain));
    for (other, name) in equal {
        conditions.push(format!("{other} = {name}"));
    }
    conditions.sort();
    conditions.dedup();
    conditions
}

/// The least and the most of each size that the export holds for, where these are bounds.
pub(crate) fn bounds(
    program: &ExportedProgram,
    naming: &Naming,
) -> Vec<(Symbol, u64, Option<u64>)> {
    let own = |(symbol, range): (&String, &crate::schema::Range)| {
        let name = naming.names.get(symbol).cloned().unwrap_or_else(|| symbol.as_str().into());
        // As in `conditions`, 2 is the tracer's bound.
        let least =
            range.min_val.filter(|least| *least > 2).and_then(|least| u64::try_from(least).ok());
        let most = range.max_val.and_then(|most| u64::try_from(most).ok());
        (least.is_some() || most.is_some()).then_some((name, least.unwrap_or(0), most))
    };
    program.range_constraints.iter().filter_map(own).collect()
}

/// The shape of a tensor whose sizes are numbers.
pub(crate) fn numbers(meta: &TensorMeta) -> Option<Vec<usize>> {
    let number = |size: &SymInt| match size {
        SymInt::AsInt(size) => usize::try_from(*size).ok(),
        SymInt::AsExpr(_) => None,
    };
    meta.sizes.iter().map(number).collect()
}
