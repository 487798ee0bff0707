//! Training steps of models: against figures that are worked out elsewhere, and their sums.

// A test that meets what it does not expect fails by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

use opledger_account::{Attending, Model, TrainingOptions, TrainingSizes};
use opledger_dims::{Binding, Integer};
use opledger_grad::{Optimizer, Recompute, Update};
use opledger_ir::{Elem, Phase};
use opledger_report::TrainingCost;

fn cost(model: &str, options: &TrainingOptions, sizes: &[(&str, u64)], elem: Elem) -> TrainingCost {
    let sizes: Binding = sizes.iter().copied().collect();
    let model = Model::open_at(model, Default::default(), &sizes, &Default::default()).unwrap();
    let step = model.training(options).unwrap();
    step.at(&sizes, TrainingSizes { elem, ..TrainingSizes::default() }).unwrap()
}

fn phase(cost: &TrainingCost, phase: Phase) -> Integer {
    let own = cost.phases.iter().find(|own| own.phase == phase.to_string());
    own.map_or_else(Integer::default, |own| own.matmul_flops.clone())
}

/// Forward and backward products of GPT-2 small at 1,024 tokens by hand: three times those of the weights
/// (12·12·768² in layers and the head of 50,257 words) and six products of 64 columns over 1024·1025/2 pairs
/// of 12 heads in 12 layers.
#[test]
fn gpt2_costs_what_is_worked_out_by_hand() {
    let cost = cost("gpt2", &TrainingOptions::default(), &[("n", 1024)], Elem::F32);
    let weights: u64 = 12 * 12 * 768 * 768 + 50_257 * 768;
    let (pairs, width) = (1024 * 1025 / 2 * 12_u64 * 12, 64);
    let expected = 2 * 3 * weights * 1024 + 2 * 6 * pairs * width;
    assert_eq!(expected, 817_019_486_208);
    assert_eq!(cost.model_flops, expected.into());
    assert_eq!(cost.hardware_flops, cost.model_flops);
    assert_eq!(phase(&cost, Phase::Backward), phase(&cost, Phase::Forward) * 2);
    assert_eq!(cost.terms[0].flops, Integer::from(6u64 * 124_439_808 * 1024));
}

#[test]
fn terms_and_modules_add_up_to_the_step() {
    let all = [Recompute::Nothing, Recompute::Selective, Recompute::Layers];
    let update = Some(Update { optimizer: Optimizer::ADAMW, clip: Some(1.0) });
    for name in ["gpt2", "llama-3.1-8b", "bert-base", "t5-small", "mixtral-8x7b", "gemma-2-2b"] {
        for recompute in &all {
            let options =
                TrainingOptions { recompute: recompute.clone(), update, ..Default::default() };
            let sizes: &[(&str, u64)] = match name {
                "t5-small" => &[("b", 2), ("n", 33), ("m", 21)],
                _ => &[("b", 2), ("n", 33)],
            };
            let cost = cost(name, &options, sizes, Elem::F32);
            let terms: Integer = cost.terms.iter().map(|term| &term.flops).sum();
            assert_eq!(terms, cost.hardware_flops, "{name} {recompute}");
            let modules = cost.modules.iter();
            let sum: Integer = modules
                .clone()
                .map(|module| &module.forward + &module.backward + &module.recomputation)
                .sum();
            assert_eq!(sum, cost.hardware_flops, "{name} {recompute}");
            let flops: Integer = modules.map(|module| &module.flops).sum();
            assert_eq!(flops, cost.flops, "{name} {recompute}");
            let again = phase(&cost, Phase::Recomputation);
            assert_eq!(&cost.model_flops + &again, cost.hardware_flops);
            let nothing: Integer = 0.into();
            assert_eq!(again == nothing, *recompute == Recompute::Nothing, "{name} {recompute}");
        }
    }
}

