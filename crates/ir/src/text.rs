//! A graph as text: one line a node, and what follows from other sizes below.

use std::fmt;

use crate::graph::Graph;
use crate::operation::Operation;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.nodes().iter().enumerate() {
            let inputs: Vec<String> = node.inputs.iter().map(|v| v.to_string()).collect();
            let detail = match node.op.detail() {
                detail if detail.is_empty() => detail,
                detail => format!(" {{{detail}}}"),
            };
            let times = match self.multiplicity(node) {
                one if one == opledger_dims::Poly::one() => String::new(),
                times => format!(" × {times}"),
            };
            let op = node.op.name();
            writeln!(
                f,
                "%{i} {}: {} = {op}({}){detail}{times}",
                node.path,
                node.shape,
                inputs.join(", ")
            )?;
            for (part, counts) in self.node_cost(node).iter() {
                writeln!(f, "     {}: {counts}", part.name())?;
            }
        }
        for definition in self.definitions() {
            writeln!(f, "where {definition}")?;
        }
        for (name, var) in self.outputs() {
            writeln!(f, "return {name} = {var}")?;
        }
        Ok(())
    }
}
