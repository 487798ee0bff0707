//! Parameters that are one tensor under several names.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::Payloads;
use crate::schema::{ExportedProgram, InputSpec, PayloadMeta};

/// Whether a parameter was on the device `meta`, where tensors have no elements and so no place of them.
fn is_on_meta(payload: &PayloadMeta) -> bool {
    let device = payload.tensor_meta.as_ref().and_then(|meta| meta.device.as_ref());
    device.is_some_and(|device| device.kind == "meta")
}

/// For each parameter that has its elements in common with an earlier one, that one's name.
pub(crate) fn tied(payloads: &Payloads) -> BTreeMap<String, String> {
    let mut first = BTreeMap::new();
    let mut tied = BTreeMap::new();
    for (name, (folder, meta)) in payloads.iter().filter(|(_, (_, meta))| !is_on_meta(meta)) {
        let layout = meta.tensor_meta.as_ref();
        let layout = layout.map(|own| (&own.sizes, &own.strides, &own.storage_offset));
        let other = *first.entry((*folder, &meta.path_name, layout)).or_insert(name);
        if other != name {
            tied.insert(name.clone(), other.clone());
        }
    }
    tied
}

/// Parameters on `meta` that no operation reads, beside others of their shape that are read: these may be
/// the same under another name, which the archive does not say.
pub(crate) fn unread(program: &ExportedProgram, payloads: &Payloads) -> Vec<String> {
    let nodes = program.graph_module.graph.nodes.iter();
    let inputs = nodes.flat_map(|node| &node.inputs);
    let read: BTreeSet<&str> = inputs.flat_map(|input| input.arg.tensors()).collect();
    let specs = program.graph_module.signature.input_specs.iter();
    let on_meta = specs.filter_map(|spec| match spec {
        InputSpec::Parameter(spec) => {
            let (_, meta) = payloads.get(&spec.parameter_name).filter(|(_, m)| is_on_meta(m))?;
            Some((spec, &meta.tensor_meta.as_ref()?.sizes))
        }
        InputSpec::UserInput(_)
        | InputSpec::Buffer(_)
        | InputSpec::TensorConstant(_)
        | InputSpec::CustomObj(_)
        | InputSpec::Token(_)
        | InputSpec::ConstantInput(_) => None,
    });
    let (read, unread): (Vec<_>, Vec<_>) =
        on_meta.partition(|(spec, _)| read.contains(spec.arg.name.as_str()));
    let alike = |sizes| read.iter().any(|(_, own)| *own == sizes);
    let unread = unread.into_iter().filter(|(_, sizes)| alike(*sizes));
    unread.map(|(spec, _)| spec.parameter_name.clone()).collect()
}
