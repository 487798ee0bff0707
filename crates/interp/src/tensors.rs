//! The tensors of a graph: of every input and parameter, in every iteration.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Integer, Poly, Symbol};
use opledger_ir::{
    BindingError, Definition, Elem, Graph, Kind, Node, Op, OpError, Value, Var, ops,
};
use opledger_kernels::{KernelError, WeightType};

use crate::error::RunError;
use crate::feeds::{Feeds, below, check};
use crate::memory::bytes_of;
use crate::program::{Instance, sizes_at};
use crate::weight::{Held, Weight, WeightLayout};

/// The tensors of all sources of a graph.
#[derive(Clone, Debug)]
pub struct Tensors {
    nodes: Vec<OfNode>,
}

/// The tensors of one node.
#[derive(Clone, Debug)]
struct OfNode {
    /// Those of its iterations; none of a node that is no source, or of one that runs are given.
    fed: Vec<Fed>,
    /// How a parameter lies in memory; none of what is fed as it is.
    layout: Option<WeightLayout>,
    /// The symbols that decide how many there are, their sizes, and what ids are below.
    symbols: Option<Vec<Symbol>>,
}

/// The tensor of a source in one of its iterations.
#[derive(Clone, Debug)]
pub struct Fed {
    /// The path of the source in its iteration, such as `layers.3.linear1.weight`.
    pub path: String,
    pub(crate) held: Held,
}

impl Fed {
    /// The size along each axis.
    pub fn shape(&self) -> &[usize] {
        self.held.shape()
    }

    /// The tensor; a parameter that is kept as a [`Weight`] is unpacked into a new one.
    pub fn value(&self) -> Value<f32> {
        self.held.value()
    }

    /// The weight, if it is kept as one.
    pub fn weight(&self) -> Option<&Weight> {
        match &self.held {
            Held::Weight(weight) => Some(weight),
            Held::Plain(_) => None,
        }
    }

    /// Bytes of its elements in memory.
    pub fn bytes(&self) -> u64 {
        match &self.held {
            Held::Plain(value) => bytes_of(value),
            Held::Weight(weight) => weight.bytes() as u64,
        }
    }
}

/// Bytes that a tensor takes beside its elements: its path, its shape, the heads of three buffers, and its
/// place in the lists of its node, before and after. A run of tensors of one element tells them.
const BESIDE: u32 = 512;

/// The sources of which some tensor does not stay.
pub(crate) struct Moved {
    sources: Vec<Source>,
    drawn_bytes: Integer,
}

struct Source {
    node: usize,
    /// Whether tensors that are not given stay.
    same: bool,
}

/// Tensors that take the place of others.
pub(crate) struct Changes {
    /// By node.
    tensors: Vec<(usize, Vec<Fed>)>,
    /// The binding with what only mask tensors tell.
    pub(crate) binding: Binding,
}

impl Moved {
    /// Bytes of the tensors to be drawn, and of what stands beside the elements of all that move.
    pub(crate) fn drawn_bytes(&self) -> &Integer {
        &self.drawn_bytes
    }
}

impl Tensors {
    /// Gives or draws the tensor of every source at a complete binding.
    ///
    /// # Errors
    /// When a tensor given does not fit or is not taken.
    pub fn new(graph: &Graph, binding: &Binding, feeds: &Feeds) -> Result<Self, RunError> {
        let mut tensors = Tensors::none(graph, &[]);
        let moved = tensors.moved(graph, (&Binding::new(), binding), feeds)?;
        let changes = tensors.changes(graph, moved, binding, feeds)?;
        tensors.apply(changes);
        Ok(tensors)
    }

