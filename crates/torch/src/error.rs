//! Why a program does not become a graph.

use std::path::PathBuf;

use opledger_dims::escaped;
use opledger_ir::GraphError;

/// An exported program that cannot be read, or that asks for what is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is no archive of an exported program.
    #[error("{}: {problem}", escaped(&.path.display().to_string()))]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Operations that are not known.
    #[error(
        "{} of the program {} not known:\n{}\nwith `--partial` the rest is counted, as a lower bound",
        if .0.len() == 1 { "1 operation".to_owned() } else { format!("{} operations", .0.len()) },
        if .0.len() == 1 { "is" } else { "are" },
        list(.0)
    )]
    Unknown(Vec<UnknownOperation>),
    /// A name for a symbol that the program does not have.
    #[error("the program has no symbol `{}` to name; it has {}", escaped(.own), known.join(", "))]
    NoSymbol {
        /// The symbol.
        own: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// A node whose arguments are not understood.
    #[error("{operation} in {module}: {problem}{}", line(.source_line.as_deref()))]
    Node {
        /// The operation.
        operation: String,
        /// The module that calls it.
        module: String,
        /// What is not understood.
        problem: String,
        /// Where in the user's model it stands.
        source_line: Option<String>,
    },
    /// A graph that does not fit together.
    #[error("{}: {}; operands: {}", .0.op, .0.problem, .0.operands)]
    Graph(#[from] GraphError),
}

/// An operation that is not known, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOperation {
    /// Its name, such as `aten.grid_sampler`.
    pub name: String,
    /// The first module that calls it.
    pub module: String,
    /// How often it is called.
    pub calls: usize,
    /// Where in the user's model the first call stands.
    pub source_line: Option<String>,
}

impl UnknownOperation {
    /// The first module that calls it, as a reader is told.
    pub fn place(&self) -> String {
        place(&self.module)
    }
}

/// A module as a reader is told.
pub(crate) fn place(module: &str) -> String {
    if module.is_empty() { "the model itself".to_owned() } else { module.to_owned() }
}

fn list(all: &[UnknownOperation]) -> String {
    let line = |one: &UnknownOperation| {
        let times = if one.calls == 1 { "once".to_owned() } else { format!("{} times", one.calls) };
        let line = line(one.source_line.as_deref()).replace("\n ", ",");
        let mend = mend(&one.name).map_or_else(String::new, |mend| format!("; {mend}"));
        format!("  {} in {}, {times}{line}{mend}", escaped(&one.name), escaped(&one.place()))
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What to write instead of an operation that no class of scalar operations says.
fn mend(name: &str) -> Option<&'static str> {
    const RANDOM: [&str; 14] = [
        "rand",
        "randn",
        "randint",
        "randperm",
        "bernoulli",
        "multinomial",
        "normal",
        "poisson",
        "exponential",
        "uniform",
        "cauchy",
        "geometric",
        "log_normal",
        "random",
    ];
    let Some(base) = name.strip_prefix("aten.").and_then(|rest| rest.split('.').next()) else {
        return Some(
            "an operator that a library brings says nothing of what it computes: give the module what it \
             gives as an input, or write it in operations of PyTorch",
        );
    };
    let base = base.strip_suffix('_').unwrap_or(base);
    if RANDOM.contains(&base.strip_suffix("_like").unwrap_or(base)) {
        return Some("make the random numbers an input of the module");
    }
    if base.starts_with("fft_") {
        return Some(
            "make what the Fourier transform gives an input of the module, or the transform a product",
        );
    }
    None
}

fn line(source: Option<&str>) -> String {
    source.map(|line| format!("\n  at {}", escaped(line))).unwrap_or_default()
}
