//! Forward and backward pass of a layer, with the weights of attention kept and computed again.

use criterion::{Criterion, criterion_group, criterion_main};
use opledger_benches::{fast, time_step};
use opledger_grad::Recompute;

/// A name, a layer of the grammar, and sizes.
type Case = (&'static str, &'static str, &'static [(&'static str, u64)]);

const LAYERS: &[Case] = &[
    (
        "encoder-layer 512, 8, 2048",
        "encoder-layer:c=512,h=8,ff=2048,act=gelu",
        &[("b", 8), ("n", 512)],
    ),
    (
        "block of GPT-2 small",
        "encoder-layer:c=768,h=12,ff=3072,act=gelu-tanh,norm=pre,mask=causal",
        &[("b", 1), ("n", 1024)],
    ),
];

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for (name, model, sizes) in LAYERS {
        for recompute in [Recompute::Nothing, Recompute::Selective] {
            time_step(&mut group, name, recompute, (model, sizes), &mut fast());
        }
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
