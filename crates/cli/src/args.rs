//! The command line: every flag is defined here once, with its help.

mod diff;
mod manners;
mod parallel;
mod train;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use opledger_account::{
    Assertion, AssertionError, Attending, Language, Model, ProgramOptions, Sweep,
};
use opledger_dims::{Binding, Integer, Symbol};
use opledger_grad::Recompute;
use opledger_ir::{Elem, Kind};
use opledger_models::{LatentForm, Request};
use opledger_report::{Format, RowOrder};

use crate::failure::Failure;
use crate::sizes::{Assignment, assignment, binding, bytes};
use crate::sweep::{counted, product, sweep};
use crate::threads::MOST;

pub(crate) use diff::DiffArgs;
pub(crate) use manners::{CompletionsArgs, ManArgs};
pub(crate) use parallel::ParallelArgs;
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
    /// Cut a model among ranks: the bytes they send each other, and the parameters each holds
    Parallel(ParallelArgs),
    /// Count a training step: forward pass, loss and gradients
    Train(TrainArgs),
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

const FORMAT_HELP: &str = "How the result is written to stdout";

/// The formats of every command.
const COMMON: [Format; 4] = [Format::Table, Format::Json, Format::Csv, Format::Markdown];

/// The formats of every command, and those of one command alone.
fn formats(own: &[Format]) -> impl TypedValueParser<Value = Format> {
    let names = COMMON.iter().chain(own).map(|format| format.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Format>())
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The claims to settle, such as B2; all when none is named
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// List the claims and settle none
    #[arg(long)]
    pub(crate) list: bool,
    /// Leave out the largest executions
    #[arg(long)]
    pub(crate) quick: bool,
    /// Show the evidence line by line
    #[arg(long)]
    pub(crate) details: bool,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The tables to show cell by cell, such as vaswani-table-3 or a file mine.json of the same form; all,
    /// in a line each, when none is named
    #[arg(value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// Draw the error of the table's approximate rule
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `count`.
#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    /// A layer such as mha:c=512,h=8 (see `opledger layers`), a published model such as llama-3.1-8b
    /// (see `opledger models`), a config.json, or a directory that holds one
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Give a symbol a size, such as b=32, n=1_024 or n=10^12, or several: n=1,2,4, n=128..131072:*2,
    /// p=0..4096:+64; several symbols with several sizes make a grid
    #[arg(long = "set", value_name = "SYMBOL=SIZES", value_parser = counted)]
    pub(crate) sizes: Vec<Sweep>,
    /// Let a causal model read p earlier tokens from a cache of keys and values; --set p=… implies it
    #[arg(long)]
    pub(crate) past: bool,
    #[arg(long, value_name = "FORM", value_parser = latent_forms(), help = LATENT_HELP)]
    pub(crate) latent: Option<LatentForm>,
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = image, help = IMAGE_HELP)]
    pub(crate) image: Option<[u64; 2]>,
    /// Count a whole generation: a run over n tokens, then K − 1 steps of one token each
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) new_tokens: Option<u64>,
    /// The type of parameters and of the cache, for the bytes they take; by default the one that a
    /// configuration says, else f32
    #[arg(long, value_parser = dtypes())]
    pub(crate) dtype: Option<Elem>,
    /// Group nodes by the first D segments of their paths
    #[arg(long, value_name = "D")]
    pub(crate) depth: Option<usize>,
    /// Sort the rows by a column, numbers the greatest first
    #[arg(long, value_name = "COLUMN", value_parser = orders(), conflicts_with_all = ["conventions", "new_tokens", "lengths"])]
    pub(crate) sort: Option<RowOrder>,
    /// Show the first K rows, sorted by --sort or else by flops, and the others summed as (rest)
    #[arg(long, value_name = "K", conflicts_with_all = ["conventions", "new_tokens", "lengths"])]
    pub(crate) top: Option<usize>,
    /// Show the line of source that each node comes from: of the Python model for a .pt2, of the
    /// layer for others
    #[arg(long = "where", conflicts_with_all = ["depth", "conventions", "new_tokens"])]
    pub(crate) lines: bool,
    /// Read the inputs that masks follow from, by name, from a safetensors file: what they hide is not
    /// counted, and sizes that are not given are those of the tensors
    #[arg(long, value_name = "FILE", conflicts_with = "new_tokens")]
    pub(crate) input: Option<PathBuf>,
    /// Count a batch of texts of unequal lengths, packed and padded side by side: a file with the tokens of one
    /// text a line
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["conventions", "new_tokens", "input", "lines", "depth", "assertions", "dtype"]
    )]
    pub(crate) lengths: Option<PathBuf>,
    /// Count as a tool does, such as fvcore (see `opledger conventions`), or as all of them do in a
    /// forward pass; may be repeated
    #[arg(long = "convention", value_name = "TOOL")]
    pub(crate) conventions: Vec<String>,
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    #[command(flatten)]
    pub(crate) tools: ToolArgs,
    /// Draw the numbers of --convention as bars into an SVG file
    #[arg(long, value_name = "FILE", requires = "conventions")]
    pub(crate) svg: Option<PathBuf>,
    /// Exit with 1 unless this holds, such as 'params == 124439808' or 'fvcore <= 2.5e9'; may be
    /// repeated
    #[arg(long = "assert", value_name = "ASSERTION", value_parser = asserted)]
    pub(crate) assertions: Vec<Assertion>,
    #[arg(long, default_value = "table", value_parser = counted_formats(), help = FORMAT_HELP)]
    pub(crate) format: CountFormat,
}

