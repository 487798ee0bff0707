//! Attention, fused and as a chain, against loops over single pairs.

use opledger_dims::{Class, Counts};
use opledger_kernels::*;
use proptest::prelude::*;

use crate::common::{Ops, assert_close, bound, data, run, wide};

#[derive(Clone, Debug)]
struct Case {
    shape: AttentionShape,
    causal_offset: Option<i64>,
    window: Option<usize>,
    chunk: Option<usize>,
    keep: Option<Vec<i64>>,
    /// Axes over which truth values of pairs vary: batch, head, query. Those of keys vary over batch.
    pairs: Option<[bool; 3]>,
    /// Axes over which the bias varies: batch, head, query.
    bias: Option<[bool; 3]>,
    scale: Option<f32>,
    soft_cap: Option<f32>,
    sinks: bool,
    poison: bool,
}

struct Data {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    bias: Vec<f32>,
    sinks: Vec<f32>,
    starts: Vec<usize>,
    keep_starts: Vec<usize>,
}

impl Case {
    fn mask<'a>(&'a self, d: &'a Data) -> Mask<'a> {
        let &Case { shape, causal_offset, window, chunk, pairs, .. } = self;
        let keep = self.keep.as_ref().map(|keep| match pairs {
            None => Keep::Keys(&keep[..shape.batch * shape.keys]),
            Some([_, _, query]) => Keep::Pairs(Pairs {
                data: keep,
                starts: &d.keep_starts,
                query_stride: if query { shape.keys } else { 0 },
            }),
        });
        Mask { causal_offset, window, chunk, keep }
    }

    fn allowed(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        let s = &self.shape;
        let at = match self.pairs {
            None => b * s.keys + j,
            Some([batch, head, query]) => {
                let (b, h, i) =
                    (b * usize::from(batch), h * usize::from(head), i * usize::from(query));
                ((b * s.heads + h) * s.queries + i) * s.keys + j
            }
        };
        let (i, j) = (i as i64, j as i64);
        let last = i + self.causal_offset.unwrap_or(0);
        (self.causal_offset.is_none() || j <= last)
            && self.window.is_none_or(|w| j > last - w as i64)
            && self
                .chunk
                .is_none_or(|c| c > 0 && j.div_euclid(c as i64) >= last.div_euclid(c as i64))
            && self.keep.as_ref().is_none_or(|keep| keep[at] != 0)
    }

    fn start(&self, matrix: usize, [batch, head, _]: [bool; 3]) -> usize {
        let s = &self.shape;
        let item = if batch { matrix / s.heads } else { 0 };
        let head = if head { matrix % s.heads } else { 0 };
        (item * s.heads + head) * s.queries * s.keys
    }

    fn data(&self) -> Data {
        let s = &self.shape;
        let starts = |axes: Option<[bool; 3]>| -> Vec<usize> {
            let matrices = 0..s.batch * s.heads;
            matrices.map(|matrix| self.start(matrix, axes.unwrap_or_default())).collect()
        };
        let bias = self.bias.map_or(0, |_| s.batch * s.heads * s.queries * s.keys);
        let mut data = Data {
            q: data(s.batch * s.queries * s.heads * s.key_width, 1),
            k: data(s.batch * s.keys * s.kv_heads * s.key_width, 2),
            v: data(s.batch * s.keys * s.kv_heads * s.value_width, 3),
            bias: data(bias, 4),
            sinks: data(s.heads, 5),
            starts: starts(self.bias),
            keep_starts: starts(self.pairs),
        };
        if self.poison {
            for b in 0..s.batch {
                for j in 0..s.keys {
                    let rows = (0..s.heads).flat_map(|h| (0..s.queries).map(move |i| (h, i)));
                    if rows.into_iter().any(|(h, i)| self.allowed(b, h, i, j)) {
                        continue;
                    }
                    let k = s.kv_heads * s.key_width;
                    let v = s.kv_heads * s.value_width;
                    data.k[(b * s.keys + j) * k..][..k].fill(f32::NAN);
                    data.v[(b * s.keys + j) * v..][..v].fill(f32::INFINITY);
                }
            }
        }
        data
    }

