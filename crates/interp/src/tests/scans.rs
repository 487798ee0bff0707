//! Repetitions that carry several values, cut stacks and make others.

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, GraphError, Scan, ScanValues};
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