/// Arguments of `fit`.
#[derive(Debug, Args)]
pub(crate) struct FitArgs {
    /// A published model such as llama-3.1-8b (see `opledger models`), a config.json, or a directory that
    /// holds one
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// The bytes that may be taken, such as 24GB (24·10^9), 24GiB (24·2^30) or 24_000_000_000
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) memory: Integer,
    /// Give a symbol a size, or the number of items several, such as b=1,8,32
    #[arg(long = "set", value_name = "SYMBOL=SIZES", value_parser = sweep)]
    pub(crate) sizes: Vec<Sweep>,
    #[arg(long, value_name = "FORM", value_parser = latent_forms(), help = LATENT_HELP)]
    pub(crate) latent: Option<LatentForm>,
    /// The type of weights and computed values; by default the one that a configuration says, else f32
    #[arg(long, value_parser = dtypes())]
    pub(crate) dtype: Option<Elem>,
    /// The type of keys and values in the cache, by default that of the weights
    #[arg(long, value_parser = dtypes())]
    pub(crate) cache_dtype: Option<Elem>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// How a count is written: as a record, or the graph as a diagram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CountFormat {
    Record(Format),
    Mermaid,
}

fn counted_formats() -> impl TypedValueParser<Value = CountFormat> {
    let names = COMMON.iter().map(|format| format.name()).chain(["mermaid"]);
    PossibleValuesParser::new(names).try_map(|name| match &*name {
        "mermaid" => Ok(CountFormat::Mermaid),
        name => name.parse().map(CountFormat::Record),
    })
}

/// The columns by which rows are sorted.
fn orders() -> impl TypedValueParser<Value = RowOrder> {
    let names = RowOrder::ALL.map(RowOrder::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RowOrder>())
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

fn asserted(text: &str) -> Result<Assertion, String> {
    text.parse().map_err(|problem: AssertionError| problem.to_string())
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

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A convention (see `opledger conventions`)
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// Another
    #[arg(value_name = "B")]
    pub(crate) second: String,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) tools: ToolArgs,
    /// Of a training step, forward and backward, not of a forward pass
    #[arg(long, conflicts_with = "without")]
    pub(crate) step: bool,
    /// What of a step is computed again, as of `train`
    #[arg(long, value_name = "WHAT", default_value = "none", requires = "step")]
    pub(crate) recompute: Recompute,
    /// How PyTorch's function of attention runs in what the tool sees of a step: usual, as PyTorch chooses for
    /// the model as its library builds it; fused, nothing dropped out; or math, by products
    #[arg(long, value_name = "HOW", default_value = "usual", requires = "step")]
    pub(crate) attention: Attending,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `conventions`.
#[derive(Debug, Args)]
pub(crate) struct ConventionsArgs {
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `derive`.
#[derive(Debug, Args)]
pub(crate) struct DeriveArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[arg(long, default_value = "table", value_parser = formats(&[Format::Latex]), help = FORMAT_HELP)]
    pub(crate) format: Format,
    /// Write the formulas as functions without dependencies, which give the exact numbers, with a table to
    /// check them by; sizes that --set gives are put in
    #[arg(long, value_name = "LANGUAGE", value_parser = languages(), conflicts_with = "format")]
    pub(crate) emit: Option<Language>,
}

/// The languages of formulas.
fn languages() -> impl TypedValueParser<Value = Language> {
    let names = Language::ALL.map(Language::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Language>())
}

/// Who executes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Executor {
    /// Vectorised kernels on all cores
    Fast,
    /// Textbook loops on scalars that count themselves
    Oracle,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Seed of the tensors that are not given
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many threads execute; results are the same bits for any number [default: all cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    pub(crate) threads: Option<u16>,
    /// Who executes
    #[arg(long, value_enum, default_value = "fast")]
    pub(crate) interpreter: Executor,
    /// How often to execute; tensors are drawn or read once
    #[arg(long, value_name = "R", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,
    /// Read inputs and parameters, by path or input name, from a safetensors file (reals as F32,
    /// F16 or BF16, whole numbers as I64, I32, U8 or BOOL)
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Read text as `input_ids`, by the tokenizer.json beside the weights; may be repeated, each text
    /// then being an item and the shorter ones padded
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    pub(crate) text: Vec<String>,
    /// Write the results to a safetensors file, whole or not at all
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `layers`.
#[derive(Debug, Args)]
pub(crate) struct LayersArgs {
    /// Only those with this text in its name or summary, in any case
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// Only those with this text in its name, family or source, in any case
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `page`.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// The file it is written to
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("prompt").required(true).args(["ids", "text", "text_file"])))]
pub(crate) struct GenerateArgs {
    /// A directory with config.json and weights; of a published model or a bare config.json the
    /// weights are drawn from the seed
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// The ids of the tokens to go on from, such as 1,15043,29892
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) ids: Vec<u32>,
    /// The text to go on from, by the tokenizer.json beside the weights
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// The file with the text to go on from
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) text_file: Option<PathBuf>,
    /// Read the sound for an encoder of sounds, `input_features`, from a safetensors file; drawn otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    #[arg(long, value_name = "FORM", value_parser = latent_forms(), help = LATENT_HELP)]
    pub(crate) latent: Option<LatentForm>,
    /// How many tokens to add at most; each is the one with the highest score, unless --sample is given
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) new_tokens: u32,
    /// Leave out the first tokens of a text that is too long for the model's positions with those to add,
    /// which is refused otherwise
    #[arg(long)]
    pub(crate) truncate: bool,
    /// Go on after a token that ends the text (eos_token_id of generation_config.json, else of
    /// config.json)
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// Draw tokens, with this seed, as generation_config.json says
    #[arg(long, value_name = "SEED")]
    pub(crate) sample: Option<u64>,
    /// What scores are divided by before tokens are drawn
    #[arg(long, value_name = "X", requires = "sample", value_parser = above_zero)]
    pub(crate) temperature: Option<f64>,
    /// Draw from so many tokens with the highest scores; from all with 0
    #[arg(long, value_name = "K", requires = "sample")]
    pub(crate) top_k: Option<usize>,
    /// Draw from the most probable tokens that have this probability together
    #[arg(long, value_name = "P", requires = "sample", value_parser = share)]
    pub(crate) top_p: Option<f64>,
    /// Divide the scores of tokens that stand in the text already; the file's by default, 1 for none
    #[arg(long, value_name = "X", value_parser = above_zero)]
    pub(crate) repetition_penalty: Option<f64>,
    /// Seed of the weights that are not given
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many threads execute; results are the same bits for any number [default: all cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    pub(crate) threads: Option<u16>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0 && x.is_finite());
    number.ok_or_else(|| "it is no number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0 && *x <= 1.0);
    number.ok_or_else(|| "it is no number above 0 and at most 1".to_owned())
}

