//! Products by the weights of chosen experts against loops.

use opledger_kernels::{ExpertMatrices, Experts, KernelError, NoMeter, experts};
use proptest::prelude::*;

use crate::common::{Ops, assert_close, bound, data, run, wide};

fn check([rows, choices, count, width, terms]: [usize; 5], ids: &[i64]) {
    let (x, mut weight) = (data(rows * terms, 1), data(count * width * terms, 2));
    // What nobody chose is not read.
    for expert in (0..count).filter(|expert| !ids.contains(&(*expert as i64))) {
        weight[expert * width * terms..][..width * terms].fill(f32::NAN);
    }
    let mut ops = Ops::default();
    let mut expected = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let row = wide(&x[place / choices * terms..][..terms]);
        for column in 0..width {
            let at = (*id as usize * width + column) * terms;
            expected.push(ops.dot(&row, &wide(&weight[at..][..terms])));
        }
    }
    let problem = Experts {
        x: &x,
        choices,
        ids,
        weight: ExpertMatrices::Plain(&weight),
        experts: count,
        width,
        terms,
    };
    let (out, [tally]) = run(ids.len() * width, |out, [meter]| {
        experts(&problem, out, meter).unwrap();
    });
    assert_eq!(tally.useful, ops.counts);
    assert_close(&out, &expected, bound(terms));
}

fn drawn(len: usize, count: usize) -> Vec<i64> {
    data(len, 3).iter().map(|x| ((x + 1.0) / 2.0 * count as f32) as i64 % count as i64).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_size_agrees_with_loops(
        rows in 0usize..30, choices in 1usize..4, count in 1usize..9, width in 0usize..40, terms in 1usize..40,
    ) {
        check([rows, choices, count, width, terms], &drawn(rows * choices, count));
    }
}

#[test]
fn several_tasks_and_blocks_agree_with_loops() {
    check([600, 2, 3, 40, 70], &drawn(1200, 3));
    check([700, 1, 4, 65, 33], &[2; 700]);
    check([1, 2, 8, 700, 900], &[7, 0]);
    check([3, 2, 8, 300, 1100], &[1, 5, 5, 1, 1, 1]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (x, weight, mut out) = ([0.0; 6], [0.0; 24], [0.0; 8]);
    let fits = Experts {
        x: &x,
        choices: 2,
        ids: &[0, 3, 1, 1],
        weight: ExpertMatrices::Plain(&weight),
        experts: 4,
        width: 2,
        terms: 3,
    };
    let mut apply = |problem: Experts<'_>| experts(&problem, &mut out, &NoMeter);
    assert_eq!(apply(fits), Ok(18));
    for id in [4, -1] {
        let ids = [0, 1, id, 9];
        let outside = KernelError::IdOutOfRange { id, position: 2, bound: 4 };
        assert_eq!(apply(Experts { ids: &ids, ..fits }), Err(outside));
    }
    let length = |result| assert!(matches!(result, Err(KernelError::Length { .. })), "{result:?}");
    length(apply(Experts { x: &x[..5], ..fits }));
    length(apply(Experts { weight: ExpertMatrices::Plain(&weight[1..]), ..fits }));
    length(apply(Experts { choices: 3, ..fits }));
    length(apply(Experts { choices: 0, ..fits }));
    length(apply(Experts { ids: &[0, 1], ..fits }));
    let none = apply(Experts { terms: 0, ..fits });
    assert!(matches!(none, Err(KernelError::EmptyReduction { .. })));
}
