//! One way to make a graph of a graph: node by node, each recorded anew or as something else.

use crate::graph::{Graph, Loop, Node, Scope};
use crate::ops::{Draw, Source};
use crate::role::{Cache, Role};
use crate::{Definition, Elem, GraphError, Kind, Op, Var};

/// The types in which the values of a model are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Weights: what is multiplied.
    pub weights: Elem,
    /// Cached keys and values.
    pub cache: Elem,
    /// All other reals: activations, and the gains, shifts and tables that join them.
    pub activations: Elem,
}

impl Storage {
    /// One type for all.
    pub fn uniform(elem: Elem) -> Self {
        Storage { weights: elem, cache: elem, activations: elem }
    }
}

/// Records the nodes of one graph into another.
#[derive(Debug)]
pub struct Rebuild {
    /// The graph that is recorded.
    pub graph: Graph,
    /// For each node of the old graph, the values that stand for its results.
    made: Vec<Vec<Var>>,
}

impl Rebuild {
    /// The value that stands for one of the old graph.
    fn of(&self, var: Var) -> Result<Var, GraphError> {
        let made = self.made.get(var.index()).and_then(|results| results.get(var.result()));
        made.copied().ok_or_else(|| self.graph.missing(var))
    }

    /// Records the same operation on other operands, with the path, module and role of the old node.
    ///
    /// # Errors
    /// When the operands do not fit the operation.
    pub fn copy(&mut self, node: &Node, operands: &[Var]) -> Result<Vec<Var>, GraphError> {
        self.graph.copy_node(node, operands)
    }
}

impl Graph {
    /// The graph that `record` makes of this one. It is given every node but the ends of repetitions,
    /// with the values that stand for its operands, inside the scope of the node, and answers with the
    /// values that stand for its results; [`Rebuild::copy`] records the node as it was. Repetitions,
    /// definitions, modules, outputs and caches are carried over.
    ///
    /// ```
    /// # mod opledger { pub use opledger_ir::{self as ir, *}; }
    /// use opledger::{Graph, ir::{GraphError, Op, ops::Activation}};
    ///
    /// let mut g = Graph::new();
    /// let x = g.input("x", ["b", "n"])?;
    /// let y = g.activation(x, Activation::GeluErf)?;
    /// g.output("y", y);
    /// let other = g.rebuild(|to, node, operands| match node.op {
    ///     Op::Activation(_) => Ok::<_, GraphError>(vec![to.graph.activation(operands[0], Activation::Relu)?]),
    ///     _ => to.copy(node, operands),
    /// })?;
    /// assert_eq!(other.cost().total().to_string(), "max = b·n");
    /// # Ok::<(), GraphError>(())
    /// ```
    ///
    /// # Errors
    /// Those of `record`; or what it answers does not fit the nodes that read it.
    pub fn rebuild<E: From<GraphError>>(
        &self,
        mut record: impl FnMut(&mut Rebuild, &Node, &[Var]) -> Result<Vec<Var>, E>,
    ) -> Result<Graph, E> {
        let mut to = Rebuild { graph: self.frame(), made: Vec::new() };
        let mut open: Vec<(Loop, usize)> = Vec::new();
        for (at, node) in self.nodes().iter().enumerate() {
            let operands = node.inputs.iter().map(|var| to.of(*var));
            let operands = operands.collect::<Result<Vec<_>, _>>()?;
            let results = match &node.op {
                Op::Carry(_) => {
                    let body = self.loops().iter().find(|l| l.body.start == at);
                    open.extend(body.map(|body| (body.clone(), to.graph.nodes().len())));
                    to.copy(node, &operands)?
                }
                Op::Exit(_) => {
                    if let Some((body, start)) = open.pop() {
                        let end = to.graph.nodes().len();
                        to.graph.push_loop(Loop { body: start..end, ..body });
                    }
                    to.copy(node, &operands)?
                }
                _ => {
                    let scope = Scope::of(node);
                    let outer = to.graph.move_to(scope);
                    let results = record(&mut to, node, &operands);
                    to.graph.move_to(outer);
                    results?
                }
            };
            to.made.push(results);
        }
        for (at, definition) in self.definitions().iter().enumerate() {
            if let Definition::Kept { keep, .. } = definition {
                let var = to.of(*keep)?;
                if let Some(Definition::Kept { keep, .. }) = to.graph.definitions_mut().get_mut(at)
                {
                    *keep = var;
                }
            }
        }
        for (name, var) in self.outputs() {
            let var = to.of(*var)?;
            to.graph.output(name, var);
        }
        for cache in self.caches() {
            let (past, present) = (to.of(cache.past)?, to.of(cache.present)?);
            to.graph.add_cache(Cache { past, present, ..cache.clone() });
        }
        Ok(to.graph)
    }

