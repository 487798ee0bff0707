//! The theorem over single operations and small chains, by both interpreters.

mod biases;
mod bytes;
mod drawn;
mod executed;
mod graphs;
mod lies;
mod models;
mod moving;
mod operations;
mod scans;
mod weights;

use crate::{Fast, Feeds, Ledger, Observer, Oracle, Prepared, Quiet, RunError, prove};
use opledger_dims::Binding;
use opledger_ir::ops::{Activation, Dropout, Factor, IndexMap, Norm, Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, IndexExpr, Mask, Node, Scoring, Value, Var};

fn heads(g: &mut Graph, name: &str, token: &str, heads: &str, width: &str) -> Var {
    g.input(name, [Axis::from("b"), Axis::from(token), Axis::from(heads), Axis::from(width)])
        .unwrap()
}

fn attention(mask: impl Fn(&mut Graph) -> Mask, bias: bool) -> Graph {
    let mut g = Graph::new();
    let q = heads(&mut g, "q", "n", "h", "e");
    let k = heads(&mut g, "k", "m", "g", "e");
    let v = heads(&mut g, "v", "m", "g", "f");
    let mask = mask(&mut g);
    let bias = bias.then(|| g.input("bias", ["h", "n", "m"]).unwrap());
    let y = g.attention((q, k, v), mask, Some(Factor::InverseSqrt("e".into())), bias).unwrap();
    g.output("y", y);
    g
}

fn assert_proved(g: &Graph, binding: &Binding) {
    let proof = prove(g, binding, &Feeds::seeded(3)).unwrap();
    assert!(proof.theorem.holds(), "{}", proof.theorem.mismatches[0]);
    let oracle = Oracle::<f64>::new().run(g, binding, &Feeds::seeded(3)).unwrap();
    for (name, value) in &proof.fast.outputs {
        let exact = oracle.output_f64(name).unwrap();
        for (x, y) in value.real().unwrap().data().iter().zip(exact.data()) {
            assert!((f64::from(*x) - y).abs() < 1e-5, "{name}: {x} for {y}");
        }
    }
}

#[test]
fn attention_under_every_mask() {
    let hidden = |g: &mut Graph, axes: &[&str]| g.input_mask("keep", axes.to_vec()).unwrap();
    let keep = |g: &mut Graph| hidden(g, &["b", "m"]);
    for (b, n, m, h, kv) in
        [(1, 1, 1, 1, 1), (2, 7, 9, 4, 2), (0, 3, 4, 2, 1), (3, 5, 5, 6, 6), (1, 150, 300, 2, 1)]
    {
        let binding = Binding::from_iter([
            ("b", b),
            ("n", n),
            ("m", m),
            ("h", h),
            ("g", kv),
            ("e", 5),
            ("f", 3),
        ]);
        for bias in [false, true] {
            for graph in [
                attention(|_| Mask::none(), bias),
                attention(|_| Mask::causal(), bias),
                attention(|_| Mask { offset: Some("m".into()), ..Mask::none() }, bias),
                attention(|_| Mask::sliding(3), bias),
                attention(|_| Mask::chunked(4), bias),
                attention(|_| Mask { offset: Some("n".into()), ..Mask::chunked(50) }, bias),
                attention(|g| Mask::none().keeping(keep(g)), bias),
                attention(|g| Mask::sliding(4).keeping(keep(g)), bias),
                attention(|g| Mask::chunked(4).keeping(keep(g)), bias),
                attention(|_| Mask::around(3), bias),
                attention(|g| Mask::none().keeping(hidden(g, &["n", "m"])), bias),
                attention(|g| Mask::causal().keeping(hidden(g, &["h", "m"])), bias),
                attention(|g| Mask::around(4).keeping(hidden(g, &["h", "n", "b", "m"])), bias),
                attention(|g| Mask::none().keeping(hidden(g, &["m"])), bias),
            ] {
                assert_proved(&graph, &binding);
            }
        }
    }
}

