//! Windows that slide along axes against textbook loops.

use opledger_kernels::*;
use proptest::prelude::*;

use crate::common::{Ops, assert_close, bound, data, run_one};

/// Where a tap of a result stands on the input, if it does.
fn place(axis: &SlidingAxis, result: usize, tap: usize) -> Option<usize> {
    let place = (result * axis.stride + tap * axis.dilation).checked_sub(axis.before)?;
    (place < axis.input).then_some(place)
}

/// Every index of axes of these sizes.
fn all(sizes: &[usize]) -> Vec<Vec<usize>> {
    sizes.iter().fold(vec![Vec::new()], |indices, size| {
        let longer = |index: Vec<usize>| {
            (0..*size).map(move |i| [&index[..], &[i]].concat()).collect::<Vec<_>>()
        };
        indices.into_iter().flat_map(longer).collect()
    })
}

/// Where an index stands in row-major order.
fn flat(sizes: &[usize], index: &[usize]) -> usize {
    sizes.iter().zip(index).fold(0, |at, (size, i)| at * size + i)
}

fn check([batch, groups, inputs, outputs]: [usize; 4], axes: &[SlidingAxis]) {
    let sizes = |of: fn(&SlidingAxis) -> usize| axes.iter().map(of).collect::<Vec<usize>>();
    let (input, taps, results) =
        (sizes(|axis| axis.input), sizes(|axis| axis.taps), sizes(|axis| axis.results));
    let len = |sizes: &[usize]| sizes.iter().product::<usize>();
    let x = data(batch * groups * inputs * len(&input), 1);
    let weight = data(groups * outputs * inputs * len(&taps), 2);
    let (mut ops, mut expected) = (Ops::default(), Vec::new());
    let every_tap = all(&taps);
    for item in 0..batch {
        for channel in 0..groups * outputs {
            for result in all(&results) {
                let mut terms = Vec::new();
                for i in 0..inputs {
                    for tap in &every_tap {
                        let along = axes.iter().zip(&result).zip(tap);
                        let at: Option<Vec<usize>> =
                            along.map(|((axis, result), tap)| place(axis, *result, *tap)).collect();
                        let Some(at) = at else { continue };
                        let from = (item * groups + channel / outputs) * inputs + i;
                        let a = x[from * len(&input) + flat(&input, &at)];
                        let b = weight[(channel * inputs + i) * len(&taps) + flat(&taps, tap)];
                        terms.push(ops.mul(a.into(), b.into()));
                    }
                }
                expected.push(if terms.is_empty() { 0.0 } else { ops.sum(&terms) });
            }
        }
    }
    let problem = Convolution { batch, groups, inputs, outputs, axes, x: &x, weight: &weight };
    let out = run_one(expected.len(), &ops, |out, m| convolution(&problem, out, m).unwrap());
    assert_close(&out, &expected, bound(inputs * len(&taps)));
}

fn check_pool(items: usize, axes: &[SlidingAxis], after: usize) {
    let sizes = |of: fn(&SlidingAxis) -> usize| axes.iter().map(of).collect::<Vec<usize>>();
    let (input, taps, results) =
        (sizes(|axis| axis.input), sizes(|axis| axis.taps), sizes(|axis| axis.results));
    let len = input.iter().product::<usize>();
    let x = data(items * len, 3);
    let after = vec![after; axes.len()];
    for pooling in [Pooling::Max, Pooling::Mean, Pooling::MeanWithPadding(&after)] {
        let (mut ops, mut expected) = (Ops::default(), Vec::new());
        for (item, result) in
            (0..items).flat_map(|item| all(&results).into_iter().map(move |r| (item, r)))
        {
            let (mut elements, mut on_padded) = (Vec::<f64>::new(), 0);
            for tap in all(&taps) {
                let along = || axes.iter().zip(&result).zip(&tap);
                let at: Option<Vec<usize>> =
                    along().map(|((axis, result), tap)| place(axis, *result, *tap)).collect();
                elements.extend(at.map(|at| f64::from(x[item * len + flat(&input, &at)])));
                let counts = along().zip(&after).all(|(((axis, result), tap), after)| {
                    result * axis.stride + tap * axis.dilation < axis.before + axis.input + after
                });
                on_padded += usize::from(counts);
            }
            expected.push(match pooling {
                Pooling::Max => {
                    let mut greatest = elements[0];
                    elements[1..].iter().for_each(|x| greatest = ops.max(greatest, *x));
                    greatest
                }
                Pooling::Mean => {
                    let sum = ops.sum(&elements);
                    ops.div(sum, elements.len() as f64)
                }
                Pooling::MeanWithPadding(_) => {
                    let sum = ops.sum(&elements);
                    ops.div(sum, on_padded as f64)
                }
            });
        }
        let out = run_one(expected.len(), &ops, |out, m| {
            pool(pooling, items, axes, &x, out, m).unwrap();
        });
        assert_close(&out, &expected, bound(taps.iter().product()));
    }
}

