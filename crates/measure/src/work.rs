//! A problem with its data, ready to be computed again and again, its operations counted each time.

use opledger_dims::{Counts, Integer};
use opledger_interp::{Fast, Feeds, Prepared, Quiet};
use opledger_kernels::{
    AtomicMeter, Attention, AttentionMeters, AttentionShape, Gemm, Heads, Mask, MatrixBatch,
    PackedMatrix, Right, attention, gemm,
};
use rayon::prelude::*;

use crate::{AttentionWorkload, GemmWorkload, LayerWorkload, MeasureError, Workload};
use opledger_dims::Class;

/// Scalar operations of one run, as the ledger has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunCounts {
    /// Multiplications inside contractions.
    pub(crate) macs: u64,
    /// All operations that the mathematics asks for.
    pub(crate) useful: u64,
    /// All operations that ran.
    pub(crate) executed: u64,
}

/// What can be computed again and again.
pub(crate) trait Work {
    /// Computes once.
    fn run(&mut self) -> Result<RunCounts, MeasureError>;
}

/// Draws the data of a problem.
pub(crate) fn prepared<'g>(problem: &Workload<'g>) -> Result<Box<dyn Work + 'g>, MeasureError> {
    match problem {
        Workload::Attention(sizes) => Ok(Box::new(Attending::new(*sizes, sizes.tokens))),
        Workload::Decode(sizes) => Ok(Box::new(Attending::new(*sizes, 1))),
        Workload::Gemm(sizes) => Ok(Box::new(Multiplying::new(*sizes)?)),
        Workload::Layer(layer) => Ok(Box::new(Running::new(layer)?)),
    }
}

/// `len` numbers in `[-1, 1)`, each from a hash of its position.
fn drawn(seed: u32, len: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; len];
    numbers.par_chunks_mut(1 << 14).enumerate().for_each(|(part, numbers)| {
        for (i, x) in numbers.iter_mut().enumerate() {
            // The finaliser of MurmurHash3.
            let mut z = ((part << 14 | i) as u32).wrapping_add(seed).wrapping_mul(0x9e37_79b9);
            z = (z ^ (z >> 16)).wrapping_mul(0x85eb_ca6b);
            z = (z ^ (z >> 13)).wrapping_mul(0xc2b2_ae35);
            z ^= z >> 16;
            *x = (z >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0;
        }
    });
    numbers
}

struct Attending {
    sizes: AttentionWorkload,
    queries: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    out: Vec<f32>,
}

impl Attending {
    fn new(sizes: AttentionWorkload, queries: usize) -> Self {
        let AttentionWorkload { batch, tokens, heads, kv_heads, width, .. } = sizes;
        let (rows, cache) = (batch * queries * heads * width, batch * tokens * kv_heads * width);
        Attending {
            sizes,
            queries,
            q: drawn(1, rows),
            k: drawn(2, cache),
            v: drawn(3, cache),
            out: vec![0.0; rows],
        }
    }
}

impl Work for Attending {
    fn run(&mut self) -> Result<RunCounts, MeasureError> {
        let AttentionWorkload { batch, tokens, heads, kv_heads, width, causal } = self.sizes;
        let queries = self.queries;
        let problem = Attention {
            shape: AttentionShape {
                batch,
                queries,
                keys: tokens,
                heads,
                kv_heads,
                key_width: width,
                value_width: width,
            },
            q: Heads::contiguous(&self.q, queries, heads, width),
            k: Heads::contiguous(&self.k, tokens, kv_heads, width),
            v: Heads::contiguous(&self.v, tokens, kv_heads, width),
            // The queries are the last of the tokens.
            mask: Mask {
                causal_offset: causal.then_some((tokens - queries) as i64),
                ..Mask::default()
            },
            bias: None,
            scale: Some(1.0 / (width as f32).sqrt()),
            divides: false,
            soft_cap: None,
            sinks: None,
        };
        let (products, rest) = (AtomicMeter::new(), AtomicMeter::new());
        let meters = AttentionMeters {
            scores: &products,
            scale: &rest,
            soft_cap: &rest,
            bias: &rest,
            softmax: &rest,
            context: &products,
        };
        attention(&problem, &mut self.out, &meters)?;
        let (products, rest) = (products.read(), rest.read());
        Ok(RunCounts {
            macs: products.useful[Class::Mul],
            useful: products.useful.total() + rest.useful.total(),
            executed: products.executed.total() + rest.executed.total(),
        })
    }
}