/// Attention with a soft cap and sinks, many queries and few, over several tiles and chunks of keys.
#[test]
fn soft_caps_and_sinks() {
    for (soft_cap, sinks) in [(Some(2.0), false), (None, true), (Some(0.7), true)] {
        let graph = |scaled: bool, bias: bool, mask: &dyn Fn(&mut Graph) -> Mask| {
            let mut g = Graph::new();
            let q = heads(&mut g, "q", "n", "h", "e");
            let k = heads(&mut g, "k", "m", "g", "e");
            let v = heads(&mut g, "v", "m", "g", "f");
            let scoring = Scoring {
                scale: scaled.then(|| Factor::InverseSqrt("e".into()).into()),
                soft_cap,
                bias: bias.then(|| g.input("bias", ["h", "n", "m"]).unwrap()),
                mask: mask(&mut g),
                sinks: sinks.then(|| g.input("sinks", ["h"]).unwrap()),
            };
            let y = g.attention_by((q, k, v), scoring).unwrap();
            g.output("y", y);
            g
        };
        let keep = |g: &mut Graph| g.input_mask("keep", ["b", "m"]).unwrap();
        let pairs = |g: &mut Graph| g.input_mask("keep", ["b", "h", "n", "m"]).unwrap();
        for (b, n, m, h, kv) in [
            (1, 1, 1, 1, 1),
            (2, 7, 9, 4, 2),
            (0, 3, 4, 2, 1),
            (1, 2, 5000, 2, 1),
            (1, 90, 300, 2, 1),
        ] {
            let sizes = [("b", b), ("n", n), ("m", m), ("h", h), ("g", kv), ("e", 5), ("f", 3)];
            let sizes = Binding::from_iter(sizes);
            for (scaled, bias) in [(true, false), (false, true), (true, true)] {
                assert_proved(&graph(scaled, bias, &|_| Mask::none()), &sizes);
                assert_proved(&graph(scaled, bias, &|_| Mask::sliding(3)), &sizes);
                assert_proved(&graph(scaled, bias, &|_| Mask::chunked(40)), &sizes);
                let before = Mask { offset: Some((-2).into()), ..Mask::none() };
                assert_proved(&graph(scaled, bias, &|_| before.clone()), &sizes);
                assert_proved(&graph(scaled, bias, &|g| Mask::causal().keeping(keep(g))), &sizes);
                assert_proved(&graph(scaled, bias, &|g| Mask::none().keeping(pairs(g))), &sizes);
            }
        }
    }
}

/// Masks that the graph computes: lengths of the items, and positions.
#[test]
fn masks_that_follow_from_whole_numbers() {
    let mut g = Graph::new();
    let q = heads(&mut g, "q", "n", "h", "e");
    let k = heads(&mut g, "k", "m", "g", "e");
    let v = heads(&mut g, "v", "m", "g", "f");
    let lengths = g.input_ids("lengths", ["b"], "m").unwrap();
    let [i, j] = [0, 1].map(IndexExpr::Position);
    let length = IndexExpr::Lookup { operand: 0, at: vec![i.clone()] };
    let axes = |names: [&str; 2]| names.map(Axis::from).to_vec();
    let map = |axes, value| IndexMap { axes, value, truth: true };
    let within = map(axes(["b", "m"]), j.below(&length.plus(&1.into())));
    let within = g.record("", within, &[lengths]).unwrap();
    let apart = map(axes(["n", "m"]), i.plus(&j).modulo(&3.into()).truth());
    let apart = g.record("", apart, &[]).unwrap();
    for (at, mask) in [
        Mask::none().keeping(within),
        Mask::causal().keeping(within),
        Mask::none().keeping(apart),
        Mask::around(3).keeping(apart),
    ]
    .into_iter()
    .enumerate()
    {
        let y = g.attention((q, k, v), mask, None, None).unwrap();
        g.output(&format!("y {at}"), y);
    }
    for (b, n, m, h, kv) in [(1, 1, 1, 1, 1), (3, 7, 9, 4, 2), (2, 40, 50, 2, 1)] {
        let sizes = [("b", b), ("n", n), ("m", m), ("h", h), ("g", kv), ("e", 5), ("f", 3)];
        assert_proved(&g, &Binding::from_iter(sizes));
    }
    // What reals decide is known to nobody before the run.
    let x = g.input("x", ["b", "m"]).unwrap();
    let chosen = g.to_whole(x).unwrap();
    let y = g.attention((q, k, v), Mask::none().keeping(chosen), None, None).unwrap();
    g.output("y", y);
    let sizes = [("b", 1), ("n", 1), ("m", 1), ("h", 1), ("g", 1), ("e", 1), ("f", 1)];
    let refused = prove(&g, &Binding::from_iter(sizes), &Feeds::seeded(3)).map(drop);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("must follow from whole numbers that are inputs"), "{refused}");
}

