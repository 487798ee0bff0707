//! Any bytes as a GGUF file: an error with words, or a header, of which what is a model has counts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opledger_models::{GgufHeader, Request};
use opledger_weights::Gguf;

fuzz_target!(|bytes: &[u8]| {
    let header = match Gguf::parse("fuzz".as_ref(), bytes, bytes.len() as u64) {
        Err(error) => return assert!(!error.to_string().is_empty()),
        Ok(header) => header,
    };
    let taken = header.tensors.values().map(|tensor| tensor.bytes());
    assert!(taken.sum::<opledger_dims::Integer>() <= bytes.len().into());
    let tensors = header.tensors.iter().map(|(name, own)| (name.clone(), own.shape.clone()));
    let tensors = tensors.collect();
    let metadata = &header.metadata;
    let said = GgufHeader { origin: "fuzz", metadata, tensors: &tensors, factors: None };
    let Ok(config) = said.config() else { return };
    let Ok(model) = config.model("fuzz", &Request::default()) else { return };
    let sizes = model.binding.clone().with("b", 1).with("n", 3);
    if let Ok(all) = model.graph.complete(&sizes) {
        let _ = model.graph.check(&all).map(|()| model.graph.counts_at(&all));
    }
});
