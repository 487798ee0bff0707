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
    // A symbol of one size is no sweep: it may be as large as anywhere.
    sweeps[1].sizes = std::iter::once(opledger_dims::Integer::pow(&huge, 60)).collect();
    assert_eq!(model.grid(&sweeps).unwrap().points().count(), 2);
    assert!(matches!(
        model.grid(&[sweep("n", &[1]), sweep("n", &[2])]),
        Err(AccountError::Twice { .. })
    ));
}

/// Of each point what the cache holds there, windows and all; of a model without one nothing.
#[test]
fn a_grid_has_the_caches_of_its_points() {
    let past = Request { past: true, ..Request::default() };
    for (model, symbol) in [
        (Model::open("gemma-3-1b").unwrap(), "n"),
        (Model::open_for("gemma-3-1b", past).unwrap(), "p"),
        (Model::open("mamba2-130m").unwrap(), "n"),
    ] {
        let mut sweeps = vec![sweep(symbol, &[5, 3000]), sweep("b", &[1, 3])];
        if symbol == "p" {
            sweeps.push(sweep("n", &[7]));
        }
        let grid = model.grid_as(&sweeps, Elem::F16).unwrap();
        assert_eq!(grid.record().cached_as, Some("f16"));
        let mut caches = Vec::new();
        for point in grid.points() {
            let point = point.unwrap();
            let [tokens, b] = [0, 1].map(|at| point.sizes[at].clone());
            let sizes = [(symbol, tokens), ("b", b)];
            let sizes = match symbol {
                "p" => sizes.into_iter().chain([("n", 7.into())]).collect::<Vec<_>>(),
                _ => sizes.to_vec(),
            };
            let memory = model.at(sizes).unwrap().memory(Elem::F16).unwrap();
            assert_eq!(point.cache, memory.cache);
            caches.push(point.cache.unwrap());
        }
        assert_eq!(&caches[0] * 3u32, caches[1]);
    }
    let encoder = Model::open("mpnet-base").unwrap();
    let sweeps = [sweep("n", &[2, 5])];
    let grid = encoder.grid(&sweeps).unwrap();
    assert!(grid.record().cached_as.is_none());
    assert!(grid.points().all(|point| point.unwrap().cache.is_none()));
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
    let told = model.generation(&sizes, 6).unwrap_err().to_string();
    assert!(told.contains("`gpt2` has positions for 1024"), "{told}");
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
    let in_type = |bytes: u64, elem| {
        let bytes = bytes.into();
        let budget = MemoryBudget { bytes, weights: None, elem, cache: elem };
        let sizes = Binding::new();
        model.fitting(&budget, &1.into(), Intake::OneByOne, &sizes).unwrap()
    };
    let by = |bytes: u64| in_type(bytes, Elem::F32);
    let (all, some) = (by(1 << 40), by(510_000_000));
    assert_eq!((all.tokens, all.by), (1024.into(), FittedBy::Positions("n_positions")));
    assert!(some.tokens < 1024.into() && some.tokens > 0.into(), "{}", some.tokens);
    assert_eq!(some.by, FittedBy::Memory);
    let narrow = in_type(1 << 40, Elem::Bf16);
    assert_eq!(&narrow.activations * 2, all.activations);
    assert_eq!(narrow.weights * 2, all.weights);
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
        let (weights, elem) = (Some(0.into()), Elem::Bf16);
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
    assert!(matches!(sized.explain("thop", "thop"), Err(AccountError::OneConvention { .. })));
    assert!(sized.explain("thop", "fvcore").is_ok());
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

/// Elements of four bits may end within a byte, which is moved as a whole.
#[test]
fn a_sum_that_ends_within_a_byte_takes_it_whole() {
    let sizes = Binding::from_iter([("n", 11), ("b", 11)]);
    let options = ProgramOptions::default();
    let model = Model::open_at("gpt-neo-2.7b", Request::default(), &sizes, &options).unwrap();
    let sized = model.counted_at(&sizes).unwrap();
    let written = |elem: &str| {
        let elem: Elem = elem.parse().unwrap();
        sized.traffic(elem, elem).unwrap().values_written
    };
    let (eight, four) = (written("int8"), written("int4"));
    assert_eq!(&eight % 2u32, Integer::from(1));
    assert_eq!(four, (eight + 1u32) / 2u32);
}

/// Of windows it is their tokens, of others all.
#[test]
fn what_is_read_of_a_cache_is_what_it_holds() {
    let read = |name: &str, past: u64| {
        let sizes = Binding::from_iter([("n", 1), ("p", past), ("b", 1)]);
        let options = ProgramOptions::default();
        let model = Model::open_at(name, Request::default(), &sizes, &options).unwrap();
        let sized = model.counted_at(&sizes).unwrap();
        sized.traffic(Elem::Bf16, Elem::Bf16).unwrap().cache_read
    };
    // 2 · 32 layers · 8 heads · 128 wide · 2 bytes a token.
    assert_eq!(read("mistral-7b", 8191), Some((131_072 * 4096).into()));
    assert_eq!(read("mistral-7b", 99), Some((131_072 * 100).into()));
    assert_eq!(read("llama-3.1-8b", 8191), Some((131_072 * 8192).into()));
}

/// A folder of its own for a test.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("opledger-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// By hand: two layers of matrices of 256 × 256 (twice), 128 × 256 (twice) and 512 × 256 (three), of which a
/// block of 128 × 128 has a scale of 4 bytes; words, head and norms have 2 bytes an element.
#[test]
fn quantised_weights_are_their_elements_and_scales() {
    let folder = folder("quantised");
    let config = folder.join("config.json");
    let text = r#"{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 256,
        "intermediate_size": 512, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128,
        "num_hidden_layers": 2, "vocab_size": 300, "dtype": "bfloat16", "quantization_config":
        {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}}"#;
    std::fs::write(&config, text).unwrap();
    let weights = Model::open(config.to_str().unwrap()).unwrap().quantised_weights().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let (weights, elements) = (weights.unwrap(), 2 * (2 * 65_536 + 2 * 32_768 + 3 * 131_072));
    let scales = 2 * (2 * 4 + 2 * 2 + 3 * 8) * 4;
    let others = 2 * (2 * 300 * 256 + 2 * (2 * 256 + 2 * 128) + 256);
    assert_eq!(weights.elements, elements.into());
    assert_eq!(weights.matrices, (elements + scales).into());
    assert_eq!(weights.others, others.into());
    assert_eq!(weights.bytes(), (elements + scales + others).into());
}

