//! The nodes of a graph as calls of ATen that save.

use std::collections::BTreeMap;

use opledger_dims::{Activation, Binding, Integer, Poly, Symbol};
use opledger_ir::ops::{
    Arithmetic, ArithmeticKind, Attention, Einsum, Norm, NormKind, Rearrange, Source,
};
use opledger_ir::{
    Axis, Elem, Graph, ModuleClass, ModuleId, Node, Op, Projection, Role, Shape, Var,
};

use super::attention::{Form, Made, attend};
use super::tape::{Tape, Tensor, contiguous};
use super::{Saved, SavedBy, SavedOptions};
use crate::dialect::{
    ActivationManner, AttentionModule, Core, DropoutPlace, NormManner, SavedManner,
};
use crate::units::gradient::Iteration;
use crate::units::lowering::{Lowering, Owner};
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
    values: BTreeMap<Var, Tensor>,
    /// What maps that are one call are given and make.
    together: BTreeMap<ModuleId, (Var, Tensor, u64)>,
    carried: Vec<Carried>,
    /// The storages of sines, by those of the cosines beside them.
    sines: BTreeMap<usize, usize>,
}

type Made1 = Result<Tensor, ConventionError>;

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
        walk.tape.path = node.path.rsplit_once('.').map_or("", |(scope, _)| scope).to_owned();
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
        Some(Saved { path: saver.path, op: saver.op, bytes: of.bytes, times: of.times })
    });
    Ok(saved.collect())
}

