//! Layers that were written out one after the other, found and recorded once.
//!
//! A run is a sequence of equal blocks of nodes under `layers.0`, `layers.1`, … or `layers.block_0`,
//! `layers.block_1`, …: the same operations on the same shapes, each reading its own block, what the block before hands over, parameters of its
//! own, and what is the same for all. Only what is handed over is read after the last block. Paths
//! say where to look; whether blocks are equal, nodes and edges say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opledger_dims::Poly;

use crate::graph::{Graph, Node, Scan, ScanValues, Scope};
use crate::{Definition, GraphError, Var};

/// A graph in which runs of equal layers are repetitions.
#[derive(Clone, Debug)]
pub struct Rerolled {
    /// The graph.
    pub graph: Graph,
    /// What stands for the first result of each old node; none for what stands in a later iteration.
    pub made: Vec<Option<Var>>,
    /// The repetitions: the path of the scope up to its number, such as `model.layers.`, and how often it
    /// runs.
    pub runs: Vec<(String, usize)>,
}

/// Where a path of the old graph lies in a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InRun<'r> {
    /// The repetition, by its place among [`Rerolled::runs`].
    pub run: usize,
    /// The path of its scope up to its number.
    pub scope: &'r str,
    /// How often it runs.
    pub count: usize,
    /// In which iteration the path lies.
    pub iteration: usize,
    /// What the path is called in every iteration.
    pub path: String,
}

impl Rerolled {
    /// Where a path lies, if it is under a repeated scope.
    pub fn in_run(&self, path: &str) -> Option<InRun<'_>> {
        self.runs.iter().enumerate().find_map(|(run, (scope, count))| {
            let iteration = (0..*count).find(|at| rest_of(path, scope, *at).is_some())?;
            let path = starred(path, scope, iteration);
            Some(InRun { run, scope, count: *count, iteration, path })
        })
    }
}

/// A result of a node of a block, by its place there.
type Place = (usize, usize);

/// Equal blocks.
struct Run {
    /// What stands before the number of a block.
    prefix: String,
    /// The nodes of each block.
    blocks: Vec<Vec<usize>>,
    /// What each block hands to the next, and what the first is given.
    carried: BTreeMap<Place, Var>,
    /// Which operands, by the place of their node and their own, are handed over.
    handed: BTreeMap<(usize, usize), Place>,
    /// The sources that each block has for itself: for each of them that of every block.
    own: BTreeMap<String, Vec<usize>>,
}

/// Where an operand comes from, as seen from its block.
#[derive(PartialEq)]
enum Origin<'g> {
    Inside(Place),
    Before(Place),
    Own(&'g str),
    Outside(Var),
}

impl Run {
    /// The block and the place of a node.
    fn places(&self) -> HashMap<usize, (usize, usize)> {
        let of = |(block, nodes): (usize, &Vec<usize>)| {
            let place = move |(place, node): (usize, &usize)| (*node, (block, place));
            nodes.iter().enumerate().map(place).collect::<Vec<_>>()
        };
        self.blocks.iter().enumerate().flat_map(of).collect()
    }
}

/// What a path under an iteration is called in every iteration.
fn starred(path: &str, prefix: &str, iteration: usize) -> String {
    match rest_of(path, prefix, iteration) {
        Some("") | None => format!("{prefix}*"),
        Some(rest) => format!("{prefix}*.{rest}"),
    }
}

/// What follows the prefix and the number of a block in a path that stands there.
fn rest_of<'p>(path: &'p str, prefix: &str, block: usize) -> Option<&'p str> {
    let below = path.strip_prefix(prefix)?;
    let (index, rest) = below.split_once('.').unwrap_or((below, ""));
    (index == block.to_string()).then_some(rest)
}