#[test]
fn masked_entries_of_every_layout() {
    let mut g = Graph::new();
    let scores = g.input("scores", ["b", "w", "h", "n", "m"]).unwrap();
    let bias = g.input("bias", ["h", "n", "m"]).unwrap();
    let turned = g.input("turned", ["m", "b", "n"]).unwrap();
    let gate = g.input("gate", ["w", "n"]).unwrap();
    let keep = g.input_mask("keep", ["b", "w", "m"]).unwrap();
    let by_window = g.input_mask("by window", ["w", "n", "m"]).unwrap();
    let pairs = g.input_mask("pairs", ["n", "h", "b", "w", "m"]).unwrap();
    let entries = ["b", "w", "h", "n", "m"].map(Axis::from);
    let before = Mask { offset: Some((-2).into()), ..Mask::none() };
    for (i, mask) in [
        Mask::none(),
        Mask::causal(),
        before,
        Mask::sliding(3),
        Mask::chunked(4),
        Mask::none().keeping(keep),
        Mask::sliding(4).keeping(keep),
        Mask::around(3).keeping(by_window),
        Mask::none().keeping(pairs),
    ]
    .into_iter()
    .enumerate()
    {
        let masked = Some(g.masking(&mask, &entries));
        let x = g.scale_masked(scores, Factor::Number(0.3), masked.clone()).unwrap();
        let x = g.add_masked("", x, bias, masked.clone()).unwrap();
        let x = g.mul_masked("", x, turned, masked.clone()).unwrap();
        let x = g.mul_masked("", x, gate, masked.clone()).unwrap();
        let y = g.softmax(x, masked).unwrap();
        g.output(&format!("entries {i}"), x);
        g.output(&format!("weights {i}"), y);
    }
    for (b, w, h, n, m) in
        [(1, 1, 1, 1, 1), (2, 3, 2, 5, 7), (0, 2, 1, 2, 2), (1, 2, 3, 9, 1), (2, 1, 3, 60, 70)]
    {
        let sizes = [("b", b), ("w", w), ("h", h), ("n", n), ("m", m)];
        assert_proved(&g, &Binding::from_iter(sizes));
    }
}

