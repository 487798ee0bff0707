//! How long a device takes at least: of each node the longer of its operations at the peak and its bytes at
//! the bandwidth (the roofline of Williams, Waterman and Patterson, 2009).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use opledger_dims::{Binding, Integer, Poly, Quantity};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Node, Op, Phase, SizeRole, Storage, Var};
use opledger_report::{
    BoundBatch, BoundCost, BoundModule, BoundPhase, ExactTime, LowerBound, thousands,
};

use crate::generation::Generating;
use crate::grid::{machine, without};
use crate::kinds::{kind, place};
use crate::{AccountError, DeviceRoof, Model, SizedModel, Training};

/// What nodes do and move, in the units of one roof.
#[derive(Clone, Default)]
struct Tally {
    flops: Integer,
    bits: Integer,
    least: Integer,
    by_operations: Integer,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.flops += &other.flops;
        self.bits += &other.bits;
        self.least += &other.least;
        self.by_operations += &other.by_operations;
    }
}

impl DeviceRoof {
    /// How many parts a second has: of these, operations take `8·bytes` each, and bits `operations`.
    fn per(&self) -> Integer {
        Integer::from(self.operations) * self.bytes * 8u32
    }

    fn computing(&self, flops: &Integer) -> Integer {
        flops * self.bytes * 8u32
    }

    fn moving(&self, bits: &Integer) -> Integer {
        bits * self.operations
    }

    fn of_node(&self, flops: Integer, bits: Integer) -> Tally {
        let (computing, moving) = (self.computing(&flops), self.moving(&bits));
        let by_operations = if computing > moving { computing.clone() } else { Integer::default() };
        Tally { flops, bits, least: computing.max(moving), by_operations }
    }

    fn time(&self, of: Integer) -> ExactTime {
        ExactTime { of, per: self.per() }
    }

    fn cost(&self, tally: &Tally) -> BoundCost {
        BoundCost {
            matmul_flops: tally.flops.clone(),
            // The last byte is full or not.
            bytes: (&tally.bits + 7u32) / 8u32,
            least: self.time(tally.least.clone()),
            by_operations: self.time(tally.by_operations.clone()),
        }
    }
}

/// Elements of a cache that a node is handed and has no need of: those of tokens before a window.
pub(crate) fn unseen(graph: &Graph, node: &Node, operand: Var) -> Poly {
    let buffer = graph.buffer_of(operand);
    let cache = graph.caches().iter().find(|cache| [cache.past, cache.present].contains(&buffer));
    let read = node.inputs.iter().zip(graph.operand_bytes(node));
    let reads = read.filter(|(own, _)| **own == operand).any(|(_, bytes)| !bytes.is_zero());
    match cache.filter(|_| reads) {
        Some(cache) => {
            (graph.shape(cache.past).elements() - &cache.held) * graph.multiplicity(node)
        }
        None => Poly::zero(),
    }
}

/// What a node does and moves, as formulas.
struct Work {
    path: String,
    kind: Option<&'static str>,
    phase: Phase,
    flops: Poly,
    bits: Poly,
}

/// The nodes of a graph, and what its runs move whatever is fused.
struct Works {
    nodes: Vec<Work>,
    /// Bits that are read of each parameter, and all that it has.
    weights: Vec<[Poly; 2]>,
    /// Bits of the cache that are read, and those that are added.
    cache: Poly,
}

impl Works {
    /// Those of a graph, told under the first `depth` segments of their paths, or at their modules; the same
    /// graph as its values are `stored`.
    fn of(graph: &Graph, stored: &Graph, depth: Option<usize>) -> Works {
        let mut weights: BTreeMap<Var, Poly> = BTreeMap::new();
        let (mut nodes, mut cached) = (Vec::new(), Poly::zero());
        for ((node, own), var) in graph.nodes().iter().zip(stored.nodes()).zip(graph.vars()) {
            let mut bits = stored.node_bytes(own).1.ratio(8, 1);
            let cache = |buffer: Var| {
                graph.caches().iter().find(|cache| [cache.past, cache.present].contains(&buffer))
            };
            if cache(var).is_some() {
                cached += &bits;
            }
            for (operand, bytes) in own.inputs.iter().zip(stored.operand_bytes(own)) {
                let buffer = stored.buffer_of(*operand);
                let mut moved = bytes.ratio(8, 1);
                if cache(buffer).is_some() {
                    let past = &stored.node(buffer).shape;
                    moved += unseen(stored, own, *operand) * -(past.elem.bits() as i64);
                    cached += &moved;
                }
                if let Op::Source(Source::Param { .. }) = &stored.node(buffer).op {
                    *weights.entry(buffer).or_insert_with(Poly::zero) += &moved;
                }
                bits += moved;
            }
            let flops = graph.node_quantity(node, Quantity::MatmulFlops);
            if flops.is_zero() && bits.is_zero() {
                continue;
            }
            let (path, kind) = match depth {
                None => (place(graph, node), Some(kind(graph, node).name())),
                Some(0) => ("(all)".to_owned(), None),
                Some(depth) => (node.path_to(depth), None),
            };
            nodes.push(Work { path, kind, phase: node.phase, flops, bits });
        }
        let all = |var: Var| {
            let node: &Node = stored.node(var);
            let elements = node.shape.elements() * stored.multiplicity(node);
            elements * node.shape.elem.bits() as i64
        };
        let weights = weights.into_iter().map(|(var, read)| [read, all(var)]).collect();
        Works { nodes, weights, cache: cached }
    }