#[test]
fn stored_weights_are_those_of_all_tensors() {
    let folder = "../../tests/golden/models/llama_untied";
    let model = Model::open(folder).unwrap();
    let stored = model.stored_weights();
    let [kind] = &stored[..] else { panic!("{stored:?}") };
    // Two layers of nine tensors; words, head and the last norm.
    assert_eq!((kind.name, kind.tensors), ("F32", 2 * 9 + 3));
    assert_eq!(model.parameters().as_integer(), Some(kind.elements.clone()));
    assert_eq!(kind.bytes, &kind.elements * 4);
}

/// A map of 16 to 8 with its shift, a norm of 8, and a map of 8 to 3: 136, 16 and 24 parameters.
#[cfg(feature = "files")]
#[test]
fn a_program_is_told_in_its_own_types() {
    let model = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../torch/tests/archives");
        Model::open(&format!("{folder}/{name}.pt2")).unwrap()
    };
    for (name, elem, bytes) in
        [("halves", Elem::Bf16, 2_u64), ("doubles", Elem::F64, 8), ("encoder_layer", Elem::F32, 4)]
    {
        let model = model(name);
        assert_eq!(model.storage(), elem, "{name}");
        let sized = model.at([("b", 2), ("n", 3)].into_iter().take(model.graph().symbols().len()));
        let sized = sized.unwrap();
        let parameters = sized.quantity(opledger_dims::Quantity::Parameters).unwrap();
        let memory = sized.memory_as_stored().unwrap();
        assert_eq!(memory, sized.memory(elem).unwrap());
        assert_eq!((memory.dtype, memory.parameters), (elem.name(), parameters * bytes), "{name}");
    }
    let model = model("types");
    let sized = model.at([("b", 2)]).unwrap();
    let memory = sized.memory_as_stored().unwrap();
    let kinds: Vec<_> =
        memory.types.iter().map(|kind| (kind.name, kind.tensors, kind.bytes.clone())).collect();
    let of = |name, tensors, bytes: u32| (name, tensors, bytes.into());
    assert_eq!(kinds, [of("f16", 2, 136 * 2), of("f64", 1, 24 * 8), of("f32", 2, 16 * 4)]);
    assert_eq!(memory.parameters, (136 * 2 + 24 * 8 + 16 * 4).into());
    // Every weight is read once; the input and what is computed has the type that the program says.
    assert_eq!(memory.moved.weights_read, memory.parameters);
    assert_eq!(memory.moved.values_read, (2 * (16 * 2 + 8 * 2 + 8 * 2 + 8 * 4)).into());
    // A type that is asked for is that of all.
    let all = sized.memory(Elem::Bf16).unwrap();
    assert_eq!((all.parameters, all.types.len()), ((176 * 2).into(), 0));
}

