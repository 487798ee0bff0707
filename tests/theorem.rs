//! The theorem over random layers and sizes: at every node, derived cost = the oracle's count = the
//! kernels' useful count, and the kernels' values are as good as textbook loops.
//!
//! `OPLEDGER_CASES` sets how many layers are drawn; the ordinary run draws [`CASES`]. `OPLEDGER_SEED`, a
//! number, draws others.

use std::cell::Cell;
use std::time::{Duration, Instant};

use opledger_dims::{Activation, Binding, Integer};
use opledger_interp::{Fast, Feeds, Oracle, Peak, Prepared, Quiet, RowCounts, Run, Theorem, prove};
use opledger_ir::{Graph, Node};
use opledger_models::layer::{Domain, Fit, Kind, LayerError, kinds, parse};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Layers drawn in the ordinary run.
const CASES: u32 = 2400;

/// Layers of each kind that must be among 240.
const SHARE: usize = 20;

/// One choice per size and option of a kind, as numbers that [`spec`] reads.
#[derive(Clone, Debug)]
struct Draw {
    kind: usize,
    choices: Vec<u8>,
}

impl Draw {
    /// The number for a key.
    fn choice(&self, key: usize) -> u8 {
        self.choices[key % self.choices.len()]
    }

    /// Whether a key is given: sizes always are, of the options about half.
    fn gives(&self, key: usize) -> bool {
        self.choice(key).is_multiple_of(2)
    }
}

fn draw() -> impl Strategy<Value = Draw> {
    let choices = prop::collection::vec(any::<u8>(), 40);
    (0..kinds().len(), choices).prop_map(|(kind, choices)| Draw { kind, choices })
}

/// A small size that fits the others of its kind, as the table of keys says.
fn size(kind: &Kind, draw: &Draw, index: usize, least: i64) -> u64 {
    let free = u64::from(draw.choice(index) / 2);
    let key = &kind.keys[index];
    let other = |name: &str| {
        let index = kind.keys.iter().position(|key| key.name == name)?;
        match kind.keys[index].values {
            Domain::Size { least } => Some(size(kind, draw, index, least)),
            Domain::Optional { least } if draw.gives(index) => Some(size(kind, draw, index, least)),
            _ => None,
        }
    };
    let shared = kind.keys.iter().any(|other| other.fit == Fit::MultipleOf(key.name));
    let among = match least {
        0 => 3,
        _ if shared => 2,
        _ => 6,
    };
    let alone = least as u64 + free % among;
    let fitting = match key.fit {
        Fit::Free => None,
        Fit::Even => Some(2 * (1 + free % 3)),
        Fit::EvenUpTo(name) => other(name).map(|other| 2 * (1 + free % (other / 2).max(1))),
        Fit::MultipleOf(name) => other(name).map(|other| other * (1 + free % 4)),
        Fit::Below(name) => other(name).map(|other| free % other),
        Fit::AtLeast(name) => other(name).map(|other| other + free % 3),
    };
    fitting.unwrap_or(alone)
}

/// The layer and the sizes that a draw stands for.
fn spec(kind: &Kind, draw: &Draw) -> String {
    let mut settings = Vec::new();
    for (i, key) in kind.keys.iter().enumerate() {
        let (choice, given) = (draw.choice(i), draw.gives(i));
        let value = match key.values {
            Domain::Size { least } => Some(size(kind, draw, i, least).to_string()),
            Domain::Optional { least } if given => Some(size(kind, draw, i, least).to_string()),
            Domain::Flag if given => Some((choice.is_multiple_of(4)).to_string()),
            Domain::Activation if given => {
                let words = Activation::NAMES;
                Some(words[usize::from(choice / 2) % words.len()].to_owned())
            }
            Domain::Choice(words) if given => {
                Some(words[usize::from(choice / 2) % words.len()].to_owned())
            }
            Domain::Number { from, below } if given => Some(format!(
                "{}",
                from.max(1e-5) + (below.min(1.0) - from) * 0.4 * f64::from(choice % 3) / 2.0
            )),
            _ => None,
        };
        settings.extend(value.map(|value| (key.name, value)));
    }
    // A size that nothing asks for, such as that of a window without the mask, is left out.
    loop {
        let all: Vec<String> =
            settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let text = format!("{}:{}", kind.name, all.join(","));
        match parse(&text) {
            Err(LayerError::Unused { key, .. }) if settings.iter().any(|(own, _)| **own == key) => {
                settings.retain(|(own, _)| **own != key);
            }
            Ok(_) | Err(_) => return text,
        }
    }
}