    /// Bits of the weights that a run needs, each once.
    fn weights_at(&self, sizes: &Binding) -> Result<Integer, AccountError> {
        let mut sum = Integer::default();
        for [read, all] in &self.weights {
            sum += read.at(sizes)?.min(all.at(sizes)?);
        }
        Ok(sum)
    }
}

/// A part of what is done, while it is summed.
struct Part {
    name: String,
    runs: u64,
    tally: Tally,
    fused: Integer,
}

/// What is summed: by part, and by module.
#[derive(Default)]
struct Sums {
    parts: Vec<Part>,
    modules: Vec<(String, Option<&'static str>, Tally)>,
    known: HashMap<(String, Option<&'static str>), usize>,
}

impl Sums {
    fn module(&mut self, work: &Work, tally: &Tally) {
        let key = (work.path.clone(), work.kind);
        let at = *self.known.entry(key).or_insert_with(|| {
            self.modules.push((work.path.clone(), work.kind, Tally::default()));
            self.modules.len() - 1
        });
        self.modules[at].2.add(tally);
    }

    /// A run of a whole graph at sizes.
    fn run(
        &mut self,
        roof: &DeviceRoof,
        works: &Works,
        sizes: &Binding,
    ) -> Result<(Tally, Integer), AccountError> {
        let mut all = Tally::default();
        for work in &works.nodes {
            let tally = roof.of_node(work.flops.at(sizes)?, work.bits.at(sizes)?);
            self.module(work, &tally);
            all.add(&tally);
        }
        let moved = works.weights_at(sizes)? + works.cache.at(sizes)?;
        let fused = roof.computing(&all.flops).max(roof.moving(&moved));
        Ok((all, fused))
    }

    fn part(&mut self, name: &str, runs: u64, (tally, fused): (Tally, Integer)) {
        self.parts.push(Part { name: name.to_owned(), runs, tally, fused });
    }

    fn bound(self, model: &Model, binding: Binding, roof: &DeviceRoof) -> LowerBound {
        let (mut total, mut fused) = (Tally::default(), Integer::default());
        for part in &self.parts {
            total.add(&part.tally);
            fused += &part.fused;
        }
        let phase = |part: &Part| BoundPhase {
            phase: part.name.clone(),
            runs: part.runs,
            cost: roof.cost(&part.tally),
            fused: roof.time(part.fused.clone()),
        };
        let mut modules = self.modules;
        modules.sort_by_key(|(.., tally)| Reverse(tally.least.clone()));
        let module = |(path, kind, tally): &(String, Option<&'static str>, Tally)| BoundModule {
            path: path.clone(),
            kind: *kind,
            cost: roof.cost(tally),
        };
        LowerBound {
            model: model.name().to_owned(),
            binding,
            device: roof.record(),
            total: roof.cost(&total),
            fused: roof.time(fused),
            phases: self.parts.iter().map(phase).collect(),
            modules: modules.iter().map(module).collect(),
            batch: None,
            experts: model.graph().nodes().iter().any(|node| matches!(node.op, Op::Experts(_))),
        }
    }
}

impl SizedModel<'_> {
    /// How long a device takes at least for a forward pass: of each node the longer of its operations and its
    /// bytes, by the modules around them, or by the first `depth` segments of their paths.
    ///
    /// ```
    /// use opledger::{Elem, Model, account::DeviceRoof};
    ///
    /// let model = Model::open("llama-3.1-8b")?;
    /// let roof = DeviceRoof::of("h100-sxm", Elem::Bf16)?;
    /// let bound = model.at([("n", 4096)])?.lower_bound(&roof, None)?;
    /// let sum: opledger::Integer = bound.modules.iter().map(|own| &own.cost.least.of).sum();
    /// assert_eq!(sum, bound.total.least.of);
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn lower_bound(
        &self,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        self.bound_of(&self.graph().stored(Storage::uniform(roof.elem)), roof, depth)
    }

    /// The same with bytes in the types that the model has: of a program each value in its own. Operations
    /// take the device as long as those of the roof's type.
    ///
    /// # Errors
    /// As [`SizedModel::lower_bound`].
    pub fn lower_bound_as_stored(
        &self,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        self.bound_of(&self.model().typed(self.graph(), roof.elem), roof, depth)
    }

    fn bound_of(
        &self,
        stored: &Graph,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        let (graph, mut sums) = (self.graph(), Sums::default());
        let works = Works::of(graph, stored, depth);
        let run = sums.run(roof, &works, self.sizes())?;
        let one = graph.size_of(SizeRole::Tokens).and_then(|n| self.sizes().get(n));
        let step = graph.size_of(SizeRole::Past).is_some() && one == Some(&1.into());
        sums.part(if step { "step of one token" } else { "forward" }, 1, run);
        let mut bound = sums.bound(self.model(), self.sizes().clone(), roof);
        if step {
            bound.batch = batch(graph, &works, self.sizes(), roof)?;
        }
        Ok(bound)
    }
}

impl Model {
    /// How long a device takes at least to generate tokens, as [`Model::generation`] counts them.
    ///
    /// # Errors
    /// As [`Model::generation`].
    pub fn generation_bound(
        &self,
        sizes: &Binding,
        new_tokens: u64,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        let of = Generating::of(self, sizes, new_tokens)?;
        let stored = |graph: &Graph| graph.stored(Storage::uniform(roof.elem));
        let (graph, mut sums) = (of.model.graph(), Sums::default());
        let works = Works::of(graph, &stored(graph), depth);
        let mut first = sums.run(roof, &works, &of.prompt)?;
        if let Some((source, sizes)) = &of.source {
            let works = Works::of(source.graph(), &stored(source.graph()), depth);
            let (tally, fused) = sums.run(roof, &works, sizes)?;
            first.0.add(&tally);
            first.1 += fused;
        }
        sums.part("prompt", 1, first);
        let steps = new_tokens.saturating_sub(1);
        let mut last = None;
        if steps > 0 {
            let mut formulas: Vec<Poly> = Vec::new();
            formulas.extend(works.nodes.iter().map(|work| work.flops.clone()));
            formulas.extend(works.nodes.iter().map(|work| work.bits.clone()));
            formulas.push(works.cache.clone());
            let formulas =
                graph.formulas_at(&formulas, &of.fixed, &[of.p.clone(), of.n.clone()])?;
            let at = |p: i128| of.fixed.clone().with(of.p.clone(), p).with(of.n.clone(), 1);
            let start = machine(&of.n, &of.tokens)?;
            // Which weights a step reads does not depend on the tokens before.
            let weights = works.weights_at(&graph.complete(&at(start))?)?;
            let (mut all, mut fused) = (Tally::default(), Integer::default());
            let mut own = vec![Tally::default(); works.nodes.len()];
            for step in 0..i128::from(steps) {
                let values = formulas.at(&[start + step, 1])?;
                let (flops, rest) = values.split_at(works.nodes.len());
                let (bits, cache) = rest.split_at(works.nodes.len());
                let mut of_step = Integer::default();
                for (tally, (flops, bits)) in own.iter_mut().zip(flops.iter().zip(bits)) {
                    of_step += flops;
                    tally.add(&roof.of_node(flops.clone(), bits.clone()));
                }
                let moved = &weights + cache.iter().sum::<Integer>();
                fused += roof.computing(&of_step).max(roof.moving(&moved));
            }
            for (work, tally) in works.nodes.iter().zip(&own) {
                sums.module(work, tally);
                all.add(tally);
            }
            sums.part("new tokens", steps, (all, fused));
            let end = graph.complete(&at(start + i128::from(steps) - 1))?;
            last = batch(graph, &works, &end, roof)?;
        }
        let binding = without(&of.prompt, graph, &[&of.p]).with(of.n.clone(), of.tokens.clone());
        let mut bound = sums.bound(&of.model, binding, roof);
        bound.batch = last;
        Ok(bound)
    }
}

impl Training<'_> {
    /// How long a device takes at least for the step.
    ///
    /// # Errors
    /// As [`Training::at`].
    pub fn lower_bound(
        &self,
        sizes: &Binding,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        self.bound_of(sizes, &|graph| graph.stored(Storage::uniform(roof.elem)), roof, depth)
    }

