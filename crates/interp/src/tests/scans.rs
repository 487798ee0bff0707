//! Repetitions that carry several values, cut stacks and make others.

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, GraphError, Scan, ScanValues, Var};
use opledger_tensor::Tensor;

use crate::{Fast, Feeds, Oracle, prove};

/// Sums of rows, running and total, in either direction: `[l, n]` to `[n]` and `[l, n]`, of twice each
/// row.
fn running_sums(reverse: bool) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", ["l", "n"]).unwrap();
    let start = g.input("start", ["n"]).unwrap();
    let scope = g.repeated("rows", "l");
    let scale = g.enter(&scope).param("scale", Source::gain(), ["n"]).unwrap();
    let scan = Scan { carried: vec![start, start], stacks: vec![x], reverse, ..Scan::default() };
    let results = g
        .scan(&scope, &scan, |g, at| -> Result<ScanValues, GraphError> {
            let row = g.mul("", at.stacked[0], scale)?;
            let sum = g.add("", at.carried[0], row)?;
            Ok(ScanValues { carried: vec![sum, at.carried[1]], stacked: vec![sum] })
        })
        .unwrap();
    g.output("sum", results.carried[0]);
    g.output("kept", results.carried[1]);
    g.output("sums", results.stacked[0]);
    g
}

#[test]
fn a_scan_carries_values_and_stacks_others_in_either_direction() {
    for (rows, reverse) in [(3, false), (3, true), (1, true), (0, false)] {
        let graph = running_sums(reverse);
        let sizes = Binding::from_iter([("l", rows as u64), ("n", 2)]);
        let x: Vec<f32> = (0..2 * rows).map(|i| i as f32).collect();
        let mut feeds = Feeds::seeded(1)
            .with("x", Tensor::new(&[rows, 2], x.clone()).unwrap())
            .with("start", Tensor::new(&[2], vec![100.0, 200.0]).unwrap());
        for row in 0..rows {
            let twice = Tensor::new(&[2], vec![(row + 1) as f32; 2]).unwrap();
            feeds = feeds.with(&format!("rows.{row}.scale"), twice);
        }
        let mut order: Vec<usize> = (0..rows).collect();
        if reverse {
            order.reverse();
        }
        let (mut sum, mut sums) = ([100.0_f32, 200.0], vec![0.0_f32; 2 * rows]);
        for row in order {
            for n in 0..2 {
                sum[n] += x[2 * row + n] * (row + 1) as f32;
                sums[2 * row + n] = sum[n];
            }
        }
        let proof = prove(&graph, &sizes, &feeds).unwrap();
        assert!(proof.theorem.holds(), "{:?}", proof.theorem.mismatches);
        let fast = Fast::new().unwrap().run(&graph, &sizes, &feeds).unwrap();
        let exact = Oracle::<f32>::new().run(&graph, &sizes, &feeds).unwrap();
        let numbers = |name: &str| {
            let own: Vec<f32> = fast.output(name).unwrap().iter().copied().collect();
            let exact: Vec<f32> = exact.output(name).unwrap().iter().map(|x| x.0).collect();
            assert_eq!(own, exact);
            own
        };
        assert_eq!((numbers("sum"), numbers("sums")), (sum.to_vec(), sums), "{rows} {reverse}");
        assert_eq!(numbers("kept"), [100.0, 200.0]);
        let foreseen = graph.footprint(&fast.binding, 4).unwrap().computed();
        assert!(Integer::from(fast.peak.unwrap().held) <= foreseen);
    }
}

/// A gain that is made outside the inner repetition is one for all its iterations, and what it is
/// applied by belongs to each of them.
#[test]
fn iterations_share_the_parameters_of_a_layer_that_is_made_outside() {
    let mut g = Graph::new();
    let x = g.input("x", ["n"]).unwrap();
    let blocks = g.repeated("blocks", "o");
    let shared = g.enter(&blocks).scope("shared").here();
    let gain = g.enter(&shared).param("gain", Source::gain(), ["n"]).unwrap();
    let layers = g.enter(&blocks).repeated("layers", "l");
    let y = g.repeat(&blocks, x, |g, x| -> Result<Var, GraphError> {
        let gained = |g: &mut Graph, x| g.enter(&shared).mul("", x, gain);
        let y = g.repeat(&layers, x, gained)?;
        // Behind the inner repetition: once for each block.
        g.enter(&shared).add("", y, gain)
    });
    g.output("y", y.unwrap());
    assert_eq!(g.parameters().0.to_string(), "n·o");
    assert_eq!(g.cost().total().to_string(), "add = n·o, mul = l·n·o");
    for (o, l) in [(2, 3), (1, 1), (3, 0)] {
        let sizes = Binding::from_iter([("o", o as u64), ("l", l as u64), ("n", 1)]);
        let one = |value: f32| Tensor::new(&[1], vec![value]).unwrap();
        let mut feeds = Feeds::seeded(1).with("x", one(3.0));
        let mut expected = 3.0_f32;
        for block in 0..o {
            let gain = (block + 2) as f32;
            feeds = feeds.with(&format!("blocks.{block}.shared.gain"), one(gain));
            expected = expected * gain.powi(l) + gain;
        }
        let proof = prove(&g, &sizes, &feeds).unwrap();
        assert!(proof.theorem.holds(), "{:?}", proof.theorem.mismatches);
        let run = Fast::new().unwrap().run(&g, &sizes, &feeds).unwrap();
        assert_eq!(run.output("y").unwrap().iter().copied().collect::<Vec<_>>(), [expected]);
    }
}
