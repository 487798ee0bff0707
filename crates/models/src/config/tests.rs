//! What is wrong with a configuration is told by its keys.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Config, ConfigError};
use crate::{ModelGraph, Request, preset_names};

/// A small Llama, and changes to it.
fn llama(changes: &[(&str, Value)]) -> Result<ModelGraph, ConfigError> {
    let mut config = json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"],
        "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 2, "torch_dtype": "float16",
    });
    for (key, value) in changes {
        match value {
            Value::String(text) if text == "(removed)" => {
                config.as_object_mut().unwrap().remove(*key)
            }
            _ => config.as_object_mut().unwrap().insert((*key).to_owned(), value.clone()),
        };
    }
    Config::parse("config", config.to_string().as_bytes())?.model("m", &Request::default())
}

fn told(changes: &[(&str, Value)]) -> String {
    llama(changes).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    assert_eq!(told(&[]), "");
    let cases: &[(&str, Value, &str)] = &[
        ("hidden_size", json!("(removed)"), "config: the key `hidden_size` is missing"),
        (
            "hidden_size",
            json!(-24),
            "config: `hidden_size` is -24, but a whole number from 1 to 2^40 is needed",
        ),
        (
            "hidden_size",
            json!(2.5),
            "config: `hidden_size` is 2.5, but a whole number from 1 to 2^40 is needed",
        ),
        (
            "vocab_size",
            json!(0),
            "config: `vocab_size` is 0, but a whole number from 1 to 2^40 is needed",
        ),
        (
            "num_attention_heads",
            json!(5),
            "config: `num_attention_heads` = 5 and `num_key_value_heads` = 2 contradict each other: \
             the one is no multiple of the other",
        ),
        (
            "hidden_size",
            json!(25),
            "config: `hidden_size` = 25 and `num_attention_heads` = 6 contradict each other: the one \
             is no multiple of the other",
        ),
        (
            "head_dim",
            json!(3),
            "config: `head_dim` = 3 is not supported; supported: an even head width, since the rotation turns pairs",
        ),
        (
            "hidden_act",
            json!("xielu"),
            "config: `hidden_act` = \"xielu\" is not supported; supported: relu, gelu, ",
        ),
        ("hidden_act", json!(7), "config: `hidden_act` is 7, but a text is needed"),
        (
            "tie_word_embeddings",
            json!("yes"),
            "config: `tie_word_embeddings` is \"yes\", but true or false is needed",
        ),
        (
            "rms_norm_eps",
            json!(-1e-5),
            "config: `rms_norm_eps` is -0.00001, but a number above 0 and below 1 is needed",
        ),
        (
            "architectures",
            json!(["LlamaForMaskedLM"]),
            "config: `architectures` = [\"LlamaForMaskedLM\"] is not supported; supported: LlamaForCausalLM, LlamaModel, LlamaForSequenceClassification, LlamaForTokenClassification, LlamaForQuestionAnswering, LLaMAForCausalLM",
        ),
        (
            "model_type",
            json!("lama"),
            "config: model_type `lama` is not supported (did you mean `llama`?); supported: albert",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "ntk"}),
            "config: `rope_scaling.rope_type` = \"ntk\" is not supported; supported: default, linear, llama3, yarn, dynamic, longrope",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "longrope", "factor": 2, "original_max_position_embeddings": 8, "short_factor": [1, "2"], "long_factor": [1]}),
            "config: `rope_scaling.short_factor` is [1,\"2\"], but a list of numbers above 0 is needed",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "dynamic", "factor": 0.5}),
            "config: `rope_scaling.factor` = 0.5 is not supported; supported: with a dynamic scaling, a number from 1 on",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "linear"}),
            "config: the key `rope_scaling.factor` is missing",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "linear", "type": "yarn"}),
            "config: `rope_scaling.rope_type` = \"linear\" and `rope_scaling.type` = \"yarn\" contradict each other",
        ),
        (
            "rope_scaling",
            json!("linear"),
            "config: `rope_scaling` is \"linear\", but an object is needed",
        ),
    ];
    for (key, value, expected) in cases {
        let found = told(&[(key, value.clone())]);
        assert!(found.starts_with(expected), "{key} = {value}: {found}");
    }
    let two = [("rope_theta", json!(1e4)), ("rope_parameters", json!({"rope_theta": 5e5}))];
    let found = told(&two);
    assert!(found.contains("they name two bases"), "{found}");
    let old = told(&[("rope_scaling", json!({"type": "ntk", "factor": 2.0}))]);
    assert!(old.starts_with("config: `rope_scaling.type` = \"ntk\" is not supported"), "{old}");
    let two = [("rope_scaling", json!({"factor": 2})), ("rope_parameters", json!({"factor": 3}))];
    let found = told(&two);
    assert!(found.contains("they name two rotations"), "{found}");
    let duplicate = Config::parse("config", br#"{"hidden_size": 1, "hidden_size": 2}"#);
    let error = duplicate.unwrap_err().to_string();
    assert!(error.contains("the key `hidden_size` stands twice"), "{error}");
    assert!(Config::parse("config", b"[]").unwrap_err().to_string().contains("no JSON object"));
}

