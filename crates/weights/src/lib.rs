//! The files of a model: its weights, in safetensors files, one or several with an index, which are
//! checked against a graph, and the configuration beside them.
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
//! # mod opledger {
//! #     pub use {opledger_dims::*, opledger_models as models, opledger_weights as weights};
//! # }
//! use opledger::{Binding, models::Names, weights::Checkpoint};
//! # let (graph, binding) = (opledger_ir::Graph::new(), Binding::new());
//!
//! let names = Names::default().prefix("model.").tie("lm_head.weight", "embed_tokens.weight");
//! let checkpoint = Checkpoint::open("Llama-3.2-1B".as_ref())?;
//! let loaded = checkpoint.load(&graph, &binding, &names, None)?;
//! for (path, value) in loaded.tensors {
//!     println!("{path} {:?}", value.shape());
//! }
//! # Ok::<(), opledger_weights::WeightsError>(())
//! ```

mod beside;
mod checkpoint;
mod config;
mod error;
mod files;
mod gguf;
mod header;
mod kinds;
mod limits;
mod load;
mod own;
mod plan;
mod read;

pub use checkpoint::Checkpoint;
pub use config::{CONFIG, ConfigFileError, GENERATION, read_config};
pub use error::{Differences, IndexError, WeightsError};
pub use files::read_bounded;
pub use gguf::{Gguf, GgufError, GgufProblem, GgufTensor};
pub use header::{EntryError, HeaderError, TensorInfo, parse_header};
pub use kinds::TensorKind;
pub use limits::{MAX_HEADER, MAX_TENSORS};
pub use load::{FoundParameters, Loaded, Read, Sink};
pub use own::files_of;
pub use plan::fits;
pub use safetensors::Dtype;
