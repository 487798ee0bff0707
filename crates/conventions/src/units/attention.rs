//! The calls of attention: the fused function, the chain, and the module that keeps its projections.

use opledger_dims::{Binding, Integer};
use opledger_ir::{ModuleClass, Node, Op, Operation, Var};

use super::sizes::{batched, divide, pointwise, product};
use super::{Place, Reading, is_linear, last, parent};
use crate::ConventionError;
use crate::call::{Call, Manner};
use crate::written::{Core, Scaled};

/// Which projection of an attention module a linear map is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Projection {
    Query,
    Key,
    Value,
    Out,
}

fn projection(node: &Node) -> Projection {
    match last(parent(&node.path)) {
        "q_proj" | "query" => Projection::Query,
        "k_proj" | "key" => Projection::Key,
        "v_proj" | "value" => Projection::Value,
        _ => Projection::Out,
    }
}

impl Reading<'_> {
    /// Products of a batched product: those of all pairs, whatever a mask leaves.
    pub(super) fn node_macs(&self, node: &Node) -> Result<Integer, ConventionError> {
        let Op::Einsum(op) = &node.op else { return Ok(0.into()) };
        let mut all = self.output_elements(node)?;
        for name in op.summed_axes() {
            let shapes = node.inputs.iter().map(|v| self.graph.shape(*v));
            let axis = shapes.flat_map(|s| &s.axes).find(|a| a.name == *name);
            all *= axis.map_or(Ok(1.into()), |a| self.at(&a.size))?;
        }
        Ok(all)
    }

    pub(super) fn matmul(&self, sizes: Binding) -> Call {
        match &self.written.core {
            Core::Chain { products, .. } => Call::new("matmul", *products, sizes),
            Core::Sdpa => Call::new("matmul", Manner::Function, sizes),
        }
    }

    pub(super) fn softmax(&self) -> Manner {
        match &self.written.core {
            Core::Chain { softmax, .. } => *softmax,
            Core::Sdpa => Manner::Function,
        }
    }

    pub(super) fn softmax_sizes(&self, node: &Node) -> Result<Binding, ConventionError> {
        let elements = self.output_elements(node)?;
        let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
        Ok(pointwise(elements.clone()).with("rows", divide(&elements, &width)))
    }

    /// Attention, by one function or by its chain.
    pub(super) fn core(&self, node: &Node) -> Result<Vec<Call>, ConventionError> {
        let [q, k, v, more @ ..] = &node.inputs[..] else { return Ok(Vec::new()) };
        let Op::Attention(op) = &node.op else { return Ok(Vec::new()) };
        let sizes = self.attention(*q, *k, *v)?;
        let Core::Chain { softmax, scaled, .. } = &self.written.core else {
            let masked = u32::from(!more.is_empty() || !op.mask.is_none());
            // A bias that is trained keeps attention off the fused kernel, and so does, in training,
            // dropout of the weights.
            let biased = more.iter().any(|bias| self.gradient(*bias));
            let dropped = biased || self.drops_out(node);
            let sizes = sizes
                .with("masked", masked)
                .with("math", u32::from(biased))
                .with("math_training", u32::from(dropped));
            return Ok(vec![Call::new("sdpa", Manner::Function, sizes)]);
        };
        let size = |name: &str| sizes.get(&name.into()).cloned().unwrap_or_default();
        let batch = size("batch") * size("heads");
        let scores = &batch * size("queries") * size("keys");
        let shape =
            |n, k| product(batch.clone(), (size("queries"), n, k), size("grad").min(2.into()));
        let mut calls = Vec::new();
        if op.scale.is_some() && *scaled == Scaled::Queries {
            calls.push(Call::new("mul", Manner::Operator, pointwise(self.elements(*q)?)));
        }
        calls.push(self.matmul(shape(size("keys"), size("head_dim"))));
        if op.scale.is_some() && *scaled == Scaled::Scores {
            calls.push(Call::new("mul", Manner::Operator, pointwise(scores.clone())));
        }
        if op.bias || !op.mask.is_none() {
            calls.push(Call::new("add", Manner::Operator, pointwise(scores.clone())));
        }
        let rows = &batch * size("queries");
        let by = if self.is_softmax_module(node) { Manner::Function } else { *softmax };
        calls.push(Call::new("softmax", by, pointwise(scores.clone()).with("rows", rows)));
        calls.extend(
            self.drops(node).then(|| Call::new("dropout", Manner::Function, pointwise(scores))),
        );
        calls.push(self.matmul(shape(size("value_dim"), size("keys"))));
        Ok(calls)
    }

    /// `nn.MultiheadAttention`: projections by functions, then the fused function, or two batched
    /// products where weights are asked for.
    pub(super) fn multihead_calls(
        &self,
        vars: &[Var],
    ) -> Result<(Binding, Vec<Call>), ConventionError> {
        let (mut module, mut calls) = (Binding::new(), Vec::new());
        for &var in vars {
            let node = self.graph.node(var);
            if is_linear(self.graph, node) {
                let out = projection(node) == Projection::Out;
                // The operands of the others are transposed, so that a bias is added apart.
                let fused = u32::from(out || self.written.sequence_first || self.is_one_row(node)?);
                let split = u32::from(!out && self.packed(vars)?);
                let sizes = self.linear(node, var)?;
                let other = u32::from(!out && !self.attends_to_itself(vars));
                let sizes =
                    sizes.with("fused_bias", fused).with("split", split).with("split_bias", other);
                let size = |name: &str| sizes.get(&name.into()).cloned().unwrap_or_default();
                match projection(node) {
                    Projection::Query => {
                        module.set("embed", size("in")).set("bias", size("bias"));
                        module.set("first", size("first"));
                    }
                    Projection::Key => drop(module.set("kdim", size("in"))),
                    Projection::Value => drop(module.set("vdim", size("in"))),
                    Projection::Out => {}
                }
                calls.push(Call::new("linear", Manner::Function, sizes));
                continue;
            }
            match &node.op {
                Op::Attention(_) => {
                    let [q, k, v, ..] = &node.inputs[..] else { continue };
                    let sizes = self.attention(*q, *k, *v)?;
                    for (name, value) in sizes.iter().filter(|(name, _)| name.as_str() != "grad") {
                        module.set(name, value.clone());
                    }
                    calls.extend(self.core(node)?);
                }
                Op::Einsum(_) => {
                    let [a, b] = &node.inputs[..] else { continue };
                    let (left, right) = (self.elements(*a)?, self.elements(*b)?);
                    let out = self.output_elements(node)?;
                    let grad = self.grad(*a) + self.grad(*b);
                    let sizes = batched(&left, &right, &out, &self.node_macs(node)?, grad);
                    calls.push(Call::new("bmm", Manner::Function, sizes));
                }
                // Queries are scaled where the graph scales scores.
                Op::Scale(_) => {
                    let scores = node.inputs.first().map(|v| self.graph.node(*v));
                    let queries = scores.and_then(|node| node.inputs.first());
                    let elements = queries.map_or(Ok(0.into()), |v| self.elements(*v))?;
                    calls.push(Call::new("mul", Manner::Operator, pointwise(elements)));
                }
                Op::Arithmetic(_)
                    if node
                        .inputs
                        .iter()
                        .any(|v| vars.contains(v) && self.biased.contains_key(v)) => {}
                Op::Dropout(_) => {}
                Op::Softmax(_) => {
                    let sizes = self.softmax_sizes(node)?;
                    let [batch @ .., heads, queries, keys] = &node.shape.axes[..] else { continue };
                    let batch = batch.iter().map(|a| &a.size).product();
                    module.set("batch", self.at(&batch)?);
                    for (name, axis) in [("heads", heads), ("queries", queries), ("keys", keys)] {
                        module.set(name, self.at(&axis.size)?);
                    }
                    calls.push(Call::new("softmax", Manner::Function, sizes));
                }
                _ => {
                    let sizes = pointwise(self.output_elements(node)?);
                    calls.extend(self.pointwise_calls(node, sizes)?);
                }
            }
        }
        Ok((module, calls))
    }

    /// The operands of the projections to heads among some nodes.
    pub(super) fn projected(&self, vars: &[Var]) -> Vec<Var> {
        let linear = vars.iter().map(|v| self.graph.node(*v)).filter(|n| is_linear(self.graph, n));
        let projected = |node: &&Node| projection(node) != Projection::Out;
        linear.filter(projected).map(|node| node.inputs[0]).collect()
    }

    /// Whether the projections among some nodes are of one value.
    pub(super) fn attends_to_itself(&self, vars: &[Var]) -> bool {
        self.projected(vars).windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Whether the projections among some nodes are parts of one parameter that are cut apart: those of
    /// two values of one width.
    pub(super) fn packed(&self, vars: &[Var]) -> Result<bool, ConventionError> {
        let width = |var: &Var| match self.graph.shape(*var).axes.last() {
            Some(axis) => self.at(&axis.size),
            None => Ok(1.into()),
        };
        let widths = self.projected(vars).iter().map(width).collect::<Result<Vec<_>, _>>()?;
        Ok(!self.attends_to_itself(vars) && widths.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Whether the axes of items and tokens of an operand can be swapped in place.
    pub(super) fn is_one_row(&self, node: &Node) -> Result<bool, ConventionError> {
        let [.., items, tokens, _] = &self.graph.shape(node.inputs[0]).axes[..] else {
            return Ok(true);
        };
        let one = Integer::from(1);
        Ok(self.at(&items.size)? == one || self.at(&tokens.size)? == one)
    }

    /// The modules that may run as one native operator here.
    pub(super) fn native(
        &self,
        place: &Place,
        nodes: &[&Node],
    ) -> Result<Vec<&'static str>, ConventionError> {
        let mut found = Vec::new();
        if !self.keeps_projections() || self.written.sequence_first {
            return Ok(found);
        }
        let layer = nodes.first().and_then(|node| self.around(node, ModuleClass::EncoderLayer));
        if let Some(layer) = layer {
            let inside = self.graph.nodes().iter().filter(|n| self.within(n, layer));
            let inside: Vec<&Node> = inside.collect();
            if self.fusable(&inside)? && inside.iter().all(|n| relu_or_gelu(n)) {
                found.push("TransformerEncoderLayer");
            }
        }
        // A mask of numbers, which a causal one is, keeps the module off its native operator.
        let masked = |node: &&Node| matches!(&node.op, Op::Attention(op) if !op.mask.is_none());
        let unmasked = !nodes.iter().any(masked);
        if place.class == Some("MultiheadAttention") && unmasked && self.fusable(nodes)? {
            found.push("MultiheadAttention");
        }
        Ok(found)
    }

    /// Whether attention among nodes is of a value to itself, with biases, by an even number of heads
    /// (the conditions in `torch/nn/modules/activation.py`).
    pub(super) fn fusable(&self, nodes: &[&Node]) -> Result<bool, ConventionError> {
        let mut operands = Vec::new();
        for (var, node) in self.graph.vars().zip(self.graph.nodes()) {
            let inside = nodes.iter().any(|n| n.path == node.path);
            if !inside || !is_linear(self.graph, node) {
                continue;
            }
            if projection(node) != Projection::Out {
                operands.push(node.inputs[0]);
            }
            if !self.biased.contains_key(&var) {
                return Ok(false);
            }
        }
        let mut even = true;
        for node in nodes {
            if let Op::Attention(_) = &node.op {
                let heads = node.shape.axes.iter().rev().nth(1);
                even &= heads.map_or(Ok(0.into()), |a| self.at(&a.size))? % 2 == 0.into();
            }
        }
        Ok(even && operands.windows(2).all(|pair| pair[0] == pair[1]))
    }
}

fn relu_or_gelu(node: &Node) -> bool {
    !matches!(node.op, Op::Activation(_)) || matches!(node.op.name(), "relu" | "gelu" | "gelu_tanh")
}
