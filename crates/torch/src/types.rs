//! The types in which a program has what it is given.

use std::collections::BTreeMap;

use opledger_dims::Binding;
use opledger_ir::ops::Source;
use opledger_ir::{Elem, Graph, Op, StoredType};

use crate::schema::{Argument, ExportedProgram, InputSpec};

/// A type of the schema (`ScalarType`); none of complex numbers.
pub(crate) fn stored_type(dtype: u64) -> Option<StoredType> {
    let real = |elem: Elem| Some(StoredType { name: elem.name(), elem, exact: true });
    let wide = |name, elem| Some(StoredType { name, elem, exact: false });
    match dtype {
        1 => wide("uint8", Elem::I8),
        2 => wide("int8", Elem::I8),
        3 => wide("int16", Elem::F16),
        4 => wide("int32", Elem::F32),
        5 => wide("int64", Elem::I64),
        6 => real(Elem::F16),
        7 => real(Elem::F32),
        8 => real(Elem::F64),
        12 => wide("bool", Elem::Bool),
        13 => real(Elem::Bf16),
        28 => wide("uint16", Elem::F16),
        29 => wide("float8_e4m3fn", Elem::I8),
        30 => wide("float8_e5m2", Elem::I8),
        31 => wide("float8_e4m3fnuz", Elem::I8),
        32 => wide("float8_e5m2fnuz", Elem::I8),
        33 => wide("float8_e8m0fnu", Elem::I8),
        34 => wide("uint32", Elem::F32),
        35 => wide("uint64", Elem::I64),
        _ => None,
    }
}

/// The types of parameters, buffers and inputs by their paths.
pub(crate) fn types(
    program: &ExportedProgram,
    tied: &BTreeMap<String, String>,
) -> BTreeMap<String, StoredType> {
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
        let of = stored_type(module.graph.tensor_values.get(arg)?.dtype)?;
        Some((tied.get(path).unwrap_or(path).clone(), of))
    };
    module.signature.input_specs.iter().filter_map(of_spec).collect()
}

/// Whether each source of a graph has one type in all iterations of the layers around it.
pub(crate) fn fit(graph: &Graph, types: &BTreeMap<String, StoredType>) -> bool {
    graph.nodes().iter().all(|node| {
        if !node.is_parameter() && !matches!(node.op, Op::Source(Source::Buffer { .. })) {
            return true;
        }
        let paths = graph.instances(node, &Binding::new()).unwrap_or_default();
        let mut elems = paths.iter().map(|path| types.get(path));
        let first = elems.next();
        elems.all(|elem| Some(elem) == first)
    })
}
