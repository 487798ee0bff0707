//! Attention, fused and as a chain.

use opledger_dims::Counted;
use proptest::prelude::*;

use super::{Ran, add_up, compare_parts, compare_parts_as, counts_itself, data, numbers, run};
use crate::*;

#[derive(Clone, Debug)]
struct Case {
    shape: AttentionShape,
    causal_offset: Option<i64>,
    window: Option<usize>,
    chunk: Option<usize>,
    /// Every how many keys one is left out.
    gaps: Option<usize>,
    /// Where that differs from pair to pair: between batch items, heads, queries.
    pairs: Option<[bool; 3]>,
    /// A bias, some of it −∞ and some the least float where so.
    bias: Option<bool>,
    scale: Option<f32>,
    /// Whether the scale is the inverse of what scores are divided by.
    divides: bool,
    soft_cap: Option<f32>,
    /// Sinks, some −∞ and some the least float where so.
    sinks: Option<bool>,
    /// Whether some values are infinite.
    infinite: bool,
    seed: u64,
}

/// The numbers of a case.
struct Data {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    bias: Vec<f32>,
    sinks: Vec<f32>,
    weights: Vec<f32>,
    keep: Vec<i64>,
    keep_starts: Vec<usize>,
    starts: Vec<usize>,
}

impl Case {
    fn data(&self) -> Data {
        let &Case { shape, seed, .. } = self;
        let AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width } =
            shape;
        let mut v = data(batch * keys * kv_heads * value_width, seed + 2, false);
        if self.infinite {
            for key in v.chunks_mut((kv_heads * value_width).max(1)).step_by(5) {
                key.fill(f32::INFINITY);
            }
        }
        let mut bias = data(queries * keys, seed + 3, false);
        if self.bias == Some(true) {
            bias.iter_mut().step_by(3).for_each(|bias| *bias = f32::NEG_INFINITY);
            bias.iter_mut().step_by(7).for_each(|bias| *bias = f32::MIN);
        }
        let mut sinks = data(heads, seed + 5, false);
        if self.sinks == Some(true) {
            sinks.iter_mut().step_by(2).for_each(|sink| *sink = f32::NEG_INFINITY);
            sinks.iter_mut().step_by(3).for_each(|sink| *sink = f32::MIN);
        }
        Data {
            sinks,
            q: data(batch * queries * heads * key_width, seed, false),
            k: data(batch * keys * kv_heads * key_width, seed + 1, false),
            v,
            bias,
            weights: data(batch * heads * queries * keys, seed + 4, false),
            keep: (0..batch * heads * queries * keys)
                .map(|at| ((at + at / keys) % self.gaps.unwrap_or(1)) as i64)
                .collect(),
            keep_starts: (0..batch * heads).map(|matrix| self.keep_start(matrix)).collect(),
            starts: vec![0; batch * heads],
        }
    }

    fn mask<'a>(&self, data: &'a Data) -> Mask<'a> {
        let &Case { shape, causal_offset, window, chunk, .. } = self;
        let keep = self.gaps.map(|_| match self.pairs {
            None => Keep::Keys(&data.keep[..shape.batch * shape.keys]),
            Some([_, _, query]) => Keep::Pairs(Pairs {
                data: &data.keep,
                starts: &data.keep_starts,
                query_stride: if query { shape.keys } else { 0 },
            }),
        });
        Mask { causal_offset, window, chunk, keep }
    }

    fn keep_start(&self, matrix: usize) -> usize {
        let AttentionShape { heads, queries, keys, .. } = self.shape;
        let [batch, head, _] = self.pairs.unwrap_or_default();
        let (item, head) =
            (matrix / heads * usize::from(batch), matrix % heads * usize::from(head));
        (item * heads + head) * queries * keys
    }

    fn scores<T: Number>(&self, data: &Data, meters: &[AtomicMeter; 3]) -> Vec<T> {
        let AttentionShape { batch, queries, keys, heads, kv_heads, key_width, .. } = self.shape;
        let [q, k, bias] = [&data.q, &data.k, &data.bias].map(|x| numbers::<T>(x));
        let bias = Bias { data: &bias, starts: &data.starts, query_stride: keys };
        let problem = Scores {
            shape: self.shape,
            q: Heads::contiguous(&q, queries, heads, key_width),
            k: Heads::contiguous(&k, keys, kv_heads, key_width),
            mask: self.mask(data),
            bias: self.bias.map(|_| bias),
            scale: self.scale,
        };
        let [scores, scale, bias] = meters;
        let none = AtomicMeter::new();
        let meters = AttentionMeters {
            scores,
            scale,
            soft_cap: &none,
            bias,
            softmax: &none,
            context: &none,
        };
        let mut out = numbers::<T>(&vec![7.0; batch * heads * queries * keys]);
        masked_scores(&problem, &mut out, &meters).unwrap();
        assert_eq!(none.read(), Tally::default());
        out
    }
}