    /// No tensors yet, and never any for the sources that runs are given.
    pub(crate) fn none(graph: &Graph, given: &[usize]) -> Self {
        let layouts = WeightLayout::of(graph);
        let node = |(at, node): (usize, &Node)| {
            let source = source_of(node).filter(|_| !given.contains(&at));
            let symbols = source.map(|source| {
                let below = match source {
                    ops::Source::Ids { below, .. } => Some(below),
                    ops::Source::Whole { .. }
                    | ops::Source::Visible { .. }
                    | ops::Source::Known { .. }
                    | ops::Source::Input { .. }
                    | ops::Source::Buffer { .. }
                    | ops::Source::Param { .. } => None,
                };
                let sizes = node.shape.axes.iter().map(|axis| &axis.size).chain(below);
                let times = graph.multiplicity(node);
                let symbols: BTreeSet<Symbol> =
                    sizes.chain([&times]).flat_map(Poly::symbols).collect();
                symbols.into_iter().collect()
            });
            OfNode { fed: Vec::new(), layout: layouts[at], symbols }
        };
        Tensors { nodes: graph.nodes().iter().enumerate().map(node).collect() }
    }

    /// What does not stay when a graph goes from one complete binding to another and is fed anew:
    /// tensors whose sizes change and those that are given.
    pub(crate) fn moved(
        &self,
        graph: &Graph,
        (old, new): (&Binding, &Binding),
        feeds: &Feeds,
    ) -> Result<Moved, RunError> {
        let mut moved = Moved { sources: Vec::new(), drawn_bytes: Integer::default() };
        let mut number = Integer::default();
        let [plain, weights] = feeds.bytes();
        // A plain tensor that is given is shared, but where it becomes a weight.
        let mut shared = Integer::default();
        for (at, (node, of)) in graph.nodes().iter().zip(&self.nodes).enumerate() {
            let (Some(source), Some(symbols)) = (source_of(node), &of.symbols) else { continue };
            let gives = !feeds.gives_none() && of.fed.iter().any(|fed| feeds.gives(&fed.path));
            let stays = |symbol: &Symbol| old.get(symbol) == new.get(symbol);
            if !of.fed.is_empty() && !gives && symbols.iter().all(stays) {
                continue;
            }
            let sizes = node.shape.axes.iter().map(|axis| axis.size.at(new));
            let sizes: Vec<Integer> =
                sizes.collect::<Result<_, _>>().map_err(BindingError::from)?;
            let held = |fed: &Fed| {
                let held = fed.shape().iter().map(|size| Integer::from(*size));
                held.eq(sizes.iter().cloned())
            };
            let same =
                of.fed.first().is_some_and(held) && below(source, old)? == below(source, new)?;
            let times = graph.multiplicity(node).at(new).map_err(BindingError::from)?;
            if same && !gives && times == of.fed.len().into() {
                continue;
            }
            if !same {
                let each = match node.shape.elem.kind() {
                    Kind::Real => size_of::<f32>(),
                    Kind::Whole => size_of::<i64>(),
                };
                let bytes = sizes.iter().product::<Integer>() * each * &times;
                let packed = of.layout.and_then(|layout| {
                    let sizes: Option<Vec<usize>> =
                        sizes.iter().map(|size| usize::try_from(size).ok()).collect();
                    layout.bytes(&sizes?, WeightType::F32)
                });
                moved.drawn_bytes += match (of.layout, packed) {
                    (Some(_), Some(packed)) => &times * packed,
                    (Some(_), None) => bytes,
                    (None, _) => {
                        shared += &bytes;
                        bytes
                    }
                };
            }
            number += times;
            moved.sources.push(Source { node: at, same });
        }
        // What is given is in memory already.
        let given = (plain.min(shared) + weights).min(moved.drawn_bytes.clone());
        moved.drawn_bytes -= given;
        moved.drawn_bytes += number * BESIDE;
        Ok(moved)
    }

