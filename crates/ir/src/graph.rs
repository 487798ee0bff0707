//! The graph: nodes recorded once, under scopes, with symbolic repetition.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut, Range};
use std::panic::Location;

use num_traits::{Signed, Zero};
use opledger_dims::{Binding, Counts, Poly, Symbol};

use crate::error::list_shapes;
use crate::op::{Op, Operation};
use crate::ops::Source;
use crate::{BindingError, Cost, Definition, GraphError, PartCounts, Shape, ShapeError};

/// A value of a graph: the result of one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub(crate) u32);

impl Var {
    /// The position of the node in the graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A scope repeated a symbolic number of times, such as the layers of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatId(usize);

/// A repetition: its scope and how often its body runs.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The path of the scope, whose last segment is `*` in node paths.
    pub scope: String,
    /// How often.
    pub count: Poly,
    /// The repetition around this one.
    pub parent: Option<RepeatId>,
}

/// One recorded body of a repetition: a run of nodes between a carry and an exit.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Which repetition.
    pub repeat: RepeatId,
    /// The nodes of the body, the carry first and the exit excluded.
    pub body: Range<usize>,
    /// The value an iteration hands to the next.
    pub result: Var,
}

/// Where nodes are recorded: a path and the repetition it lies in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    pub(crate) path: String,
    pub(crate) repeat: Option<RepeatId>,
}

impl Scope {
    /// The path, such as `encoder.layers.*`.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn join(&self, segment: &str) -> String {
        match (self.path.is_empty(), segment.is_empty()) {
            (true, _) => segment.to_owned(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{segment}", self.path),
        }
    }
}

/// One recorded operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands, equal to the usual name of weights: `encoder.layers.*.self_attn.q_proj`.
    pub path: String,
    /// The operation.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Var>,
    /// The shape of its result.
    pub shape: Shape,
    /// The repetition it belongs to.
    pub repeat: Option<RepeatId>,
    /// The source line that recorded it.
    pub location: &'static Location<'static>,
}