/// Runs fused attention, the scores and the context.
fn check(case: &Case) {
    let data = case.data();
    let Case { shape, scale, .. } = case;
    let &AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width } = shape;
    counts_itself!(
        format!("fused {case:?}"),
        T,
        |[scores, scale_meter, soft_cap, sum, softmax, context]| {
            let [q, k, v, bias, sinks] =
                [&data.q, &data.k, &data.v, &data.bias, &data.sinks].map(|x| numbers::<T>(x));
            let bias = Bias { data: &bias, starts: &data.starts, query_stride: keys };
            let problem = Attention {
                shape: *shape,
                q: Heads::contiguous(&q, queries, heads, key_width),
                k: Heads::contiguous(&k, keys, kv_heads, key_width),
                v: Heads::contiguous(&v, keys, kv_heads, value_width),
                mask: case.mask(&data),
                bias: case.bias.map(|_| bias),
                scale: *scale,
                divides: case.divides,
                soft_cap: case.soft_cap,
                sinks: case.sinks.map(|_| &sinks[..]),
            };
            let meters = AttentionMeters {
                scores,
                scale: scale_meter,
                soft_cap,
                bias: sum,
                softmax,
                context,
            };
            let mut out = numbers::<T>(&vec![7.0; batch * queries * heads * value_width]);
            attention(&problem, &mut out, &meters).unwrap();
            out
        },
        compare_parts
    );
    counts_itself!(format!("scores {case:?}"), T, |meters| case.scores::<T>(&data, meters));
    for isa in Isa::available() {
        let on = [true, case.scale.is_some(), case.bias.is_some()];
        add_up(&format!("scores {case:?} on {isa}"), on, |[_, scale, bias]| {
            let case = Case {
                scale: case.scale.filter(|_| scale),
                bias: case.bias.filter(|_| bias),
                ..case.clone()
            };
            run(isa, |meters| case.scores::<Counted<f32>>(&data, meters))
        });
    }
    counts_itself!(format!("context {case:?}"), T, |[meter]| {
        let [weights, v] = [&data.weights, &data.v].map(|x| numbers::<T>(x));
        let v = Heads::contiguous(&v, keys, kv_heads, value_width);
        let problem = Context { shape: *shape, weights: &weights, v, mask: case.mask(&data) };
        let mut out = numbers::<T>(&vec![7.0; batch * queries * heads * value_width]);
        masked_context(&problem, &mut out, meter).unwrap();
        out
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn attention_counts_itself(
        [batch, kv_heads, group] in [1usize..3, 1usize..3, 1usize..4],
        queries in prop_oneof![1usize..4, 1usize..40],
        keys in prop_oneof![0usize..3, 1usize..40, 60usize..80],
        [key_width, value_width] in [1usize..20, 0usize..20],
        causal_offset in prop::option::of(-5i64..40),
        [window, chunk] in [prop::option::of(0usize..30), prop::option::of(0usize..30)],
        (gaps, pairs) in (prop::option::of(1usize..5), prop::option::of(any::<[bool; 3]>())),
        bias in prop::option::of(any::<bool>()),
        scale in prop_oneof![Just(None), Just(Some(1.0)), Just(Some(0.3))],
        (soft_cap, sinks) in (prop_oneof![Just(None), Just(Some(2.0))], prop::option::of(any::<bool>())),
        [infinite, divides]: [bool; 2],
        seed in 0u64..1 << 40,
    ) {
        let heads = kv_heads * group;
        let shape = AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width };
        check(&Case {
            shape, causal_offset, window, chunk, gaps, pairs, bias, scale, divides, soft_cap, sinks,
            infinite, seed,
        });
    }
}