impl<'a> Walk<'a> {
    fn graph(&self) -> &'a Graph {
        self.lowering.graph
    }

    fn unobserved(&self, node: &Node, what: &str) -> ConventionError {
        self.lowering.unwritten(node, format!("{what} was never observed"))
    }

    fn value(&self, node: &Node, at: usize) -> Made1 {
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
    fn unmade(&self, axes: &[Axis], grad: bool) -> Made1 {
        let sizes = self.sizes(axes)?;
        let elements = axes.iter().map(|axis| &axis.size).product();
        let (strides, elem) = (contiguous(&sizes), self.options.elem);
        Ok(Tensor { storage: usize::MAX, sizes, strides, elem, elements, grad })
    }

    /// A new tensor of a node's shape.
    fn made(&mut self, node: &Node, grad: bool) -> Made1 {
        let unmade = self.unmade(&node.shape.axes, grad)?;
        Ok(self.tape.fresh(&unmade, unmade.elem))
    }

    fn node(&mut self, var: Var, node: &'a Node) -> Made1 {
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
                Ok(Tensor { storage: cos.storage, ..own })
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
                let operands: Vec<Tensor> = (0..node.inputs.len())
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
            | Op::Exit(_) => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    fn source(&mut self, node: &Node, source: &Source) -> Made1 {
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
        Ok(Tensor { storage, elem, ..unmade })
    }

    /// A map, or its share of the call that makes several of them.
    fn linear(&mut self, var: Var, node: &'a Node, op: &Einsum) -> Made1 {
        let (x, weight) = (self.value(node, 0)?, self.value(node, 1)?);
        let summed = op.summed_axes().count();
        let rows = x.sizes.len().saturating_sub(summed);
        let in_order = op.summed_axes().eq(op.lhs.get(rows..).unwrap_or_default())
            && op.out.get(..rows) == op.lhs.get(..rows);
        let convolved = self.lowering.within(node, ModuleClass::Convolution).is_some();
        if (!in_order && !convolved) || !self.lowering.is_parameter(node.inputs[1]) {
            return Err(self.unobserved(node, "a map of another order of axes"));
        }
        let biased = self.lowering.biases.contains_key(&var);
        let call = if biased { "addmm" } else { "mm" };
        let made = self.unmade(&node.shape.axes, x.grad || weight.grad)?;
        match self.lowering.owner(var) {
            Owner::Node(_) if convolved => {
                // Patches are cut by the convolution itself.
                let image = self.root(node.inputs[0]);
                let image = self.values.get(&image).cloned();
                let image = image.ok_or_else(|| self.unobserved(node, "an operand of it"))?;
                let made = self.tape.fresh(&made, made.elem);
                self.tape.call("convolution", &[&image, &weight], &[&made]);
                Ok(made)
            }
            Owner::Node(_) => {
                let flat = self.tape.reshape(&x, &[rows, summed]);
                let made = self.tape.fresh(&made, made.elem);
                self.tape.call(call, &[&flat, &weight], &[&made]);
                Ok(made)
            }
            Owner::Fused(id, _) => {
                let within = |of: &Var| self.lowering.owner(*of) == self.lowering.owner(var);
                let maps: Vec<Var> = self
                    .graph()
                    .vars()
                    .filter(|of| self.lowering.is_linear(*of) && within(of))
                    .collect();
                let packed =
                    self.packed(id, node, &maps, (&x, &weight), (&[rows, summed], call))?;
                // Side by side in each row.
                let mut strides = contiguous(&made.sizes);
                let own: u64 = made.sizes[rows..].iter().product();
                for stride in &mut strides[..rows] {
                    *stride = *stride / own.max(1) * packed.1;
                }
                Ok(Tensor { storage: packed.0.storage, strides, ..made })
            }
            Owner::Multihead(id) => self.multihead(id, node, (x, weight, made), call),
            Owner::Core(_) | Owner::Window(_) => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    /// What maps of one value make by one call, and how many numbers of each row.
    fn packed(
        &mut self,
        id: ModuleId,
        node: &Node,
        maps: &[Var],
        (x, weight): (&Tensor, &Tensor),
        (runs, call): (&[usize], &'static str),
    ) -> Result<(Tensor, u64), ConventionError> {
        if let Some((of, packed, row)) = self.together.get(&id) {
            if *of != node.inputs[0] {
                return Err(self.unobserved(node, "one map of two values"));
            }
            return Ok((packed.clone(), *row));
        }
        let (mut elements, mut row) = (Poly::zero(), 0u64);
        for map in maps {
            let shape: &Shape = self.graph().shape(*map);
            elements = elements + shape.elements();
            row +=
                self.sizes(&shape.axes[runs[0].min(shape.axes.len())..])?.iter().product::<u64>();
        }
        let flat = self.tape.reshape(x, runs);
        let like = Tensor { elements, ..flat.clone() };
        let mut packed = self.tape.fresh(&like, like.elem);
        packed.grad = x.grad || weight.grad;
        self.tape.call(call, &[&flat, weight], &[&packed]);
        self.together.insert(id, (node.inputs[0], packed.clone(), row));
        Ok((packed, row))
    }

    /// A map of `nn.MultiheadAttention`, which has tokens before items inside
    /// (`torch/nn/functional.py`, `_in_projection_packed` and `multi_head_attention_forward`).
    fn multihead(
        &mut self,
        id: ModuleId,
        node: &'a Node,
        (x, weight, made): (Tensor, Tensor, Tensor),
        call: &'static str,
    ) -> Made1 {
        let all: Vec<Var> = self.lowering.inside(id).collect();
        let known = self.lowering.dialect.attention == AttentionModule::Multihead
            && !self.lowering.dialect.sequence_first
            && self.lowering.family(node).is_none()
            && self.lowering.attends_to_itself(&all);
        if !known || made.sizes.len() < 3 {
            return Err(self.unobserved(node, "what is saved of such a module"));
        }
        if self.lowering.projection(node) == Some(Projection::Output) {
            let tokens_first = x.permuted(&[1, 0, 2, 3]);
            let flat = self.tape.reshape(&tokens_first, &[2, 2]);
            let made = self.tape.fresh(&made.permuted(&[1, 0, 2]), made.elem);
            self.tape.call("addmm", &[&flat, &weight], &[&made]);
            return Ok(made.permuted(&[1, 0, 2]));
        }
        let maps: Vec<Var> = all
            .into_iter()
            .filter(|of| {
                let to_heads =
                    self.lowering.projection(self.graph().node(*of)) != Some(Projection::Output);
                to_heads && self.lowering.is_linear(*of)
            })
            .collect();
        let tokens_first = x.permuted(&[1, 0, 2]);
        let packed = self.packed(id, node, &maps, (&tokens_first, &weight), (&[2, 1], call))?.0;
        // unflatten(…).contiguous() puts the three one behind the other.
        let own = contiguous(&made.permuted(&[1, 0, 2, 3]).sizes);
        let strides = [1, 0, 2, 3].iter().map(|at| own[*at]).collect();
        Ok(Tensor { storage: packed.storage, strides, ..made })
    }

    /// The value that a value is moved from.
    fn root(&self, var: Var) -> Var {
        let node = self.graph().node(var);
        match (&node.op, node.inputs.first()) {
            (Op::Rearrange(_), Some(of)) => self.root(*of),
            _ => var,
        }
    }

    fn arithmetic(&mut self, node: &'a Node, op: &Arithmetic) -> Made1 {
        let (a, b) = (self.value(node, 0)?, self.value(node, 1)?);
        match (op.kind, node.role) {
            // Of the same call as the map.
            (ArithmeticKind::Add, Some(Role::Bias)) => Ok(a),
            (ArithmeticKind::Add, _) => {
                let (mut a, mut b) = (a, b);
                if node.role == Some(Role::Residual) && self.drops_residual(node) {
                    // What the sublayer gives stands in its module, what it is added to does not.
                    let last = node.inputs.iter().max().copied();
                    let of = if last == node.inputs.first().copied() { &mut a } else { &mut b };
                    *of = self.tape.dropout(&of.clone());
                }
                let made = self.made(node, a.grad || b.grad)?;
                self.tape.call("add", &[&a, &b], &[&made]);
                Ok(made)
            }
            (ArithmeticKind::Mul, _) if a.sizes == b.sizes => {
                Ok(self.tape.pointwise("mul", &[&a, &b]))
            }
            (
                ArithmeticKind::Mul
                | ArithmeticKind::Div
                | ArithmeticKind::Sub
                | ArithmeticKind::Max
                | ArithmeticKind::Min
                | ArithmeticKind::Pow,
                _,
            ) => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    /// Whether what is added to a residual drops out.
    fn drops_residual(&self, node: &'a Node) -> bool {
        let attended = node.inputs.iter().any(|var| {
            let around = self.graph().modules_around(self.graph().node(*var));
            around.into_iter().any(|(_, module)| {
                let class = module.class;
                class == ModuleClass::Attention || class == ModuleClass::MultiheadAttention
            })
        });
        let place = if attended { DropoutPlace::Attended } else { DropoutPlace::Fed };
        self.drops(node, place)
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

    fn norm(&mut self, node: &'a Node, norm: &Norm) -> Made1 {
        let x = self.value(node, 0)?;
        let plain = norm.over == 1 && norm.gain && self.lowering.is_parameter(node.inputs[1]);
        let own = self.lowering.has_own_layer_norm(node);
        let rows = &node.shape.axes[..node.shape.axes.len().saturating_sub(1)];
        match norm.kind {
            NormKind::Layer if plain && norm.shift && !own => {
                let (gain, shift) = (self.value(node, 1)?, self.value(node, 2)?);
                let made = self.made(node, true)?;
                let of_rows = self.unmade(rows, false)?;
                let mean = self.tape.fresh(&of_rows, of_rows.elem);
                let deviation = self.tape.fresh(&of_rows, of_rows.elem);
                let results = [&made, &mean, &deviation];
                self.tape.call("native_layer_norm", &[&x, &gain, &shift], &results);
                Ok(made)
            }
            NormKind::Rms if plain && self.lowering.dialect.rms_norm == NormManner::Spelled => {
                let gain = self.value(node, 1)?;
                let wide = self.tape.to(&x, Elem::F32);
                let square = self.tape.pointwise("pow", &[&wide]);
                let mut mean = self.unmade(rows, square.grad)?;
                mean = self.tape.fresh(&mean, Elem::F32);
                self.tape.call("mean", &[&square], &[&mean]);
                let root = self.tape.pointwise("rsqrt", &[&mean]);
                let normed = self.tape.pointwise("mul", &[&wide, &root]);
                let normed = self.tape.to(&normed, self.options.elem);
                Ok(self.tape.pointwise("mul", &[&normed, &gain]))
            }
            NormKind::Layer | NormKind::Rms => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    fn activation(&mut self, node: &'a Node, function: Activation) -> Made1 {
        let x = self.value(node, 0)?;
        let spelled = self.lowering.activation(node, function) == ActivationManner::Spelled;
        let tape = &mut self.tape;
        let made = match (function, spelled) {
            (Activation::Relu, _) => tape.pointwise("relu", &[&x]),
            (Activation::GeluErf, _) | (Activation::GeluTanh, false) => {
                tape.pointwise("gelu", &[&x])
            }
            (Activation::Silu, _) => tape.pointwise("silu", &[&x]),
            (Activation::Tanh, _) => tape.pointwise("tanh", &[&x]),
            // 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
            (Activation::GeluTanh, true) => {
                let half = tape.pointwise("scale", &[&x]);
                let cube = tape.pointwise("pow", &[&x]);
                let share = tape.pointwise("scale", &[&cube]);
                let sum = tape.pointwise("add", &[&x, &share]);
                let scaled = tape.pointwise("scale", &[&sum]);
                let tanh = tape.pointwise("tanh", &[&scaled]);
                let more = tape.pointwise("add", &[&tanh]);
                tape.pointwise("mul", &[&half, &more])
            }
            (
                Activation::ReluSquared
                | Activation::QuickGelu
                | Activation::Sigmoid
                | Activation::Softplus,
                _,
            ) => return Err(self.unobserved(node, "what is saved of it")),
        };
        match self.drops(node, DropoutPlace::Hidden) {
            true => Ok(self.tape.dropout(&made)),
            false => Ok(made),
        }
    }

    fn rope(&mut self, node: &'a Node) -> Made1 {
        let (x, table) = (self.value(node, 0)?, self.value(node, 1)?);
        if x.sizes.last() != table.sizes.last() {
            return Err(self.unobserved(node, "what is saved of a rotation of a part of each head"));
        }
        let cos = table.clone();
        let sines = self.sines.get(&table.storage).copied();
        let storage = sines.ok_or_else(|| self.unobserved(node, "a table of such angles"))?;
        let sin = Tensor { storage, ..table };
        let straight = self.tape.pointwise("mul", &[&x, &cos]);
        let turned = self.tape.pointwise("neg", &[&x]);
        let turned = self.tape.pointwise("cat", &[&turned]);
        let turned = self.tape.pointwise("mul", &[&turned, &sin]);
        Ok(self.tape.pointwise("add", &[&straight, &turned]))
    }

    fn attention(&mut self, node: &'a Node, op: &Attention) -> Made1 {
        let operands = [self.value(node, 0)?, self.value(node, 1)?, self.value(node, 2)?];
        let [q, k, v] = &operands;
        let shape = |at: usize| &self.graph().shape(node.inputs[at]).axes;
        let plain = !op.bias
            && !op.sinks
            && op.soft_cap.is_none()
            && !op.mask.keep
            && op.mask.reach.is_none()
            // Where a layer of torch.nn is given a mask, it is a tensor.
            && (op.mask.is_none() || self.lowering.family(node).is_some())
            && q.sizes.len() == 4
            && q.sizes[0] == k.sizes[0]
            && q.sizes[1] == k.sizes[1];
        if !plain {
            return Err(self.unobserved(node, "what is saved of attention with more than queries, keys and values of the same tokens"));
        }
        let manner = self.manner(node)?;
        let dropped = self.drops(node, DropoutPlace::Weights);
        let form = match (self.lowering.core_at(node), self.options.by) {
            (Core::Chain { .. }, _) => Form::Chain { widened: manner.widened_softmax },
            (Core::Sdpa, SavedBy::Autograd) => Form::Math,
            (Core::Sdpa, SavedBy::Flash) if dropped || q.sizes[3] != v.sizes[3] => {
                let why = "on a CPU the fused kernel has no dropout and one width of heads; say --no-dropout";
                return Err(self.lowering.unwritten(node, why.to_owned()));
            }
            (Core::Sdpa, SavedBy::Flash) => Form::Fused,
        };
        let [queries, keys, values] = [shape(0), shape(1), shape(2)];
        let grad = q.grad || k.grad || v.grad;
        let axes = |of: &[&Axis]| of.iter().map(|axis| (*axis).clone()).collect::<Vec<_>>();
        let [b, n, h, _] = &queries[..] else {
            return Err(self.unobserved(node, "such attention"));
        };
        let [_, m, _, e] = &keys[..] else { return Err(self.unobserved(node, "such attention")) };
        let f = &values[values.len() - 1];
        let made = Made {
            result: self.unmade(&node.shape.axes, grad)?,
            weights: self.unmade(&axes(&[b, h, n, m]), grad)?,
            rows: self.unmade(&axes(&[b, h, n]), grad)?,
            repeated: [
                self.unmade(&axes(&[b, h, m, e]), grad)?,
                self.unmade(&axes(&[b, h, m, f]), grad)?,
            ],
        };
        Ok(attend(&mut self.tape, [q, k, v], &made, (form, dropped)))
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

    fn rearrange(&mut self, node: &'a Node, how: &Rearrange) -> Made1 {
        let x = self.value(node, 0)?;
        let own = &self.graph().shape(node.inputs[0]).axes;
        let place = |name: &Symbol| own.iter().position(|axis| axis.name == *name);
        let unmade = self.unmade(&node.shape.axes, x.grad)?;
        // Positions of a table: a look-up of their ids, made or kept as a buffer.
        if self.lowering.is_rows(node)
            && self.lowering.around(node).next().map(|(_, module)| module.class)
                == Some(ModuleClass::Positions)
            && !matches!(how, Rearrange::Rename { .. })
        {
            let counted = !self.manner(node)?.positions_kept;
            let rows = self.unmade(&node.shape.axes[..1], false)?;
            let storage = self.tape.storage(&rows.elements, Elem::I64, counted);
            let ids = Tensor { storage, elem: Elem::I64, ..rows };
            let made = self.tape.fresh(&unmade, unmade.elem);
            self.tape.call("embedding", &[&x, &ids], &[&made]);
            return Ok(made);
        }
        let view = |strides| Tensor { strides, storage: x.storage, elem: x.elem, ..unmade.clone() };
        match how {
            Rearrange::Rename { .. } | Rearrange::Slice { .. } => Ok(view(x.strides.clone())),
            Rearrange::Permute { order } => {
                let strides = order.iter().filter_map(place).map(|at| x.strides[at]).collect();
                Ok(view(strides))
            }
            Rearrange::Expand { .. } => Ok(view([&[0], &x.strides[..]].concat())),
            Rearrange::Split { axis, into } => {
                let at = place(axis).ok_or_else(|| self.unobserved(node, "an axis of it"))?;
                let inner = self.sizes(into)?;
                let inner = contiguous(&inner).into_iter().map(|step| step * x.strides[at]);
                let mut strides = x.strides[..at].to_vec();
                strides.extend(inner);
                strides.extend(&x.strides[at + 1..]);
                Ok(view(strides))
            }
            Rearrange::Merge { axes, .. } => {
                let first = axes.first().and_then(place);
                let first = first.ok_or_else(|| self.unobserved(node, "an axis of it"))?;
                let before = vec![1; first];
                let after = vec![1; x.sizes.len() - first - axes.len()];
                Ok(self.tape.reshape(&x, &[before, vec![axes.len()], after].concat()))
            }
            Rearrange::Roll { .. } | Rearrange::Pad { .. } => {
                Err(self.unobserved(node, "what is saved of it"))
            }
        }
    }

    /// What enters a repetition.
    fn enter(&mut self, node: &'a Node) -> Made1 {
        let graph = self.graph();
        let body =
            graph.loops().iter().find(|body| std::ptr::eq(&graph.nodes()[body.body.start], node));
        let one = body.is_some_and(|body| {
            let ends = graph.ends(body);
            ends.entering.len() == 1 && ends.stacks.is_empty() && ends.stacked.is_empty()
        });
        if !one {
            return Err(self.unobserved(node, "a repetition of more than one value"));
        }
        let mut entering = self.value(node, 0)?;
        let times = std::mem::replace(&mut self.tape.times, Poly::one());
        let path = self.tape.path.clone();
        if self.drops(node, DropoutPlace::Entry) {
            let outside = graph.node(node.inputs[0]);
            outside
                .path
                .rsplit_once('.')
                .map_or("", |(scope, _)| scope)
                .clone_into(&mut self.tape.path);
            entering = self.tape.dropout(&entering);
        }
        (self.tape.times, self.tape.path) = (times, path);
        let given = Tensor { grad: true, ..self.tape.fresh(&entering, entering.elem) };
        let count = self.tape.times.clone();
        let (entering, at) = (entering.storage, given.storage);
        self.carried.push(Carried { entering, given: at, next: at, leaving: at, count });
        Ok(given)
    }

    /// What leaves it.
    fn leave(&mut self, var: Var) -> Result<(), ConventionError> {
        let node = self.graph().node(var);
        let last = node.inputs.len().saturating_sub(1);
        let next = self.value(node, last)?;
        let left = self.tape.fresh(&next, next.elem);
        if let Some(carried) = self.carried.last_mut() {
            (carried.next, carried.leaving) = (next.storage, left.storage);
        }
        self.values.insert(var, left);
        Ok(())
    }

    /// What an iteration is given is what the one before made.
    fn unite(&mut self) {
        for Carried { entering, given, next, leaving, count } in std::mem::take(&mut self.carried) {
            let storages = &mut self.tape.storages;
            let saver = |storages: &[super::tape::Storage], at: usize| storages[at].saved.clone();
            let (of_given, of_next) = (saver(storages, given), saver(storages, next));
            let (first, last) = (of_given.clone(), of_next.clone());
            storages[entering].saved = saver(storages, entering).or(first);
            storages[leaving].saved = last.or(saver(storages, leaving));
            storages[given].saved = of_given.or(of_next);
            storages[given].times = count - Poly::one();
            storages[next].saved = None;
        }
    }
}