/// Recomputing the layers keeps what enters each, and what the head and its loss read.
#[test]
fn what_is_kept_is_what_gradients_read() {
    let of = |recompute: Recompute| {
        let options = TrainingOptions { recompute, ..Default::default() };
        cost("llama-2-7b", &options, &[("b", 1), ("n", 64)], Elem::Bf16).memory.kept
    };
    let (all, selective, layers) =
        (of(Recompute::Nothing), of(Recompute::Selective), of(Recompute::Layers));
    assert!(all > selective && selective > layers, "{all} {selective} {layers}");
    let row = |width: u64| 64 * width;
    // What enters each of 32 layers; what the last norm and the head read; cosines and sines; the scores.
    let elements = 32 * row(4096) + 2 * row(4096) + 2 * row(128) + row(32_000);
    // And the ids that say which rows of the table have gradients.
    assert_eq!(layers, Integer::from(2 * elements + 8 * row(1)), "{layers}");
}

#[test]
fn optimisers_have_their_state() {
    for (optimizer, copies) in
        [(Optimizer::SGD, 0), (Optimizer::MOMENTUM, 1), (Optimizer::ADAM, 2), (Optimizer::ADAMW, 2)]
    {
        let update = Some(Update { optimizer, clip: None });
        let options = TrainingOptions { update, ..Default::default() };
        let cost = cost("gpt2", &options, &[("n", 8)], Elem::Bf16);
        assert_eq!(cost.memory.state, Some(Integer::from(copies * 2 * 124_439_808_u64)));
        // Of AdamW each parameter takes 5 add, 6 mul, 2 div and a root; the rates are numbers.
        if optimizer == Optimizer::ADAMW {
            let update = cost.phases.iter().find(|own| own.phase == "update").unwrap();
            let each = Integer::from(124_439_808_u64) * 14;
            assert!(update.flops >= each && update.flops < each + 10, "{}", update.flops);
        }
    }
}

/// What leads to no result that is asked for is not trained, and costs no gradient, no state, no update.
#[test]
fn what_has_no_gradient_is_not_trained() {
    let update = Some(Update { optimizer: Optimizer::ADAMW, clip: None });
    let of = |name: &str, result: Option<&str>, sizes: &[(&str, u64)]| {
        let result = result.map(str::to_owned);
        cost(name, &TrainingOptions { result, update, ..Default::default() }, sizes, Elem::F32)
    };
    // The pooler is behind the states: 768² and 768.
    let states = of("bert-base", Some("last_hidden_state"), &[("n", 16)]);
    assert_eq!(&states.parameters - &states.trained, Integer::from(768 * 768 + 768_u64));
    assert_eq!(states.memory.gradients, &states.trained * 4_u32);
    assert_eq!(states.memory.state, Some(&states.trained * 8_u32));
    // A pair of an encoder and a decoder is trained by the scores of its decoder.
    let pair = of("t5-base", None, &[("n", 512), ("m", 512)]);
    assert_eq!((pair.result.as_str(), pair.loss), ("logits", "cross-entropy"));
    assert_eq!(pair.model_flops, Integer::from(757_116_960_768_u64));
    assert_eq!(pair.trained, pair.parameters);
    // What goes into a cache is no result.
    assert_eq!(of("gpt2", None, &[("n", 4), ("p", 3)]).result, "logits");
    // A parameter has an axis called as repetitions were.
    assert_eq!(of("kimi-linear-48b-a3b", None, &[("n", 8)]).result, "logits");
}

/// What tools see of a step is all of it, and every difference has its reason.
#[test]
fn tools_see_all_of_a_step() {
    let all = [Recompute::Nothing, Recompute::Selective, Recompute::Layers];
    let update = Some(Update { optimizer: Optimizer::ADAMW, clip: Some(1.0) });
    for name in ["gpt2", "llama-3.1-8b", "bert-base", "mixtral-8x7b", "gemma-2-2b", "vit-b16"] {
        for recompute in &all {
            let options =
                TrainingOptions { recompute: recompute.clone(), update, ..Default::default() };
            let sizes: Binding = match name {
                "vit-b16" => [("b", 2)].into_iter().collect(),
                _ => [("b", 2), ("n", 33)].into_iter().collect(),
            };
            let model = Model::open(name).unwrap();
            let step = model.training(&options).unwrap();
            let cost = step.at(&sizes, TrainingSizes::default()).unwrap();
            for attending in [Attending::Usual, Attending::Fused, Attending::Math] {
                let tools = step.tools(&sizes, Some("transformers"), attending).unwrap();
                let total = |name: &str| tools.total(name).unwrap();
                assert_eq!(total("matmul-flops"), cost.hardware_flops, "{name} {recompute}");
                assert_eq!(total("flops"), cost.flops, "{name} {recompute}");
                let told = tools.explain("torch-flop-counter", "matmul-flops").unwrap();
                assert_eq!(told.unaccounted, 0.into(), "{name} {recompute}");
                assert!(told.lines.iter().all(|line| line.reason.is_some()), "{name} {recompute}");
            }
        }
    }
}

