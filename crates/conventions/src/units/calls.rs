//! The calls of the framework behind a node.

use opledger_dims::{Activation, Binding, Pointwise, Poly};
use opledger_ir::ops::{ArithmeticKind, Norm, NormKind, Reduce, Source};
use opledger_ir::{Kind, ModuleClass, ModuleId, Node, Op, Operation, Role, Shape, SizeRole, Var};

use super::activation::{operator, spelled};
use super::lowering::{Lowering, Owner};
use super::sizes::{Size, batched, pointwise, size};
use crate::ConventionError;
use crate::call::{Call, Manner};
use crate::dialect::{
    ActivationManner, AttentionModule, DropoutPlace, Dropouts, ExpertsManner, NormManner,
};

/// Sizes of a module and the calls it makes.
pub(super) type Calls = Result<(Binding, Vec<Call>), ConventionError>;

impl Lowering<'_> {
    /// Sizes of a unit and the calls it makes.
    pub(super) fn calls(&self, owner: Owner, vars: &[Var]) -> Calls {
        match owner {
            Owner::Multihead(_) => self.multihead_calls(vars),
            Owner::Window(_) => self.window_calls(vars),
            Owner::Core(_) => self.core_calls(vars),
            Owner::Fused(..) => self.linear_calls(owner, vars),
            Owner::Node(var) if self.is_linear(var) => self.linear_calls(owner, vars),
            Owner::Node(var) => {
                let own = self.calls_of_all_experts(var);
                let (sizes, mut calls) = own.unwrap_or_else(|| self.node_calls(var))?;
                calls.extend(self.entry(var)?);
                Ok((sizes, calls))
            }
        }
    }

    /// The linear maps of one module: what they give lies side by side.
    fn linear_calls(&self, owner: Owner, vars: &[Var]) -> Calls {
        let mut sizes = Binding::new();
        for &var in vars.iter().filter(|var| self.is_linear(**var)) {
            let own = self.linear(var)?;
            let out = size(&sizes, "out") + size(&own, "out");
            sizes = own.with("out", out);
        }
        let worded = |var: &Var| {
            let listed = |family| self.dialect.padding_by_word.iter().any(|own| own == family);
            self.family(self.graph.node(*var)).is_some_and(listed)
        };
        let op = match self.class(owner) {
            Some("Conv2d") if vars.iter().any(worded) => "convolution_mode",
            Some("Conv2d") => "conv2d",
            Some("Conv3d") => "conv3d",
            Some("Conv1D") => "addmm",
            _ => "linear",
        };
        let mut calls = vec![Call::new(op, Manner::Function, sizes.clone())];
        for var in vars.iter().filter(|var| self.is_linear(**var)) {
            let node = self.graph.node(*var);
            let given = |out: &Var| vars.contains(out);
            if self.drops(node, DropoutPlace::Head)
                && self.graph.outputs().iter().any(|(_, out)| given(out))
            {
                let operand = node.inputs.first().map_or(Ok(0.into()), |v| self.elements(*v))?;
                calls.push(Call::new("dropout", Manner::Function, pointwise(operand)));
            }
        }
        Ok((sizes, calls))
    }

    /// The first axis of the positions that a model looks up: one, its items, or its tokens.
    fn position_rows(&self, node: &Node) -> Size {
        let among = |families: &[String]| {
            self.family(node).is_some_and(|own| families.iter().any(|family| family == own))
        };
        let table = node.inputs.first().map(|var| &self.graph.node(*var).op);
        let frozen = matches!(table, Some(Op::Source(Source::Param { trainable: false, .. })));
        let tokens = node.shape.axes.first();
        let tokens = tokens.filter(|_| frozen && among(&self.dialect.positions_of_tokens));
        let items = self.graph.size_of(SizeRole::Batch);
        match (tokens, items.filter(|_| among(&self.dialect.positions_of_items))) {
            (Some(tokens), _) => self.at(&tokens.size),
            (None, Some(items)) => self.at(&Poly::symbol(items)),
            (None, None) => Ok(1.into()),
        }
    }

    /// The calls of a node that is no product with a weight.
    pub(super) fn node_calls(&self, var: Var) -> Calls {
        use Manner::{Function, Method, Operator};
        let node = self.graph.node(var);
        let each = || Ok::<_, ConventionError>(pointwise(self.elements(var)?));
        // What is done token by token the library does in chunks, all at the end.
        if let Some(own) = self.recurrence(node) {
            return match self.end_of_recurrence(node) {
                Some(end) => self.chunks(node, end, own),
                None => Ok(silent(each()?)),
            };
        }
        let one = |op, by, sizes: Binding| (sizes.clone(), vec![Call::new(op, by, sizes)]);
        Ok(match &node.op {
            Op::Norm(norm) => {
                let sizes = self.norm_rows(node, norm)?.with("affine", u32::from(norm.gain));
                let calls = self.norm_calls(node, norm, &sizes);
                (sizes, calls)
            }
            Op::Activation(function) => {
                let sizes = each()?;
                let calls = self.activation_calls(node, *function, &sizes)?;
                (sizes, calls)
            }
            // All rows but the last three, then the rows by an index.
            Op::Embedding(_) if self.is_resampled(node) => {
                let table = self.graph.shape(node.inputs[1]);
                let last = table.axes.last().map_or(Ok(1.into()), |axis| self.at(&axis.size))?;
                let rows = self.elements(node.inputs[1])? - last * 3u32;
                let resampled = pointwise(rows.clone()).with("interpolated", rows);
                let sizes = pointwise(self.output_elements(node)?);
                (sizes, vec![Call::new("upsample_bilinear2d", Function, resampled)])
            }
            Op::Embedding(_) => {
                let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
                one("embedding", Function, self.rows(node)?.with("width", width))
            }
            Op::Rearrange(_) => match self.around(node).next().map(|(_, module)| module.class) {
                Some(ModuleClass::Positions) if self.is_rows(node) => {
                    let first = self.position_rows(node)?;
                    one("embedding", Function, self.rows(node)?.with("first", first))
                }
                _ => silent(each()?),
            },
            Op::Dropout(_) => {
                let sizes = each()?;
                // Layers of torch.nn have the module also where its probability is zero.
                match self.in_torch_layer(node) {
                    true => silent(sizes),
                    false => one("dropout", Function, sizes),
                }
            }
            Op::Arithmetic(op) => {
                let sizes = match &node.inputs[..] {
                    [a, b, ..] => self.pair(*a, *b)?,
                    _ => each()?,
                };
                let name = match op.kind {
                    ArithmeticKind::Add => "add",
                    ArithmeticKind::Mul => "mul",
                    ArithmeticKind::Div => "div",
                    ArithmeticKind::Sub
                    | ArithmeticKind::Max
                    | ArithmeticKind::Min
                    | ArithmeticKind::Pow => return Err(self.unrecorded(node)),
                };
                let mut calls = vec![Call::new(name, Operator, sizes)];
                calls.extend(self.residual_dropout(node)?);
                (each()?, calls)
            }
            Op::Scale(_) => one("mul", Operator, pointwise(self.scaled(node)?)),
            Op::Softmax(op) if op.sinks => return Err(self.unrecorded(node)),
            Op::Softmax(_) => {
                let sizes = self.softmax_sizes(node)?;
                let by = if self.is_softmax_module(node) { Function } else { self.softmax(node) };
                let mut calls = vec![Call::new("softmax", by, sizes.clone())];
                let weights = node.role == Some(Role::AttentionWeights);
                if weights && self.drops(node, DropoutPlace::Weights) {
                    calls.push(Call::new("dropout", Function, sizes.clone()));
                }
                (sizes, calls)
            }
            Op::Rope(_) => {
                let sizes = each()?;
                let calls = self.rope_calls(node, &sizes)?;
                (sizes, calls)
            }
            Op::Attention(_) => self.core(node)?,
            // A weight for each head, by which queries and results of attention by a latent are multiplied.
            Op::Einsum(_) if self.has_weight(node) => {
                let missing = "products of attention by a latent in this order".to_owned();
                return Err(self.unwritten(node, missing));
            }
            Op::Einsum(_) => (each()?, vec![self.matmul(node, self.batched(node)?)]),
            Op::Reduce(reduce) => {
                let read = node.inputs.first().map_or(Ok(0.into()), |v| self.elements(*v))?;
                let sizes = pointwise(read).with("results", self.elements(var)?);
                match reduce {
                    Reduce::Mean(_) => match self.pooler(node) {
                        Some(pooler) => one(pooler.function(), Function, sizes),
                        None => one("mean", Method, sizes),
                    },
                    Reduce::Sum(_) => one("sum", Method, sizes),
                    Reduce::Max(_) if node.role == Some(Role::Routing) => one("max", Method, sizes),
                    Reduce::Max(_) => one("amax", Method, sizes),
                }
            }
            Op::TopK(_) => one("topk", Function, each()?),
            Op::Experts(_) => match self.dialect.experts {
                ExpertsManner::GroupedMm => one("grouped_mm", Function, each()?),
                ExpertsManner::Linear => one("linear", Function, self.experts(node)?),
            },
            // What makes a gain of a parameter, and what keeps experts within bounds.
            Op::Pointwise(Pointwise::Shift(_)) => one("add", Operator, each()?),
            // The length of a row, and the factor of likenesses.
            Op::Pointwise(Pointwise::Power(_)) => one("pow", Function, each()?),
            Op::Pointwise(Pointwise::Exp) => one("exp", Method, each()?),
            Op::Pointwise(Pointwise::Clamp { .. }) => one("clamp", Method, each()?),
            // What leaves a router the experts of the groups chosen.
            Op::Scatter(_) if node.role == Some(Role::Routing) => one("scatter", Method, each()?),
            Op::Select(_) if node.role == Some(Role::Routing) => {
                one("masked_fill", Method, each()?)
            }
            // Rows of images in the place of those of words.
            Op::Select(_) if node.role == Some(Role::Placed) => {
                one("masked_scatter", Method, each()?)
            }
            // Rows of images that are added to those of words.
            Op::Scatter(_) if node.role == Some(Role::Placed) => {
                let rows = node.inputs.get(1).map_or(Ok(0.into()), |rows| self.elements(*rows))?;
                one("add", Operator, pointwise(rows))
            }
            Op::Cumulative(_) if self.is_whole(node) => silent(each()?),
            Op::Fill(_) | Op::ToWhole(_) if node.role == Some(Role::Routing) => silent(each()?),
            Op::Convolution(op) if self.within(node, ModuleClass::Convolution).is_some() => {
                let name = ["conv1d", "conv2d", "conv3d"].get(op.strides.len().wrapping_sub(1));
                let name = name.ok_or_else(|| self.unrecorded(node))?;
                one(name, Function, self.convolution(var)?)
            }
            // A mask that tokens are multiplied with.
            Op::ToReal(_) if self.is_mask(node) => silent(each()?),
            // The place of each patch in an order.
            Op::Sort(_) => silent(each()?),
            // The place of a token that ends its text.
            Op::ArgMax(_) if self.is_whole(node) => silent(each()?),
            Op::Convolution(op) if self.within(node, ModuleClass::CausalConvolution).is_some() => {
                let given = node.inputs.first().and_then(|x| self.graph.shape(*x).axes.last());
                if given.map(|axis| &axis.size) != op.axes.last().map(|axis| &axis.size) {
                    let missing = "a convolution that goes on from earlier tokens".to_owned();
                    return Err(self.unwritten(node, missing));
                }
                one("conv1d", Function, self.convolution_to_both_sides(var)?)
            }
            // No layer records these.
            Op::Pointwise(_)
            | Op::Convolution(_)
            | Op::Pool(_)
            | Op::Cumulative(_)
            | Op::ArgMax(_)
            | Op::Compare(_)
            | Op::ConvolutionTransposed(_)
            | Op::ExpertsOuter(_)
            | Op::AttentionGradient(_)
            | Op::AdaptivePool(_)
            | Op::Scatter(_)
            | Op::Select(_)
            | Op::ToReal(_)
            | Op::ToWhole(_)
            | Op::Fill(_) => {
                return Err(self.unrecorded(node));
            }
            // Moving without arithmetic, which no tool counts, and what the framework has before it
            // runs: constants, and the entries that `topk` gives with their places.
            Op::Concat(_)
            | Op::Gather(_)
            | Op::GatherNd(_)
            | Op::Table(_)
            | Op::TokenPositions(_)
            | Op::IndexMap(_)
            | Op::Sinusoid(_)
            | Op::RotaryAngles(_) => silent(each()?),
            Op::Source(_) | Op::Carry(_) | Op::Exit(_) => silent(Binding::new()),
        })
    }

    fn norm_calls(&self, node: &Node, norm: &Norm, sizes: &Binding) -> Vec<Call> {
        use Manner::{Function, Method, Operator};
        let call = |op, by| Call::new(op, by, sizes.clone());
        let of_rows = |op, by| Call::new(op, by, pointwise(size(sizes, "rows")));
        match (norm.kind, self.dialect.rms_norm) {
            (NormKind::Layer, _) if norm.over > 1 => vec![call("group_norm", Function)],
            (NormKind::Layer, _) if self.has_own_layer_norm(node) => vec![
                call("mean", Method),
                call("sub", Operator),
                call("pow", Method),
                call("mean", Method),
                call("sub", Operator),
                of_rows("add", Operator),
                of_rows("rsqrt", Function),
                call("mul", Operator),
                call("mul", Operator),
            ],
            (NormKind::Layer, _) => vec![call("layer_norm", Function)],
            (NormKind::Rms, NormManner::Module) => vec![call("rms_norm", Function)],
            (NormKind::Rms, NormManner::Spelled) => {
                let gain = norm.gain.then(|| call("mul", Operator));
                let calls = [
                    call("pow", Method),
                    call("mean", Method),
                    of_rows("add", Operator),
                    of_rows("rsqrt", Function),
                    call("mul", Operator),
                ];
                calls.into_iter().chain(gain).collect()
            }
        }
    }

    /// Whether the library has a class of its own for LayerNorm in the model around a node.
    pub(super) fn has_own_layer_norm(&self, node: &Node) -> bool {
        let listed = |family| self.dialect.own_layer_norm.iter().any(|own| own == family);
        self.family(node).is_some_and(listed)
    }

    /// How an activation is called.
    pub(super) fn activation(&self, node: &Node, function: Activation) -> ActivationManner {
        let before = node.inputs.first().map(|var| self.graph.node(*var));
        let convolved =
            before.is_some_and(|node| self.within(node, ModuleClass::Convolution).is_some());
        let listed = |family| self.dialect.convolved_by_function.iter().any(|own| own == family);
        if convolved && self.family(node).is_some_and(listed) {
            return ActivationManner::Function;
        }
        let outer = |family| self.dialect.outer_activation_modules.iter().any(|own| own == family);
        if node.repeat.is_none() && self.family(node).is_some_and(outer) {
            return ActivationManner::Module;
        }
        match self.dialect.activations.get(function.name()) {
            Some(manner) => *manner,
            // The layers of torch.nn keep the function itself.
            None if self.in_torch_layer(node) => ActivationManner::Captured,
            None => ActivationManner::Module,
        }
    }

    pub(super) fn activation_calls(
        &self,
        node: &Node,
        function: Activation,
        sizes: &Binding,
    ) -> Result<Vec<Call>, ConventionError> {
        use Manner::{Captured, Function, Method};
        let manner = self.activation(node, function);
        let spelled = || {
            let missing = format!("`{}` as a formula of other operators", function.name());
            spelled(function, sizes).ok_or_else(|| self.unwritten(node, missing))
        };
        let routes = node.role == Some(Role::Routing);
        let called = |by| match operator(function) {
            Some(op) => Ok(vec![Call::new(op, by, sizes.clone())]),
            None => spelled(),
        };
        let mut calls = match manner {
            ActivationManner::Module | ActivationManner::Function if routes => called(Method)?,
            ActivationManner::Module | ActivationManner::Function => called(Function)?,
            ActivationManner::Captured => called(Captured)?,
            ActivationManner::Spelled => spelled()?,
        };
        let in_layer = manner == ActivationManner::Captured && self.in_torch_layer(node);
        if in_layer || self.drops(node, DropoutPlace::Hidden) {
            calls.push(Call::new("dropout", Function, sizes.clone()));
        }
        Ok(calls)
    }

    fn rope_calls(&self, node: &Node, all: &Binding) -> Result<Vec<Call>, ConventionError> {
        use Manner::{Function, Operator};
        let elements = size(all, "elements");
        let width = |shape: &Shape| shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size));
        let table = node.inputs.get(1).map(|table| self.graph.shape(*table));
        let (of_head, of_table) = (width(&node.shape)?, table.map_or(Ok(1.into()), width)?);
        let turned = &elements * &of_table / of_head.clone().max(1.into());
        let sizes = pointwise(turned.clone());
        let mut calls = vec![
            Call::new("mul", Operator, sizes.clone()),
            Call::new("neg", Operator, pointwise(turned / 2)),
            Call::new("cat", Function, sizes.clone()),
            Call::new("mul", Operator, sizes.clone()),
            Call::new("add", Operator, sizes),
        ];
        // What is not turned is joined to what is.
        if of_table != of_head {
            calls.push(Call::new("cat", Function, all.clone()));
        }
        Ok(calls)
    }

    /// Whether a node takes rows of a table that the library resamples before.
    fn is_resampled(&self, node: &Node) -> bool {
        let family =
            self.family(node).filter(|_| self.within(node, ModuleClass::Distances).is_some());
        family.is_some_and(|family| self.dialect.resampled_tables.iter().any(|own| own == family))
    }

    /// Sizes of a batched product of two values.
    pub(super) fn batched(&self, node: &Node) -> Result<Binding, ConventionError> {
        let [a, b, ..] = &node.inputs[..] else {
            return Err(self.unwritten(node, "a contraction of fewer than two values".to_owned()));
        };
        let (left, right) = (self.elements(*a)?, self.elements(*b)?);
        let out = self.output_elements(node)?;
        let grad = self.grad(*a) + self.grad(*b);
        Ok(batched(&left, &right, &out, &self.node_macs(node)?, grad))
    }

    /// The encoder or decoder layer of torch.nn around a node.
    pub(super) fn torch_layer(&self, node: &Node) -> Option<ModuleId> {
        let layers = [ModuleClass::EncoderLayer, ModuleClass::DecoderLayer];
        layers.into_iter().find_map(|class| self.within(node, class))
    }

    /// Whether a node lies in an encoder or decoder layer that is torch.nn's.
    pub(super) fn in_torch_layer(&self, node: &Node) -> bool {
        self.dialect.attention == AttentionModule::Multihead && self.torch_layer(node).is_some()
    }

    /// Where the library has dropout in the model around a node.
    fn dropouts(&self, node: &Node) -> Option<&Dropouts> {
        self.family(node).and_then(|family| self.dialect.dropouts.get(family))
    }

    /// Whether the library has dropout at a place of the model around a node.
    pub(super) fn drops(&self, node: &Node, place: DropoutPlace) -> bool {
        self.dropouts(node).is_some_and(|dropouts| dropouts.at.contains(&place))
    }

    /// Whether training drops out what a sublayer gives where a node stands, so that its mask is kept.
    pub(super) fn drops_results(&self, node: &Node) -> bool {
        let places = [DropoutPlace::Attended, DropoutPlace::Fed];
        places.iter().any(|place| self.drops(node, *place))
            && self.dropouts(node).is_some_and(|found| found.p > 0.0)
    }

    /// Whether training drops attention weights out where a node stands.
    pub(super) fn drops_weights(&self, node: &Node) -> bool {
        self.drops_above_zero(node, DropoutPlace::Weights)
    }

    /// Whether training drops out at a place of the model around a node.
    pub(super) fn drops_above_zero(&self, node: &Node, place: DropoutPlace) -> bool {
        self.drops(node, place) && self.dropouts(node).is_some_and(|found| found.p > 0.0)
    }

    /// Dropout of what is added to a residual.
    fn residual_dropout(&self, node: &Node) -> Result<Option<Call>, ConventionError> {
        if node.role != Some(Role::Residual) {
            return Ok(None);
        }
        let mut around = node.inputs.iter().flat_map(|v| self.around(self.graph.node(*v)));
        let attention = around.find(|(_, module)| is_attention(module.class));
        let place = if attention.is_some() { DropoutPlace::Attended } else { DropoutPlace::Fed };
        if !self.in_torch_layer(node) && !self.drops(node, place) {
            return Ok(None);
        }
        // Windows are filled up, and what they give is dropped before they are put together.
        let windows = attention.filter(|(_, module)| module.class == ModuleClass::WindowAttention);
        let projected =
            windows.and_then(|(id, _)| self.inside(id).filter(|v| self.is_linear(*v)).last());
        let elements = match projected {
            Some(projected) => self.elements(projected)?,
            None => self.output_elements(node)?,
        };
        Ok(Some(Call::new("dropout", Manner::Function, pointwise(elements))))
    }

    /// Dropout of a value that enters the layers.
    fn entry(&self, var: Var) -> Result<Option<Call>, ConventionError> {
        let enters =
            |node: &&Node| matches!(node.op, Op::Carry(_)) && node.inputs.first() == Some(&var);
        let carry = self.graph.nodes().iter().find(enters);
        match carry.is_some_and(|node| self.drops(node, DropoutPlace::Entry)) {
            true => {
                Ok(Some(Call::new("dropout", Manner::Function, pointwise(self.elements(var)?))))
            }
            false => Ok(None),
        }
    }

    /// Whether what a node is made of are whole numbers.
    fn is_whole(&self, node: &Node) -> bool {
        let kind = |var: &Var| self.graph.shape(*var).elem.kind();
        node.inputs.first().is_some_and(|var| kind(var) == Kind::Whole)
    }

    /// Whether a node of a model is made of the mask that says which tokens are padding.
    fn is_mask(&self, node: &Node) -> bool {
        let role = |var: &Var| self.graph.node(*var).role;
        self.family(node).is_some()
            && node.inputs.first().is_some_and(|mask| role(mask) == Some(Role::Visible))
    }

    /// A node of an operation that no layer records.
    fn unrecorded(&self, node: &Node) -> ConventionError {
        self.unwritten(node, "no layer records it, and no dialect says how it is called".to_owned())
    }

    /// A node that the dialect has no calls for.
    pub(super) fn unwritten(&self, node: &Node, missing: String) -> ConventionError {
        ConventionError::Unwritten {
            dialect: self.dialect.name.clone(),
            op: node.op.name(),
            path: node.path.clone(),
            missing,
        }
    }
}

/// Whether a class of modules is an attention with its projections.
fn is_attention(class: ModuleClass) -> bool {
    match class {
        ModuleClass::Attention | ModuleClass::MultiheadAttention | ModuleClass::WindowAttention => {
            true
        }
        ModuleClass::Model(_)
        | ModuleClass::Linear(_)
        | ModuleClass::FusedLinear(_)
        | ModuleClass::Convolution
        | ModuleClass::CausalConvolution
        | ModuleClass::Recurrence(_)
        | ModuleClass::LayerNorm
        | ModuleClass::RmsNorm
        | ModuleClass::GroupNorm
        | ModuleClass::Embedding
        | ModuleClass::Positions
        | ModuleClass::Dropout
        | ModuleClass::AttentionCore
        | ModuleClass::EncoderLayer
        | ModuleClass::DecoderLayer
        | ModuleClass::Pooler
        | ModuleClass::Router
        | ModuleClass::Distances
        | ModuleClass::Experts
        | ModuleClass::SharedExpert => false,
    }
}

/// No call that any tool counts.
fn silent(sizes: Binding) -> (Binding, Vec<Call>) {
    (sizes, Vec::new())
}
