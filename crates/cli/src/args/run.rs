//! Arguments of `run` and of `generate`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use opledger_models::LatentForm;
use opledger_report::{Format, RunOrder};

use super::{FORMAT_HELP, LATENT_HELP, ModelArgs, formats, latent_forms};
use crate::threads::MOST;

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
    /// Show the first values of each result
    #[arg(long)]
    pub(crate) show: bool,
    /// Group nodes by the first D segments of their paths
    #[arg(long, value_name = "D")]
    pub(crate) depth: Option<usize>,
    /// Sort the rows by a column, numbers the greatest first
    #[arg(long, value_name = "COLUMN", value_parser = orders())]
    pub(crate) sort: Option<RunOrder>,
    /// Show the first K rows, sorted by --sort or else by ms, and the others summed as (rest)
    #[arg(long, value_name = "K")]
    pub(crate) top: Option<usize>,
    /// Measure the peak and the read bandwidth of this machine first, and tell what share of the speed that they
    /// allow each node reaches
    #[arg(long, value_name = "NAME", value_parser = ["this"])]
    pub(crate) device: Option<String>,
    /// Write the results to a safetensors file, whole or not at all
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[arg(long, default_value = "table", value_parser = formats(&[]), help = FORMAT_HELP)]
    pub(crate) format: Format,
}

/// The columns by which rows are sorted.
fn orders() -> impl TypedValueParser<Value = RunOrder> {
    let names = RunOrder::ALL.map(RunOrder::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RunOrder>())
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The file for the events of the run, which chrome://tracing and Perfetto open
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["flame", "folded"])]
    pub(crate) output: Option<PathBuf>,
    /// Draw the modules as a flame graph into an SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) flame: Option<PathBuf>,
    /// Write the modules as folded stacks, which flamegraph.pl and speedscope read
    #[arg(long, value_name = "FILE")]
    pub(crate) folded: Option<PathBuf>,
    /// What the flame graph and the stacks are of
    #[arg(long, value_enum, value_name = "WHAT", default_value = "flops")]
    pub(crate) by: TracedBy,
    /// Seed of the tensors that are not given
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many threads execute [default: all cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    pub(crate) threads: Option<u16>,
    /// How often to execute; the run with the median time is told
    #[arg(long, value_name = "R", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,
    /// Read inputs and parameters, by path or input name, from a safetensors file
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
}

/// What a flame graph is of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TracedBy {
    /// Useful scalar operations
    Flops,
    /// Nanoseconds
    Time,
    /// Bytes that were moved
    Bytes,
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
    /// Read and show text by this tokenizer.json, of a GGUF file for instance, in place of the one beside the
    /// weights
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    pub(crate) tokenizer: Option<PathBuf>,
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
