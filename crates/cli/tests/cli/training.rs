//! Training steps: what is told, and what is refused.

use insta::assert_snapshot;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use super::{opledger, stdout};

/// What a command says that ends with 2.
fn refused(arguments: &[&str]) -> String {
    let ended = opledger(arguments);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{arguments:?}");
    ended.stderr
}

#[test]
fn a_step_is_told_by_part_module_and_byte() {
    assert_snapshot!(stdout(&[
        "train",
        "llama-3.1-8b",
        "--set",
        "n=8192",
        "--recompute",
        "full",
        "--optimizer",
        "adamw",
        "--dtype",
        "bf16",
        "--state-dtype",
        "f32",
    ]));
}

#[test]
fn a_record_has_all_of_it() {
    let text = stdout(&["train", "gpt2", "--set", "n=1024", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["model_flops"].to_string(), "817019486208");
    assert_eq!(record["terms"][0]["flops"].to_string(), "764558180352");
    assert_eq!(record["tokens"].to_string(), "1024");
    assert_eq!(record["loss"], "cross-entropy");
}

#[test]
fn a_share_of_a_peak_is_told_with_a_time() {
    let step = ["train", "gpt2", "--set", "n=1024"];
    // 817,019,486,208 of 10¹² · 2.
    let text = stdout(&[&step[..], &["--time", "2", "--peak", "1e12"]].concat());
    assert!(text.contains("MFU 40.85 % (model 2·macs), HFU 40.85 %"), "{text}");
    assert!(refused(&[&step[..], &["--time", "0", "--peak", "1"]].concat()).contains("above 0"));
    assert!(refused(&[&step[..], &["--time", "1"]].concat()).contains("--peak <FLOPS>"));
}

#[test]
fn what_cannot_be_asked_is_told() {
    let with = |more: &[&str]| refused(&[&["train", "gpt2", "--set", "n=8"][..], more].concat());
    assert!(
        with(&["--recompute", "model.nowhere"]).contains("no module has the path `model.nowhere`")
    );
    assert!(with(&["--result", "other"]).contains("no result `other`; its results are logits"));
    assert!(with(&["--clip", "1"]).contains("--optimizer <OPTIMIZER>"));
    assert!(refused(&["train", "gpt2"]).contains("`gpt2` has no size for n"));
    let error = refused(&["train", "mha:c=8,h=2", "--loss", "given", "--result", "z"]);
    assert!(error.contains("no result `z`; its results are y"), "{error}");
}

#[test]
fn executed_steps_count_what_is_derived_and_make_the_loss_smaller() {
    let checkpoint =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/models/llama_published");
    let sizes = ["--set", "b=2", "--set", "n=9", "--optimizer", "adamw", "--rate", "0.01"];
    let steps = ["--steps", "5", "--clip", "1", "--format", "json"];
    let text = stdout(&[&["train", checkpoint][..], &sizes, &steps].concat());
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["mismatches"].to_string(), "0");
    let losses: Vec<f64> = { record["steps"].as_array().unwrap().iter() }
        .map(|step| step["loss"].as_f64().unwrap())
        .collect();
    assert!(losses.len() == 5 && losses.windows(2).all(|two| two[1] < two[0]), "{losses:?}");
    let counted = stdout(
        &[&["train", checkpoint][..], &sizes[..6], &["--clip", "1", "--format", "json"]].concat(),
    );
    let counted: serde_json::Value = serde_json::from_str(&counted).unwrap();
    assert_eq!(record["flops"], counted["flops"]);
    // A layer alone is not repeated.
    let alone = ["train", "mha:c=8,h=2", "--set", "b=1", "--set", "n=4", "--recompute", "full"];
    assert!(stdout(&alone).contains("--recompute full: no gradient reads anything of that"));
    let scores = ["train", "gpt2", "--set", "n=64", "--recompute", "selective"];
    assert!(!stdout(&scores).contains("no gradient reads anything of that"));
    let layer = ["train", "encoder-layer:c=8,h=2,ff=8", "--set", "b=1", "--set", "n=2"];
    let error = refused(&[&layer[..], &["--optimizer", "sgd", "--steps", "1"]].concat());
    assert!(error.contains("nothing is trained without a loss"), "{error}");
    let far = ["--optimizer", "sgd", "--loss", "mean-square", "--steps", "9", "--rate", "1e30"];
    let error = refused(&[&layer[..], &far].concat());
    assert!(error.contains("parameters and state are left as they were"), "{error}");
}