fn sliding() -> impl Strategy<Value = SlidingAxis> {
    (0usize..9, 1usize..5, 1usize..4, 0usize..5, 1usize..4, 0usize..3).prop_map(
        |(input, taps, stride, before, dilation, more)| {
            let results = input / stride + more;
            SlidingAxis { input, taps, results, stride, before, dilation }
        },
    )
}

proptest! {
    #[test]
    fn agrees_with_loops(
        channels in [0usize..3, 1usize..4, 1usize..4, 1usize..8],
        axes in prop::collection::vec(sliding(), 1..4),
    ) {
        check(channels, &axes);
    }
}

proptest! {
    #[test]
    fn pools_agree_with_loops(
        items in 0usize..4,
        axes in prop::collection::vec(sliding(), 1..4),
        after in 0usize..3,
    ) {
        // No window lies on padding alone.
        let met = |axis: SlidingAxis| {
            let input = axis.input + 1;
            let dilation = axis.dilation.min(input);
            let before = axis.before.min((axis.taps - 1) * dilation);
            let results = axis.results.min((before + input - 1) / axis.stride + 1);
            SlidingAxis { input, results, before, dilation, ..axis }
        };
        let axes: Vec<_> = axes.into_iter().map(met).collect();
        check_pool(items, &axes, after);
    }
}

#[test]
fn several_tasks_agree_with_loops() {
    let line = |input, taps, stride, before, dilation| {
        let results = (input + 2 * before - dilation * (taps - 1) - 1) / stride + 1;
        SlidingAxis { input, taps, results, stride, before, dilation }
    };
    check([2, 1, 3, 20], &[line(40, 3, 1, 1, 1), line(37, 3, 1, 1, 1)]);
    check([1, 1, 3, 8], &[line(64, 7, 2, 3, 1), line(64, 7, 2, 3, 1)]);
    check([2, 40, 1, 1], &[line(30, 3, 1, 1, 1), line(30, 3, 1, 1, 1)]);
    check([1, 1, 70, 100], &[line(1500, 1, 1, 0, 1)]);
    check([1, 2, 130, 9], &[line(9, 3, 1, 1, 1), line(11, 3, 1, 1, 1)]);
    check_pool(40, &[line(40, 3, 2, 1, 1), line(37, 3, 1, 1, 1)], 1);
    check([1, 1, 4, 5], &[line(9, 2, 1, 0, 2), line(9, 3, 2, 1, 1), line(11, 3, 1, 2, 2)]);
}

#[test]
fn a_pool_keeps_nan_and_refuses_a_window_on_padding() {
    let axis = SlidingAxis { input: 4, taps: 2, results: 3, stride: 1, before: 0, dilation: 1 };
    let (x, mut out) = ([1.0, f32::NAN, 0.0, 2.0], [0.0; 3]);
    pool(Pooling::Max, 1, &[axis], &x, &mut out, &NoMeter).unwrap();
    assert!(out[0].is_nan() && out[1].is_nan() && out[2] == 2.0, "{out:?}");
    let far = SlidingAxis { before: 2, ..axis };
    let error = pool(Pooling::Max, 1, &[far], &x, &mut out, &NoMeter).unwrap_err();
    assert_eq!(error, KernelError::EmptyReduction { what: "a window" });
    let after = Pooling::MeanWithPadding(&[]);
    let error = pool(after, 1, &[axis], &x, &mut out, &NoMeter).unwrap_err();
    assert!(matches!(error, KernelError::Length { .. }));
}

#[test]
fn wrong_sizes_are_errors() {
    let axis = SlidingAxis { input: 4, taps: 2, results: 3, stride: 1, before: 0, dilation: 1 };
    let (x, weight, mut out) = ([1.0; 4], [1.0; 2], [0.0; 3]);
    let mut run = |axes: &[SlidingAxis], x: &[f32], weight: &[f32], inputs| {
        let problem = Convolution { batch: 1, groups: 1, inputs, outputs: 1, axes, x, weight };
        convolution(&problem, &mut out, &NoMeter)
    };
    assert_eq!(run(&[axis], &x, &weight, 1), Ok(()));
    assert!(matches!(run(&[axis], &x[1..], &weight, 1), Err(KernelError::Length { .. })));
    assert!(matches!(run(&[axis], &x, &weight[1..], 1), Err(KernelError::Length { .. })));
    assert!(matches!(run(&[], &x, &weight, 1), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&[axis; 4], &x, &weight, 1), Err(KernelError::Shape { .. })));
    let still = SlidingAxis { stride: 0, ..axis };
    assert!(matches!(run(&[still], &x, &weight, 1), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&[axis], &[], &[], 0), Err(KernelError::EmptyReduction { .. })));
}
