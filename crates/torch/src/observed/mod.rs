//! What the record of a program says of its calls: module, operator, manner and sizes, as conventions
//! read them.

mod layers;
mod products;
mod silent;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use opledger_conventions::{
    Manner, Observation, ObservedCall, ObservedModule, ObservedPart, ProductPart,
};
use opledger_dims::{Poly, Symbol};
use opledger_ir::Var;

use self::silent::{is_activation, is_in_place, is_silent, is_written_in_python};
use crate::call::{Call, module_path};
use crate::classes::{ModuleCall, class, stack};
use crate::followed::FollowedAttention;
use crate::importer::{Importer, Lowered, Obstacle};
use crate::schema::{Argument, ExportedProgram, InputSpec, ProgramNode};
use crate::whole::WholeKind;

/// The calls of a program, while it is recorded.
pub(crate) struct CallLog<'p> {
    pub(crate) observations: Vec<Observation>,
    /// The calls of modules that call other modules.
    outer: BTreeSet<&'p str>,
    /// Paths of parameters by the names that nodes read.
    parameters: BTreeMap<&'p str, &'p str>,
    /// The values that a gradient flows to in training.
    trained: BTreeSet<&'p str>,
    /// The observations of calls by the names of their results.
    of_results: BTreeMap<&'p str, usize>,
}

impl<'p> CallLog<'p> {
    pub(crate) fn new(program: &'p ExportedProgram) -> Self {
        let mut outer = BTreeSet::new();
        for node in &program.graph_module.graph.nodes {
            let keys: Vec<&str> = stack(node).map(|entry| entry.key).collect();
            outer.extend(keys.split_last().map_or(&[][..], |(_, outer)| outer));
        }
        let specs = program.graph_module.signature.input_specs.iter();
        let parameter = |spec: &'p InputSpec| match spec {
            InputSpec::Parameter(spec) => {
                Some((spec.arg.name.as_str(), spec.parameter_name.as_str()))
            }
            _ => None,
        };
        let parameters: BTreeMap<_, _> = specs.filter_map(parameter).collect();
        let trained = parameters.keys().copied().collect();
        CallLog {
            observations: Vec::new(),
            outer,
            parameters,
            trained,
            of_results: BTreeMap::new(),
        }
    }

    /// Says what of attention that was recorded of several calls each of them computes.
    pub(crate) fn share(&mut self, followed: &[FollowedAttention]) {
        for attention in followed {
            for (result, part, class) in attention.parts() {
                let at = self.of_results.get(result);
                if let Some(one) = at.and_then(|at| self.observations.get_mut(*at)) {
                    one.parts.push(ObservedPart { node: attention.node, part, class });
                }
            }
        }
    }

    /// Observes a node that was recorded as some of the graph's.
    pub(crate) fn observe(
        &mut self,
        own: &mut Importer<'p>,
        node: &'p ProgramNode,
        nodes: Vec<Var>,
    ) -> Lowered<()> {
        let call = Call::new(node);
        let observed =
            Seen { own, call: &call, trained: &self.trained, parts: Vec::new() }.call()?;
        if node
            .inputs
            .iter()
            .flat_map(|input| input.arg.tensors())
            .any(|v| self.trained.contains(v))
        {
            let results = node.outputs.iter().flat_map(Argument::tensors);
            let reals = results.filter(|name| matches!(own.kind_of(name), Ok(WholeKind::Real)));
            self.trained.extend(reals);
        }
        let modules: Vec<ModuleCall<'_>> = stack(node).collect();
        let is_unit =
            |entry: &&ModuleCall<'_>| entry.is_counted_whole() || !self.outer.contains(entry.key);
        let module = modules.last().filter(is_unit).map(|entry| ObservedModule {
            instance: entry.key.to_owned(),
            class: class(&modules).map(Cow::Borrowed),
        });
        let module = match module {
            Some(module) if is_of_one_item(own, &call)? => Some(ObservedModule {
                class: module.class.map(|class| format!("{class} of one item").into()),
                ..module
            }),
            module => module,
        };
        let first = call.sizes(own, 0).ok().map(|sizes| first(&sizes));
        // Of sizes, which a program asks for once and not in every layer, no tool hears.
        if observed.is_none() && nodes.is_empty() && (module.is_none() || first.is_none()) {
            return Ok(());
        }
        let mut parameters = BTreeMap::new();
        for input in &node.inputs {
            let Argument::Tensor(name) = &input.arg else { continue };
            if let Some(path) = self.parameters.get(name.as_str()) {
                let elements = own.sizes_of(name)?.iter().product();
                parameters.insert((*path).to_owned(), elements);
            }
        }
        let path = match module_path(node) {
            path if path.is_empty() => "the model itself".to_owned(),
            path => path,
        };
        let names = own.known.names.of_path(&path);
        let results = node.outputs.iter().flat_map(Argument::tensors);
        self.of_results.extend(results.map(|name| (name, self.observations.len())));
        self.observations.push(Observation {
            path,
            names,
            module,
            call: observed,
            first,
            parameters,
            nodes,
            parts: Vec::new(),
            times: 1,
        });
        Ok(())
    }
}

