//! Which buffers a program reads as masks or places, and which as numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::operation;
use crate::schema::{Argument, ExportedProgram, InputSpec, NamedArgument, ProgramNode};

/// The type of truth values (`ScalarType` of the schema).
const BOOL: u64 = 12;

/// The buffers, constants and parameters of whole numbers, by their names in the program, whose elements
/// somewhere hide, choose, are compared, or say a place. What the others hold is read as a weight is.
pub(crate) fn meant(program: &ExportedProgram) -> BTreeSet<&str> {
    let graph = &program.graph_module.graph;
    let dtype = |name: &str| graph.tensor_values.get(name).map(|of| of.dtype);
    let is_truth = |name: &str| dtype(name) == Some(BOOL);
    let is_whole = |name: &str| matches!(dtype(name), Some(1..=5 | BOOL | 28 | 34 | 35));
    let mut meant = BTreeSet::new();
    // Of each value the buffers that it is made of, element by element.
    let mut made_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for spec in &program.graph_module.signature.input_specs {
        let name = match spec {
            InputSpec::Buffer(spec) => &spec.arg.name,
            InputSpec::TensorConstant(spec) => &spec.arg.name,
            InputSpec::Parameter(spec) if is_whole(&spec.arg.name) => &spec.arg.name,
            InputSpec::Parameter(_)
            | InputSpec::UserInput(_)
            | InputSpec::CustomObj(_)
            | InputSpec::Token(_)
            | InputSpec::ConstantInput(_) => continue,
        };
        made_of.insert(name, [name.as_str()].into());
        if is_truth(name) {
            meant.insert(name.as_str());
        }
    }
    for node in &graph.nodes {
        let name = operation(&node.target);
        let base = name.strip_prefix("aten.").and_then(|rest| rest.split('.').next());
        let base = base.map(|base| base.strip_suffix('_').unwrap_or(base));
        let results: Vec<&str> = node.outputs.iter().flat_map(Argument::tensors).collect();
        let truth = results.iter().any(|name| is_truth(name));
        let mut own: BTreeSet<&str> = BTreeSet::new();
        for input in &node.inputs {
            let buffers = input.arg.tensors().into_iter().filter_map(|name| made_of.get(name));
            let buffers: BTreeSet<&str> = buffers.flatten().copied().collect();
            if truth || base.is_none_or(|base| is_meaning(base, input)) {
                meant.extend(&buffers);
            }
            own.extend(buffers);
        }
        if own.is_empty() || base.is_none_or(mixes) {
            continue;
        }
        for name in results.into_iter().chain(written(node)) {
            made_of.entry(name).or_default().extend(&own);
        }
    }
    meant
}

/// What a node writes into.
fn written(node: &ProgramNode) -> Option<&str> {
    let name = operation(&node.target).split('.').nth(1)?;
    let written = node.inputs.first().filter(|_| name.ends_with('_') && !name.ends_with("__"))?;
    written.arg.tensors().into_iter().next()
}

/// Whether an operation asks its argument for places or for what it hides.
fn is_meaning(base: &str, input: &NamedArgument) -> bool {
    match base {
        "softmax" | "_softmax" | "log_softmax" | "_log_softmax" => true,
        "cumsum"
        | "nonzero"
        | "one_hot"
        | "sort"
        | "argsort"
        | "bincount"
        | "searchsorted"
        | "bucketize"
        | "item"
        | "_local_scalar_dense"
        | "repeat_interleave"
        | "unique"
        | "unique_consecutive" => true,
        _ => matches!(
            input.name.as_str(),
            "attn_mask" | "condition" | "index" | "indices" | "mask" | "offsets"
        ),
    }
}

/// Whether elements of a result are of many elements of its operands.
fn mixes(base: &str) -> bool {
    matches!(
        base,
        "linear"
            | "addmm"
            | "mm"
            | "bmm"
            | "baddbmm"
            | "matmul"
            | "einsum"
            | "inner"
            | "dot"
            | "mv"
            | "tensordot"
            | "linalg_multi_dot"
            | "embedding"
            | "embedding_bag"
            | "layer_norm"
            | "native_layer_norm"
            | "group_norm"
            | "instance_norm"
            | "batch_norm"
            | "rms_norm"
            | "scaled_dot_product_attention"
            | "softmax"
            | "_softmax"
            | "lstm"
            | "gru"
            | "rnn_tanh"
            | "rnn_relu"
    ) || base.starts_with("conv")
}
