//! Attention throughput against sequence length and number of heads, projections included.

use criterion::{Criterion, criterion_group, criterion_main};
use opledger_benches::{fast, time};

fn sequence_length(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention against sequence length, c=512 h=8 b=1");
    for n in [16, 64, 256, 1024, 2048] {
        for mask in ["none", "causal"] {
            let model = format!("mha:c=512,h=8,mask={mask}");
            time(&mut group, mask, n, (&model, &[("b", 1), ("n", n)]), &mut fast());
        }
    }
}

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention against heads, c=512 n=512 b=2");
    for h in [1, 2, 4, 8, 16] {
        let model = format!("mha:c=512,h={h}");
        time(&mut group, "mha", h, (&model, &[("b", 2), ("n", 512)]), &mut fast());
    }
}

criterion_group!(benches, sequence_length, heads);
criterion_main!(benches);
