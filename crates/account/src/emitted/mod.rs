//! Formulas as code: functions without dependencies that give the exact numbers of a model.

mod code;
mod expression;
mod mathematics;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use opledger_dims::{Binding, Integer, Poly, Quantity, Symbol};
use opledger_ir::{Definition, Graph, SizeRole};

pub(crate) use self::expression::SizeExpression;
use self::expression::defined;
use crate::{AccountError, SizedModel};

/// In which language formulas are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Integers of any size.
    Python,
    /// `i128`, checked.
    Rust,
    /// `BigInt`.
    JavaScript,
    /// `__int128`, checked, of GCC and Clang.
    C,
    /// Expressions of the library.
    Sympy,
    /// Equations.
    Latex,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 6] = [
        Language::Python,
        Language::Rust,
        Language::JavaScript,
        Language::C,
        Language::Sympy,
        Language::Latex,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Rust => "rust",
            Language::JavaScript => "javascript",
            Language::C => "c",
            Language::Sympy => "sympy",
            Language::Latex => "latex",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Language::ALL.into_iter().find(|language| language.name() == text);
        found.ok_or_else(|| format!("`{}` is no language", opledger_dims::escaped(text)))
    }
}

/// What is written.
pub(crate) struct EmittedCode {
    /// What it is of, and where from, a line each.
    about: Vec<String>,
    /// What has to hold of sizes.
    conditions: Vec<String>,
    /// The sizes it is a function of.
    sizes: Vec<Symbol>,
    /// What follows from them, in this order.
    steps: Vec<(Symbol, SizeExpression)>,
    /// Its functions: their names, what they are, and their formulas.
    functions: Vec<(String, &'static str, Poly)>,
    /// Sizes, and what the functions give there, worked out apart from the code.
    checks: Vec<Check>,
}

/// Sizes, and what the functions give there.
struct Check {
    at: Vec<Integer>,
    values: Vec<Integer>,
}

/// The free sizes that numbers follow from, and how.
pub(crate) struct Course {
    pub(crate) free: Vec<Symbol>,
    pub(crate) steps: Vec<(Symbol, SizeExpression)>,
}

/// The functions.
const QUANTITIES: [Quantity; 6] = [
    Quantity::Macs,
    Quantity::Flops,
    Quantity::MatmulFlops,
    Quantity::Parameters,
    Quantity::BytesRead,
    Quantity::BytesWritten,
];

/// The longest sizes at which functions are checked: one, small ones, then longer texts than any window has.
const POINTS: [u64; 5] = [1, 9, 100, 1_907, 30_011];

impl SizedModel<'_> {
    /// Functions that give what the model costs, without dependencies, with where they come from, the sizes at
    /// which they hold, and a table to check them by.
    ///
    /// ```
    /// use opledger::Model;
    /// use opledger::account::Language;
    ///
    /// let model = Model::open("linear:in=4,out=5,bias=false")?;
    /// let code = model.partly_at(&Default::default())?.emit(Language::Python)?;
    /// assert!(code.contains("def macs(b, n):\n"));
    /// assert!(code.contains("    return 20*b*n\n"));
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When a size follows from what no function of sizes sees: the contents of a mask.
    pub fn emit(&self, language: Language) -> Result<String, AccountError> {
        let program = self.program()?;
        Ok(match language {
            Language::Python => code::python(&program),
            Language::JavaScript => code::javascript(&program),
            Language::Rust => code::rust(&program),
            Language::C => code::c(&program),
            Language::Sympy => mathematics::sympy(&program),
            Language::Latex => mathematics::latex(&program),
        })
    }

    fn program(&self) -> Result<EmittedCode, AccountError> {
        let graph = self.graph();
        let formulas: Vec<Poly> =
            QUANTITIES.iter().map(|own| graph.quantity(*own).bind(self.sizes())).collect();
        let needed: BTreeSet<Symbol> = formulas.iter().flat_map(Poly::symbols).collect();
        let Course { free: sizes, steps } = self.steps_to(needed)?;
        let functions = QUANTITIES.iter().zip(&formulas);
        let functions = functions
            .map(|(own, formula)| (own.name().replace('-', "_"), own.meaning(), formula.clone()));
        let mut about = vec![format!("What `{}` costs.", self.model().name())];
        about.push(format!(
            "Derived from its graph by opledger {}; every number is exact.",
            env!("CARGO_PKG_VERSION")
        ));
        if !self.sizes().is_empty() {
            about.push(format!("Its own sizes are put in: {}.", self.sizes()));
        }
        let checks = self.checks(&sizes, &formulas)?;
        let past = graph.size_of(SizeRole::Past).filter(|past| sizes.contains(past));
        let past = past.map(|past| format!(", and {past} 0 or more")).unwrap_or_default();
        let mut conditions = vec![format!("sizes are whole numbers, 1 or more{past}")];
        conditions.extend(self.products(&sizes).map(Definition::to_string));
        let recorded = self.model().recorded();
        conditions.extend(recorded.notes.iter().cloned());
        conditions.extend(recorded.conditions.iter().map(ToString::to_string));
        if let Some(limit) = &self.model().recorded().positions
            && !limit.computed
        {
            let (tokens, key) = (limit.tokens, limit.key);
            conditions.push(format!("there are at most {tokens} tokens (`{key}`)"));
        }
        Ok(EmittedCode { about, conditions, sizes, steps, functions: functions.collect(), checks })
    }

