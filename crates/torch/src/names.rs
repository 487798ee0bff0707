//! What the symbols of an export are called, and under which conditions its shapes hold.

use std::collections::BTreeMap;

use opledger_dims::{Poly, Symbol};
use opledger_ir::{SizeCondition, SizeRelation, SizeRole};

use crate::guards::{self, SizeAt};
use crate::schema::{Argument, ExportedProgram, InputSpec, SymInt, TensorMeta};
use crate::symbolic::SizeExpr;
use crate::told::told_once;

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
            SizeExpr::Integer(_) | SizeExpr::Fraction(..) | SizeExpr::Call(..) => None,
        },
    }
}

/// Under which conditions on sizes an export is its module: bounds, and guards that may not hold.
/// What of its guards is not understood is told as it is written.
pub(crate) fn conditions(
    program: &ExportedProgram,
    named: &dyn Fn(&str) -> Poly,
    size: &SizeAt<'_>,
) -> (Vec<SizeCondition>, Vec<String>) {
    let mut conditions = Vec::new();
    for (symbol, range) in &program.range_constraints {
        // Of a size made of others, as `8*s69`, too.
        let own = guards::number(symbol, size).unwrap_or_else(|| named(symbol).into());
        let mut bound = |relation, size: i64| {
            conditions.push(SizeCondition::new(own.clone(), relation, Poly::from(size)));
        };
        if let Some(most) = range.max_val {
            bound(SizeRelation::AtMost, most);
        }
        // Sizes of 0 and 1 are told apart in tracing only: a lower bound of 2 is that of the tracer.
        if let Some(least) = range.min_val.filter(|least| *least > 2) {
            bound(SizeRelation::AtLeast, least);
        }
    }
    let mut told = Vec::new();
    for guard in &program.guards_code {
        match guards::conditions(guard, size) {
            Some(all) => conditions.extend(all),
            None if is_of_layout(guard) => {}
            None => told.push(guard.clone()),
        }
    }
    (told_once(&conditions), told)
}

/// Whether a guard sets apart how an input lies in memory, of which no graph depends.
fn is_of_layout(guard: &str) -> bool {
    let lies = [".stride()[", "._base."].into_iter().any(|part| guard.contains(part));
    lies && guard.contains(" != ") && !guard.contains(" or ")
}

/// The shape of a tensor whose sizes are numbers.
pub(crate) fn numbers(meta: &TensorMeta) -> Option<Vec<usize>> {
    let number = |size: &SymInt| match size {
        SymInt::AsInt(size) => usize::try_from(*size).ok(),
        SymInt::AsExpr(_) => None,
    };
    meta.sizes.iter().map(number).collect()
}