impl Graph {
    /// The graph with every run of equal layers recorded once; none where there is no run.
    ///
    /// # Errors
    /// None that a graph recorded by this crate has: copies fit as the originals did.
    pub fn rerolled(&self) -> Result<Option<Rerolled>, GraphError> {
        let runs = self.runs();
        if runs.is_empty() || !self.loops().is_empty() {
            return Ok(None);
        }
        let mut to = Copy { graph: self.frame(), made: vec![Vec::new(); self.nodes().len()] };
        let of_run: BTreeSet<usize> = runs
            .iter()
            .flat_map(|run| run.own.values().chain(&run.blocks))
            .flatten()
            .copied()
            .collect();
        for at in 0..self.nodes().len() {
            if let Some(run) = runs.iter().find(|run| run.blocks[0].first() == Some(&at)) {
                let last = run.blocks.iter().flatten().max().copied().unwrap_or(at);
                for at in at..last {
                    let source = &self.nodes()[at];
                    if source.op.is_source() && !of_run.contains(&at) && to.made[at].is_empty() {
                        to.node(self, at)?;
                    }
                }
                to.run(self, run)?;
            } else if !of_run.contains(&at) && to.made[at].is_empty() {
                to.node(self, at)?;
            }
        }
        to.finish(self, &runs).map(Some)
    }

    /// The runs of equal layers, none within another.
    fn runs(&self) -> Vec<Run> {
        // The computed nodes under each number, for each prefix of numbers.
        let mut scopes: BTreeMap<(usize, String), BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
        for (at, node) in self.nodes().iter().enumerate().filter(|(_, node)| !node.op.is_source()) {
            let segments: Vec<&str> = node.path.split('.').collect();
            for (depth, segment) in segments.iter().enumerate().skip(1) {
                let stem = segment.trim_end_matches(|c: char| c.is_ascii_digit());
                if let Ok(index) = segment[stem.len()..].parse::<usize>() {
                    let prefix = format!("{}.{stem}", segments[..depth].join("."));
                    scopes.entry((depth, prefix)).or_default().entry(index).or_default().push(at);
                }
            }
        }
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        let mut runs = Vec::new();
        for ((_, prefix), blocks) in scopes {
            let counted_up = blocks.keys().copied().eq(0..blocks.len());
            let blocks: Vec<Vec<usize>> = blocks.into_values().collect();
            let free = blocks.iter().flatten().all(|node| !taken.contains(node));
            if blocks.len() < 2 || !counted_up || !free {
                continue;
            }
            let (carried, handed, own) = Default::default();
            let run = Run { prefix, blocks, carried, handed, own };
            if let Some(run) = self.checked(run) {
                taken.extend(run.blocks.iter().flatten());
                runs.push(run);
            }
        }
        runs
    }

    /// The run with what its blocks hand over and have for themselves, if they are equal.
    fn checked(&self, mut run: Run) -> Option<Run> {
        let nodes = self.nodes();
        let inside: Vec<usize> = run.blocks.concat();
        if run.blocks.iter().any(|block| block.len() != run.blocks[0].len()) {
            return None;
        }
        let (first, last) = (*inside.first()?, *inside.last()?);
        let computed = (first..=last).filter(|at| !nodes[*at].op.is_source());
        if !computed.eq(inside.iter().copied()) {
            return None;
        }
        let places = run.places();
        for place in 0..run.blocks[0].len() {
            let at = |block: usize| Some(&nodes[*run.blocks[block].get(place)?]);
            let model = at(0)?;
            let path = rest_of(&model.path, &run.prefix, 0)?;
            for block in 1..run.blocks.len() {
                let node = at(block)?;
                let equal = node.op == model.op
                    && node.inputs.len() == model.inputs.len()
                    && node.results().eq(model.results())
                    && (node.role, node.module) == (model.role, model.module)
                    && rest_of(&node.path, &run.prefix, block) == Some(path);
                if !equal {
                    return None;
                }
            }
            for operand in 0..model.inputs.len() {
                let origins = (0..run.blocks.len())
                    .map(|block| self.origin(&run, &places, block, at(block)?.inputs[operand]));
                let origins: Vec<Origin<'_>> = origins.collect::<Option<_>>()?;
                let [first, later @ ..] = &origins[..] else { return None };
                match (first, later) {
                    (Origin::Outside(initial), [Origin::Before(from), ..])
                        if later.iter().all(|origin| *origin == later[0]) =>
                    {
                        let known = run.carried.insert(*from, *initial);
                        if known.is_some_and(|known| known != *initial) {
                            return None;
                        }
                        run.handed.insert((place, operand), *from);
                    }
                    (Origin::Own(name), _) if later.iter().all(|origin| origin == first) => {
                        let source = |block: usize| Some(at(block)?.inputs[operand].index());
                        let of: Vec<usize> =
                            (0..run.blocks.len()).map(source).collect::<Option<_>>()?;
                        let name = (*name).to_owned();
                        if run.own.get(&name).is_some_and(|known| *known != of) {
                            return None;
                        }
                        run.own.insert(name, of);
                    }
                    (Origin::Inside(_) | Origin::Outside(_), _)
                        if later.iter().all(|origin| origin == first) => {}
                    _ => return None,
                }
            }
        }
        self.is_closed(&run, &places).then_some(run)
    }

