//! Arguments of `bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use opledger_account::Sweep;
use opledger_report::Format;

use super::{FORMAT_HELP, formats};
use crate::sweep::{product, sweep};
use crate::threads::MOST;

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
