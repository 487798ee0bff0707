//! The graph: operations recorded once, each with its signature, its cost and its reference.
//!
//! A layer's forward pass records nodes in a [`Graph`] whose shapes are polynomials over named
//! sizes. Costs, parameters, bytes, text and execution are readings of that one record.

mod axis;
mod condition;
mod cost;
mod definition;
mod distances;
mod elem;
mod error;
mod expect;
mod facts;
mod folds;
mod frequencies;
mod graph;
mod index_expr;
mod instances;
mod interpolation;
mod kept;
mod left_out;
mod mask;
mod masked;
mod masking;
mod memory;
mod mermaid;
mod op;
mod operation;
pub mod ops;
mod phase;
mod quantity;
mod reads;
mod rebuild;
mod record;
mod reroll;
mod role;
mod sizes;
mod slide;
mod text;
mod totals;
mod value;
mod var;
mod windows;

pub use axis::{Axis, Shape};
pub use condition::{SizeComparison, SizeCondition, SizeRelation, SizeTerm};
pub use cost::{Cost, Part, PartCounts};
pub use definition::Definition;
pub use elem::{Elem, Kind, StoredType, UnknownElem};
pub use error::{BindingError, GraphError, OpError, ShapeError};
pub use facts::{AxisMap, Facts, Picked};
pub use graph::{
    Ends, Graph, Loop, Node, OpenScan, Repeat, RepeatId, Scan, ScanValues, Scope, Scoped,
};
pub use index_expr::IndexExpr;
pub use instances::path_at;
pub use left_out::LeftOut;
pub use mask::{Band, KeepLayout, MaskRule, Reach, Support};
pub use masking::{Mask, Masking, Scoring};
pub use memory::Footprint;
pub use op::Op;
pub use operation::Operation;
pub use phase::Phase;
pub use quantity::Selection;
pub use reads::Reads;
pub use rebuild::{Rebuild, Storage};
pub use reroll::{InRun, Rerolled};
pub use role::{
    Cache, Cached, LinearFacts, Module, ModuleClass, ModuleId, Projection, Recurrence, Role,
    SizeRole,
};
pub use slide::Slide;
pub use totals::{FormulasAt, Total, Totals};
pub use value::{Call, Value, indices, strides, to_usize};
pub use var::Var;
