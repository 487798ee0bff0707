//! The types in which a program has its parameters and inputs.

use opledger_dims::{Binding, Integer, Quantity};
use opledger_ir::{Elem, Graph, Node, Storage, StoredType};
use opledger_report::StoredKind;

use crate::memory::bytes;
use crate::{AccountError, Model};

impl Model {
    /// The type of what a program is given, which is one in all iterations of the layers around it.
    pub(crate) fn type_of(&self, graph: &Graph, node: &Node) -> Option<StoredType> {
        let types = self.reference().types()?;
        let paths = graph.instances(node, &Binding::new()).ok()?;
        types.get(paths.first()?).copied()
    }

    /// A graph of a model whose values have the types of the program, node by node, and one type where it
    /// says none. Of a step the forward pass stands first.
    pub(crate) fn typed(&self, graph: &Graph, other: Elem) -> Graph {
        let mut typed = graph.stored(Storage::uniform(other));
        let own = self.graph().nodes();
        let computed = self.reference().computed();
        for (at, (node, var)) in graph.nodes().iter().zip(graph.vars()).enumerate() {
            if !node.op.is_source() {
                let is_same = own.get(at).is_some_and(|own| own.path == node.path);
                if let Some(elem) = computed.get(at).copied().flatten().filter(|_| is_same) {
                    typed.store(var, elem);
                }
                continue;
            }
            match self.type_of(graph, node) {
                Some(of) if of.exact => typed.store(var, of.elem),
                Some(of) => typed.as_wide_as(var, of.elem),
                None => {}
            }
        }
        typed
    }

    /// Parameters of a program by their types, those of most elements first.
    pub(crate) fn stored_kinds(&self) -> Vec<StoredKind> {
        let graph = self.graph();
        let mut kinds: Vec<StoredKind> = Vec::new();
        for node in graph.nodes().iter().filter(|node| node.is_parameter()) {
            let (Some(of), Some(elements)) =
                (self.type_of(graph, node), node.shape.elements().as_integer())
            else {
                continue;
            };
            let instances = graph.instances(node, &Binding::new()).unwrap_or_default().len();
            let elements = elements * Integer::from(instances as u64);
            let at = kinds.iter().position(|own| own.name == of.name).unwrap_or_else(|| {
                kinds.push(StoredKind::none(of.name));
                kinds.len() - 1
            });
            let kind = &mut kinds[at];
            kind.tensors += instances;
            kind.bytes += bytes(elements.clone(), of.elem);
            kind.elements += elements;
        }
        kinds.sort_by(|a, b| b.elements.cmp(&a.elements));
        kinds
    }

    /// The bytes of the parameters of a program, each in its own type; none where they have the one in which
    /// it computes, and of other models.
    ///
    /// # Errors
    /// When their number depends on a size that is not given.
    pub fn typed_weights(&self, sizes: &Binding) -> Result<Option<Integer>, AccountError> {
        let kinds = self.stored_kinds();
        if self.is_uniform(&kinds) {
            return Ok(None);
        }
        let all = self.formula(Quantity::Parameters).at(sizes)?;
        Ok(Some(self.parameter_bytes(&kinds, all, self.storage())))
    }

    /// Whether all parameters are of the one type in which a program computes.
    pub(crate) fn is_uniform(&self, kinds: &[StoredKind]) -> bool {
        kinds.iter().all(|kind| kind.name == self.storage().name())
    }

    /// The bytes of all parameters of a program, each in its own type, those of no type that is known in
    /// another.
    pub(crate) fn parameter_bytes(
        &self,
        kinds: &[StoredKind],
        all: Integer,
        other: Elem,
    ) -> Integer {
        let typed: Integer = kinds.iter().map(|kind| &kind.elements).sum();
        let known: Integer = kinds.iter().map(|kind| &kind.bytes).sum();
        known + bytes(all - typed, other)
    }

    /// The type in which reals are computed: that of most elements of a program's parameters of reals, or of
    /// most inputs where it has none.
    #[cfg(feature = "files")]
    pub(crate) fn most_stored(&self) -> Option<Elem> {
        let types = self.reference().types()?;
        let reals = || types.values().filter(|of| of.exact).map(|of| of.elem);
        let kinds = self.stored_kinds();
        let first = kinds.iter().find_map(|kind| reals().find(|elem| elem.name() == kind.name));
        first.or_else(|| {
            let often = |elem: &Elem| reals().filter(|own| own == elem).count();
            Elem::ALL.into_iter().rev().max_by_key(often).filter(|elem| often(elem) > 0)
        })
    }
}