    /// Gives or draws what does not stay at the new binding.
    pub(crate) fn changes(
        &self,
        graph: &Graph,
        moved: Moved,
        binding: &Binding,
        feeds: &Feeds,
    ) -> Result<Changes, RunError> {
        let mut tensors: Vec<(usize, Vec<Fed>)> = Vec::with_capacity(moved.sources.len());
        for moved in moved.sources {
            let node = &graph.nodes()[moved.node];
            tensors.push((
                moved.node,
                moved.tensors(graph, node, &self.nodes[moved.node], binding, feeds)?,
            ));
        }
        let after = |node: usize| {
            let changed = tensors.iter().find(|(at, _)| *at == node);
            changed.map_or(&self.nodes[node].fed[..], |(_, tensors)| tensors)
        };
        let all = || (0..self.nodes.len()).flat_map(after).map(|fed| fed.path.as_str());
        if let Some(path) = feeds.paths().find(|path| !all().any(|known| known == *path)) {
            let mut known: Vec<&str> = all().collect();
            known.sort_unstable();
            known.truncate(20);
            return Err(RunError::FeedUnknown { path: path.to_owned(), known: known.join(", ") });
        }
        let mut binding = binding.clone();
        measure_masks(graph, &mut binding, after)?;
        Ok(Changes { tensors, binding })
    }

    /// Puts tensors into their places.
    pub(crate) fn apply(&mut self, changes: Changes) {
        for (node, tensors) in changes.tensors {
            self.nodes[node].fed = tensors;
        }
    }

    /// All tensors, with the positions of their nodes, in the order of the graph.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Fed)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.flat_map(|(at, node)| node.fed.iter().map(move |fed| (at, fed)))
    }

    /// The tensor of a source, by its path, as [`Fed::value`] gives it.
    pub fn get(&self, path: &str) -> Option<Value<f32>> {
        self.iter().find(|(_, fed)| fed.path == path).map(|(_, fed)| fed.value())
    }

    /// Bytes of all tensors in memory.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(_, fed)| fed.bytes()).sum()
    }

    /// The tensor of an instance of a source.
    pub(crate) fn of(&self, instance: Instance) -> Option<&Held> {
        self.nodes[instance.node].fed.get(instance.iteration).map(|fed| &fed.held)
    }

    /// The types of the weights that are in memory in another than `f32`, by their nodes; of several types
    /// among iterations the bytes of all.
    pub(crate) fn narrow(&self) -> impl Iterator<Item = (usize, Elem)> {
        let of = |(at, node): (usize, &OfNode)| {
            let elem = |fed: &Fed| fed.weight().map_or(Elem::F32, Weight::elem);
            let first = elem(node.fed.first()?);
            let one = node.fed.iter().all(|fed| elem(fed) == first);
            Some((at, if one { first } else { all_together(node.fed.iter().map(elem)) }))
        };
        self.nodes.iter().enumerate().filter_map(of).filter(|(_, elem)| *elem != Elem::F32)
    }
}

impl Source {
    /// The tensors of all iterations at the new binding.
    fn tensors(
        &self,
        graph: &Graph,
        node: &Node,
        of: &OfNode,
        binding: &Binding,
        feeds: &Feeds,
    ) -> Result<Vec<Fed>, RunError> {
        let Some(source) = source_of(node) else { return Ok(Vec::new()) };
        let wrong = |problem| RunError::of(node, problem);
        let sizes = sizes_at(&node.shape, binding).map_err(wrong)?;
        let paths = graph.instances(node, binding).map_err(wrong)?;
        let fed = paths.into_iter().enumerate().map(|(at, path)| {
            let before = of.fed.get(at).filter(|fed| self.same && fed.path == path);
            let held = match (feeds.given(&path), before) {
                (Some(given), _) => {
                    check(node, source, &path, binding, given)?;
                    given.clone()
                }
                (None, Some(fed)) => fed.held.clone(),
                (None, None) => Held::Plain(feeds.draw(source, &path, &sizes, binding)?),
            };
            let held = laid_out(held, of.layout).map_err(|problem| RunError::FeedElements {
                path: path.clone(),
                problem: problem.to_string(),
            })?;
            Ok(Fed { path, held })
        });
        let mut fed: Vec<Fed> = fed.collect::<Result<_, RunError>>()?;
        // A node has one type in all iterations, or blocks of several.
        let types = |fed: &[Fed]| fed.iter().map(|fed| fed.weight().map(Weight::elem)).collect();
        let types: BTreeSet<Option<Elem>> = types(&fed);
        let blocks = types.iter().any(|elem| matches!(elem, Some(Elem::Blocks { .. })));
        if types.len() > 1 && !blocks {
            for fed in &mut fed {
                let plain = Held::Plain(fed.value());
                fed.held = laid_out(plain, of.layout).map_err(|problem| {
                    RunError::FeedElements { path: fed.path.clone(), problem: problem.to_string() }
                })?;
            }
        }
        Ok(fed)
    }
}