    fn origin<'g>(
        &'g self,
        run: &Run,
        places: &HashMap<usize, (usize, usize)>,
        block: usize,
        var: Var,
    ) -> Option<Origin<'g>> {
        if let Some((from, place)) = places.get(&var.index()) {
            let place = (*place, var.result());
            return match block.checked_sub(*from) {
                Some(0) => Some(Origin::Inside(place)),
                Some(1) => Some(Origin::Before(place)),
                _ => None,
            };
        }
        let node = self.node(var);
        let own = node.op.is_source().then(|| rest_of(&node.path, &run.prefix, block)).flatten();
        Some(own.map_or(Origin::Outside(var), Origin::Own))
    }

    /// Whether nothing outside reads what a block computes or has for itself, but what the last hands
    /// over.
    fn is_closed(&self, run: &Run, places: &HashMap<usize, (usize, usize)>) -> bool {
        let last = run.blocks.len() - 1;
        let own: BTreeSet<usize> = run.own.values().flatten().copied().collect();
        let readable = |var: Var| match places.get(&var.index()) {
            Some((block, place)) => {
                *block == last && run.carried.contains_key(&(*place, var.result()))
            }
            None => !own.contains(&var.index()),
        };
        let kept = self.definitions().iter().filter_map(|definition| match definition {
            Definition::Kept { keep, .. } => Some(*keep),
            _ => None,
        });
        let outside = self.nodes().iter().enumerate().filter(|(at, _)| !places.contains_key(at));
        let read = outside.flat_map(|(_, node)| node.inputs.iter().copied());
        let equal_sources = run.own.values().all(|of| {
            let source = |at: &usize| (&self.nodes()[*at].op, &self.nodes()[*at].shape);
            of.iter().all(|at| source(at) == source(&of[0]))
        });
        let shapes = run.carried.iter().all(|((place, result), initial)| {
            let node = &self.nodes()[run.blocks[0][*place]];
            node.results().nth(*result) == Some(self.shape(*initial))
        });
        let outputs = self.outputs().iter().map(|(_, var)| *var);
        equal_sources && shapes && read.chain(outputs).chain(kept).all(readable)
    }
}

/// The graph that is made.
struct Copy {
    graph: Graph,
    /// For each old node, what stands for its results.
    made: Vec<Vec<Var>>,
}

impl Copy {
    /// Records a node as it was.
    fn node(&mut self, from: &Graph, at: usize) -> Result<(), GraphError> {
        let node = &from.nodes()[at];
        let operands = node.inputs.iter().map(|var| of(&self.graph, &self.made, *var));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        self.made[at] = self.graph.copy_node(node, &operands)?;
        Ok(())
    }