/// 128 parameters of one byte, 48 reals of one, 4 places of eight, 12 reals of two and 8 of four.
#[cfg(feature = "files")]
#[test]
fn each_parameter_is_told_in_its_own_type() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/quantised.pt2");
    let model = Model::open(path).unwrap();
    let own = 128 + 48 + 4 * 8 + 12 * 2 + 8 * 4_u64;
    assert_eq!(model.storage(), Elem::F16);
    let of = |quantity| model.formula(quantity).as_integer().unwrap();
    assert_eq!(of(opledger_dims::Quantity::Parameters), 200.into());
    assert_eq!(of(opledger_dims::Quantity::TrainableParameters), 20.into());
    let sizes: Binding = [("b", 2_u64), ("n", 3)].into_iter().collect();
    let memory = model.at([("b", 2), ("n", 3)]).unwrap().memory_as_stored().unwrap();
    let kinds: Vec<_> = memory.types.iter().map(|kind| (kind.name, kind.tensors)).collect();
    let expected = [
        ("int8", 1),
        ("float8_e4m3fn", 1),
        ("float8_e5m2", 1),
        ("f16", 1),
        ("f32", 1),
        ("int64", 1),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(memory.parameters, own.into());
    // Places that are added are numbers as any.
    assert_eq!(memory.moved.weights_read, own.into());
    // In a step, and in what fits, they are what they are too.
    let options = crate::TrainingOptions {
        update: Some(opledger_grad::Update {
            optimizer: opledger_grad::Optimizer::ADAMW,
            clip: None,
        }),
        ..Default::default()
    };
    let step = model.training(&options).unwrap();
    let at = |elem, as_stored| {
        let options = crate::TrainingSizes { elem, as_stored, ..Default::default() };
        step.at(&sizes, options).unwrap().memory
    };
    let stored = at(Elem::F16, true);
    assert_eq!(stored.weights, own.into());
    assert_eq!(stored.gradients, (12 * 2 + 8 * 4).into());
    assert_eq!(stored.state, Some((2 * (12 * 2 + 8 * 4)).into()));
    assert_eq!(at(Elem::Bf16, false).weights, (200 * 2).into());
    assert_eq!(model.typed_weights(&sizes).unwrap(), Some(own.into()));
}

