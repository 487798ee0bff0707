//! The kinds of layers of a model in the order in which they stand, each recorded once where it repeats.
//!
//! Layers that repeat in groups, such as five with a window and one without, are a repetition of a group
//! in which equal neighbours are a repetition of their own; what is left over follows. Paths have the true
//! number of each layer. Formulas have how many layers of each kind there are, `l_full` and `l_window`:
//! the last repetition of a kind runs as often as the others of the kind do not, and where a kind has one
//! repetition, `each` times in every group, `l_window` is defined as the product of the two.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Definition, Graph, GraphError, Scan, ScanValues, Scope, Var};

use super::recorder::Recorder;

/// The kinds of layers of a model.
#[derive(Clone, Debug)]
pub(super) enum LayerOrder {
    /// So many layers of the first kind.
    Uniform(u64),
    /// Layers of several kinds.
    Kinds {
        /// What the number of layers of each kind is called.
        symbols: Vec<Symbol>,
        /// The kind of each layer.
        layers: Vec<usize>,
    },
}

/// So many layers of a kind, one after the other.
struct Run {
    kind: usize,
    /// The number of the first, within its group.
    first: u64,
    len: u64,
    /// How often it is repeated; none of one layer of a group.
    count: Option<Poly>,
}

/// Runs that follow one another.
struct Block {
    /// How many layers they are, and how often they are repeated, where they are.
    group: Option<(u64, Poly)>,
    runs: Vec<Run>,
}

/// The layers of a model, ready to be declared.
pub(super) struct LayerPlan(Vec<Block>);

/// The layers of a model as they were declared.
pub(super) struct Layers<T>(Vec<DeclaredBlock<T>>);

struct DeclaredBlock<T> {
    /// Where a group stands, how many layers it has, and how often it is repeated.
    group: Option<(Scope, u64, Poly)>,
    runs: Vec<DeclaredRun<T>>,
}

/// Equal layers that follow one another.
pub(super) struct DeclaredRun<T> {
    /// Where they stand.
    pub(super) scope: Scope,
    /// Of which kind they are.
    pub(super) kind: usize,
    /// What is recorded of one.
    pub(super) layer: T,
    /// How many they are.
    count: Poly,
    repeated: bool,
}

/// A stack, of whose first axis `l` layers have an entry each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    pub(super) stack: Option<Var>,
    /// Which kind of layers alone has entries, where one does; such layers repeat in no group.
    pub(super) kind: Option<usize>,
}

impl Entries {
    /// A stack of which every layer has an entry.
    pub(super) fn of_all(stack: Option<Var>) -> Entries {
        Entries { stack, kind: None }
    }
}

impl LayerOrder {
    /// Layers of several kinds, by what the number of each kind is called and the kind of each layer.
    pub(super) fn kinds(symbols: &[&str], layers: Vec<usize>) -> LayerOrder {
        LayerOrder::Kinds { symbols: symbols.iter().copied().map(Symbol::from).collect(), layers }
    }

    /// How many layers there are.
    pub(super) fn layers(&self) -> u64 {
        match self {
            LayerOrder::Uniform(layers) => *layers,
            LayerOrder::Kinds { layers, .. } => layers.len() as u64,
        }
    }

    /// How many layers there are of each of so many kinds.
    pub(super) fn numbers(&self, kinds: usize) -> Vec<u64> {
        let mut numbers = vec![0; kinds];
        match self {
            LayerOrder::Uniform(layers) => numbers.iter_mut().take(1).for_each(|n| *n = *layers),
            LayerOrder::Kinds { layers, .. } => {
                for kind in layers {
                    numbers.iter_mut().skip(*kind).take(1).for_each(|n| *n += 1);
                }
            }
        }
        numbers
    }

