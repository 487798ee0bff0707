//! Nothing is passed over silently, and what is said can be acted on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::checkpoints::{change, copied};
use super::{command, ended, opledger, stdout};

/// The stderr of a command that must fail.
fn refused(arguments: &[&str]) -> String {
    let ended = opledger(arguments);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
    ended.stderr
}

#[test]
fn a_folder_with_the_name_of_a_model_or_a_layer_is_named_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gpt2", "Llama-7B"] {
        let copy = copied("gpt2_lm", &[]);
        fs::rename(copy.keep(), folder.path().join(name)).unwrap();
    }
    fs::create_dir(folder.path().join("mha")).unwrap();
    let count = |model: &str| {
        let mut count = command(&["count", model, "--set", "n=3", "--format", "json"]);
        count.current_dir(folder.path());
        if model == "mha" {
            count.args(["--set", "b=1", "--set", "c=4", "--set", "h=2"]);
        }
        let ended = ended(count);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{model}");
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    for (name, what) in
        [("gpt2", "published model"), ("Llama-7B", "published model"), ("mha", "layer")]
    {
        let told =
            format!("`{name}` is taken for the {what}; the folder of that name is `./{name}`");
        assert_eq!(count(name)["notes"], json!([told]), "{name}");
    }
    assert_eq!(count("gpt2")["params"]["total"], 124_439_808);
    let own = count("./gpt2");
    assert!(own["params"]["total"].as_u64().unwrap() < 100_000 && own.get("notes").is_none());
}

#[test]
fn values_outside_their_domain_are_refused_by_name() {
    let rope = |parameters: Value| json!({"rope_parameters": parameters});
    let llama3 = |low: f64, high: f64| {
        rope(
            json!({"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": low,
            "high_freq_factor": high, "original_max_position_embeddings": 16}),
        )
    };
    let yarn = |key: &str, value: f64| {
        rope(json!({"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0,
            "original_max_position_embeddings": 16, key: value}))
    };
    let cases = [
        (
            "llama_untied",
            rope(json!({"rope_type": "default", "rope_theta": 0})),
            "`rope_parameters.rope_theta` is 0",
        ),
        ("llama_untied", rope(json!({"rope_type": "default", "rope_theta": -1e4})), "above 0"),
        ("llama_untied", rope(json!({"rope_type": "default", "rope_theta": 1e-60})), "above 0"),
        ("llama_untied", json!({"rms_norm_eps": 0}), "above 0 and below 1"),
        ("llama_untied", json!({"rms_norm_eps": 1e-60}), "above 0 and below 1"),
        ("llama_untied", json!({"rms_norm_eps": 1}), "above 0 and below 1"),
        ("gpt2_lm", json!({"layer_norm_epsilon": 0.0}), "above 0 and below 1"),
        ("bert_base", json!({"layer_norm_eps": -1e-12}), "above 0 and below 1"),
        ("vit_classes", json!({"layer_norm_eps": 0}), "above 0 and below 1"),
        ("swin_classes", json!({"layer_norm_eps": 0}), "above 0 and below 1"),
        ("swin_classes", json!({"mlp_ratio": 0}), "`mlp_ratio` is 0"),
        ("t5_relu", json!({"layer_norm_epsilon": 0}), "above 0 and below 1"),
        ("gpt_neox_parallel", json!({"layer_norm_eps": 0}), "above 0 and below 1"),
        (
            "llama_untied",
            rope(json!({"rope_type": "linear", "rope_theta": 1e4, "factor": 0})),
            "`rope_parameters.factor` is 0",
        ),
        ("llama_untied", llama3(0.0, 4.0), "low_freq_factor` is 0"),
        ("llama_untied", llama3(4.5, 4.0), "the first cannot be the greater"),
        ("llama_untied", yarn("factor", 0.0), "`rope_parameters.factor` is 0"),
        ("llama_untied", yarn("attention_factor", 0.0), "attention_factor` is 0"),
        ("llama_untied", yarn("beta_slow", 40.0), "`rope_parameters.beta_slow` = 40"),
        ("llama_untied", yarn("rope_theta", 1.0), "above 1"),
        // The library takes null for false here and for missing elsewhere.
        ("llama_untied", json!({"is_causal": null}), "`is_causal` is null"),
        ("t5_relu", json!({"is_causal": null}), "`is_causal` is null"),
        (
            "gpt_neox_parallel",
            json!({"rope_parameters": null, "hidden_size": 30, "num_attention_heads": 6}),
            "= 0.25 (its default)",
        ),
    ];
    for (model, keys, told) in cases {
        let folder = copied(model, &["model.safetensors"]);
        change(&folder.path().join("config.json"), keys.clone());
        let message = refused(&["derive", folder.path().to_str().unwrap()]);
        assert!(message.contains(told), "{keys}: {message}");
    }
}

