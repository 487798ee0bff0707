//! The layers, at the sizes of small published models.

use criterion::{Criterion, criterion_group, criterion_main};
use opledger_benches::{fast, time};

/// A name, a layer of the grammar, and sizes.
type Case = (&'static str, &'static str, &'static [(&'static str, u64)]);

const LAYERS: &[Case] = &[
    ("linear 512→2048", "linear:in=512,out=2048", &[("b", 8), ("n", 128)]),
    ("ffn 512, 2048, gelu", "ffn:c=512,ff=2048,act=gelu", &[("b", 8), ("n", 128)]),
    ("layer-norm 512", "layer-norm:c=512", &[("b", 8), ("n", 1024)]),
    ("encoder-layer 512, 8, 2048", "encoder-layer:c=512,h=8,ff=2048", &[("b", 8), ("n", 128)]),
    ("encoder-layer 768, 12, 3072", "encoder-layer:c=768,h=12,ff=3072", &[("b", 1), ("n", 128)]),
    (
        "decoder-layer 512, 8, 2048",
        "decoder-layer:c=512,h=8,ff=2048",
        &[("b", 8), ("n", 96), ("m", 128)],
    ),
    (
        "window-attention 96, 3, 7×7",
        "window-attention:c=96,h=3,side=7,height=56,width=56,shift=3",
        &[("b", 1)],
    ),
];

fn layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("layers");
    for (name, model, sizes) in LAYERS {
        time(&mut group, name, "fast", (model, sizes), &mut fast());
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