#[test]
fn a_part_of_each_head_turns() {
    let turned = |changes: Value| -> Result<Option<u64>, String> {
        let mut config = json!({
            "model_type": "gpt_neox", "vocab_size": 50, "hidden_size": 40, "intermediate_size": 44,
            "num_hidden_layers": 2, "num_attention_heads": 2,
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let config = Config::parse("config", config.to_string().as_bytes()).unwrap();
        let model = config.model("m", &Request::default()).map_err(|e| e.to_string())?;
        assert!(model.not_understood.is_empty(), "{:?}", model.not_understood);
        Ok(model.binding.get(&"rot".into()).map(|size| u64::try_from(size).unwrap()))
    };
    let inner = |share: f64| json!({"rope_parameters": {"partial_rotary_factor": share}});
    assert_eq!(turned(json!({"rotary_pct": 0.5})), Ok(Some(10)));
    assert_eq!(turned(inner(0.4)), Ok(Some(8)));
    assert_eq!(turned(json!({"rotary_pct": 1.0, "partial_rotary_factor": 1})), Ok(None));
    let refused = [
        (json!({}), "a share by which an even number of 20 elements turns"),
        (json!({"rotary_pct": 1.2}), "a share by which an even number of 20 elements turns"),
        (json!({"rotary_pct": 0.0}), "a number above 0 is needed"),
        (json!({"rotary_pct": 0.5, "partial_rotary_factor": 0.4}), "they name two shares"),
        (json!({"rotary_pct": 0.5, "rotary_emb_base": 9, "rope_theta": 8}), "they name two bases"),
    ];
    for (changes, expected) in refused {
        let error = turned(changes.clone()).unwrap_err();
        assert!(error.contains(expected), "{changes}: {error}");
    }
}

/// The scaling that a model of 4096 positions turns by.
fn yarn(inner: Value, outer: &[(&str, Value)]) -> String {
    let mut changes = vec![("max_position_embeddings", json!(4096))];
    let mut scaling = json!({"rope_type": "yarn"});
    scaling.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
    changes.push(("rope_scaling", scaling));
    changes.extend(outer.iter().cloned());
    let model = llama(&changes).unwrap();
    assert!(model.not_understood.is_empty(), "{:?}", model.not_understood);
    let found = model.graph.nodes().iter().find_map(|node| match &node.op {
        opledger_ir::Op::RotaryAngles(angles) => Some(format!("{:?}", angles.scaling)),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn yarn_is_read_as_the_library_reads_it() {
    let original = "original_max_position_embeddings";
    let plain = yarn(json!({"factor": 4.0, original: 1024}), &[]);
    let same = [
        yarn(json!({"factor": null, original: 1024}), &[]),
        yarn(json!({"factor": 4.0, original: 64}), &[(original, json!(1024))]),
        yarn(json!({"factor": 4.0}), &[(original, json!(1024))]),
        yarn(json!({"factor": 4.0, original: 1024, "beta_fast": 0, "beta_slow": null}), &[]),
        yarn(json!({"factor": 4.0, original: 1024, "mscale": 0.7}), &[]),
        yarn(json!({"factor": 4.0, original: 1024, "attention_factor": null}), &[]),
    ];
    for other in same {
        assert_eq!(other, plain);
    }
    let whole = yarn(json!({"factor": 4.0}), &[]);
    assert_eq!(whole, yarn(json!({"factor": 4.0, original: 4096}), &[]));
    let even = json!({"factor": 4.0, original: 1024, "mscale": 0.5, "mscale_all_dim": 0.5});
    assert!(yarn(even, &[]).contains("attention_factor: 1.0,"));
    let exact = json!({"factor": 4.0, original: 1024, "truncate": false});
    assert!(yarn(exact, &[]).contains("truncate: false"));
}

#[test]
fn a_decoder_that_is_not_causal_sees_all_and_keeps_no_cache() {
    let macs = |changes: &[(&str, Value)]| llama(changes).unwrap().graph.cost().macs();
    let (causal, both) = (macs(&[]), macs(&[("is_causal", json!(false))]));
    let pairs = |text: &str| text.parse::<opledger_dims::Poly>().unwrap();
    assert_eq!(both - causal, pairs("b·l·n²·c - b·l·n·c"));
    let config = json!({
        "model_type": "llama", "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40,
        "num_hidden_layers": 2, "num_attention_heads": 6, "is_causal": false,
    });
    let config = Config::parse("config", config.to_string().as_bytes()).unwrap();
    let cached = config.model("m", &Request { past: true, ..Request::default() });
    assert!(matches!(cached, Err(ConfigError::Request { .. })), "{cached:?}");
    let mistral = [
        ("model_type", json!("mistral")),
        ("architectures", json!(["MistralModel"])),
        ("sliding_window", json!(3)),
        ("is_causal", json!(false)),
    ];
    assert!(
        told(&mistral).contains("a window to both sides is not supported"),
        "{}",
        told(&mistral)
    );
}

#[test]
fn old_names_of_classes_are_known_and_an_encoder_has_its_tokens_in_n() {
    let old = llama(&[("architectures", json!(["LLaMAForCausalLM"]))]).unwrap();
    assert_eq!(old.graph.cost().macs(), llama(&[]).unwrap().graph.cost().macs());
    let t5 = |class: &str| {
        let config = json!({
            "model_type": "t5", "architectures": [class], "vocab_size": 50, "d_model": 24, "d_kv": 6,
            "d_ff": 40, "num_layers": 2, "num_heads": 3,
        });
        let config = Config::parse("config", config.to_string().as_bytes()).unwrap();
        config.model("m", &Request::default()).unwrap().graph
    };
    let [new, old] = ["T5ForConditionalGeneration", "T5WithLMHeadModel"].map(t5);
    assert_eq!(new.cost().macs(), old.cost().macs());
    let encoder = t5("T5EncoderModel");
    assert_eq!(encoder.size_of(opledger_ir::SizeRole::Tokens), Some(&"n".into()));
}

#[test]
fn other_names_of_keys_say_the_same() {
    let gpt2 = |layers: u64| {
        let config = json!({
            "model_type": "gpt2", "vocab_size": 50, "n_embd": 24, "n_layer": 2, "n_head": 6,
            "n_positions": 16, "num_hidden_layers": layers,
        });
        let config = Config::parse("config", config.to_string().as_bytes()).unwrap();
        config.model("m", &Request::default()).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(gpt2(2), Ok(()));
    assert!(gpt2(3).unwrap_err().contains("they are two names of one size"));
}

#[test]
fn keys_that_nobody_knows_are_told() {
    let unknown = |changes: &[(&str, Value)]| llama(changes).unwrap().not_understood;
    assert_eq!(unknown(&[]), Vec::<String>::new());
    assert_eq!(unknown(&[("logit_softcap", json!(30.0))]), ["logit_softcap"]);
    let scaling = json!({"rope_type": "linear", "factor": 2.0, "speed": 1});
    assert_eq!(unknown(&[("rope_scaling", scaling)]), ["rope_scaling.speed"]);
}

#[test]
fn a_cache_is_refused_where_there_is_none() {
    let mut refused = 0;
    for name in preset_names() {
        let preset = crate::preset(name).unwrap();
        let request = Request { past: true, ..Request::default() };
        match preset.config().model(name, &request) {
            Ok(model) => assert!(!model.graph.caches().is_empty(), "{name}"),
            Err(error) => {
                assert!(matches!(error, ConfigError::Request { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20);
}

/// Values that a key may wrongly have.
fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..40_u64).prop_map(Value::from),
        "[a-z_]{0,12}".prop_map(Value::from),
        prop::collection::vec(0..9_u64, 0..4).prop_map(Value::from),
        Just(json!({"rope_type": "yarn", "factor": 1e300})),
    ]
}

proptest! {
    #[test]
    fn no_configuration_panics(
        name in 0..200_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), values()), 0..4),
        past: bool,
    ) {
        let known: Vec<&str> = preset_names().collect();
        let name = known[name % known.len()];
        let mut config = crate::preset(name).unwrap().config();
        for (at, value) in changes {
            let key = config.map.keys().nth(at.index(config.map.len())).unwrap().clone();
            if key != "model_type" {
                config.map.insert(key, value);
            }
        }
        let request = Request { past, attention_mask: past, ..Request::default() };
        if let Ok(model) = config.model(name, &request) {
            let binding = model.binding.clone().with("b", 1).with("n", 3).with("p", 0).with("m", 2);
            let _ = model.graph.complete(&binding).map(|all| model.graph.counts_at(&all));
        }
    }
}

/// Infinity as Python writes it, and what no step of one token would keep.
#[test]
fn bounds_of_time_steps_are_none() {
    let built = |limit: &str| {
        let text = format!(
            r#"{{"model_type": "mamba2", "hidden_size": 8, "num_heads": 2, "head_dim": 8, "n_groups": 1,
            "vocab_size": 5, "num_hidden_layers": 1, "time_step_limit": {limit}}}"#
        );
        let config = Config::parse("config", text.as_bytes()).unwrap();
        config.model("", &Request::default()).map(|_| ()).map_err(|error| error.to_string())
    };
    for limit in ["[0.0, Infinity]", r#"[0, {"__float__": "Infinity"}]"#, "[0.0, 1e30]", "null"] {
        assert_eq!(built(limit), Ok(()), "{limit}");
    }
    for limit in ["[0.001, Infinity]", "[0.0, 100.0]", "[0.0, NaN]", "[0.0]", "7"] {
        let error = built(limit).unwrap_err();
        assert!(error.contains("`time_step_limit`"), "{error}");
    }
}
