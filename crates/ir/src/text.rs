//! A graph as text: one line a node, and what follows from other sizes below.

use std::fmt;

use crate::graph::Graph;
use crate::op::{Op, Operation};
use crate::ops::{NormKind, RopeScaling, Source, Table};

impl Op {
    /// What a reader needs beside the operation's name, or nothing.
    pub fn detail(&self) -> String {
        match self {
            Op::Einsum(e) if e.masked.is_some() => format!("{e}, masked"),
            Op::Einsum(e) => e.to_string(),
            Op::Norm(n) => match (n.kind, n.gain, n.shift) {
                (NormKind::Layer, false, false) | (NormKind::Rms, false, _) => {
                    "not affine".to_owned()
                }
                _ => String::new(),
            },
            Op::Attention(a) => {
                let mask = [
                    a.mask.offset.as_ref().map(|o| format!("causal from {o}")),
                    a.mask.window.as_ref().map(|w| format!("window {w}")),
                    a.mask.keep.then(|| "key mask".to_owned()),
                    a.bias.then(|| "bias".to_owned()),
                ];
                mask.into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
            Op::Rope(rope) => {
                let scaling = match rope.scaling {
                    RopeScaling::None => None,
                    RopeScaling::Linear { factor } => Some(format!("linear, factor {factor}")),
                    RopeScaling::Llama3 { factor, .. } => Some(format!("llama3, factor {factor}")),
                    RopeScaling::Yarn { factor, .. } => Some(format!("yarn, factor {factor}")),
                };
                let part = rope.rotated.as_ref().map(|width| format!("the first {width}"));
                part.into_iter().chain(scaling).collect::<Vec<_>>().join(", ")
            }
            Op::Table(Table::RelativeBuckets { bidirectional, buckets, max_distance, .. }) => {
                let ways = if *bidirectional { "both ways" } else { "to earlier keys" };
                format!("{buckets} up to distance {max_distance}, {ways}")
            }
            Op::Source(Source::Param { trainable: false, .. }) => "frozen".to_owned(),
            Op::Dropout(d) if d.training => format!("p={}", d.p),
            op if op.masked().is_some() => "masked".to_owned(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.nodes().iter().enumerate() {
            let inputs: Vec<String> =
                node.inputs.iter().map(|v| format!("%{}", v.index())).collect();
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
            for (part, counts) in &self.node_cost(node).0 {
                writeln!(f, "     {}: {counts}", part.name())?;
            }
        }
        for definition in self.definitions() {
            writeln!(f, "where {definition}")?;
        }
        for (name, var) in self.outputs() {
            writeln!(f, "return {name} = %{}", var.index())?;
        }
        Ok(())
    }
}
