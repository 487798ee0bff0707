//! `opledger bench`: times the kernels and holds what they reach against the measured roof.

use opledger_account::{AccountError, Model, SizeList, Sweep};
use opledger_dims::{Binding, Integer, Symbol};
use opledger_ir::SizeRole;
use opledger_measure::{
    AttentionWorkload, Baseline, BenchCase, BenchPlan, GemmWorkload, LayerWorkload, Timing,
    Workload, run,
};

use crate::args::{Bench, BenchArgs, BenchOptions, SweptSizes};
use crate::destination::{Destination, distinct};
use crate::failure::Failure;
use crate::input::read_text;
use crate::output;
use crate::progress::Notes;
use crate::threads;

/// The least number of timed runs of each point.
const RUNS: usize = 5;

/// Products of the projections and feed-forward layers of common Transformers, and of one token.
const PRODUCTS: [[usize; 3]; 8] = [
    [1, 4096, 4096],
    [1, 4096, 14336],
    [512, 512, 512],
    [512, 768, 768],
    [512, 768, 3072],
    [512, 3072, 768],
    [2048, 1024, 4096],
    [512, 4096, 4096],
];

pub(crate) fn execute(args: &BenchArgs) -> Result<(), Failure> {
    match &args.bench {
        Bench::Attention { sizes, causal, options } => {
            let defaults = [("b", 1), ("h", 8), ("kv", 0), ("e", 64)];
            let tokens = [256, 512, 1024, 2048, 4096, 8192];
            let points = Points::new(sizes, &defaults, &tokens)?;
            let plan = attention("attention", &points, *causal, Workload::Attention)?;
            measure(&plan, options)
        }
        Bench::Decode { sizes, options } => {
            let defaults = [("b", 1), ("h", 32), ("kv", 8), ("e", 128)];
            let tokens = [1024, 2048, 4096, 8192, 16384, 32768, 65536];
            let points = Points::new(sizes, &defaults, &tokens)?;
            measure(&attention("decode", &points, false, Workload::Decode)?, options)
        }
        Bench::Gemm { shapes, options } => {
            let shapes = if shapes.is_empty() { &PRODUCTS[..] } else { shapes };
            let case = |&[m, k, n]: &[usize; 3]| BenchCase {
                at: format!("{m}×{k}×{n}"),
                size: None,
                workload: Workload::Gemm(GemmWorkload { m, k, n }),
            };
            let plan = BenchPlan {
                bench: "gemm".to_owned(),
                subject: "matrix products by packed weights".to_owned(),
                axis: "m×k×n".to_owned(),
                cases: shapes.iter().map(case).collect(),
            };
            measure(&plan, options)
        }
        Bench::Layer { model, sizes, options } => {
            measure(&Layers::new(model, sizes)?.plan()?, options)
        }
    }
}

