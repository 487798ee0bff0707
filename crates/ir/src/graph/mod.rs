//! The graph: nodes recorded once, under scopes, with symbolic repetition.

mod divide;
mod prune;
mod roles;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut, Range};
use std::panic::Location;
use std::sync::Arc;

use opledger_dims::{Poly, Symbol};

use crate::error::list_shapes;
use crate::op::Op;
use crate::operation::Operation;
use crate::role::{Cache, Module, ModuleId, Role, SizeRole};
use crate::{Definition, GraphError, Part, Phase, Shape, ShapeError, Var};

pub use self::scan::{Ends, OpenScan, Scan, ScanValues};

/// A scope repeated a symbolic number of times, such as the layers of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatId(usize);

impl RepeatId {
    /// The position of the repetition among those of the graph.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A repetition: its scope and how often its body runs.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The path of the scope, whose last segment has a `*` in node paths.
    pub scope: String,
    /// The path of what is in it, `layers.*`.
    pub path: String,
    /// How often.
    pub count: Poly,
    /// The repetition around this one.
    pub parent: Option<RepeatId>,
}

/// One recorded body of a repetition: a run of nodes between a carry and an exit, which name in their
/// operands what goes in, round and out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Which repetition.
    pub repeat: RepeatId,
    /// The nodes of the body, the carry first and the exit excluded.
    pub body: Range<usize>,
    /// Whether the last iteration runs first.
    pub reverse: bool,
}

/// Where nodes are recorded: a path and the repetition it lies in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    pub(crate) path: String,
    pub(crate) repeat: Option<RepeatId>,
    pub(crate) module: Option<ModuleId>,
    pub(crate) line: Option<Arc<str>>,
    pub(crate) phase: Phase,
}

impl Scope {
    /// The same scope in another part of a training step.
    #[must_use]
    pub fn in_phase(self, phase: Phase) -> Scope {
        Scope { phase, ..self }
    }

    /// The scope, with the line of the program that is read, such as `model.py:12`.
    pub fn at_line(self, line: Option<String>) -> Scope {
        Scope { line: line.map(Arc::from), ..self }
    }

    /// The path, such as `encoder.layers.*`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Layer `number` of a group that [`Graph::repeated_every`] declares.
    pub fn at(&self, number: u64) -> Scope {
        let path = match number {
            0 => self.path.clone(),
            _ => format!("{}+{number}", self.path),
        };
        Scope { path, ..self.clone() }
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
    /// The shape of its first result.
    pub shape: Shape,
    /// The shapes of its further results.
    pub further: Vec<Shape>,
    /// The repetition it belongs to.
    pub repeat: Option<RepeatId>,
    /// The innermost module it belongs to.
    pub module: Option<ModuleId>,
    /// What it is in its model.
    pub role: Option<Role>,
    /// The source line that recorded it.
    pub location: &'static Location<'static>,
    /// The line of the program that it was read from, of graphs that are read from one.
    pub line: Option<Arc<str>>,
    /// The part of a training step that it belongs to.
    pub phase: Phase,
}

impl Node {
    /// The line of the program that it was read from, or else of the layer that recorded it:
    /// `model.py:12`.
    pub fn source_line(&self) -> String {
        match &self.line {
            Some(line) => line.to_string(),
            None => format!("{}:{}", self.location.file(), self.location.line()),
        }
    }

    /// The part of a training step that a part of its cost belongs to: what gradients of attention compute
    /// again is apart from what is theirs.
    pub fn phase_of(&self, part: Part) -> Phase {
        match self.op.facts().again.contains(&part) {
            true => Phase::Recomputation,
            false => self.phase,
        }
    }

