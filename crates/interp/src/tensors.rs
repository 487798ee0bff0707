//! The tensors of a graph: of every input and parameter, in every iteration.

use opledger_dims::{Binding, Poly};
use opledger_ir::ops::Source;
use opledger_ir::{Band, Definition, Graph, Node, Op, Value};

use crate::feeds::{below, check, integer};
use crate::program::sizes_at;
use crate::{Feeds, Instance, RunError};

/// The tensors of all sources of a graph.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// For every source, those of its iterations; none for other nodes.
    nodes: Vec<Vec<Fed>>,
}

/// The tensor of a source in one of its iterations.
#[derive(Clone, Debug)]
pub struct Fed {
    /// The path of the source in its iteration, such as `layers.3.linear1.weight`.
    pub path: String,
    /// The tensor.
    pub value: Value<f32>,
}

/// Tensors that take the place of others.
pub(crate) struct Changes {
    /// By node.
    tensors: Vec<(usize, Vec<Fed>)>,
    /// The binding with what only mask tensors tell.
    pub(crate) binding: Binding,
}

impl Tensors {
    /// Gives or draws the tensor of every source at a complete binding.
    ///
    /// # Errors
    /// When a tensor given does not fit or is not taken.
    pub fn new(graph: &Graph, binding: &Binding, feeds: &Feeds) -> Result<Self, RunError> {
        let mut tensors = Tensors::none(graph);
        let changes = tensors.changes(graph, (&Binding::new(), binding), feeds, &[])?;
        tensors.apply(changes);
        Ok(tensors)
    }

    /// No tensors yet.
    pub(crate) fn none(graph: &Graph) -> Self {
        Tensors { nodes: vec![Vec::new(); graph.nodes().len()] }
    }

    /// What changes when a graph goes from one complete binding to another and is fed anew: tensors
    /// whose sizes stay the same stay unless `feeds` gives others; the rest is given or drawn, but for
    /// the sources left out.
    pub(crate) fn changes(
        &self,
        graph: &Graph,
        (old, new): (&Binding, &Binding),
        feeds: &Feeds,
        without: &[usize],
    ) -> Result<Changes, RunError> {
        let mut tensors: Vec<(usize, Vec<Fed>)> = Vec::new();
        for (at, node) in graph.nodes().iter().enumerate() {
            let Op::Source(source) = &node.op else { continue };
            if !without.contains(&at) {
                let change = Change { source, node, before: &self.nodes[at], old, new, feeds };
                tensors.extend(change.tensors(graph)?.map(|tensors| (at, tensors)));
            }
        }
        let after = |node: usize| {
            let changed = tensors.iter().find(|(at, _)| *at == node);
            changed.map_or(&self.nodes[node][..], |(_, tensors)| tensors)
        };
        let all = || (0..self.nodes.len()).flat_map(after).map(|fed| fed.path.as_str());
        if let Some(path) = feeds.paths().find(|path| !all().any(|known| known == *path)) {
            let mut known: Vec<&str> = all().collect();
            known.sort_unstable();
            known.truncate(20);
            return Err(RunError::FeedUnknown { path: path.to_owned(), known: known.join(", ") });
        }
        let mut binding = new.clone();
        measure_masks(graph, &mut binding, after)?;
        Ok(Changes { tensors, binding })
    }

    /// Puts tensors into their places.
    pub(crate) fn apply(&mut self, changes: Changes) {
        for (node, tensors) in changes.tensors {
            self.nodes[node] = tensors;
        }
    }

    /// All tensors, with the positions of their nodes, in the order of the graph.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Fed)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.flat_map(|(at, tensors)| tensors.iter().map(move |fed| (at, fed)))
    }

    /// The tensor of a source, by its path.
    pub fn get(&self, path: &str) -> Option<&Value<f32>> {
        self.iter().find(|(_, fed)| fed.path == path).map(|(_, fed)| &fed.value)
    }

    /// The tensor of an instance of a source.
    pub(crate) fn of(&self, instance: Instance) -> Option<&Value<f32>> {
        self.nodes[instance.node].get(instance.iteration).map(|fed| &fed.value)
    }
}

/// A source whose sizes or tensors may change.
struct Change<'a> {
    node: &'a Node,
    source: &'a Source,
    before: &'a [Fed],
    old: &'a Binding,
    new: &'a Binding,
    feeds: &'a Feeds,
}

impl Change<'_> {
    /// The tensors of all iterations afterwards; `None` when all stay.
    fn tensors(&self, graph: &Graph) -> Result<Option<Vec<Fed>>, RunError> {
        let Change { node, source, before, old, new, feeds } = *self;
        let wrong = |problem| RunError::of(node, problem);
        let sizes = sizes_at(&node.shape, new).map_err(wrong)?;
        let same = before.first().is_some_and(|fed| fed.value.shape() == sizes)
            && below(source, old)? == below(source, new)?;
        let times = graph.multiplicity(node);
        if same
            && times.at(old).ok() == times.at(new).ok()
            && (feeds.gives_none() || !before.iter().any(|fed| feeds.gives(&fed.path)))
        {
            return Ok(None);
        }
        let paths = graph.instances(node, new).map_err(wrong)?.into_iter();
        let fed = paths.enumerate().map(|(at, path)| {
            let before = before.get(at).filter(|fed| same && fed.path == path);
            let value = match (feeds.given(&path), before) {
                (Some(given), _) => {
                    check(node, source, &path, new, given)?;
                    given.clone()
                }
                (None, Some(fed)) => fed.value.clone(),
                (None, None) => feeds.draw(source, &path, &sizes, new)?,
            };
            Ok(Fed { path, value })
        });
        fed.collect::<Result<_, RunError>>().map(Some)
    }
}

/// Counts, by looking at every pair, what mask tensors leave.
fn measure_masks<'t>(
    graph: &Graph,
    binding: &mut Binding,
    tensors: impl Fn(usize) -> &'t [Fed],
) -> Result<(), RunError> {
    for definition in graph.definitions() {
        let Definition::Kept { pairs, rows, keep, queries, offset, window } = definition else {
            continue;
        };
        let tensor = match tensors(keep.index()) {
            [fed] => fed.value.index(),
            _ => None,
        };
        let Some(keep) = tensor else {
            let problem = "a key mask must be an input of the graph".to_owned();
            let path = graph.node(*keep).path.clone();
            return Err(RunError::FeedElements { path, problem });
        };
        let size = |p: &Option<Poly>| p.as_ref().map(|p| integer(p, binding)).transpose();
        let band = Band { offset: size(offset)?, window: size(window)? };
        let keys = keep.shape().last().copied().unwrap_or(0);
        let queries = integer(queries, binding)? as usize;
        let (mut seen_pairs, mut seen_rows) = (0_u64, 0_u64);
        for item in keep.data().chunks(keys.max(1)) {
            for query in 0..queries {
                let seen = item[band.keys(query, keys)].iter().filter(|k| **k != 0).count();
                seen_pairs += seen as u64;
                seen_rows += u64::from(seen > 0);
            }
        }
        binding.set(pairs, seen_pairs).set(rows, seen_rows);
    }
    Ok(())
}