#[test]
fn a_step_is_counted_as_tools_count_it() {
    let step = ["train", "gpt2", "--set", "n=1024"];
    let json = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&stdout(&[&step[..], more, &["--format", "json"]].concat())).unwrap()
    };
    let names = ["--convention", "torch-flop-counter", "--convention", "nanogpt"];
    let record = json(&[&names[..], &["--attention", "fused"]].concat());
    let totals = record["conventions"].as_array().unwrap();
    let total = |at: usize| totals[at]["total"].to_string();
    assert_eq!([total(0), total(1)], ["894272274432", "875690459136"]);
    // Nobody refuses in silence.
    let all = json(&["--convention", "all"]);
    let counted = |key: &str| all[key].as_array().unwrap().len();
    assert_eq!(counted("conventions") + counted("refused"), 16, "{all}");

    let told =
        ["explain", "torch-flop-counter", "matmul-flops", "gpt2", "--set", "n=1024", "--step"];
    let text = stdout(&[&told[..], &["--attention", "fused"]].concat());
    assert!(text.contains("accounted for: all of it"), "{text}");
    assert!(text.contains("products computed"), "{text}");

    let with = |more: &[&str]| refused(&[&step[..], more].concat());
    assert!(with(&["--convention", "fvcore"]).contains("fvcore@0.1.5 counts a forward pass"));
    assert!(with(&["--convention", "nothing"]).contains("`nothing` is not known"));
    let modules = ["--convention", "torch-flop-counter", "--recompute", "transformer.h.*.mlp"];
    assert!(with(&modules).contains("was not observed with modules that are computed again"));
    let how = ["--convention", "torch-flop-counter", "--attention", "flash"];
    assert!(with(&how).contains("attention is `usual`, `fused` or `math`"));
    assert!(refused(&[&told[..6], &["--attention", "math"]].concat()).contains("--step"));
    let mixed = ["explain", "torch-flop-counter", "palm", "gpt2", "--set", "n=8", "--step"];
    assert!(refused(&mixed).contains("put `step-products` beside the formula"));
}

#[test]
fn three_masks_stand_side_by_side() {
    let text = stdout(&["train", "gpt2", "--set", "n=1024", "--time", "2", "--peak", "1e12"]);
    for row in ["all, as of a square", "half of the square", "those that the mask leaves"] {
        assert!(text.contains(row), "{text}");
    }
    assert!(text.contains("43.75 %") && text.contains("40.85 %"), "{text}");
}

/// Steps that go on from a file are those that were taken at once.
#[test]
fn parameters_and_state_are_saved_and_gone_on_from() {
    let checkpoint =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/models/llama_published");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let step = ["train", checkpoint, "--set", "b=2", "--set", "n=9", "--rate", "0.01"];
    let losses = |more: &[&str]| -> Vec<String> {
        let text = stdout(&[&step[..], more, &["--format", "json"]].concat());
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        let steps = record["steps"].as_array().unwrap().iter();
        steps.map(|step| step["loss"].to_string()).collect()
    };
    for optimizer in ["adamw", "adafactor", "muon"] {
        let with = ["--optimizer", optimizer, "--accumulate", "2"];
        let at_once = losses(&[&with[..], &["--steps", "4"]].concat());
        let saved = path("saved.safetensors");
        let first = losses(&[&with[..], &["--steps", "2", "--save", &saved]].concat());
        let more = ["--steps", "2", "--input", &saved, "--after", "2"];
        let second = losses(&[&with[..], &more].concat());
        assert_eq!([first, second].concat(), at_once, "{optimizer}");
    }
    // Muon's state is of another optimiser, and none of these of another model.
    let saved = path("saved.safetensors");
    let more = ["--optimizer", "sgd", "--steps", "1", "--input", &saved];
    let error = refused(&[&step[..], &more].concat());
    assert!(error.contains("is no input or parameter of this model"), "{error}");
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/models/gpt2_lm");
    let sizes = ["train", other, "--set", "b=2", "--set", "n=9"];
    let error = refused(
        &[&sizes[..], &["--optimizer", "muon", "--steps", "1", "--input", &saved]].concat(),
    );
    assert!(error.contains("tensor `"), "{error}");
    // Nothing is written of steps that lead nowhere.
    let before = std::fs::read(&saved).unwrap();
    let far = ["--optimizer", "sgd", "--steps", "9", "--rate", "1e30", "--save", &saved];
    let error = refused(&[&step[..6], &far].concat());
    assert!(error.contains("left as they were") && error.contains(", first in `"), "{error}");
    assert_eq!(std::fs::read(&saved).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn steps_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given.safetensors");
    let path = path.to_str().unwrap();
    let given = |name: &str, labels: &[i64], shape: Vec<usize>| {
        let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::I64, shape, &bytes).unwrap();
        std::fs::write(path, serialize([(name, view)], None).unwrap()).unwrap();
    };
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/models/gpt2_lm");
    let step = ["train", checkpoint, "--set", "b=1", "--set", "n=3", "--optimizer", "sgd"];
    let with = |more: &[&str]| refused(&[&step[..], &["--steps", "1"], more].concat());
    // Labels outside of the vocabulary, and as many as there are no tokens.
    given("labels", &[0, 1, 1_000_000], vec![1, 3]);
    let error = with(&["--input", path]);
    assert!(error.contains("labels") && error.contains("1000000"), "{error}");
    given("labels", &[0, 1], vec![1, 2]);
    let error = with(&["--input", path]);
    assert!(error.contains("labels") && error.contains("[1, 3]"), "{error}");
    given("labels", &[0, 1, 2], vec![1, 3]);
    stdout(&[&step[..], &["--steps", "1", "--input", path]].concat());
    // A step for which no machine has room.
    let large = ["train", "gpt2", "--set", "b=1000000", "--set", "n=1024", "--optimizer", "adamw"];
    let error = refused(&[&large[..], &["--steps", "1"]].concat());
    assert!(
        error.contains("bytes of memory") && error.contains("state of the optimiser"),
        "{error}"
    );
    assert!(error.contains("take smaller sizes"), "{error}");
    let tools = ["train", "gpt2", "--set", "n=8", "--accumulate", "2"];
    let error = refused(&[&tools[..], &["--convention", "nanogpt"]].concat());
    assert!(error.contains("leave out --accumulate"), "{error}");
}
