//! The types in which a program has the reals that it is given.

use std::collections::BTreeMap;

use opledger_dims::Binding;
use opledger_ir::ops::Source;
use opledger_ir::{Elem, Graph, Op};

use crate::schema::{Argument, ExportedProgram, InputSpec};

/// A type of reals (`ScalarType` of the schema); none of others, and of complex numbers.
fn real(dtype: u64) -> Option<Elem> {
    match dtype {
        6 => Some(Elem::F16),
        7 => Some(Elem::F32),
        8 => Some(Elem::F64),
        13 => Some(Elem::Bf16),
        _ => None,
    }
}

/// The types of parameters, buffers and inputs by their paths.
pub(crate) fn types(
    program: &ExportedProgram,
    tied: &BTreeMap<String, String>,
) -> BTreeMap<String, Elem> {
    let module = &program.graph_module;
    let of_spec = |spec: &InputSpec| {
        let (arg, path) = match spec {
            InputSpec::Parameter(spec) => (&spec.arg.name, &spec.parameter_name),
            InputSpec::Buffer(spec) => (&spec.arg.name, &spec.buffer_name),
            InputSpec::TensorConstant(spec) => (&spec.arg.name, &spec.tensor_constant_name),
            InputSpec::UserInput(input) => match &input.arg {
                Argument::Tensor(name) => (name, name),
                _ => return None,
            },
            InputSpec::CustomObj(_) | InputSpec::Token(_) | InputSpec::ConstantInput(_) => {
                return None;
            }
        };
        let elem = real(module.graph.tensor_values.get(arg)?.dtype)?;
        Some((tied.get(path).unwrap_or(path).clone(), elem))
    };
    module.signature.input_specs.iter().filter_map(of_spec).collect()
}

/// Whether each source of a graph has one type in all iterations of the layers around it.
pub(crate) fn fit(graph: &Graph, types: &BTreeMap<String, Elem>) -> bool {
    graph.nodes().iter().all(|node| {
        let Op::Source(Source::Param { .. } | Source::Buffer { .. }) = &node.op else {
            return true;
        };
        let paths = graph.instances(node, &Binding::new()).unwrap_or_default();
        let mut elems = paths.iter().map(|path| types.get(path));
        let first = elems.next();
        elems.all(|elem| Some(elem) == first)
    })
}
