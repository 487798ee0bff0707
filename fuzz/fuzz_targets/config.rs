//! Any bytes as a configuration: an answer, and of what is accepted, counts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opledger_models::{Config, Logits, Request};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(config) = Config::parse("fuzz", text) else { return };
    if let Ok(Some(quantisation)) = config.quantisation() {
        let _ = quantisation.method.matrix_bytes(&96.into(), &64.into());
        let _ = quantisation.applies_to("model.layers.0.mlp", true);
    }
    let bit = |at: u8| first >> at & 1 == 1;
    let logits = if bit(2) { Logits::Last } else { Logits::All };
    let (past, attention_mask, source) = (bit(0), bit(1), bit(3));
    let request = Request { past, attention_mask, logits, source, ..Request::default() };
    let Ok(model) = config.model("fuzz", &request) else { return };
    let sizes = model.binding.clone().with("b", 1).with("n", 3).with("m", 2).with("p", 1);
    if let Ok(all) = model.graph.complete(&sizes) {
        let _ = model.graph.check(&all).map(|()| model.graph.counts_at(&all));
    }
});
