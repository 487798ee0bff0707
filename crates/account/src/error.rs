//! Why a question about a model has no answer.

use opledger_conventions::ConventionError;
use opledger_dims::{Binding, EvalError, Integer, Symbol};
use opledger_ir::{BindingError, Elem, SizeCondition};
use opledger_models::ConfigError;
use opledger_models::layer::LayerError;
use opledger_report::thousands;

/// Why a question about a model has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccountError {
    /// A text that is no layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A text that names no model, or a configuration that cannot be read or built.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model whose gradients are not known.
    #[error(transparent)]
    Gradient(#[from] opledger_grad::GradError),
    /// A model that is not cut among ranks so.
    #[error(transparent)]
    Partition(#[from] opledger_parallel::PartitionError),
    /// Formulas that are not compared, since no sizes fit that grow alike.
    #[error(
        "rows of formulas are compared as all free sizes grow alike, which those of `{model}` do not ({problem}); give them numbers with --set"
    )]
    NoGrowth {
        /// The model.
        model: String,
        /// Why.
        problem: String,
    },
    /// A cut that is not worked out for a model.
    #[error(
        "this cut is not worked out for `{model}`: {problem}; docs/parallel.md says which models each cut is for"
    )]
    Uncut {
        /// The model.
        model: String,
        /// What stands against it.
        problem: &'static str,
    },
    /// A file that is no configuration.
    #[cfg(feature = "files")]
    #[error(transparent)]
    File(#[from] opledger_weights::ConfigFileError),
    /// A text that names nothing.
    #[cfg(feature = "files")]
    #[error(
        "there is no model `{}`{}: no layer or published model (`opledger layers`, `opledger models`), no \
         file or folder, and nothing in the Hugging Face cache `{}`",
        opledger_dims::escaped(name),
        opledger_dims::did_you_mean(nearest),
        opledger_dims::escaped(&cache.to_string_lossy())
    )]
    NoModel {
        /// The text.
        name: String,
        /// What is called much the same.
        nearest: Option<&'static str>,
        /// The cache.
        cache: std::path::PathBuf,
    },
    /// A file that is no GGUF file.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Gguf(#[from] opledger_weights::GgufError),
    /// A GGUF file that holds other tensors than the model that its keys describe.
    #[error(
        "`{model}` holds {held} elements, and a model as its keys describe has {parameters} \
         parameters: the keys do not describe all of the file"
    )]
    OtherParameters {
        /// The model, as it was written.
        model: String,
        /// The elements that the file holds.
        held: Integer,
        /// The parameters of the model as it was read.
        parameters: Integer,
    },
    /// A program that PyTorch exported and that does not become a graph.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Program(#[from] opledger_torch::ImportError),
    /// A way of writing for a program, whose calls are known.
    #[error("`{model}` is a program, whose calls are recorded: leave out how it is written")]
    Recorded {
        /// The model, as it was written.
        model: String,
    },
    /// What PyTorch saves, asked of a program.
    #[error(
        "what PyTorch saves of `{model}` is not known: it is a program, whose tensors lie as it was run"
    )]
    SavedOfProgram {
        /// The model, as it was written.
        model: String,
    },
    /// A tool that watches one batch, for a step of several.
    #[error(
        "tools count a step of one batch, and gradients of {batches} are added; leave out --accumulate: each batch costs them the same"
    )]
    ToolOfBatches {
        /// How many batches there are.
        batches: u32,
    },
    /// A convention of the backward pass for a program of the forward pass.
    #[error(
        "{convention} counts the backward pass, and `{model}` is a program of the forward pass alone"
    )]
    Forward {
        /// The convention.
        convention: String,
        /// The model, as it was written.
        model: String,
    },
    /// Options of an exported program, given for another model.
    #[error("`{model}` is no exported program: names of symbols and a partial count are for those")]
    NoProgram {
        /// The model, as it was written.
        model: String,
    },
    /// Sizes that do not fit together, or that the model does not have.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// A convention that is not known or not applicable.
    #[error(transparent)]
    Convention(#[from] ConventionError),
    /// A size that the model has already, given as another.
    #[error("{symbol} is {fixed} in `{model}`, and {given} was given")]
    Fixed {
        /// The symbol.
        symbol: Symbol,
        /// The model, as it was written.
        model: String,
        /// Its size in the model.
        fixed: Integer,
        /// The size given.
        given: Integer,
    },
    /// A model that no framework's formula of a training step is about.
    #[error("formulas of training steps are about causal decoders, and not about `{model}`: {why}")]
    NoDecoder {
        /// The model, as it was written.
        model: String,
        /// Why not.
        why: String,
    },
    /// A framework's number of a training step beside a tool's of a forward pass.
    #[error(
        "`{step}` counts a training step and `{other}` a forward pass; the products of a step, counted here, \
         are `step-products`"
    )]
    StepAndForward {
        /// The framework.
        step: String,
        /// The other name.
        other: String,
    },
    /// A framework's formula beside what is counted module by module.
    #[error(
        "`{step}` is a formula and `{other}` a count of modules: put `step-products` beside the formula"
    )]
    FormulaAndTool {
        /// The framework.
        step: String,
        /// The other name.
        other: String,
    },
    /// A step that a tool was never seen to count.
    #[error("{convention} was not observed with {what}")]
    Unobserved {
        /// The convention.
        convention: String,
        /// What of the step it was not observed with.
        what: &'static str,
    },
    /// A tool's number of a forward pass, asked for of a training step.
    #[error(
        "{convention} counts a forward pass; of a step there are: {}", known.join(", ")
    )]
    NoStep {
        /// The convention.
        convention: String,
        /// Those that count steps.
        known: Vec<String>,
    },
    /// Lengths of texts that a model cannot be counted at.
    #[error("`{model}` is not counted by lengths of texts: {why}")]
    Lengths {
        /// The model, as it was written.
        model: String,
        /// Why not.
        why: String,
    },
    /// A size that no function of sizes gives.
    #[error("no function of sizes gives `{symbol}` of `{model}`: {definition}")]
    NoFunction {
        /// The model, as it was written.
        model: String,
        /// The size.
        symbol: Symbol,
        /// What it is.
        definition: String,
    },
    /// Symbols that need a size and have none.
    #[error("`{model}` has no size for {}{}", list(symbols), hint(*by_mask))]
    Unbound {
        /// The model, as it was written.
        model: String,
        /// The symbols.
        symbols: Vec<Symbol>,
        /// Whether one of them follows from the contents of a mask.
        by_mask: bool,
    },
    /// A size that leaves the range in which many sizes are counted.
    #[error("{symbol}={size} is more than any memory holds; give a smaller size")]
    Large {
        /// The symbol.
        symbol: Symbol,
        /// Its size.
        size: Integer,
    },
    /// More tokens than the model has positions for.
    #[error(
        "{tokens} tokens, and `{model}` has positions for {} (`{}` = {} in its configuration); give fewer",
        limit.tokens, limit.key, limit.positions
    )]
    Positions {
        /// The model, as it was written.
        model: String,
        /// How many tokens were given.
        tokens: Integer,
        /// How many fit.
        limit: opledger_models::PositionLimit,
    },
    /// A size beyond the rows of a table of positions.
    #[error("{symbol} = {size}, and `{model}` has positions for {most}; give fewer")]
    Rows {
        /// The model, as it was written.
        model: String,
        /// The size.
        symbol: Symbol,
        /// What was given.
        size: Integer,
        /// The most.
        most: u64,
    },
    /// Sizes that an exported program does not hold for.
    #[error(
        "`{model}` holds where {condition}, and not at {sizes}; export it again with examples of such \
         sizes"
    )]
    Exported {
        /// The model, as it was written.
        model: String,
        /// The sizes given.
        sizes: Binding,
        /// What they break.
        condition: SizeCondition,
    },
    /// Sizes other than the example's of a program with a condition that is not understood.
    #[error(
        "`{model}` holds under a condition that is not understood, so it is known to hold at {only} alone, and \
         not at {symbol} = {size}; export it again with examples of such sizes"
    )]
    Guarded {
        /// The model, as it was written.
        model: String,
        /// A size that differs.
        symbol: Symbol,
        /// What was given.
        size: Integer,
        /// The sizes of the example.
        only: Binding,
    },
    /// A symbol that is swept twice.
    #[error("{symbol} is given sizes twice; list them once")]
    Twice {
        /// The symbol.
        symbol: Symbol,
    },
    /// A grid of too many points.
    #[error("the sizes make a grid of {} points, over {}; take larger steps", thousands(points), thousands(&(*most).into()))]
    Grid {
        /// Points of the grid.
        points: Integer,
        /// The most that are counted.
        most: u32,
    },
    /// A generation with earlier tokens.
    #[error("a generation begins without earlier tokens; leave out {symbol}={size}")]
    GivenPast {
        /// The symbol of cached tokens.
        symbol: Symbol,
        /// The size it was given.
        size: Integer,
    },
    /// A generation by a model that has no cache.
    #[error("`{model}` takes no tokens one after the other from a cache")]
    NoCache {
        /// The model, as it was written.
        model: String,
    },
    /// Quantised weights whose bytes are not known.
    #[error(
        "`{model}` has weights that are quantised ({method}): how many bytes they take is not known"
    )]
    Quantised {
        /// The model, as it was written.
        model: String,
        /// How, as far as its configuration says.
        method: String,
    },
    /// A size that a parameter cannot have.
    #[error(transparent)]
    Size(#[from] opledger_ir::OpError),
    /// A question about tokens, of a model without any.
    #[error("`{model}` takes no tokens, of which there could be more or fewer")]
    NoTokens {
        /// The model, as it was written.
        model: String,
    },
    /// A device of which nothing is known.
    #[error(
        "there is no device `{}`{}; known are {}",
        opledger_dims::escaped(name),
        one_of(meant),
        known.join(", ")
    )]
    NoDevice {
        /// What it was called.
        name: String,
        /// Those that are called much the same.
        meant: Vec<&'static str>,
        /// All of them.
        known: Vec<&'static str>,
    },
    /// A device, and a type in whose products nobody says what it does.
    #[error(
        "what `{device}` does in products of {elem} is not known, only of {}; --dtype chooses the type",
        type_names(known)
    )]
    NoPeak {
        /// The device.
        device: String,
        /// The type.
        elem: Elem,
        /// The types that are known.
        known: Vec<Elem>,
    },
    /// One convention, where a difference is asked for.
    #[error("explain: `{name}` is given twice; give two conventions whose numbers may differ")]
    OneConvention {
        /// Its name, as it was written.
        name: String,
    },
    /// More or fewer than two conventions where a difference is asked for.
    #[error("explain: takes two conventions, not `all`")]
    TwoConventions,
}

impl From<EvalError> for AccountError {
    fn from(error: EvalError) -> Self {
        AccountError::Binding(error.into())
    }
}

fn list(symbols: &[Symbol]) -> String {
    let names: Vec<_> = symbols.iter().map(Symbol::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!(" (did you mean {one}?)"),
        several => format!(" (one of {}?)", several.join(", ")),
    }
}

fn type_names(types: &[Elem]) -> String {
    types.iter().map(|elem| elem.name()).collect::<Vec<_>>().join(", ")
}

fn hint(by_mask: bool) -> &'static str {
    if by_mask { "; what a mask leaves follows from its contents, which a run has" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_without_numbers_are_listed_and_those_of_a_mask_explained() {
        let told = |symbols: &[&str], by_mask| {
            let symbols = symbols.iter().map(|name| Symbol::from(*name)).collect();
            AccountError::Unbound { model: "x".to_owned(), symbols, by_mask }.to_string()
        };
        assert_eq!(told(&["b"], false), "`x` has no size for b");
        assert_eq!(told(&["b", "m", "n"], false), "`x` has no size for b, m and n");
        let pairs = told(&["pairs"], true);
        assert!(
            pairs.ends_with("pairs; what a mask leaves follows from its contents, which a run has")
        );
    }
}
