//! What this machine can do, and what the kernels do on it.
//!
//! [`Machine`] says what the hardware is, [`probe`] measures its peak of fused multiply-adds and its
//! read bandwidth, and [`run`] times attention, layers, matrix products and decoding, holding each
//! against the roof that was measured in the same run. What was measured can be saved, compared with
//! what was saved before, and drawn ([`BenchResult::chart`]).
//!
//! Useful operations come from the ledger of the timed runs themselves. Rates count contractions
//! only, by the convention `matmul-flops`: a multiplication and its addition are two operations.

mod baseline;
mod bench;
mod chart;
mod comparison;
mod error;
mod machine;
mod probes;
mod table;
mod times;
mod work;
mod workload;

pub use baseline::Baseline;
pub use bench::{BenchCase, BenchPlan, BenchPoint, BenchResult, Roof, run};
pub use comparison::{Comparison, PointComparison};
pub use error::MeasureError;
pub use machine::{CacheLevel, Machine};
pub use probes::{MachineReport, MachineRoofs, Measured, RoofKind, probe, roofs};
pub use times::{Times, Timing};
pub use workload::{AttentionWorkload, GemmWorkload, LayerWorkload, Workload};
