//! What frameworks say a training step of a model costs: models of the library against its own trainer, a
//! published table, and two frameworks side by side.

// Helpers of tests fail loudly, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use opledger_account::{AccountError, Model};
use opledger_dims::Integer;
use serde_json::Value;

fn steps(model: &Model, sizes: [(&str, u64); 2], names: &[&str]) -> Vec<Integer> {
    let sized = model.at(sizes).unwrap();
    names.iter().map(|name| sized.convention(name).unwrap()).collect()
}

fn tera(count: &Integer) -> String {
    format!("{:.2}", count.to_string().parse::<f64>().unwrap() / 1e12)
}

#[test]
fn the_trainer_of_the_library_prints_what_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    for text in [
        include_str!("../../../tests/frameworks/observed.json"),
        include_str!("../../../tests/frameworks/scored.json"),
    ] {
        let all: BTreeMap<String, Vec<Value>> = serde_json::from_str(text).unwrap();
        let cases = &all["hf-trainer"];
        assert_eq!(cases.len(), 60);
        for case in cases {
            std::fs::write(&file, case["config"].to_string()).unwrap();
            let model = Model::open(file.to_str().unwrap()).unwrap();
            let size = |name: &str| case["work"][name].as_u64().unwrap();
            let own = steps(&model, [("b", size("b")), ("n", size("n"))], &["hf-trainer"]);
            assert_eq!(own[0].to_string(), case["number"].to_string(), "{case}");
        }
    }
}

#[test]
fn maxtext_publishes_what_is_said_of_it_before_and_after_it_halved_attention() {
    // https://github.com/AI-Hypercomputer/maxtext/pull/1988, in TFLOPs, at per_device_batch_size = 4.
    for (model, n, learnable, before, after) in [
        ("llama-2-7b", 8192, "1299.00", ["1721.22", "422.21"], ["1510.11", "211.11"]),
        ("llama-2-7b", 129_024, "20459.32", ["125194.40", "104735.08"], ["72826.86", "52367.54"]),
        ("deepseek-v2-lite", 8192, "481.95", ["704.60", "222.65"], ["593.27", "111.33"]),
    ] {
        let model = Model::open(model).unwrap();
        let sized = model.at([("b", 4), ("n", n)]).unwrap();
        for (name, [total, attention]) in [("maxtext-before", before), ("maxtext", after)] {
            let counts = sized.step(name).unwrap();
            let all: Integer = counts.values().map(|part| &part.count).sum();
            let own = &counts["attention products"].count;
            assert_eq!([tera(&all), tera(own), tera(&(&all - own))], [total, attention, learnable]);
        }
    }
}

#[test]
fn olmo_core_says_of_its_own_configurations_what_is_said_of_it() {
    // `TransformerConfig.olmo2_7B(vocab_size=100352)` and others at fa6c501, built on `meta`:
    // `num_flops_per_token(n)`. Its `llama3_70B` is 8,196 columns wide, the published model 8,192.
    for (model, n, per_token) in [
        ("olmo-2-7b", 4096, 47_766_331_392_u64),
        ("olmo-2-13b", 4096, 89_278_248_960),
        ("llama-3.1-8b", 8192, 57_912_877_056),
        ("llama-2-7b", 4096, 46_084_939_776),
        ("qwen3-8b", 4096, 52_656_420_864),
    ] {
        let own = steps(&Model::open(model).unwrap(), [("b", 1), ("n", n)], &["olmo-core"]);
        assert_eq!(own[0], Integer::from(per_token) * n, "{model}");
    }
}

#[test]
fn two_frameworks_differ_by_nothing_that_is_not_said() {
    let model = Model::open("deepseek-v2-lite").unwrap();
    let sized = model.at([("b", 4), ("n", 8192)]).unwrap();
    let explained = sized.explain("megatron-lm", "maxtext").unwrap();
    let lines: Vec<(&str, String, &str)> = explained
        .lines
        .iter()
        .map(|line| (&*line.what, line.difference.to_string(), line.reason.as_deref().unwrap()))
        .collect();
    // Routers are left out by the one, the norms of latents by the other.
    let bnl = 6 * 4 * 8192_i64;
    assert_eq!(
        lines,
        [
            (
                "router",
                (-bnl * 26 * 2048 * 64).to_string(),
                "not counted by megatron-lm; 6·b·n·c·x"
            ),
            ("norms of latents", (bnl * 27 * 512).to_string(), "not counted by maxtext; 6·b·n·d"),
        ]
    );
    assert_eq!(explained.unaccounted, 0.into());
}

#[test]
fn what_no_formula_is_about_is_refused() {
    let said = |model: &str, sizes: &[(&str, u64)], name: &str| {
        let model = Model::open(model).unwrap();
        let sizes: Vec<(&str, u64)> = sizes.to_vec();
        model.at(sizes).unwrap().convention(name).unwrap_err().to_string()
    };
    let both = [("b", 1), ("n", 16)];
    assert_eq!(
        said("mamba2-130m", &both, "megatron-lm"),
        "formulas of training steps are about causal decoders, and not about `mamba2-130m`: it has no term for \
         `state space`"
    );
    assert!(
        said("bert-base", &both, "maxtext").ends_with("it is no causal decoder of a known family")
    );
    assert!(
        said("mha:c=8,h=2", &both, "maxtext")
            .ends_with("it is no causal decoder of a known family")
    );
    assert!(said("gpt2", &both, "maxtext").contains("it is for llama, mistral"));
    let model = Model::open("gpt2").unwrap();
    let sized = model.at([("n", 16)]).unwrap();
    let mixed = sized.explain("nanogpt", "fvcore");
    assert!(matches!(mixed, Err(AccountError::StepAndForward { .. })), "{mixed:?}");
    let mixed = sized.explain("nanogpt", "forward-products");
    assert!(matches!(mixed, Err(AccountError::StepAndForward { .. })), "{mixed:?}");
}

#[test]
fn products_of_every_decoder_are_those_of_its_graph() {
    // The check is made at every question; some preset of each kind is asked here.
    let mut asked = 0;
    for preset in opledger_models::presets().unwrap() {
        let model = Model::open(&preset.name).unwrap();
        if model.recorded().decoder.is_none() {
            continue;
        }
        let Ok(sized) = model.at([("b", 2), ("n", 37)]) else { continue };
        match sized.convention("step-products") {
            Ok(step) => assert_eq!(step, sized.matmul_flops().unwrap() * 3, "{}", preset.name),
            Err(error) => assert!(error.to_string().contains("it has no term for"), "{error}"),
        }
        asked += 1;
    }
    assert!(asked > 90, "{asked}");
}