    fn sinks<'a>(&self, d: &'a Data) -> Option<&'a [f32]> {
        self.sinks.then_some(&d.sinks)
    }

    fn heads<'a>(&self, d: &'a Data) -> [Heads<'a>; 3] {
        let s = &self.shape;
        [
            Heads::contiguous(&d.q, s.queries, s.heads, s.key_width),
            Heads::contiguous(&d.k, s.keys, s.kv_heads, s.key_width),
            Heads::contiguous(&d.v, s.keys, s.kv_heads, s.value_width),
        ]
    }

    fn bias<'a>(&self, d: &'a Data) -> Option<Bias<'a>> {
        let s = &self.shape;
        self.bias.map(|[_, _, query]| Bias {
            data: &d.bias,
            starts: &d.starts,
            query_stride: if query { s.keys } else { 0 },
        })
    }
}

struct Reference {
    scores: Vec<f64>,
    weights: Vec<f64>,
    out: Vec<f64>,
    /// scores, scale, bias, softmax, context, soft cap
    counts: [Counts<u64>; 6],
}

fn reference(case: &Case, d: &Data) -> Reference {
    let s = &case.shape;
    let mut ops: [Ops; 6] = Default::default();
    let [scores, scale, add_bias, softmax, context, soft_cap] = &mut ops;
    let (mut all_scores, mut all_weights) = (Vec::new(), Vec::new());
    let mut out = vec![0.0; s.batch * s.queries * s.heads * s.value_width];
    let (e, f) = (s.key_width, s.value_width);
    for b in 0..s.batch {
        for h in 0..s.heads {
            let g = h / (s.heads / s.kv_heads);
            for i in 0..s.queries {
                let q = wide(&d.q[((b * s.queries + i) * s.heads + h) * e..][..e]);
                let seen: Vec<usize> = (0..s.keys).filter(|&j| case.allowed(b, h, i, j)).collect();
                let mut row = Vec::new();
                for &j in &seen {
                    let k = wide(&d.k[((b * s.keys + j) * s.kv_heads + g) * e..][..e]);
                    let mut score = scores.dot(&q, &k);
                    if let Some(factor) = case.scale {
                        score = scale.mul(score, factor.into());
                    }
                    if let Some(cap) = case.soft_cap {
                        score = soft_cap.cap(score, cap.into());
                    }
                    if let Some(bias) = case.bias(d) {
                        let term =
                            bias.data[bias.starts[b * s.heads + h] + i * bias.query_stride + j];
                        score = add_bias.add(score, term.into());
                    }
                    row.push(score);
                }
                let sink = case.sinks(d).map(|sinks| f64::from(sinks[h]));
                let weights = softmax.softmax_beside(&row, sink);
                for c in 0..f {
                    let terms: Vec<f64> = seen
                        .iter()
                        .zip(&weights)
                        .map(|(&j, w)| {
                            let v = d.v[((b * s.keys + j) * s.kv_heads + g) * f + c];
                            context.mul(*w, v.into())
                        })
                        .collect();
                    if !terms.is_empty() {
                        out[((b * s.queries + i) * s.heads + h) * f + c] = context.sum(&terms);
                    }
                }
                let (mut full_scores, mut full_weights) = (vec![0.0; s.keys], vec![0.0; s.keys]);
                for (n, &j) in seen.iter().enumerate() {
                    (full_scores[j], full_weights[j]) = (row[n], weights[n]);
                }
                all_scores.extend(full_scores);
                all_weights.extend(full_weights);
            }
        }
    }
    Reference { scores: all_scores, weights: all_weights, out, counts: ops.map(|ops| ops.counts) }
}

fn counts(numbers: &[(Class, u64)]) -> Counts<u64> {
    numbers.iter().fold(Counts::zero(), |counts, &(class, n)| counts.with(class, n))
}

fn meters(m: &[AtomicMeter; 6]) -> AttentionMeters<'_, AtomicMeter> {
    let [scores, scale, bias, softmax, context, soft_cap] = m;
    AttentionMeters { scores, scale, soft_cap, bias, softmax, context }
}

