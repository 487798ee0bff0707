//! The command line: every flag is defined here once, with its help.

mod bench;
mod claims;
mod count;
mod derive;
mod diff;
mod lists;
mod manners;
mod parallel;
mod run;
mod tools;
mod train;

use std::collections::BTreeMap;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use opledger_account::{Model, ProgramOptions};
use opledger_dims::{Binding, Symbol};
use opledger_ir::{Elem, Kind};
use opledger_models::{LatentForm, Request};
use opledger_report::Format;

use crate::failure::Failure;
use crate::output::When;
use crate::sizes::{Assignment, assignment, binding};

pub(crate) use bench::{Bench, BenchArgs, BenchOptions, SweptSizes};
pub(crate) use claims::{AuditArgs, VerifyArgs};
use count::orders;
pub(crate) use count::{CountArgs, CountFormat, FitArgs};
pub(crate) use derive::DeriveArgs;
pub(crate) use diff::DiffArgs;
pub(crate) use lists::{LayersArgs, MachineArgs, ModelsArgs, PageArgs};
pub(crate) use manners::{CompleteArgs, CompletionsArgs, ManArgs, Shell};
pub(crate) use parallel::ParallelArgs;
pub(crate) use run::{Executor, GenerateArgs, RunArgs, TraceArgs, TracedBy};
pub(crate) use tools::{ConventionsArgs, ExplainArgs};
pub(crate) use train::{TrainArgs, TrainedBy};

const EXAMPLES: &str = "\
Examples:
  opledger verify                              settle every claim by execution
  opledger audit                               recompute published tables and formulas
  opledger derive mha                          closed forms in b, n, c, h
  opledger count mha:c=512,h=8 --set b=32 --set n=1024
  opledger run mha:c=512,h=8 --set b=32 --set n=1024
  opledger layers                              the kinds of layers there are
  opledger models                              the published models known by name
  opledger count llama-3.1-405b --set n=8192
  opledger bench attention --set n=256..8192:*2 --causal --svg attention.svg

A model is a layer written as kind:key=value,…; sizes without a value are symbols, such as
b (batch), n (tokens), m (source tokens), l (depth), which --set gives a size.";

/// Runs Transformers on the CPU and keeps an exact ledger of every scalar operation they execute.
#[derive(Debug, Parser)]
#[command(name = "opledger", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// When results are coloured: auto (in a terminal, unless NO_COLOR is set), always or never
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", global = true)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub(crate) color: When,
    /// When shares are drawn as bars: auto (in a terminal), always or never
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", global = true)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub(crate) bars: When,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Settle published claims about operation and parameter counts by execution
    Verify(VerifyArgs),
    /// Recompute published tables and formulas about the cost of Transformers
    Audit(AuditArgs),
    /// Count exactly, without running: any size, in no memory
    Count(CountArgs),
    /// Derive the closed form of every count
    Derive(DeriveArgs),
    /// Hold two models side by side: what the second costs more or less, by module
    Diff(DiffArgs),
    /// Explain why two tools print different numbers, to the last unit
    Explain(ExplainArgs),
    /// List the conventions by which tools count
    Conventions(ConventionsArgs),
    /// Find the most tokens that fit in so much memory
    Fit(FitArgs),
    /// Execute, and hold what was counted against the closed form
    Run(RunArgs),
    /// Execute, and write what ran when as a trace for a browser, or as a flame graph
    Trace(TraceArgs),
    /// Count a training step: forward pass, loss and gradients
    Train(TrainArgs),
    /// Cut a model among ranks: what they send each other, and what each holds
    Parallel(ParallelArgs),
    /// List the kinds of layers, their keys and defaults
    Layers(LayersArgs),
    /// List the published models that are known by name, with their parameters
    Models(ModelsArgs),
    /// Write a page that any browser shows offline: formulas of the published models, to be tried
    Page(PageArgs),
    /// Generate tokens with a causal model, and hold what each step counted against the closed form
    Generate(GenerateArgs),
    /// Say what this machine is, and measure its peak and its read bandwidth
    Machine(MachineArgs),
    /// Time the kernels, and hold what they reach against the measured peak
    Bench(BenchArgs),
    /// Write what a shell completes the words of this command line by
    Completions(CompletionsArgs),
    /// Say what may stand in the place of a word of this command line
    #[command(hide = true)]
    Complete(CompleteArgs),
    /// Write the manual page, of all or of one command
    Man(ManArgs),
}

/// Which model, and its sizes.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A layer such as mha:c=512,h=8 (see `opledger layers`), a published model such as llama-3.1-8b
    /// (see `opledger models`), a config.json, or a directory that holds one
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Give a symbol a size, such as b=32, n=1_024 or n=10^12; may be repeated
    #[arg(long = "set", value_name = "SYMBOL=SIZE", value_parser = assignment)]
    pub(crate) sizes: Vec<Assignment>,
    /// Let a causal model read p earlier tokens from a cache of keys and values; --set p=… implies it
    #[arg(long)]
    pub(crate) past: bool,
    #[arg(long, value_name = "FORM", value_parser = latent_forms(), help = LATENT_HELP)]
    pub(crate) latent: Option<LatentForm>,
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = image, help = IMAGE_HELP)]
    pub(crate) image: Option<[u64; 2]>,
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
}

