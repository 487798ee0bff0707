//! The calls of the framework behind the nodes of a unit.

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::{ArithmeticKind, NormKind};
use opledger_ir::{Mask, Node, Op, Operation, Var};

use super::sizes::{divide, pointwise, product};
use super::{Call, Manner, Place, Reading, Unit, is_linear, parent};
use crate::ConventionError;
use crate::written::{ActivationManner, AttentionModule, Core, NormManner, Scaled};

type Calls = Vec<Call>;

fn call(op: &'static str, by: Manner, sizes: Binding) -> Call {
    Call { op, by, sizes }
}

fn last(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

impl Reading<'_> {
    /// The class of the module that a node is, if it is one.
    pub(super) fn class(&self, node: &Node) -> Option<&'static str> {
        match &node.op {
            Op::Einsum(_) if is_linear(self.graph, node) => {
                let module = last(parent(&node.path));
                Some(match self.around(&node.path, "Conv2d") {
                    Some(_) => "Conv2d",
                    None if self.written.conv1d.iter().any(|name| name == module) => "Conv1D",
                    None => "Linear",
                })
            }
            Op::Norm(norm) => Some(match (norm.kind, self.written.rms_norm) {
                (NormKind::Layer, _) => "LayerNorm",
                (NormKind::Rms, NormManner::Module) => "RMSNorm",
                (NormKind::Rms, NormManner::Spelled) => "custom RMSNorm",
            }),
            Op::Embedding(_) => Some("Embedding"),
            Op::Activation(_) => match self.activation(node) {
                ActivationManner::Module => Some(activation_class(node.op.name())),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a path lies in an encoder or decoder layer of torch.nn.
    fn multihead_layer(&self, path: &str) -> bool {
        let layers = ["TransformerEncoderLayer", "TransformerDecoderLayer"];
        self.written.attention == AttentionModule::Multihead
            && layers.iter().any(|class| self.around(path, class).is_some())
    }

    /// How an activation is called.
    fn activation(&self, node: &Node) -> ActivationManner {
        let name = node.op.name();
        match self.written.activations.get(name) {
            Some(manner) => *manner,
            // The layers of torch.nn keep the function itself.
            None if self.multihead_layer(&node.path) => ActivationManner::Captured,
            None => ActivationManner::Module,
        }
    }

    /// Sizes of the module and the calls it makes.
    pub(super) fn calls(
        &self,
        class: &Option<&'static str>,
        vars: &[Var],
    ) -> Result<(Binding, Calls), ConventionError> {
        if *class == Some("MultiheadAttention") {
            return self.multihead_calls(vars);
        }
        let Some(&var) = vars.first() else { return Ok(<_>::default()) };
        let node = self.graph.node(var);
        let function = Manner::Function;
        let sizes = match &node.op {
            Op::Einsum(_) if is_linear(self.graph, node) => {
                let sizes = self.linear(node, var)?;
                let op = match class {
                    Some("Conv2d") => "conv2d",
                    Some("Conv1D") => "addmm",
                    _ => "linear",
                };
                return Ok((sizes.clone(), vec![call(op, function, sizes)]));
            }
            Op::Norm(norm) => {
                let elements = self.output_elements(node)?;
                let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
                pointwise(elements.clone())
                    .with("rows", divide(&elements, &width))
                    .with("affine", u32::from(norm.gain))
                    .with("first", self.first(&node.shape)?)
            }
            Op::Embedding(_) => {
                pointwise(self.output_elements(node)?).with("first", self.first(&node.shape)?)
            }
            _ => pointwise(self.output_elements(node)?).with("first", self.first(&node.shape)?),
        };
        Ok((sizes.clone(), self.pointwise_calls(node, sizes)?))
    }

    fn pointwise_calls(&self, node: &Node, sizes: Binding) -> Result<Calls, ConventionError> {
        use Manner::{Captured, Function, Method, Operator};
        let one = |op, by| vec![call(op, by, sizes.clone())];
        Ok(match &node.op {
            Op::Norm(norm) => match (norm.kind, self.written.rms_norm) {
                (NormKind::Layer, _) => one("layer_norm", Function),
                (NormKind::Rms, NormManner::Module) => one("rms_norm", Function),
                (NormKind::Rms, NormManner::Spelled) => {
                    let rows = sizes.get(&"rows".into()).cloned().unwrap_or_default();
                    let rows = pointwise(rows);
                    vec![
                        call("pow", Method, sizes.clone()),
                        call("mean", Method, sizes.clone()),
                        call("add", Operator, rows.clone()),
                        call("rsqrt", Function, rows),
                        call("mul", Operator, sizes.clone()),
                        call("mul", Operator, sizes),
                    ]
                }
            },
            Op::Activation(_) => {
                let op = activation_op(node.op.name());
                match self.activation(node) {
                    ActivationManner::Module | ActivationManner::Function => one(op, Function),
                    ActivationManner::Captured => one(op, Captured),
                    ActivationManner::Spelled => spelled(node.op.name(), &sizes),
                }
            }
            Op::Embedding(_) => one("embedding", Function),
            Op::Arithmetic(op) => {
                let sizes = match &node.inputs[..] {
                    [a, b] => self.pair(*a, *b)?,
                    _ => sizes,
                };
                let name = match op.kind {
                    ArithmeticKind::Add => "add",
                    ArithmeticKind::Mul => "mul",
                    ArithmeticKind::Div => "div",
                };
                vec![call(name, Operator, sizes)]
            }
            Op::Scale(_) => one("mul", Operator),
            Op::Softmax(_) => vec![call("softmax", self.softmax(), self.softmax_sizes(node)?)],
            Op::Rope(_) => ["mul", "neg", "cat", "mul", "add"]
                .map(|op| match op {
                    "neg" => {
                        let half = sizes.get(&"elements".into()).cloned().unwrap_or_default() / 2;
                        call(op, Operator, pointwise(half))
                    }
                    "cat" => call(op, Function, sizes.clone()),
                    _ => call(op, Operator, sizes.clone()),
                })
                .into(),
            Op::Attention(_) => self.core(node)?,
            Op::Einsum(_) => match &node.inputs[..] {
                [a, b] => {
                    let (left, right) = (self.elements(*a)?, self.elements(*b)?);
                    let out = self.output_elements(node)?;
                    let grad = self.grad(*a) + self.grad(*b);
                    vec![self.matmul(batched(&left, &right, &out, &self.node_macs(node)?, grad))]
                }
                _ => Vec::new(),
            },
            Op::Reduce(_) => {
                let elements = node.inputs.first().map_or(Ok(0.into()), |v| self.elements(*v))?;
                vec![call("mean", Method, pointwise(elements))]
            }
            _ => Vec::new(),
        })
    }

    /// Products of a batched product: those of all pairs, whatever a mask leaves.
    fn node_macs(&self, node: &Node) -> Result<Integer, ConventionError> {
        let Op::Einsum(op) = &node.op else { return Ok(0.into()) };
        let mut all = self.output_elements(node)?;
        for name in op.summed_axes() {
            let shapes = node.inputs.iter().map(|v| self.graph.shape(*v));
            let axis = shapes.flat_map(|s| &s.axes).find(|a| a.name == *name);
            all *= axis.map_or(Ok(1.into()), |a| self.at(&a.size))?;
        }
        Ok(all)
    }

    fn matmul(&self, sizes: Binding) -> Call {
        match &self.written.core {
            Core::Chain { products, .. } => call("matmul", *products, sizes),
            Core::Sdpa => call("matmul", Manner::Function, sizes),
        }
    }

    fn softmax(&self) -> Manner {
        match &self.written.core {
            Core::Chain { softmax, .. } => *softmax,
            Core::Sdpa => Manner::Function,
        }
    }

    fn softmax_sizes(&self, node: &Node) -> Result<Binding, ConventionError> {
        let elements = self.output_elements(node)?;
        let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
        Ok(pointwise(elements.clone()).with("rows", divide(&elements, &width)))
    }

    /// Attention, by one function or by its chain.
    fn core(&self, node: &Node) -> Result<Calls, ConventionError> {
        let [q, k, v, more @ ..] = &node.inputs[..] else { return Ok(Vec::new()) };
        let Op::Attention(op) = &node.op else { return Ok(Vec::new()) };
        let sizes = self.attention(*q, *k, *v)?;
        let Core::Chain { softmax, scaled, .. } = &self.written.core else {
            let masked = u32::from(!more.is_empty() || op.mask != Mask::none());
            // Layers of torch.nn drop weights out while training, which the fused kernel does not.
            let math = u32::from(self.multihead_layer(&node.path));
            let sizes = sizes.with("masked", masked).with("math", math);
            return Ok(vec![call("sdpa", Manner::Function, sizes)]);
        };
        let size = |name: &str| sizes.get(&name.into()).cloned().unwrap_or_default();
        let batch = size("batch") * size("heads");
        let scores = &batch * size("queries") * size("keys");
        let shape =
            |n, k| product(batch.clone(), (size("queries"), n, k), size("grad").min(2.into()));
        let mut calls = Vec::new();
        if op.scale.is_some() && *scaled == Scaled::Queries {
            calls.push(call("mul", Manner::Operator, pointwise(self.elements(*q)?)));
        }
        calls.push(self.matmul(shape(size("keys"), size("head_dim"))));
        if op.scale.is_some() && *scaled == Scaled::Scores {
            calls.push(call("mul", Manner::Operator, pointwise(scores.clone())));
        }
        if op.bias || op.mask != Mask::none() {
            calls.push(call("add", Manner::Operator, pointwise(scores.clone())));
        }
        let rows = &batch * size("queries");
        calls.push(call("softmax", *softmax, pointwise(scores).with("rows", rows)));
        calls.push(self.matmul(shape(size("value_dim"), size("keys"))));
        Ok(calls)
    }

    /// `nn.MultiheadAttention`: projections by functions, then the fused function, or two batched
    /// products where weights are asked for.
    fn multihead_calls(&self, vars: &[Var]) -> Result<(Binding, Calls), ConventionError> {
        let (mut module, mut calls) = (Binding::new(), Vec::new());
        for &var in vars {
            let node = self.graph.node(var);
            if is_linear(self.graph, node) {
                let out = last(parent(&node.path)) == "out_proj";
                // The operands of the others are transposed, so that a bias is added apart.
                let fused = u32::from(out || self.written.sequence_first);
                let sizes = self.linear(node, var)?.with("fused_bias", fused);
                let size = |name: &str| sizes.get(&name.into()).cloned().unwrap_or_default();
                match last(parent(&node.path)) {
                    "q_proj" => {
                        module.set("embed", size("in")).set("bias", size("bias"));
                        module.set("first", size("first"));
                    }
                    "k_proj" => drop(module.set("kdim", size("in"))),
                    "v_proj" => drop(module.set("vdim", size("in"))),
                    _ => {}
                }
                calls.push(call("linear", Manner::Function, sizes));
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
                    calls.push(call("bmm", Manner::Function, sizes));
                }
                // Queries are scaled, whatever the graph scales.
                Op::Scale(_) => {
                    let scores = self.output_elements(node)?;
                    calls.push(call("mul", Manner::Operator, pointwise(scores)));
                }
                Op::Softmax(_) => {
                    let sizes = self.softmax_sizes(node)?;
                    let [batch @ .., heads, queries, keys] = &node.shape.axes[..] else { continue };
                    let batch = batch.iter().map(|a| &a.size).product();
                    module.set("batch", self.at(&batch)?);
                    for (name, axis) in [("heads", heads), ("queries", queries), ("keys", keys)] {
                        module.set(name, self.at(&axis.size)?);
                    }
                    calls.push(call("softmax", Manner::Function, sizes));
                }
                _ => {
                    let sizes = pointwise(self.output_elements(node)?);
                    calls.extend(self.pointwise_calls(node, sizes)?);
                }
            }
        }
        Ok((module, calls))
    }

    /// The product that gives rotary angles, once for all layers.
    pub(super) fn rotary(&self) -> Result<Option<Unit>, ConventionError> {
        let rope = self.graph.nodes().iter().find(|node| matches!(node.op, Op::Rope(_)));
        let Some(node) = rope.filter(|_| self.written.rotary_product) else { return Ok(None) };
        let [.., tokens, _, width] = &node.shape.axes[..] else { return Ok(None) };
        let (tokens, half) = (self.at(&tokens.size)?, self.at(&width.size)? / 2);
        let angles = product(1.into(), (half, tokens, 1.into()), 0.into());
        Ok(Some(Unit {
            path: "rotary_emb".to_owned(),
            class: None,
            native: Vec::new(),
            sizes: Binding::new(),
            calls: vec![call("matmul", Manner::Operator, angles)],
            parameters: 0.into(),
            times: 1.into(),
            counts: <_>::default(),
        }))
    }

    /// The modules that may run as one native operator here.
    pub(super) fn native(
        &self,
        place: &Place,
        nodes: &[&Node],
    ) -> Result<Vec<&'static str>, ConventionError> {
        let mut found = Vec::new();
        if self.written.attention != AttentionModule::Multihead || self.written.sequence_first {
            return Ok(found);
        }
        if let Some(scope) = self.around(&place.path, "TransformerEncoderLayer") {
            let inside = self.graph.nodes().iter().filter(|n| super::within(&n.path, scope));
            let inside: Vec<&Node> = inside.collect();
            if self.fusable(&inside)? && inside.iter().all(|n| relu_or_gelu(n)) {
                found.push("TransformerEncoderLayer");
            }
        }
        if place.class == Some("MultiheadAttention") && self.fusable(nodes)? {
            found.push("MultiheadAttention");
        }
        Ok(found)
    }

    /// Whether attention among nodes is of a value to itself, with biases, by an even number of heads
    /// (the conditions in `torch/nn/modules/activation.py`).
    fn fusable(&self, nodes: &[&Node]) -> Result<bool, ConventionError> {
        let mut operands = Vec::new();
        for (var, node) in self.graph.vars().zip(self.graph.nodes()) {
            let inside = nodes.iter().any(|n| n.path == node.path);
            if !inside || !is_linear(self.graph, node) {
                continue;
            }
            if ["q_proj", "k_proj", "v_proj"].contains(&last(parent(&node.path))) {
                operands.push(node.inputs[0]);
            }
            if !self.biased.contains_key(&var) {
                return Ok(false);
            }
        }
        let mut even = true;
        for node in nodes {
            if let Op::Attention(_) = node.op {
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

/// The sizes of a batched product from those of its operands and result.
fn batched(
    left: &Integer,
    right: &Integer,
    out: &Integer,
    macs: &Integer,
    grad: Integer,
) -> Binding {
    // left = b·m·k, right = b·k·n, out = b·m·n, macs = b·m·n·k.
    let (k, n, m) = (divide(macs, out), divide(macs, left), divide(macs, right));
    product(divide(out, &(&m * &n)), (m, n, k), grad)
}

fn activation_class(name: &str) -> &'static str {
    match name {
        "relu" => "ReLU",
        "gelu" | "gelu_tanh" => "GELU",
        "silu" => "SiLU",
        "sigmoid" => "Sigmoid",
        "tanh" => "Tanh",
        _ => "QuickGELU",
    }
}

fn activation_op(name: &str) -> &'static str {
    match name {
        "relu" => "relu",
        "silu" => "silu",
        "sigmoid" => "sigmoid",
        "tanh" => "tanh",
        _ => "gelu",
    }
}

/// An activation operator by operator.
fn spelled(name: &str, sizes: &Binding) -> Calls {
    use Manner::{Function, Operator};
    let calls: &[(&str, Manner)] = match name {
        // 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
        "gelu_tanh" => &[
            ("mul", Operator),
            ("pow", Function),
            ("mul", Operator),
            ("add", Operator),
            ("mul", Operator),
            ("tanh", Function),
            ("add", Operator),
            ("mul", Operator),
        ],
        // x·sigmoid(1.702·x)
        "quick_gelu" => &[("mul", Operator), ("sigmoid", Function), ("mul", Operator)],
        _ => &[],
    };
    let named = |op: &&str| ["mul", "pow", "add", "tanh", "sigmoid"].into_iter().find(|n| n == op);
    calls.iter().filter_map(|(op, by)| Some(call(named(op)?, *by, sizes.clone()))).collect()
}
