//! Any text as a layer: an answer, and of what is accepted, closed forms and counts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opledger_models::layer::parse;

fuzz_target!(|text: &str| {
    let Ok(model) = parse(text) else { return };
    let mut sizes = model.binding.clone();
    for symbol in model.graph.symbols() {
        if sizes.get(&symbol).is_none() {
            sizes.set(&symbol, 2);
        }
    }
    if let Ok(all) = model.graph.complete(&sizes) {
        let _ = model.graph.check(&all).map(|()| model.graph.counts_at(&all));
    }
});
