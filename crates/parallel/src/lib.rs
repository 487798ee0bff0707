//! Graphs cut among ranks: how every value lies, what crosses between ranks, and the cut executed.
//!
//! A [`Strategy`] says which axes of parameters and inputs are cut; how all other values lie follows, operation
//! by operation, and where an operation needs an operand to lie in another way, a [`Transfer`] stands before it.
//! Its bytes are polynomials in the sizes of the graph. [`Partition::run`] executes every rank in one process,
//! and counts the bytes of the buffers that are handed from rank to rank.
//!
//! ```
//! # mod opledger { pub use {opledger_ir::*, opledger_ir as ir, opledger_parallel as parallel}; }
//! use opledger::{Graph, ir::{GraphError, ops::{Activation, Source}}};
//! use opledger::parallel::{Partition, Strategy};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", ["b", "n", "c"])?;
//! let up = g.param("up", Source::weight("c"), ["f", "c"])?;
//! let down = g.param("down", Source::weight("f"), ["c", "f"])?;
//! let inner = g.einsum("b n c, f c -> b n f", x, up)?;
//! let inner = g.activation(inner, Activation::GeluErf)?;
//! let y = g.einsum("b n f, c f -> b n c", inner, down)?;
//! g.output("y", y);
//!
//! let tensor = Strategy::Tensor { sequence: false, vocabulary: false };
//! let cut = Partition::new(&g, tensor, 4)?;
//! // One all-reduce around a ring: twice three quarters of `b·n·c` numbers of four bytes.
//! assert_eq!(cut.sent().to_string(), "6·b·n·c");
//! assert_eq!(cut.weights().to_string(), "2·f·c");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod exchange;
mod mesh;
mod partition;
mod pieces;
mod pipeline;
mod place;
mod placement;
mod plan;
mod ring;
mod rules;
mod run;
mod strategy;
mod threads;
mod transfer;

pub use error::PartitionError;
pub use partition::Partition;
pub use pipeline::{Pipeline, PipelineRun};
pub use placement::{Placement, Placements};
pub use ring::{CountingWire, Wire};
pub use run::{CutRun, Miscount};
pub use strategy::{MeshAxis, Strategy, Zero};
pub use transfer::{Collective, Transfer};
