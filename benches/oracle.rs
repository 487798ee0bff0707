//! The oracle, which executes and counts every scalar operation one by one.

use criterion::{Criterion, criterion_group, criterion_main};
use opledger_benches::{oracle, time};

fn layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("oracle");
    let sizes: &[(&str, u64)] = &[("b", 1), ("n", 16)];
    for model in ["linear:in=64,out=64", "mha:c=32,h=4", "encoder-layer:c=32,h=4,ff=64"] {
        time(&mut group, model, "f32", (model, sizes), &mut oracle());
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
