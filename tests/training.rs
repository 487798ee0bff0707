//! Steps of training by the kernels, against PyTorch's: each goes on from what the one before left.

use std::collections::BTreeMap;

use opledger_account::{Model, TrainingOptions, TrainingSizes};
use opledger_dims::{Binding, Integer, Symbol};
use opledger_execute::{Trainer, weights};
use opledger_grad::{Optimizer, Update};
use opledger_interp::{Fast, Feeds, Prepared, Quiet};
use opledger_ir::Value;
use opledger_tensor::Tensor;

/// What `golden/training.py` says of an optimiser, by checkpoint: losses, and how many numbers of state.
fn golden(way: &str) -> BTreeMap<String, (Vec<f64>, u64)> {
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/training.json")).unwrap();
    let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let own = all[way].as_object().unwrap().iter();
    own.map(|(name, of)| {
        let losses = of["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap());
        (name.clone(), (losses.collect(), of["state"].as_u64().unwrap()))
    })
    .collect()
}

/// How far the losses of ten steps are from PyTorch's, as a share of them.
fn apart(way: &str, optimizer: Optimizer, batches: u32) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for (name, (losses, state)) in golden(way) {
        let path = format!("{}/golden/models/{name}", env!("CARGO_MANIFEST_DIR"));
        let model = Model::open(&path).unwrap();
        let update = Some(Update { optimizer, clip: None });
        let options =
            TrainingOptions { update, accumulate: Some(batches), ..TrainingOptions::default() };
        let step = model.training(&options).unwrap();
        let sizes = Binding::from_iter([("b", 2), ("n", 7)]);
        let cost = step.at(&sizes, TrainingSizes::default()).unwrap();
        assert_eq!(cost.memory.state, Some(Integer::from(4 * state)), "{way} {name}");
        let given =
            weights(&model, step.sized(&sizes).as_ref().unwrap(), Feeds::seeded(0)).unwrap();
        assert!(given.read);
        let mut trainer = Trainer::new(&step, &sizes, given.feeds).unwrap();
        let words = cost.binding.get(&Symbol::new("v")).unwrap();
        let words = i64::try_from(words).unwrap();
        let batch = |more: i64| {
            let ids = |by: i64, first: i64| {
                let ids = (0..14).map(|i| (by * i + first + more) % words).collect();
                Value::Index(Tensor::new(&[2, 7], ids).unwrap())
            };
            vec![("input_ids".to_owned(), ids(5, 3)), ("labels".to_owned(), ids(3, 1))]
        };
        let given: Vec<_> = (0..i64::from(batches)).map(batch).collect();
        let mut most: f64 = 0.0;
        for loss in losses {
            let done = trainer.step_of(0.01, &given).unwrap();
            assert!(done.theorem.holds(), "{:?}", done.theorem.mismatches);
            most = most.max((f64::from(done.loss) - loss).abs() / loss);
        }
        found.insert(name, most);
    }
    found
}

fn hold(way: &str, optimizer: Optimizer, batches: u32, (checkpoints, most): (usize, f64)) {
    let apart = apart(way, optimizer, batches);
    assert_eq!(apart.len(), checkpoints);
    assert!(apart.values().all(|own| *own < most), "{way}: {apart:?}");
}

#[test]
fn steps_of_adamw_are_those_of_pytorch() {
    hold("adamw", Optimizer::ADAMW, 1, (3, 1e-5));
}

#[test]
fn steps_over_three_batches_are_those_of_pytorch() {
    hold("accumulated", Optimizer::ADAMW, 3, (3, 1e-5));
}

/// Single precision beside PyTorch's double precision, from which its own single precision is 2.5e-5 apart.
#[test]
fn steps_of_adafactor_are_those_of_pytorch() {
    hold("adafactor", Optimizer::ADAFACTOR, 1, (2, 5e-5));
}

#[test]
fn steps_of_muon_are_those_of_pytorch() {
    hold("muon", Optimizer::MUON, 1, (2, 1e-5));
}

/// What computed values took at the worst moment of a step, nodes one by one, and what was foreseen.
fn peak(model: &str, sizes: &[(&str, u64)]) -> (u64, u64) {
    let model = Model::open(model).unwrap();
    let update = Some(Update { optimizer: Optimizer::ADAMW, clip: None });
    let step = model.training(&TrainingOptions { update, ..TrainingOptions::default() }).unwrap();
    let sizes: Binding = sizes.iter().copied().collect();
    let foreseen = step.at(&sizes, TrainingSizes::default()).unwrap().memory.computed;
    let sizes = step.sized(&sizes).unwrap();
    let prepared = Prepared::new(step.graph(), &sizes, &Feeds::seeded(1)).unwrap();
    let run = prepared.run(&mut Fast::new().unwrap().node_by_node(), &mut Quiet).unwrap();
    (run.peak.unwrap().live, u64::try_from(&foreseen).unwrap())
}

fn within_a_tenth((measured, foreseen): (u64, u64)) {
    assert!(measured <= foreseen, "{measured} of {foreseen}");
    assert!(10 * measured >= 9 * foreseen, "{measured} of {foreseen}");
}

#[test]
fn a_step_takes_the_memory_foreseen() {
    let path = |name| format!("{}/golden/models/{name}", env!("CARGO_MANIFEST_DIR"));
    within_a_tenth(peak(&path("gpt2_lm"), &[("b", 1), ("n", 24)]));
    within_a_tenth(peak(&path("llama_tied_scaled"), &[("b", 2), ("n", 16)]));
}

#[test]
#[ignore = "4 GB of memory"]
fn a_step_of_gpt2_takes_the_memory_foreseen() {
    let (measured, foreseen) = peak("gpt2", &[("b", 1), ("n", 512)]);
    println!("measured {measured} bytes, foreseen {foreseen}");
    within_a_tenth((measured, foreseen));
}