/// GPT-2 small at 1,024 tokens: the counter's figure with a fused kernel and without, and what a mask leaves.
#[test]
fn gpt2_is_counted_as_the_counter_does() {
    let model = Model::open("gpt2").unwrap();
    let sizes: Binding = [("n", 1024)].into_iter().collect();
    let step = model.training(&TrainingOptions::default()).unwrap();
    let total = |attending| {
        let tools = step.tools(&sizes, Some("transformers"), attending).unwrap();
        tools.total("torch-flop-counter").unwrap()
    };
    let (math, fused): (u64, u64) = (874_944_921_600, 894_272_274_432);
    assert_eq!(total(Attending::Math), math.into());
    assert_eq!(total(Attending::Fused), fused.into());
    // As `transformers` builds it, weights are dropped out, which no fused kernel of the CPU does.
    assert_eq!(total(Attending::Usual), math.into());
    let refused = step.tools(&sizes, None, Attending::Usual).unwrap().total("fvcore").unwrap_err();
    assert!(refused.to_string().contains("counts a forward pass"), "{refused}");

    let cost = step.at(&sizes, TrainingSizes::default()).unwrap();
    let [square, half, exact] = &cost.masks[..] else { panic!("{:?}", cost.masks) };
    // Six products of 64 columns over all pairs of 12 heads in 12 layers.
    assert_eq!(square.attention, (12 * 64 * 1024 * 1024 * 12 * 12_u64).into());
    assert_eq!(square.model_flops, math.into());
    assert_eq!(&half.attention * 2u32, square.attention);
    assert_eq!(exact.model_flops, cost.model_flops);
    assert_eq!(exact.attention, (12 * 64 * (1024 * 1025 / 2) * 12 * 12_u64).into());
    // No mask by positions, no table of them.
    let bert = Model::open("bert-base").unwrap();
    let step = bert.training(&TrainingOptions::default()).unwrap();
    let sizes: Binding = [("n", 512)].into_iter().collect();
    assert_eq!(step.at(&sizes, TrainingSizes::default()).unwrap().masks, []);
}

/// What is computed again is no part of a model's products: over each kind of pairs these are the same whether
/// attention is written out or its gradients are one operation.
#[test]
fn masks_are_told_alike_whatever_is_computed_again() {
    for (name, n) in [("gpt2", 1000), ("mistral-7b", 5000)] {
        let model = Model::open(name).unwrap();
        let sizes: Binding = [("n", n)].into_iter().collect();
        let masks = |recompute| {
            let step =
                model.training(&TrainingOptions { recompute, ..Default::default() }).unwrap();
            step.at(&sizes, TrainingSizes::default()).unwrap().masks
        };
        let (kept, again) = (masks(Recompute::Nothing), masks(Recompute::Selective));
        assert_eq!(kept.len(), 3);
        for (kept, again) in kept.iter().zip(&again) {
            assert_eq!(kept.attention, again.attention, "{name}, {}", kept.pairs);
            assert_eq!(kept.model_flops, again.model_flops, "{name}, {}", kept.pairs);
            assert_eq!(kept.hardware_flops, kept.model_flops);
            // The scores alone, of which there are as many products as a sixth of all.
            let scores = &again.hardware_flops - &again.model_flops;
            assert_eq!(scores * 6u32, again.attention, "{name}, {}", kept.pairs);
        }
    }
}
