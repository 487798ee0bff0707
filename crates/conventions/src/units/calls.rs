//! The calls of the framework behind the nodes of a unit.

use opledger_dims::Binding;
use opledger_ir::ops::{ArithmeticKind, NormKind, Rearrange};
use opledger_ir::{ModuleClass, ModuleId, Node, Op, Operation, Var};

use super::sizes::{batched, divide, pointwise};
use super::{Reading, is_linear, is_vision_transformer, last};
use crate::ConventionError;
use crate::call::{Call, Manner};
use crate::written::{ActivationManner, AttentionModule, NormManner};

impl Reading<'_> {
    /// The class of the module that a node is, if it is one.
    pub(super) fn class(&self, node: &Node) -> Option<&'static str> {
        match &node.op {
            Op::Einsum(_) if is_linear(self.graph, node) => {
                Some(match self.around(node, ModuleClass::Convolution) {
                    Some(_) => "Conv2d",
                    None if self.conv1d(&node.path).is_some() => "Conv1D",
                    None if self.in_timm_attention(node) => "Linear in Attention",
                    None => "Linear",
                })
            }
            Op::Norm(norm) => Some(match (norm.kind, self.written.rms_norm) {
                (NormKind::Layer, _) if self.is_subclass(node) => "LayerNorm subclass",
                (NormKind::Layer, _) => "LayerNorm",
                (NormKind::Rms, NormManner::Module) => "RMSNorm",
                (NormKind::Rms, NormManner::Spelled) => "custom RMSNorm",
            }),
            Op::Attention(_) if self.in_timm_attention(node) => Some("Attention"),
            Op::Embedding(_) if self.is_module(node) => Some("Embedding"),
            Op::Attention(_) | Op::Softmax(_) if self.is_softmax_module(node) => Some("Softmax"),
            Op::Rearrange(_) if self.is_table(node) => Some("Embedding"),
            Op::Dropout(_) => Some("Dropout"),
            Op::Activation(_) => match self.activation(node) {
                ActivationManner::Module => Some(activation_class(node.op.name())),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a look-up is of a module's weight, not of a parameter of a module around it.
    fn is_module(&self, node: &Node) -> bool {
        node.inputs.iter().any(|v| self.graph.node(*v).path.ends_with("weight"))
    }

    /// Whether softmax is a module of its own, as in `timm`'s window attention.
    pub(super) fn is_softmax_module(&self, node: &Node) -> bool {
        self.written.attention == AttentionModule::Timm && node.path.starts_with("swin.")
    }

    /// Whether a LayerNorm is of a class of the library's own.
    fn is_subclass(&self, node: &Node) -> bool {
        self.written.layer_norm_subclass && is_vision_transformer(&node.path)
    }

    /// Whether a node lies in an attention module of `timm`'s Vision Transformers.
    fn in_timm_attention(&self, node: &Node) -> bool {
        // A layer of its own is all attention.
        let alone = ["qkv.", "proj.", "attention"].iter().any(|root| node.path.starts_with(root));
        self.written.attention == AttentionModule::Timm
            && (alone || is_vision_transformer(&node.path) && node.path.contains(".attention"))
    }

    /// Whether a node takes the first rows of a parameter, which others look up by position.
    fn is_table(&self, node: &Node) -> bool {
        let of_parameter = || node.inputs.iter().all(|v| super::is_parameter(self.graph.node(*v)));
        matches!(&node.op, Op::Rearrange(Rearrange::Slice { .. })) && of_parameter()
    }

    /// The encoder or decoder layer of torch.nn around a node.
    fn torch_layer(&self, node: &Node) -> Option<ModuleId> {
        let layers = [ModuleClass::EncoderLayer, ModuleClass::DecoderLayer];
        layers.into_iter().find_map(|class| self.around(node, class))
    }

    /// Whether a node lies in an encoder or decoder layer of torch.nn.
    fn multihead_layer(&self, node: &Node) -> bool {
        self.written.attention == AttentionModule::Multihead && self.torch_layer(node).is_some()
    }

    /// Whether the library has dropout after the softmax and before the residual that a node is.
    pub(super) fn drops(&self, node: &Node) -> bool {
        let inner = last(&node.path);
        let after = ["residual", "attention", "softmax"].iter().any(|name| inner.starts_with(name));
        after && self.dropout(&node.path).is_some()
    }

    /// The probability with which the library drops elements of the model around a path, if it has
    /// dropout there.
    fn dropout(&self, path: &str) -> Option<f64> {
        self.written.dropouts.get(path.split('.').next().unwrap_or_default()).copied()
    }

    /// Dropout of the value that enters the layers.
    fn entry(&self, var: Var) -> Result<Option<Call>, ConventionError> {
        let mut carries = self.graph.nodes().iter().filter(|node| matches!(node.op, Op::Carry(_)));
        let enters = carries.find(|node| node.inputs.first() == Some(&var));
        match enters.and_then(|node| self.dropout(&node.path)) {
            Some(_) => {
                Ok(Some(Call::new("dropout", Manner::Function, pointwise(self.elements(var)?))))
            }
            None => Ok(None),
        }
    }

    /// Whether training drops attention weights out at a node.
    pub(super) fn drops_out(&self, node: &Node) -> bool {
        if self.dropout(&node.path).is_some_and(|p| p > 0.0) {
            return true;
        }
        self.torch_layer(node).is_some_and(|layer| {
            let inside = self.graph.nodes().iter().filter(|node| self.within(node, layer));
            inside.into_iter().any(|node| matches!(node.op, Op::Dropout(_)))
        })
    }

    /// How an activation is called.
    fn activation(&self, node: &Node) -> ActivationManner {
        let name = node.op.name();
        match self.written.activations.get(name) {
            Some(manner) => *manner,
            // The layers of torch.nn keep the function itself.
            None if self.multihead_layer(node) => ActivationManner::Captured,
            None => ActivationManner::Module,
        }
    }

    /// Sizes of the module and the calls it makes.
    pub(super) fn calls(
        &self,
        class: &Option<&'static str>,
        vars: &[Var],
    ) -> Result<(Binding, Vec<Call>), ConventionError> {
        if *class == Some("MultiheadAttention") {
            return self.multihead_calls(vars);
        }
        let Some(&var) = vars.first() else { return Ok(<_>::default()) };
        let node = self.graph.node(var);
        let function = Manner::Function;
        let sizes = match &node.op {
            Op::Einsum(_) if is_linear(self.graph, node) => {
                let sizes = self.joined(vars)?;
                let op = match class {
                    Some("Conv2d") => "conv2d",
                    Some("Conv1D") => "addmm",
                    _ => "linear",
                };
                return Ok((sizes.clone(), vec![Call::new(op, function, sizes)]));
            }
            Op::Norm(norm) => {
                let elements = self.output_elements(node)?;
                let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
                pointwise(elements.clone())
                    .with("rows", divide(&elements, &width))
                    .with("affine", u32::from(norm.gain))
                    .with("first", self.first(&node.shape)?)
            }
            Op::Embedding(_) | Op::Rearrange(_) => {
                let elements = self.output_elements(node)?;

                let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
                pointwise(elements.clone())
                    .with("rows", divide(&elements, &width))
                    // Positions are looked up once for all items.
                    .with(
                        "first",
                        if self.is_table(node) { 1.into() } else { self.first(&node.shape)? },
                    )
            }
            _ => pointwise(self.output_elements(node)?).with("first", self.first(&node.shape)?),
        };
        let sizes = match (&node.op, &node.inputs[..]) {
            (Op::Softmax(_), _) => self.softmax_sizes(node)?,
            (Op::Attention(_), [q, k, v, ..]) => {
                let sizes = self.attention(*q, *k, *v)?;
                let size = |name: &str| sizes.get(&name.into()).cloned().unwrap_or_default();
                let rows = size("batch") * size("heads") * size("queries");
                let elements = &rows * size("keys");
                sizes.with("rows", rows).with("elements", elements)
            }
            _ => sizes,
        };
        let mut calls = self.pointwise_calls(node, sizes.clone())?;
        calls.extend(self.entry(var)?);
        Ok((sizes, calls))
    }

    /// Sizes of the linear maps of one module: what they give lies side by side.
    fn joined(&self, vars: &[Var]) -> Result<Binding, ConventionError> {
        let mut joined = Binding::new();
        for &var in vars.iter().filter(|v| is_linear(self.graph, self.graph.node(**v))) {
            let sizes = self.linear(self.graph.node(var), var)?;
            let before = joined.get(&"out".into()).cloned().unwrap_or_default();
            let out = sizes.get(&"out".into()).cloned().unwrap_or_default();
            joined = sizes.with("out", before + out);
        }
        Ok(joined)
    }

    pub(super) fn pointwise_calls(
        &self,
        node: &Node,
        sizes: Binding,
    ) -> Result<Vec<Call>, ConventionError> {
        use Manner::{Captured, Function, Method, Operator};
        let one = |op, by| vec![Call::new(op, by, sizes.clone())];
        Ok(match &node.op {
            Op::Norm(norm) => match (norm.kind, self.written.rms_norm) {
                (NormKind::Layer, _) => one("layer_norm", Function),
                (NormKind::Rms, NormManner::Module) => one("rms_norm", Function),
                (NormKind::Rms, NormManner::Spelled) => {
                    let rows = sizes.get(&"rows".into()).cloned().unwrap_or_default();
                    let rows = pointwise(rows);
                    vec![
                        Call::new("pow", Method, sizes.clone()),
                        Call::new("mean", Method, sizes.clone()),
                        Call::new("add", Operator, rows.clone()),
                        Call::new("rsqrt", Function, rows),
                        Call::new("mul", Operator, sizes.clone()),
                        Call::new("mul", Operator, sizes),
                    ]
                }
            },
            Op::Activation(_) => {
                let op = activation_op(node.op.name());
                match self.activation(node) {
                    ActivationManner::Module | ActivationManner::Function => one(op, Function),
                    ActivationManner::Captured if self.multihead_layer(node) => {
                        vec![
                            Call::new(op, Captured, sizes.clone()),
                            Call::new("dropout", Function, sizes),
                        ]
                    }
                    ActivationManner::Captured => one(op, Captured),
                    ActivationManner::Spelled => spelled(node.op.name(), &sizes),
                }
            }
            Op::Embedding(_) => one("embedding", Function),
            Op::Rearrange(_) if self.is_table(node) => one("embedding", Function),
            // Layers of torch.nn have the module also where its probability is zero.
            Op::Dropout(_) if self.multihead_layer(node) => Vec::new(),
            Op::Dropout(_) => one("dropout", Function),
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
                let mut calls = vec![Call::new(name, Operator, sizes.clone())];
                let residual = op.kind == ArithmeticKind::Add;
                if self.multihead_layer(node) || residual && self.drops(node) {
                    calls.push(Call::new("dropout", Function, sizes));
                }
                calls
            }
            Op::Scale(_) => one("mul", Operator),
            Op::Softmax(_) => {
                let sizes = self.softmax_sizes(node)?;
                let by = if self.is_softmax_module(node) { Function } else { self.softmax() };
                let mut calls = vec![Call::new("softmax", by, sizes.clone())];
                calls.extend(self.drops(node).then(|| Call::new("dropout", Function, sizes)));
                calls
            }
            Op::Rope(rope) => {
                let all = sizes;
                let elements = all.get(&"elements".into()).cloned().unwrap_or_default();
                let (sizes, half) = match (&rope.rotated, node.shape.axes.last()) {
                    (Some(rotated), Some(axis)) => {
                        let turned =
                            elements * self.at(rotated)? / self.at(&axis.size)?.max(1.into());
                        (pointwise(turned.clone()), turned / 2)
                    }
                    _ => (all.clone(), elements / 2),
                };
                let mut calls = vec![
                    Call::new("mul", Operator, sizes.clone()),
                    Call::new("neg", Operator, pointwise(half)),
                    Call::new("cat", Function, sizes.clone()),
                    Call::new("mul", Operator, sizes.clone()),
                    Call::new("add", Operator, sizes),
                ];
                // What is not turned is joined to what is.
                calls.extend(rope.rotated.as_ref().map(|_| Call::new("cat", Function, all)));
                calls
            }
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
                vec![Call::new("mean", Method, pointwise(elements))]
            }
            _ => Vec::new(),
        })
    }
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
        "gelu_tanh" => "gelu_tanh",
        "silu" => "silu",
        "sigmoid" => "sigmoid",
        "tanh" => "tanh",
        _ => "gelu",
    }
}

/// An activation operator by operator.
fn spelled(name: &str, sizes: &Binding) -> Vec<Call> {
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
    calls.iter().filter_map(|(op, by)| Some(Call::new(named(op)?, *by, sizes.clone()))).collect()
}
