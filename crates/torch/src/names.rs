//! What the symbols of an export are called, and under which conditions its shapes hold.

use std::collections::BTreeMap;

use opledger_dims::{Poly, Symbol};
use opledger_ir::{SizeCondition, SizeRelation, SizeRole, SizeTerm};

use crate::guards;
use crate::multiples::Multiples;
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
            Some(condition) => conditions.push(condition),
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

/// Conditions without those that always hold, that others imply, or that the tracer makes: it sets sizes
/// of 0 and 1 apart, for which what is recorded holds as well.
fn told_once(conditions: &[SizeCondition]) -> Vec<SizeCondition> {
    let multiples = Multiples::of(conditions);
    let simplified = conditions.iter().map(|condition| multiples.simplified_condition(condition));
    let all: Vec<SizeCondition> = multiples.conditions().chain(simplified).collect();
    let mut kept: Vec<SizeCondition> = Vec::new();
    for (at, condition) in all.iter().enumerate() {
        let others = all.iter().enumerate().filter(|(own, _)| *own != at);
        let implied = others.into_iter().any(|(own, other)| implies(other, condition, own < at));
        if !condition.always_holds() && !is_of_tracer(condition) && !implied {
            kept.push(condition.clone());
        }
    }
    kept.sort_by_key(ToString::to_string);
    kept
}

/// Whether one condition implies another: the same, if it stands before it, or a tighter bound of the
/// same size.
fn implies(one: &SizeCondition, other: &SizeCondition, before: bool) -> bool {
    use SizeRelation::{AtLeast, AtMost, Equal, Unequal};
    let (same, turned) = (
        one.left == other.left && one.right == other.right,
        one.left == other.right && one.right == other.left,
    );
    let mutual = matches!(one.relation, Equal | Unequal);
    if one.relation == other.relation && (same || turned && mutual) {
        return before;
    }
    let (SizeTerm::Poly(a), SizeTerm::Poly(b)) = (&one.right, &other.right) else { return false };
    let Some(apart) = (b - a).as_integer() else { return false };
    one.left == other.left
        && match (one.relation, other.relation) {
            (AtMost, AtMost) => apart > 0.into(),
            (AtLeast, AtLeast) => apart < 0.into(),
            _ => false,
        }
}

/// Whether a size is another times further sizes, or a number.
fn is_multiple(whole: &SizeTerm, part: &SizeTerm) -> bool {
    let (SizeTerm::Poly(whole), SizeTerm::Poly(part)) = (whole, part) else { return false };
    let rest = whole.divided_by(part);
    rest.is_some_and(|rest| is_product(&rest) || rest.as_integer().is_some_and(|by| by > 1.into()))
}

/// Whether a number is a product of sizes, which is 1 where each of them is.
fn is_product(size: &Poly) -> bool {
    let symbols = size.symbols();
    let ones: BTreeMap<Symbol, Poly> =
        symbols.iter().map(|symbol| (symbol.clone(), Poly::one())).collect();
    !symbols.is_empty() && size.num_terms() == 1 && size.compose(&ones) == Poly::one()
}

/// Whether a division by a size leaves 1, or 1 less than the size, unless the size is 1.
fn leaves_one(of: &[SizeTerm; 2]) -> bool {
    let [SizeTerm::Poly(a), SizeTerm::Poly(b)] = of else { return false };
    b.as_integer().is_none() && [a + 1, a - 1].iter().any(|near| near.divided_by(b).is_some())
}

/// Whether a condition says that a size of an input is not 0, or not 1: as such; by a product with it that
/// differs from one without it; or by what a division leaves. What says so of a quotient may be a branch.
fn is_of_tracer(condition: &SizeCondition) -> bool {
    let SizeCondition { left, relation, right } = condition;
    if *relation != SizeRelation::Unequal {
        return false;
    }
    let is = |number: Poly| [left, right].contains(&&SizeTerm::Poly(number));
    match left {
        SizeTerm::Remainder(of) => {
            is(Poly::zero()) && (is_multiple(&of[1], &of[0]) || leaves_one(of))
        }
        SizeTerm::Poly(size) if is(Poly::zero()) || is(Poly::one()) => is_product(size),
        SizeTerm::Poly(_) | SizeTerm::Product(_) | SizeTerm::Quotient(_) => {
            is_multiple(left, right) || is_multiple(right, left)
        }
        SizeTerm::Sum(_) => false,
    }
}

/// The shape of a tensor whose sizes are numbers.
pub(crate) fn numbers(meta: &TensorMeta) -> Option<Vec<usize>> {
    let number = |size: &SymInt| match size {
        SymInt::AsInt(size) => usize::try_from(*size).ok(),
        SymInt::AsExpr(_) => None,
    };
    meta.sizes.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_others_imply_are_not_told() {
        let condition = |guard: &str| {
            let size = |_: &str, dim: usize| Some(Poly::from(["b", "n", "m"][dim.min(2)]));
            let guard = guard.replace('b', "L['x'].size()[0]").replace('n', "L['x'].size()[1]");
            guards::condition(&guard, &size).unwrap()
        };
        let all = [
            "n <= 64",
            "n <= 32",
            "n == n",
            "b == n",
            "n == b",
            "n % 2 == 0",
            "n % 4 == 0",
            "n == 4*((n // 2) // 2)",
            "n >= 4",
            "n >= 3",
            "(n // 2) % 2 == 0",
            "((2*n - 1)*((n*n) // n)) % n == 0",
            "(2*n - 1) % n != 0",
            "n // 8 <= 12",
        ];
        let told: Vec<String> =
            told_once(&all.map(condition)).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["b = n", "n mod 4 = 0", "n ≤ 32", "n ≥ 4", "⌊n / 8⌋ ≤ 12"]);
    }

    #[test]
    fn sizes_of_one_are_told_apart_in_tracing_only() {
        let size = |_: &str, dim: usize| Some(Poly::from(["b", "n", "m"][dim.min(2)]));
        let of_tracer = |guard: &str| {
            let guard = guard.replace('b', "L['x'].size()[0]").replace('n', "L['x'].size()[1]");
            is_of_tracer(&guards::condition(&guard, &size).unwrap())
        };
        for guard in
            ["b != 1", "b * n != 1", "n != b * n", "n % (4 * n) != 0", "(2*n - 1) % n != 0"]
        {
            assert!(of_tracer(guard), "{guard}");
        }
        for guard in [
            "b == 1",
            "n % 4 != 0",
            "b != n",
            "n // 4 != 3",
            "n // 4 != 1",
            "n // 4 != 0",
            "16 * b * (n // 4) != 16 * b",
            "n - 3 != 1",
            "2 * n != 0",
            "(n // 4) % (b * (n // 4)) != 0",
            "n // 4 != b * (n // 4)",
            "n % n != 0",
            "(n // 4) % (b * (n // 2)) != 0",
        ] {
            assert!(!of_tracer(guard), "{guard}");
        }
    }
}
