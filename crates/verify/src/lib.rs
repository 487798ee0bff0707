//! Published claims about operation and parameter counts, settled by execution.
//!
//! Every claim is a statement of a source with the formula or number it gives. [`settle`] derives
//! the formula from the recorded graph, executes the graph by the oracle on a grid of sizes that
//! identifies it and by the kernels at the claim's own size, and compares. A verdict is computed;
//! none is written down. It says what it stands on: an execution, a derivation alone, or a definition.

mod bench;
mod claim;
mod claims;
mod degree;
mod error;
mod experiment;
mod judge;
mod permutation;
mod reading;
mod settle;
#[cfg(test)]
mod tests;

pub use claim::{Basis, Claim, ClaimSource, Options, Report, SettledClaim, Verdict};
pub use error::{Evidence, VerifyError};
pub use experiment::{MovedOutput, OwnExperiment};
pub use settle::{claims, claims_named, settle};