#[test]
fn contractions_of_every_layout() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let w = g.param("w", Source::weight("c"), ["h", "e", "c"]).unwrap();
    let o = g
        .param("o", Source::weight("c"), [Axis::from("c"), Axis::from("h"), Axis::from("e")])
        .unwrap();
    let q = g.einsum("b n c, h e c -> b n h e", x, w).unwrap();
    let by_head = g.einsum("b n c, h e c -> b h n e", x, w).unwrap();
    let back = g.einsum("b n h e, c h e -> b n c", q, o).unwrap();
    let turned = g.einsum("b n h e, c h e -> c b n", q, o).unwrap();
    let odd = g.einsum("b h n e, c h e -> b n c", by_head, o).unwrap();
    let y = g.input("y", ["b", "m", "c"]).unwrap();
    let scores = g.einsum("b n c, b m c -> b n m", x, y).unwrap();
    let outer = g.einsum("b n m, b m c -> n b c", scores, y).unwrap();
    let batched = g.einsum("b n h e, h e c -> h b n c", q, w).unwrap();
    for (name, var) in
        [("back", back), ("turned", turned), ("odd", odd), ("outer", outer), ("batched", batched)]
    {
        g.output(name, var);
    }
    for (b, n, m, c, h, e) in
        [(1, 1, 1, 1, 1, 1), (2, 3, 4, 6, 2, 3), (0, 2, 2, 2, 1, 2), (3, 40, 9, 33, 4, 7)]
    {
        let binding =
            Binding::from_iter([("b", b), ("n", n), ("m", m), ("c", c), ("h", h), ("e", e)]);
        assert_proved(&g, &binding);
    }
}

#[test]
fn a_repeated_body_has_its_own_parameters() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "c"]).unwrap();
    let layers = g.repeated("layers", "l");
    let w = g
        .enter(&layers)
        .param("weight", Source::weight("c"), [Axis::new("c'", "c"), Axis::from("c")])
        .unwrap();
    let y = g
        .repeat(&layers, x, |g, x| {
            let y = g.einsum("b c, c' c -> b c'", x, w)?;
            let y = g.activation(y, Activation::Tanh)?;
            g.add("residual", y, x)
        })
        .unwrap();
    let y = g.norm(y, Norm::layer(1e-5), None, None).unwrap();
    let y = g.reduce(y, Reduce::Mean("b".into())).unwrap();
    g.output("y", y);
    assert_eq!(g.parameters().0.to_string(), "l·c²");
    for l in [0, 1, 3] {
        assert_proved(&g, &Binding::from_iter([("b", 2), ("c", 6), ("l", l)]));
    }
    let run = Fast::new().unwrap().run(
        &g,
        &Binding::from_iter([("b", 2), ("c", 6), ("l", 3)]),
        &Feeds::seeded(3),
    );
    assert_eq!(run.unwrap().ledger.row(3).counts().runs, 3);
}

#[test]
fn each_iteration_gives_a_result_of_its_own() {
    let mut g = Graph::new();
    let x = g.input("x", ["n"]).unwrap();
    let before = g.add("before", x, x).unwrap();
    g.output("before", before);
    let layers = g.repeated("layers", "l");
    let mut inside = None;
    let last = g
        .repeat(&layers, before, |g, y| {
            let y = g.add("", y, y)?;
            inside = Some(y);
            Ok::<_, opledger_ir::GraphError>(y)
        })
        .unwrap();
    g.output("layers.*.twice", inside.unwrap());
    let after = g.add("after", last, before).unwrap();
    g.output("after", after);
    let feeds = Feeds::seeded(0)
        .with("x", opledger_tensor::Tensor::new(&[2], vec![1.0_f32, -3.0]).unwrap());
    let run =
        Fast::new().unwrap().run(&g, &Binding::from_iter([("n", 2), ("l", 3)]), &feeds).unwrap();
    let mut names: Vec<&str> = run.outputs.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    let each = ["layers.0.twice", "layers.1.twice", "layers.2.twice"];
    assert_eq!(names, ["after", "before", each[0], each[1], each[2]]);
    let first = |name: &str| run.output(name).unwrap()[0];
    assert_eq!(each.map(first), [4.0, 8.0, 16.0]);
    assert_eq!([first("before"), first("after")], [2.0, 18.0]);
}

