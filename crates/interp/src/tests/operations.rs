//! The theorem over operations that no layer records.

use super::assert_proved;
use opledger_dims::Binding;
use opledger_ir::Graph;
use opledger_ir::ops::{ArithmeticKind, Pointwise};

#[test]
fn functions_with_constants() {
    use Pointwise::*;
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n"]).unwrap();
    let positive = g.pointwise(x, Abs).unwrap();
    let positive = g.pointwise(positive, Shift(0.5)).unwrap();
    let of_positive = [Log, Log2, Log10, Sqrt, Rsqrt, Reciprocal, Power(1.5), Power(-0.5)];
    let of_any = [
        Neg,
        Exp,
        Exp2,
        Expm1,
        Log1p,
        Sin,
        Cos,
        Tan,
        Erf,
        Power(0.0),
        Power(2.0),
        Power(5.0),
        Clamp { min: Some(-0.5), max: None },
        Clamp { min: Some(-0.1), max: Some(0.5) },
        LeakyRelu(0.1),
        Elu(1.3),
        Celu(1.3),
        Selu,
        HardSigmoid,
        HardSwish,
        Mish,
        LogSigmoid,
        Softsign,
        Floor,
        Ceil,
        Round,
        Sign,
    ];
    let functions = of_any.map(|f| (x, f)).into_iter().chain(of_positive.map(|f| (positive, f)));
    for (i, (of, function)) in functions.enumerate() {
        let y = g.pointwise(of, function).unwrap();
        g.output(&format!("{i} {function:?}"), y);
    }
    for (b, n) in [(1, 1), (0, 3), (3, 50)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("n", n)]));
    }
}

#[test]
fn operations_on_two_numbers_and_choices() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let y = g.input("y", ["c", "b"]).unwrap();
    let positive = g.pointwise(x, Pointwise::Exp).unwrap();
    let condition = g.input_mask("condition", ["n", "b"]).unwrap();
    let half = g.fill(["c"], 0.5).unwrap();
    let (axes, turned) = (["b", "n", "c"], ["c", "b", "n"]);
    let of_mask = g.to_real(condition).unwrap();
    for (name, var) in [
        ("sub", g.arithmetic("", ArithmeticKind::Sub, x, y)),
        ("max", g.arithmetic("", ArithmeticKind::Max, x, y)),
        ("min", g.arithmetic("", ArithmeticKind::Min, x, y)),
        ("pow", g.arithmetic("", ArithmeticKind::Pow, positive, y)),
        ("select", g.select(axes, condition, x, y)),
        ("turned", g.select(turned, condition, half, x)),
        ("masked", g.mul("", x, of_mask)),
    ] {
        g.output(name, var.unwrap());
    }
    for (b, n, c) in [(1, 1, 1), (2, 0, 3), (3, 5, 7), (2, 70, 33)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("n", n), ("c", c)]));
    }
}
