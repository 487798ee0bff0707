//! What the ledger says that a node executed is what its kernel says, called directly on the same
//! numbers: nothing is added on the way, nor lost.

use super::*;
use crate::interpreter::Interpreter;
use opledger_dims::{Counts, Foremost};
use opledger_ir::ops::{Rope, RopePairs, RotaryAngles};
use opledger_ir::{Mask, Part, Scoring, Value};
use opledger_kernels::{self as kernels, *};

/// The numbers of a source.
type Numbers<'a> = dyn Fn(&str) -> Vec<f32> + 'a;

fn flat(value: &Value<f32>) -> Vec<f32> {
    match value {
        Value::Real(t) => t.data().to_vec(),
        Value::Index(t) => t.data().iter().map(|id| *id as f32).collect(),
    }
}

fn numbers(prepared: &Prepared, path: &str) -> Vec<f32> {
    flat(&prepared.tensors().get(path).unwrap())
}

/// Asserts that a ledger has of a node what meters of parts read, so many times.
#[track_caller]
fn assert_said(ledger: &Ledger, var: Var, said: &[(Part, &AtomicMeter)], times: u64) {
    let counts = ledger.row(var.index()).counts();
    let mut total = Counts::zero();
    for (part, meter) in said {
        let tally = meter.read();
        let all = |counts: Counts<u64>| counts.map(|number| number * times);
        let (executed, substituted) = (all(tally.executed), all(tally.substituted_counts()));
        assert_eq!(counts.executed.part(*part), executed, "{}", part.name());
        assert_eq!(counts.substituted(*part), substituted, "{}", part.name());
        total += &executed;
    }
    assert_eq!(counts.executed.total(), total);
}

