//! What keeps a layer from being made or recorded.

use opledger_dims::{Integer, Poly};
use opledger_ir::GraphError;

/// A layer that could not be made or recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NnError {
    /// An operation did not fit its operands.
    #[error(transparent)]
    Graph(Box<GraphError>),
    /// Numbers that do not divide.
    #[error("{whole} = {value} is not a multiple of {divisor} = {by}")]
    Indivisible {
        /// The argument to be divided.
        whole: &'static str,
        /// Its value.
        value: Integer,
        /// The argument it is divided by.
        divisor: &'static str,
        /// Its value.
        by: Integer,
    },
    /// A quotient that only numbers or only symbols define.
    #[error(
        "{whole} = {value} and {divisor} = {by} must both be numbers or both be symbols; \
         otherwise give {quotient} itself"
    )]
    Mixed {
        /// The argument to be divided.
        whole: &'static str,
        /// Its value.
        value: Poly,
        /// The argument it is divided by.
        divisor: &'static str,
        /// Its value.
        by: Poly,
        /// The argument that would say it.
        quotient: &'static str,
    },
    /// A size below one.
    #[error("{name} = {value}, but a size is at least 1")]
    Size {
        /// The argument.
        name: &'static str,
        /// Its value.
        value: Integer,
    },
    /// A number of repetitions below zero.
    #[error("{name} = {value}, but nothing is repeated less than 0 times")]
    Repetitions {
        /// The argument.
        name: &'static str,
        /// Its value.
        value: Integer,
    },
    /// A value with too few axes for the layer.
    #[error("{layer} needs a value of {expected}, not {found}")]
    Rank {
        /// The layer.
        layer: &'static str,
        /// What it needs.
        expected: &'static str,
        /// The shape it was given.
        found: String,
    },
    /// Arguments that exclude each other.
    #[error("{0}")]
    Config(String),
}

impl From<GraphError> for NnError {
    fn from(error: GraphError) -> Self {
        NnError::Graph(Box::new(error))
    }
}
