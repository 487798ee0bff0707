//! Graphs within a program's graph. What sets a mode for a part of a module calls a body, whose nodes take
//! the place of the call.

use std::collections::BTreeMap;

use crate::schema::{Argument, NamedArgument, ProgramGraph, ProgramNode, SymIntArgument};

/// Operations that execute their body once and give what it gives (`torch/_higher_order_ops`): precision
/// and gradients are modes that change no operation, and memory of a training step is none of a program.
const TRANSPARENT: &[&str] = &[
    "invoke_subgraph",
    "tag_activation_checkpoint",
    "wrap",
    "wrap_activation_checkpoint",
    "wrap_with_autocast",
    "wrap_with_set_grad_enabled",
];

/// Puts the nodes of bodies in the place of those that call them, in bodies too.
pub(crate) fn inline(graph: &mut ProgramGraph) {
    for node in std::mem::take(&mut graph.nodes) {
        match Body::of(&node) {
            Some(body) => body.put_into(graph),
            None => graph.nodes.push(node),
        }
    }
}

/// A body, and what its names are called outside.
struct Body<'p> {
    call: &'p ProgramNode,
    graph: &'p ProgramGraph,
    /// What is given for each of its inputs.
    given: BTreeMap<&'p str, &'p Argument>,
    /// The names of what is made of its results.
    results: Vec<Argument>,
}

impl<'p> Body<'p> {
    /// The body that a node calls; none where the call is another, or does not fit it.
    fn of(call: &'p ProgramNode) -> Option<Body<'p>> {
        let name = call.target.strip_prefix("torch.ops.higher_order.")?;
        if !TRANSPARENT.contains(&name) {
            return None;
        }
        let graph = call.inputs.iter().find_map(|input| match &input.arg {
            Argument::Graph(graph) => Some(graph),
            _ => None,
        })?;
        // By their places; what has a name is an option of the call. Operands stand last.
        let placed: Vec<&NamedArgument> =
            call.inputs.iter().filter(|input| input.name.is_empty()).collect();
        let first = placed.len().checked_sub(graph.inputs.len())?;
        let mut given = BTreeMap::new();
        for (input, operand) in graph.inputs.iter().zip(&placed[first..]) {
            given.insert(own_name(input)?, &operand.arg);
        }
        let results: Vec<Argument> = call.outputs.iter().flat_map(each).collect();
        (results.len() == graph.outputs.len()).then_some(Body { call, graph, given, results })
    }

    fn put_into(&self, graph: &mut ProgramGraph) {
        let mut body = self.graph.clone();
        inline(&mut body);
        let inside = |name: &String| !self.given.contains_key(name.as_str());
        let tensors = body.tensor_values.into_iter().filter(|(name, _)| inside(name));
        graph.tensor_values.extend(tensors.map(|(name, meta)| (self.prefixed(&name), meta)));
        let sizes = body.sym_int_values.into_iter().filter(|(name, _)| inside(name));
        graph.sym_int_values.extend(sizes.map(|(name, size)| (self.prefixed(&name), size)));
        for mut node in body.nodes {
            for input in &mut node.inputs {
                input.arg = self.outside(&input.arg);
            }
            node.outputs = node.outputs.iter().map(|output| self.outside(output)).collect();
            graph.nodes.push(node);
        }
        for (result, of) in self.results.iter().zip(&body.outputs) {
            let arg = self.outside(of);
            graph.nodes.push(ProgramNode {
                target: "torch.ops.aten.alias.default".to_owned(),
                inputs: vec![NamedArgument { name: "self".to_owned(), arg }],
                outputs: vec![result.clone()],
                metadata: self.call.metadata.clone(),
            });
        }
    }

    /// A name that only the body has, after the first result of the call.
    fn prefixed(&self, name: &str) -> String {
        let first = self.results.first().and_then(own_name).unwrap_or("body");
        format!("{first}.{name}")
    }

    /// What an argument in the body is outside.
    fn outside(&self, argument: &Argument) -> Argument {
        let tensor = |name: &String| match self.given.get(name.as_str()) {
            Some(Argument::Tensor(outer)) => outer.clone(),
            _ => self.prefixed(name),
        };
        let size = |size: &SymIntArgument| match size {
            SymIntArgument::AsInt(size) => SymIntArgument::AsInt(*size),
            SymIntArgument::AsName(name) => match self.given.get(name.as_str()) {
                Some(Argument::SymInt(outer)) => outer.clone(),
                Some(Argument::Int(outer)) => SymIntArgument::AsInt(*outer),
                _ => SymIntArgument::AsName(self.prefixed(name)),
            },
        };
        match argument {
            Argument::Tensor(name) => Argument::Tensor(tensor(name)),
            Argument::Tensors(names) => Argument::Tensors(names.iter().map(tensor).collect()),
            Argument::OptionalTensors(names) => {
                let outer = names.iter().map(|name| name.as_ref().map(tensor));
                Argument::OptionalTensors(outer.collect())
            }
            Argument::SymInt(of) => Argument::SymInt(size(of)),
            Argument::SymInts(all) => Argument::SymInts(all.iter().map(size).collect()),
            Argument::SymFloat(name) => match self.given.get(name.as_str()) {
                Some(outer) => (*outer).clone(),
                None => Argument::SymFloat(self.prefixed(name)),
            },
            Argument::None
            | Argument::Int(_)
            | Argument::Ints(_)
            | Argument::Float(_)
            | Argument::Floats(_)
            | Argument::Bool(_)
            | Argument::Bools(_)
            | Argument::Text(_)
            | Argument::Graph(_)
            | Argument::Other => argument.clone(),
        }
    }
}

/// The name that an input or a result is known by.
fn own_name(argument: &Argument) -> Option<&str> {
    match argument {
        Argument::Tensor(name)
        | Argument::SymFloat(name)
        | Argument::SymInt(SymIntArgument::AsName(name)) => Some(name),
        _ => None,
    }
}

/// Results one by one.
fn each(output: &Argument) -> Vec<Argument> {
    match output {
        Argument::Tensors(names) => names.iter().cloned().map(Argument::Tensor).collect(),
        Argument::SymInts(sizes) => sizes.iter().cloned().map(Argument::SymInt).collect(),
        one => vec![one.clone()],
    }
}
