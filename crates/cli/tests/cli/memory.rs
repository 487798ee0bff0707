//! Memory: what a cache holds, what a step moves, how many tokens fit.

use serde_json::Value;

use super::{opledger, stdout};

fn json(arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&stdout(&all)).unwrap()
}

fn number(value: &Value) -> u64 {
    value.to_string().parse().unwrap()
}

/// Mistral 7B keeps the last 4,096 tokens of each layer: 2 · 32 · 8 · 128 elements of each.
#[test]
fn a_cache_holds_the_windows_of_its_layers() {
    let memory = |tokens: &str, more: &[&str]| {
        let sizes = ["count", "mistral-7b", "--dtype", "bf16", "--set", tokens];
        json(&[&sizes[..], more].concat())["memory"].clone()
    };
    let long = memory("n=8192", &[]);
    assert_eq!(number(&long["cache"]), 536_870_912);
    assert_eq!(number(&long["cache_without_windows"]), 1_073_741_824);
    let short = memory("n=4096", &["--set", "b=3"]);
    assert_eq!(number(&short["cache"]), 3 * 536_870_912);
    assert_eq!(short["cache_without_windows"], Value::Null);
    // Tokens of a step and those before it are in it.
    let step = memory("n=1", &["--set", "p=99"]);
    assert_eq!(number(&step["cache"]), 100 * 131_072);
    let holds = |assertion: &str| {
        let sizes = ["--set", "n=1", "--set", "p=5000", "--assert", assertion];
        opledger(&[&["count", "mistral-7b"][..], &sizes].concat()).code
    };
    assert_eq!(holds("cache == 268435456"), Some(0));
    assert_eq!(holds("cache == 327680000"), Some(1));
}

/// One token of Llama 3.1 8B after 131,071 others, and one of Mixtral after 1,000: each weight that a
/// token meets is read once, the cache once, and of both what is new is written.
#[test]
fn a_step_moves_the_weights_it_meets_and_the_cache() {
    let step = |model: &str, past: &str| json(&["count", model, "--set", "n=1", "--set", past]);
    let llama = step("llama-3.1-8b", "p=131071");
    let (weights, token) = (4 * (8_030_261_248_u64 - 128_256 * 4096), 4 * 65_536);
    let nodes = llama["nodes"].as_array().unwrap();
    let appended: Vec<&Value> = nodes.iter().filter(|node| node["op"] == "concat").collect();
    let written: u64 = appended.iter().map(|node| number(&node["bytes"]["written"])).sum();
    assert_eq!((appended.len(), written), (2, token));

    let moved = &llama["memory"]["moved"];
    assert_eq!(number(&moved["weights_read"]), weights + 4 * 4096);
    assert_eq!(number(&moved["cache_read"]), 131_072 * token);
    assert_eq!(number(&moved["cache_written"]), token);
    let of = |key: &str| number(&moved[key]);
    let read = of("weights_read") + of("cache_read") + of("values_read");
    assert_eq!(number(&llama["bytes"]["read"]), read);
    let written = of("cache_written") + of("values_written");
    assert_eq!(number(&llama["bytes"]["written"]), written);
    // In half the width, and of a window no more than it holds.
    let arguments = ["count", "mistral-7b", "--set", "n=1", "--set", "p=99999", "--dtype", "bf16"];
    let moved = &json(&arguments)["memory"]["moved"];
    assert_eq!(number(&moved["cache_read"]), 4096 * 131_072);
    assert_eq!(number(&moved["cache_written"]), 131_072);

    // Of two experts in each layer, and one row of the table of words.
    let mixtral = step("mixtral-8x7b", "p=1000");
    let moved = &mixtral["memory"]["moved"];
    let (weights, token) = (4 * (12_879_925_248_u64 - 31_999 * 4096), 4 * 65_536);
    assert_eq!(number(&moved["weights_read"]), weights);
    assert_eq!(number(&moved["cache_read"]), 1001 * token);
}

#[test]
fn the_type_of_a_configuration_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let text = r#"{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 4,
                   "vocab_size": 5, "torch_dtype": "bfloat16"}"#;
    std::fs::write(&file, text).unwrap();
    let memory = |more: &[&str]| {
        let sizes = ["count", file.to_str().unwrap(), "--set", "n=1"];
        json(&[&sizes[..], more].concat())["memory"].clone()
    };
    let [own, given] = [memory(&[]), memory(&["--dtype", "f32"])];
    assert_eq!((&own["dtype"], &own["declared"]), (&"bf16".into(), &true.into()));
    assert_eq!((&given["dtype"], &given["declared"]), (&"f32".into(), &false.into()));
    assert_eq!(number(&given["parameters"]), 2 * number(&own["parameters"]));
}