/// The type of as many elements of each of some types.
fn all_together(elems: impl Iterator<Item = Elem>) -> Elem {
    let (mut elements, mut bytes) = (1_u64, 0_u64);
    for (at, elem) in elems.enumerate() {
        let (own, of) = elem.ratio();
        let (own, of, before) = (u64::from(own), u64::from(of), at as u64);
        // The mean of those before and this one.
        (bytes, elements) = (bytes * before * of + own * elements, elements * of * (before + 1));
        let common = gcd(bytes, elements);
        (bytes, elements) = (bytes / common, elements / common);
    }
    // Types have powers of two for denominators, and layers are few.
    let narrow = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
    Elem::Blocks { elements: narrow(elements), bytes: narrow(bytes) }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// A tensor as a layout has it.
fn laid_out(held: Held, layout: Option<WeightLayout>) -> Result<Held, KernelError> {
    let plain = match held {
        // A table may lie in the panels of the matrix that it is to another graph.
        Held::Weight(weight) if layout.is_some_and(|layout| weight.layout().serves(layout)) => {
            return Ok(Held::Weight(weight));
        }
        held => held.value(),
    };
    let packed = match (layout, &plain) {
        (Some(layout), Value::Real(tensor)) => Weight::pack(layout, tensor)?,
        _ => None,
    };
    Ok(packed.map_or(Held::Plain(plain), Held::Weight))
}

fn source_of(node: &Node) -> Option<&ops::Source> {
    match &node.op {
        Op::Source(source) => Some(source),
        _ => None,
    }
}

/// Adds to the sizes of a graph what its mask tensors leave, where these follow from inputs that are given
/// by their paths, by looking at every pair: nothing is executed.
///
/// # Errors
/// When a mask follows from what is not given, or a number does not fit its operation.
pub fn mask_sizes(
    graph: &Graph,
    binding: &mut Binding,
    given: &BTreeMap<String, Value<f32>>,
) -> Result<(), RunError> {
    measure(graph, binding, &|var| given.get(&graph.node(var).path).cloned())
}

/// Counts what mask tensors leave.
fn measure_masks<'t>(
    graph: &Graph,
    binding: &mut Binding,
    tensors: impl Fn(usize) -> &'t [Fed],
) -> Result<(), RunError> {
    measure(graph, binding, &|var| match tensors(var.index()) {
        [fed] => Some(fed.value()),
        _ => None,
    })
}

fn measure(
    graph: &Graph,
    binding: &mut Binding,
    given: &dyn Fn(Var) -> Option<Value<f32>>,
) -> Result<(), RunError> {
    for definition in graph.definitions() {
        let Definition::Kept { keep, .. } = definition else { continue };
        let node = graph.node(*keep);
        let wrong = |problem: OpError| RunError::of(node, problem);
        let tensor = graph.whole_numbers(*keep, binding, given).map_err(wrong)?;
        let Some(tensor) = tensor else {
            let problem = "what a mask hides must follow from whole numbers that are inputs of \
                           the graph, outside its repetitions"
                .to_owned();
            return Err(RunError::FeedElements { path: node.path.clone(), problem });
        };
        definition.measure(&tensor, binding).map_err(wrong)?;
    }
    Ok(())
}
