//! Bytes worked out by hand, against the formulas and against what both interpreters moved.

use super::*;
use crate::Proof;
use opledger_dims::Integer;
use opledger_ir::ops::{ArithmeticKind, Concat, Table};
use opledger_ir::{Elem, Storage};

const FLOAT: u64 = 4;
const ID: u64 = 8;

/// A `[2, 3, 4]`: 24 elements.
fn x(g: &mut Graph) -> Var {
    g.input("x", [("b", 2), ("n", 3), ("c", 4)]).unwrap()
}

fn proved(g: &Graph, feeds: &Feeds) -> Proof {
    let proof = prove(g, &Binding::new(), feeds).unwrap();
    assert!(proof.theorem.holds(), "{}", proof.theorem.mismatches[0]);
    proof
}

/// Asserts what one operation reads and writes.
#[track_caller]
fn moves(record: impl FnOnce(&mut Graph) -> Var, read: u64, written: u64) {
    let mut g = Graph::new();
    let var = record(&mut g);
    g.output("y", var);
    let proof = proved(&g, &Feeds::seeded(3));
    let bytes = g.node_bytes(g.node(var));
    assert_eq!(
        [bytes.0, bytes.1].map(|bytes| bytes.as_integer().unwrap()),
        [read, written].map(Into::into)
    );
    for ledger in [&proof.oracle.ledger, &proof.node_by_node.ledger, &proof.fast.ledger] {
        let counts = ledger.row(var.index()).counts();
        assert_eq!([counts.bytes_read, counts.bytes_written], [read, written]);
    }
}

#[test]
fn products_norms_and_elements_read_their_operands_once() {
    // [2, 3, 4] by [5, 4] to [2, 3, 5].
    let product = |g: &mut Graph| {
        let (x, w) = (x(g), g.param("w", Source::weight(4), [("f", 5), ("c", 4)]).unwrap());
        g.einsum("b n c, f c -> b n f", x, w).unwrap()
    };
    moves(product, (24 + 20) * FLOAT, 30 * FLOAT);
    // A bias of 4 is read once, however often it is added.
    let bias = |g: &mut Graph| {
        let (x, bias) = (x(g), g.param("bias", Source::shift(), [("c", 4)]).unwrap());
        g.add("", x, bias).unwrap()
    };
    moves(bias, (24 + 4) * FLOAT, 24 * FLOAT);
    // A value that is both operands counts as each.
    let twice = |g: &mut Graph| {
        let x = x(g);
        g.add("", x, x).unwrap()
    };
    moves(twice, (24 + 24) * FLOAT, 24 * FLOAT);
    let norm = |g: &mut Graph| {
        let x = x(g);
        let gain = g.param("gain", Source::gain(), [("c", 4)]).unwrap();
        let shift = g.param("shift", Source::gain(), [("c", 4)]).unwrap();
        g.norm(x, Norm::layer(1e-5), Some(gain), Some(shift)).unwrap()
    };
    moves(norm, (24 + 4 + 4) * FLOAT, 24 * FLOAT);
    // The axis n = 3 is summed away.
    let sum = |g: &mut Graph| {
        let x = x(g);
        g.reduce(x, Reduce::Sum("n".into())).unwrap()
    };
    moves(sum, 24 * FLOAT, 8 * FLOAT);
}

/// By definition what is handed over is read: a weight and a bias of 7, for no rows as for many.
#[test]
fn a_bias_for_no_rows_is_read() {
    let mut g = Graph::new();
    let x = g.input("x", [("b", 0), ("c", 4)]).unwrap();
    let w = g.param("w", Source::weight(4), [("f", 7), ("c", 4)]).unwrap();
    let bias = g.param("bias", Source::shift(), [("f", 7)]).unwrap();
    let product = g.einsum("b c, f c -> b f", x, w).unwrap();
    let y = g.add("bias", product, bias).unwrap();
    g.output("y", y);
    let proof = proved(&g, &Feeds::seeded(3));
    for (var, elements) in [(product, 28), (y, 7)] {
        assert_eq!(g.node_bytes(g.node(var)).0.as_integer(), Some((elements * FLOAT).into()));
        for ledger in [&proof.oracle.ledger, &proof.node_by_node.ledger, &proof.fast.ledger] {
            let counts = ledger.row(var.index()).counts();
            assert_eq!((counts.bytes_read, counts.bytes_written), (elements * FLOAT, 0));
        }
    }
}

