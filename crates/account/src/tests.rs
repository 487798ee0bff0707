//! Questions that have no answer, and answers that need care.

use opledger_dims::{Binding, Integer, Quantity};
use opledger_ir::Elem;
use opledger_models::{Logits, Request};
use opledger_report::{FittedBy, Intake};

use crate::{AccountError, Assertion, MemoryBudget, Model, ProgramOptions, Sweep};

fn sweep(symbol: &str, sizes: &[u64]) -> Sweep {
    Sweep { symbol: symbol.into(), sizes: sizes.iter().map(|n| (*n).into()).collect() }
}

#[test]
fn a_size_too_large_for_a_grid_is_told_with_its_own_symbol() {
    let model = Model::open("linear:in=4,out=5").unwrap();
    let huge = 10_u32.into();
    let mut sweeps = vec![sweep("b", &[1, 2]), sweep("n", &[3, 4])];
    sweeps[1].sizes = [3.into(), opledger_dims::Integer::pow(&huge, 60)].into_iter().collect();
    match model.grid(&sweeps).err() {
        Some(AccountError::Large { symbol, .. }) => assert_eq!(symbol.to_string(), "n"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        model.grid(&[sweep("n", &[1]), sweep("n", &[2])]),
        Err(AccountError::Twice { .. })
    ));
}

#[test]
fn a_grid_has_the_numbers_of_its_points() {
    let model = Model::open("vit-attention:c=12,h=3").unwrap();
    let sweeps = [sweep("n", &[2, 5]), sweep("b", &[1, 3])];
    let grid = model.grid(&sweeps).unwrap();
    assert_eq!(grid.points().count(), 4);
    for point in grid.points() {
        let point = point.unwrap();
        let [n, b] = [0, 1].map(|at| point.sizes[at].clone());
        let sized = model.at([("n", n), ("b", b)]).unwrap();
        assert_eq!(point.total.flops, sized.flops().unwrap());
        assert_eq!(point.total.macs, sized.macs().unwrap());
    }
    // Heads have to divide the width, which is checked at every point.
    let heads = Model::open("mha:c=12").unwrap();
    let sweeps = [sweep("b", &[1]), sweep("n", &[1]), sweep("h", &[2, 5, 6])];
    assert!(heads.grid(&sweeps).is_err());
}

#[test]
fn a_cache_is_there_when_a_size_of_it_is_given_and_counted_once_it_is_asked_for() {
    let sizes = |p: u64| Binding::from_iter([("n", 1), ("p", p)]);
    let model =
        Model::open_at("gpt2", Request::default(), &sizes(7), &ProgramOptions::default()).unwrap();
    assert!(model.request().past && !model.graph().caches().is_empty());
    let sized = model.counted_at(&sizes(7)).unwrap();
    let per_token = model.cache_per_token().unwrap().unwrap();
    assert_eq!(sized.quantity(Quantity::Cache).unwrap(), &per_token * 7);
    assert_eq!(Model::open("gpt2").unwrap().cache_per_token().unwrap(), Some(per_token));
    assert_eq!(Model::open("bert-base").unwrap().cache_per_token().unwrap(), None);
    let bert =
        Model::open_at("bert-base", Request::default(), &sizes(7), &ProgramOptions::default())
            .unwrap();
    assert!(bert.counted_at(&sizes(7)).unwrap_err().to_string().contains("`p` is no size"));
}

#[test]
fn a_generation_may_end_at_the_last_position() {
    let model = Model::open("gpt2").unwrap();
    let sizes = Binding::from_iter([("n", 1020)]);
    // The last of the new tokens is not read.
    let last = model.generation(&sizes, 5).unwrap();
    assert_eq!(last.all.macs, &last.prompt.macs + &last.steps.macs);
    assert!(model.generation(&sizes, 6).is_err());
}