/// Runs the gradients of attention without bias, cap and sinks.
fn check_gradient(case: &Case) {
    let data = case.data();
    let AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width } =
        case.shape;
    let len = batch * queries * heads * value_width;
    let mut dy = super::data(len, case.seed + 6, false);
    if case.infinite {
        dy.iter_mut().step_by(11).for_each(|dy| *dy = f32::NAN);
    }
    counts_itself!(
        format!("gradient {case:?}"),
        T,
        |[scores, scale, softmax, products, pointwise]| {
            let [q, k, v, dy] = [&data.q, &data.k, &data.v, &dy].map(|x| numbers::<T>(x));
            let of = Attention {
                shape: case.shape,
                q: Heads::contiguous(&q, queries, heads, key_width),
                k: Heads::contiguous(&k, keys, kv_heads, key_width),
                v: Heads::contiguous(&v, keys, kv_heads, value_width),
                mask: case.mask(&data),
                bias: None,
                scale: case.scale,
                divides: case.divides,
                soft_cap: None,
                sinks: None,
            };
            let dy = Heads::contiguous(&dy, queries, heads, value_width);
            let meters = AttentionGradientMeters { scores, scale, softmax, products, pointwise };
            let [mut dq, mut dk, mut dv] =
                [q.len(), k.len(), v.len()].map(|len| numbers::<T>(&vec![7.0; len]));
            let outs = [&mut dq[..], &mut dk, &mut dv];
            attention_gradient(&AttentionGradient { of, dy }, outs, &meters).unwrap();
            [dq, dk, dv].concat()
        },
        compare_named
    );
}

/// The parts of the gradients as the kernel names them.
fn compare_named(what: &str, plain: &Ran<5>, counting: &Ran<5>) {
    compare_parts_as(what, [0, 1, 4, 6, 7], (plain, counting));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gradients_of_attention_count_themselves(
        [batch, kv_heads, group] in [1usize..3, 1usize..3, 1usize..4],
        queries in prop_oneof![1usize..4, 1usize..40],
        keys in prop_oneof![0usize..3, 1usize..40, 60usize..80],
        [key_width, value_width] in [1usize..40, 1usize..40],
        causal_offset in prop::option::of(-5i64..40),
        [window, chunk] in [prop::option::of(0usize..30), prop::option::of(0usize..30)],
        (gaps, pairs) in (prop::option::of(1usize..5), prop::option::of(any::<[bool; 3]>())),
        scale in prop_oneof![Just(None), Just(Some(1.0)), Just(Some(0.3))],
        [infinite, divides]: [bool; 2],
        seed in 0u64..1 << 40,
    ) {
        let heads = kv_heads * group;
        let shape = AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width };
        check_gradient(&Case {
            shape, causal_offset, window, chunk, gaps, pairs, scale, infinite, divides, seed,
            bias: None, soft_cap: None, sinks: None,
        });
    }
}

#[test]
fn gradients_of_several_tasks_of_a_head_count_themselves() {
    for case in [
        square(300),
        Case { causal_offset: Some(0), ..square(600) },
        Case { causal_offset: Some(-3), window: Some(70), infinite: true, ..square(300) },
        Case { gaps: Some(4), pairs: Some([false, true, true]), infinite: true, ..square(300) },
    ] {
        check_gradient(&case);
    }
}

/// Two heads of queries with one of keys.
fn square(n: usize) -> Case {
    Case {
        shape: AttentionShape {
            batch: 1,
            queries: n,
            keys: n,
            heads: 2,
            kv_heads: 1,
            key_width: 8,
            value_width: 5,
        },
        causal_offset: None,
        window: None,
        chunk: None,
        gaps: None,
        pairs: None,
        bias: None,
        scale: Some(0.5),
        divides: false,
        soft_cap: None,
        sinks: None,
        infinite: false,
        seed: 1,
    }
}

#[test]
fn several_tiles_count_themselves() {
    for case in [
        Case { causal_offset: Some(0), ..square(600) },
        Case { causal_offset: Some(-3), window: Some(70), infinite: true, ..square(300) },
        Case { gaps: Some(3), causal_offset: Some(5), bias: Some(true), ..square(300) },
        Case { window: Some(200), scale: None, ..square(300) },
        Case { chunk: Some(70), causal_offset: Some(3), infinite: true, ..square(300) },
        Case { soft_cap: Some(1.0), sinks: Some(false), causal_offset: Some(0), ..square(300) },
        Case { gaps: Some(4), pairs: Some([false, true, true]), infinite: true, ..square(300) },
    ] {
        check(&case);
    }
}

#[test]
fn several_chunks_of_keys_count_themselves() {
    let mut few = square(1400);
    few.shape = AttentionShape {
        queries: 2,
        heads: 4,
        kv_heads: 4,
        key_width: 64,
        value_width: 45,
        ..few.shape
    };
    for case in [
        Case { causal_offset: Some(800), ..few.clone() },
        Case { soft_cap: Some(1.0), sinks: Some(true), ..few.clone() },
        Case { causal_offset: Some(800), window: Some(80), scale: None, ..few.clone() },
        Case { causal_offset: Some(800), chunk: Some(801), ..few.clone() },
        Case { gaps: Some(2), bias: Some(true), infinite: true, ..few },
    ] {
        check(&case);
    }
}