#[test]
fn each_iteration_drops_elements_of_its_own() {
    let mut g = Graph::new();
    let x = g.input("x", ["n"]).unwrap();
    let layers = g.repeated("layers", "l");
    let drop = Dropout { p: 0.5, seed: 1, training: true };
    let y = g.repeat(&layers, x, |g, x| g.dropout("", x, drop)).unwrap();
    g.output("y", y);
    let feeds =
        Feeds::seeded(3).with("x", opledger_tensor::Tensor::new(&[256], vec![1.0; 256]).unwrap());
    let kept = |l: i64| {
        let binding = Binding::from_iter([("n", 256), ("l", l)]);
        assert!(prove(&g, &binding, &feeds).unwrap().theorem.holds());
        let fast = || Fast::new().unwrap().run(&g, &binding, &feeds).unwrap().output("y").unwrap();
        let oracle = Oracle::<f32>::new().run(&g, &binding, &feeds).unwrap();
        let oracle = oracle.output("y").unwrap().mapv(|y| y.0);
        assert_eq!(fast(), fast(), "the same run gives the same bits");
        assert_eq!(fast(), oracle);
        let scale = 2.0_f32.powi(l as i32);
        assert!(oracle.iter().all(|y| *y == 0.0 || *y == scale));
        oracle.iter().map(|y| *y != 0.0).collect::<Vec<bool>>()
    };
    let (one, two) = (kept(1), kept(2));
    // With the elements of the first iteration the second would drop none that is left.
    let count = |kept: &[bool]| kept.iter().filter(|kept| **kept).count();
    assert!((96..160).contains(&count(&one)) && (40..90).contains(&count(&two)));
    assert!(one.iter().zip(&two).all(|(one, two)| *one || !two));
}

#[test]
fn what_is_prepared_once_runs_often_and_can_be_watched() {
    struct Keep(Option<Ledger>);
    impl Observer for Keep {
        fn started(&mut self, _: &Node, ledger: &Ledger) {
            self.0 = Some(ledger.clone());
        }
    }
    let mut g = Graph::new();
    let x = g.input("x", ["b", "c"]).unwrap();
    let y = g.activation(x, Activation::Tanh).unwrap();
    g.output("y", y);
    let binding = Binding::from_iter([("b", 2), ("c", 6)]);
    let prepared = Prepared::new(&g, &binding, &Feeds::seeded(3)).unwrap();
    let (mut fast, mut watcher) = (Fast::new().unwrap(), Keep(None));
    let first = prepared.run(&mut fast, &mut watcher).unwrap();
    let second = prepared.run(&mut fast, &mut Quiet).unwrap();
    assert_eq!(first.output("y"), second.output("y"));
    assert_eq!(first.ledger.useful(), second.ledger.useful());
    assert_eq!(watcher.0.unwrap().useful(), first.ledger.useful(), "a clone shares the rows");
}

/// Two graphs of as many nodes: each runs on its own tensors, whatever ran before.
#[test]
fn a_graph_runs_on_its_own_tensors() {
    let make = |name: &str| {
        let mut g = Graph::new();
        let x = g.input("x", ["n", "c"]).unwrap();
        let w = g.param(name, Source::weight("c"), ["f", "c"]).unwrap();
        let y = g.einsum("n c, f c -> n f", x, w).unwrap();
        g.output("y", y);
        g
    };
    let (first, second) = (make("first"), make("second"));
    let at = Binding::from_iter([("n", 40), ("c", 33), ("f", 20)]);
    let feeds = Feeds::seeded(1);
    let expected = Fast::new().unwrap().run(&second, &at, &feeds).unwrap().output("y").unwrap();
    let mut fast = Fast::new().unwrap();
    let other = fast.run(&first, &at, &feeds).unwrap().output("y").unwrap();
    assert_ne!(other, expected, "their weights differ");
    assert_eq!(fast.run(&second, &at, &feeds).unwrap().output("y").unwrap(), expected);
    let prepared = Prepared::new(&first, &at, &feeds).unwrap();
    assert!(prepared.tensors().get("second").is_none());
    assert_eq!(prepared.run(&mut fast, &mut Quiet).unwrap().output("y").unwrap(), other);
}

