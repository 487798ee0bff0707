//! The theorem over operations that no layer records.

use super::assert_proved;
use opledger_dims::Binding;
use opledger_ir::ops::{ArithmeticKind, Convolution, Pointwise, Pool, PoolKind, Source};
use opledger_ir::{Axis, Graph};

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

/// Convolutions over one to three axes, fixed and free, in one group and in several.
#[test]
fn convolutions_of_every_layout() {
    let number = |name: &str, size: i64| Axis::new(name, size);
    let mut g = Graph::new();
    let x =
        g.input("x", [Axis::from("b"), number("i", 6), number("s", 9), number("t", 10)]).unwrap();
    for (name, [o, groups], [stride, k, d], padding) in [
        ("dense", [20, 1], [1, 3, 1], (1, 1)),
        ("strided", [6, 1], [2, 3, 1], (1, 0)),
        ("grouped", [8, 2], [1, 2, 3], (2, 1)),
        ("depthwise", [6, 6], [1, 3, 1], (1, 1)),
        ("pointwise", [7, 1], [1, 1, 1], (0, 0)),
        ("one", [1, 1], [3, 2, 2], (0, 3)),
    ] {
        let weight = [number("o", o), number("i", 6 / groups), number("k", k), number("l", k)];
        let weight = g.param(name, Source::weight(9), weight).unwrap();
        let results = |s: i64| (s + padding.0 + padding.1 - d * (k - 1) - 1) / stride + 1;
        let axes =
            [Axis::from("b"), number("o", o), number("r", results(9)), number("r'", results(10))];
        let padding = [(padding.0 as usize, padding.1 as usize); 2];
        let (strides, dilations) = ([stride as usize; 2], [d as usize; 2]);
        let op = Convolution::new(axes, &strides, &padding, &dilations, groups as usize);
        let y = g.convolution(&format!("of {name}"), x, weight, op).unwrap();
        g.output(name, y);
    }
    for b in [0, 1, 3] {
        assert_proved(&g, &Binding::from_iter([("b", b)]));
    }
    let mut g = Graph::new();
    let x = g.input("x", ["b", "i", "s"]).unwrap();
    let w = g.param("w", Source::weight("i"), ["o", "i", "k"]).unwrap();
    let axes = ["b", "o", "r"];
    let padded = Convolution::new(axes, &[2], &[(2, 1)], &[1], 1);
    let padded = g.convolution("padded", x, w, padded).unwrap();
    g.output("padded", padded);
    let volume = ["b", "i", "s", "t", "u"].map(Axis::from);
    let volume = g.input("volume", volume).unwrap();
    let cube = g.param("cube", Source::weight("i"), ["o", "i", "k", "l", "m"]).unwrap();
    let axes = ["b", "o", "x", "y", "z"];
    let op = Convolution::new(axes, &[1, 2, 1], &[(0, 0), (1, 1), (0, 2)], &[1, 1, 2], 1);
    let of_volume = g.convolution("cubed", volume, cube, op).unwrap();
    g.output("volume", of_volume);
    for (b, i, o, s) in [(1, 1, 1, 5), (2, 3, 9, 11), (0, 2, 2, 6)] {
        let sizes = [("b", b), ("i", i), ("o", o), ("s", s), ("k", 4), ("r", (s + 3 - 4) / 2 + 1)];
        let cube = [("t", 5), ("u", 4), ("l", 3), ("m", 2), ("x", s - 3), ("y", 3), ("z", 4)];
        assert_proved(&g, &Binding::from_iter(sizes.into_iter().chain(cube)));
    }
}

#[test]
fn pools_of_every_kind() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "c", "s", "t"]).unwrap();
    let kinds = [PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding];
    for (i, kind) in kinds.into_iter().enumerate() {
        let axes = ["b", "c", "r", "q"].map(Axis::from);
        let pool = Pool::new(kind, axes, &[3, 2], &[2, 1], &[(1, 1), (0, 1)]);
        let pool = g.pool(x, pool).unwrap();
        g.output(&format!("pool {i}"), pool);
        let partial = ["b", "c", "s", "p"].map(Axis::from);
        let partial = Pool::new(kind, partial, &[3], &[3], &[(0, 0)]);
        let partial = g.pool(x, Pool { partial: true, ..partial }).unwrap();
        g.output(&format!("partial {i}"), partial);
    }
    for (b, c, s, t) in [(1, 1, 1, 5), (2, 3, 9, 11), (0, 2, 6, 3), (3, 40, 12, 30)] {
        let of = [("r", (s - 1) / 2 + 1), ("q", t), ("p", (t - 3 + 2) / 3 + 1)];
        let sizes = [("b", b), ("c", c), ("s", s), ("t", t)];
        assert_proved(&g, &Binding::from_iter(sizes.into_iter().chain(of)));
    }
}

#[test]
fn what_runs_along_an_axis() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let ids = g.input_ids("ids", ["b", "n"], 9).unwrap();
    for (i, axis) in ["b", "n", "c"].into_iter().enumerate() {
        let sums = g.cumulative(x, axis).unwrap();
        g.output(&format!("sums {i}"), sums);
        let places = g.arg_max(sums, axis).unwrap();
        let places = g.to_real(places).unwrap();
        g.output(&format!("places {i}"), places);
    }
    let sums = g.cumulative(ids, "n").unwrap();
    let sums = g.to_real(sums).unwrap();
    g.output("sums of ids", sums);
    for (b, n, c) in [(1, 1, 1), (2, 5, 3), (3, 40, 33)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("n", n), ("c", c)]));
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