/// A computation, recorded once: shapes are polynomials over named sizes.
///
/// ```
/// use opledger_ir::{Graph, ops::Source};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let w = g.param("weight", Source::weight("c"), ["f", "c"])?;
/// let y = g.einsum("b n c, f c -> b n f", x, w)?;
/// assert_eq!(g.shape(y).to_string(), "[b, n, f]");
/// assert_eq!(g.cost().total().to_string(), "add = b·n·f·c - b·n·f, mul = b·n·f·c");
/// # Ok::<(), opledger_ir::GraphError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    repeats: Vec<Repeat>,
    loops: Vec<Loop>,
    definitions: Vec<Definition>,
    outputs: Vec<(String, Var)>,
    scope: Scope,
    paths: BTreeMap<String, u32>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Graph::default()
    }

    /// Enters a scope below the present one until the guard is dropped. An empty name stays here.
    pub fn scope(&mut self, name: &str) -> Scoped<'_> {
        let inner = Scope { path: self.scope.join(name), repeat: self.scope.repeat };
        self.enter(&inner)
    }

    /// Enters the very scope a layer was made in, wherever the graph stands now.
    pub fn enter(&mut self, scope: &Scope) -> Scoped<'_> {
        let outer = std::mem::replace(&mut self.scope, scope.clone());
        Scoped { graph: self, outer }
    }

    /// The present scope, for a layer to come back to.
    pub fn here(&self) -> Scope {
        self.scope.clone()
    }

    /// Declares a scope whose content is repeated `count` times; enter it to make the layers'
    /// parameters, one set for each iteration, and record the body with [`Graph::repeat`].
    pub fn repeated(&mut self, name: &str, count: impl Into<Poly>) -> Scope {
        let scope = self.scope.join(name);
        self.repeats.push(Repeat {
            scope: scope.clone(),
            count: count.into(),
            parent: self.scope.repeat,
        });
        Scope { path: format!("{scope}.*"), repeat: Some(RepeatId(self.repeats.len() - 1)) }
    }

    /// Records the body of a repetition once: `body` maps the value entering an iteration to the
    /// value leaving it. The result is the value after the last iteration.
    ///
    /// # Errors
    /// Those of the body; or the body does not give back the shape it was given.
    #[track_caller]
    pub fn repeat<E: From<GraphError>>(
        &mut self,
        scope: &Scope,
        initial: Var,
        body: impl FnOnce(&mut Graph, Var) -> Result<Var, E>,
    ) -> Result<Var, E> {
        let start = self.nodes.len();
        let mut inner = self.enter(scope);
        let carry = inner.record("", Op::Carry, &[initial])?;
        let result = body(&mut inner, carry)?;
        let (before, after) = (inner.shape(carry), inner.shape(result));
        if before != after {
            let problem =
                ShapeError::Sizes(format!("the repeated body turns {before} into {after}"));
            return Err(inner.error(&Op::Exit, "exit", problem, &[carry, result]).into());
        }
        drop(inner);
        let end = self.nodes.len();
        if let Some(repeat) = scope.repeat {
            self.loops.push(Loop { repeat, body: start..end, result });
        }
        let outer = scope.repeat.and_then(|r| self.repeats[r.0].parent);
        let exit = Scope { path: scope.path.clone(), repeat: outer };
        Ok(self.enter(&exit).record("", Op::Exit, &[initial, result])?)
    }

    /// Records an operation under `label`, or under the operation's own name when `label` is empty.
    ///
    /// # Errors
    /// The relation between the operands' shapes that does not hold, with its place.
    #[track_caller]
    pub fn record(
        &mut self,
        label: &str,
        op: impl Into<Op>,
        inputs: &[Var],
    ) -> Result<Var, GraphError> {
        let op = op.into();
        let label = if label.is_empty() { op.name() } else { label };
        let shapes: Vec<&Shape> = inputs.iter().map(|v| self.shape(*v)).collect();
        let signature = op.signature(&shapes).or_else(|problem| {
            // Sizes may be equal by definition only, as h and g·r are when h = g·r.
            let expanded: Vec<Shape> =
                shapes.iter().map(|s| self.definitions.expand_shape(s)).collect();
            op.signature(&expanded.iter().collect::<Vec<_>>()).map_err(|_| problem)
        });
        let mut shape = match signature {
            Ok(shape) => shape,
            Err(problem) => return Err(self.error(&op, label, problem, inputs)),
        };
        for axis in &mut shape.axes {
            axis.size = self.definitions.fold(&axis.size);
        }
        let path = self.unique(label);
        let repeat = self.scope.repeat;
        let location = Location::caller();
        self.nodes.push(Node { path, op, inputs: inputs.to_vec(), shape, repeat, location });
        Ok(Var(self.nodes.len() as u32 - 1))
    }

    #[track_caller]
    pub(crate) fn error(
        &self,
        op: &Op,
        label: &str,
        problem: ShapeError,
        inputs: &[Var],
    ) -> GraphError {
        let shapes: Vec<&Shape> = inputs.iter().map(|v| self.shape(*v)).collect();
        GraphError {
            path: self.scope.join(label),
            op: op.name(),
            problem,
            operands: list_shapes(&shapes),
            location: Location::caller(),
        }
    }

    /// The path of a new node: the label, numbered from its second occurrence on.
    fn unique(&mut self, label: &str) -> String {
        let path = self.scope.join(label);
        let seen = self.paths.entry(path.clone()).or_insert(0);
        *seen += 1;
        if *seen == 1 { path } else { format!("{path}_{seen}") }
    }

    /// Names a value as a result of the graph.
    pub fn output(&mut self, name: &str, value: Var) {
        self.outputs.push((name.to_owned(), value));
    }

    /// The results, by name, in the order they were named.
    pub fn outputs(&self) -> &[(String, Var)] {
        &self.outputs
    }

    /// The nodes, in the order of recording, which is an order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of a value.
    pub fn node(&self, var: Var) -> &Node {
        &self.nodes[var.index()]
    }

    /// The shape of a value.
    pub fn shape(&self, var: Var) -> &Shape {
        &self.nodes[var.index()].shape
    }

    /// The shapes of a node's operands.
    pub fn operand_shapes(&self, node: &Node) -> Vec<&Shape> {
        node.inputs.iter().map(|v| self.shape(*v)).collect()
    }

    /// The recorded bodies of repetitions.
    pub fn loops(&self) -> &[Loop] {
        &self.loops
    }

    /// A repetition.
    pub fn repetition(&self, id: RepeatId) -> &Repeat {
        &self.repeats[id.0]
    }

    /// The symbols that follow from others.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Declares a symbol that follows from others, unless it is declared already.
    pub fn define(&mut self, definition: Definition) {
        if !self.definitions.contains(&definition) {
            self.definitions.push(definition);
        }
    }

    /// A symbol name that no definition uses yet: `stem`, or `stem_2`, `stem_3`, ….
    pub(crate) fn fresh(&self, stem: &str) -> Symbol {
        let taken: BTreeSet<&Symbol> =
            self.definitions.iter().flat_map(Definition::defines).collect();
        let names = std::iter::once(stem.to_owned()).chain((2..).map(|i| format!("{stem}_{i}")));
        names.map(Symbol::from).find(|s| !taken.contains(s)).unwrap_or_else(|| Symbol::new(stem))
    }

    /// Writes a polynomial with the products the graph declares, such as `c` for `h·e`.
    pub fn fold(&self, poly: &Poly) -> Poly {
        self.definitions.fold(poly)
    }

    /// How often a node runs: the product of the repetitions around it.
    pub fn multiplicity(&self, node: &Node) -> Poly {
        let mut product = Poly::one();
        let mut at = node.repeat;
        while let Some(id) = at {
            product = product * &self.repeats[id.0].count;
            at = self.repeats[id.0].parent;
        }
        product
    }

    /// The cost of one node, all its runs together.
    pub fn node_cost(&self, node: &Node) -> Cost {
        let once = node.op.cost(&self.operand_shapes(node), &node.shape);
        let times = self.multiplicity(node);
        PartCounts(once.0.iter().map(|(p, c)| (*p, c.map(|c| self.fold(&(c * &times))))).collect())
    }

    /// The cost of the whole graph, derived: the sum over its nodes.
    pub fn cost(&self) -> Cost {
        let mut sum = Cost::free();
        for node in &self.nodes {
            for (part, counts) in &self.node_cost(node).0 {
                sum.add(*part, counts);
            }
        }
        sum
    }

    /// Bytes a node reads and writes, all its runs together: each operand once, the result once, no
    /// reuse between nodes. Views and sources move nothing.
    pub fn node_bytes(&self, node: &Node) -> (Poly, Poly) {
        if node.op.is_view() {
            return (Poly::zero(), Poly::zero());
        }
        let times = self.multiplicity(node);
        let bytes = |s: &Shape| self.fold(&(s.elements() * &times * s.elem.bytes() as i64));
        (node.inputs.iter().map(|v| bytes(self.shape(*v))).sum(), bytes(&node.shape))
    }

    /// Parameters: all of them, and those that are trainable.
    pub fn parameters(&self) -> (Poly, Poly) {
        let (mut total, mut trainable) = (Poly::zero(), Poly::zero());
        for node in &self.nodes {
            if let Op::Source(Source::Param { trainable: is_trainable, .. }) = &node.op {
                let size = self.fold(&(node.shape.elements() * self.multiplicity(node)));
                total += &size;
                if *is_trainable {
                    trainable += size;
                }
            }
        }
        (total, trainable)
    }

    /// The symbols to be bound before the graph can run, those that follow from others left out.
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let mut symbols = BTreeSet::new();
        for node in &self.nodes {
            symbols.extend(node.shape.axes.iter().flat_map(|a| a.size.symbols()));
            symbols.extend(node.op.sizes().into_iter().flat_map(Poly::symbols));
            for (_, counts) in &self.node_cost(node).0 {
                symbols.extend(counts.iter().flat_map(|(_, p)| p.symbols()));
            }
        }
        symbols.extend(self.repeats.iter().flat_map(|r| r.count.symbols()));
        for definition in &self.definitions {
            let sizes: Vec<&Poly> = match definition {
                Definition::Band { queries, keys, offset, window, .. } => {
                    [queries, keys, offset].into_iter().chain(window).collect()
                }
                Definition::Kept { queries, offset, window, .. } => {
                    std::iter::once(queries).chain(offset).chain(window).collect()
                }
                Definition::Product { .. } | Definition::CeilDiv { .. } => Vec::new(),
            };
            symbols.extend(sizes.into_iter().flat_map(Poly::symbols));
        }
        for definition in &self.definitions {
            match definition {
                Definition::Product { whole, factors: [_, divided] } => {
                    // Of c = h·e, users give c and h.
                    if symbols.contains(whole) {
                        symbols.remove(divided);
                    }
                }
                Definition::CeilDiv { symbol, numerator, denominator } => {
                    symbols.remove(symbol);
                    symbols.extend(numerator.symbols());
                    symbols.extend(denominator.symbols());
                }
                Definition::Band { pairs, rows, .. } => {
                    symbols.remove(pairs);
                    symbols.remove(rows);
                }
                Definition::Kept { .. } => {}
            }
        }
        symbols
    }

    /// The binding with every symbol that follows from it added.
    ///
    /// # Errors
    /// When the values contradict a definition, or name no size of the graph.
    pub fn complete(&self, binding: &Binding) -> Result<Binding, BindingError> {
        self.check_known(binding)?;
        let mut complete = binding.clone();
        loop {
            let mut changed = false;
            for definition in &self.definitions {
                changed |= definition.apply(&mut complete)?;
            }
            if !changed {
                return Ok(complete);
            }
        }
    }

    fn check_known(&self, binding: &Binding) -> Result<(), BindingError> {
        let symbols = self.symbols();
        let defined = |s: &Symbol| {
            self.definitions.iter().any(|d| match d {
                Definition::Product { whole, factors } => whole == s || factors.contains(s),
                other => other.defines().contains(&s),
            })
        };
        match binding.iter().map(|(s, _)| s).find(|s| !symbols.contains(*s) && !defined(s)) {
            None => Ok(()),
            Some(symbol) => {
                let known: Vec<_> = symbols.iter().map(Symbol::to_string).collect();
                let known =
                    if known.is_empty() { "all fixed".to_owned() } else { known.join(", ") };
                Err(BindingError::Unknown { symbol: symbol.clone(), known })
            }
        }
    }

    /// Checks a complete binding: every size is bound, none is negative, and no operation sums over
    /// nothing.
    ///
    /// # Errors
    /// The first node and axis for which that does not hold.
    pub fn check(&self, binding: &Binding) -> Result<(), BindingError> {
        for node in &self.nodes {
            let times = self.multiplicity(node).at(binding)?;
            for axis in &node.shape.axes {
                let size = axis.size.at(binding)?;
                if size.is_negative() {
                    let (path, axis) = (node.path.clone(), axis.name.clone());
                    return Err(BindingError::Negative { path, axis, size: size.to_string() });
                }
            }
            if times.is_negative() {
                let (path, axis) = (node.path.clone(), Symbol::new("repeat"));
                return Err(BindingError::Negative { path, axis, size: times.to_string() });
            }
            for (axis, size) in node.op.summed(&self.operand_shapes(node)) {
                if size.at(binding)?.is_zero() {
                    return Err(BindingError::Empty {
                        path: node.path.clone(),
                        axis,
                        op: node.op.name(),
                    });
                }
            }
            if let Some(problem) = node.op.conflict(&self.operand_shapes(node), binding) {
                return Err(BindingError::Sizes { path: node.path.clone(), problem });
            }
        }
        Ok(())
    }

    /// The exact counts at a binding of the free symbols.
    ///
    /// # Errors
    /// When the binding cannot be completed.
    pub fn counts_at(
        &self,
        binding: &Binding,
    ) -> Result<Counts<opledger_dims::Integer>, BindingError> {
        Ok(self.cost().total().at(&self.complete(binding)?)?)
    }
}