    /// Gives sizes to the symbols of numbers of layers, and decides how the layers are recorded.
    pub(super) fn plan(&self, r: &mut Recorder) -> LayerPlan {
        let equal = |r: &mut Recorder, kind, all, symbol: &Symbol| {
            let runs = vec![Run { kind, first: 0, len: all, count: Some(r.size(symbol, all)) }];
            LayerPlan(vec![Block { group: None, runs }])
        };
        let (symbols, layers) = match self {
            LayerOrder::Uniform(times) => return equal(r, 0, *times, &"l".into()),
            LayerOrder::Kinds { symbols, layers } => (symbols, layers),
        };
        let kind = layers.first().copied().unwrap_or(0);
        if layers.iter().all(|own| *own == kind) {
            // Of a model that has other layers the number of these is called after their kind.
            let symbol = match taken(r, "l") {
                true => symbols[kind].clone(),
                false => "l".into(),
            };
            return equal(r, kind, layers.len() as u64, &symbol);
        }
        let stride = period(layers);
        let times = layers.len() / stride;
        let total = |r: &mut Recorder, kind: usize| {
            let number = layers.iter().filter(|own| **own == kind).count() as u64;
            r.size(&symbols[kind], number)
        };
        if times < 2 {
            let mut runs = runs(layers, 0);
            fill(&mut runs, |kind| total(r, kind));
            return LayerPlan(vec![Block { group: None, runs }]);
        }
        let (group, rest) = (&layers[..stride], &layers[stride * times..]);
        let mut inner = runs(group, 0);
        let once = |kind: usize| group.iter().filter(|own| **own == kind).count() == 1;
        // A kind that has one layer in every group, and none besides, gives the number of groups its name.
        let owner = (0..symbols.len()).find(|kind| once(*kind) && !rest.contains(kind));
        let groups = match owner {
            Some(kind) => total(r, kind),
            None => {
                let symbol = free(r, "groups");
                r.size(symbol, times as u64)
            }
        };
        let kinds: Vec<usize> = inner.iter().map(|run| run.kind).collect();
        for run in &mut inner {
            let alone = kinds.iter().filter(|kind| **kind == run.kind).count() == 1;
            run.count = if alone && !rest.contains(&run.kind) && owner != Some(run.kind) {
                // All of the kind, so many in each group.
                total(r, run.kind);
                Some(each(r, &symbols[run.kind], &groups, run.len))
            } else {
                (run.len > 1).then(|| Poly::from(run.len))
            };
        }
        let mut left = runs(rest, (stride * times) as u64);
        fill(&mut left, |kind| {
            let own = group.iter().filter(|own| **own == kind).count() as u64;
            total(r, kind) - &groups * &Poly::from(own)
        });
        let mut blocks = vec![Block { group: Some((stride as u64, groups)), runs: inner }];
        if !left.is_empty() {
            blocks.push(Block { group: None, runs: left });
        }
        LayerPlan(blocks)
    }
}

/// How many layers it takes until all repeats.
fn period(layers: &[usize]) -> usize {
    let repeats = |by: &usize| layers.iter().zip(&layers[*by..]).all(|(a, b)| a == b);
    (1..=layers.len()).find(repeats).unwrap_or(1)
}

/// Layers as runs of equal ones, the first of which has a number.
fn runs(layers: &[usize], first: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, &kind) in layers.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.kind == kind => run.len += 1,
            _ => runs.push(Run { kind, first: first + at as u64, len: 1, count: None }),
        }
    }
    runs
}

/// Says how often each run is repeated: its length, or for the last of a kind what its other runs leave
/// of `all`.
fn fill(runs: &mut [Run], mut all: impl FnMut(usize) -> Poly) {
    for at in 0..runs.len() {
        let Run { kind, len, .. } = runs[at];
        let others = |runs: &[Run]| -> u64 {
            runs.iter().filter(|run| run.kind == kind).map(|run| run.len).sum()
        };
        let is_last = others(&runs[at + 1..]) == 0;
        runs[at].count = Some(match is_last {
            true => all(kind) - Poly::from(others(&runs[..at])),
            false => Poly::from(len),
        });
    }
}

/// How many layers of a kind every group has, by which all of the kind are defined.
fn each(r: &mut Recorder, whole: &Symbol, groups: &Poly, len: u64) -> Poly {
    let symbol = free(r, "each");
    let each = r.size(&symbol, len);
    if let Some(groups) = groups.as_symbol() {
        let factors = [groups.clone(), symbol];
        r.graph.define(Definition::Product { whole: whole.into(), factors });
    }
    each
}

/// Whether a symbol has a size.
fn taken(r: &Recorder, symbol: &str) -> bool {
    r.sizes.get(&Symbol::from(symbol)).is_some()
}

/// A symbol without a size, by this name or by it and a number.
fn free(r: &Recorder, name: &str) -> Symbol {
    let names = std::iter::once(name.to_owned()).chain((2..).map(|i| format!("{name}_{i}")));
    names.into_iter().find(|name| !taken(r, name)).unwrap_or_default().into()
}

impl LayerPlan {
    /// How many layers there are.
    pub(super) fn layers(&self) -> Poly {
        let of_run = |run: &Run| run.count.clone().unwrap_or_else(|| Poly::from(run.len));
        let of_block = |block: &Block| match &block.group {
            Some((stride, times)) => times * &Poly::from(*stride),
            None => block.runs.iter().map(of_run).sum(),
        };
        self.0.iter().map(of_block).sum()
    }

    /// The same layers behind so many that are recorded apart.
    pub(super) fn after(mut self, layers: u64) -> LayerPlan {
        for run in self.0.iter_mut().flat_map(|block| &mut block.runs) {
            run.first += layers;
        }
        self
    }