/// Whether a call is a convolution of one item without an axis of items, the first of which tools take for it.
fn is_of_one_item(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<bool> {
    let dims = |name: &str| match call.argument(name) {
        Some(Argument::Tensor(name)) => Some(name.clone()),
        _ => None,
    };
    let is_one = ["aten.conv1d.", "aten.conv2d.", "aten.conv3d."];
    match (dims("input"), dims("weight")) {
        (Some(input), Some(weight)) if is_one.iter().any(|op| call.operation.starts_with(op)) => {
            Ok(own.sizes_of(&input)?.len() < own.sizes_of(&weight)?.len())
        }
        _ => Ok(false),
    }
}

/// A call of a program whose sizes are asked for.
struct Seen<'a, 'c, 'p> {
    own: &'a mut Importer<'p>,
    call: &'c Call<'p>,
    trained: &'a BTreeSet<&'p str>,
    /// What of the call is multiplied in matrices, where that depends on a size being 1.
    parts: Vec<ProductPart>,
}

type Sizes = Vec<(&'static str, Poly)>;

impl Seen<'_, '_, '_> {
    fn call(mut self) -> Lowered<Option<ObservedCall>> {
        let base =
            self.call.operation.strip_prefix("aten.").and_then(|rest| rest.split('.').next());
        let Some(base) = base else { return Ok(None) };
        let base = match base {
            "__and__" | "__or__" | "__lshift__" | "__rshift__" => base,
            "__xor__" => "bitwise_xor",
            _ => base.strip_suffix('_').unwrap_or(base),
        };
        if is_silent(base) {
            return Ok(None);
        }
        let (op, sizes) = self.sized(base)?;
        let sizes = sizes.into_iter().map(|(name, size)| (Symbol::new(name), size)).collect();
        Ok(Some(ObservedCall { op, by: self.manner(base), sizes, parts: self.parts }))
    }

    /// How the operator is called: `torch_fn` has the kind of the innermost function of Python. A method
    /// stands for an operator of the language too, which the source line tells from it.
    fn manner(&self, base: &str) -> Manner {
        let metadata = &self.call.node.metadata;
        let function = metadata.get("torch_fn").and_then(|function| function.split(';').nth(1));
        let (kind, name) = function.and_then(|f| f.split_once('.')).unwrap_or(("", base));
        let keeps = stack(self.call.node).last().is_some_and(|entry| entry.keeps_functions());
        match kind {
            // Methods that write into their tensor are others, which no tool replaces.
            "method_descriptor" if is_in_place(name) => Manner::Operator,
            "method_descriptor" | "wrapper_descriptor" => {
                let trace = metadata.get("stack_trace").map_or("", String::as_str);
                let line = trace.lines().next_back().unwrap_or("");
                match line.contains(&format!(".{name}(")) {
                    true => Manner::Method,
                    false => Manner::Operator,
                }
            }
            // Within functions of torch.nn.functional arithmetic is written with operators.
            "function" if name != base && matches!(base, "add" | "sub" | "mul" | "div") => {
                Manner::Operator
            }
            _ if keeps && is_activation(base) => Manner::Captured,
            // Tools replace those of torch.nn.functional, and not the ones of torch that these call.
            "builtin_function_or_method" if is_written_in_python(base) => Manner::Captured,
            _ => Manner::Function,
        }
    }

    /// The dimensions of an argument; none of what is no tensor.
    fn dims(&mut self, name: &str) -> Lowered<Option<Vec<Poly>>> {
        match self.call.node.inputs.iter().find(|input| input.name == name).map(|input| &input.arg)
        {
            Some(Argument::Tensor(name)) => self.own.sizes_of(name).map(Some),
            _ => Ok(None),
        }
    }

    fn tensor(&mut self, name: &str) -> Lowered<Vec<Poly>> {
        let dims = self.dims(name)?;
        dims.ok_or_else(|| Obstacle::Bad(format!("`{name}` is no tensor")))
    }

    /// Whether an argument lies in memory as its dimensions do.
    fn is_contiguous(&mut self, name: &str, dims: &[Poly]) -> Lowered<bool> {
        let argument = self.call.node.inputs.iter().find(|input| input.name == name);
        let Some(Argument::Tensor(name)) = argument.map(|input| &input.arg) else {
            return Ok(true);
        };
        let strides = self.own.strides_of(name)?;
        let mut expected = Poly::one();
        for (size, stride) in dims.iter().zip(strides).rev() {
            if *size != Poly::one() && stride != expected {
                return Ok(false);
            }
            expected = &expected * size;
        }
        Ok(true)
    }

    fn has(&self, name: &str) -> Poly {
        u32::from(self.call.has(name)).into()
    }

    /// The name that rules have for a call, and its sizes.
    fn sized(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let own = |name: &'static str, sizes: Sizes| Ok((Cow::Borrowed(name), sizes));
        match base {
            "linear" => {
                let (operand, weight) = (self.tensor("input")?, self.tensor("weight")?);
                let rows: Poly = operand.iter().rev().skip(1).product();
                let [out, over] = &weight[..] else { return self.pointwise(base) };
                let bias = self.has("bias");
                let mut sizes = linear(rows, [over, out], bias, first(&operand));
                // The bias is added apart unless the operand lies in rows
                // (`aten/src/ATen/native/Linear.cpp`, `linear`).
                if operand.len() != 2 && !self.is_contiguous("input", &operand)? {
                    sizes.retain(|(name, _)| *name != "fused_bias");
                    sizes.push(("fused_bias", 0.into()));
                }
                own("linear", sizes)
            }
            "addmm" => {
                let (rows, weight) = (self.tensor("mat1")?, self.tensor("mat2")?);
                let added = self.tensor("self")?.len();
                let ([m, over], [_, out]) = (&rows[..], &weight[..]) else {
                    return self.pointwise(base);
                };
                let name = if added == 1 { "addmm" } else { "addmm_matrix" };
                own(name, linear(m.clone(), [over, out], 1.into(), m.clone()))
            }
            "mm" => self.product("matmul", ["self", "mat2"]),
            "bmm" => self.product("bmm", ["self", "mat2"]),
            "matmul" => self.product("matmul", ["self", "other"]),
            "baddbmm" => self.product("baddbmm", ["batch1", "batch2"]),
            "einsum" => self.einsum(),
            "scaled_dot_product_attention" => self.attention(),
            "conv1d" | "conv2d" | "conv3d" => self.convolution(base),
            "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" => self.transposed(base),
            "embedding" => {
                let (table, at) = (self.tensor("weight")?, self.tensor("indices")?);
                let (rows, width) = (at.iter().product::<Poly>(), last(&table));
                let mut sizes = pointwise(&rows * &width);
                sizes.extend([("rows", rows), ("width", width), ("first", first(&at))]);
                own("embedding", sizes)
            }
            "layer_norm" | "native_layer_norm" | "rms_norm" => {
                let dims = self.tensor("input")?;
                let over = self.call.ints("normalized_shape").map_or(1, |shape| shape.len());
                let mut sizes = pointwise(dims.iter().product());
                let rows = dims.iter().rev().skip(over).product();
                sizes.extend([
                    ("rows", rows),
                    ("first", first(&dims)),
                    ("affine", self.has("weight")),
                ]);
                own(if base == "rms_norm" { "rms_norm" } else { "layer_norm" }, sizes)
            }
            "group_norm" | "batch_norm" | "instance_norm" => {
                let dims = self.tensor("input")?;
                let mut sizes = pointwise(dims.iter().product());
                sizes.extend([("first", first(&dims)), ("affine", self.has("weight"))]);
                Ok((base.to_owned().into(), sizes))
            }
            "softmax" | "_softmax" => {
                let dims = self.tensor("self")?;
                let over = self.call.dim("dim", -1, dims.len())?;
                let rest = dims.iter().enumerate().filter(|(at, _)| *at != over);
                let mut sizes = pointwise(dims.iter().product());
                sizes.extend([
                    ("rows", rest.map(|(_, size)| size).product()),
                    ("first", first(&dims)),
                ]);
                own("softmax", sizes)
            }
            "lstm" | "gru" | "rnn_tanh" | "rnn_relu" => self.recurrent(base),
            "tensordot" => self.by_dims("tensordot"),
            // Of a number it is a product place by place.
            "inner" if self.tensor("self")?.is_empty() || self.tensor("other")?.is_empty() => {
                self.pointwise(base)
            }
            "inner" => self.by_dims("inner"),
            "chain_matmul" => self.chained("chain_matmul"),
            "linalg_multi_dot" => self.chained("linalg_multi_dot"),
            "matrix_power" | "linalg_matrix_power" => self.power(),
            "lstm_cell" | "gru_cell" | "rnn_tanh_cell" | "rnn_relu_cell" => self.cell(base),
            "mean"
            | "sum"
            | "amax"
            | "adaptive_avg_pool1d"
            | "adaptive_avg_pool2d"
            | "adaptive_avg_pool3d"
            | "avg_pool1d"
            | "avg_pool2d"
            | "avg_pool3d"
            | "max_pool1d"
            | "max_pool2d"
            | "max_pool3d"
            | "adaptive_max_pool1d"
            | "adaptive_max_pool2d"
            | "adaptive_max_pool3d" => {
                let read: Poly = self.tensor("self")?.iter().product();
                let results = self.call.sizes(self.own, 0)?.iter().product();
                let mut sizes = pointwise(read);
                sizes.push(("results", results));
                Ok((base.to_owned().into(), sizes))
            }
            _ if base.contains("upsample_") => self.upsample(base),
            _ => self.pointwise(base),
        }
    }

    /// A call whose sizes are those of its result. `left` is the size of the result if the operands were
    /// broadcast from their first axes, where that is a polynomial.
    fn pointwise(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let tanh = self.call.text("approximate") == Some("tanh");
        let name: Cow<'static, str> = match base {
            "gelu" if tanh => "gelu_tanh".into(),
            "multiply" => "mul".into(),
            "subtract" => "sub".into(),
            "divide" | "true_divide" => "div".into(),
            "negative" => "neg".into(),
            "_grouped_mm" => "grouped_mm".into(),
            "concat" | "concatenate" => "cat".into(),
            "feature_dropout" | "alpha_dropout" => "dropout".into(),
            _ => base.to_owned().into(),
        };
        let Ok(result) = self.call.sizes(self.own, 0) else { return Ok((name, Vec::new())) };
        let elements: Poly = result.iter().product();
        let mut sizes = vec![("elements", elements), ("first", first(&result))];
        let [a, b] = [self.dims("self")?, self.dims("other")?];
        let [a, b] = [a, b].map(|dims| dims.unwrap_or_default());
        let one = Poly::one();
        let left: Option<Poly> = (0..a.len().max(b.len())).try_fold(one.clone(), |product, at| {
            let [x, y] = [&a, &b].map(|dims| dims.get(at).unwrap_or(&one));
            let larger = if x == y || *y == one { Some(x) } else { (*x == one).then_some(y) };
            larger.map(|size| &product * size)
        });
        sizes.extend(left.map(|left| ("left", left)));
        Ok((name, sizes))
    }

    fn attention(&mut self) -> Lowered<(Cow<'static, str>, Sizes)> {
        let [query, key, value] =
            [self.tensor("query")?, self.tensor("key")?, self.tensor("value")?];
        let ([batch @ .., heads, queries, head_dim], [.., kv_heads, keys, _], [.., value_dim]) =
            (&query[..], &key[..], &value[..])
        else {
            return Ok(("sdpa".into(), Vec::new()));
        };
        // A bias that is trained and values of another width than keys keep attention off the fused kernel
        // (`aten/src/ATen/native/transformers/sdp_utils_cpp.cpp`, `check_head_dim_size_cpp`).
        let mask = self.call.node.inputs.iter().find(|input| input.name == "attn_mask");
        let biased =
            mask.is_some_and(|mask| mask.arg.tensors().iter().any(|v| self.trained.contains(v)));
        let apart = biased || head_dim != value_dim;
        let masked = self.call.has("attn_mask") || self.call.flag("is_causal", false);
        let batch: Poly = batch.iter().product();
        let rows = &(&batch * heads) * queries;
        Ok((
            "sdpa".into(),
            vec![
                ("elements", &rows * keys),
                ("rows", rows),
                ("batch", batch),
                ("heads", heads.clone()),
                ("kv_heads", kv_heads.clone()),
                ("queries", queries.clone()),
                ("keys", keys.clone()),
                ("head_dim", head_dim.clone()),
                ("value_dim", value_dim.clone()),
                ("masked", u32::from(masked).into()),
                ("math", u32::from(apart).into()),
            ],
        ))
    }

    fn convolution(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let weight = self.tensor("weight")?;
        let result = self.call.sizes(self.own, 0)?;
        let [out, taps @ ..] = &weight[..] else { return self.pointwise(base) };
        let rows = channels_apart(&result, taps.len().saturating_sub(1));
        let bias = self.has("bias");
        let sizes = linear(rows, [&taps.iter().product(), out], bias, first(&result));
        // A convolution whose padding is a word is an operator of its own (`aten::_convolution_mode`).
        let is_word = self.call.operation.ends_with(".padding");
        let name = if is_word { "convolution_mode" } else { base };
        Ok((name.to_owned().into(), sizes))
    }
}

fn first(dims: &[Poly]) -> Poly {
    dims.first().cloned().unwrap_or_else(Poly::one)
}

fn last(dims: &[Poly]) -> Poly {
    dims.last().cloned().unwrap_or_else(Poly::one)
}

/// The elements of a value for each of its channels, which stand before some spatial axes.
fn channels_apart(dims: &[Poly], spatial: usize) -> Poly {
    let channel = dims.len().checked_sub(spatial + 1);
    let rest = dims.iter().enumerate().filter(|(at, _)| Some(*at) != channel);
    rest.map(|(_, size)| size).product()
}

fn pointwise(elements: Poly) -> Sizes {
    vec![("left", elements.clone()), ("elements", elements)]
}

fn linear(rows: Poly, [over, out]: [&Poly; 2], bias: Poly, first: Poly) -> Sizes {
    vec![
        ("rows", rows),
        ("in", over.clone()),
        ("out", out.clone()),
        ("bias", bias),
        ("fused_bias", 1.into()),
        ("split", 0.into()),
        ("split_bias", 0.into()),
        ("first", first),
    ]
}