/// How far the kernels may be off: what textbook loops in `f32` are off at the same place anyway, a
/// few times over since sums are taken in another order, and the rounding of the largest value.
fn bound(single_error: f64, largest: f64) -> f64 {
    8.0 * single_error + 64.0 * f64::from(f32::EPSILON) * largest
}

/// Holds the peak that a run has reached against what was foreseen: never more, and not less where
/// every node runs by itself and every repetition at least twice, since the first iteration of one
/// works on what it is given and not on a buffer of its own.
pub(crate) fn memory(graph: &Graph, run: &Run<f32>, equal: bool) -> Result<(), String> {
    let foreseen = graph.footprint(&run.binding, size_of::<f32>()).unwrap().computed();
    let Peak { live, held } = run.peak.unwrap();
    let times = |node: &Node| graph.multiplicity(node).at(&run.binding).unwrap();
    let again = |node: &Node| node.repeat.is_none() || times(node) >= 2.into();
    let equal = equal && graph.nodes().iter().all(again);
    let fits = live <= held && Integer::from(held) <= foreseen;
    match fits && (!equal || Integer::from(live) == foreseen) {
        true => Ok(()),
        false => Err(format!("{live} bytes alive and {held} held, {foreseen} foreseen")),
    }
}

/// Proves one layer. `None` when the combination is one that layers refuse.
fn check(text: &str) -> Option<Result<Theorem, String>> {
    let model = parse(text).ok()?;
    let binding = model.graph.symbols().into_iter().filter(|s| model.binding.get(s).is_none());
    let binding = binding
        .filter(|s| !s.as_str().starts_with("pairs") && !s.as_str().starts_with("rows"))
        .fold(model.binding.clone(), |at: Binding, s| at.with(s, 3));
    let complete = model.graph.complete(&binding).ok()?;
    model.graph.check(&complete).ok()?;
    let feeds = Feeds::seeded(7);
    let proof = match prove(&model.graph, &binding, &feeds) {
        Ok(proof) => proof,
        Err(error) => return Some(Err(error.to_string())),
    };
    let exact = Oracle::<f64>::new().run(&model.graph, &binding, &feeds).unwrap();
    let (single, fast) = (proof.oracle, proof.fast);
    for (run, equal) in [(&fast, false), (&proof.node_by_node, true)] {
        if let Err(problem) = memory(&model.graph, run, equal) {
            return Some(Err(problem));
        }
    }
    for (name, _) in &exact.outputs {
        let (Ok(exact), Ok(single), Ok(fast)) =
            (exact.output(name), single.output(name), fast.output(name))
        else {
            continue;
        };
        let error = |values: &mut dyn Iterator<Item = f64>| {
            let errors = exact.iter().zip(values).map(|(x, y)| (x.0 - y).abs());
            // Unlike `f64::max`, keeps NaN.
            errors.fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a })
        };
        let single_error = error(&mut single.iter().map(|x| f64::from(x.0)));
        let fast_error = error(&mut fast.iter().map(|x| f64::from(*x)));
        let largest = exact.iter().map(|x| x.0.abs()).fold(0.0, f64::max);
        if fast_error.is_nan() || fast_error > bound(single_error, largest) {
            return Some(Err(format!(
                "{name} is off by {fast_error:e}, textbook loops by {single_error:e}"
            )));
        }
    }
    Some(Ok(proof.theorem))
}