#[test]
fn sizes_and_tensors_change_between_runs() {
    let mut g = Graph::new();
    let x = g.input("x", ["n", "c"]).unwrap();
    let layers = g.repeated("layers", "l");
    let w = [Axis::new("c'", "c"), Axis::from("c")];
    let w = g.enter(&layers).param("w", Source::weight("c"), w).unwrap();
    let y = g
        .repeat(&layers, x, |g, x| {
            let y = g.einsum("n c, c' c -> n c'", x, w)?;
            g.add("residual", y, x)
        })
        .unwrap();
    g.output("y", y);
    let at = |n: u64| Binding::from_iter([("n", n), ("c", 24), ("l", 3)]);
    let (feeds, mut fast) = (Feeds::seeded(1), Fast::new().unwrap());
    let mut prepared = Prepared::new(&g, &at(5), &feeds).unwrap();
    let weights = |prepared: &Prepared| -> Vec<crate::Weight> {
        let fed = prepared.tensors().iter().filter(|(_, fed)| fed.path.ends_with('w'));
        fed.map(|(_, fed)| fed.weight().unwrap().clone()).collect()
    };
    let before = weights(&prepared);
    assert_eq!(before.len(), 3);
    for n in [70, 1, 40] {
        prepared.rebind(&at(n), &feeds).unwrap();
        let run = prepared.run(&mut fast, &mut Quiet).unwrap();
        let anew = Fast::new().unwrap().run(&g, &at(n), &feeds).unwrap();
        assert_eq!(run.output("y").unwrap(), anew.output("y").unwrap());
        assert!(weights(&prepared).iter().zip(&before).all(|(a, b)| a.shares(b)));
    }
    // Another weight of the second layer: what was packed of the one before is not used.
    let other = opledger_tensor::Tensor::new(&[24, 24], vec![0.25; 576]).unwrap();
    prepared.feed("layers.1.w", other.clone()).unwrap();
    let run = prepared.run(&mut fast, &mut Quiet).unwrap();
    let anew = Fast::new().unwrap().run(&g, &at(40), &feeds.clone().with("layers.1.w", other));
    assert_eq!(run.output("y").unwrap(), anew.unwrap().output("y").unwrap());
    let unlike = opledger_tensor::Tensor::new(&[2], vec![0.0; 2]).unwrap();
    prepared.feed("layers.1.w", unlike.clone()).unwrap_err();
    prepared.feed("layers.3.w", unlike).unwrap_err();
    prepared.rebind(&Binding::from_iter([("n", 2)]), &feeds).unwrap_err();
    let again = prepared.run(&mut fast, &mut Quiet).unwrap();
    assert_eq!(again.output("y").unwrap(), run.output("y").unwrap(), "what failed changed nothing");
}

#[test]
fn results_are_asked_for_as_what_they_are() {
    let mut g = Graph::new();
    let x = g.input("x", ["n", "c"]).unwrap();
    let best = g.top_k(x, "k").unwrap();
    g.output("x", x);
    g.output("best", best);
    let at = Binding::from_iter([("n", 2), ("c", 3), ("k", 1)]);
    let run = Fast::new().unwrap().run(&g, &at, &Feeds::seeded(1)).unwrap();
    assert_eq!(run.whole_numbers("best").unwrap().shape(), [2, 1]);
    assert!(matches!(run.output("best"), Err(RunError::OutputKind { .. })));
    assert!(matches!(run.whole_numbers("x"), Err(RunError::OutputKind { .. })));
    let problem = run.output("z").unwrap_err().to_string();
    assert_eq!(problem, "there is no result `z`; the results are x, best");
}

/// What is refused in 64 bits and not in 32 is the room of computed numbers, which nothing given takes.
#[test]
fn numbers_of_64_bits_must_fit_too() {
    let Some(available) = crate::available_memory().and_then(|bytes| u64::try_from(bytes).ok())
    else {
        return;
    };
    let mut g = Graph::new();
    let x = g.input("x", [("c", 1)]).unwrap();
    let wide = g.rearrange(x, Rearrange::Expand { axis: "n".into() }).unwrap();
    g.output("wide", wide);
    let sizes = Binding::from_iter([("n", available / 4 / 10 * 7)]);
    let prepared = Prepared::new(&g, &sizes, &Feeds::seeded(1)).unwrap();
    let refused = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap_err();
    assert!(matches!(refused, RunError::Memory { .. }), "{refused}");
}

