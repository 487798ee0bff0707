//! Probabilities of next tokens, beside those of `transformers`.

use opledger_execute::Choice;
use opledger_models::GenerationSettings;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn probabilities_are_those_of_the_library() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/choices.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let of = |key: &str| case["settings"][key].as_f64();
        let settings = GenerationSettings {
            repetition_penalty: of("repetition_penalty"),
            temperature: of("temperature"),
            top_k: Some(of("top_k").map_or(0, |k| k as usize)),
            top_p: of("top_p"),
            ..GenerationSettings::default()
        };
        let scores: Vec<f32> = numbers(&case["scores"]).into_iter().map(|x| x as f32).collect();
        let context: Vec<i64> = numbers(&case["context"]).into_iter().map(|x| x as i64).collect();
        let found = Choice::sampled(&settings, 1).probabilities(&scores, &context);
        for (at, (found, expected)) in found.iter().zip(numbers(&case["probabilities"])).enumerate()
        {
            assert_eq!(*found == 0.0, expected == 0.0, "{} at {at}", case["settings"]);
            assert!((found - expected).abs() < 2e-6, "{} at {at}", case["settings"]);
        }
    }
}
