//! Results as plain records, and their rendering: a table for people, JSON, CSV, Markdown, LaTeX.
//!
//! A record is built once and rendered at the edge, so the table and the JSON cannot disagree. Whole
//! numbers of any size are JSON integers, never rounded; every number names its convention.
//!
//! ```
//! # mod opledger { pub use opledger_report as report; }
//! use opledger::report::{Format, Style, thousands};
//!
//! assert_eq!(thousands(&68_719_476_736_u64.into()), "68,719,476,736");
//! assert_eq!("json".parse(), Ok(Format::Json));
//! assert_eq!(Style::plain().width, Some(100));
//! ```

mod bars;
mod csv;
mod document;
mod format;
mod json;
mod latex;
mod markdown;
mod noted;
mod number;
mod page;
mod records;
mod steady;
mod text;

pub use bars::BarSigns;
pub use document::{Block, Cell, Column, Document, Row, Table, Tone};
pub use format::{Format, Record, RenderError, render};
pub use json::Amount;
pub use noted::Noted;
pub use number::thousands;
pub use records::{
    AS_PARAMETERS, Account, AccountNode, AccountPart, Audit, AuditedCell, AuditedColumn,
    AuditedRead, AuditedReading, AuditedRule, AuditedSearch, AuditedSeries, AuditedTable,
    BasisRecord, BoundBatch, BoundCost, BoundDevice, BoundModule, BoundPhase, Bytes, CONVENTIONS,
    CONVENTIONS_OF_A_RUN, Changed, ChangedFormula, ClaimList, ClaimRecord, ConventionCounts,
    ConventionRefusal, ConventionTotal, CutAxis, CutCollective, CutCost, Difference, ExactTime,
    ExecutedNode, ExecutedPart, Execution, Explained, ExplainedLine, Fitted, FittedBy,
    FittedTokens, FormulaId, FormulaValue, Generation, GenerationCount, Grid, GridError, GridPoint,
    HeldBytes, HeldWeights, Intake, Kind, KindKey, KindSum, Kinds, KnownConvention,
    KnownConventions, KnownModel, KnownModels, LengthCount, LengthCounts, LowerBound, Memory,
    OperationCounts, Outcome, Output, Page, PageCache, PageCost, PageDevice, PageExpression,
    PageModel, PageOptimizer, PageProduct, PageReader, PageRecompute, PageStructure, PageTool,
    PageToolCount, PageTraining, Parameters, PeakBytes, Provenance, QuantisedBytes, RowOrder,
    RunOrder, RunTotals, SavedCost, SavedModule, SearchedRow, SettledRecord, SideBySide, SourceRun,
    Step, StoredKind, SubstitutedRecord, TheoremRecord, Traffic, TrainedLoss, TrainedSteps,
    TrainingCost, TrainingMask, TrainingMemory, TrainingModule, TrainingPhase, TrainingTerm,
    UnitCounts, Utilisation, VerdictRecord, Verification, WallMs, written_by,
};
pub(crate) use text::Layout;
pub use text::Style;