    /// The same with bytes in the types that the model has: of a program each value of the forward pass in its
    /// own, and all else in the roof's.
    ///
    /// # Errors
    /// As [`Training::at`].
    pub fn lower_bound_as_stored(
        &self,
        sizes: &Binding,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        let stored = |graph: &Graph| self.model().typed(graph, roof.elem);
        self.bound_of(sizes, &stored, roof, depth)
    }

    fn bound_of(
        &self,
        sizes: &Binding,
        stored: &dyn Fn(&Graph) -> Graph,
        roof: &DeviceRoof,
        depth: Option<usize>,
    ) -> Result<LowerBound, AccountError> {
        let sizes = self.sized(sizes)?;
        let mut sums = Sums::default();
        let mut parts: BTreeMap<usize, (Tally, u64, Integer)> = BTreeMap::new();
        for (graph, times) in self.graphs() {
            let works = Works::of(graph, &stored(graph), depth);
            let mut ran = [false; Phase::ALL.len()];
            for work in &works.nodes {
                let once = roof.of_node(work.flops.at(&sizes)?, work.bits.at(&sizes)?);
                let tally = Tally {
                    flops: once.flops * times,
                    bits: once.bits * times,
                    least: once.least * times,
                    by_operations: once.by_operations * times,
                };
                sums.module(work, &tally);
                let at = Phase::ALL.iter().position(|phase| *phase == work.phase).unwrap_or(0);
                ran[at] = true;
                parts.entry(at).or_default().0.add(&tally);
            }
            for (at, _) in ran.iter().enumerate().filter(|(_, ran)| **ran) {
                parts.entry(at).or_default().1 += u64::from(times);
            }
            // Of the forward pass each weight is read once a batch, whatever is fused.
            let weights = works.weights_at(&sizes)? * times;
            parts.entry(0).or_default().2 += weights;
        }
        for (at, (tally, runs, weights)) in parts {
            let fused = roof.computing(&tally.flops).max(roof.moving(&weights));
            sums.part(&Phase::ALL[at].to_string(), runs, (tally, fused));
        }
        Ok(sums.bound(self.model(), sizes, roof))
    }
}

