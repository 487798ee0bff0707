//! A published checkpoint: all-MiniLM-L6-v2 embeds sentences as `golden/minilm.py` had the
//! `transformers` library do. `OPLEDGER_MINILM` names the folder with its files.

use std::path::PathBuf;

use opledger_interp::{Fast, Feeds};
use opledger_models::Request;
use opledger_weights::{Checkpoint, read_config};
use safetensors::SafeTensors;

#[test]
#[ignore = "needs the published files, whose folder OPLEDGER_MINILM names"]
fn sentences_are_embedded_as_by_transformers() {
    let folder = std::env::var_os("OPLEDGER_MINILM").expect("OPLEDGER_MINILM names no folder");
    let folder = PathBuf::from(folder);
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/minilm.safetensors");
    let bytes = std::fs::read(golden).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let shape = golden.tensor("input_ids").unwrap().shape().to_vec();
    let ids = |name: &str| -> Vec<i64> {
        let view = golden.tensor(name).unwrap();
        view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let expected: Vec<f64> = golden
        .tensor("expected")
        .unwrap()
        .data()
        .chunks_exact(8)
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect();

    let request = Request { attention_mask: true, ..Request::default() };
    let model = read_config(&folder).unwrap().model("m", &request).unwrap();
    let sizes = model.binding.clone().with("b", shape[0]).with("n", shape[1]);
    let complete = model.graph.complete(&sizes).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let loaded = checkpoint.load(&model.graph, &complete, &model.names, None).unwrap();
    let mask = ids("attention_mask");
    let feeds = Feeds::default()
        .with_ids("input_ids", &shape, ids("input_ids"))
        .and_then(|feeds| feeds.with_ids("attention_mask", &shape, mask.clone()))
        .unwrap()
        .zeros_at("token_type_ids");
    let feeds = loaded.tensors.into_iter().fold(feeds, |f, (path, value)| f.with(&path, value));
    let run = Fast::new().unwrap().run(&model.graph, &sizes, &feeds).unwrap();
    let states = run.output("last_hidden_state").unwrap();

    let width = states.shape()[2];
    let embedding = |item: usize| -> Vec<f64> {
        let seen: Vec<usize> = (0..shape[1]).filter(|t| mask[item * shape[1] + t] == 1).collect();
        let sum = |i: usize| seen.iter().map(|t| f64::from(states[[item, *t, i]])).sum::<f64>();
        let sums: Vec<f64> = (0..width).map(sum).collect();
        let length = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
        sums.iter().map(|x| x / length).collect()
    };
    let embeddings: Vec<Vec<f64>> = (0..shape[0]).map(embedding).collect();
    for (x, y) in embeddings.iter().flatten().zip(&expected) {
        assert!((x - y).abs() <= 1e-4, "{x} for {y}");
    }
    // Eating goes with eating, drums with drums.
    let similarity = |a: usize, b: usize| -> f64 {
        embeddings[a].iter().zip(&embeddings[b]).map(|(x, y)| x * y).sum()
    };
    for (sentence, nearest) in [(0, 1), (1, 0), (3, 4), (4, 3)] {
        let others = (0..shape[0]).filter(|other| ![sentence, nearest].contains(other));
        let highest = others.map(|other| similarity(sentence, other)).fold(-1.0, f64::max);
        assert!(similarity(sentence, nearest) > highest + 0.1, "sentence {sentence}");
    }
}
