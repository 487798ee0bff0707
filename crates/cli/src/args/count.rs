//! Arguments of `count` and of `fit`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use opledger_account::{Assertion, AssertionError, Sweep};
use opledger_dims::Integer;
use opledger_ir::Elem;
use opledger_models::LatentForm;
use opledger_report::{Format, RowOrder};

use super::{
    COMMON, DEVICE_HELP, FORMAT_HELP, IMAGE_HELP, LATENT_HELP, ProgramArgs, ToolArgs, dtypes,
    formats, image, latent_forms,
};
use crate::sizes::bytes;
use crate::sweep::{counted, sweep};

/// Arguments of `count`.
#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    /// A layer such as mha:c=512,h=8 (see `opledger layers`), a published model such as llama-3.1-8b
    /// (see `opledger models`), a config.json, or a directory that holds one; several, to have a column of each
    #[arg(value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
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
    #[arg(long, value_name = "NAME", conflicts_with_all = ["conventions", "lengths", "lines", "sort", "top"], help = DEVICE_HELP)]
    pub(crate) device: Option<String>,
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

/// How a count is written: as a record, or the graph as a diagram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CountFormat {
    Record(Format),
    Mermaid,
}

fn counted_formats() -> impl TypedValueParser<Value = CountFormat> {
    let names = COMMON.iter().map(|format| format.name()).chain(["latex", "mermaid"]);
    PossibleValuesParser::new(names).try_map(|name| match &*name {
        "mermaid" => Ok(CountFormat::Mermaid),
        name => name.parse().map(CountFormat::Record),
    })
}

/// The columns by which rows are sorted.
pub(super) fn orders() -> impl TypedValueParser<Value = RowOrder> {
    let names = RowOrder::ALL.map(RowOrder::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RowOrder>())
}

fn asserted(text: &str) -> Result<Assertion, String> {
    text.parse().map_err(|problem: AssertionError| problem.to_string())
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