#[test]
fn attention_reads_queries_keys_values_bias_and_mask() {
    // Queries 2·3·2·4, keys and values 2·5·1·4 each, bias 2·3·5, a mask of 2·5 whole numbers; hidden
    // pairs change nothing.
    let attention = |g: &mut Graph| {
        let q = g.input("q", [("b", 2), ("n", 3), ("h", 2), ("e", 4)]).unwrap();
        let [k, v] =
            ["k", "v"].map(|name| g.input(name, [("b", 2), ("m", 5), ("g", 1), ("e", 4)]).unwrap());
        let bias = g.input("bias", [("h", 2), ("n", 3), ("m", 5)]).unwrap();
        let keep = g.input_mask("keep", [("b", 2), ("m", 5)]).unwrap();
        g.attention((q, k, v), Mask::causal().keeping(keep), None, Some(bias)).unwrap()
    };
    moves(attention, (48 + 40 + 40 + 30) * FLOAT + 10 * ID, 48 * FLOAT);
    let softmax = |g: &mut Graph| {
        let scores = g.input("scores", [("b", 2), ("n", 3), ("m", 5)]).unwrap();
        g.softmax(scores, None).unwrap()
    };
    moves(softmax, 30 * FLOAT, 30 * FLOAT);
}

#[test]
fn a_look_up_reads_what_it_looks_up() {
    // Six ids look up a row of 4 each; the table has 40 elements, then 400,000.
    for rows in [10, 100_000] {
        let embedding = |g: &mut Graph| {
            let ids = g.input_ids("ids", [("b", 2), ("n", 3)], rows).unwrap();
            let axes = [Axis::new("v", rows), Axis::new("c", 4)];
            let table = g.param("table", Source::embedding(), axes).unwrap();
            g.embedding("", ids, table).unwrap()
        };
        moves(embedding, 6 * ID + 24 * FLOAT, 24 * FLOAT);
    }
    // Of 6 entries in each of 2·3 rows, 2 are chosen.
    let scores = |g: &mut Graph| g.input("scores", [("b", 2), ("n", 3), ("x", 6)]).unwrap();
    let top = |g: &mut Graph| {
        let scores = scores(g);
        g.top_k(scores, ("k", 2)).unwrap()
    };
    moves(top, 36 * FLOAT, 12 * ID);
    let gather = |g: &mut Graph| {
        let (scores, ids) =
            (scores(g), g.input_ids("ids", [("b", 2), ("n", 3), ("k", 2)], 6).unwrap());
        g.gather(scores, ids).unwrap()
    };
    moves(gather, 12 * FLOAT + 12 * ID, 12 * FLOAT);
}