#[test]
fn holds_at_every_node_of_random_layers() {
    let given = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u32>().unwrap());
    let cases = given("OPLEDGER_CASES").unwrap_or(CASES);
    let rng = match given("OPLEDGER_SEED") {
        None => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        Some(seed) => {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&seed.to_le_bytes());
            TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
        }
    };
    let config = Config {
        cases,
        max_global_rejects: 4 * cases,
        failure_persistence: None,
        ..Config::default()
    };
    let (compared, start) = (Cell::new(0), Instant::now());
    let result = TestRunner::new_with_rng(config, rng).run(&draw(), |draw| {
        let text = spec(&kinds()[draw.kind], &draw);
        match check(&text) {
            None => Err(TestCaseError::reject("layers refuse this combination")),
            Some(Err(problem)) => Err(TestCaseError::fail(format!("{text}: {problem}"))),
            Some(Ok(theorem)) => {
                prop_assert!(theorem.holds(), "{text}: {}", theorem.mismatches[0]);
                compared.set(compared.get() + theorem.nodes);
                Ok(())
            }
        }
    });
    result.unwrap();
    println!("{cases} layers, {} nodes, {:.0?}", compared.get(), start.elapsed());
    let mut nodes = 0;
    // Each kind must have had its share: none may be refused whatever is drawn.
    for kind in kinds() {
        let drawn = 0_u32..240;
        let accepted = drawn.filter(|seed| {
            // Each its own byte of a hash, so that no choice follows from another.
            let hashed = |i| u64::from(seed * 40 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let choices = (0..40).map(|i| hashed(i) as u8).collect();
            match check(&spec(kind, &Draw { kind: 0, choices })) {
                Some(Ok(theorem)) => {
                    nodes += theorem.nodes;
                    true
                }
                _ => false,
            }
        });
        let accepted = accepted.take(SHARE).count();
        assert!(accepted == SHARE, "{}: only {accepted} of 240 combinations are layers", kind.name);
    }
    assert!(nodes > 4000, "{nodes} nodes");
}

/// Every mask of attention, as settings of a layer.
const MASKS: [&str; 7] = [
    "mask=none",
    "mask=causal",
    "mask=window,window=33",
    "mask=chunks,window=33",
    "mask=none,padding=true",
    "mask=causal,padding=true",
    "mask=window,window=33,padding=true",
];

/// Layers of every kind at odd sizes that several threads share, attention under every mask.
fn shared_by_threads() -> Vec<String> {
    let mut layers: Vec<String> = [
        "linear:b=3,n=77,in=129,out=131",
        "window-attention:b=2,height=10,width=13,side=4,shift=2,c=24,h=3",
        "vit-attention:b=2,n=131,c=45,h=5,qkv_bias=true",
        "vit-attention:b=2,n=131,c=45,h=5,weights=heads",
        "ffn:b=3,n=77,c=45,ff=133,act=gelu",
        "ffn:b=1,n=211,c=45,ff=133,act=silu,gated=true",
        "layer-norm:b=3,n=1033,c=211",
        "group-norm:b=3,n=1033,c=210,groups=7",
        "rms-norm:b=3,n=1033,c=211",
        "embedding:b=3,n=511,v=301,c=210,positions=sinusoid",
        "bert-embedding:b=3,n=511,v=301,c=211,p=513,types=2",
        "lm-head:b=2,n=131,c=45,v=1009",
        "attention-mlp-stack:b=2,n=67,l=2,c=45,h=5,ff=91,training=true",
        // Few queries over many keys.
        "mha:b=2,n=1,m=4099,c=48,h=4,kv=2",
        "mha:b=1,n=3,m=2053,c=48,h=4,kv=2,padding=true",
        "mha:b=2,n=131,c=48,h=4,rope=true,dropout=0.3,training=true",
        "mla:b=2,n=67,c=48,h=4,q=33,d=37,e=12,rot=6,rope=true,mask=causal",
        "mla:b=2,n=67,c=48,h=4,d=37,e=12,rot=6,rope=true,mask=causal,form=absorbed",
        "transformer:b=1,l=2,n=67,m=71,c=32,h=2,ff=64,embed=true,v=131",
    ]
    .map(str::to_owned)
    .into();
    for mask in MASKS {
        layers.extend([
            format!("self-attention:b=2,n=131,c=45,{mask}"),
            format!("mha:b=2,n=131,c=48,h=4,kv=2,{mask}"),
            format!("mha:b=2,n=131,c=48,h=4,kv=2,weights=heads,{mask}"),
            format!("cross-attention:b=2,n=67,m=203,c=48,h=4,{mask}"),
            format!("encoder-layer:b=2,n=67,c=48,h=4,ff=91,act=gelu,{mask}"),
            format!("decoder-layer:b=1,n=67,m=71,c=32,h=2,ff=63,{mask}"),
            format!("encoder:b=1,l=2,n=67,c=32,h=2,ff=63,{mask}"),
            format!("decoder:b=1,l=2,n=67,m=71,c=32,h=2,ff=63,{mask}"),
        ]);
    }
    layers
}

