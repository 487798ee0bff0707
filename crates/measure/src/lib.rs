//! What this machine can do, and what the kernels do on it.
//!
//! [`Machine`] says what the hardware is, [`probe`] measures its peak of fused multiply-adds and its
//! read bandwidth, and [`run`] times attention, layers, matrix products and decoding, holding each
//! against the roof that was measured in the same run. What was measured can be saved, compared with
//! what was saved before, and drawn ([`Bench::chart`]).
//!
//! Useful operations come from the ledger of the timed runs themselves. Rates count contractions
//! only, by the convention `matmul-flops`: a multiplication and its addition are two operations.

mod baseline;
mod bench;
mod chart;
mod error;
mod machine;
mod probes;
mod problem;
mod table;
mod times;
mod work;

pub use baseline::{Against, Comparison, Saved};
pub use bench::{Bench, Case, Plan, Point, Roof, run};
pub use error::MeasureError;
pub use machine::{Cache, Machine};
pub use probes::{MachineReport, Measured, Quantity, probe};
pub use problem::{Attention, Gemm, Layer, Problem};
pub use times::{Settings, Times};