impl ModelArgs {
    /// The model and its sizes.
    pub(crate) fn open(&self, request: Request) -> Result<(Model, Binding), Failure> {
        let sizes = binding(&self.sizes)?;
        let latent = self.latent.unwrap_or_default();
        let request = Request { past: self.past, latent, image: self.image, ..request };
        let model = Model::open_at(&self.model, request, &sizes, &self.program.options()?)?;
        Ok((model, sizes))
    }
}

/// How a program that PyTorch exported is read.
#[derive(Debug, Args)]
pub(crate) struct ProgramArgs {
    /// Call a symbol of an exported program so, such as s52=b; may be repeated
    #[arg(long = "name", value_name = "OWN=SYMBOL", value_parser = named)]
    pub(crate) names: Vec<(String, Symbol)>,
    /// Leave out operations of an exported program that are not known; the count is then a lower bound
    #[arg(long)]
    pub(crate) partial: bool,
}

impl ProgramArgs {
    /// The same as a library takes it.
    pub(crate) fn options(&self) -> Result<ProgramOptions, Failure> {
        let mut names = BTreeMap::new();
        for (own, symbol) in &self.names {
            if names.insert(own.clone(), symbol.clone()).is_some() {
                return Err(Failure::NamedTwice { own: own.clone() });
            }
        }
        Ok(ProgramOptions { names, partial: self.partial })
    }
}

/// Reads `own=symbol`.
fn named(text: &str) -> Result<(String, Symbol), String> {
    let word = |word: &str| {
        let starts = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        starts && word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
    };
    match text.split_once('=') {
        Some((own, symbol)) if word(own) && word(symbol) => {
            Ok((own.to_owned(), Symbol::new(symbol)))
        }
        _ => Err("it is not of the form own=symbol, such as s52=b".to_owned()),
    }
}

const DEVICE_HELP: &str = "Tell how long a device takes at least, by its peak and its bandwidth: h100-sxm, a100-sxm-80gb, …, or this, \
     which measures this machine";

const FORMAT_HELP: &str = "How the result is written to stdout";

/// The formats of every command.
const COMMON: [Format; 4] = [Format::Table, Format::Json, Format::Csv, Format::Markdown];

/// The formats of every command, and those of one command alone.
fn formats(own: &[Format]) -> impl TypedValueParser<Value = Format> {
    let names = COMMON.iter().chain(own).map(|format| format.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Format>())
}

const LATENT_HELP: &str =
    "In which order attention by a latent (DeepSeek) takes its products, and what it keeps";

const IMAGE_HELP: &str =
    "Give images of another size than the configuration's, where a model takes such (Swin, DINOv3)";

/// Reads `heightxwidth` in pixels.
fn image(text: &str) -> Result<[u64; 2], String> {
    let sides = text.split_once('x').map(|(height, width)| [height, width].map(str::parse::<u64>));
    match sides {
        Some([Ok(height), Ok(width)]) if height > 0 && width > 0 => Ok([height, width]),
        _ => Err("it is not of the form heightxwidth in pixels, such as 384x512".to_owned()),
    }
}

/// The forms of attention by a latent.
fn latent_forms() -> impl TypedValueParser<Value = LatentForm> {
    let value = |form: LatentForm| {
        PossibleValue::new(form.name()).help(match form {
            LatentForm::Expanded => {
                "keys and values of all heads anew from the latents kept, as transformers 5 does"
            }
            LatentForm::ExpandedOnce => "keys and values of all heads once, and they are kept",
            LatentForm::Absorbed => "heads attend to the latents themselves, which are kept",
        })
    };
    let values: Vec<PossibleValue> = LatentForm::ALL.into_iter().map(value).collect();
    PossibleValuesParser::new(values).try_map(|name| {
        let form = LatentForm::ALL.into_iter().find(|form| form.name() == name);
        form.ok_or("no form of attention by a latent")
    })
}

/// The types that reals are stored in.
fn dtypes() -> impl TypedValueParser<Value = Elem> {
    let reals = Elem::ALL.into_iter().filter(|elem| elem.kind() == Kind::Real);
    let value = |elem: Elem| PossibleValue::new(elem.name()).help(format!("{} bits", elem.bits()));
    let values: Vec<PossibleValue> = reals.map(value).collect();
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Elem>())
}

/// How the model is written that tools see, and what of them is mended.
#[derive(Debug, Args)]
pub(crate) struct ToolArgs {
    /// How the model is written in the framework that the tool watches: torch.nn, plain,
    /// transformers-eager, …; what is usual for the model by default
    #[arg(long, value_name = "WAY")]
    pub(crate) written: Option<String>,
    /// Mend a bug of the tools, such as left-aligned-broadcast; may be repeated
    #[arg(long, value_name = "BUG")]
    pub(crate) without: Vec<String>,
}
