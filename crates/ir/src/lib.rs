//! The graph: operations recorded once, each with its signature, its cost and its reference.
//!
//! A layer's forward pass records nodes in a [`Graph`] whose shapes are polynomials over named
//! sizes. Costs, parameters, bytes, text and execution are readings of that one record.

mod axis;
mod cost;
mod definition;
mod elem;
mod error;
mod facts;
mod folds;
mod frequencies;
mod graph;
mod instances;
mod mask;
mod masked;
mod memory;
mod mermaid;
mod op;
pub mod ops;
mod quantity;
mod rebuild;
mod record;
mod role;
mod sizes;
mod text;
mod totals;
mod value;

pub use axis::{Axis, Shape};
pub use cost::{Cost, Part, PartCounts};
pub use definition::Definition;
pub use elem::{Elem, Kind};
pub use error::{BindingError, GraphError, OpError, ShapeError};
pub use facts::{AxisMap, Facts};
pub use graph::{Ends, Graph, Loop, Node, Repeat, RepeatId, Scan, ScanValues, Scope, Scoped, Var};
pub use instances::path_at;
pub use mask::{Band, Mask, MaskRule, Masking, Support};
pub use memory::Footprint;
pub use op::{Op, Operation};
pub use quantity::Selection;
pub use rebuild::{Rebuild, Storage};
pub use role::{
    Cache, Cached, LinearFacts, Module, ModuleClass, ModuleId, Projection, Role, SizeRole,
};
pub use totals::{Total, Totals};
pub use value::{Call, Value, indices, strides, to_usize};
