//! Folders with a configuration, weights and what says how to generate.

use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};

use super::models::golden;
use super::{opledger, stdout};

/// A copy of a checkpoint, some of its files left out.
pub(crate) fn copied(name: &str, without: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(name)).unwrap().map(Result::unwrap) {
        let file = entry.file_name().into_string().unwrap();
        if file != "io.safetensors" && !without.contains(&&*file) {
            fs::copy(entry.path(), folder.path().join(file)).unwrap();
        }
    }
    folder
}

/// Changes keys of a JSON file, which need not be there.
pub(crate) fn change(path: &Path, keys: Value) {
    let text = fs::read_to_string(path).unwrap_or_else(|_| "{}".to_owned());
    let mut all: Value = serde_json::from_str(&text).unwrap();
    all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    fs::write(path, all.to_string()).unwrap();
}

fn generate(folder: &Path, more: &[&str]) -> Value {
    let model = folder.to_str().unwrap();
    let some = ["generate", model, "--ids", "5,17,23", "--format", "json", "--new-tokens", "6"];
    serde_json::from_str(&stdout(&[&some[..], more].concat())).unwrap()
}

fn ids(generation: &Value) -> Vec<u64> {
    generation["generated"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

#[test]
fn weights_under_another_name_are_no_reason_to_draw_others() {
    let folder = copied("gpt2_lm", &["model.safetensors"]);
    let model = folder.path().to_str().unwrap();
    for (file, mend) in [
        ("pytorch_model.bin", "convert them to safetensors"),
        ("model-00001-of-00001.safetensors", "model.safetensors.index.json"),
        ("adapter_config.json", "merge the adapter"),
    ] {
        let path = folder.path().join(file);
        fs::write(&path, "").unwrap();
        for command in [&["run", model, "--set", "n=3"][..], &["generate", model, "--ids", "1"]] {
            let ended = opledger(command);
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
            let told = ended.stderr.contains(file) && ended.stderr.contains(mend);
            assert!(told, "{}", ended.stderr);
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn drawn_weights_are_told_in_every_format_and_beside_results() {
    let folder = copied("gpt2_lm", &["model.safetensors"]);
    let model = folder.path().to_str().unwrap();
    let out = folder.path().join("out.st");
    let run = ["run", model, "--set", "n=3", "--seed", "7"];
    let told = "weights: drawn from seed 7";
    let output = ["--output", out.to_str().unwrap()];
    assert!(stdout(&[&run[..], &output].concat()).contains(&format!("note: {told}\n")));
    let bytes = fs::read(&out).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["notes"], told);
    let json: Value =
        serde_json::from_str(&stdout(&[&run[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(json["notes"], json!([told]));
    let csv = opledger(&[&run[..], &["--format", "csv"]].concat());
    assert_eq!(csv.stderr, format!("note: {told}\n"));
    assert_eq!(generate(folder.path(), &["--seed", "7"])["notes"], json!([told]));
    // Weights that are read are no one's guess.
    let read = generate(copied("gpt2_lm", &[]).path(), &[]);
    assert!(read.get("notes").is_none(), "{read}");
}

#[test]
fn a_key_that_is_not_understood_is_told_in_every_format() {
    let folder = copied("gpt2_lm", &[]);
    change(&folder.path().join("config.json"), json!({"logit_softcap": 30.0}));
    let model = folder.path().to_str().unwrap();
    let told = "not understood in the configuration: logit_softcap";
    for command in ["count", "derive", "run"] {
        let command = [command, model, "--set", "n=3"];
        assert!(stdout(&command).contains(told));
        let json = stdout(&[&command[..], &["--format", "json"]].concat());
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["notes"], json!([told]));
        let csv = opledger(&[&command[..], &["--format", "csv"]].concat());
        assert_eq!(csv.stderr, format!("note: {told}\n"));
    }
}

#[test]
fn an_encoder_reads_the_text_and_its_decoder_goes_on_from_the_first_token() {
    let folder = copied("t5_relu", &[]);
    let model = folder.path().to_str().unwrap();
    let some = ["generate", model, "--ids", "5,17,23,4", "--new-tokens", "5", "--format", "json"];
    let start = |id: Value| {
        change(&folder.path().join("config.json"), json!({"decoder_start_token_id": id}));
        opledger(&[&some[..], &["--ignore-eos"]].concat())
    };
    let told: Value = serde_json::from_str(&start(json!(0)).stdout).unwrap();
    assert_eq!(
        (told["source"]["tokens"].as_u64(), told["theorem"]["mismatches"].as_u64()),
        (Some(4), Some(0))
    );
    assert_eq!((told["steps"][0]["tokens"].as_u64(), ids(&told).len()), (Some(1), 5));
    // What it costs is what is counted before.
    let sizes = ["count", model, "--set", "m=4", "--new-tokens", "5", "--format", "json"];
    let counted: Value = serde_json::from_str(&stdout(&sizes)).unwrap();
    let macs = |value: &Value| value["macs"].as_u64().unwrap();
    let steps = told["steps"].as_array().unwrap().iter().map(macs).sum::<u64>();
    assert_eq!(macs(&counted["all"]), steps + macs(&told["source"]));
    // The token behind the first one may be given.
    change(&folder.path().join("config.json"), json!({"forced_bos_token_id": 9}));
    assert_eq!(ids(&serde_json::from_str(&start(json!(0)).stdout).unwrap())[0], 9);
    let none = start(Value::Null);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("decoder_start_token_id"), "{}", none.stderr);
}

#[test]
fn generating_ends_after_an_end_token_unless_told_not_to() {
    let folder = copied("gpt2_lm", &[]);
    let (config, file) =
        (folder.path().join("config.json"), folder.path().join("generation_config.json"));
    let all = ids(&generate(folder.path(), &["--ignore-eos"]));
    assert_eq!(all.len(), 6);
    let end = all[2];
    let first = all.iter().position(|id| *id == end).unwrap();
    for (ends, of) in [(json!(end), &config), (json!([70, end]), &file)] {
        change(of, json!({"eos_token_id": ends}));
        let ended = generate(folder.path(), &[]);
        assert_eq!(ids(&ended), all[..=first]);
        assert_eq!(ended["ended_by"], end);
        assert_eq!(ended["steps"].as_array().unwrap().len(), first + 1);
        assert_eq!(ended["theorem"]["mismatches"], 0);
        let note = ended["notes"][0].as_str().unwrap();
        assert!(note.contains("--ignore-eos goes on"), "{note}");
        assert_eq!(ids(&generate(folder.path(), &["--ignore-eos"])), all);
    }
    // The file beside the configuration has the last word, and what it asks for is told.
    change(&file, json!({"eos_token_id": null, "num_beams": 4, "repetition_penalty": 1.5}));
    let whole = generate(folder.path(), &["--repetition-penalty", "1"]);
    assert_eq!(ids(&whole), all);
    let told = "not applied, of generation_config.json: num_beams";
    assert_eq!(whole["notes"], json!([told]));
    let penalised = generate(folder.path(), &[]);
    assert_ne!(ids(&penalised), all);
    let applied = "repetition_penalty = 1.5 of generation_config.json is applied";
    assert_eq!(penalised["notes"], json!([told, applied]));
}

#[test]
fn a_sound_is_read_from_a_file_and_the_text_goes_on() {
    let bytes = fs::read(Path::new(&golden("whisper_scores")).join("io.safetensors")).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let known: Vec<u64> = {
        let ids = all.tensor("expected.generated").unwrap().data().chunks_exact(8);
        ids.map(|id| u64::from_le_bytes(id.try_into().unwrap())).collect()
    };
    let sounds = all.tensor("input_features").unwrap();
    let first = sounds.data()[..sounds.data().len() / sounds.shape()[0]].to_vec();
    let shape = vec![1, sounds.shape()[1], sounds.shape()[2]];
    let first = TensorView::new(sounds.dtype(), shape, &first).unwrap();
    let folder = copied("whisper_scores", &[]);
    let (model, file) = (folder.path().to_str().unwrap(), folder.path().join("sound.safetensors"));
    fs::write(&file, serialize([("input_features", first)], None).unwrap()).unwrap();
    let (begin, rest) = known.split_at(2);
    let (begin, asked) = (begin.iter().map(u64::to_string).collect::<Vec<_>>().join(","), "6");
    let asked = ["generate", model, "--ids", &begin, "--new-tokens", asked, "--format", "json"];
    let read = [&asked[..], &["--input", file.to_str().unwrap(), "--ignore-eos"]].concat();
    let read: Value = serde_json::from_str(&stdout(&read)).unwrap();
    assert_eq!(ids(&read), rest);
    assert_eq!(read["source"]["tokens"], 6);
    assert_eq!((&read["notes"], &read["theorem"]["mismatches"]), (&Value::Null, &json!(0)));
    let drawn: Value = serde_json::from_str(&stdout(&asked)).unwrap();
    assert!(drawn["notes"][0].as_str().unwrap().contains("drawn from seed 0"), "{drawn}");
    let other = ["generate", "gpt2", "--ids", "1", "--input", file.to_str().unwrap()];
    let other = opledger(&other);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("no encoder that reads a sound"), "{}", other.stderr);
}

#[test]
fn more_tokens_than_positions_are_refused_before_the_first_step() {
    let folder = golden("gpt2_lm");
    let prompt: Vec<String> = (5..25).map(|id: i32| id.to_string()).collect();
    let prompt = prompt.join(",");
    let generate = |new| opledger(&["generate", &folder, "--ids", &prompt, "--new-tokens", new]);
    let long = generate("8");
    assert_eq!((long.code, &*long.stdout), (Some(2), ""));
    let told =
        "20 + 8 tokens, `n_positions` = 24 in the configuration: ask for at most 5 new tokens";
    assert!(long.stderr.contains(told), "{}", long.stderr);
    assert_eq!(generate("5").code, Some(0));
    // Or its first tokens are left out, which goes on as the others alone do.
    let last = (8..25).map(|id: i32| id.to_string()).collect::<Vec<_>>().join(",");
    let told = |ids: &str, new: &str, more: &[&str]| {
        let all = ["generate", &folder, "--ids", ids, "--new-tokens", new, "--format", "json"];
        opledger(&[&all, more].concat())
    };
    let cut = told(&prompt, "8", &["--truncate"]);
    assert_eq!(cut.code, Some(0), "{}", cut.stderr);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (cut, alone) = (json(&cut.stdout), json(&told(&last, "8", &[]).stdout));
    assert_eq!((&cut["prompt"], &cut["generated"]), (&alone["prompt"], &alone["generated"]));
    let note = cut["notes"].to_string();
    assert!(note.contains("the first 3 of 20 tokens are left out"), "{note}");
    let whole = json(&told(&prompt, "5", &["--truncate"]).stdout);
    assert!(!whole["notes"].to_string().contains("left out"));
    assert_eq!(told(&prompt, "25", &["--truncate"]).code, Some(2));
    for (model, n, told) in [
        ("bert_base", "n=17", "17 tokens, and `"),
        ("roberta_base", "n=17", "has positions for 16 (`max_position_embeddings` = 18"),
    ] {
        let folder = golden(model);
        for command in ["count", "run"] {
            let long = opledger(&[command, &folder, "--set", n]);
            assert_eq!((long.code, &*long.stdout), (Some(2), ""));
            assert!(long.stderr.contains(told), "{}", long.stderr);
        }
    }
}

#[test]
fn tokens_are_drawn_as_the_file_or_the_command_says() {
    let folder = copied("gpt2_lm", &[]);
    let drawn = |more: &[&str]| ids(&generate(folder.path(), more));
    let greedy = drawn(&["--ignore-eos"]);
    let of = |seed: &str| drawn(&["--ignore-eos", "--sample", seed]);
    assert_eq!(of("1"), of("1"));
    assert_ne!(of("1"), of("2"));
    // The single most probable token is the one with the highest score.
    for narrow in [["--top-k", "1"], ["--top-p", "0.000001"], ["--temperature", "0.000001"]] {
        let more = [&["--ignore-eos", "--sample", "3"], &narrow[..]].concat();
        assert_eq!(drawn(&more), greedy, "{narrow:?}");
    }
    change(&folder.path().join("generation_config.json"), json!({ "top_k": 1, "do_sample": true }));
    assert_eq!(drawn(&["--ignore-eos", "--sample", "4"]), greedy);
    let model = folder.path().to_str().unwrap();
    let told = opledger(&["generate", model, "--ids", "5", "--new-tokens", "1"]);
    assert!(told.stdout.contains("generation_config.json asks to draw tokens"), "{}", told.stdout);
    // What stands in the text already comes again no more.
    let once = drawn(&["--ignore-eos", "--repetition-penalty", "1000000"]);
    let mut all = [&[5, 17, 23][..], &once].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 3 + once.len());
    for (arguments, message) in [
        (&["--temperature", "0.5"][..], "--sample"),
        (&["--sample", "1", "--top-p", "1.5"], "above 0 and at most 1"),
        (&["--repetition-penalty", "0"], "no number above 0"),
        (&["--text-file", "/nowhere/x.txt"], "cannot be used with"),
    ] {
        let some = [&["generate", model, "--ids", "5"], arguments].concat();
        let refused = opledger(&some);
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
    }
    let refused = opledger(&["generate", model, "--text-file", "/nowhere/x.txt"]);
    assert!(refused.stderr.contains("`/nowhere/x.txt` could not be read"), "{}", refused.stderr);
}
