//! Why a command ended without a result: one message each.

use std::path::PathBuf;

use opledger_account::AccountError;
use opledger_audit::AuditError;
use opledger_charts::ChartError;
use opledger_conventions::ConventionError;
use opledger_dims::{EvalError, Integer, Symbol, escaped, nearest};
use opledger_execute::ExecuteError;
use opledger_interp::RunError;
use opledger_ir::BindingError;
use opledger_measure::MeasureError;
use opledger_models::ConfigError;
use opledger_models::layer::LayerError;
use opledger_report::RenderError;
use opledger_verify::VerifyError;
use opledger_weights::{ConfigFileError, WeightsError};

use crate::tensors::TensorError;
use crate::text::TextError;

/// Why a command ended without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Account(AccountError),
    #[error("there is no command `{}`{}; `opledger help` lists them", escaped(name), near(nearest))]
    NoCommand { name: String, nearest: Option<String> },
    #[error("{own} is given a name twice")]
    NamedTwice { own: String },
    #[error("of `{name}`: {problem}{}", apart(problem))]
    Side { name: String, problem: Box<Failure> },
    #[error("--{option} is about one model; give one, or leave it out")]
    SeveralModels { option: &'static str },
    #[error("`{name}` was not read as a count: {problem}")]
    SavedCount { name: String, problem: String },
    #[error(
        "a saved count has no `{quantity}`; it has params, trainable, macs, flops, matmul-flops, bytes-read, bytes-written and classes"
    )]
    NotSaved { quantity: String },
    #[error(
        "an experiment with orders of tokens has n tokens of width c and h heads, and no {symbol}"
    )]
    ExperimentSize { symbol: Symbol },
    #[error("comparing `{first}` with `{second}`: {problem}{}", apart(problem))]
    Sides { first: String, second: String, problem: Box<Failure> },
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("`{model}` has not one input of token ids, so it takes no text")]
    NoIds { model: String },
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("`{}` could not be read as a table: {problem}", path.display())]
    Table { path: PathBuf, problem: String },
    #[error("these tables have no approximate rule to draw; those that have one: {known}")]
    NoRule { known: String },
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error("the chart could not be drawn: {0}")]
    Chart(#[from] ChartError),
    #[error("{problem}{}", did_you_mean(problem))]
    Convention { problem: ConventionError },
    #[error("--assert holds one count against its bounds; give {symbol} one size")]
    SweptAssertion { symbol: Symbol },
    #[error("--convention counts one size; give {symbol} one size")]
    SweptConvention { symbol: Symbol },
    #[error("--device tells of one count; give {symbol} one size")]
    SweptBound { symbol: Symbol },
    #[error("--sort and --top are about the rows of one count; give {symbol} one size")]
    SweptRows { symbol: Symbol },
    #[error(
        "--{option} and --new-tokens do not go together; count the prompt and a step apart, with --set p=…"
    )]
    Generated { option: &'static str },
    #[error("--output names `{}`, a file of the model; give the results a file of their own", path.display())]
    OwnFile { path: PathBuf },
    #[error("--set gives {symbol} twice; list its sizes once, as {symbol}=1,2,4")]
    TwiceSwept { symbol: Symbol },
    #[error("--set gives {first} and {second} several sizes; give one of them a single size")]
    Swept { first: Symbol, second: Symbol },
    #[error("a generation is counted at one size of {symbol}; give --set {symbol}=<size>")]
    SweptGeneration { symbol: Symbol },
    #[error(
        "the tensors of --input are of one size; give {symbol} one with --set {symbol}=<size>, or none"
    )]
    SweptInput { symbol: Symbol },
    #[error("--lengths counts one batch; give {symbol} one size")]
    SweptLengths { symbol: Symbol },
    #[error("`{}` could not be read as lengths of texts: {problem}", path.display())]
    Lengths { path: PathBuf, problem: String },
    #[error("how many {symbol} fit is what is asked; leave out --set {symbol}")]
    FittedSize { symbol: Symbol },
    #[error("--set gives {symbol} several sizes; only the number of items may have several")]
    FittedSizes { symbol: Symbol },
    #[error("a generation begins without earlier tokens; leave out --set {symbol}={size}")]
    GivenPast { symbol: Symbol, size: Integer },
    #[error("`{symbol}` is no size of this bench; its sizes are {known}")]
    Size { symbol: Symbol, known: &'static str },
    #[error("`{}` could not be read as a baseline: {problem}", path.display())]
    Baseline { path: PathBuf, problem: String },
    #[error("--{first} and --{second} both name `{}`; give each a file of its own", path.display())]
    SameFile { first: &'static str, second: &'static str, path: PathBuf },
    #[error("--set gives {symbol} twice: {first} and {second}")]
    Twice { symbol: Symbol, first: Integer, second: Integer },
    #[error("{symbol} is {fixed} in `{model}` and {given} by --set")]
    Conflict { symbol: Symbol, model: String, fixed: Integer, given: Integer },
    #[error("`{model}` has no size for {}; give {} with {}{hint}", list(symbols), if symbols.len() == 1 { "it" } else { "them" }, flags(symbols))]
    Unbound { model: String, symbols: Vec<Symbol>, hint: String },
    #[error("`{}` could not be read: {problem}", path.display())]
    Prompt { path: PathBuf, problem: String },
    #[error(
        "--dp cuts the items of a batch among {ranks} ranks; say how many there are, with --set {items}={ranks} or a multiple of it"
    )]
    NoItems { ranks: u64, items: Symbol },
    #[error(
        "`{name}` is what is counted here, and is explained beside a tool: opledger explain fvcore {name} MODEL"
    )]
    OwnCount { name: String },
    #[error(
        "`{name}` was written by `opledger {by}`; a side is a model, or what `opledger count … --format json` wrote"
    )]
    OtherRecord { name: String, by: &'static str },
    #[error(
        "both sides are counts that were saved, which are not counted again: leave out --{option}"
    )]
    SavedSides { option: &'static str },
    #[error("--format mermaid draws the graph of a model and no numbers: leave out --{option}")]
    Drawn { option: &'static str },
    #[error("a pool of {threads} threads could not be started: {problem}")]
    Threads { threads: usize, problem: String },
    #[error(transparent)]
    Execute(ExecuteError),
    #[error("`{model}` gives no scores of words; generating takes a causal language model")]
    NoScores { model: String },
    #[error(
        "no {what} has `{}` in what is said of it; without a text all are listed",
        escaped(text)
    )]
    NoneNamed { what: &'static str, text: String },
    #[error("the result could not be written to stdout: {0}")]
    Stdout(std::io::Error),
    #[error("`{}` could not be written: {problem}", path.display())]
    Write { path: PathBuf, problem: String },
}

