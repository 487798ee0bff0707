//! Weights: safetensors files, one or several with an index, checked against a graph.
//!
//! A file is not trusted. Its header and its index are checked as a whole before any element is
//! read; what does not agree is an error that says where, and no size that a file claims is
//! allocated before the file is known to have it.
//!
//! Elements are read at their positions into buffers of this process. Files are not mapped into
//! memory: a file that another process cuts short would end this one with a signal, and since
//! tensors own their elements, those of a mapped file would be copied all the same.
//!
//! ```no_run
//! use opledger_dims::Binding;
//! use opledger_models::weights::{Checkpoint, Names};
//! # let (graph, binding) = (opledger_ir::Graph::new(), Binding::new());
//!
//! let names = Names::default().prefix("model.").tie("lm_head.weight", "embed_tokens.weight");
//! let checkpoint = Checkpoint::open("Llama-3.2-1B".as_ref())?;
//! let loaded = checkpoint.load(&graph, &binding, &names, None)?;
//! for (path, value) in loaded.tensors {
//!     println!("{path} {:?}", value.shape());
//! }
//! # Ok::<(), opledger_models::weights::WeightsError>(())
//! ```

mod checkpoint;
mod error;
mod header;
mod json;
mod load;
mod names;
mod plan;
mod read;

pub use checkpoint::Checkpoint;
pub use error::{Differences, WeightsError, escaped};
pub use header::{TensorInfo, parse_header};
pub use load::Loaded;
pub use names::{Names, Pattern};
pub use plan::fits;
pub use safetensors::Dtype;

/// The longest header or index that is read, in bytes: the limit of the `safetensors` library.
pub const MAX_HEADER: u64 = 100_000_000;

/// The most tensors that are read, of a file and of several together, and the most parameters.
pub const MAX_TENSORS: usize = 1 << 20;