/// Arguments of `machine`.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) bench: Bench,
}

/// What is timed.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Fused attention of n queries over n keys
    Attention {
        #[command(flatten)]
        sizes: SweptSizes,
        /// A query sees no later key
        #[arg(long)]
        causal: bool,
        #[command(flatten)]
        options: BenchOptions,
    },
    /// A layer, its ledger included
    Layer {
        /// A layer written as kind:key=value,…; see `opledger layers`
        #[arg(value_name = "MODEL", default_value = "encoder-layer:c=512,h=8,ff=2048")]
        model: String,
        /// Give a symbol a size, or one symbol several: n=128, n=1,2,4, n=256..8192:*2
        /// [default: b=1 n=128..2048:*2]
        #[arg(long = "set", value_name = "SYMBOL=SIZES", value_parser = sweep)]
        sizes: Vec<Sweep>,
        #[command(flatten)]
        options: BenchOptions,
    },
    /// Matrix products by weights packed before
    Gemm {
        /// Rows, terms and columns [default: products of common Transformers]
        #[arg(value_name = "MxKxN", value_parser = product)]
        shapes: Vec<[usize; 3]>,
        #[command(flatten)]
        options: BenchOptions,
    },
    /// Fused attention of one query over a cache of n keys and values
    Decode {
        #[command(flatten)]
        sizes: SweptSizes,
        #[command(flatten)]
        options: BenchOptions,
    },
}

/// Sizes of attention.
#[derive(Debug, Args)]
pub(crate) struct SweptSizes {
    /// Give b (batch), h (heads), kv (heads of keys and values), e (width of a head) or n (tokens) a
    /// size, or one of them several: n=128, n=1,2,4, n=256..8192:*2
    #[arg(long = "set", value_name = "SYMBOL=SIZES", value_parser = sweep)]
    pub(crate) sizes: Vec<Sweep>,
}

/// Options of every bench.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// How many threads execute [default: all cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    pub(crate) threads: Option<u16>,
    /// How long each point is timed at least, after a third of it to warm up
    #[arg(long, value_name = "S", default_value = "0.3", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Draw the points and the roof
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Save the result, for a later --baseline
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Compare with a result that was saved
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// Reads a duration.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.0..=3600.0).contains(s));
    let seconds = seconds.ok_or("it is no number of seconds from 0 to 3600, such as 0.3")?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}