    /// The shapes of its results.
    pub fn results(&self) -> impl Iterator<Item = &Shape> {
        std::iter::once(&self.shape).chain(&self.further)
    }
}

/// A computation, recorded once: shapes are polynomials over named sizes.
///
/// ```
/// # mod opledger { pub use opledger_ir::{self as ir, *}; }
/// use opledger::{Graph, ir::ops::Source};
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
    /// Names of sizes that no definition may take.
    reserved: BTreeSet<Symbol>,
    outputs: Vec<(String, Var)>,
    scope: Scope,
    paths: BTreeMap<String, u32>,
    modules: Vec<Module>,
    caches: Vec<Cache>,
    sizes: BTreeMap<SizeRole, Symbol>,
    /// The repetition whose body is recorded at present.
    body: Option<RepeatId>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Graph::default()
    }

    /// Enters a scope below the present one until the guard is dropped. An empty name stays here.
    pub fn scope(&mut self, name: &str) -> Scoped<'_> {
        let inner = Scope { path: self.scope.join(name), ..self.scope.clone() };
        self.enter(&inner)
    }

    /// Does something in a scope below the present one, such as making a layer of a larger one.
    ///
    /// ```
    /// # mod opledger { pub use opledger_ir::{self as ir, *}; }
    /// use opledger::{Graph, Var, ir::{GraphError, ops::Source}};
    ///
    /// let weight = |g: &mut Graph| g.param("weight", Source::weight("c"), ["f", "c"]);
    /// let mut g = Graph::new();
    /// let both: [Result<Var, GraphError>; 2] = [g.within("up", weight), g.within("down", weight)];
    /// assert_eq!(g.node(both[1].clone()?).path, "down.weight");
    /// # Ok::<(), GraphError>(())
    /// ```
    pub fn within<T>(&mut self, name: &str, inside: impl FnOnce(&mut Graph) -> T) -> T {
        inside(&mut self.scope(name))
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

    /// The modules that layers declared; a module stands after the one around it.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Stays in a scope.
    pub(crate) fn set_root(&mut self, scope: Scope) {
        self.scope = scope;
    }

    pub(crate) fn add_module(&mut self, module: Module) -> ModuleId {
        self.modules.push(module);
        ModuleId(self.modules.len() - 1)
    }

    /// The cached inputs and the results that take their places.
    pub fn caches(&self) -> &[Cache] {
        &self.caches
    }

    pub(crate) fn add_cache(&mut self, cache: Cache) {
        self.caches.push(cache);
    }

    /// What sizes count, as far as layers said it.
    pub fn sizes_by_role(&self) -> &BTreeMap<SizeRole, Symbol> {
        &self.sizes
    }

    pub(crate) fn set_size(&mut self, role: SizeRole, symbol: Symbol) {
        self.sizes.insert(role, symbol);
    }

    /// A graph without nodes that has the repetitions, modules, sizes and definitions of this one.
    pub(crate) fn frame(&self) -> Graph {
        Graph {
            repeats: self.repeats.clone(),
            modules: self.modules.clone(),
            sizes: self.sizes.clone(),
            definitions: self.definitions.clone(),
            reserved: self.reserved.clone(),
            ..Graph::default()
        }
    }

    pub(crate) fn definitions_mut(&mut self) -> &mut [Definition] {
        &mut self.definitions
    }

    pub(crate) fn push_loop(&mut self, body: Loop) {
        self.loops.push(body);
    }

    /// Goes to a scope, wherever the graph stands; gives back the one it stood in.
    pub fn move_to(&mut self, scope: Scope) -> Scope {
        std::mem::replace(&mut self.scope, scope)
    }

    pub(crate) fn node_mut(&mut self, var: Var) -> &mut Node {
        &mut self.nodes[var.index()]
    }

    /// Declares a scope whose content is repeated `count` times; enter it to make the layers'
    /// parameters, one set for each iteration, and record the body with [`Graph::repeat`].
    pub fn repeated(&mut self, name: &str, count: impl Into<Poly>) -> Scope {
        self.repeated_as(name, "*", count.into())
    }

    /// The same where paths number the iterations from `first` on: the layers after others that are
    /// recorded apart.
    pub fn repeated_from(&mut self, name: &str, first: u64, count: impl Into<Poly>) -> Scope {
        let numbers = if first == 0 { "*".to_owned() } else { format!("{first}+*") };
        self.repeated_as(name, &numbers, count.into())
    }

    /// The same where an iteration is a group of `stride` layers, whose numbers in paths are `stride`
    /// apart. [`Scope::at`] is one of them, [`Graph::repeated_at`] several that are equal.
    pub fn repeated_every(&mut self, name: &str, stride: u64, count: impl Into<Poly>) -> Scope {
        let numbers = if stride == 1 { "*".to_owned() } else { format!("{stride}*") };
        self.repeated_as(name, &numbers, count.into())
    }

    /// Declares `count` equal layers of a group, the first of which is its layer `first`.
    pub fn repeated_at(&mut self, group: &Scope, first: u64, count: impl Into<Poly>) -> Scope {
        let Scope { path: scope, .. } = group.at(first);
        let path = format!("{scope}+*");
        self.declare_repeat(
            group,
            Repeat { scope, path, count: count.into(), parent: group.repeat },
        )
    }

    /// The same whose iterations have this segment in paths, in which `*` stands for their number.
    pub(crate) fn repeated_as(&mut self, name: &str, numbers: &str, count: Poly) -> Scope {
        let here = self.scope.clone();
        let scope = here.join(name);
        let path = format!("{scope}.{numbers}");
        self.declare_repeat(&here, Repeat { scope, path, count, parent: here.repeat })
    }

    /// The scope of a repetition, else as the one around it.
    fn declare_repeat(&mut self, around: &Scope, repeat: Repeat) -> Scope {
        let path = repeat.path.clone();
        self.repeats.push(repeat);
        Scope { path, repeat: Some(RepeatId(self.repeats.len() - 1)), ..around.clone() }
    }

    /// Records an operation under `label`, or under the operation's own name when `label` is empty;
    /// the value is its first result.
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
        self.record_node(label, op.into(), inputs)
    }

    /// The same, with all its results.
    ///
    /// # Errors
    /// As [`Graph::record`].
    #[track_caller]
    pub fn record_all(
        &mut self,
        label: &str,
        op: impl Into<Op>,
        inputs: &[Var],
    ) -> Result<Vec<Var>, GraphError> {
        let first = self.record_node(label, op.into(), inputs)?;
        Ok(self.results(first).collect())
    }

    #[track_caller]
    fn record_node(&mut self, label: &str, op: Op, inputs: &[Var]) -> Result<Var, GraphError> {
        let label = if label.is_empty() { op.name() } else { label };
        let shapes: Vec<&Shape> = inputs.iter().map(|v| self.shape(*v)).collect();
        let signature = op.signature(&shapes).or_else(|problem| {
            // Sizes may be equal by definition only, as h and g·r are when h = g·r.
            let expanded: Vec<Shape> =
                shapes.iter().map(|s| self.definitions.expand_shape(s)).collect();
            op.signature(&expanded.iter().collect::<Vec<_>>()).map_err(|_| problem)
        });
        let mut results = match signature {
            Ok(results) => results,
            Err(problem) => return Err(self.error(&op, label, problem, inputs)),
        };
        for axis in results.iter_mut().flat_map(|shape| &mut shape.axes) {
            axis.size = self.definitions.fold(&axis.size);
        }
        let mut results = results.into_iter();
        let Some(shape) = results.next() else {
            let problem = ShapeError::Sizes("an operation without a result".to_owned());
            return Err(self.error(&op, label, problem, inputs));
        };
        let path = self.unique(label);
        let repeat = self.repetition_of(&op);
        self.nodes.push(Node {
            path,
            op,
            inputs: inputs.to_vec(),
            shape,
            further: results.collect(),
            repeat,
            module: self.scope.module,
            role: None,
            location: Location::caller(),
            line: self.scope.line.clone(),
            phase: self.scope.phase,
        });
        Ok(Var::first(self.nodes.len() - 1))
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

    /// That nothing stands for a value any more.
    #[track_caller]
    pub(crate) fn missing(&self, var: Var) -> GraphError {
        GraphError {
            path: self.scope.path.clone(),
            op: "rebuild",
            problem: ShapeError::Sizes(format!("nothing was recorded for the value {var}")),
            operands: String::new(),
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

    /// The first result of every node, in the order of the nodes.
    pub fn vars(&self) -> impl Iterator<Item = Var> {
        (0..self.nodes.len()).map(Var::first)
    }

    /// All results of the node of a value.
    pub fn results(&self, var: Var) -> impl Iterator<Item = Var> + use<> {
        (0..=self.node(var).further.len()).map(move |result| var.sibling(result))
    }

    /// The node of a value.
    pub fn node(&self, var: Var) -> &Node {
        &self.nodes[var.index()]
    }

    /// The shape of a value.
    pub fn shape(&self, var: Var) -> &Shape {
        let node = self.node(var);
        var.result().checked_sub(1).and_then(|at| node.further.get(at)).unwrap_or(&node.shape)
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

    /// All repetitions.
    pub fn repetitions(&self) -> &[Repeat] {
        &self.repeats
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

    /// Keeps names of sizes for those who give sizes: no definition that comes later is called so.
    ///
    /// ```
    /// # mod opledger { pub use opledger_ir::{self as ir, *}; pub use opledger_dims::*; }
    /// use opledger::{Graph, Poly};
    ///
    /// let mut g = Graph::new();
    /// g.reserve(["half".into()]);
    /// let half = g.floor_div("half", &Poly::symbol("n"), &2.into());
    /// assert_eq!(half.to_string(), "half_2");
    /// ```
    pub fn reserve(&mut self, names: impl IntoIterator<Item = Symbol>) {
        self.reserved.extend(names);
    }

    /// A symbol name that no definition uses yet and none may not: `stem`, or `stem_2`, `stem_3`, ….
    pub(crate) fn fresh(&self, stem: &str) -> Symbol {
        let defined = self.definitions.iter().flat_map(Definition::defines);
        let factors = self.definitions.iter().flat_map(|definition| match definition {
            Definition::Product { factors, .. } => &factors[..],
            _ => &[],
        });
        let taken: BTreeSet<&Symbol> = defined.chain(factors).chain(&self.reserved).collect();
        let names = std::iter::once(stem.to_owned()).chain((2..).map(|i| format!("{stem}_{i}")));
        names.map(Symbol::from).find(|s| !taken.contains(s)).unwrap_or_else(|| Symbol::new(stem))
    }

    /// Writes a polynomial with the products the graph declares, such as `c` for `h·e`.
    pub fn fold(&self, poly: &Poly) -> Poly {
        self.definitions.fold(poly)
    }
}

/// A copy, to be shared.
impl From<&Graph> for Arc<Graph> {
    fn from(graph: &Graph) -> Self {
        Arc::new(graph.clone())
    }
}

/// Reading sizes by a list of definitions.
trait Defined {
    /// A size with the products that are defined written by their names.
    fn fold(&self, poly: &Poly) -> Poly;

    /// A size with the names of products written out.
    fn expand(&self, poly: &Poly) -> Poly;

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

    fn expand(&self, poly: &Poly) -> Poly {
        let mut expanded = poly.clone();
        // A chain of definitions is no longer than the list.
        for _ in 0..self.len() {
            for definition in self {
                if let Definition::Product { whole, factors: [a, b] } = definition {
                    let product = Poly::symbol(a) * Poly::symbol(b);
                    expanded = expanded.substitute(whole, &product);
                }
            }
        }
        expanded
    }

    fn expand_shape(&self, shape: &Shape) -> Shape {
        let mut shape = shape.clone();
        for axis in &mut shape.axes {
            axis.size = self.expand(&axis.size);
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