struct Multiplying {
    sizes: GemmWorkload,
    a: Vec<f32>,
    weight: PackedMatrix,
    c: Vec<f32>,
}

impl Multiplying {
    fn new(sizes: GemmWorkload) -> Result<Self, MeasureError> {
        let GemmWorkload { m, k, n } = sizes;
        // As a linear layer stores it: a row for each column of the product.
        let weight = PackedMatrix::new(&drawn(2, n * k), [k, n], [1, k])?;
        Ok(Multiplying { sizes, a: drawn(1, m * k), weight, c: vec![0.0; m * n] })
    }
}

impl Work for Multiplying {
    fn run(&mut self) -> Result<RunCounts, MeasureError> {
        let GemmWorkload { m, k, n } = self.sizes;
        let a = MatrixBatch { data: &self.a, offsets: &[0], row_stride: k, col_stride: 1 };
        let product = Gemm { batch: 1, m, k, n, a, b: Right::Packed(&self.weight) };
        let meter = AtomicMeter::new();
        gemm(&product, &mut self.c, &meter)?;
        let tally = meter.read();
        Ok(RunCounts {
            macs: tally.useful[Class::Mul],
            useful: tally.useful.total(),
            executed: tally.executed.total(),
        })
    }
}

struct Running {
    prepared: Prepared,
    fast: Fast,
}

impl Running {
    fn new(layer: &LayerWorkload<'_>) -> Result<Self, MeasureError> {
        let prepared = Prepared::new(layer.graph, &layer.binding, &Feeds::seeded(0))?;
        Ok(Running { prepared, fast: Fast::new()? })
    }
}

impl Work for Running {
    fn run(&mut self) -> Result<RunCounts, MeasureError> {
        let ledger = self.prepared.run(&mut self.fast, &mut Quiet)?.ledger;
        let number = |n: Integer| u64::try_from(n).unwrap_or(u64::MAX);
        let total = |counts: Counts<Integer>| number(counts.total());
        Ok(RunCounts {
            macs: number(ledger.macs()),
            useful: total(ledger.useful()),
            executed: total(ledger.executed()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(problem: &Workload<'_>) -> RunCounts {
        let mut work = prepared(problem).unwrap();
        let first = work.run().unwrap();
        assert_eq!(work.run().unwrap(), first, "every run counts from zero");
        first
    }

    #[test]
    fn contractions_are_counted_as_the_mathematics_asks() {
        let sizes = AttentionWorkload {
            batch: 2,
            tokens: 5,
            heads: 4,
            kv_heads: 2,
            width: 8,
            causal: false,
        };
        let pairs = |n: u64| 2 * 4 * n;
        let full = counted(&Workload::Attention(sizes));
        assert_eq!(full.macs, 2 * pairs(25) * 8);
        let causal = counted(&Workload::Attention(AttentionWorkload { causal: true, ..sizes }));
        assert_eq!(causal.macs, 2 * pairs(15) * 8);
        assert!(causal.executed >= causal.useful && causal.useful < full.useful);
        let one = counted(&Workload::Decode(sizes));
        assert_eq!(one.macs, 2 * pairs(5) * 8);
        let last = counted(&Workload::Decode(AttentionWorkload { causal: true, ..sizes }));
        assert_eq!(last, one, "the last query sees every key");
        let product = counted(&Workload::Gemm(GemmWorkload { m: 3, k: 5, n: 7 }));
        assert_eq!((product.macs, product.useful), (105, 105 + 84));
    }

    #[test]
    fn a_layer_counts_what_its_ledger_has() {
        let model = opledger_models::layer::parse("mha:c=16,h=2,bias=false").unwrap();
        let binding = model.binding.clone().with("b", 1u64).with("n", 4u64);
        let layer = LayerWorkload { name: model.name.clone(), graph: &model.graph, binding };
        let counted = counted(&Workload::Layer(layer));
        // 4·n·c² + 2·n²·c
        assert_eq!(counted.macs, 4 * 4 * 256 + 2 * 16 * 16);
    }

    #[test]
    fn data_is_drawn_by_position() {
        let numbers = drawn(1, 100_000);
        assert!(numbers.iter().all(|x| (-1.0..1.0).contains(x)));
        let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01, "{mean}");
        assert_eq!(drawn(1, 20), numbers[..20]);
        assert_ne!(drawn(2, 20), numbers[..20]);
    }
}