#[test]
fn a_pair_generates_by_its_encoder_and_steps_of_its_decoder() {
    let model = Model::open("t5-small").unwrap();
    let sizes = Binding::from_iter([("m", 9)]);
    let generation = model.generation(&sizes, 3).unwrap();
    let request = Request { past: true, logits: Logits::Last, ..Request::default() };
    let decoder = model.recorded_for(request).unwrap();
    let step = |p: u64| decoder.at([("m", 9), ("n", 1), ("p", p)]).unwrap().macs().unwrap();
    let encoder = model.source_part().unwrap().unwrap().at([("m", 9)]).unwrap().macs().unwrap();
    assert_eq!(generation.prompt.macs, encoder + step(0));
    assert_eq!(generation.steps.macs, step(1) + step(2));
    assert_eq!(model.parameters(), generation.params.into());
    // Six layers with eight heads of 64 keep keys and values of each token, and once those of the source.
    let cache = model.cache().unwrap().unwrap().with_source(9);
    let elements = |tokens: u64| cache.at(&tokens.into(), &1.into()).unwrap().held;
    assert_eq!(elements(4), (2 * 6 * 512 * (4 + 9)).into());
    assert_eq!(model.cache_per_token().unwrap(), Some((2 * 6 * 512).into()));
    let decoder_alone = Model::open("gpt2").unwrap();
    assert!(decoder_alone.source_part().unwrap().is_none());
    assert!(decoder_alone.recorded_for(Request { source: true, ..Request::default() }).is_err());
}

#[test]
fn what_limits_the_tokens_that_fit_is_said() {
    let model = Model::open("gpt2").unwrap();
    let by = |bytes: u64| {
        let (bytes, elem) = (bytes.into(), Elem::F32);
        let budget = MemoryBudget { bytes, weights: None, elem, cache: elem };
        let sizes = Binding::new();
        model.fitting(&budget, &1.into(), Intake::OneByOne, &sizes).unwrap()
    };
    let (all, some) = (by(1 << 40), by(510_000_000));
    assert_eq!((all.tokens, all.by), (1024.into(), FittedBy::Positions("n_positions")));
    assert!(some.tokens < 1024.into() && some.tokens > 0.into(), "{}", some.tokens);
    assert_eq!(some.by, FittedBy::Memory);
}

/// Of 48 layers, 36 hold keys and values of the chunk of 8,192 tokens that the last of them stands in.
#[test]
fn a_cache_of_chunks_holds_the_chunk_of_the_last_token() {
    let model = Model::open("llama-4-scout-17b-16e").unwrap();
    let cache = model.cache().unwrap().unwrap();
    let held = |tokens: u64| cache.at(&tokens.into(), &1.into()).unwrap().held;
    let chunks = [(0, 0), (1, 1), (8191, 8191), (8192, 8192), (8193, 1), (20_000, 20_000 - 16_384)];
    for (tokens, of_chunk) in chunks {
        assert_eq!(held(tokens), (2 * 8 * 128 * (12 * tokens + 36 * of_chunk)).into(), "{tokens}");
    }
}

/// What fits at 8,193 tokens, when chunks have just been emptied, does not fit on the way there.
#[test]
fn tokens_fit_where_all_fewer_do() {
    let model = Model::open("llama-4-scout-17b-16e").unwrap();
    let fitting = |bytes: u64| {
        let (weights, elem) = (Some(0.into()), opledger_ir::Elem::Bf16);
        let budget = MemoryBudget { bytes: bytes.into(), weights, elem, cache: elem };
        model.fitting(&budget, &1.into(), Intake::OneByOne, &Binding::new()).unwrap()
    };
    let full = 2 * 2 * 8 * 128 * 48 * 8192;
    let (before, behind) = (fitting(full), fitting(full + (1 << 25)));
    assert!(before.tokens > 8100.into() && before.tokens < 8192.into(), "{}", before.tokens);
    assert!(behind.tokens > 8193.into() && behind.tokens < 16_384.into(), "{}", behind.tokens);
    assert!(behind.cache > Some(full.into()));
}

#[test]
fn a_bug_is_mended_where_a_convention_has_it() {
    let model = Model::open("encoder-layer:c=768,h=12,ff=3072,act=gelu").unwrap();
    let sized = model.at([("b", 1), ("n", 128)]).unwrap();
    let total = |name: &str, bugs: &[&str]| {
        let bugs: Vec<String> = bugs.iter().map(ToString::to_string).collect();
        sized.convention_counter(None, &bugs).unwrap().total(name).unwrap()
    };
    // Two norms, with two operations for each element that their gains and shifts take.
    let mended = ["elementwise-affine", "tokens-left-out"];
    assert_eq!(total("ptflops", &mended) - total("ptflops", &[]), (2 * 128 * 768).into());
    assert_ne!(total("torchinfo", &mended), total("torchinfo", &[]));
}

