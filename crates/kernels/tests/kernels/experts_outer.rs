//! Outer products added up by expert against loops.

use opledger_kernels::{KernelError, NoMeter, OuterProducts, experts_outer};
use proptest::prelude::*;

use crate::common::{Ops, assert_close, bound, data, run, wide};

fn check([rows, choices, count, width, terms]: [usize; 5], ids: &[i64]) {
    let (y, x) = (data(rows * choices * width, 1), data(rows * terms, 2));
    let (first, second) = (wide(&y), wide(&x));
    let mut ops = Ops::default();
    let mut expected = vec![0.0; count * width * terms];
    for (place, id) in ids.iter().enumerate() {
        for f in 0..width {
            for c in 0..terms {
                let term = ops.mul(first[place * width + f], second[place / choices * terms + c]);
                let at = (*id as usize * width + f) * terms + c;
                expected[at] = ops.add(expected[at], term);
            }
        }
    }
    let problem = OuterProducts { y: &y, ids, x: &x, choices, experts: count, width, terms };
    let (out, [tally]) = run(expected.len(), |out, [meter]| {
        experts_outer(&problem, out, meter).unwrap();
    });
    assert_eq!(tally.useful, ops.counts);
    assert_close(&out, &expected, bound(ids.len()));
}

fn drawn(len: usize, count: usize) -> Vec<i64> {
    data(len, 3).iter().map(|x| ((x + 1.0) / 2.0 * count as f32) as i64 % count as i64).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_size_agrees_with_loops(
        rows in 0usize..30, choices in 1usize..4, count in 1usize..9, width in 0usize..40, terms in 0usize..40,
    ) {
        check([rows, choices, count, width, terms], &drawn(rows * choices, count));
    }
}

#[test]
fn several_blocks_agree_with_loops() {
    check([600, 2, 3, 40, 70], &drawn(1200, 3));
    check([700, 1, 4, 65, 33], &[2; 700]);
    check([1, 2, 8, 200, 300], &[7, 0]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (y, x, mut out) = ([0.0; 8], [0.0; 6], [0.0; 24]);
    let fits = OuterProducts {
        y: &y,
        ids: &[0, 3, 1, 1],
        x: &x,
        choices: 2,
        experts: 4,
        width: 2,
        terms: 3,
    };
    let mut apply = |problem: OuterProducts<'_>| experts_outer(&problem, &mut out, &NoMeter);
    assert_eq!(apply(fits), Ok(()));
    for id in [4, -1] {
        let ids = [0, 1, id, 9];
        let outside = KernelError::IdOutOfRange { id, position: 2, bound: 4 };
        assert_eq!(apply(OuterProducts { ids: &ids, ..fits }), Err(outside));
    }
    let length = |result| assert!(matches!(result, Err(KernelError::Length { .. })), "{result:?}");
    length(apply(OuterProducts { y: &y[..5], ..fits }));
    length(apply(OuterProducts { x: &x[1..], ..fits }));
    length(apply(OuterProducts { choices: 3, ..fits }));
    length(apply(OuterProducts { choices: 0, ..fits }));
    length(apply(OuterProducts { experts: 3, ..fits }));
}