#[test]
fn tokens_beyond_what_a_model_was_made_for_are_told() {
    let folder = copied("llama_bias", &[]);
    let model = folder.path().to_str().unwrap();
    let told = |tokens: u64| {
        format!(
            "note: {tokens} tokens are more than the 64 that the model was made for \
             (`max_position_embeddings` = 64 in its configuration)"
        )
    };
    let notes = |arguments: &[&str]| {
        let ended = opledger(&[arguments, &["--format", "csv"]].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stderr.trim_end().to_owned()
    };
    for (arguments, tokens) in [
        (&["count", model, "--set", "n=65"][..], 65),
        (&["count", model, "--set", "n=1", "--set", "p=64"], 65),
        (&["count", model, "--set", "n=8,70,9"], 70),
        (&["count", model, "--set", "n=60", "--new-tokens", "6"], 65),
        (&["run", model, "--set", "n=65"], 65),
        (&["explain", "macs", "fvcore", model, "--set", "n=65"], 65),
        (
            &[
                "generate",
                model,
                "--ids",
                &vec!["1"; 60].join(","),
                "--new-tokens",
                "6",
                "--ignore-eos",
            ],
            65,
        ),
    ] {
        assert_eq!(notes(arguments), told(tokens), "{arguments:?}");
    }
    for arguments in [
        &["count", model, "--set", "n=64"][..],
        &["count", model, "--set", "n=60", "--new-tokens", "5"],
        &["run", model, "--set", "n=64"],
        &[
            "generate",
            model,
            "--ids",
            &vec!["1"; 60].join(","),
            "--new-tokens",
            "5",
            "--ignore-eos",
        ],
    ] {
        assert_eq!(notes(arguments), "", "{arguments:?}");
    }
    // Scaling lengthens what a model was made for.
    let config = folder.path().join("config.json");
    let linear = json!({"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0});
    change(&config, json!({"rope_parameters": linear}));
    assert_eq!(notes(&["count", model, "--set", "n=128"]), "");
    assert!(notes(&["count", model, "--set", "n=129"]).contains("the 128 that"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [
        &[
            "count",
            "mha:c=64,h=4",
            "--set",
            "b=1..256:+1",
            "--set",
            "n=1..256:+1",
            "--format",
            "csv",
        ][..],
        &["count", "mha:c=64,h=4", "--set", "b=1", "--set", "n=1..8192:+1", "--format", "json"],
        &["models"],
    ] {
        let mut command = command(arguments);
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, running.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let ended = running.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "{arguments:?}");
        assert!(!first.is_empty());
    }
}

/// A tokenizer of words that are numbers.
#[cfg(feature = "text")]
fn numbers(more: Value) -> Value {
    let vocab: serde_json::Map<String, Value> =
        (0..60).map(|id| (format!("w{id}"), id.into())).collect();
    let mut tokenizer = json!({
        "version": "1.0",
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "w0"},
    });
    tokenizer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tokenizer
}

#[test]
#[cfg(feature = "text")]
fn texts_are_padded_on_the_side_that_the_tokenizer_says() {
    let folder = copied("llama_untied", &[]);
    let (model, out) = (folder.path().to_str().unwrap(), folder.path().join("out.st"));
    let logits = |texts: &[&str]| {
        let texts = texts.iter().flat_map(|text| ["--text", text]);
        let run = ["run", model, "--output", out.to_str().unwrap()];
        stdout(&run.into_iter().chain(texts).collect::<Vec<_>>());
        let bytes = fs::read(&out).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let logits = tensors.tensor("logits").unwrap();
        let floats = logits.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        (logits.shape().to_vec(), floats.collect::<Vec<f32>>())
    };
    let tokenizer = |more: Value| {
        fs::write(folder.path().join("tokenizer.json"), numbers(more).to_string()).unwrap();
    };
    let padding = |side: &str| {
        json!({"padding": {"strategy": "BatchLongest", "direction": side, "pad_id": 3,
            "pad_type_id": 0, "pad_token": "w3", "pad_to_multiple_of": null}})
    };
    // Positions turn queries and keys by what lies between them alone.
    let at = |(shape, values): &(Vec<usize>, Vec<f32>), item: usize, token: usize| {
        let start = (item * shape[1] + token) * shape[2];
        values[start..start + shape[2]].to_vec()
    };
    tokenizer(json!({}));
    let alone = at(&logits(&["w7 w9"]), 0, 1);
    let near = |other: &[f32]| alone.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-4);
    let texts = ["w7 w9", "w5 w6 w7 w8"];
    for (more, settings, left) in [
        (json!({}), None, false),
        (padding("Right"), None, false),
        (padding("Left"), None, true),
        (json!({}), Some("left"), true),
        (padding("Left"), Some("right"), false),
    ] {
        tokenizer(more.clone());
        let file = folder.path().join("tokenizer_config.json");
        match settings {
            Some(side) => fs::write(&file, json!({"padding_side": side}).to_string()).unwrap(),
            None => drop(fs::remove_file(&file)),
        }
        let both = logits(&texts);
        assert_eq!(near(&at(&both, 0, 1)), !left, "{more} {settings:?}");
        assert_eq!(near(&at(&both, 0, 3)), left, "{more} {settings:?}");
    }
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"padding_side": "up"}"#).unwrap();
    assert!(refused(&["run", model, "--text", "w7"]).contains("`padding_side` is neither"));
}

#[test]
#[cfg(feature = "text")]
fn a_short_text_has_few_tokens() {
    let folder = copied("llama_untied", &[]);
    let model = folder.path().to_str().unwrap();
    let grows = json!({"normalizer": {"type": "Replace", "pattern": {"String": "a"},
        "content": "w1 ".repeat(50_000)}});
    fs::write(folder.path().join("tokenizer.json"), numbers(grows).to_string()).unwrap();
    for command in [&["run", model, "--text", "aa"][..], &["generate", model, "--text", "aa"]] {
        let message = refused(command);
        assert!(message.contains("a text of 2 bytes becomes 100000 tokens, over 288"), "{message}");
    }
}

#[test]
fn messages_name_what_there_is() {
    let count = |more: &[&str]| refused(&[&["count", "gpt2", "--set", "n=4"], more].concat());
    let quantities = count(&["--assert", "nosuch < 1"]);
    for known in ["params", "cache", "macs", "fvcore"] {
        assert!(quantities.contains(&format!(" {known},")), "{quantities}");
    }
    assert!(quantities.contains("quantity `nosuch` is not known"), "{quantities}");
    assert!(refused(&["generate", "gpt2"]).contains("--ids <IDS>|--text <TEXT>"));
    for (name, near) in [
        ("llama-3-8b-instruct", "llama-3-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("gpt2-small", "gpt2"),
        ("bert_base_uncased", "bert-base"),
        ("llama", "llama-7b"),
        ("mhaa", "mha"),
    ] {
        let message = refused(&["count", name]);
        assert!(message.contains(&format!("did you mean `{near}`?")), "{message}");
    }
    let same = ["explain", "macs", "macs", "gpt2", "--set", "n=4"];
    assert!(refused(&same).contains("`macs` is given twice"));
    let version = ["explain", "fvcore", "fvcore@0.1.5", "gpt2", "--set", "n=4"];
    assert!(refused(&version).contains("`fvcore` is given twice"));
    for layer in ["mha:c=1e-5,h=4", "mha:c=1e5,h=4"] {
        let message = refused(&["derive", layer]);
        assert!(message.contains("expected a whole number or a formula"), "{message}");
    }
}

#[test]
fn a_generation_as_csv_has_its_ids() {
    let folder = copied("gpt2_lm", &[]);
    let model = folder.path().to_str().unwrap();
    let generate = |format: &str| {
        stdout(&["generate", model, "--ids", "5,17,23", "--new-tokens", "4", "--format", format])
    };
    let json: Value = serde_json::from_str(&generate("json")).unwrap();
    let (csv, mut ids) = (generate("csv"), Vec::new());
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|title| *title == "id").unwrap();
    lines.for_each(|line| ids.push(line[at].parse::<u64>().unwrap()));
    assert_eq!(json!(ids), json["generated"]);
}

#[test]
fn results_become_no_file_of_the_model() {
    let folder = copied("gpt2_lm", &["model.safetensors"]);
    let model = folder.path().to_str().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |name: &str| opledger(&["run", model, "--set", "n=3", "--output", &path(name)]);
    // What is not there would be read the next time.
    for name in [
        "model.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "./config.json",
    ] {
        let ended = run(name);
        assert_eq!(ended.code, Some(2), "{name}");
        assert!(ended.stderr.contains("a file of the model"), "{name}: {}", ended.stderr);
    }
    // A name alone makes no file one of the model.
    for name in ["mine.json", "results.safetensors"] {
        assert_eq!(run(name).code, Some(0), "{name}");
    }
    let whole = std::path::Path::new(&super::models::golden("gpt2_lm")).join("model.safetensors");
    fs::copy(&whole, path("part.safetensors")).unwrap();
    let bytes = fs::read(&whole).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let map: serde_json::Map<String, Value> =
        header.tensors().into_keys().map(|name| (name, "part.safetensors".into())).collect();
    fs::write(path("model.safetensors.index.json"), json!({"weight_map": map}).to_string())
        .unwrap();
    assert_eq!(run("other.safetensors").code, Some(0));
    assert!(run("part.safetensors").stderr.contains("a file of the model"));
    assert!(fs::read(path("part.safetensors")).unwrap() == bytes);
}

/// Of T5 of version 1.1 the library makes one table from the configuration, and takes the head of a file.
#[test]
fn the_files_of_a_t5_say_whether_it_has_a_head_of_its_own() {
    let folder = copied("t5_gated", &[]);
    let (model, config) = (folder.path().to_str().unwrap(), folder.path().join("config.json"));
    let params = |model: &str| {
        let sizes = ["--set", "n=3", "--set", "m=4", "--format", "json"];
        let text = stdout(&[&["count", model][..], &sizes].concat());
        let json: Value = serde_json::from_str(&text).unwrap();
        json["params"]["total"].as_u64().unwrap()
    };
    let (apart, alone) = (params(model), params(config.to_str().unwrap()));
    let keys: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    let table = keys["vocab_size"].as_u64().unwrap() * keys["d_model"].as_u64().unwrap();
    assert_eq!(apart - alone, table);
    // As the library saves what it has read.
    let saved = json!({"tie_word_embeddings": true, "scale_decoder_outputs": false});
    change(&config, saved);
    assert_eq!(params(model), apart);
    assert_eq!(opledger(&["run", model, "--set", "n=3", "--set", "m=4"]).code, Some(0));
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(params(model), alone);
    // The published checkpoints have a head.
    assert_eq!(params("t5-v1.1-small"), 76_961_152);
}
