//! The nodes of a graph as calls of ATen that save.

mod functions;
mod maps;
mod moving;

use std::collections::BTreeMap;

use opledger_dims::{Binding, Integer, Poly};
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Elem, Graph, ModuleId, Node, Op, Var};

use crate::dialect::{DropoutPlace, SavedManner};
use crate::units::gradient::Iteration;
use crate::units::lowering::Lowering;
use crate::units::saved::tape::{SavedTensor, Tape, contiguous};
use crate::units::saved::{Saved, SavedOptions};
use crate::{ConventionError, Dialect};

/// A value that goes through the iterations of a repetition, as its storages: what enters, what an iteration
/// is given, what it hands over, what leaves.
struct Carried {
    entering: usize,
    given: usize,
    next: usize,
    leaving: usize,
    count: Poly,
}

struct Walk<'a> {
    lowering: Lowering<'a>,
    options: SavedOptions,
    tape: Tape,
    values: BTreeMap<Var, SavedTensor>,
    /// What maps that are one call are given and make.
    together: BTreeMap<ModuleId, (Var, SavedTensor, u64)>,
    carried: Vec<Carried>,
    /// The storages of sines, by those of the cosines beside them.
    sines: BTreeMap<usize, usize>,
}

pub(super) type SavedResult = Result<SavedTensor, ConventionError>;

pub(super) fn saved(
    graph: &Graph,
    sizes: &Binding,
    dialect: &Dialect,
    options: SavedOptions,
) -> Result<Vec<Saved>, ConventionError> {
    if !matches!(options.elem, Elem::F32 | Elem::Bf16) {
        return Err(ConventionError::SavedAs { elem: options.elem.name() });
    }
    let mut walk = Walk {
        lowering: Lowering::new(graph, sizes, dialect, Iteration::Later),
        options,
        tape: Tape::default(),
        values: BTreeMap::new(),
        together: BTreeMap::new(),
        carried: Vec::new(),
        sines: BTreeMap::new(),
    };
    for (var, node) in graph.vars().zip(graph.nodes()) {
        walk.tape.at = Some(var);
        walk.tape.times = graph.multiplicity(node);
        if matches!(node.op, Op::Exit(_)) {
            walk.leave(var)?;
            continue;
        }
        let made = walk.node(var, node)?;
        if let Some(op) = walk.tape.unknown {
            return Err(walk.unobserved(node, &format!("what `{op}` saves")));
        }
        walk.values.insert(var, made);
    }
    walk.unite();
    let storages = walk.tape.storages.into_iter().filter(|storage| storage.counted);
    let saved = storages.filter_map(|of| {
        let saver = of.saved?;
        Some(Saved { at: saver.at, op: saver.op, bytes: of.bytes, times: of.times })
    });
    Ok(saved.collect())
}