    /// Records a run: the sources of one iteration, and the first block as the body.
    fn run(&mut self, from: &Graph, run: &Run) -> Result<(), GraphError> {
        let Copy { graph, made } = self;
        let (within, stem) = run.prefix.rsplit_once('.').unwrap_or(("", &run.prefix));
        let (outside, name) = within.rsplit_once('.').unwrap_or(("", within));
        let outer = graph.move_to(Scope { path: outside.to_owned(), ..Scope::default() });
        let count = Poly::from(run.blocks.len() as u64);
        let scope = graph.repeated_as(name, &format!("{stem}*"), count);
        graph.move_to(outer);
        let repeated = |at: usize| {
            let node = &from.nodes()[at];
            Node { path: starred(&node.path, &run.prefix, 0), repeat: scope.repeat, ..node.clone() }
        };
        for own in run.own.values() {
            made[own[0]] = graph.copy_node(&repeated(own[0]), &[])?;
        }
        let carried = run.carried.values().map(|initial| of(graph, made, *initial));
        let scan = Scan { carried: carried.collect::<Result<_, _>>()?, ..Scan::default() };
        let results = graph.scan(&scope, &scan, |graph, entering| -> Result<_, GraphError> {
            let entered: BTreeMap<&Place, &Var> =
                run.carried.keys().zip(&entering.carried).collect();
            for (place, &at) in run.blocks[0].iter().enumerate() {
                let inputs = from.nodes()[at].inputs.iter().enumerate();
                let operands =
                    inputs.map(|(operand, var)| match run.handed.get(&(place, operand)) {
                        Some(from) => Ok(*entered[from]),
                        None => of(graph, made, *var),
                    });
                let operands = operands.collect::<Result<Vec<_>, _>>()?;
                made[at] = graph.copy_node(&repeated(at), &operands)?;
            }
            let leaving = run.carried.keys().map(|(place, result)| {
                let node = &made[run.blocks[0][*place]];
                node.get(*result).copied().ok_or_else(|| graph.missing(entering.carried[0]))
            });
            let carried = leaving.collect::<Result<_, _>>()?;
            Ok(ScanValues { carried, stacked: Vec::new() })
        })?;
        let last = &run.blocks[run.blocks.len() - 1];
        for ((place, result), var) in run.carried.keys().zip(results.carried) {
            let made = &mut made[last[*place]];
            made.resize(made.len().max(result + 1), var);
            made[*result] = var;
        }
        Ok(())
    }

    /// The graph with its definitions and outputs.
    fn finish(mut self, from: &Graph, runs: &[Run]) -> Result<Rerolled, GraphError> {
        let Copy { graph, made } = &mut self;
        for (at, definition) in from.definitions().iter().enumerate() {
            if let Definition::Kept { keep, .. } = definition {
                let var = of(graph, made, *keep)?;
                if let Some(Definition::Kept { keep, .. }) = graph.definitions_mut().get_mut(at) {
                    *keep = var;
                }
            }
        }
        for (name, var) in from.outputs() {
            let var = of(graph, made, *var)?;
            graph.output(name, var);
        }
        let made = made.iter().map(|results| results.first().copied()).collect();
        let runs = runs.iter().map(|run| (run.prefix.clone(), run.blocks.len())).collect();
        Ok(Rerolled { graph: self.graph, made, runs })
    }
}