/// The most items that are tried.
const MOST_ITEMS: i128 = 1 << 30;

/// From how many items on all operations of a run take longer than all its bytes.
fn batch(
    graph: &Graph,
    works: &Works,
    sizes: &Binding,
    roof: &DeviceRoof,
) -> Result<Option<BoundBatch>, AccountError> {
    let Some(b) = graph.size_of(SizeRole::Batch) else { return Ok(None) };
    let flops = works.nodes.iter().map(|work| &work.flops).sum::<Poly>();
    let bits = works.nodes.iter().map(|work| &work.bits).sum::<Poly>();
    let fixed = without(sizes, graph, &[b]);
    let formulas = graph.formulas_at(&[flops, bits], &fixed, std::slice::from_ref(b))?;
    let at = |items: i128| -> Result<[Integer; 2], AccountError> {
        let mut values = formulas.at(&[items])?.into_iter();
        let mut next = || values.next().unwrap_or_default();
        Ok([next(), next()])
    };
    let bound = |items: i128| -> Result<bool, AccountError> {
        let [flops, bits] = at(items)?;
        Ok(roof.computing(&flops) >= roof.moving(&bits))
    };
    let ridge = roof.operations as f64 / roof.bytes as f64;
    let mut enough = 1;
    while enough <= MOST_ITEMS && !bound(enough)? {
        enough *= 2;
    }
    let symbol = b.to_string();
    if enough > MOST_ITEMS {
        let ([flops, bits], [more, wider]) = (at(MOST_ITEMS)?, at(MOST_ITEMS + 1)?);
        let (flops, bytes) = (more - flops, (wider - bits + 7u32) / 8u32);
        let reason = format!(
            "A step is bound by memory at any {symbol}: an item more brings {} matmul-flops and moves {} \
             bytes, and {} does {ridge:.0} matmul-flops in the time of a byte.",
            thousands(&flops),
            thousands(&bytes),
            roof.device,
        );
        return Ok(Some(BoundBatch { symbol, from: None, reason }));
    }
    let mut short = enough / 2;
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        match bound(middle)? {
            true => enough = middle,
            false => short = middle,
        }
    }
    let reason = format!(
        "From {symbol} = {} on, all matmul-flops of a step take longer than all its bytes: {} does {ridge:.0} \
         matmul-flops in the time of a byte.",
        thousands(&enough.into()),
        roof.device,
    );
    Ok(Some(BoundBatch { symbol, from: Some(enough.into()), reason }))
}