fn check(case: &Case) {
    let d = case.data();
    let [q, k, v] = case.heads(&d);
    let s = case.shape;
    let expected = reference(case, &d);
    let bound = 8.0 * bound(s.key_width + s.keys);

    let problem = Attention {
        shape: s,
        q,
        k,
        v,
        mask: case.mask(&d),
        bias: case.bias(&d),
        scale: case.scale,
        divides: false,
        soft_cap: case.soft_cap,
        sinks: case.sinks(&d),
    };
    let (out, tallies) = run(expected.out.len(), |out, m: &[AtomicMeter; 6]| {
        attention(&problem, out, &meters(m)).unwrap()
    });
    assert_close(&out, &expected.out, bound);
    assert_eq!(tallies.map(|tally| tally.useful), expected.counts);

    // The chain has neither a cap nor sinks.
    let case = &Case { soft_cap: None, sinks: false, ..case.clone() };
    let expected = reference(case, &d);
    let problem =
        Scores { shape: s, q, k, mask: case.mask(&d), bias: case.bias(&d), scale: case.scale };
    let (scores, tallies) = run(expected.scores.len(), |out, m: &[AtomicMeter; 6]| {
        masked_scores(&problem, out, &meters(m)).unwrap()
    });
    assert_close(&scores, &expected.scores, bound);
    let none = Counts::zero();
    let [a, b, c, ..] = expected.counts;
    assert_eq!(tallies.map(|tally| tally.useful), [a, b, c, none, none, none]);

    let rows = ScoreRows {
        batch: s.batch,
        heads: s.heads,
        queries: s.queries,
        keys: s.keys,
        mask: case.mask(&d),
    };
    let (weights, [tally]) =
        run(scores.len(), |out, [m]: &[AtomicMeter; 1]| softmax(&rows, &scores, out, m).unwrap());
    assert_close(&weights, &expected.weights, bound);
    assert_eq!(tally.useful, expected.counts[3]);

    // Weights of masked pairs are not read.
    let spoilt: Vec<f32> = (0..weights.len())
        .map(|at| {
            let (row, j) = (at / s.keys, at % s.keys);
            let (matrix, query) = (row / s.queries, row % s.queries);
            let allowed = case.allowed(matrix / s.heads, matrix % s.heads, query, j);
            if allowed { weights[at] } else { f32::NAN }
        })
        .collect();
    let problem = Context { shape: s, weights: &spoilt, v, mask: case.mask(&d) };
    let (out, [tally]) = run(expected.out.len(), |out, [m]: &[AtomicMeter; 1]| {
        masked_context(&problem, out, m).unwrap()
    });
    assert_close(&out, &expected.out, bound);
    assert_eq!(tally.useful, expected.counts[4]);
}