impl From<AccountError> for Failure {
    /// What the command line can mend is told by its flags.
    fn from(problem: AccountError) -> Self {
        match problem {
            AccountError::Convention(problem) => Failure::Convention { problem },
            AccountError::Fixed { symbol, model, fixed, given } => {
                Failure::Conflict { symbol, model, fixed, given }
            }
            AccountError::Unbound { model, symbols, by_mask } => {
                let hint =
                    "; what a mask leaves follows from its contents, which `opledger run` has";
                let hint = if by_mask { hint.to_owned() } else { String::new() };
                Failure::Unbound { model, symbols, hint }
            }
            AccountError::Twice { symbol } => Failure::TwiceSwept { symbol },
            AccountError::GivenPast { symbol, size } => Failure::GivenPast { symbol, size },
            other => Failure::Account(other),
        }
    }
}

impl From<ConventionError> for Failure {
    fn from(problem: ConventionError) -> Self {
        Failure::Convention { problem }
    }
}

/// The known name that is nearest to one that is not known.
fn did_you_mean(problem: &ConventionError) -> String {
    let ConventionError::Unknown { name, known, .. } = problem else { return String::new() };
    let plain = name.split_once('@').map_or(name.as_str(), |(plain, _)| plain);
    let nearest = nearest(plain, known.iter().copied());
    nearest.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        Failure::Binding(error.into())
    }
}

/// What to do with models that have not the same sizes.
fn apart(problem: &Failure) -> &'static str {
    let unknown = matches!(
        problem,
        Failure::Account(AccountError::Binding(BindingError::Unknown { .. }))
            | Failure::Binding(BindingError::Unknown { .. })
    );
    if unknown {
        "; models side by side are counted at the same sizes: give those that all have, or count them apart"
    } else {
        ""
    }
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

fn list(symbols: &[Symbol]) -> String {
    let names: Vec<_> = symbols.iter().map(Symbol::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

fn flags(symbols: &[Symbol]) -> String {
    symbols.iter().map(|s| format!("--set {s}=<size>")).collect::<Vec<_>>().join(" ")
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Account(error) => error.into(),
            ExecuteError::Weights(error) => error.into(),
            ExecuteError::Program(error) => AccountError::from(error).into(),
            ExecuteError::Run(error) => error.into(),
            ExecuteError::NoScores { model } => Failure::NoScores { model },
            told @ (ExecuteError::Positions { .. }
            | ExecuteError::OtherTurns { .. }
            | ExecuteError::Gguf { .. }
            | ExecuteError::Blocks { .. }
            | ExecuteError::NoSource { .. }
            | ExecuteError::NoEncoder { .. }
            | ExecuteError::NoSounds { .. }
            | ExecuteError::NothingTrained
            | ExecuteError::TrainedSizes(_)
            | ExecuteError::Batches { .. }
            | ExecuteError::Room { .. }
            | ExecuteError::NonFinite { .. }
            | ExecuteError::Loss { .. }
            | ExecuteError::NoStart { .. }) => Failure::Execute(told),
        }
    }
}
