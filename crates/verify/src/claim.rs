//! Claims, findings and verdicts.

use opledger_interp::Theorem;

use crate::VerifyError;
use crate::bench::Trials;

/// A statement of a source.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Its name, such as `B2`.
    pub id: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What is said, in the source's own terms.
    pub statement: &'static str,
    pub(crate) settle: fn(&mut Trials<'_>) -> Result<Finding, VerifyError>,
}

/// What execution says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// True as stated.
    Holds,
    /// True when the source's word is read in a narrower sense, which is named.
    HoldsUnderConvention,
    /// Not true in any reading tried.
    Refuted,
}

impl Verdict {
    /// The name used in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::HoldsUnderConvention => "holds-under-convention",
            Verdict::Refuted => "refuted",
        }
    }
}

/// The evidence on one claim.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) convention: Option<String>,
    pub(crate) claimed: String,
    pub(crate) derived: String,
    pub(crate) measured: String,
    pub(crate) note: String,
    pub(crate) details: Vec<String>,
    /// Whether derivation and measurement agree, so that the verdict stands on both.
    pub(crate) settled: bool,
}

/// A settled claim.
#[derive(Clone, Debug)]
pub struct SettledClaim {
    /// Its name, such as `B2`.
    pub id: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What is said.
    pub statement: String,
    /// What execution says of it.
    pub verdict: Verdict,
    /// The convention under which it holds, when it does under one only.
    pub convention: Option<String>,
    /// The formula or number the source gives.
    pub claimed: String,
    /// What the recorded graph gives.
    pub derived: String,
    /// What was counted while it ran.
    pub measured: String,
    /// What a reader should know beside.
    pub note: String,
    /// The evidence at length, line by line.
    pub details: Vec<String>,
    /// Whether derivation and measurement agree.
    pub settled: bool,
}

/// All claims asked for, and the theorem over everything that was executed for them.
#[derive(Clone, Debug)]
pub struct Report {
    /// The claims, in their order.
    pub claims: Vec<SettledClaim>,
    /// Derived cost against both interpreters, at every node and size that was executed.
    pub theorem: Theorem,
}

impl Report {
    /// Whether every claim was settled and no count differed.
    pub fn complete(&self) -> bool {
        self.claims.iter().all(|c| c.settled) && self.theorem.holds()
    }
}

/// How claims are settled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leave out executions of over two thousand million operations.
    pub quick: bool,
}