/// Runs one operation by the fast interpreter, and its kernel.
#[track_caller]
fn by_kernel<const PARTS: usize>(
    parts: [Part; PARTS],
    record: impl FnOnce(&mut Graph) -> Var,
    kernel: impl Fn(&Numbers<'_>, &mut [f32], &[AtomicMeter; PARTS]),
) {
    let mut g = Graph::new();
    let var = record(&mut g);
    g.output("y", var);
    let prepared = Prepared::new(&g, &Binding::new(), &Feeds::seeded(3)).unwrap();
    for mut fast in [Fast::new().unwrap().node_by_node(), Fast::new().unwrap()] {
        let run = prepared.run(&mut fast, &mut Quiet).unwrap();
        let found = flat(&run.outputs[0].1);
        let meters: [AtomicMeter; PARTS] = std::array::from_fn(|_| AtomicMeter::new());
        let mut out = vec![0.0; found.len()];
        kernel(&|path| numbers(&prepared, path), &mut out, &meters);
        assert_eq!(out, found);
        let said: Vec<(Part, &AtomicMeter)> = parts.into_iter().zip(&meters).collect();
        assert_said(&run.ledger, var, &said, 1);
    }
}

fn input<const N: usize>(g: &mut Graph, name: &str, axes: [(&str, u64); N]) -> Var {
    g.input(name, axes).unwrap()
}

const N: usize = 9;
const C: usize = 37;

fn rows(g: &mut Graph) -> Var {
    input(g, "x", [("n", N as u64), ("c", C as u64)])
}

#[test]
fn a_product_executes_what_its_kernel_says() {
    const F: usize = 21;
    let of = |parameter: bool| {
        by_kernel(
            [Part::Contraction],
            |g| {
                let (x, axes) = (rows(g), [("f", F as u64), ("c", C as u64)]);
                let y = match parameter {
                    true => g.param("w", Source::weight(C as u64), axes).unwrap(),
                    false => input(g, "w", axes),
                };
                g.einsum("n c, f c -> n f", x, y).unwrap()
            },
            |of, out, [meter]| {
                let (x, w) = (of("x"), of("w"));
                let a = MatrixBatch { data: &x, offsets: &[0], row_stride: C, col_stride: 1 };
                let b = MatrixBatch { data: &w, offsets: &[0], row_stride: 1, col_stride: C };
                let packed = PackedMatrix::new(&w, [C, F], [1, C]).unwrap();
                let b = if parameter { Right::Packed(&packed) } else { Right::Plain(b) };
                let problem = Gemm { batch: 1, m: N, k: C, n: F, a, b };
                gemm(&problem, out, meter).unwrap();
            },
        );
    };
    of(true);
    of(false);
    by_kernel(
        [Part::Contraction],
        |g| {
            let x = rows(g);
            let ids = g.input_ids("ids", [("n", N as u64), ("k", 2)], 3).unwrap();
            let weight = input(g, "w", [("x", 3), ("f", F as u64), ("c", C as u64)]);
            g.experts("", x, ids, weight).unwrap()
        },
        |of, out, [meter]| {
            let ids: Vec<i64> = of("ids").iter().map(|id| *id as i64).collect();
            let (x, weight) = (of("x"), of("w"));
            let (x, weight) = (&x[..], ExpertMatrices::Plain(&weight));
            let (choices, experts, ids) = (2, 3, &ids[..]);
            let problem = Experts { x, choices, ids, weight, experts, width: F, terms: C };
            kernels::experts(&problem, out, meter).unwrap();
        },
    );
}

#[test]
fn attention_executes_what_its_kernel_says() {
    for queries in [2, 20] {
        let shape = AttentionShape {
            batch: 2,
            queries,
            keys: 23,
            heads: 2,
            kv_heads: 1,
            key_width: 5,
            value_width: 7,
        };
        let parts =
            [Part::Scores, Part::Scale, Part::SoftCap, Part::Bias, Part::Softmax, Part::Context];
        by_kernel(
            parts,
            |g| {
                let n = queries as u64;
                let q = input(g, "q", [("b", 2), ("n", n), ("h", 2), ("e", 5)]);
                let k = input(g, "k", [("b", 2), ("m", 23), ("g", 1), ("e", 5)]);
                let v = input(g, "v", [("b", 2), ("m", 23), ("g", 1), ("f", 7)]);
                let bias = input(g, "bias", [("n", n), ("m", 23)]);
                let sinks = input(g, "sinks", [("h", 2)]);
                let scoring = Scoring {
                    mask: Mask { offset: Some(3.into()), ..Mask::none() },
                    scale: Some(Factor::Number(0.5).into()),
                    soft_cap: Some(2.0),
                    bias: Some(bias),
                    sinks: Some(sinks),
                };
                g.attention_by((q, k, v), scoring).unwrap()
            },
            |of, out, [scores, scale, soft_cap, bias, softmax, context]| {
                let [q, k, v, term, sinks] = ["q", "k", "v", "bias", "sinks"].map(of);
                let problem = Attention {
                    shape,
                    q: Heads::contiguous(&q, queries, 2, 5),
                    k: Heads::contiguous(&k, 23, 1, 5),
                    v: Heads::contiguous(&v, 23, 1, 7),
                    mask: kernels::Mask { causal_offset: Some(3), ..Default::default() },
                    bias: Some(Bias { data: &term, starts: &[0; 4], query_stride: 23 }),
                    scale: Some(0.5),
                    divides: false,
                    soft_cap: Some(2.0),
                    sinks: Some(&sinks),
                };
                let meters = AttentionMeters { scores, scale, soft_cap, bias, softmax, context };
                kernels::attention(&problem, out, &meters).unwrap();
            },
        );
    }
}

/// One part, whose kernel goes over the rows of `x`.
#[track_caller]
fn over_rows(
    record: impl FnOnce(&mut Graph, Var) -> Var,
    kernel: impl Fn(&Numbers<'_>, &[f32], &mut [f32], &AtomicMeter),
) {
    by_kernel(
        [Part::Pointwise],
        |g| {
            let x = rows(g);
            record(g, x)
        },
        |of, out, [meter]| kernel(of, &of("x"), out, meter),
    );
}

#[test]
fn what_goes_over_elements_executes_what_its_kernel_says() {
    for (op, kind) in [
        (Graph::add as fn(&mut Graph, &str, Var, Var) -> _, BinaryOp::Add),
        (Graph::mul, BinaryOp::Mul),
        (Graph::div, BinaryOp::Div),
    ] {
        over_rows(
            |g, x| {
                let y = input(g, "y", [("c", C as u64)]);
                op(g, "", x, y).unwrap()
            },
            |of, x, out, meter| {
                let x = Strided { data: x, strides: &[C, 1] };
                let y = Strided { data: &of("y"), strides: &[0, 1] };
                binary(kind, &[N, C], x, y, out, meter).unwrap();
            },
        );
    }
    over_rows(
        |g, x| g.scale(x, Factor::Number(0.5)).unwrap(),
        |_, x, out, meter| kernels::scale(0.5, x, out, meter).unwrap(),
    );
    for function in Activation::ALL.iter().copied() {
        over_rows(
            |g, x| g.activation(x, function).unwrap(),
            |_, x, out, meter| activation(function, x, out, meter).unwrap(),
        );
    }
    let dropped = Dropout { p: 0.5, seed: 1, training: true };
    over_rows(
        |g, x| g.dropout("", x, dropped.clone()).unwrap(),
        |_, x, out, meter| {
            let draw = dropped.multiplier("dropout");
            kernels::dropout(|flat| draw(flat) as f32, x, out, meter).unwrap();
        },
    );
}

#[test]
fn what_goes_over_rows_executes_what_its_kernel_says() {
    over_rows(
        |g, x| g.softmax(x, None).unwrap(),
        |_, x, out, meter| {
            let mask = kernels::Mask::default();
            let rows = ScoreRows { batch: 1, heads: 1, queries: N, keys: C, mask };
            softmax(&rows, x, out, meter).unwrap();
        },
    );
    let eps = 1e-5_f32;
    let affine = |g: &mut Graph| ["gain", "shift"].map(|name| input(g, name, [("c", C as u64)]));
    over_rows(
        |g, x| {
            let [gain, shift] = affine(g);
            g.norm(x, Norm::layer(1e-5), Some(gain), Some(shift)).unwrap()
        },
        |of, x, out, meter| {
            let (gamma, beta) = (&of("gain")[..], &of("shift")[..]);
            let (gamma, beta, channels) = (Some(gamma), Some(beta), Channels::ELEMENTS);
            let norm = LayerNorm { width: C, eps, gamma, beta, channels };
            layer_norm(&norm, x, out, meter).unwrap();
        },
    );
    over_rows(
        |g, x| {
            let [gain, shift] = affine(g);
            g.norm(x, Norm::rms(1e-5), Some(gain), Some(shift)).unwrap()
        },
        |of, x, out, meter| {
            let norm = RmsNorm { width: C, eps, weight: Some(&of("gain")) };
            let mut normed = vec![0.0; out.len()];
            rms_norm(&norm, x, &mut normed, meter).unwrap();
            let x = Strided { data: &normed, strides: &[C, 1] };
            let shift = Strided { data: &of("shift"), strides: &[0, 1] };
            binary(BinaryOp::Add, &[N, C], x, shift, out, meter).unwrap();
        },
    );
    for (kind, of) in [
        (Reduction::Sum, Reduce::Sum as fn(opledger_dims::Symbol) -> Reduce),
        (Reduction::Mean, Reduce::Mean),
        (Reduction::Max, Reduce::Max),
    ] {
        over_rows(
            |g, x| g.reduce(x, of("c".into())).unwrap(),
            |_, x, out, meter| reduce(kind, C, x, out, meter).unwrap(),
        );
        over_rows(
            |g, x| g.reduce(x, of("n".into())).unwrap(),
            |_, x, out, meter| reduce_columns(kind, N, C, x, out, meter).unwrap(),
        );
    }
    over_rows(
        |g, x| g.top_k(x, ("k", 3)).unwrap(),
        |_, x, out, meter| {
            let mut ids = vec![0; out.len()];
            top_k(C, 3, Foremost::Largest, x, &mut ids, meter).unwrap();
            out.iter_mut().zip(ids).for_each(|(out, id)| *out = id as f32);
        },
    );
}

#[test]
fn positions_execute_what_their_kernels_say() {
    let angles = RotaryAngles::new(("n", 5), ("e", 8), 1e4);
    let table = |out: &mut [f32], meter: &AtomicMeter| {
        let frequencies = angles.scaling.frequencies(1e4, 8, 5);
        let frequencies: Vec<f32> = frequencies.iter().map(|f| *f as f32).collect();
        rotary_angles(RotaryPositions::From(0), &frequencies, None, out, meter).unwrap();
    };
    by_kernel(
        [Part::Pointwise],
        |g| g.record("", angles.clone(), &[]).unwrap(),
        |_, out, [meter]| table(out, meter),
    );
    by_kernel(
        [Part::Pointwise],
        |g| {
            let x = input(g, "x", [("n", 5), ("h", 2), ("e", 8)]);
            let angles = g.record("", angles.clone(), &[]).unwrap();
            g.record("", Rope { pairs: RopePairs::Halves }, &[x, angles]).unwrap()
        },
        |of, out, [meter]| {
            let mut angles = vec![0.0; 5 * 2 * 8];
            table(&mut angles, &AtomicMeter::new());
            let pairing = Pairing::HalfSplit;
            let table = &angles[..];
            let rope = kernels::Rope {
                batch: 1,
                tokens: 5,
                heads: 2,
                width: 8,
                turned: 8,
                table,
                pairing,
            };
            kernels::rope(&rope, &of("x"), out, meter).unwrap();
        },
    );
    by_kernel(
        [Part::Pointwise],
        |g| g.sinusoid(("n", 5), ("c", 8)).unwrap(),
        |_, out, [meter]| {
            let frequencies = opledger_ir::ops::Sinusoid::frequencies(8);
            let frequencies: Vec<f32> = frequencies.iter().map(|f| *f as f32).collect();
            sinusoid(5, 0, &frequencies, out, meter).unwrap();
        },
    );
}

/// A chain in a body of three iterations: one kernel for four nodes, three times.
#[test]
fn a_chain_executes_what_its_kernel_says_in_every_iteration() {
    let mut g = Graph::new();
    let x = rows(&mut g);
    let layers = g.repeated("layers", 3);
    let axes = [Axis::new("c'", C as u64), Axis::new("c", C as u64)];
    let w = g.enter(&layers).param("w", Source::weight(4), axes).unwrap();
    let bias = g.enter(&layers).param("bias", Source::shift(), [("c", C as u64)]).unwrap();
    let mut nodes = Vec::new();
    let y = g
        .repeat(&layers, x, |g, x| {
            let product = g.einsum("n c, c' c -> n c'", x, w)?;
            let sum = g.add("", product, bias)?;
            let function = g.activation(sum, Activation::GeluTanh)?;
            let residual = g.add("residual", function, x)?;
            nodes = vec![product, sum, function, residual];
            Ok::<_, opledger_ir::GraphError>(residual)
        })
        .unwrap();
    g.output("y", y);
    let prepared = Prepared::new(&g, &Binding::new(), &Feeds::seeded(3)).unwrap();
    let mut fast = Fast::new().unwrap();
    assert_eq!(fast.schedule(&g).group(nodes[3].index()).len(), 4);
    let run = prepared.run(&mut fast, &mut Quiet).unwrap();
    let meters: [AtomicMeter; 4] = std::array::from_fn(|_| AtomicMeter::new());
    let [product, bias, activation, residual] = &meters;
    let (x, w) = (numbers(&prepared, "x"), numbers(&prepared, "layers.0.w"));
    let a = MatrixBatch { data: &x, offsets: &[0], row_stride: C, col_stride: 1 };
    let packed = PackedMatrix::new(&w, [C, C], [1, C]).unwrap();
    let problem = Gemm { batch: 1, m: N, k: C, n: C, a, b: Right::Packed(&packed) };
    let term = numbers(&prepared, "layers.0.bias");
    let epilogue =
        Epilogue { bias: Some(&term), activation: Some(Activation::GeluTanh), residual: Some(&x) };
    let of_parts = GemmMeters { product, bias, activation, residual };
    gemm_with(&problem, &epilogue, &mut vec![0.0; N * C], &of_parts).unwrap();
    let parts = [Part::Contraction, Part::Pointwise, Part::Pointwise, Part::Pointwise];
    for ((var, part), meter) in nodes.into_iter().zip(parts).zip(&meters) {
        assert_said(&run.ledger, var, &[(part, meter)], 3);
    }
}

#[test]
fn node_by_node_every_node_runs_by_itself() {
    let mut g = Graph::new();
    let x = g.input("x", [("n", 3), ("c", 4)]).unwrap();
    let weight = g.param("weight", Source::weight(4), [("f", 8), ("c", 4)]).unwrap();
    let bias = g.param("bias", Source::shift(), [("f", 8)]).unwrap();
    let product = g.einsum("n c, f c -> n f", x, weight).unwrap();
    let sum = g.add("sum", product, bias).unwrap();
    g.output("sum", sum);
    let prepared = Prepared::new(&g, &Binding::new(), &Feeds::seeded(1)).unwrap();
    let fused = |mut fast: Fast| {
        let run = prepared.run(&mut fast, &mut Quiet).unwrap();
        [product, sum].map(|var| run.ledger.row(var.index()).counts().fused)
    };
    assert_eq!(fused(Fast::new().unwrap()), [true, true]);
    assert_eq!(fused(Fast::new().unwrap().node_by_node()), [false, false]);
}
