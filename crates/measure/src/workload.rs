//! What is timed: attention, matrix products and layers at given sizes.

use opledger_dims::{Binding, Integer};
use opledger_interp::available_memory;
use opledger_ir::Graph;
use opledger_kernels::PackedMatrix;

use crate::MeasureError;

/// A problem at given sizes.
#[derive(Clone, Debug)]
pub enum Workload<'g> {
    /// Fused attention of as many queries as keys.
    Attention(AttentionWorkload),
    /// Fused attention of one query over a cache of keys and values.
    Decode(AttentionWorkload),
    /// A matrix product by a packed weight.
    Gemm(GemmWorkload),
    /// A layer of the grammar.
    Layer(LayerWorkload<'g>),
}

/// Sizes of attention: queries and result `[batch, queries, heads, width]`, keys and values
/// `[batch, keys, kv_heads, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionWorkload {
    /// Batch items.
    pub batch: usize,
    /// Keys, and values, of each item; in attention the queries are as many, in decoding one.
    pub tokens: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub width: usize,
    /// Whether a query sees no later key.
    pub causal: bool,
}

impl AttentionWorkload {
    /// Bytes of the keys and values.
    pub fn cache_bytes(&self) -> Integer {
        let AttentionWorkload { batch, tokens, kv_heads, width, .. } = *self;
        bytes(&[2, batch, tokens, kv_heads, width])
    }
}

/// Sizes of a matrix product of an `m×k` matrix and a `k×n` weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmWorkload {
    /// Rows of the left factor.
    pub m: usize,
    /// Terms of each dot product.
    pub k: usize,
    /// Columns of the weight.
    pub n: usize,
}

/// A layer and its sizes.
#[derive(Clone, Debug)]
pub struct LayerWorkload<'g> {
    /// As it was written.
    pub name: String,
    /// What it computes.
    pub graph: &'g Graph,
    /// The sizes of its symbols.
    pub binding: Binding,
}

fn bytes(sizes: &[usize]) -> Integer {
    sizes.iter().fold(Integer::from(size_of::<f32>()), |bytes, size| bytes * *size)
}

impl Workload<'_> {
    /// Says which problem it is, the same in every run.
    pub fn key(&self) -> String {
        let sizes = |a: &AttentionWorkload| {
            let AttentionWorkload { batch, tokens, heads, kv_heads, width, .. } = a;
            format!("b={batch},n={tokens},h={heads},kv={kv_heads},e={width}")
        };
        match self {
            Workload::Attention(a) => format!("attention:{},causal={}", sizes(a), a.causal),
            Workload::Decode(a) => format!("decode:{}", sizes(a)),
            Workload::Gemm(GemmWorkload { m, k, n }) => format!("gemm:{m}x{k}x{n}"),
            Workload::Layer(layer) => format!("{} at {}", layer.name, layer.binding),
        }
    }

    /// Checks what can be checked before anything is allocated.
    ///
    /// # Errors
    /// When a size is zero, heads do not divide, or memory does not suffice.
    pub fn check(&self) -> Result<(), MeasureError> {
        let (sizes, needed) = match self {
            // What the driver refuses when the run begins, an unbound size for one, is its to tell.
            Workload::Layer(layer) => {
                match layer.graph.footprint(&layer.binding, size_of::<f32>()) {
                    Ok(needs) => (Vec::new(), needs.peak()),
                    Err(_) => return Ok(()),
                }
            }
            Workload::Attention(a) | Workload::Decode(a) => {
                let sizes = vec![
                    ("b", a.batch),
                    ("n", a.tokens),
                    ("h", a.heads),
                    ("kv", a.kv_heads),
                    ("e", a.width),
                ];
                let queries = if matches!(self, Workload::Decode(_)) { 1 } else { a.tokens };
                let rows = bytes(&[2, a.batch, queries, a.heads, a.width]);
                (sizes, a.cache_bytes() + rows)
            }
            Workload::Gemm(GemmWorkload { m, k, n }) => {
                let packed = PackedMatrix::elements(*k, *n).unwrap_or(usize::MAX);
                let all = bytes(&[*m, *k]) + bytes(&[*k, *n]) + bytes(&[*m, *n]) + bytes(&[packed]);
                (vec![("m", *m), ("k", *k), ("n", *n)], all)
            }
        };
        let point = || self.key();
        if let Some((size, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(MeasureError::Zero { point: point(), size });
        }
        if let Workload::Attention(a) | Workload::Decode(a) = self
            && !a.heads.is_multiple_of(a.kv_heads)
        {
            return Err(MeasureError::Heads { heads: a.heads, kv: a.kv_heads });
        }
        match available_memory() {
            Some(available) if needed > available => {
                Err(MeasureError::Memory { point: point(), needed, available })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: AttentionWorkload =
        AttentionWorkload { batch: 2, tokens: 16, heads: 4, kv_heads: 2, width: 8, causal: true };

    #[test]
    fn keys_tell_problems_apart() {
        let keys = [
            Workload::Attention(SMALL),
            Workload::Attention(AttentionWorkload { causal: false, ..SMALL }),
            Workload::Attention(AttentionWorkload { tokens: 17, ..SMALL }),
            Workload::Decode(SMALL),
            Workload::Gemm(GemmWorkload { m: 1, k: 2, n: 3 }),
        ]
        .map(|p| p.key());
        assert_eq!(keys[0], "attention:b=2,n=16,h=4,kv=2,e=8,causal=true");
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let refused = |workload: Workload<'_>| workload.check().unwrap_err().to_string();
        Workload::Attention(SMALL).check().unwrap();
        let odd = refused(Workload::Decode(AttentionWorkload { kv_heads: 3, ..SMALL }));
        assert_eq!(odd, "kv = 3 does not divide h = 4; give --set kv=<a divisor of 4>");
        let none = refused(Workload::Gemm(GemmWorkload { m: 4, k: 0, n: 4 }));
        assert_eq!(none, "k is 0 in gemm:4x0x4; give it at least 1");
        let huge = AttentionWorkload { tokens: usize::MAX, ..SMALL };
        assert!(huge.cache_bytes() > Integer::from(u64::MAX));
        let model = opledger_models::layer::parse("mha:c=8,h=2").unwrap();
        let layer = |tokens: u64| {
            let binding = model.binding.clone().with("b", 1u64).with("n", tokens);
            let binding = model.graph.complete(&binding).unwrap();
            Workload::Layer(LayerWorkload {
                name: model.name.clone(),
                graph: &model.graph,
                binding,
            })
        };
        layer(4).check().unwrap();
        if available_memory().is_some() {
            assert!(refused(layer(1 << 50)).contains("bytes of memory"));
            let error = refused(Workload::Decode(huge));
            assert!(
                error.contains("bytes of memory") && error.ends_with("smaller sizes"),
                "{error}"
            );
        }
    }
}
