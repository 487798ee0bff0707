//! The types in which a program has its parameters and inputs.

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::Source;
use opledger_ir::{Elem, Graph, Node, Op};
use opledger_report::StoredKind;

use crate::Model;
use crate::memory::bytes;

impl Model {
    /// The type of what a program is given, which is one in all iterations of the layers around it.
    fn type_of(&self, graph: &Graph, node: &Node) -> Option<Elem> {
        let types = self.reference().types()?;
        let paths = graph.instances(node, &Binding::new()).ok()?;
        types.get(paths.first()?).copied()
    }

    /// A graph with what a program is given in the types of the program.
    pub(crate) fn typed(&self, graph: &Graph) -> Graph {
        let mut typed = graph.clone();
        for (node, var) in graph.nodes().iter().zip(graph.vars()) {
            let Op::Source(_) = &node.op else { continue };
            if let Some(elem) = self.type_of(graph, node) {
                typed.store(var, elem);
            }
        }
        typed
    }

    /// Parameters of a program by their types, those of most elements first.
    pub(crate) fn stored_kinds(&self) -> Vec<StoredKind> {
        let graph = self.graph();
        let mut kinds: Vec<(Elem, StoredKind)> = Vec::new();
        for node in graph.nodes() {
            let Op::Source(Source::Param { .. }) = &node.op else { continue };
            let (Some(elem), Some(elements)) =
                (self.type_of(graph, node), node.shape.elements().as_integer())
            else {
                continue;
            };
            let instances = graph.instances(node, &Binding::new()).unwrap_or_default().len();
            let elements = elements * Integer::from(instances as u64);
            let at = kinds.iter().position(|(own, _)| *own == elem).unwrap_or_else(|| {
                kinds.push((elem, StoredKind::none(elem.name())));
                kinds.len() - 1
            });
            let (_, kind) = &mut kinds[at];
            kind.tensors += instances;
            kind.bytes += bytes(elements.clone(), elem);
            kind.elements += elements;
        }
        kinds.sort_by(|(_, a), (_, b)| b.elements.cmp(&a.elements));
        kinds.into_iter().map(|(_, kind)| kind).collect()
    }

    /// The type of most elements of a program's parameters, or of most inputs where it has no parameters.
    #[cfg(feature = "files")]
    pub(crate) fn most_stored(&self) -> Option<Elem> {
        let types = self.reference().types()?;
        let first = self.stored_kinds().into_iter().next();
        let named = |name: &str| Elem::ALL.into_iter().find(|elem| elem.name() == name);
        first.and_then(|kind| named(kind.name)).or_else(|| {
            let often = |elem: &Elem| types.values().filter(|own| *own == elem).count();
            Elem::ALL.into_iter().rev().max_by_key(often).filter(|elem| often(elem) > 0)
        })
    }
}