    /// The same graph with values stored in other types, so that bytes are those of the types. What is
    /// computed stays as it was: interpreters compute in their own.
    #[must_use]
    pub fn stored(&self, storage: Storage) -> Graph {
        let mut graph = self.clone();
        for var in self.vars() {
            let node = self.node(var);
            let elem = match (&node.op, node.role) {
                (Op::Source(Source::Param { draw: Draw::Weight { .. }, .. }), _) => storage.weights,
                (_, Some(Role::Cache(of))) => of.stored(storage.cache),
                _ => storage.activations,
            };
            graph.store(var, elem);
        }
        for cache in self.caches() {
            graph.store(cache.present, cache.of.stored(storage.cache));
        }
        graph
    }

    /// Says in which type the reals of a value are stored; whole numbers stay what they are. What is
    /// recorded afterwards from the value is of its type.
    pub fn store(&mut self, var: Var, elem: Elem) {
        let node = self.node_mut(var);
        for shape in std::iter::once(&mut node.shape).chain(&mut node.further) {
            if shape.elem.kind() == Kind::Real && elem.kind() == Kind::Real {
                shape.elem = elem;
            }
        }
    }

    /// Says that elements of a value are as wide as those of a type, whatever they stand for: of a graph whose
    /// bytes alone are read.
    pub fn as_wide_as(&mut self, var: Var, elem: Elem) {
        self.node_mut(var).shape.elem = elem;
    }

    #[track_caller]
    pub(crate) fn copy_node(
        &mut self,
        node: &Node,
        operands: &[Var],
    ) -> Result<Vec<Var>, GraphError> {
        let outer = self.move_to(Scope::of(node));
        let label = node.path.rsplit_once('.').map_or(node.path.as_str(), |(_, label)| label);
        let recorded = self.record_all(label, node.op.clone(), operands);
        self.move_to(outer);
        let results = recorded?;
        if let Some(&first) = results.first() {
            let elems: Vec<Elem> = node.results().map(|shape| shape.elem).collect();
            let copy = self.node_mut(first);
            copy.path.clone_from(&node.path);
            (copy.role, copy.location) = (node.role, node.location);
            let shapes = std::iter::once(&mut copy.shape).chain(&mut copy.further);
            shapes.zip(elems).for_each(|(shape, elem)| shape.elem = elem);
        }
        Ok(results)
    }
}

impl Scope {
    /// The scope in which a node was recorded.
    pub fn of(node: &Node) -> Scope {
        let path = node.path.rsplit_once('.').map_or("", |(scope, _)| scope).to_owned();
        let (repeat, module, phase) = (node.repeat, node.module, node.phase);
        Scope { path, repeat, module, line: node.line.clone(), phase }
    }
}

#[cfg(test)]
mod tests {
    use opledger_dims::Binding;

    use crate::ops::Activation;
    use crate::{Axis, Graph, GraphError, Mask};

    #[test]
    fn a_copy_has_repetitions_definitions_and_names_that_are_kept() {
        let mut g = Graph::new();
        g.reserve(["half".into()]);
        let layers = g.repeated("layers", "l");
        let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
        let y = g.repeat(&layers, x, |g, x| g.activation(x, Activation::Relu)).unwrap();
        let entries = ["b", "h", "n", "m"].map(Axis::from);
        let mask = g.masking(&Mask::sliding(2), &entries);
        let y = g.softmax(y, Some(mask)).unwrap();
        g.output("y", y);
        let mut copy =
            g.rebuild::<GraphError>(|to, node, operands| to.copy(node, operands)).unwrap();
        assert_eq!((copy.definitions(), copy.loops()), (g.definitions(), g.loops()));
        let sizes = Binding::from_iter([("b", 1), ("h", 2), ("n", 5), ("m", 5), ("l", 3)]);
        assert_eq!(copy.counts_at(&sizes).unwrap(), g.counts_at(&sizes).unwrap());
        assert_eq!(copy.floor_div("half", &"n".into(), &2.into()).to_string(), "half_2");
    }
}