#[test]
fn moving_reads_what_it_moves_and_views_move_nothing() {
    let rearrange = |how: Rearrange| {
        move |g: &mut Graph| {
            let x = x(g);
            g.rearrange(x, how).unwrap()
        }
    };
    let last = Rearrange::Slice { axis: "n".into(), start: 2.into(), len: 1.into() };
    moves(rearrange(last), 8 * FLOAT, 8 * FLOAT);
    moves(rearrange(Rearrange::Pad { axis: "n".into(), to: 5.into() }), 24 * FLOAT, 40 * FLOAT);
    moves(rearrange(Rearrange::Roll { axis: "n".into(), by: 2.into() }), 24 * FLOAT, 24 * FLOAT);
    let turned = Rearrange::Permute { order: ["c", "b", "n"].map(Into::into).to_vec() };
    moves(rearrange(turned), 24 * FLOAT, 24 * FLOAT);
    // Three copies of what is read once.
    let three = Rearrange::Expand { axis: Axis::new("a", 3) };
    moves(rearrange(three), 24 * FLOAT, 72 * FLOAT);
    let split = vec![Axis::new("h", 2), Axis::new("e", 2)];
    moves(rearrange(Rearrange::Split { axis: "c".into(), into: split }), 0, 0);
    let concat = |g: &mut Graph| {
        let (x, more) = (x(g), g.input("more", [("b", 2), ("n", 1), ("c", 4)]).unwrap());
        g.concat(x, more, "n").unwrap()
    };
    moves(concat, (24 + 8) * FLOAT, 32 * FLOAT);
    // Of a buffer that is continued only what is new is moved.
    let growing = |g: &mut Graph| {
        let (x, more) = (x(g), g.input("more", [("b", 2), ("n", 1), ("c", 4)]).unwrap());
        g.record("", Concat { axis: "n".into(), grows: true }, &[x, more]).unwrap()
    };
    moves(growing, 8 * FLOAT, 8 * FLOAT);
    for training in [false, true] {
        let dropout = move |g: &mut Graph| {
            let x = x(g);
            g.dropout("", x, Dropout { p: 0.5, seed: 1, training }).unwrap()
        };
        let moved = if training { 24 * FLOAT } else { 0 };
        moves(dropout, moved, moved);
    }
}

#[test]
fn constants_are_written_only() {
    moves(|g| g.sinusoid(("n", 3), ("c", 4)).unwrap(), 0, 12 * FLOAT);
    // Queries and keys of a window of 2·2 tokens.
    let table = |g: &mut Graph| {
        let [query, key] = ["n", "m"].map(|name| Axis::new(name, 4));
        g.table("", Table::WindowDisplacement { side: 2.into(), query, key }).unwrap()
    };
    moves(table, 0, 16 * ID);
}

/// Six tokens choose two of six experts of 5·4 elements each: at most six are met, and those that are
/// are read once.
#[test]
fn experts_that_ran_are_read() {
    let mut g = Graph::new();
    let tokens = x(&mut g);
    let ids = g.input_ids("ids", [("b", 2), ("n", 3), ("k", 2)], 6).unwrap();
    let axes = [("x", 6), ("f", 5), ("c", 4)];
    let weight = g.param("weight", Source::weight(4), axes).unwrap();
    let y = g.experts("", tokens, ids, weight).unwrap();
    g.output("y", y);
    let bytes = g.node_bytes(g.node(y));
    assert_eq!(bytes.0, ((24 + 6 * 20) * FLOAT + 12 * ID).into());
    assert_eq!(bytes.1, (60 * FLOAT).into());
    for (chosen, met) in [([1, 4], 2), ([3, 3], 1)] {
        let feeds = Feeds::seeded(3).with_ids("ids", &[2, 3, 2], chosen.repeat(6)).unwrap();
        let proof = proved(&g, &feeds);
        for ledger in [&proof.oracle.ledger, &proof.node_by_node.ledger, &proof.fast.ledger] {
            let counts = ledger.row(y.index()).counts();
            assert_eq!(counts.bytes_read, (24 + met * 20) * FLOAT + 12 * ID);
            assert_eq!(counts.bytes_written, 60 * FLOAT);
        }
    }
    // Few tokens cannot meet all: one of two choices meets two at most.
    let mut g = Graph::new();
    let tokens = g.input("x", ["n", "c"]).unwrap();
    let ids = g.input_ids("ids", ["n", "k"], "x").unwrap();
    let weight = g.param("weight", Source::weight("c"), ["x", "f", "c"]).unwrap();
    let y = g.experts("", tokens, ids, weight).unwrap();
    assert_eq!(g.node_bytes(g.node(y)).0.to_string(), "4·f·c·met + 8·n·k + 4·n·c");
    assert_eq!(g.definitions()[0].to_string(), "met = min(x, n·k)");
    let at = |n: u64| {
        let sizes = [("n", n), ("k", 2), ("x", 6), ("c", 4), ("f", 5)];
        let binding = g.complete(&Binding::from_iter(sizes)).unwrap();
        g.node_bytes(g.node(y)).0.at(&binding).unwrap()
    };
    assert_eq!(at(1), ((4 + 2 * 20) * FLOAT + 2 * ID).into());
    assert_eq!(at(9), ((36 + 6 * 20) * FLOAT + 18 * ID).into());
}

