//! What can go wrong: tersely at the operation, in full at the graph.

use std::fmt::Write;
use std::panic::Location;

use opledger_dims::{EvalError, Poly, Symbol};

use crate::{Elem, Kind, Shape};

/// The relation between shapes that an operation needs and did not find.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Wrong number of operands.
    #[error("{expected} operands are needed, {found} were given")]
    Arity {
        /// How many the operation takes.
        expected: usize,
        /// How many it got.
        found: usize,
    },
    /// Wrong number of axes.
    #[error("operand {operand} has {found} axes where {expected} are needed")]
    Rank {
        /// Which operand, from 0.
        operand: usize,
        /// How many axes the operation needs.
        expected: usize,
        /// How many it found.
        found: usize,
    },
    /// An axis is not there.
    #[error("operand {operand} has no axis `{axis}`")]
    Missing {
        /// Which operand, from 0.
        operand: usize,
        /// The axis looked for.
        axis: Symbol,
    },
    /// One axis, two sizes.
    #[error("axis `{axis}` is {left} in one operand and {right} in another")]
    Size {
        /// The axis.
        axis: Symbol,
        /// Its size in the first operand that has it.
        left: Poly,
        /// Its size in the other.
        right: Poly,
    },
    /// An axis of another name.
    #[error("axis {position} of operand {operand} is `{found}` where `{expected}` is needed")]
    Name {
        /// Which operand, from 0.
        operand: usize,
        /// Which axis, from 0.
        position: usize,
        /// The name needed.
        expected: Symbol,
        /// The name found.
        found: Symbol,
    },
    /// Two axes of a result would share a name.
    #[error("the result would have two axes `{0}`")]
    Duplicate(Symbol),
    /// An axis occurs in one operand only and not in the result.
    #[error("axis `{0}` is summed but stands in one operand only; reduce it first")]
    Unpaired(Symbol),
    /// Numbers of the wrong kind.
    #[error("operand {operand} holds {found} elements where {expected} are needed")]
    Elem {
        /// Which operand, from 0.
        operand: usize,
        /// The kind needed.
        expected: Kind,
        /// The kind found.
        found: Elem,
    },
    /// Sizes that cannot be split, merged, cut or grouped as asked.
    #[error("{0}")]
    Sizes(String),
    /// Text that is no einsum.
    #[error("`{0}` is not of the form `a b, b c -> a c`")]
    Spec(String),
}

/// A node that could not be recorded: the operation, where it stands, and the shapes it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} ({op}): {problem}; operands: {operands} (recorded at {location})")]
pub struct GraphError {
    /// The path the node would have had.
    pub path: String,
    /// The operation.
    pub op: &'static str,
    /// What relation failed.
    pub problem: ShapeError,
    /// The operands' shapes.
    pub operands: String,
    /// The source line that recorded it.
    pub location: &'static Location<'static>,
}

pub(crate) fn list_shapes(shapes: &[&Shape]) -> String {
    let mut list = String::new();
    for (i, shape) in shapes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(list, "{}{shape}", if i == 0 { "" } else { " and " });
    }
    list
}

/// A binding that a graph cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// No value, or a fraction.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// `c = h·e` does not come out even.
    #[error("{whole} = {value} is not a multiple of {factor} = {divisor}")]
    Indivisible {
        /// The product, such as `c`.
        whole: Symbol,
        /// Its value.
        value: String,
        /// The factor, such as `h`.
        factor: Symbol,
        /// Its value.
        divisor: String,
    },
    /// `c = h·e` contradicts the values given.
    #[error("{whole} = {value}, but {factors} = {product}")]
    Contradiction {
        /// The product.
        whole: Symbol,
        /// Its value.
        value: String,
        /// Its factors.
        factors: String,
        /// Their product.
        product: String,
    },
    /// A size that follows from others was given as something else.
    #[error("{symbol} = {given}, but it is {value}: {definition}; leave it out")]
    Defined {
        /// The size.
        symbol: Symbol,
        /// What was given.
        given: String,
        /// What follows.
        value: String,
        /// From what.
        definition: String,
    },
    /// A size below zero.
    #[error("{path}: axis `{axis}` would have size {size}")]
    Negative {
        /// The node.
        path: String,
        /// The axis.
        axis: Symbol,
        /// Its size.
        size: String,
    },
    /// A sum over no terms.
    #[error("{path}: axis `{axis}` is 0, and {op} over nothing has no value")]
    Empty {
        /// The node.
        path: String,
        /// The axis.
        axis: Symbol,
        /// The operation.
        op: &'static str,
    },
    /// Sizes that an operation cannot take at this binding.
    #[error("{path}: {problem}")]
    Sizes {
        /// The node.
        path: String,
        /// What relation failed.
        problem: String,
    },
    /// A symbol that no size of the graph depends on.
    #[error("`{symbol}` is no size of this model; its sizes are {known}")]
    Unknown {
        /// The symbol given.
        symbol: Symbol,
        /// The symbols the model has.
        known: String,
    },
}

/// Why an operation could not be executed on the values it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// A size has no value.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A size does not fit the machine's address range.
    #[error("size {0} does not fit this machine")]
    TooLarge(String),
    /// Operand of another kind or absent.
    #[error("operand {0} is missing or not of the kind the operation needs")]
    Operand(usize),
    /// An id outside the table it indexes.
    #[error("index {index} is outside a table of {rows} rows")]
    Index {
        /// The index.
        index: i64,
        /// The rows the table has.
        rows: usize,
    },
    /// A buffer and a shape that do not match.
    #[error(transparent)]
    Layout(#[from] opledger_tensor::LayoutError),
    /// A kernel refused its arguments.
    #[error("{0}")]
    Kernel(String),
}
