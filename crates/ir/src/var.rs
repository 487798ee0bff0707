//! The values of a graph.

use std::fmt;

/// A value of a graph: a result of one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var {
    node: u32,
    result: u32,
}

impl Var {
    /// The first result of the node at a position.
    pub(crate) fn first(node: usize) -> Var {
        Var { node: node as u32, result: 0 }
    }

    /// Another result of the same node.
    pub(crate) fn sibling(self, result: usize) -> Var {
        Var { result: result as u32, ..self }
    }

    /// The position of the node in the graph.
    pub fn index(self) -> usize {
        self.node as usize
    }

    /// Which of the node's results, from 0.
    pub fn result(self) -> usize {
        self.result as usize
    }
}

impl fmt::Display for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result {
            0 => write!(f, "%{}", self.node),
            result => write!(f, "%{}.{result}", self.node),
        }
    }
}