    /// Declares the layers in a scope: `make` makes what a kind has one of, such as its parameters.
    pub(super) fn declare<T, E>(
        self,
        g: &mut Graph,
        name: &str,
        mut make: impl FnMut(&mut Graph, usize) -> Result<T, E>,
    ) -> Result<Layers<T>, E> {
        let mut blocks = Vec::new();
        for Block { group, runs } in self.0 {
            let group = group.map(|(stride, times)| {
                (g.repeated_every(name, stride, times.clone()), stride, times)
            });
            let mut declared = Vec::new();
            for Run { kind, first, len, count } in runs {
                let repeated = count.is_some() || group.is_none();
                let count = count.unwrap_or_else(|| Poly::from(len as i64));
                let scope = match &group {
                    None => g.repeated_from(name, first, count.clone()),
                    Some((group, ..)) if repeated => g.repeated_at(group, first, count.clone()),
                    Some((group, ..)) => group.at(first),
                };
                let layer = make(&mut g.enter(&scope), kind)?;
                declared.push(DeclaredRun { scope, kind, layer, count, repeated });
            }
            blocks.push(DeclaredBlock { group, runs: declared });
        }
        Ok(Layers(blocks))
    }
}

impl<T> Layers<T> {
    /// How many layers there are.
    pub(super) fn layers(&self) -> Poly {
        let of_block = |block: &DeclaredBlock<T>| match &block.group {
            Some((_, stride, times)) => times * &Poly::from(*stride),
            None => block.runs.iter().map(|run| run.count.clone()).sum(),
        };
        self.0.iter().map(of_block).sum()
    }

    /// Records the layers one after the other: `body` maps what enters a layer to what leaves it.
    pub(super) fn forward<E: From<GraphError>>(
        &self,
        g: &mut Graph,
        x: Var,
        mut body: impl FnMut(&mut Graph, &DeclaredRun<T>, Var) -> Result<Var, E>,
    ) -> Result<Var, E> {
        self.forward_with(g, x, Entries::of_all(None), |g, run, x, _| body(g, run, x))
    }

    /// The same where layers have their own entry of a stack.
    pub(super) fn forward_with<E: From<GraphError>>(
        &self,
        g: &mut Graph,
        x: Var,
        Entries { stack, kind }: Entries,
        mut body: impl FnMut(&mut Graph, &DeclaredRun<T>, Var, Option<Var>) -> Result<Var, E>,
    ) -> Result<Var, E> {
        let (mut x, mut first) = (x, Poly::zero());
        for DeclaredBlock { group, runs } in &self.0 {
            let mut all = |g: &mut Graph, x: Var, own: Option<Var>, first: &mut Poly| {
                runs.iter().try_fold(x, |x, run| {
                    let own = own.filter(|_| kind.is_none_or(|kind| kind == run.kind));
                    let own = own.map(|own| entries(g, own, first, &run.count)).transpose()?;
                    match run.repeated {
                        true => {
                            let axis = if own.is_some() { "l" } else { "layer" };
                            scan(g, (&run.scope, axis), x, own, |g, x, own| body(g, run, x, own))
                        }
                        false => {
                            let own = own.map(|own| entry(g, own)).transpose()?;
                            body(&mut g.enter(&run.scope), run, x, own)
                        }
                    }
                })
            };
            x = match group {
                Some((group, stride, times)) => {
                    let stride = Poly::from(*stride);
                    let own = match stack {
                        Some(stack) => {
                            let own = entries(g, stack, &mut first, &(&stride * times))?;
                            let into = vec![Axis::new("group", times), Axis::new("l", stride)];
                            Some(g.rearrange(own, Rearrange::Split { axis: "l".into(), into })?)
                        }
                        None => None,
                    };
                    scan(g, (group, "group"), x, own, |g, x, own| {
                        all(g, x, own, &mut Poly::zero())
                    })?
                }
                None => all(g, x, stack, &mut first)?,
            };
        }
        Ok(x)
    }
}

/// A repetition of which each iteration is given its entry of a stack, where there is one.
fn scan<E: From<GraphError>>(
    g: &mut Graph,
    (scope, axis): (&Scope, &str),
    x: Var,
    stack: Option<Var>,
    body: impl FnOnce(&mut Graph, Var, Option<Var>) -> Result<Var, E>,
) -> Result<Var, E> {
    let (carried, stacks) = (vec![x], stack.into_iter().collect());
    let scan = Scan { carried, stacks, axis: axis.into(), ..Scan::default() };
    let results = g.scan(scope, &scan, |g, entering| -> Result<ScanValues, E> {
        let [x] = entering.carried[..] else { return Ok(entering) };
        let x = body(g, x, entering.stacked.first().copied())?;
        Ok(ScanValues { carried: vec![x], stacked: Vec::new() })
    })?;
    Ok(results.carried.first().copied().unwrap_or(x))
}