/// Sizes of attention, one of which may take several values.
struct Points {
    /// `b`, `h`, `kv`, `e`, `n`.
    base: [(&'static str, Option<usize>); 5],
    axis: &'static str,
    values: Vec<usize>,
}

impl Points {
    fn new(
        SweptSizes { sizes }: &SweptSizes,
        defaults: &[(&'static str, usize); 4],
        tokens: &[usize],
    ) -> Result<Points, Failure> {
        let [b, h, kv, e] = defaults.map(|(name, size)| (name, (size > 0).then_some(size)));
        let mut base = [b, h, kv, e, ("n", None)];
        let mut axis = None;
        let swept = check(sizes)?;
        for Sweep { symbol, sizes } in sizes {
            let known = "b, h, kv, e and n";
            let entry = base.iter_mut().find(|(name, _)| *name == symbol.as_str());
            let entry = entry.ok_or_else(|| Failure::Size { symbol: symbol.clone(), known })?;
            let sizes = sizes.iter().map(|size| {
                let large = || AccountError::Large { symbol: symbol.clone(), size: size.clone() };
                usize::try_from(size.clone()).map_err(|_| large())
            });
            let sizes = sizes.collect::<Result<Vec<usize>, AccountError>>()?;
            entry.1 = sizes.first().copied();
            if swept == Some(symbol) || (swept.is_none() && symbol.as_str() == "n") {
                axis = Some((entry.0, sizes));
            }
        }
        if axis.is_some() && base[4].1.is_none() {
            base[4].1 = Some(1024);
        }
        let (axis, values) = axis.unwrap_or_else(|| ("n", tokens.to_vec()));
        Ok(Points { base, axis, values })
    }

    /// The size of a symbol at a point.
    fn get(&self, name: &str, at: usize) -> Option<usize> {
        if name == self.axis {
            return Some(at);
        }
        self.base.iter().find(|(known, _)| *known == name).and_then(|(_, size)| *size)
    }
}

/// Checks that no symbol is given twice and finds the one that takes several sizes.
fn check(sizes: &[Sweep]) -> Result<Option<&Symbol>, Failure> {
    for (at, Sweep { symbol, .. }) in sizes.iter().enumerate() {
        if sizes[..at].iter().any(|other| other.symbol == *symbol) {
            return Err(Failure::TwiceSwept { symbol: symbol.clone() });
        }
    }
    let mut several = sizes.iter().filter(|sweep| sweep.sizes.len() > 1).map(|sweep| &sweep.symbol);
    match (several.next(), several.next()) {
        (Some(first), Some(second)) => {
            Err(Failure::Swept { first: first.clone(), second: second.clone() })
        }
        (first, _) => Ok(first),
    }
}

fn attention(
    bench: &str,
    points: &Points,
    causal: bool,
    workload: fn(AttentionWorkload) -> Workload<'static>,
) -> Result<BenchPlan<'static>, Failure> {
    let sizes = |at: usize| {
        let get = |name| points.get(name, at).unwrap_or(1);
        let heads = get("h");
        AttentionWorkload {
            batch: get("b"),
            tokens: get("n"),
            heads,
            kv_heads: points.get("kv", at).unwrap_or(heads),
            width: get("e"),
            causal,
        }
    };
    let case = |&at: &usize| BenchCase {
        at: at.to_string(),
        size: Some(at as u64),
        workload: workload(sizes(at)),
    };
    let AttentionWorkload { batch, tokens, heads, kv_heads, width, .. } = sizes(points.values[0]);
    let all = [("b", batch), ("n", tokens), ("h", heads), ("kv", kv_heads), ("e", width)];
    let follows = |name: &str| name == "kv" && points.axis == "h" && points.get("kv", 0).is_none();
    let shared = all.iter().filter(|(name, _)| *name != points.axis && !follows(name));
    let mut shared: Vec<String> = shared.map(|(name, size)| format!("{name}={size}")).collect();
    if causal {
        shared.push("causal".to_owned());
    }
    Ok(BenchPlan {
        bench: bench.to_owned(),
        subject: shared.join(", "),
        axis: points.axis.to_owned(),
        cases: points.values.iter().map(case).collect(),
    })
}

/// A model, and the sizes it is timed at.
struct Layers {
    model: Model,
    /// The symbol that takes several sizes.
    axis: Symbol,
    sizes: Vec<Sweep>,
}

impl Layers {
    fn new(model: &str, sizes: &[Sweep]) -> Result<Layers, Failure> {
        let swept = check(sizes)?.cloned();
        let model = Model::open(model)?;
        let own = model.partly_at(&Binding::new())?;
        let mut sizes = sizes.to_vec();
        let mut default = |role: SizeRole, values: &[u32]| {
            let Some(symbol) = model.graph().size_of(role) else { return };
            let free = own.sizes().get(symbol).is_none();
            if free && sizes.iter().all(|sweep| sweep.symbol != *symbol) {
                let values = values.iter().map(|n| Integer::from(*n)).collect();
                sizes.push(Sweep { symbol: symbol.clone(), sizes: values });
            }
        };
        default(SizeRole::Batch, &[1]);
        let tokens: &[u32] = if swept.is_some() { &[512] } else { &[128, 256, 512, 1024, 2048] };
        default(SizeRole::Tokens, tokens);
        // Of several symbols with one size each, the tokens tell the only point.
        let axis = check(&sizes)?.cloned().or_else(|| {
            let tokens = model.graph().size_of(SizeRole::Tokens);
            let tokens = sizes.iter().find(|sweep| Some(&sweep.symbol) == tokens);
            tokens.or(sizes.last()).map(|sweep| sweep.symbol.clone())
        });
        let axis = axis.unwrap_or_else(|| Symbol::new("n"));
        Ok(Layers { model, axis, sizes })
    }

    /// The sizes that all points share.
    fn shared(&self) -> impl Iterator<Item = (&Symbol, Integer)> {
        let single = self.sizes.iter().filter(|sweep| sweep.symbol != self.axis);
        single.filter_map(|sweep| Some((&sweep.symbol, sweep.sizes.at(0)?)))
    }

    fn plan(&self) -> Result<BenchPlan<'_>, Failure> {
        let shared = self.shared().map(|(symbol, size)| format!("{symbol}={size}"));
        let subject: Vec<String> =
            std::iter::once(self.model.name().to_owned()).chain(shared).collect();
        let mut cases = Vec::new();
        let one = SizeList::from_iter([Integer::from(1)]);
        let swept = self.sizes.iter().find(|sweep| sweep.symbol == self.axis);
        for size in swept.map_or(&one, |sweep| &sweep.sizes).iter() {
            let mut sizes: Binding = self.shared().collect();
            if swept.is_some() {
                sizes.set(&self.axis, size.clone());
            }
            let sized = self.model.run_at(&self.model.merged(&sizes)?)?;
            let layer = LayerWorkload {
                name: self.model.name().to_owned(),
                graph: self.model.graph(),
                binding: sized.sizes().clone(),
            };
            cases.push(BenchCase {
                at: size.to_string(),
                size: u64::try_from(size.clone()).ok(),
                workload: Workload::Layer(layer),
            });
        }
        let axis = self.axis.to_string();
        Ok(BenchPlan { bench: "layer".to_owned(), subject: subject.join(", "), axis, cases })
    }
}

fn measure(plan: &BenchPlan<'_>, options: &BenchOptions) -> Result<(), Failure> {
    let saved = options.baseline.as_deref().map(|path| {
        let problem = |problem: String| Failure::Baseline { path: path.to_owned(), problem };
        let text = read_text(path).map_err(problem)?;
        Baseline::parse(&text).map_err(|e| problem(e.to_string()))
    });
    let saved: Option<Baseline> = saved.transpose()?;
    distinct([("save", options.save.as_deref()), ("svg", options.svg.as_deref())])?;
    let save = options.save.as_deref().map(Destination::new).transpose()?;
    let svg = options.svg.as_deref().map(Destination::new).transpose()?;
    threads::start(options.threads)?;
    let threads = options.threads.map_or_else(rayon::current_num_threads, usize::from);
    let settings = Timing { threads, runs: RUNS, time: options.seconds };
    let notes = Notes::new();
    let mut bench = run(plan, &settings, &mut |text| notes.say(text))?;
    drop(notes);
    if let Some(destination) = save {
        destination.write_text(&bench.saved()?)?;
    }
    if let Some(saved) = &saved {
        bench.compare(saved);
    }
    if let Some(destination) = svg {
        destination.write_text(&bench.chart().svg()?)?;
    }
    output::show(&bench, options.format)
}
