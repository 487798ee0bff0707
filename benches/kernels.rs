//! Kernels alone, and what counting costs them.
//!
//! Elements per second are useful scalar operations of the ledger (the convention `flops`), bytes per
//! second what a kernel must read and write at least. Both sides of "counting" run one after the other;
//! for a figure to rely on, alternate them in one run, as `benches/peers` does.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use opledger_benches::{fast, time, uncounted};
use opledger_kernels::{
    Activation, AtomicMeter, Attention, AttentionMeters, AttentionShape, Channels, Gemm, Heads,
    KernelError, LayerNorm, Mask, MatrixBatch, Meter, NoMeter, PackedMatrix, Right, RmsNorm,
    ScoreRows, activation, attention, gemm, layer_norm, rms_norm, softmax,
};

type Done = Result<(), KernelError>;

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect()
}

#[allow(clippy::expect_used)]
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    throughput: Throughput,
    mut kernel: impl FnMut() -> Done,
) {
    group.throughput(throughput).sample_size(10).warm_up_time(Duration::from_millis(300));
    group.bench_function(id, |b| b.iter(|| black_box(kernel()).expect("sizes that fit")));
}

#[allow(clippy::expect_used)]
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm m×k×n, weights [n, k] packed before");
    for [m, k, n] in [[1, 768, 768], [16, 768, 768], [128, 768, 3072], [512, 512, 512]] {
        let (a, w) = (numbers(m * k), numbers(n * k));
        let mut out = vec![0.0; m * n];
        let packed = PackedMatrix::new(&w, [k, n], [1, k]).expect("a weight");
        let a = MatrixBatch { data: &a, offsets: &[0], row_stride: k, col_stride: 1 };
        let problem = Gemm { batch: 1, m, k, n, a, b: Right::Packed(&packed) };
        let operations = Throughput::Elements((m * n * (2 * k - 1)) as u64);
        let size = format!("{m}x{k}x{n}");
        let id = |side| BenchmarkId::new(side, &size);
        bench(&mut group, id("counted"), operations.clone(), || {
            gemm(&problem, &mut out, &AtomicMeter::new())
        });
        bench(&mut group, id("not counted"), operations, || gemm(&problem, &mut out, &NoMeter));
    }
}

/// Sizes of one attention problem.
#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    heads: usize,
    kv_heads: usize,
    width: usize,
}

fn attend<M: Meter>(s: Sizes, data: &[Vec<f32>; 3], out: &mut [f32], meter: &M) -> Done {
    let [q, k, v] = data;
    let shape = AttentionShape {
        batch: 1,
        queries: s.queries,
        keys: s.keys,
        heads: s.heads,
        kv_heads: s.kv_heads,
        key_width: s.width,
        value_width: s.width,
    };
    let problem = Attention {
        shape,
        q: Heads::contiguous(q, s.queries, s.heads, s.width),
        k: Heads::contiguous(k, s.keys, s.kv_heads, s.width),
        v: Heads::contiguous(v, s.keys, s.kv_heads, s.width),
        mask: Mask::default(),
        bias: None,
        scale: Some(1.0 / (s.width as f32).sqrt()),
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    let meters = AttentionMeters {
        scores: meter,
        scale: meter,
        soft_cap: meter,
        bias: meter,
        softmax: meter,
        context: meter,
    };
    attention(&problem, out, &meters)
}

fn attentions(c: &mut Criterion) {
    let square = |n| Sizes { queries: n, keys: n, heads: 8, kv_heads: 8, width: 64 };
    let decode = |kv_heads| Sizes { queries: 1, keys: 4096, heads: 32, kv_heads, width: 128 };
    let mut group = c.benchmark_group("attention alone");
    for (name, s) in [
        ("128 tokens", square(128)),
        ("1024 tokens", square(1024)),
        ("one query, 32 heads of keys", decode(32)),
        ("one query, 4 heads of keys", decode(4)),
    ] {
        let data = [s.queries * s.heads, s.keys * s.kv_heads, s.keys * s.kv_heads]
            .map(|vectors| numbers(vectors * s.width));
        let mut out = vec![0.0; data[0].len()];
        let throughput = match s.queries {
            1 => Throughput::Bytes(8 * data[1].len() as u64),
            n => Throughput::Elements((n * s.keys * s.heads * (4 * s.width + 4)) as u64),
        };
        let id = |side| BenchmarkId::new(side, name);
        bench(&mut group, id("counted"), throughput.clone(), || {
            attend(s, &data, &mut out, &AtomicMeter::new())
        });
        bench(&mut group, id("not counted"), throughput, || attend(s, &data, &mut out, &NoMeter));
    }
}

fn by_rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("row by row, 4096 rows");
    for width in [512, 1024] {
        let x = numbers(4096 * width);
        let gain = numbers(width);
        let mut out = vec![0.0; x.len()];
        let bytes = Throughput::Bytes(8 * x.len() as u64);
        let id = |name| BenchmarkId::new(name, width);
        let norm = LayerNorm {
            width,
            eps: 1e-5,
            gamma: Some(&gain),
            beta: Some(&gain),
            channels: Channels::ELEMENTS,
        };
        bench(&mut group, id("LayerNorm"), bytes.clone(), || {
            layer_norm(&norm, &x, &mut out, &AtomicMeter::new())
        });
        let norm = RmsNorm { width, eps: 1e-5, weight: Some(&gain) };
        bench(&mut group, id("RMSNorm"), bytes.clone(), || {
            rms_norm(&norm, &x, &mut out, &AtomicMeter::new())
        });
        let mask = Mask::default();
        let rows = ScoreRows { batch: 1, heads: 1, queries: 4096, keys: width, mask };
        bench(&mut group, id("softmax"), bytes.clone(), || {
            softmax(&rows, &x, &mut out, &AtomicMeter::new())
        });
        for function in [Activation::GeluErf, Activation::GeluTanh, Activation::Silu] {
            let id = BenchmarkId::new(format!("{function:?}"), width);
            bench(&mut group, id, bytes.clone(), || {
                activation(function, &x, &mut out, &AtomicMeter::new())
            });
        }
    }
}

fn counting(c: &mut Criterion) {
    let mut group = c.benchmark_group("encoder layer c=512 h=8 ff=2048 b=1");
    let model = "encoder-layer:c=512,h=8,ff=2048";
    for n in [16, 256] {
        let sizes = [("b", 1), ("n", n)];
        time(&mut group, "counted", n, (model, &sizes), &mut fast());
        time(&mut group, "not counted", n, (model, &sizes), &mut uncounted());
    }
}

criterion_group!(benches, products, attentions, by_rows, counting);
criterion_main!(benches);
