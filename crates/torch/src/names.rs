//! What the symbols of an export are called, and under which conditions its shapes hold.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Poly, Symbol};
use opledger_ir::{Graph, SizeCondition, SizeRelation, SizeRole, SizeTerm};

use crate::guards::{self, GuardPlace, SizeAt};
use crate::schema::{Argument, ExportedProgram, InputSpec, SymInt, TensorMeta};
use crate::symbolic::SizeExpr;
use crate::told::told_once;

/// What symbols are called, and which of them count items and tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    pub(crate) names: BTreeMap<String, Symbol>,
    pub(crate) roles: BTreeMap<SizeRole, Symbol>,
    /// Symbols that dimensions of inputs are multiples of, in those of the inputs.
    pub(crate) derived: BTreeMap<String, Derived>,
}

/// A symbol `s` of which a dimension is `times·s + more`: what that dimension is called says it.
#[derive(Clone, Debug)]
pub(crate) struct Derived {
    size: Symbol,
    times: i64,
    more: i64,
}

impl Derived {
    /// The symbol in that of the input.
    pub(crate) fn value(&self) -> Poly {
        (Poly::symbol(&self.size) - self.more).ratio(1, self.times)
    }

    /// That it is whole.
    pub(crate) fn condition(&self) -> SizeCondition {
        let of = [(Poly::symbol(&self.size) - self.more).into(), Poly::from(self.times).into()];
        let remainder = SizeTerm::Remainder(Box::new(of));
        SizeCondition::new(remainder, SizeRelation::Equal, Poly::zero())
    }
}

impl Naming {
    fn is_taken(&self, name: &Symbol) -> bool {
        self.names.values().chain(self.derived.values().map(|own| &own.size)).any(|own| own == name)
    }

    /// Names of sizes.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Symbol> {
        let derived = self.derived.values().map(|own| &own.size);
        self.names.values().chain(self.roles.values()).chain(derived).cloned()
    }
}

/// A name for each symbol of the program: the one that is given, else `b` for the first dimension of
/// the inputs, `n` for the second of tokens, `height` and `width` for the last two of images; its own
/// for any other.
pub(crate) fn naming(program: &ExportedProgram, given: &BTreeMap<String, Symbol>) -> Naming {
    const BATCH: (usize, Option<SizeRole>, &str) = (0, Some(SizeRole::Batch), "b");
    let mut naming = Naming { names: given.clone(), ..Naming::default() };
    let inputs = program.graph_module.signature.input_specs.iter().filter_map(|spec| match spec {
        InputSpec::UserInput(input) => match &input.arg {
            Argument::Tensor(name) => program.graph_module.graph.tensor_values.get(name),
            _ => None,
        },
        _ => None,
    });
    let inputs: Vec<&TensorMeta> = inputs.collect();
    let plain: BTreeSet<String> =
        inputs.iter().flat_map(|meta| meta.sizes.iter().filter_map(symbol)).collect();
    for meta in inputs {
        let dims: &[(usize, Option<SizeRole>, &str)] = match meta.sizes.len() {
            4 => &[BATCH, (2, None, "height"), (3, None, "width")],
            2 | 3 => &[BATCH, (1, Some(SizeRole::Tokens), "n")],
            _ => &[BATCH],
        };
        for (dim, role, name) in dims {
            let Some(size) = meta.sizes.get(*dim) else { continue };
            let Some(symbol) = symbol(size) else {
                let Some((symbol, times, more)) = linear(size) else { continue };
                let taken = Symbol::new(name);
                let is_told = plain.contains(&symbol)
                    || naming.names.contains_key(&symbol)
                    || naming.derived.contains_key(&symbol)
                    || naming.is_taken(&taken);
                if !is_told {
                    let derived = Derived { size: taken.clone(), times, more };
                    naming.derived.insert(symbol, derived);
                    role.map(|role| naming.roles.entry(role).or_insert(taken));
                }
                continue;
            };
            let name = match naming.names.get(&symbol) {
                Some(name) => name.clone(),
                None => {
                    let name = Symbol::new(name);
                    if naming.is_taken(&name) {
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

/// Of a size `times·s + more`: `s`, `times` and `more`.
fn linear(size: &SymInt) -> Option<(String, i64, i64)> {
    let SymInt::AsExpr(expression) = size else { return None };
    let divided = |graph: &mut Graph, a: &Poly, b: &Poly| graph.floor_div("floor", a, b);
    let named = |symbol: &str| Poly::from(symbol);
    let mut graph = Graph::new();
    let size = SizeExpr::parse(&expression.expr_str)?.poly(&mut graph, &named, &divided).ok()?;
    let symbols = size.symbols();
    let (Some(symbol), 1, true) = (symbols.first(), symbols.len(), graph.definitions().is_empty())
    else {
        return None;
    };
    let whole = |poly: &Poly| poly.as_integer().and_then(|number| i64::try_from(number).ok());
    let more = size.substitute(symbol, &Poly::zero());
    let times = whole(&(size.substitute(symbol, &Poly::one()) - &more))?;
    let is_linear = times > 0 && size == &(&Poly::symbol(symbol) * times) + &more;
    is_linear.then(|| Some((symbol.to_string(), times, whole(&more)?)))?
}

/// Under which conditions on sizes an export is its module: bounds, and guards that may not hold.
/// What of its guards is not understood is told as it is written.
pub(crate) fn conditions(
    program: &ExportedProgram,
    named: &dyn Fn(&str) -> Poly,
    size: &SizeAt<'_>,
    assumed: Vec<SizeCondition>,
) -> (Vec<SizeCondition>, Vec<String>) {
    let mut conditions = assumed;
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
        let least = range.min_val.filter(|least| *least > 2);
        // So is that of a multiple which follows from it.
        if let Some(least) = least.filter(|least| !follows(program, symbol, *least)) {
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

/// Whether a lower bound of a size that is made of symbols follows from theirs.
fn follows(program: &ExportedProgram, size: &str, least: i64) -> bool {
    let known = &program.range_constraints;
    let own = |place: &GuardPlace<'_>| match place {
        GuardPlace::Symbol(own) => known.contains_key(*own).then(|| Poly::from(*own)),
        GuardPlace::Input(..) => None,
    };
    let Some(SizeTerm::Poly(poly)) = guards::number(size, &own) else { return false };
    let from = |symbol: &Symbol| {
        let least = known.get(symbol.as_str()).and_then(|range| range.min_val);
        (least.unwrap_or(0).max(0).into(), None)
    };
    poly.as_symbol().is_none() && poly.range(from).0.is_some_and(|own| own >= least.into())
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