/// So many entries of a stack from one on, which comes to stand behind them.
pub(super) fn entries(
    g: &mut Graph,
    stack: Var,
    first: &mut Poly,
    count: &Poly,
) -> Result<Var, GraphError> {
    let (axis, start) = (Symbol::from("l"), first.clone());
    *first = first.clone() + count.clone();
    match start.is_zero() && g.shape(stack).axes.first().is_some_and(|l| l.size == *count) {
        true => Ok(stack),
        false => g.rearrange(stack, Rearrange::Slice { axis, start, len: count.clone() }),
    }
}

/// The only entry of a stack.
pub(super) fn entry(g: &mut Graph, stack: Var) -> Result<Var, GraphError> {
    let axes: Vec<Symbol> = g.shape(stack).axes.iter().take(2).map(|a| a.name.clone()).collect();
    let Some(into) = axes.last().cloned() else { return Ok(stack) };
    g.rearrange(stack, Rearrange::Merge { axes, into })
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_dims::{Binding, Class};
    use opledger_ir::ops::{Factor, Source};

    const SYMBOLS: &[&str] = &["l_full", "l_window"];

    /// A graph in which a full layer adds a parameter and one with a window scales as well; with the sizes.
    fn graph(layers: &[usize]) -> (Graph, Binding) {
        let mut r = Recorder::new("test");
        let plan = LayerOrder::kinds(SYMBOLS, layers.to_vec()).plan(&mut r);
        let g = &mut r.graph;
        let x = g.input("x", ["c"]).unwrap();
        let stack = plan
            .declare(g, "layers", |g, kind| {
                g.param(["full", "window"][kind], Source::shift(), ["c"])
            })
            .unwrap();
        let y = stack
            .forward(g, x, |g, run, x| {
                let y = g.add("", x, run.layer)?;
                if run.kind == 1 { g.scale(y, Factor::Number(2.0)) } else { Ok(y) }
            })
            .unwrap();
        g.output("y", y);
        let sizes = r.graph.complete(&r.sizes).unwrap();
        (r.graph, sizes)
    }

    fn layers(text: &str) -> Vec<usize> {
        text.chars().map(|kind| usize::from(kind == 'w')).collect()
    }

    /// Every layer stands under its own number and is of its own kind, and the counts of kinds are right.
    #[test]
    fn every_layer_has_its_number() {
        for text in [
            "",
            "f",
            "w",
            "www",
            "fw",
            "wf",
            "wfwf",
            "fwfwf",
            "wwwwwfwwwwwfwwwwwfwwwwwfww",
            "fwwfwwfwwf",
            "fffwww",
            "wwfwwfwwwf",
            "ffwffwf",
            "fwfwwfwfww",
            "wfffwfff",
            "fwwwffwwwff",
        ] {
            let layers = layers(text);
            let (graph, sizes) = graph(&layers);
            let mut found: Vec<(usize, usize)> = Vec::new();
            for node in graph.nodes() {
                let kind = match node.path.rsplit('.').next() {
                    Some("full") => 0,
                    Some("window") => 1,
                    _ => continue,
                };
                for path in graph.instances(node, &sizes).unwrap() {
                    let number = path.split('.').nth(1).unwrap().parse().unwrap();
                    found.push((number, kind));
                }
            }
            found.sort();
            let expected: Vec<_> = layers.iter().copied().enumerate().collect();
            assert_eq!(found, expected, "{text}");
            let counts = graph.cost().total();
            let at = |class| counts[class].at(&sizes.clone().with("c", 1)).unwrap();
            assert_eq!(at(Class::Add), layers.len().into(), "{text}");
            assert_eq!(at(Class::Mul), layers.iter().sum::<usize>().into(), "{text}");
        }
    }

    #[test]
    fn formulas_have_the_numbers_of_layers() {
        for (text, defined) in [
            ("wfwf", &["l_window = l_full·each"][..]),
            ("wwwwwfwwwwwfwwwwwfwwwwwfww", &[]),
            ("fwwfwwfwwf", &["l_window = groups·each"]),
            ("fffwww", &[]),
            ("fwwfffw", &[]),
        ] {
            let (graph, _) = graph(&layers(text));
            let total = graph.cost().total();
            assert_eq!(total[Class::Mul].to_string(), "c·l_window", "{text}");
            assert_eq!(total[Class::Add].to_string(), "c·l_window + c·l_full", "{text}");
            let shown: Vec<_> = graph.definitions().iter().map(Definition::to_string).collect();
            assert_eq!(shown, defined, "{text}");
        }
        assert_eq!(graph(&layers("www")).0.cost().total()[Class::Mul].to_string(), "l·c");
    }
}