impl<'a> Walk<'a> {
    fn graph(&self) -> &'a Graph {
        self.lowering.graph
    }

    pub(super) fn unobserved(&self, node: &Node, what: &str) -> ConventionError {
        self.lowering.unwritten(node, format!("{what} was never observed"))
    }

    fn value(&self, node: &Node, at: usize) -> SavedResult {
        let value = node.inputs.get(at).and_then(|var| self.values.get(var));
        value.cloned().ok_or_else(|| self.unobserved(node, "an operand of it"))
    }

    fn sizes(&self, axes: &[Axis]) -> Result<Vec<u64>, ConventionError> {
        let size = |axis: &Axis| {
            let size: Integer = self.lowering.at(&axis.size)?;
            Ok(u64::try_from(&size).unwrap_or(u64::MAX))
        };
        axes.iter().map(size).collect()
    }

    /// A tensor of these axes, of no storage yet.
    fn unmade(&self, axes: &[Axis], grad: bool) -> SavedResult {
        let sizes = self.sizes(axes)?;
        let elements = axes.iter().map(|axis| &axis.size).product();
        let (strides, elem) = (contiguous(&sizes), self.options.elem);
        Ok(SavedTensor { storage: usize::MAX, sizes, strides, elem, elements, grad })
    }

    /// A new tensor of a node's shape.
    fn made(&mut self, node: &Node, grad: bool) -> SavedResult {
        let unmade = self.unmade(&node.shape.axes, grad)?;
        Ok(self.tape.fresh(&unmade, unmade.elem))
    }

    fn node(&mut self, var: Var, node: &'a Node) -> SavedResult {
        match &node.op {
            Op::Source(source) => self.source(node, source),
            Op::RotaryAngles(_) => {
                // Cosines and sines, apart.
                let own = self.unmade(&node.shape.axes, false)?;
                let each =
                    self.unmade(&[&node.shape.axes[..1], &node.shape.axes[2..]].concat(), false)?;
                let cos = self.tape.fresh(&each, each.elem);
                let sin = self.tape.fresh(&each, each.elem);
                self.sines.insert(cos.storage, sin.storage);
                Ok(SavedTensor { storage: cos.storage, ..own })
            }
            Op::Einsum(op) if self.lowering.is_linear(var) => self.linear(var, node, op),
            Op::Arithmetic(op) => self.arithmetic(node, op),
            Op::Scale(_) => {
                let x = self.value(node, 0)?;
                Ok(self.tape.pointwise("scale", &[&x]))
            }
            Op::Norm(norm) => self.norm(node, norm),
            Op::Activation(function) => self.activation(node, *function),
            Op::Embedding(_) => {
                let (ids, table) = (self.value(node, 0)?, self.value(node, 1)?);
                let made = self.made(node, table.grad)?;
                self.tape.call("embedding", &[&table, &ids], &[&made]);
                Ok(made)
            }
            Op::Rope(_) => self.rope(node),
            Op::Attention(op) => self.attention(node, op),
            Op::Rearrange(how) => self.rearrange(node, how),
            Op::Concat(_) => {
                let operands: Vec<SavedTensor> = (0..node.inputs.len())
                    .map(|at| self.value(node, at))
                    .collect::<Result<_, _>>()?;
                let made = self.made(node, operands.iter().any(|of| of.grad))?;
                self.tape.call("cat", &operands.iter().collect::<Vec<_>>(), &[&made]);
                Ok(made)
            }
            Op::Carry(_) => self.enter(node),
            Op::Einsum(_)
            | Op::Table(_)
            | Op::Sinusoid(_)
            | Op::TokenPositions(_)
            | Op::IndexMap(_)
            | Op::Softmax(_)
            | Op::Pointwise(_)
            | Op::Convolution(_)
            | Op::Pool(_)
            | Op::Cumulative(_)
            | Op::ArgMax(_)
            | Op::Compare(_)
            | Op::ConvolutionTransposed(_)
            | Op::AdaptivePool(_)
            | Op::Scatter(_)
            | Op::Select(_)
            | Op::ToReal(_)
            | Op::ToWhole(_)
            | Op::Sort(_)
            | Op::Fill(_)
            | Op::Reduce(_)
            | Op::Dropout(_)
            | Op::TopK(_)
            | Op::Gather(_)
            | Op::GatherNd(_)
            | Op::Experts(_)
            | Op::ExpertsOuter(_)
            | Op::AttentionGradient(_)
            | Op::Exit(_) => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    fn source(&mut self, node: &Node, source: &Source) -> SavedResult {
        let (elem, grad, counted) = match source {
            Source::Param { trainable, .. } => (self.options.elem, *trainable, false),
            Source::Buffer { .. } => (self.options.elem, false, false),
            Source::Input { .. } => (self.options.elem, false, true),
            Source::Ids { .. } | Source::Whole { .. } => (Elem::I64, false, true),
            Source::Visible { .. } | Source::Known { .. } => {
                return Err(self.unobserved(node, "what is saved of it"));
            }
        };
        let unmade = self.unmade(&node.shape.axes, grad)?;
        let storage = self.tape.storage(&unmade.elements, elem, counted);
        Ok(SavedTensor { storage, elem, ..unmade })
    }

    /// The value that a value is moved from.
    fn root(&self, var: Var) -> Var {
        let node = self.graph().node(var);
        match (&node.op, node.inputs.first()) {
            (Op::Rearrange(_), Some(of)) => self.root(*of),
            _ => var,
        }
    }

    fn drops(&self, node: &'a Node, place: DropoutPlace) -> bool {
        let layer = self.lowering.in_torch_layer(node)
            && [
                DropoutPlace::Weights,
                DropoutPlace::Hidden,
                DropoutPlace::Attended,
                DropoutPlace::Fed,
            ]
            .contains(&place);
        self.options.dropout && (layer || self.lowering.drops_above_zero(node, place))
    }

    /// What the library does in its own way where a node stands.
    fn manner(&self, node: &'a Node) -> Result<SavedManner, ConventionError> {
        match self.lowering.family(node) {
            None => Ok(SavedManner::default()),
            Some(family) => {
                let manner = self.lowering.dialect.saved.get(family).copied();
                manner.ok_or_else(|| self.unobserved(node, &format!("what `{family}` saves")))
            }
        }
    }
}