    /// Products of sizes that are all given, which have to agree.
    fn products<'a>(&'a self, sizes: &'a [Symbol]) -> impl Iterator<Item = &'a Definition> {
        self.graph().definitions().iter().filter(|definition| match definition {
            Definition::Product { whole, factors } => {
                sizes.contains(whole) && factors.iter().any(|factor| sizes.contains(factor))
            }
            _ => false,
        })
    }

    fn steps_to(&self, needed: BTreeSet<Symbol>) -> Result<Course, AccountError> {
        course(self.graph(), self.model().name(), needed, self.sizes())
    }

    /// The functions at some sizes, worked out by the graph's own definitions.
    fn checks(&self, sizes: &[Symbol], formulas: &[Poly]) -> Result<Vec<Check>, AccountError> {
        let mut checks = Vec::new();
        for longest in POINTS {
            let mut binding = self.sizes().clone();
            for (at, symbol) in sizes.iter().enumerate() {
                binding.set(symbol, (longest / (at as u64 + 1)).max(1));
            }
            for definition in self.products(sizes) {
                let Definition::Product { whole, factors: [a, b] } = definition else { continue };
                let of = |symbol| binding.get(symbol).cloned().unwrap_or_else(|| 3.into());
                let product = of(a) * of(b);
                binding.set(whole, product);
            }
            let Ok(complete) = self.graph().complete(&binding) else { continue };
            let values = formulas.iter().map(|formula| formula.at(&complete));
            let Ok(values) = values.collect::<Result<Vec<_>, _>>() else { continue };
            let at = sizes.iter().filter_map(|symbol| complete.get(symbol).cloned()).collect();
            checks.push(Check { at, values });
        }
        Ok(checks)
    }
}

/// The free sizes that symbols follow from, and how, where some have a size.
pub(crate) fn course(
    graph: &Graph,
    model: &str,
    needed: BTreeSet<Symbol>,
    sizes: &Binding,
) -> Result<Course, AccountError> {
    let mut open: Vec<Symbol> = needed.into_iter().collect();
    let mut free = BTreeSet::new();
    let mut steps: Vec<(Symbol, SizeExpression)> = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(symbol) = open.pop() {
        if !seen.insert(symbol.clone()) {
            continue;
        }
        let defines = |definition: &&Definition| {
            let product = matches!(definition, Definition::Product { .. });
            !product && definition.defines().contains(&&symbol)
        };
        let Some(definition) = graph.definitions().iter().find(defines) else {
            free.insert(symbol);
            continue;
        };
        let bound = definition.with_sizes(sizes);
        let Some(all) = defined(&bound) else {
            let (model, definition) = (model.to_owned(), definition.to_string());
            return Err(AccountError::NoFunction { model, symbol, definition });
        };
        for (name, expression) in all {
            if name == symbol {
                open.extend(expression.symbols());
                steps.push((name, expression));
            }
        }
    }
    // Each after what it is made of.
    let mut ordered: Vec<(Symbol, SizeExpression)> = Vec::new();
    while !steps.is_empty() {
        let ready = |(_, own): &(Symbol, SizeExpression)| {
            let known = |s: &Symbol| free.contains(s) || ordered.iter().any(|(o, _)| o == s);
            own.symbols().iter().all(known)
        };
        let at = steps.iter().position(ready).unwrap_or(0);
        let step = steps.remove(at);
        ordered.push(step);
    }
    let in_graph = graph.symbols();
    let order = |symbol: &Symbol| in_graph.iter().position(|own| own == symbol);
    let mut free: Vec<Symbol> = free.into_iter().collect();
    free.sort_by_key(|symbol| order(symbol));
    Ok(Course { free, steps: ordered })
}

impl SizeExpression {
    fn symbols(&self) -> Vec<Symbol> {
        match self {
            SizeExpression::Poly(poly) => poly.symbols().into_iter().collect(),
            SizeExpression::Add(a, b)
            | SizeExpression::Sub(a, b)
            | SizeExpression::Mul(a, b)
            | SizeExpression::Floor(a, b)
            | SizeExpression::Min(a, b)
            | SizeExpression::Max(a, b)
            | SizeExpression::Gcd(a, b) => {
                let mut all = a.symbols();
                all.extend(b.symbols());
                all
            }
        }
    }
}

/// What a program is of, where it is from, and where it holds, as comments.
fn comments(program: &EmittedCode, mark: &str) -> String {
    let held = program.conditions.iter().map(|condition| format!("Holds where {condition}."));
    let lines = program.about.iter().cloned().chain(held);
    lines.map(|line| format!("{mark} {}\n", opledger_dims::escaped_within(&line, 4096))).collect()
}

/// Words that a language here has taken, or the code itself.
const TAKEN: &[&str] = &[
    "and", "as", "bad", "def", "del", "do", "fn", "for", "if", "in", "int", "is", "let", "long",
    "max", "min", "mod", "new", "not", "or", "pub", "try", "use", "var",
];

/// Sizes are names in every language here, but for words that one of them has taken.
pub(crate) fn name_of(symbol: &Symbol) -> String {
    let text = symbol.to_string();
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if TAKEN.contains(&&*plain) { format!("{plain}_") } else { plain }
}

#[cfg(test)]
fn evaluated(model: &SizedModel<'_>, sizes: &Binding, of: Quantity) -> Option<Integer> {
    let complete = model.graph().complete(sizes).ok()?;
    model.graph().quantity(of).at(&complete).ok()
}
