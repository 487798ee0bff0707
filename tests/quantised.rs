//! Bytes of quantised weights, beside those of the libraries that quantise them.

use opledger_account::Model;
use serde_json::Value;

#[test]
fn quantised_weights_take_what_they_take_in_the_library() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/quantised.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(cases.len(), 8);
    let folder = tempfile::tempdir().unwrap();
    for case in cases {
        let file = folder.path().join("config.json");
        std::fs::write(&file, case["config"].to_string()).unwrap();
        let model = Model::open(file.to_str().unwrap()).unwrap();
        let weights = model.quantised_weights().unwrap().unwrap();
        let told = &case["config"]["quantization_config"];
        assert_eq!(weights.bytes().to_string(), case["bytes"].to_string(), "{told}");
    }
}

/// By hand: a map of 64 inputs and 96 outputs in groups of 32, in the layout of either library.
#[test]
fn packed_weights_take_words_zeros_and_scales() {
    use opledger_models::QuantisationMethod::{Awq, Gptq};
    let (outs, ins) = (96.into(), 64.into());
    let [weights, zeros, scales, order] = [64 * 96 / 2, 2 * 96 / 2, 2 * 96 * 2, 64 * 4];
    let (bits, group) = (4, Some(32));
    let gptq = Gptq { bits, group }.matrix_bytes(&outs, &ins);
    assert_eq!(gptq, (weights + zeros + scales + order).into());
    let awq = Awq { bits, group }.matrix_bytes(&outs, &ins);
    assert_eq!(awq, (weights + zeros + scales).into());
    let whole = Gptq { bits: 8, group: None }.matrix_bytes(&outs, &ins);
    assert_eq!(whole, (64 * 96 + 96 + 96 * 2 + 64 * 4).into());
}
