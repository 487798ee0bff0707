//! The theorem over operations that no layer records.

use super::assert_proved;
use opledger_dims::Binding;
use opledger_ir::ops::{
    ArithmeticKind, CompareKind, Convolution, ConvolutionTransposed, Interpolation, Pointwise,
    Pool, PoolKind, ScatterKind, Source, Table,
};
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
        Atan,
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
fn pools_to_a_number_of_results() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "c", "s", "t"]).unwrap();
    for (i, kind) in [PoolKind::Max, PoolKind::Mean].into_iter().enumerate() {
        let plane = g.adaptive_pool(x, kind, 2, ["b", "c", "r", "q"]).unwrap();
        g.output(&format!("plane {i}"), plane);
        let line = g.adaptive_pool(x, kind, 3, ["b", "c", "s", "q"]).unwrap();
        g.output(&format!("line {i}"), line);
    }
    for (b, c, s, t, r, q) in
        [(1, 1, 1, 1, 1, 1), (2, 3, 7, 5, 3, 7), (0, 1, 2, 2, 2, 2), (3, 9, 14, 11, 7, 4)]
    {
        let sizes = [("b", b), ("c", c), ("s", s), ("t", t), ("r", r), ("q", q)];
        assert_proved(&g, &Binding::from_iter(sizes));
    }
}

#[test]
fn transposed_convolutions_in_one_group_and_in_several() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "i", "s", "t"]).unwrap();
    let strides = [2, 3];
    let weight = |g: &mut Graph, name: &str, out: &str, taps: [i64; 2]| {
        let axes =
            [Axis::from("i"), Axis::from(out), Axis::new("k", taps[0]), Axis::new("l", taps[1])];
        g.param(name, Source::weight("i"), axes).unwrap()
    };
    let one = weight(&mut g, "one", "o", [3, 2]);
    let op =
        ConvolutionTransposed::new(["b", "o", "r", "q"], &strides, &[(1, 0), (0, 1)], &[1, 2], 1);
    let one = g.convolution_transposed("", x, one, op).unwrap();
    g.output("one", one);
    let apart = weight(&mut g, "apart", "p", [2, 3]);
    let op = ConvolutionTransposed::new(
        [
            Axis::from("b"),
            Axis::new("o", opledger_dims::Poly::from("p") * 2),
            Axis::from("u"),
            Axis::from("v"),
        ],
        &[1, 1],
        &[(0, 0), (1, 1)],
        &[1, 1],
        2,
    );
    let apart = g.convolution_transposed("", x, apart, op).unwrap();
    g.output("apart", apart);
    for (b, i, s, t, o, p) in
        [(1, 2, 1, 1, 1, 1), (2, 4, 5, 3, 3, 2), (0, 2, 2, 2, 1, 1), (2, 6, 9, 20, 5, 3)]
    {
        // Reached, and what is cut off and added.
        let (r, q) = ((s - 1) * 2 + 3 - 1, (t - 1) * 3 + 3 - 1 + 2);
        let sizes =
            [("b", b), ("i", i), ("s", s), ("t", t), ("o", o), ("p", p), ("r", r), ("q", q)];
        let more = [("u", s + 1), ("v", t)];
        assert_proved(&g, &Binding::from_iter(sizes.into_iter().chain(more)));
    }
}