/// Elements have the width of their type: a weight of 16-bit numbers takes half.
#[test]
fn bytes_are_those_of_the_types() {
    let mut g = Graph::new();
    let x = x(&mut g);
    let w = g.param("w", Source::weight(4), [("f", 5), ("c", 4)]).unwrap();
    let y = g.einsum("b n c, f c -> b n f", x, w).unwrap();
    g.output("y", y);
    let weights = Storage { weights: Elem::Bf16, ..Storage::uniform(Elem::F32) };
    let g = g.stored(weights);
    let proof = proved(&g, &Feeds::seeded(3));
    for ledger in [&proof.oracle.ledger, &proof.node_by_node.ledger] {
        let counts = ledger.row(y.index()).counts();
        assert_eq!((counts.bytes_read, counts.bytes_written), (24 * 4 + 20 * 2, 30 * 4));
    }
}

/// A body of three iterations moves its bytes three times.
#[test]
fn a_repeated_body_moves_as_often() {
    let mut g = Graph::new();
    let input = g.input("x", [("n", 6), ("c", 4)]).unwrap();
    let layers = g.repeated("layers", 3);
    let axes = [Axis::new("c'", 4), Axis::new("c", 4)];
    let w = g.enter(&layers).param("w", Source::weight(4), axes).unwrap();
    let bias = g.enter(&layers).param("bias", Source::shift(), [("c", 4)]).unwrap();
    let mut nodes = Vec::new();
    let y = g
        .repeat(&layers, input, |g, x| {
            let y = g.einsum("n c, c' c -> n c'", x, w)?;
            let z = g.add("", y, bias)?;
            nodes = vec![z, g.activation(z, Activation::Relu)?];
            Ok::<_, opledger_ir::GraphError>(nodes[1])
        })
        .unwrap();
    g.output("y", y);
    let proof = proved(&g, &Feeds::seeded(3));
    let of = |ledger: &Ledger, var: Var| {
        let counts = ledger.row(var.index()).counts();
        (counts.bytes_read, counts.bytes_written, counts.fused)
    };
    let single = &proof.node_by_node.ledger;
    assert_eq!(of(single, nodes[0]), (3 * (24 + 4) * FLOAT, 3 * 24 * FLOAT, false));
    assert_eq!(of(single, nodes[1]), (3 * 24 * FLOAT, 3 * 24 * FLOAT, false));
}

/// A product with its bias and activation in one kernel: what is between them is neither written nor
/// read.
#[test]
fn a_chain_reads_no_intermediate() {
    let mut g = Graph::new();
    let input = x(&mut g);
    let w = g.param("w", Source::weight(4), [("f", 5), ("c", 4)]).unwrap();
    let bias = g.param("bias", Source::shift(), [("f", 5)]).unwrap();
    let product = g.einsum("b n c, f c -> b n f", input, w).unwrap();
    let sum = g.add("", product, bias).unwrap();
    let y = g.activation(sum, Activation::Relu).unwrap();
    g.output("y", y);
    let proof = proved(&g, &Feeds::seeded(3));
    let of = |ledger: &Ledger| {
        [product, sum, y].map(|var| {
            let counts = ledger.row(var.index()).counts();
            assert_eq!(counts.fused, std::ptr::eq(ledger, &proof.fast.ledger));
            (counts.bytes_read / FLOAT, counts.bytes_written / FLOAT)
        })
    };
    let alone = [(24 + 20, 30), (30 + 5, 30), (30, 30)];
    assert_eq!((of(&proof.oracle.ledger), of(&proof.node_by_node.ledger)), (alone, alone));
    assert_eq!(of(&proof.fast.ledger), [(24 + 20, 0), (5, 0), (0, 30)]);
}

