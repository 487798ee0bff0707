//! The records: what each command of the product results in.

mod account;
mod audit;
mod bound;
mod conventions;
mod difference;
mod executed_rows;
mod execution;
mod fit;
mod generation;
mod glance;
mod grid;
mod kinds;
mod lengths;
mod models;
mod order;
mod page;
mod parallel;
mod saved;
mod saved_count;
mod side_by_side;
mod totals;
mod trace;
mod training;
mod verification;

pub use account::{
    Account, AccountNode, AccountPart, Bytes, KindSum, Memory, Parameters, QuantisedBytes,
    StoredKind, Traffic,
};
pub use audit::{
    Audit, AuditedCell, AuditedColumn, AuditedRead, AuditedReading, AuditedRule, AuditedSearch,
    AuditedSeries, AuditedTable, Outcome, Provenance, SearchedRow,
};
pub use bound::{
    BoundBatch, BoundCost, BoundDevice, BoundModule, BoundPhase, ExactTime, LowerBound,
};
pub use conventions::{
    ConventionCounts, ConventionRefusal, ConventionTotal, Explained, ExplainedLine,
    KnownConvention, KnownConventions, UnitCounts,
};
pub use difference::{Changed, ChangedFormula, Difference};
pub use executed_rows::RunOrder;
pub use execution::{
    ExecutedNode, ExecutedPart, Execution, OperationCounts, Output, PeakBytes, SubstitutedRecord,
    TheoremRecord, WallMs,
};
pub use fit::{Fitted, FittedBy, FittedTokens, Intake};
pub use generation::{Generation, SourceRun, Step};
pub use grid::{Grid, GridError, GridPoint};
pub use kinds::{Kind, KindKey, Kinds};
pub use lengths::{LengthCount, LengthCounts};
pub use models::{KnownModel, KnownModels};
pub use order::RowOrder;
pub use page::{
    FormulaId, Page, PageCache, PageCost, PageDevice, PageExpression, PageModel, PageOptimizer,
    PageProduct, PageReader, PageRecompute, PageStructure, PageTool, PageToolCount, PageTraining,
};
pub use parallel::{CutAxis, CutCollective, CutCost, FormulaValue, HeldBytes, HeldWeights};
pub use saved::{SavedCost, SavedModule};
pub use saved_count::written_by;
pub use side_by_side::SideBySide;
pub use totals::{GenerationCount, RunTotals};
pub use training::{
    AS_PARAMETERS, TrainedLoss, TrainedSteps, TrainingCost, TrainingMask, TrainingMemory,
    TrainingModule, TrainingPhase, TrainingTerm, Utilisation,
};
pub use verification::{
    BasisRecord, ClaimList, ClaimRecord, SettledRecord, VerdictRecord, Verification,
};

use opledger_dims::Quantity;

/// What the printed numbers mean, by name.
pub const CONVENTIONS: [(&str, &str); 4] = [
    told(Quantity::Macs),
    told(Quantity::Flops),
    told(Quantity::MatmulFlops),
    (
        "bytes",
        "operands read once (of tables and experts, what is looked up), results written once, f32",
    ),
];

/// The same for numbers of a run.
pub const CONVENTIONS_OF_A_RUN: [(&str, &str); 4] = [
    told(Quantity::Macs),
    told(Quantity::Flops),
    told(Quantity::MatmulFlops),
    ("bytes", "read of operands and written of results by this run, none between fused nodes, f32"),
];

const fn told(quantity: Quantity) -> (&'static str, &'static str) {
    (quantity.name(), quantity.meaning())
}

/// The conventions of these names as one line.
pub(crate) fn convention_line(names: &[&str]) -> String {
    let told = CONVENTIONS.iter().filter(|(name, _)| names.contains(name));
    told.map(|(name, meaning)| format!("{name} = {meaning}")).collect::<Vec<_>>().join("; ")
}
