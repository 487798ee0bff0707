//! Attention never holds the scores of all pairs: the peak of resident memory, which a process of its
//! own reports for each run, grows with the tokens and not with their square.
//!
//! `OPLEDGER_PEAK_OF` names the layer that such a process runs.
//!
//! Of a checkpoint, each weight is in memory once, in the type of its file, from the first step to the last.

use std::path::Path;
use std::process::Command;

use opledger_execute::Generator;
use opledger_interp::{Fast, Feeds};
use opledger_ir::SizeRole;
use opledger_models::layer::parse;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const VARIABLE: &str = "OPLEDGER_PEAK_OF";
/// The checkpoint that a process generates from.
const CHECKPOINT: &str = "OPLEDGER_PEAK_OF_CHECKPOINT";
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Attention of one head of width 64 to itself, with its projections.
fn layer(tokens: usize) -> String {
    format!("mha:b=1,n={tokens},c=64,h=1")
}

/// The greatest resident memory of this process so far, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * KIB
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn reports_its_peak() {
    let Ok(layer) = std::env::var(VARIABLE) else { return };
    let model = parse(&layer).unwrap();
    let run = Fast::new().unwrap().run(&model.graph, &model.binding, &Feeds::seeded(3)).unwrap();
    assert!(run.output("y").unwrap().iter().all(|y| y.is_finite()));
    println!("peak: {}", peak());
}

/// The peak of a process that runs the layer on two threads, in bytes.
fn peak_of(layer: &str) -> usize {
    reported(VARIABLE, layer, "reports_its_peak")[0]
}

/// What a test of this file prints in a process of its own with two threads.
fn reported(variable: &str, value: &str, test: &str) -> Vec<usize> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("memory::{test}"), "--nocapture"])
        .env(variable, value)
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("peak: "));
    let numbers = line.unwrap_or_else(|| panic!("{value}: {text}")).1.split(' ');
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// A Llama of four layers, `width` wide, whose weights are all one number, in bf16.
fn checkpoint(folder: &Path, width: usize) {
    let (ff, words, heads) = (4 * width, 32 * width, width / 64);
    let config = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {words},
            "hidden_size": {width}, "intermediate_size": {ff}, "num_hidden_layers": 4,
            "num_attention_heads": {heads}, "num_key_value_heads": {heads}, "hidden_act": "silu",
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
            "tie_word_embeddings": true, "torch_dtype": "bfloat16"}}"#
    );
    std::fs::write(folder.join("config.json"), config).unwrap();
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![words, width])];
    tensors.push(("model.norm.weight".to_owned(), vec![width]));
    for layer in 0..4 {
        let of = |name: &str, shape: &[usize]| {
            (format!("model.layers.{layer}.{name}.weight"), shape.to_vec())
        };
        tensors.extend(
            ["q", "k", "v", "o"].map(|name| of(&format!("self_attn.{name}_proj"), &[width, width])),
        );
        tensors.extend(["gate", "up"].map(|name| of(&format!("mlp.{name}_proj"), &[ff, width])));
        tensors.push(of("mlp.down_proj", &[width, ff]));
        tensors.push(of("input_layernorm", &[width]));
        tensors.push(of("post_attention_layernorm", &[width]));
    }
    // 2⁻⁷ in bf16.
    let bytes = [0x00_u8, 0x3c].repeat(words * width);
    let views = tensors.into_iter().map(|(name, shape)| {
        let bytes = &bytes[..2 * shape.iter().product::<usize>()];
        (name, TensorView::new(Dtype::BF16, shape, bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn generates_and_reports_its_peak() {
    let Ok(folder) = std::env::var(CHECKPOINT) else { return };
    let generator = Generator::open(&folder, Feeds::seeded(1)).unwrap();
    let mut generator = generator.with_room(100);
    let prompt: Vec<i64> = (0..90).collect();
    assert_eq!(generator.generate(&prompt, 3).unwrap().len(), 3);
    let session = generator.session();
    // What the widest step needs beside weights and cache: that of the prompt.
    let graph = session.graph();
    let mut sizes = generator.model().sizes().clone().with("b", 1);
    sizes.set(graph.size_of(SizeRole::Past).unwrap(), 0);
    sizes.set(graph.size_of(SizeRole::Tokens).unwrap(), prompt.len());
    let needs = graph.step_footprint(&graph.complete(&sizes).unwrap(), 4).unwrap().computed();
    let foreseen = needs + session.tensors().bytes() + session.cache_bytes();
    println!("peak: {} {foreseen} {}", peak(), session.tensors().bytes());
}

/// Weights, cache, and values alive are foreseen to the byte; what is allowed beside them is what loading
/// and kernels hold at a time, and what the allocator keeps.
#[test]
fn of_a_checkpoint_in_16_bits_is_its_weights_once_and_what_was_foreseen() {
    const BESIDE: usize = 12 * MIB;
    let measured = |width: usize| {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(folder.path(), width);
        let path = folder.path().to_str().unwrap();
        let [peak, foreseen, weights] =
            reported(CHECKPOINT, path, "generates_and_reports_its_peak")[..]
        else {
            panic!("three numbers")
        };
        (peak, foreseen, weights)
    };
    let ((small, ..), (large, foreseen, weights)) = (measured(64), measured(768));
    let parameters = 32 * 768 * 768 + 4 * (4 + 12) * 768 * 768;
    // Panels are full, and norms are in 32 bits; the id of the last token is an input.
    assert_eq!(weights, 2 * parameters + 9 * 768 * 4 + 8);
    println!("{} MiB over a small one, foreseen {}", (large - small) / MIB, foreseen / MIB);
    assert!(large - small <= foreseen + BESIDE, "{large} and {small} bytes, {foreseen} foreseen");
}

#[test]
fn grows_with_the_tokens() {
    let none = peak_of(&layer(64));
    for tokens in [2048, 4096, 8192] {
        // The scores alone take 4 bytes for each pair: 64 MiB at 4096 tokens.
        let growth = peak_of(&layer(tokens)).saturating_sub(none);
        println!("{tokens} tokens: {} KiB over a few", growth / KIB);
        assert!(growth <= tokens * 4 * KIB, "{growth} bytes more for {tokens} tokens");
    }
    // Where the weights are asked for, they are held, and seen.
    let growth = peak_of(&format!("{},weights=mean", layer(4096))).saturating_sub(none);
    assert!(growth >= 64 * MIB, "{growth} bytes more with the weights of 4096 tokens");
}

/// `cargo test --release -p opledger-tests memory -- --ignored --nocapture`
#[test]
#[ignore = "1.1e12 floating-point operations: seconds in release on two cores"]
fn of_65536_tokens_stays_under_200_mib() {
    let peak = peak_of(&layer(65_536));
    println!("65536 tokens: {} MiB in all", peak / MIB);
    assert!(peak < 200 * MIB, "{peak} bytes");
}