#[test]
fn a_view_is_the_memory_of_its_operand() {
    let mut g = Graph::new();
    let x = g.input("x", [("n", 3), ("c", 4)]).unwrap();
    let ids = g.input_ids("ids", [("n", 3), ("c", 4)], 9).unwrap();
    for (name, var) in [("reals", x), ("whole", ids)] {
        let axes = vec!["n".into(), "c".into()];
        let one = g.rearrange(var, Rearrange::Merge { axes, into: "n".into() }).unwrap();
        g.output(name, one);
    }
    let prepared = Prepared::new(&g, &Binding::new(), &Feeds::seeded(1)).unwrap();
    let run = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
    let place = |value: &Value<f32>| match value {
        Value::Real(reals) => reals.data().as_ptr().cast::<u8>(),
        Value::Index(ids) => ids.data().as_ptr().cast::<u8>(),
    };
    for (from, to) in [("x", "reals"), ("ids", "whole")] {
        let given = prepared.tensors().get(from).unwrap();
        assert_eq!(place(&given), place(run.value(to).unwrap()), "{from}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "c"]).unwrap();
    let w = g.param("w", Source::weight("c"), ["f", "c"]).unwrap();
    let y = g.contract("", x, w, &["c".into()]).unwrap();
    g.output("y", y);
    let fail = |pairs: &[(&str, i64)], feeds: Feeds| {
        let binding = Binding::from_iter(pairs.iter().copied());
        Fast::new().unwrap().run(&g, &binding, &feeds).unwrap_err().to_string()
    };
    let seeded = Feeds::seeded(1);
    assert!(fail(&[("b", 2), ("c", 3)], seeded.clone()).contains("symbol `f` has no value"));
    assert!(
        fail(&[("b", 2), ("c", 0), ("f", 2)], seeded.clone())
            .contains("`c` is 0, and einsum over nothing")
    );
    assert!(fail(&[("b", -1), ("c", 2), ("f", 2)], seeded.clone()).contains("size -1"));
    assert!(
        fail(&[("b", 1), ("c", 2), ("f", 2), ("z", 2)], seeded.clone())
            .contains("`z` is no size of this model")
    );
    let huge = fail(&[("b", 1_000_000_000_000), ("c", 1000), ("f", 1000)], seeded.clone());
    // Elements, 1000 columns of the weight in panels of 32, and what the two tensors take beside them.
    let bytes = 8_000_000_000_000_000_u64 + 4 * 1000 * 1024 + 2 * 512;
    assert!(huge.starts_with(&format!("the run needs {bytes} bytes of memory")), "{huge}");
    let more = "1".repeat(300).parse::<opledger_dims::Integer>().unwrap();
    let sizes = Binding::from_iter([("c", 1000), ("f", 1)]).with("b", more);
    let huge = Fast::new().unwrap().run(&g, &sizes, &seeded).unwrap_err().to_string();
    assert!(huge.starts_with("the run needs ") && huge.contains("bytes of memory"), "{huge}");
    let tensor = opledger_tensor::Tensor::new(&[2, 2], vec![0.0; 4]).unwrap();
    let shaped = fail(&[("b", 2), ("c", 3), ("f", 2)], seeded.clone().with("x", tensor.clone()));
    assert_eq!(shaped, "tensor `x` has shape [2, 2] where [2, 3] is needed ([b, c])");
    let unknown = fail(&[("b", 2), ("c", 3), ("f", 2)], seeded.with("weight", tensor));
    assert_eq!(unknown, "tensor `weight` is no input or parameter of this model; it takes w, x");
}