fn of(graph: &Graph, made: &[Vec<Var>], var: Var) -> Result<Var, GraphError> {
    let found = made.get(var.index()).and_then(|results| results.get(var.result()));
    found.copied().ok_or_else(|| graph.missing(var))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Activation;
    use crate::ops::Source;

    /// Layers written out: a product, a shift that all share, and the first value once more.
    fn unrolled(layers: usize, odd: Option<usize>, first: usize) -> Graph {
        under("model.layers.", layers, odd, first)
    }

    fn under(prefix: &str, layers: usize, odd: Option<usize>, first: usize) -> Graph {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "c"]).unwrap();
        let shift = g.input("shift", ["c"]).unwrap();
        let mut weights = Vec::new();
        for layer in first..first + layers {
            let path = format!("{prefix}{layer}.up.weight");
            weights.push(g.param(&path, Source::weight("c"), [("d", "c"), ("c", "c")]).unwrap());
        }
        let mut y = g.scope("model").activation(x, Activation::Relu).unwrap();
        let begun = y;
        for (layer, weight) in weights.into_iter().enumerate() {
            let mut g = g.scope(&format!("{prefix}{}", first + layer));
            let up = g.scope("up").einsum("b c, d c -> b d", y, weight).unwrap();
            let up = g.rename(up, "d", "c").unwrap();
            let moved = g.add("", up, shift).unwrap();
            let function = if odd == Some(layer) { Activation::Silu } else { Activation::Relu };
            let active = g.activation(moved, function).unwrap();
            y = g.add("", active, begun).unwrap();
        }
        g.output("y", y);
        g
    }

    #[test]
    fn equal_layers_are_recorded_once() {
        let old = unrolled(5, None, 0);
        let new = old.rerolled().unwrap().unwrap();
        assert_eq!(new.runs, [("model.layers.".to_owned(), 5)]);
        assert_eq!(new.graph.cost(), old.cost());
        assert_eq!(new.graph.parameters(), old.parameters());
        assert_eq!(new.graph.loops().len(), 1);
        let paths: Vec<&str> = new.graph.nodes().iter().map(|node| &*node.path).collect();
        assert!(paths.contains(&"model.layers.*.up.weight"), "{paths:?}");
        assert!(paths.contains(&"model.layers.*.up.einsum"), "{paths:?}");
    }

    #[test]
    fn a_number_may_end_a_name() {
        let old = under("model.block_", 3, None, 0);
        let new = old.rerolled().unwrap().unwrap();
        assert_eq!(new.runs, [("model.block_".to_owned(), 3)]);
        let weight = |node: &&Node| node.path.ends_with("up.weight");
        let weight = new.graph.nodes().iter().find(weight).unwrap();
        assert_eq!(weight.path, "model.block_*.up.weight");
        let paths = new.graph.instances(weight, &opledger_dims::Binding::new()).unwrap();
        assert_eq!(paths, [0, 1, 2].map(|at| format!("model.block_{at}.up.weight")));
        assert!(new.graph.mermaid().contains("block_* × 3"), "{}", new.graph.mermaid());
        let place = new.in_run("model.block_2.up.einsum").unwrap();
        assert_eq!((place.iteration, &*place.path), (2, "model.block_*.up.einsum"));
    }

    #[test]
    fn what_is_not_equal_stays() {
        assert!(unrolled(5, Some(2), 0).rerolled().unwrap().is_none(), "another function");
        assert!(unrolled(5, None, 1).rerolled().unwrap().is_none(), "not counted from 0");
        assert!(unrolled(1, None, 0).rerolled().unwrap().is_none(), "one layer");
        let mut seen = unrolled(3, None, 0);
        let inner = seen.vars().nth(seen.nodes().len() - 5).unwrap();
        seen.output("inner", inner);
        assert!(seen.rerolled().unwrap().is_none(), "what an earlier layer computes is an output");
    }

    proptest! {
        #[test]
        fn costs_and_bytes_stay(layers in 2..9_usize, b in 1..5_u64, c in 1..7_u64) {
            let old = unrolled(layers, None, 0);
            let new = old.rerolled().unwrap().unwrap().graph;
            let sizes = opledger_dims::Binding::new().with("b", b).with("c", c);
            prop_assert_eq!(new.counts_at(&sizes).unwrap(), old.counts_at(&sizes).unwrap());
            let bytes = |g: &Graph| {
                let sums = g.nodes().iter().map(|node| g.node_bytes(node));
                sums.fold((Poly::zero(), Poly::zero()), |a, b| (a.0 + b.0, a.1 + b.1))
            };
            prop_assert_eq!(bytes(&new), bytes(&old));
        }
    }
}
