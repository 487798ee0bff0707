//! What the symbols of an export are called, and under which conditions its shapes hold.

use std::collections::BTreeMap;

use opledger_dims::{Poly, Symbol};
use opledger_ir::{SizeCondition, SizeRelation, SizeRole, SizeTerm};

use crate::guards;
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
            SizeExpr::Integer(_) | SizeExpr::Fraction(..) | SizeExpr::Call(..) => None,
        },
    }
}

/// Under which conditions on sizes an export is its module: bounds, and guards that may not hold.
/// What of its guards is not understood is told as it is written.
pub(crate) fn conditions(
    program: &ExportedProgram,
    named: &dyn Fn(&str) -> Poly,
    size: &dyn Fn(&str, usize) -> Option<Poly>,
) -> (Vec<SizeCondition>, Vec<String>) {
    let mut conditions = Vec::new();
    for (symbol, range) in &program.range_constraints {
        let mut bound = |relation, size: i64| {
            conditions.push(SizeCondition::new(named(symbol), relation, Poly::from(size)));
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
        match guards::condition(guard, size) {
            // The tracer sets sizes of 0 and 1 apart, for which what is recorded holds as well.
            Some(condition) if is_of_tracer(&condition) => {}
            Some(condition) => conditions.push(condition),
            None => told.push(guard.clone()),
        }
    }
    let mut kept: Vec<SizeCondition> = Vec::new();
    for condition in conditions {
        if !condition.always_holds() && !kept.contains(&condition) {
            kept.push(condition);
        }
    }
    kept.sort_by_key(ToString::to_string);
    (kept, told)
}

/// Whether a condition says that a size is not 0, or not 1.
fn is_of_tracer(condition: &SizeCondition) -> bool {
    let (SizeTerm::Poly(_), SizeTerm::Poly(right)) = (&condition.left, &condition.right) else {
        return false;
    };
    condition.relation == SizeRelation::Unequal && [Poly::zero(), Poly::one()].contains(right)
}

/// The shape of a tensor whose sizes are numbers.
pub(crate) fn numbers(meta: &TensorMeta) -> Option<Vec<usize>> {
    let number = |size: &SymInt| match size {
        SymInt::AsInt(size) => usize::try_from(*size).ok(),
        SymInt::AsExpr(_) => None,
    };
    meta.sizes.iter().map(number).collect()
}