#[test]
fn bits_and_counts_do_not_depend_on_threads() {
    let layers = shared_by_threads();
    for kind in kinds() {
        let own = |text: &String| text.split_once(':').is_some_and(|(name, _)| name == kind.name);
        assert!(layers.iter().any(own), "no layer of the kind {}", kind.name);
    }
    let pools: Vec<_> = (1..=8)
        .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
        .collect();
    for text in layers {
        let model = parse(&text).unwrap();
        let prepared = Prepared::new(&model.graph, &model.binding, &Feeds::seeded(5)).unwrap();
        let with = |pool: &rayon::ThreadPool| {
            let run = pool.install(|| prepared.run(&mut Fast::new().unwrap(), &mut Quiet)).unwrap();
            let values = run.outputs.iter().filter_map(|(_, value)| value.real());
            let bits: Vec<u32> =
                values.flat_map(|value| value.data().iter().map(|x| x.to_bits())).collect();
            let rows = run.ledger.rows().iter().map(|row| row.counts());
            let counts: Vec<_> =
                rows.map(|counts| RowCounts { time: Duration::ZERO, ..counts }).collect();
            (bits, counts)
        };
        let one = with(&pools[0]);
        for pool in &pools[1..] {
            assert!(with(pool) == one, "{text} with {} threads", pool.current_num_threads());
        }
    }
}

/// A product with what follows it in one kernel gives what its nodes give one by one, in bits and in
/// every row of the ledger.
#[test]
fn chains_do_what_their_nodes_do() {
    let layers = [
        "encoder-layer:b=2,n=19,c=48,h=4,ff=80,act=gelu",
        "encoder-layer:b=1,n=33,c=32,h=2,ff=64,act=relu,norm=pre",
        "decoder-layer:b=1,n=7,m=9,c=32,h=2,ff=64",
        "ffn:b=3,n=11,c=24,ff=50,act=silu",
        "ffn:b=1,n=1,c=24,ff=50,act=silu",
        "ffn:b=2,n=1,c=24,ff=7,act=silu",
        "ffn:b=2,n=2,c=1,ff=50,act=silu",
    ];
    for text in layers {
        let model = parse(text).unwrap();
        let run =
            |mut fast: Fast| fast.run(&model.graph, &model.binding, &Feeds::seeded(5)).unwrap();
        let (chained, single) =
            (run(Fast::new().unwrap()), run(Fast::new().unwrap().node_by_node()));
        let bits = |run: &Run<f32>| -> Vec<u32> {
            run.output("y").unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert!(bits(&chained) == bits(&single), "{text}");
        let mut without_time = 0;
        for (node, (a, b)) in chained.ledger.rows().iter().zip(single.ledger.rows()).enumerate() {
            let (a, b) = (a.counts(), b.counts());
            assert_eq!((&a.useful, &a.executed), (&b.useful, &b.executed), "{text}, node {node}");
            assert_eq!(a.runs, b.runs, "{text}, node {node}");
            let fewer = a.bytes_read <= b.bytes_read && a.bytes_written <= b.bytes_written;
            assert!(fewer && (a.fused || a.bytes_read == b.bytes_read), "{text}, node {node}");
            without_time += usize::from(a.time.is_zero() && !b.time.is_zero());
        }
        assert!(without_time > 0, "{text} has no chain");

        // Compiled without counting: the same bits, and nothing counted.
        let feeds = Feeds::seeded(5);
        let uncounted = Fast::uncounted().unwrap().run(&model.graph, &model.binding, &feeds);
        let uncounted = uncounted.unwrap();
        assert!(bits(&chained) == bits(&uncounted), "{text}");
        assert!(uncounted.ledger.executed().is_zero() && !chained.ledger.useful().is_zero());
    }
}