/// What no type is known of is counted, in the type of all else.
#[cfg(feature = "files")]
#[test]
fn parameters_of_no_known_type_are_counted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../torch/tests/archives/types.pt2");
    let mut reference: crate::ModelReference = path.parse().unwrap();
    let crate::ModelReference::Program { types, .. } = &mut reference else { panic!("{path}") };
    types.remove("last.weight").unwrap();
    let model = Model::record(path, reference, Request::default()).unwrap();
    let memory = model.at([("b", 2)]).unwrap().memory_as_stored().unwrap();
    let types: Vec<_> = memory.types.iter().map(|kind| kind.name).collect();
    // 136 and, of no type, 24 as f16; 16 as f32.
    assert_eq!((memory.parameters, types), (((136 + 24) * 2 + 16 * 4).into(), vec!["f16", "f32"]));
}

/// A folder of `..` and one of no organisation are there, and are no models of the cache.
#[test]
fn a_name_in_the_cache_is_an_organisation_and_a_model() {
    let cache = folder("hub");
    for name in [
        "models--org--one",
        "models--..--one",
        "models----one",
        "models--org--..",
        r"models--org--o\ne",
        r"models--o\rg--one",
    ] {
        let (refs, commit) = (cache.join(name).join("refs"), cache.join(name).join("snapshots/c0"));
        std::fs::create_dir_all(&refs).unwrap();
        std::fs::create_dir_all(&commit).unwrap();
        std::fs::write(refs.join("main"), "c0\n").unwrap();
        std::fs::write(commit.join("config.json"), "{}").unwrap();
    }
    let found = |name: &str| crate::hub::snapshot(&cache, name).is_some();
    let names = [
        "org/one",
        "../one",
        "/one",
        "org/..",
        "org/",
        "org/a/b",
        "none",
        "org/two",
        r"org/o\ne",
        r"o\rg/one",
    ];
    let of_names = names.map(found);
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!((of_names[0], &of_names[1..]), (true, &[false; 9][..]));
}

/// A program has 64 positions, and was made for fewer tokens.
#[test]
fn positions_of_a_program_bound_its_tokens() {
    let model = Model::open("../torch/tests/archives/gpt2.pt2").unwrap();
    let at = |n: u64| model.at([("b", 1), ("n", n)]).map(drop);
    assert!(matches!(at(65), Err(AccountError::Rows { .. })), "{:?}", at(65));
    assert!(matches!(at(66), Err(AccountError::Rows { .. })), "{:?}", at(66));
    assert!(!matches!(at(64), Err(AccountError::Rows { .. })), "{:?}", at(64));
    assert!(at(60).is_ok(), "{:?}", at(60));
}