/// Truth values.
fn shown(len: usize, seed: u64) -> Vec<i64> {
    data(len, seed).iter().map(|x| i64::from(*x > 0.0)).collect()
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (0usize..3, 0usize..40, 0usize..40, 1usize..3, 1usize..4, 1usize..20, 0usize..20);
    let mask = (
        proptest::option::of(-5i64..30),
        proptest::option::of(0usize..20),
        proptest::option::of(0usize..20),
        proptest::option::of(1u64..1000),
        proptest::option::of(any::<[bool; 3]>()),
    );
    let rest = (
        proptest::option::of(any::<[bool; 3]>()),
        prop_oneof![Just(None), Just(Some(1.0)), Just(Some(0.3))],
        (prop_oneof![Just(None), Just(Some(0.5)), Just(Some(30.0))], any::<bool>(), any::<bool>()),
    );
    (sizes, mask, rest).prop_map(|(sizes, mask, (bias, scale, (soft_cap, sinks, poison)))| {
        let (batch, queries, keys, kv_heads, group, key_width, value_width) = sizes;
        let heads = kv_heads * group;
        let shape =
            AttentionShape { batch, queries, keys, heads, kv_heads, key_width, value_width };
        let (causal_offset, window, chunk, keep, pairs) = mask;
        let keep = keep.map(|seed| shown(batch * heads * queries.max(1) * keys, seed));
        Case {
            shape,
            causal_offset,
            window,
            chunk,
            keep,
            pairs,
            bias,
            scale,
            soft_cap,
            sinks,
            poison,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn agrees_with_loops(case in cases()) {
        check(&case);
    }
}

fn square(n: usize) -> Case {
    let shape = AttentionShape {
        batch: 1,
        queries: n,
        keys: n,
        heads: 2,
        kv_heads: 1,
        key_width: 8,
        value_width: 5,
    };
    Case {
        shape,
        causal_offset: None,
        window: None,
        chunk: None,
        keep: None,
        pairs: None,
        bias: None,
        scale: Some(0.5),
        soft_cap: None,
        sinks: false,
        poison: false,
    }
}

/// The case with pairs hidden one by one, and long runs of them.
fn by_pairs(case: Case, axes: [bool; 3]) -> Case {
    let s = &case.shape;
    let mut keep = shown(s.batch * s.heads * s.queries * s.keys, 9);
    for row in keep.chunks_mut(s.keys).step_by(2) {
        row[..s.keys * 2 / 3].fill(0);
    }
    Case { keep: Some(keep), pairs: Some(axes), ..case }
}

#[test]
fn several_tiles_agree_with_loops() {
    let n = 1100;
    let every_third = Some((0..n as i64).map(|j| j % 3).collect());
    for case in [
        Case { causal_offset: Some(0), ..square(n) },
        Case { causal_offset: Some(-3), window: Some(70), poison: true, ..square(n) },
        Case { keep: every_third, causal_offset: Some(5), bias: Some([true; 3]), ..square(n) },
        Case { window: Some(600), ..square(n) },
        Case { causal_offset: Some(2), chunk: Some(170), poison: true, ..square(n) },
        Case { soft_cap: Some(2.0), sinks: true, causal_offset: Some(-9), ..square(600) },
        by_pairs(Case { causal_offset: Some(9), poison: true, ..square(300) }, [false, true, true]),
        by_pairs(
            Case { window: Some(400), bias: Some([true; 3]), ..square(700) },
            [true, false, true],
        ),
        by_pairs(square(300), [false, true, false]),
    ] {
        check(&case);
    }
}

#[test]
fn one_query_against_many_keys() {
    let mut case = square(700);
    case.shape.queries = 1;
    case.causal_offset = Some(650);
    check(&case);
}

/// One item with two queries, eight heads in groups of two, and keys for several tasks.
fn few_queries() -> Case {
    let mut case = square(1400);
    case.shape = AttentionShape {
        queries: 2,
        heads: 8,
        kv_heads: 4,
        key_width: 64,
        value_width: 45,
        ..case.shape
    };
    case
}

#[test]
fn few_queries_against_several_chunks_of_keys() {
    let every_third: Vec<i64> = (0..1400).map(|j| j % 3).collect();
    let first_chunk_out: Vec<i64> = (0..1400).map(|j| i64::from(j >= 800)).collect();
    for case in [
        few_queries(),
        Case { causal_offset: Some(710), ..few_queries() },
        Case { soft_cap: Some(1.0), sinks: true, bias: Some([true; 3]), ..few_queries() },
        Case { causal_offset: Some(800), window: Some(80), poison: true, ..few_queries() },
        Case { causal_offset: Some(800), chunk: Some(801), poison: true, ..few_queries() },
        Case { keep: Some(every_third), bias: Some([true; 3]), ..few_queries() },
        Case { keep: Some(first_chunk_out), poison: true, scale: None, ..few_queries() },
        Case { keep: Some(vec![0; 1400]), ..few_queries() },
        by_pairs(few_queries(), [true; 3]),
        by_pairs(
            Case { causal_offset: Some(900), poison: true, ..few_queries() },
            [false, true, false],
        ),
    ] {
        check(&case);
    }
}

#[test]
fn the_order_of_heads_and_tokens_in_memory_changes_no_bit() {
    for case in [few_queries(), square(90)] {
        let (s, d) = (case.shape, case.data());
        let [q, k, v] = case.heads(&d);
        let by_head = |from: Heads<'_>, heads: usize, width: usize| -> Vec<f32> {
            let rows = (0..heads).flat_map(|head| (0..s.keys).map(move |token| (head, token)));
            let start = |(head, token)| token * from.token_stride + head * from.head_stride;
            rows.flat_map(|row| from.data[start(row)..][..width].to_vec()).collect()
        };
        let (k_data, v_data) =
            (by_head(k, s.kv_heads, s.key_width), by_head(v, s.kv_heads, s.value_width));
        let other = |data, width| Heads {
            data,
            batch_stride: s.keys * s.kv_heads * width,
            token_stride: width,
            head_stride: s.keys * width,
        };
        let result = |k, v| {
            let problem = Attention {
                shape: s,
                q,
                k,
                v,
                mask: case.mask(&d),
                bias: None,
                scale: case.scale,
                divides: false,
                soft_cap: None,
                sinks: None,
            };
            let len = s.queries * s.heads * s.value_width;
            run(len, |out, m: &[AtomicMeter; 6]| attention(&problem, out, &meters(m)).unwrap())
        };
        let moved = result(other(&k_data, s.key_width), other(&v_data, s.value_width));
        assert_eq!(result(k, v), moved);
    }
}

#[test]
fn causal_work_is_near_the_triangle() {
    let case = Case { causal_offset: Some(0), ..square(1024) };
    let d = case.data();
    let [q, k, v] = case.heads(&d);
    let problem = Attention {
        shape: case.shape,
        q,
        k,
        v,
        mask: case.mask(&d),
        bias: None,
        scale: case.scale,
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    let meter = AtomicMeter::new();
    let same = AttentionMeters {
        scores: &meter,
        scale: &meter,
        soft_cap: &meter,
        bias: &meter,
        softmax: &meter,
        context: &meter,
    };
    let mut out = vec![0.0; 1024 * 2 * 5];
    attention(&problem, &mut out, &same).unwrap();
    let Tally { useful, executed, .. } = meter.read();
    let pairs = 2 * 1024 * 1025 / 2;
    assert_eq!(useful[Class::Mul], pairs * (8 + 1 + 5));
    assert!(executed[Class::Mul] as f64 <= 1.15 * useful[Class::Mul] as f64);
    assert!(executed.total() as f64 <= 1.15 * useful.total() as f64);
}

/// Runs fused attention on one head.
fn simple(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    width: usize,
    mask: Mask<'_>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let (queries, keys) = (q.len() / width, k.len() / width);
    let problem = Attention {
        shape: AttentionShape {
            batch: 1,
            queries,
            keys,
            heads: 1,
            kv_heads: 1,
            key_width: width,
            value_width: width,
        },
        q: Heads::contiguous(q, queries, 1, width),
        k: Heads::contiguous(k, keys, 1, width),
        v: Heads::contiguous(v, keys, 1, width),
        mask,
        bias: bias.map(|data| Bias { data, starts: &[0], query_stride: keys }),
        scale: None,
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    let mut out = vec![f32::NAN; queries * width];
    let m = &NoMeter;
    let meters =
        AttentionMeters { scores: m, scale: m, soft_cap: m, bias: m, softmax: m, context: m };
    attention(&problem, &mut out, &meters).unwrap();
    out
}

#[test]
fn a_future_key_cannot_leak() {
    // The last key is seen by the last query only, whatever it holds.
    for n in [5, 70] {
        let (q, mut k, mut v) = (data(n * 4, 1), data(n * 4, 2), data(n * 4, 3));
        let mask = Mask { causal_offset: Some(0), ..Mask::default() };
        let clean = simple(&q, &k, &v, 4, mask, None);
        k[(n - 1) * 4..].fill(f32::NAN);
        v[(n - 1) * 4..].fill(f32::INFINITY);
        let spoilt = simple(&q, &k, &v, 4, mask, None);
        let before = (n - 1) * 4;
        assert!(spoilt[before..].iter().all(|x| x.is_nan()));
        assert_close(&spoilt[..before], &wide(&clean[..before]), 1e-5);
    }
}

#[test]
fn executed_counts_are_those_of_the_tiles() {
    let case = Case { causal_offset: Some(0), ..square(64) };
    let d = case.data();
    let [q, k, v] = case.heads(&d);
    let (shape, mask) = (case.shape, case.mask(&d));
    let problem = Attention {
        shape,
        q,
        k,
        v,
        mask,
        bias: None,
        scale: case.scale,
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    let (_, [scores, scale, _, softmax, context, _]) =
        run(64 * 2 * 5, |out, m: &[AtomicMeter; 6]| attention(&problem, out, &meters(m)).unwrap());
    // Four blocks of 16 queries in both heads of the group, each with the keys up to its last query. In
    // each the 15 last keys, which not all queries see, are looked at for infinite values.
    let pairs = 32 * (16 + 32 + 48 + 64);
    let looked = 4 * 15 * 5;
    assert_eq!(scores.executed, counts(&[(Class::Mul, 8 * pairs), (Class::Add, 8 * pairs)]));
    assert_eq!(scale.executed, counts(&[(Class::Mul, 4 * 32 * 8)]));
    assert_eq!(scale.substituted[Substitution::FoldedScale as usize], scale.useful[Class::Mul]);
    let expected = [
        (Class::Mul, 5 * pairs + looked),
        (Class::Add, 5 * pairs + looked + 4 * 31),
        (Class::Max, 4),
    ];
    assert_eq!(context.executed, counts(&expected));
    // Beside each pair: four maxima of a column joined, whether it rises and from what, by how much;
    // whether a row has a score, whether its sum and the reciprocal of it are zero.
    let lanes = 4 * 32;
    let expected = [
        (Class::Max, pairs + lanes * (4 + 2 + 1 + 2)),
        (Class::Add, 2 * pairs + lanes),
        (Class::Exp, pairs + lanes),
        (Class::Div, lanes),
        (Class::Mul, 5 * lanes),
    ];
    assert_eq!(softmax.executed, counts(&expected));
    assert_eq!(softmax.substituted[Substitution::Reciprocal as usize], softmax.useful[Class::Div]);

    // For a few queries their own pairs alone, the terms of scores in sixteens.
    let mut shape = shape;
    shape.queries = 3;
    let problem = Attention { shape, mask: Mask::default(), ..problem };
    let (_, [scores, scale, _, softmax, context, _]) =
        run(3 * 2 * 5, |out, m: &[AtomicMeter; 6]| attention(&problem, out, &meters(m)).unwrap());
    let (rows, pairs) = (6, 6 * 64);
    assert_eq!(scores.executed[Class::Mul], 16 * pairs);
    assert_eq!(scale.executed, counts(&[(Class::Mul, 8 * rows)]));
    assert_eq!(context.executed, counts(&[(Class::Mul, 5 * pairs), (Class::Add, 5 * pairs)]));
    // Beside each pair the joins of 32 lanes; a chunk of keys is merged as if there were others.
    let expected = [
        (Class::Max, pairs + rows * (31 + 1 + 4)),
        (Class::Add, 2 * pairs + rows * (31 + 2 + 5)),
        (Class::Exp, pairs + rows),
        (Class::Div, rows),
        (Class::Mul, rows * (1 + 5 + 5)),
    ];
    assert_eq!(softmax.executed, counts(&expected));
}

#[test]
fn each_part_has_its_own_operations() {
    let executed = |case: &Case| {
        let d = case.data();
        let [q, k, v] = case.heads(&d);
        let (shape, mask, bias, scale) = (case.shape, case.mask(&d), case.bias(&d), case.scale);
        let (soft_cap, sinks) = (case.soft_cap, case.sinks(&d));
        let problem =
            Attention { shape, q, k, v, mask, bias, scale, divides: false, soft_cap, sinks };
        let len = shape.queries * shape.heads * shape.value_width;
        let (_, tallies) =
            run(len, |out, m: &[AtomicMeter; 6]| attention(&problem, out, &meters(m)).unwrap());
        tallies.map(|tally| tally.executed)
    };
    // In blocks, and few queries over chunks of keys.
    for queries in [40, 3] {
        let mut case = Case { causal_offset: Some(0), ..square(40) };
        case.shape.queries = queries;
        let plain = executed(&case);
        let [scores, scale, bias, softmax, context, cap] = plain;
        assert!(bias.is_zero());
        let biased = executed(&Case { bias: Some([true; 3]), ..case.clone() });
        assert_eq!([scores, scale, biased[2], softmax, context, cap], biased);
        assert!(!biased[2].is_zero());

        let mut other = case.clone();
        other.shape.key_width = 24;
        let wider = executed(&other);
        assert_eq!([wider[0], wider[1], bias, softmax, context, cap], wider);
        assert_eq!(wider[1][Class::Mul], 3 * scale[Class::Mul]);
        assert!(wider[0][Class::Mul] > scores[Class::Mul]);

        let mut other = case.clone();
        other.shape.value_width = 15;
        let wider = executed(&other);
        assert_eq!([scores, scale, bias, wider[3], wider[4], cap], wider);
        assert_eq!(
            softmax.with(Class::Mul, wider[3][Class::Mul]).with(Class::Add, wider[3][Class::Add]),
            wider[3]
        );
        assert!(wider[4][Class::Mul] == 3 * context[Class::Mul]);

        // The queries are multiplied for the exponentials all the same.
        let unscaled = executed(&Case { scale: None, ..case });
        let multiplied = softmax[Class::Mul] + scale[Class::Mul];
        let none = Counts::zero();
        assert_eq!(
            [scores, none, bias, softmax.with(Class::Mul, multiplied), context, cap],
            unscaled
        );
    }
}

#[test]
fn lanes_without_a_query_are_executed() {
    let case = square(40);
    let d = case.data();
    let [q, k, v] = case.heads(&d);
    let mut shape = case.shape;
    shape.queries = 5;
    let problem = Attention {
        shape,
        q,
        k,
        v,
        mask: Mask::default(),
        bias: None,
        scale: None,
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    let (_, [scores, .., softmax, context, _]) =
        run(5 * 2 * 5, |out, m: &[AtomicMeter; 6]| attention(&problem, out, &meters(m)).unwrap());
    // Ten rows of a group in sixteen lanes of products, and in all lanes of the softmax.
    assert_eq!(scores.useful[Class::Mul], 10 * 40 * 8);
    assert_eq!(scores.executed[Class::Mul], 16 * 40 * 8);
    assert_eq!(context.executed[Class::Mul], 16 * 40 * 5);
    assert_eq!(softmax.executed[Class::Exp], 32 * 40 + 32);
}

#[test]
fn rescaling_is_executed_but_not_useful() {
    let softmax_of = |queries: usize, keys: usize, greatest: usize| {
        let (q, mut k, v) = (vec![1.0; queries], data(keys, 2), data(keys, 3));
        k[greatest] = 5.0;
        let shape = AttentionShape {
            batch: 1,
            queries,
            keys,
            heads: 1,
            kv_heads: 1,
            key_width: 1,
            value_width: 1,
        };
        let heads = |x, tokens| Heads::contiguous(x, tokens, 1, 1);
        let problem = Attention {
            shape,
            q: heads(&q, queries),
            k: heads(&k, keys),
            v: heads(&v, keys),
            mask: Mask::default(),
            bias: None,
            scale: None,
            divides: false,
            soft_cap: None,
            sinks: None,
        };
        let (_, [.., softmax, _, _]) =
            run(queries, |out, m: &[AtomicMeter; 6]| attention(&problem, out, &meters(m)).unwrap());
        assert_eq!(softmax.useful[Class::Mul], 0);
        softmax.executed
    };
    // Two blocks of lanes over five tiles of keys: without a scale the queries are multiplied for the
    // softmax, at last the context; where the maximum moves, the sums and the context of a block.
    let lanes = 2 * 32;
    let [first, last] = [0, 1029].map(|greatest| softmax_of(40, 1030, greatest));
    assert_eq!(first[Class::Mul], 2 * lanes);
    assert!(last[Class::Mul] >= 4 * lanes && last[Class::Mul].is_multiple_of(2 * 32));
    assert_eq!([first, last].map(|executed| executed[Class::Exp]), [lanes * (1030 + 5); 2]);
    // Two rows over two chunks of keys, which are merged.
    let merged = softmax_of(2, 140_000, 139_999);
    assert_eq!(merged[Class::Exp], 2 * (140_000 + 2));
    assert_eq!(merged[Class::Mul], 2 * (1 + 2 * 2 + 1));
}

#[test]
fn infinities_and_nan_propagate() {
    let n = 600;
    let (q, k, v) = (data(2 * 4, 1), data(n * 4, 2), data(n * 4, 3));
    let mut bias = vec![0.0; 2 * n];
    bias[..n].fill(f32::NEG_INFINITY);
    let out = simple(&q, &k, &v, 4, Mask::default(), Some(&bias));
    assert_eq!(out[..4], [0.0; 4]);
    assert!(out[4..].iter().all(|x| x.is_finite()));
    // A first tile of keys without weight leaves no trace.
    bias[n - 1] = 0.0;
    let out = simple(&q, &k, &v, 4, Mask::default(), Some(&bias));
    assert_close(&out[..4], &wide(&v[(n - 1) * 4..]), 1e-6);
    bias[3] = f32::NAN;
    bias[n + 5] = f32::INFINITY;
    let out = simple(&q, &k, &v, 4, Mask::default(), Some(&bias));
    assert!(out.iter().all(|x| x.is_nan()));
}

#[test]
fn wrong_shapes_are_errors() {
    let x = [0.0; 16];
    let meters = AttentionMeters {
        scores: &NoMeter,
        scale: &NoMeter,
        soft_cap: &NoMeter,
        bias: &NoMeter,
        softmax: &NoMeter,
        context: &NoMeter,
    };
    let shape = AttentionShape {
        batch: 1,
        queries: 2,
        keys: 2,
        heads: 2,
        kv_heads: 2,
        key_width: 2,
        value_width: 2,
    };
    let heads = Heads::contiguous(&x[..8], 2, 2, 2);
    let good = Attention {
        shape,
        q: heads,
        k: heads,
        v: heads,
        mask: Mask::default(),
        bias: None,
        scale: None,
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    let mut out = [0.0; 8];
    assert_eq!(attention(&good, &mut out, &meters), Ok(()));
    let fails = |problem: Attention<'_>| attention(&problem, &mut [0.0; 8], &meters).unwrap_err();
    assert!(matches!(attention(&good, &mut [0.0; 7], &meters), Err(KernelError::Length { .. })));
    let shape_of = |kv_heads, key_width| AttentionShape { kv_heads, key_width, ..shape };
    assert!(matches!(
        fails(Attention { shape: shape_of(0, 2), ..good }),
        KernelError::Shape { .. }
    ));
    assert!(matches!(
        fails(Attention { shape: shape_of(3, 2), ..good }),
        KernelError::Shape { .. }
    ));
    assert!(matches!(
        fails(Attention { shape: shape_of(2, 0), ..good }),
        KernelError::EmptyReduction { .. }
    ));
    let short = Heads { data: &x[..7], ..heads };
    for problem in [
        Attention { q: short, ..good },
        Attention { k: short, ..good },
        Attention { v: short, ..good },
    ] {
        assert!(matches!(fails(problem), KernelError::Short { needed: 8, found: 7, .. }));
    }
    let mask = Mask { keep: Some(Keep::Keys(&[1])), ..Mask::default() };
    assert!(matches!(fails(Attention { mask, ..good }), KernelError::Length { .. }));
    let sinks = Some(&x[..1]);
    assert!(matches!(fails(Attention { sinks, ..good }), KernelError::Length { .. }));
    let pairs = |data, starts| Pairs { data, starts, query_stride: 2 };
    for (pairs, short) in [(pairs(&[1; 3], &[0, 0]), true), (pairs(&[1; 4], &[0]), false)] {
        let mask = Mask { keep: Some(Keep::Pairs(pairs)), ..Mask::default() };
        match fails(Attention { mask, ..good }) {
            KernelError::Short { needed: 4, found: 3, .. } => assert!(short),
            KernelError::Shape { .. } => assert!(!short),
            other => panic!("{other:?}"),
        }
    }
    let bias = Some(Bias { data: &x[..1], starts: &[0, 0], query_stride: 0 });
    assert!(matches!(fails(Attention { bias, ..good }), KernelError::Short { .. }));
    let bias = Some(Bias { data: &x, starts: &[0], query_stride: 0 });
    assert!(matches!(fails(Attention { bias, ..good }), KernelError::Shape { .. }));
    let far = Heads { batch_stride: 0, token_stride: usize::MAX, head_stride: 2, data: &x };
    assert!(matches!(fails(Attention { q: far, ..good }), KernelError::TooLarge { .. }));
}