#[test]
fn what_has_no_answer_says_why() {
    let error = |result: Result<_, AccountError>| result.map(drop).unwrap_err().to_string();
    let layer = Model::open("mha:c=8,h=2").unwrap();
    assert_eq!(error(layer.at([("n", 1)]).map(drop)), "`mha:c=8,h=2` has no size for b");
    assert_eq!(error(layer.at([("c", 9)]).map(drop)), "c is 8 in `mha:c=8,h=2`, and 9 was given");
    let none = layer.generation(&Binding::from_iter([("b", 1), ("n", 1)]), 2);
    assert!(matches!(none, Err(AccountError::NoCache { .. })));
    let past = Binding::from_iter([("n", 1), ("p", 1)]);
    let given = Model::open("gpt2").unwrap().generation(&past, 2);
    assert!(matches!(given, Err(AccountError::GivenPast { .. })));
    let sized = layer.at([("b", 1), ("n", 1)]).unwrap();
    assert!(matches!(sized.explain("all", "macs"), Err(AccountError::TwoConventions)));
    assert!(sized.convention("fvcor").is_err());
}

#[test]
fn conventions_of_the_runtime_are_its_quantities() {
    let model = Model::open("encoder-layer:c=16,h=2,ff=32").unwrap();
    let sized = model.at([("b", 2), ("n", 3)]).unwrap();
    let mut questions = sized.questions(None, &[]);
    for quantity in
        [Quantity::Macs, Quantity::Flops, Quantity::MatmulFlops, Quantity::Multiplications]
    {
        let name = quantity.name();
        assert_eq!(sized.convention(name).unwrap(), sized.quantity(quantity).unwrap(), "{name}");
        let assertion: Assertion =
            format!("{name} == {}", questions.answer(name).unwrap()).parse().unwrap();
        assert!(assertion.holds(&sized.quantity(quantity).unwrap()));
    }
}

#[cfg(feature = "files")]
#[test]
fn the_calls_of_a_program_are_not_chosen() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../torch/tests/archives/encoder_layer.pt2");
    let model = Model::open(path).unwrap();
    let sized = model.at([("b", 2), ("n", 16)]).unwrap();
    let written = sized.convention_counter(Some("transformers"), &[]).err();
    assert!(matches!(written, Some(AccountError::Recorded { .. })), "{written:?}");
    let backward = sized.convention("torch-flop-counter-backward").err();
    assert!(matches!(backward, Some(AccountError::Forward { .. })), "{backward:?}");
    let counter = sized.convention_counter(None, &[]).unwrap();
    let all = counter.count(&["all".to_owned()]).unwrap();
    let of = |name: &str| all.conventions.iter().find(|one| one.name.starts_with(name)).unwrap();
    assert_eq!(of("macs").total, sized.macs().unwrap());
    assert_eq!(of("torch-flop-counter").total, counter.total("torch-flop-counter").unwrap());
}

/// llama.cpp's log for Qwen3.6-27B, of the same configuration, at 262,144 cells and 4 sequences: 16384.00 MiB
/// of keys and values, which the sequences share, in 16 bits; 598.50 MiB of states, in 32.
#[test]
fn states_of_a_recurrence_have_their_size_and_their_type() {
    let cache = Model::open("qwen3.5-27b").unwrap().cache().unwrap().unwrap();
    let at = |tokens: u64, items: u64| cache.at(&tokens.into(), &items.into()).unwrap();
    let (none, all) = (at(0, 4), at(262_144, 1));
    assert_eq!(&none.held * 4u32, Integer::from(1197 * (1u64 << 20) / 2));
    assert_eq!(none.states, (4 * 48 * 48 * 128 * 128).into());
    let of_tokens = all.bytes_held(Elem::F16) - at(0, 1).bytes_held(Elem::F16);
    assert_eq!(of_tokens, (16384 * (1u64 << 20)).into());
    // The last inputs of the convolutions are stored as the rest is, the states are not.
    let inputs = Integer::from(4 * 48 * 3 * (2 * 16 * 128 + 48 * 128));
    assert_eq!(none.bytes_held(Elem::F16), &none.states * 4u32 + inputs * 2u32);
}