/// By hand: of two layers of three experts the matrices of 2·96 × 64 and 64 × 96 in MXFP4, 32 inputs in 17
/// bytes; all else in 2 bytes an element.
#[test]
fn experts_alone_are_in_mxfp4() {
    let folder = folder("mxfp4");
    let config = folder.join("config.json");
    let text = |method: &str| {
        format!(
            r#"{{"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "hidden_size": 64,
            "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
            "num_hidden_layers": 2, "vocab_size": 300, "num_local_experts": 3, "num_experts_per_tok": 2,
            "dtype": "bfloat16", "quantization_config": {method}}}"#
        )
    };
    std::fs::write(&config, text(r#"{"quant_method": "mxfp4"}"#)).unwrap();
    let model = Model::open(config.to_str().unwrap()).unwrap();
    let weights = model.quantised_weights().unwrap().unwrap();
    let of_experts = r#"{"quant_method": "compressed-tensors", "format": "float-quantized",
        "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 8, "strategy": "tensor"}}}}"#;
    std::fs::write(&config, text(of_experts)).unwrap();
    let error = Model::open(config.to_str().unwrap()).unwrap().quantised_weights().unwrap_err();
    std::fs::remove_dir_all(folder).unwrap();
    let experts = 2 * 3 * (2 * 96 * 64 + 64 * 96);
    let others = model.parameters().as_integer().unwrap() - experts;
    assert_eq!(weights.elements, experts.into());
    assert_eq!(weights.matrices, (experts / 32 * 17).into());
    assert_eq!(weights.others, others * 2);
    assert!(
        error.to_string().contains("compressed-tensors of 8 bits, one scale, of experts"),
        "{error}"
    );
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

/// The bias of a step that reads one token has as many places as there are tokens, not one more.
#[test]
fn the_token_that_is_read_is_one_of_those_that_fit() {
    let model = Model::open("t5-small").unwrap();
    let request = Request { past: true, ..Request::default() };
    let step = model.recorded_for(request).unwrap();
    let sizes = Binding::from_iter([("b", 1), ("m", 1)]);
    let fitting = |bytes: u64| {
        let (weights, elem) = (Some(0.into()), Elem::F32);
        let budget = MemoryBudget { bytes: bytes.into(), weights, elem, cache: elem };
        model.fitting(&budget, &1.into(), Intake::OneByOne, &sizes).unwrap()
    };
    let fitted = fitting(4 * 12 * 512 * 40_000);
    let past = &fitted.tokens - Integer::from(1);
    let sized = step.counted_at(&sizes.with("p", past).with("n", 1)).unwrap();
    let reached = sized.graph().step_footprint(sized.sizes(), 4).unwrap().computed();
    assert_eq!(fitted.activations, reached);
}

/// A full chunk of three tokens needs more than the first tokens of the next: what holds these held it.
#[test]
fn tokens_behind_a_chunk_fit_where_the_chunk_did() {
    let model = Model::open("../../tests/golden/models/llama4_text_published").unwrap();
    let fitting = |bytes: u64| {
        let (weights, elem) = (Some(0.into()), Elem::F32);
        let budget = MemoryBudget { bytes: bytes.into(), weights, elem, cache: elem };
        model.fitting(&budget, &1.into(), Intake::OneByOne, &Binding::new()).unwrap()
    };
    let cache = model.cache().unwrap().unwrap();
    let held = |tokens: u64| cache.at(&tokens.into(), &1.into()).unwrap().bytes_held(Elem::F32);
    // The activations of a step are the least where there is one token.
    let least = (0..).map(|kib| fitting(kib << 8)).find(|fitted| fitted.tokens > 0.into());
    let least = least.unwrap();
    assert_eq!(least.tokens, 1.into());
    let mut seen = std::collections::BTreeSet::new();
    for bytes in (0..64).map(|kib| kib << 8) {
        let fitted = fitting(bytes);
        for tokens in (1_u64..).take_while(|tokens| Integer::from(*tokens) <= fitted.tokens) {
            let needed = held(tokens) + &least.activations;
            assert!(needed <= bytes.into(), "{} of {bytes}: {needed} at {tokens}", fitted.tokens);
        }
        seen.insert(fitted.tokens);
    }
    assert!(seen.len() > 5, "{seen:?}");
}

#[test]
fn a_run_wants_every_size_that_no_mask_gives() {
    let model = Model::open("gpt2").unwrap();
    let at = |sizes: Binding| model.run_at(&model.merged(&sizes).unwrap()).map(drop);
    assert!(at(Binding::from_iter([("b", 1)])).is_err());
    at(Binding::from_iter([("b", 1), ("n", 3)])).unwrap();
}

#[test]
fn an_explanation_says_what_each_line_is_of() {
    let model = Model::open("encoder-layer:c=16,h=2,ff=32").unwrap();
    let sized = model.at([("b", 1), ("n", 4)]).unwrap();
    let explained = sized.convention_counter(None, &[]).unwrap().explain("thop", "fvcore").unwrap();
    let told: Vec<&str> = explained.lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(told, ["linear products in MultiheadAttention", "normalisation"]);
}

/// Of a model of state spaces alone, 256 MiB of states of a sequence in single precision, and the last three
/// inputs of convolutions over 10,240 channels; nothing of each token.
#[test]
fn state_spaces_keep_nothing_of_each_token() {
    let cache = Model::open("mamba-codestral-7b").unwrap().cache().unwrap().unwrap();
    let at = |tokens: u64, items: u64| cache.at(&tokens.into(), &items.into()).unwrap();
    let one = at(0, 1);
    assert_eq!(one.states, (64 * 128 * 64 * 128).into());
    let inputs = Integer::from(64 * 3 * (2 * 4096 + 2 * 8 * 128));
    let bytes = Integer::from(256 * (1u64 << 20)) + inputs * 2u32;
    assert_eq!(one.bytes_held(Elem::F16), bytes);
    assert_eq!(at(1 << 20, 1).bytes_held(Elem::F16), bytes);
    assert_eq!(at(5, 3).bytes_held(Elem::F16), bytes * 3u32);
}

/// Of Nemotron 3 Super a sequence keeps 160 MiB of states and, in single precision, 4,800 KiB of inputs in 40
/// layers; a token 1,024 bytes in each of 8.
#[test]
fn hybrids_keep_states_and_tokens() {
    let cache = Model::open("nemotron-3-super-120b-a12b").unwrap().cache().unwrap().unwrap();
    let at = |tokens: u64| cache.at(&tokens.into(), &1.into()).unwrap();
    let none = at(0);
    assert_eq!(&none.states * 4u32, Integer::from(160 * (1u64 << 20)));
    let all = Integer::from(160 * (1u64 << 20) + 4800 * 1024);
    assert_eq!(none.bytes_held(Elem::F32), all);
    assert_eq!(
        at(1000).bytes_held(Elem::F16) - none.bytes_held(Elem::F16),
        (1000 * 8 * 1024).into()
    );
}

/// A generation of one token is the prompt's pass, whose last position is asked alone.
#[test]
fn one_new_token_is_the_first_pass() {
    let model = Model::open("gpt2").unwrap();
    let sizes: Binding = [("n", 5)].into_iter().collect();
    let one = model.generation(&sizes, 1).unwrap();
    let two = model.generation(&sizes, 2).unwrap();
    assert_eq!(one.all.flops, two.prompt.flops);
    assert!(two.all.flops > one.all.flops);
}

/// Attention of windows and of images is written as timm does where nobody says otherwise.
#[test]
fn attention_of_images_is_written_as_in_timm() {
    for layer in ["vit-attention:c=8,h=2", "window-attention:c=8,h=2,side=2"] {
        let model = Model::open(layer).unwrap();
        let symbols: Vec<_> = model.graph().symbols().into_iter().collect();
        let sizes: Binding = { symbols.iter() }
            .filter(|symbol| model.sizes().get(symbol).is_none())
            .map(|symbol| (symbol.clone(), Integer::from(4)))
            .collect();
        let Ok(sized) = model.counted_at(&sizes) else { panic!("{layer}: {symbols:?}") };
        let usual = sized.convention_counter(None, &[]).unwrap();
        let timm = sized.convention_counter(Some("timm"), &[]).unwrap();
        let plain = sized.convention_counter(Some("torch.nn"), &[]);
        let of = |tools: &crate::ConventionCounter<'_>| -> Vec<Option<Integer>> {
            let one = |name: &str| tools.count(&[name.to_owned()]).ok();
            let names = ["fvcore", "thop", "ptflops", "calflops", "torchinfo", "deepspeed"].iter();
            names.map(|name| Some(one(name)?.conventions[0].total.clone())).collect()
        };
        assert_eq!(of(&usual), of(&timm), "{layer}");
        assert!(plain.map_or(true, |plain| of(&plain) != of(&timm)), "{layer} {:?}", of(&timm));
    }
}
