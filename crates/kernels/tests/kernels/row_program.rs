//! Several steps over rows as one kernel, against each by its own.

use opledger_kernels::*;

use crate::common::{data, meters};

/// A norm's gradients: steps on elements, on rows, and on both, with every kind of operand.
fn steps<'a>(
    x: &'a [f32],
    per_row: &'a [f32],
    per_column: &'a [f32],
    one: &'a [f32],
) -> Vec<RowStep<'a>> {
    use RowOperand::{Elements, One, PerColumn, PerRow, Step};
    vec![
        RowStep::Reduce(Reduction::Mean, Elements(x)),
        RowStep::Binary(BinaryOp::Sub, [Elements(x), Step(0)]),
        RowStep::Binary(BinaryOp::Mul, [Step(1), Step(1)]),
        RowStep::Reduce(Reduction::Sum, Step(2)),
        RowStep::Pointwise(Pointwise::Shift(0.5), Step(3)),
        RowStep::Binary(BinaryOp::Div, [Step(4), One(one)]),
        RowStep::Binary(BinaryOp::Max, [Step(5), PerRow(per_row)]),
        RowStep::Binary(BinaryOp::Mul, [Step(1), Step(6)]),
        RowStep::Binary(BinaryOp::Add, [Step(7), PerColumn(per_column)]),
        RowStep::Activation(Activation::GeluErf, Step(8)),
        RowStep::Scale(0.25, Step(9)),
        RowStep::Reduce(Reduction::Max, Step(10)),
        RowStep::Binary(BinaryOp::Mul, [Step(10), Step(11)]),
        RowStep::Binary(BinaryOp::Sub, [Step(12), PerRow(per_row)]),
        RowStep::Binary(BinaryOp::Add, [Step(13), Elements(x)]),
    ]
}

/// The result of each step by its own kernel, which counts to the meter of its place.
fn one_by_one(
    steps: &[RowStep<'_>],
    [rows, width]: [usize; 2],
    meters: &[&AtomicMeter],
) -> Vec<Vec<f32>> {
    let mut made: Vec<Vec<f32>> = Vec::new();
    for (step, meter) in steps.iter().zip(meters) {
        let of = |operand: &RowOperand<'_>| match operand {
            RowOperand::Step(of) => made[*of].clone(),
            RowOperand::Elements(x)
            | RowOperand::PerRow(x)
            | RowOperand::PerColumn(x)
            | RowOperand::One(x) => x.to_vec(),
        };
        let out = match step {
            RowStep::Reduce(kind, x) => {
                let mut out = vec![0.0; rows];
                reduce(*kind, width, &of(x), &mut out, *meter).unwrap();
                out
            }
            RowStep::Binary(op, [a, b]) => {
                let column = matches!(b, RowOperand::PerColumn(_));
                let (a, b) = (of(a), of(b));
                let mut out = vec![0.0; a.len()];
                let strides: &[usize] = match b.len() {
                    1 => &[0, 0],
                    len if len == a.len() => &[a.len() / rows, 1],
                    _ if column => &[0, 1],
                    _ => &[1, 0],
                };
                let shape = [rows, a.len() / rows];
                let own = [shape[1], 1];
                let [a, b] = [(&a, &own[..]), (&b, strides)]
                    .map(|(data, strides)| Strided { data, strides });
                binary(*op, &shape, a, b, &mut out, *meter).unwrap();
                out
            }
            RowStep::Scale(factor, x) => {
                let (x, mut out) = (of(x), vec![0.0; of(x).len()]);
                scale(*factor, &x, &mut out, *meter).unwrap();
                out
            }
            RowStep::Activation(function, x) => {
                let (x, mut out) = (of(x), vec![0.0; of(x).len()]);
                activation(*function, &x, &mut out, *meter).unwrap();
                out
            }
            RowStep::Pointwise(function, x) => {
                let (x, mut out) = (of(x), vec![0.0; of(x).len()]);
                pointwise(*function, &x, &mut out, *meter).unwrap();
                out
            }
        };
        made.push(out);
    }
    made
}

#[test]
fn steps_give_the_bits_and_the_counts_of_their_own_kernels() {
    for [rows, width] in [[1, 1], [3, 7], [70, 33], [5, 5000], [600, 64]] {
        let (x, per_row) = (data(rows * width, 1), data(rows, 2));
        let (per_column, one) = (data(width, 3), data(1, 4));
        let all = steps(&x, &per_row, &per_column, &one);
        let ends = (1..=all.len()).filter(|len| !matches!(len, 1 | 4..=7 | 12));
        for len in ends {
            let steps = &all[..len];
            let (apart, together) = (meters(len), meters(len));
            let [apart, together] = [&apart, &together].map(|all| all.iter().collect::<Vec<_>>());
            let expected = one_by_one(steps, [rows, width], &apart);
            let mut out = vec![f32::NAN; rows * width];
            row_program(RowProgram { width, steps }, &mut out, &together).unwrap();
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&out), bits(&expected[len - 1]), "{len} steps of {rows}x{width}");
            for (at, (apart, together)) in apart.iter().zip(&together).enumerate() {
                assert_eq!(apart.read(), together.read(), "step {at} of {rows}x{width}");
            }
        }
    }
}

#[test]
fn what_a_step_needs_is_checked() {
    let (x, meter) = ([1.0; 6], AtomicMeter::new());
    let refused = |steps: &[RowStep<'_>]| {
        let meters = vec![&meter; steps.len()];
        row_program(RowProgram { width: 3, steps }, &mut [0.0; 6], &meters).is_err()
    };
    let sum = RowStep::Reduce(Reduction::Sum, RowOperand::Elements(&x));
    let scaled = |of| RowStep::Scale(2.0, of);
    assert!(!refused(&[scaled(RowOperand::Elements(&x))]));
    assert!(refused(&[sum]) && refused(&[]));
    assert!(refused(&[scaled(RowOperand::Step(0))]));
    assert!(refused(&[scaled(RowOperand::Elements(&x[1..]))]));
    assert!(refused(&[scaled(RowOperand::One(&x[..1]))]));
    let wide = [RowOperand::Step(0), RowOperand::Elements(&x)];
    assert!(refused(&[sum, RowStep::Binary(BinaryOp::Add, wide)]));
    let columns = [RowOperand::Step(0), RowOperand::PerColumn(&x[..3])];
    assert!(refused(&[sum, RowStep::Binary(BinaryOp::Add, columns)]));
    let twice = RowStep::Reduce(Reduction::Sum, RowOperand::Step(0));
    assert!(refused(&[sum, twice, scaled(RowOperand::Elements(&x))]));
}
