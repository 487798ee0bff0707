//! The theorem at the sizes of published models, with weights drawn from a seed.

use std::time::Instant;

use opledger_interp::{Fast, Feeds, compare};
use opledger_models::{Request, preset};

use crate::theorem::memory;

/// One model of each family, with the sizes it leaves free.
const MODELS: &[(&str, &[(&str, u64)])] = &[
    ("bert-base", &[("b", 2), ("n", 200)]),
    ("roberta-base", &[("b", 1), ("n", 77)]),
    ("distilbert-base", &[("b", 3), ("n", 64)]),
    ("gpt2", &[("b", 1), ("n", 300)]),
    ("t5-small", &[("b", 2), ("m", 100), ("n", 50)]),
    ("vit-b16", &[("b", 2)]),
    ("deit-s16-distilled", &[("b", 1)]),
    ("swin-t", &[("b", 1)]),
    ("qwen2.5-0.5b", &[("b", 1), ("n", 100)]),
    ("qwen3-0.6b", &[("b", 1), ("n", 33)]),
    ("tinyllama-1.1b", &[("b", 1), ("n", 100)]),
];

/// `cargo test --release -p opledger-tests sizes -- --ignored --nocapture`
#[test]
#[ignore = "8.7 GB of memory, and minutes"]
fn the_theorem_holds_at_the_sizes_of_published_models() {
    for (name, sizes) in MODELS {
        let start = Instant::now();
        let model = preset(name).unwrap().config().model(name, &Request::default()).unwrap();
        let graph = &model.graph;
        let binding = sizes.iter().fold(model.binding.clone(), |at, (s, n)| at.with(*s, *n));
        let run = Fast::new().unwrap().run(graph, &binding, &Feeds::seeded(1)).unwrap();
        let theorem = compare(graph, &run.binding, &run.ledger, "the kernels").unwrap();
        assert!(theorem.holds(), "{name}: {:?}", theorem.mismatches);
        assert_eq!(run.ledger.useful(), graph.counts_at(&binding).unwrap(), "{name}");
        memory(graph, &run, false).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        for (output, value) in &run.outputs {
            let finite = value.real().is_none_or(|t| t.data().iter().all(|x| x.is_finite()));
            assert!(finite, "{name} {output}");
        }
        println!(
            "{name}: {} nodes, {} operations, {} s",
            theorem.nodes,
            run.ledger.useful().total(),
            start.elapsed().as_secs()
        );
    }
}
