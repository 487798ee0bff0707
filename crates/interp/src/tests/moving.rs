//! Moving, looking up and tables of sizes: both interpreters have loops of their own.

use super::*;
use opledger_ir::ops::{Rearrange, Table, TokenPositions};

#[track_caller]
fn assert_same(g: &Graph, sizes: &[(&str, i64)]) {
    let binding = Binding::from_iter(sizes.iter().copied());
    for seed in 0..3 {
        let proof = prove(g, &binding, &Feeds::seeded(seed)).unwrap();
        assert!(proof.theorem.holds(), "{sizes:?}: {}", proof.theorem.mismatches[0]);
    }
}

fn every_move() -> [Rearrange; 6] {
    let axis = || "n".into();
    [
        Rearrange::Permute { order: ["c", "b", "n"].map(Into::into).into() },
        Rearrange::Expand { axis: Axis::from("a") },
        Rearrange::Slice { axis: axis(), start: "s".into(), len: "l".into() },
        Rearrange::Roll { axis: axis(), by: "r".into() },
        Rearrange::Roll { axis: axis(), by: "-r - 1".parse().unwrap() },
        Rearrange::Pad { axis: axis(), to: "p".into() },
    ]
}

#[test]
fn numbers_and_ids_move_alike() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let ids = g.input_ids("ids", ["b", "n", "c"], 50).unwrap();
    for (i, how) in every_move().into_iter().enumerate() {
        for (name, var) in [("x", x), ("ids", ids)] {
            let moved = g.rearrange(var, how.clone()).unwrap();
            g.output(&format!("{name} {i}"), moved);
        }
    }
    for (b, n, c, a, s, l, r, p) in [
        (2, 5, 3, 2, 1, 3, 2, 7),
        (1, 4, 1, 0, 0, 4, 0, 4),
        (3, 1, 2, 3, 1, 0, 5, 1),
        (0, 3, 2, 2, 2, 1, 1, 4),
        (2, 0, 3, 1, 0, 0, 1, 2),
    ] {
        let sizes = [("b", b), ("n", n), ("c", c), ("a", a)];
        assert_same(&g, &[&sizes[..], &[("s", s), ("l", l), ("r", r), ("p", p)]].concat());
    }
}

#[test]
fn entries_and_positions_are_looked_up_alike() {
    let mut g = Graph::new();
    let scores = g.input("scores", ["b", "n", "x"]).unwrap();
    let ids = g.input_ids("ids", ["b", "n", "k"], "x").unwrap();
    let chosen = g.gather(scores, ids).unwrap();
    g.output("chosen", chosen);
    for padding in [0, 1] {
        let op = TokenPositions { padding, rows: "rows".into() };
        let positions = g.record(&format!("after {padding}"), op, &[ids]).unwrap();
        g.output(&format!("after {padding}"), positions);
    }
    for (b, n, x, k) in [(2, 3, 5, 4), (1, 1, 1, 1), (0, 2, 3, 1), (3, 2, 4, 0), (2, 6, 2, 30)] {
        assert_same(&g, &[("b", b), ("n", n), ("x", x), ("k", k), ("rows", k + 2)]);
    }
}

#[test]
fn tables_are_made_alike() {
    let mut g = Graph::new();
    let window = |name: &str| Axis::new(name, "s²".parse::<opledger_dims::Poly>().unwrap());
    let ids = Table::WindowDisplacement { side: "s".into(), query: window("n"), key: window("m") };
    let ids = g.table("displacement", ids).unwrap();
    g.output("displacement", ids);
    let mask = Table::ShiftMask {
        rows: "y".into(),
        columns: "x".into(),
        side: "s".into(),
        shift: "d".into(),
        window: Axis::new("w", "x·y".parse::<opledger_dims::Poly>().unwrap()),
        query: window("n"),
        key: window("m"),
    };
    let mask = g.table("mask", mask).unwrap();
    g.output("mask", mask);
    let row = Axis::new("t", "4·s² - 4·s + 1".parse::<opledger_dims::Poly>().unwrap());
    let (side, reach, pair) = ("s".into(), "k".into(), Axis::new("z", 2));
    let coordinates = g.table("coordinates", Table::LogDisplacement { side, reach, row, pair });
    g.output("coordinates", coordinates.unwrap());
    for bidirectional in [false, true] {
        let buckets = Table::RelativeBuckets {
            bidirectional,
            buckets: 12,
            max_distance: 40,
            offset: "o".into(),
            query: Axis::new("i", "q"),
            key: Axis::new("j", "k"),
        };
        let name = format!("buckets {bidirectional}");
        let ids = g.table(&name, buckets).unwrap();
        g.output(&name, ids);
    }
    let temperatures = Table::Temperature {
        tokens: Axis::new("i", "q"),
        offset: "o".into(),
        every: 3,
        scale: 0.1,
    };
    let temperatures = g.table("temperatures", temperatures).unwrap();
    g.output("temperatures", temperatures);
    let biases = Table::LinearBiases { head: Axis::new("h", "q"), key: Axis::new("j", "k") };
    let biases = g.table("linear biases", biases).unwrap();
    g.output("linear biases", biases);
    for (span, max_distance) in [(6, Some(40)), (2, None)] {
        let (query, key) = (Axis::new("i", "q"), Axis::new("j", "k"));
        let name = format!("rows {span}");
        let rows = Table::DistanceRows { span, max_distance, query, key };
        let ids = g.table(&name, rows).unwrap();
        g.output(&name, ids);
    }
    for (s, d, y, x, q, k, o) in [
        (1, 0, 1, 1, 1, 1, 0),
        (3, 1, 2, 3, 9, 90, 4),
        (4, 2, 1, 2, 80, 3, 0),
        (2, 0, 3, 2, 5, 70, 60),
        (3, 2, 2, 1, 0, 4, 2),
    ] {
        let sizes = [("s", s), ("d", d), ("y", y), ("x", x), ("q", q), ("k", k), ("o", o)];
        assert_same(&g, &sizes);
    }
}