/// Operations on the elements and rows of one shape in one kernel: what is between them is neither written
/// nor read, whoever reads it.
#[test]
fn a_run_over_rows_reads_no_intermediate() {
    let mut g = Graph::new();
    let input = x(&mut g);
    let mean = g.reduce(input, Reduce::Mean("c".into())).unwrap();
    let centred = g.arithmetic("", ArithmeticKind::Sub, input, mean).unwrap();
    let square = g.mul("", centred, centred).unwrap();
    let gain = g.input("gain", [("c", 4)]).unwrap();
    let scaled = g.mul("", square, gain).unwrap();
    let y = g.add("", scaled, centred).unwrap();
    g.output("y", y);
    let proof = proved(&g, &Feeds::seeded(3));
    let of = |ledger: &Ledger| {
        [mean, centred, square, scaled, y].map(|var| {
            let counts = ledger.row(var.index()).counts();
            assert_eq!(counts.fused, std::ptr::eq(ledger, &proof.fast.ledger));
            (counts.bytes_read / FLOAT, counts.bytes_written / FLOAT)
        })
    };
    let alone = [(24, 6), (24 + 6, 24), (48, 24), (24 + 4, 24), (48, 24)];
    assert_eq!(of(&proof.node_by_node.ledger), alone);
    assert_eq!(of(&proof.fast.ledger), [(24, 0), (24, 0), (0, 0), (4, 0), (0, 24)]);
}

/// A run holds its operands till its end: one that a smaller value has in its place is let go before.
#[test]
fn a_run_needs_no_more_memory_than_its_nodes() {
    let mut g = Graph::new();
    let input = x(&mut g);
    let w = g.param("w", Source::weight(4), [("f", 4), ("c", 4)]).unwrap();
    let product = g.einsum("b n c, f c -> b n f", input, w).unwrap();
    let sum = g.reduce(product, Reduce::Sum("f".into())).unwrap();
    let other = g.input("other", [("b", 2), ("n", 3), ("f", 4)]).unwrap();
    let y = g.mul("", other, sum).unwrap();
    let z = g.activation(y, Activation::Relu).unwrap();
    g.output("z", z);
    let proof = proved(&g, &Feeds::seeded(3));
    let fused = [sum, y, z].map(|var| proof.fast.ledger.row(var.index()).counts().fused);
    assert_eq!(fused, [false, true, true]);
    let foreseen = g.footprint(&Binding::new(), size_of::<f32>()).unwrap().computed();
    assert!(Integer::from(proof.fast.peak.unwrap().held) <= foreseen);
}

/// A chain begins with a product by a parameter: what two computed matrices make is written.
#[test]
fn a_product_of_what_is_computed_begins_no_chain() {
    let mut g = Graph::new();
    let input = x(&mut g);
    let other = g.input("other", [("f", 5), ("c", 4)]).unwrap();
    let product = g.einsum("b n c, f c -> b n f", input, other).unwrap();
    let y = g.activation(product, Activation::Relu).unwrap();
    g.output("y", y);
    let proof = proved(&g, &Feeds::seeded(3));
    for (var, elements) in [(product, [24 + 20, 30]), (y, [30, 30])] {
        let counts = proof.fast.ledger.row(var.index()).counts();
        assert!(!counts.fused);
        assert_eq!([counts.bytes_read / FLOAT, counts.bytes_written / FLOAT], elements);
    }
}