#[test]
fn as_many_tokens_fit_as_memory_has_room_for() {
    let fit = |arguments: &[&str]| json(&[&["fit"][..], arguments].concat());
    let record = fit(&[
        "llama-3.1-8b",
        "--memory",
        "24GB",
        "--dtype",
        "bf16",
        "--cache-dtype",
        "int8",
        "--set",
        "b=1,2,64",
    ]);
    let fitted = record["fitted"].as_array().unwrap();
    assert_eq!(fitted.len(), 6);
    for row in fitted {
        let [items, tokens, weights, cache, activations] =
            ["items", "tokens", "weights", "cache", "activations"].map(|key| number(&row[key]));
        assert_eq!(weights, 2 * 8_030_261_248);
        assert_eq!(cache, items * tokens * 65_536);
        let taken = weights + cache + activations;
        assert!(taken <= 24_000_000_000, "{row}");
        match (&row["by"], row["reading"].as_str()) {
            (Value::Object(by), _) => {
                assert_eq!(by["positions"], "max_position_embeddings");
                assert_eq!(tokens, 131_072);
            }
            // One more token of each would not.
            (_, Some("one-by-one")) => assert!(taken + items * 65_536 > 24_000_000_000, "{row}"),
            _ => assert!(tokens < number(&fitted[0]["tokens"]), "{row}"),
        }
    }
    // A cache with windows is full at some time, and the model has no last position.
    let mistral = fit(&["mistral-7b", "--memory", "32GiB", "--dtype", "bf16"]);
    let row = &mistral["fitted"][0];
    assert_eq!(number(&row["cache"]), 4096 * 131_072, "{row}");
    // An encoder reads all at once.
    let bert = fit(&["bert-base", "--memory", "1GB"]);
    assert_eq!(bert["fitted"].as_array().unwrap().len(), 1);
    assert_eq!(bert["fitted"][0]["by"]["positions"], "max_position_embeddings");
}

/// DeepSeek-V3's latents of 512 and turned keys of 64 in 61 layers: 10.72 GiB of 163,840 tokens in 16 bits
/// (unslothai/unsloth#4757), 244 and 1952 MiB of 32,768 (ggml-org/llama.cpp#11446); of heads 40,960 numbers.
#[test]
fn a_cache_of_latents_has_their_size() {
    let held = |form: &str, tokens: u64| {
        let past = format!("p={}", tokens - 1);
        let arguments = ["count", "deepseek-v3", "--dtype", "bf16", "--set", "n=1", "--set", &past];
        let record = json(&[&arguments[..], &["--latent", form]].concat());
        number(&record["memory"]["cache"])
    };
    for form in ["expanded", "absorbed"] {
        assert_eq!(held(form, 163_840), 61 * 576 * 163_840 * 2);
        assert_eq!(held(form, 32_768), (244 + 1952) << 20);
    }
    assert_eq!(held("expanded-once", 163_840), 61 * 128 * (192 + 128) * 163_840 * 2);
    for (model, expected) in [("llama-3.1-8b", "deepseek_v3"), ("mla", "mla:form=absorbed")] {
        let told = opledger(&["count", model, "--latent", "absorbed", "--set", "n=1"]);
        assert_eq!(told.code, Some(2), "{}", told.stderr);
        assert!(told.stderr.contains(expected), "{}", told.stderr);
    }
}

#[test]
fn what_does_not_fit_or_cannot_be_asked_is_said() {
    let told = |arguments: &[&str]| opledger(&[&["fit"][..], arguments].concat());
    let none = told(&["llama-3.1-8b", "--memory", "8GB", "--dtype", "bf16"]);
    assert_eq!(none.code, Some(1));
    assert!(none.stdout.contains("16,060,522,496"), "{}", none.stdout);
    // Nothing says in which type the weights are.
    let wide = told(&["llama-3.1-8b", "--memory", "24GB"]);
    assert_eq!(wide.code, Some(1));
    for said in ["Weights are taken as f32", "32,121,044,992", "--dtype bf16 takes 16,060,522,496"]
    {
        assert!(wide.stdout.replace('\n', " ").contains(said), "{}", wide.stdout);
    }
    assert!(!told(&["llama-3.1-8b", "--memory", "64GB"]).stdout.contains("Weights are taken"));
    // A state is of one size, however long the text.
    let endless = told(&["mamba2-130m", "--memory", "24GB"]);
    assert!(endless.code == Some(0) && endless.stdout.contains("any number"), "{}", endless.stdout);
    assert!(endless.stdout.replace('\n', " ").contains("memory does not grow with them"));
    for (arguments, message) in [
        (&["gpt2", "--memory", "80"][..], "write 80GB, or 80B if bytes are meant"),
        (&["gpt2", "--memory", "999_999"], "has no unit"),
        (&["gpt2", "--memory", "8G"], "write GB (powers of 1000) or GiB (of 1024)"),
        (&["gpt2", "--memory", "much"], "is no number of bytes; write it as 24GB"),
        (&["gpt2", "--memory", "1GB", "--set", "n=3"], "how many n fit is what is asked"),
        (
            &["gpt2", "--memory", "1GB", "--set", "c=3,4"],
            "c several sizes; only the number of items",
        ),
        (&["vit-b16", "--memory", "1GB"], "`vit-b16` takes no tokens"),
    ] {
        let told = told(arguments);
        assert_eq!(told.code, Some(2), "{arguments:?}");
        assert!(told.stderr.contains(message), "{}", told.stderr);
    }
}

/// Caches at the longest context in half precision, as unslothai/unsloth#4757 prints them (its GB are
/// 2³⁰ bytes). Sizes of Gemma 3 27B: Gemma Team 2025, arXiv:2503.19786, and its published configuration.
#[test]
fn caches_are_those_of_architecture_aware_estimates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let gemma = serde_json::json!({
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "vocab_size": 262208,
        "hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 62,
        "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128,
        "sliding_window": 1024, "sliding_window_pattern": 6, "max_position_embeddings": 131_072,
        "query_pre_attn_scalar": 168,
    });
    std::fs::write(&file, gemma.to_string()).unwrap();
    for (model, tokens, expected) in
        [(file.to_str().unwrap(), "n=131072", "10.41"), ("qwen3-0.6b", "n=40960", "4.38")]
    {
        let counted = json(&["count", model, "--set", tokens, "--dtype", "bf16"]);
        let cache = number(&counted["memory"]["cache"]) as f64 / f64::from(1 << 30);
        assert_eq!(format!("{cache:.2}"), expected, "{model}");
    }
}