#[test]
fn places_along_several_axes() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let v = g.input("v", ["k", "b", "c"]).unwrap();
    let few = g.input("few", ["b", "k"]).unwrap();
    let rows = g.input_ids("rows", ["k", "b"], "n").unwrap();
    let columns = g.input_ids("columns", ["k"], "c").unwrap();
    let ids = g.input_ids("ids", ["n", "b"], 9).unwrap();
    let more = g.input_ids("more", ["b", "k"], 9).unwrap();
    let found = g.gather_nd(x, ["k", "c", "b"], &[("n", rows)]).unwrap();
    g.output("found", found);
    let found = g.gather_nd(x, ["b", "k"], &[("c", columns), ("n", rows)]).unwrap();
    g.output("found by two", found);
    for kind in [ScatterKind::Write, ScatterKind::Add, ScatterKind::Mul, ScatterKind::Max] {
        let written = g.scatter(kind, x, v, &[("n", rows)]).unwrap();
        g.output(&format!("{kind:?}"), written);
        let written = g.scatter(kind, x, few, &[("n", rows), ("c", columns)]).unwrap();
        g.output(&format!("{kind:?} by two"), written);
        let whole = g.scatter(kind, ids, more, &[("n", rows)]).unwrap();
        let whole = g.to_real(whole).unwrap();
        g.output(&format!("{kind:?} of ids"), whole);
    }
    let places = g.arg_max(ids, "n").unwrap();
    let places = g.to_real(places).unwrap();
    g.output("largest id", places);
    for kind in [Interpolation::Linear, Interpolation::Cubic] {
        let tap = Axis::new("tap", kind.taps());
        let [n, c] = ["n", "c"].map(opledger_dims::Poly::from);
        let source = [&n * 2, &n - &c, &c * 2];
        let weights = g.table("", Table::Interpolation { kind, source, result: "c".into(), tap });
        g.output(&format!("{kind:?}"), weights.unwrap());
        let wide = Axis::new("wide", &n * 4 + opledger_dims::Poly::from(5));
        let table = Table::Antialiased {
            kind,
            scale: [n.clone(), c.clone()],
            input: n.clone(),
            result: "c".into(),
            tap: wide,
        };
        let weights = g.table("", table).unwrap();
        g.output(&format!("{kind:?} spread"), weights);
    }
    for (b, n, c, k) in [(1, 1, 1, 1), (2, 5, 3, 4), (0, 2, 2, 1), (3, 40, 7, 90)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("n", n), ("c", c), ("k", k)]));
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
        let products = g.cumulative_product(x, axis).unwrap();
        g.output(&format!("products {i}"), products);
        let places = g.arg_max(sums, axis).unwrap();
        let places = g.to_real(places).unwrap();
        g.output(&format!("places {i}"), places);
    }
    let sums = g.cumulative(ids, "n").unwrap();
    let sums = g.to_real(sums).unwrap();
    g.output("sums of ids", sums);
    let products = g.cumulative_product(ids, "n").unwrap();
    let products = g.to_real(products).unwrap();
    g.output("products of ids", products);
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
    use CompareKind::{AtMost, Equal, Less};
    for (kind, axes, a, b) in [(Less, axes, x, y), (AtMost, axes, y, x), (Equal, turned, x, x)] {
        let truths = g.compare(kind, axes, a, b).unwrap();
        let truths = g.to_real(truths).unwrap();
        g.output(&format!("{kind:?}"), truths);
    }
    for (b, n, c) in [(1, 1, 1), (2, 0, 3), (3, 5, 7), (2, 70, 33)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("n", n), ("c", c)]));
    }
}

/// Rows between which sums lie are copied into matrices, one after the other for each item.
#[test]
fn products_of_matrices_that_are_copied() {
    let mut g = Graph::new();
    let x = g.input("x", ["k", "a", "d", "f"]).unwrap();
    let y = g.input("y", ["k", "g", "d"]).unwrap();
    for (name, text) in
        [("left", "k a d f, k g d -> k a f g"), ("right", "k g d, k a d f -> k g a f")]
    {
        let (left, right) = if name == "left" { (x, y) } else { (y, x) };
        let z = g.einsum(text, left, right).unwrap();
        g.output(name, z);
    }
    for (a, d, f, k) in [(2, 3, 5, 4), (7, 1, 2, 3), (1, 2, 3, 1)] {
        let sizes = Binding::from_iter([("a", a), ("d", d), ("f", f), ("k", k), ("g", 3)]);
        assert_proved(&g, &sizes);
    }
}