/// Reading sizes by a list of definitions.
trait Defined {
    /// A size with the products that are defined written by their names.
    fn fold(&self, poly: &Poly) -> Poly;

    /// A shape with the names of products written out.
    fn expand_shape(&self, shape: &Shape) -> Shape;
}

impl Defined for Vec<Definition> {
    fn fold(&self, poly: &Poly) -> Poly {
        let mut folded = poly.clone();
        // Folding h = g·r may make h·e, which folds to c. Each fold lowers the degree.
        loop {
            let before = folded.clone();
            for definition in self {
                if let Definition::Product { whole, factors } = definition {
                    folded = folded.fold(whole, factors);
                }
            }
            if folded == before {
                return folded;
            }
        }
    }

    fn expand_shape(&self, shape: &Shape) -> Shape {
        let mut shape = shape.clone();
        for axis in &mut shape.axes {
            // A chain of definitions is no longer than the list.
            for _ in 0..self.len() {
                for definition in self {
                    if let Definition::Product { whole, factors: [a, b] } = definition {
                        axis.size =
                            axis.size.substitute(whole, &(Poly::symbol(a) * Poly::symbol(b)));
                    }
                }
            }
        }
        shape
    }
}

/// A graph inside a scope; dropping it leaves the scope.
#[derive(Debug)]
pub struct Scoped<'a> {
    graph: &'a mut Graph,
    outer: Scope,
}

