//! Claims, findings and verdicts.

use opledger_interp::Theorem;

use crate::VerifyError;
use crate::bench::Trials;
use crate::experiment::{MovedOutput, OwnExperiment};

/// Who says something, and where it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimSource {
    /// Authors, year and title, or what it is.
    pub name: &'static str,
    /// Its address, such as `arXiv:1706.03762`; none where none is known.
    pub address: Option<&'static str>,
}

/// A statement of a source.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Its name, such as `B2`.
    pub id: &'static str,
    /// Who says so.
    pub source: ClaimSource,
    /// What is said, in the source's own terms.
    pub statement: &'static str,
    pub(crate) settle: fn(&mut Trials<'_>) -> Result<Finding, VerifyError>,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// True as stated.
    Holds,
    /// True when the source's word is read in a narrower sense, which is named.
    HoldsUnderConvention,
    /// Not true in any reading tried.
    Refuted,
    /// Left open, since what it takes was left out.
    NotRun,
}

impl Verdict {
    /// The name used in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::HoldsUnderConvention => "holds-under-convention",
            Verdict::Refuted => "refuted",
            Verdict::NotRun => "not-run",
        }
    }
}

/// What a verdict stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// What was counted or computed in executions, beside what was derived.
    Executed,
    /// What was derived from graphs alone.
    Derived,
    /// The meaning of a word, or what the product is made to do: no execution could decide it.
    Definition,
}

impl Basis {
    /// The name used in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Executed => "executed",
            Basis::Derived => "derived",
            Basis::Definition => "definition",
        }
    }
}

/// The evidence on one claim.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) basis: Basis,
    pub(crate) convention: Option<String>,
    pub(crate) claimed: String,
    pub(crate) derived: String,
    pub(crate) evidence: String,
    pub(crate) note: String,
    pub(crate) details: Vec<String>,
    /// Whether nothing that was executed differs from what was derived.
    pub(crate) agrees: bool,
}

/// A claim with its verdict.
#[derive(Clone, Debug)]
pub struct SettledClaim {
    /// Its name, such as `B2`.
    pub id: &'static str,
    /// Who says so.
    pub source: ClaimSource,
    /// What is said.
    pub statement: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// What the verdict stands on.
    pub basis: Basis,
    /// The convention under which it holds, when it does under one only.
    pub convention: Option<String>,
    /// The formula or number the source gives.
    pub claimed: String,
    /// What the recorded graph gives.
    pub derived: String,
    /// What was executed and counted, or that nothing was.
    pub evidence: String,
    /// What a reader should know beside.
    pub note: String,
    /// The evidence at length, line by line.
    pub details: Vec<String>,
    /// Whether nothing that was executed differs from what was derived.
    pub agrees: bool,
}

impl SettledClaim {
    /// Whether the verdict stands: what it takes was executed, and nothing disagreed.
    pub fn settled(&self) -> bool {
        self.agrees && self.verdict != Verdict::NotRun
    }
}

/// All claims asked for, and the theorem over everything that was executed for them.
#[derive(Clone, Debug)]
pub struct Report {
    /// The claims, in their order.
    pub claims: Vec<SettledClaim>,
    /// Derived cost against both interpreters, at every node and size that was executed.
    pub theorem: Theorem,
    /// How far outputs moved in the experiments with orders of tokens.
    pub moved: Vec<MovedOutput>,
}

impl Report {
    /// Whether nothing that was executed differs from what was derived, in claims and at nodes. What
    /// was not run does not disagree.
    pub fn agrees(&self) -> bool {
        self.claims.iter().all(|claim| claim.agrees) && self.theorem.holds()
    }
}

/// How claims are settled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leave out executions of over two thousand million operations.
    pub quick: bool,
    /// Other tokens for the experiments with orders of tokens.
    pub own: OwnExperiment,
}