impl Deref for Scoped<'_> {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        self.graph
    }
}

impl DerefMut for Scoped<'_> {
    fn deref_mut(&mut self) -> &mut Graph {
        self.graph
    }
}

impl Drop for Scoped<'_> {
    fn drop(&mut self) {
        self.graph.scope = std::mem::take(&mut self.outer);
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::Rearrange;
    use crate::{Axis, Definition, Graph, Mask};
    use opledger_dims::Binding;

    #[test]
    fn sizes_equal_by_definition_are_equal() {
        let mut g = Graph::new();
        let product = |whole: &str, factors: [&str; 2]| Definition::Product {
            whole: whole.into(),
            factors: factors.map(Into::into),
        };
        g.define(product("c", ["h", "e"]));
        g.define(product("h", ["kv", "r"]));
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let into = vec![Axis::new("g", "kv"), Axis::new("r", "r"), Axis::new("e", "e")];
        let y = g.rearrange(x, Rearrange::Split { axis: "c".into(), into }).unwrap();
        assert_eq!(g.shape(y).to_string(), "[b, n, g=kv, r, e]");
        let axes = vec!["g".into(), "r".into(), "e".into()];
        let z = g.rearrange(y, Rearrange::Merge { axes, into: "c".into() }).unwrap();
        assert_eq!(g.shape(z).to_string(), "[b, n, c]");
        let into = vec![Axis::new("g", "kv"), Axis::new("e", "e")];
        let error = g.rearrange(x, Rearrange::Split { axis: "c".into(), into }).unwrap_err();
        assert_eq!(error.problem.to_string(), "axis `c` is c in one operand and e·kv in another");
    }

    #[test]
    fn sizes_that_stand_in_operations_only_are_sizes_of_the_graph() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
        g.rearrange(x, Rearrange::Roll { axis: "n".into(), by: "shift".into() }).unwrap();
        g.rope(x, crate::ops::RopePairs::Halves, 1e4, "past").unwrap();
        g.attention((x, x, x), Mask::sliding("w"), None, None).unwrap();
        let keep = g.input_mask("keep", ["b", "n"]).unwrap();
        let [b, h, n] = ["b", "h", "n"].map(opledger_dims::Poly::from);
        g.support(&Mask::sliding("u").keeping(keep), &b, &h, &n, &n);
        let symbols: Vec<String> = g.symbols().iter().map(ToString::to_string).collect();
        assert_eq!(symbols, ["b", "n", "h", "e", "past", "shift", "u", "w"]);
        let sizes = ["b", "n", "h", "e", "past", "shift", "u", "w"].map(|s| (s, 2));
        let binding = g.complete(&Binding::from_iter(sizes)).unwrap();
        g.check(&binding).unwrap();
    }
}
