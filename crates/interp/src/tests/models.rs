//! The operations that published models need, by both interpreters.

use super::assert_proved;
use crate::{Fast, Feeds};
use opledger_dims::{Binding, Class, Poly};
use opledger_ir::ops::{
    Activation, Factor, Rearrange, Reduce, RopePairs, RopeScaling, RotaryAngles, Source, Table,
};
use opledger_ir::{Axis, Graph, GraphError, Mask, Var};

/// ViT (Dosovitskiy et al. 2021, equation 1): one class token for every item of the batch.
#[test]
fn a_class_token_stands_before_the_patches() {
    let mut g = Graph::new();
    let patches = g.input("patches", ["b", "n", "c"]).unwrap();
    let token = g.param("token", Source::shift(), [Axis::new("n", 1), Axis::from("c")]).unwrap();
    let tokens = g.rearrange(token, Rearrange::Expand { axis: "b".into() }).unwrap();
    let x = g.concat(tokens, patches, "n").unwrap();
    assert_eq!(g.shape(x).to_string(), "[b, n=n + 1, c]");
    assert!(g.cost().total().is_zero());
    g.output("tokens", tokens);
    g.output("x", x);
    for (b, n, c) in [(1, 1, 1), (3, 4, 5), (0, 2, 3), (2, 0, 3), (40, 9, 65)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("n", n), ("c", c)]));
    }
}

/// BERT, GPT-2, T5, Llama, ViT and CLIP: alone and after a product by a weight.
#[test]
fn activations_of_every_kind() {
    let mut g = Graph::new();
    let x = g.input("x", ["n", "c"]).unwrap();
    let w = g.param("w", Source::weight("c"), ["f", "c"]).unwrap();
    for (i, function) in Activation::ALL.iter().copied().enumerate() {
        let alone = g.activation(x, function).unwrap();
        let product = g.einsum("n c, f c -> n f", x, w).unwrap();
        let chained = g.activation(product, function).unwrap();
        g.output(&format!("alone {i}"), alone);
        g.output(&format!("chained {i}"), chained);
    }
    for (n, c, f) in [(1, 1, 1), (0, 2, 2), (7, 33, 20), (70, 40, 65)] {
        assert_proved(&g, &Binding::from_iter([("n", n), ("c", c), ("f", f)]));
    }
}

#[test]
fn rotation_under_every_scaling() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
    let yarn = |attention_factor| RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_max_position_embeddings: 64,
        attention_factor,
        truncate: true,
    };
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 64,
    };
    let linear = RopeScaling::Linear { factor: 2.0 };
    // Below all tokens of some sizes, above those of others.
    let dynamic = RopeScaling::Dynamic { factor: 4.0, original_max_position_embeddings: 10 };
    let proportional = RopeScaling::Proportional { pairs: 1, factor: 2.0 };
    let scalings =
        [RopeScaling::None, linear, llama3, yarn(1.0), yarn(1.125), dynamic, proportional];
    for (i, scaling) in scalings.into_iter().enumerate() {
        for width in ["e", "r"] {
            let (offset, scaling) = ("p".into(), scaling.clone());
            let angles = RotaryAngles { offset, scaling, ..RotaryAngles::new("n", width, 1e4) };
            let angles = g.record("", angles, &[]).unwrap();
            for pairs in [RopePairs::Halves, RopePairs::Neighbours] {
                let y = g.rope(x, pairs, angles).unwrap();
                g.output(&format!("{pairs:?} {i} {width}"), y);
            }
        }
    }
    for (b, n, h, e, p) in [(1, 1, 1, 4, 0), (2, 5, 3, 8, 7), (0, 2, 1, 4, 1), (2, 40, 2, 32, 9)] {
        for rotated in [0, 4, e] {
            let sizes = [("b", b), ("n", n), ("h", h), ("e", e), ("p", p), ("r", rotated)];
            assert_proved(&g, &Binding::from_iter(sizes));
        }
    }
}

/// Tokens in a grid of 3 by 5 turn by both directions.
#[test]
fn rotation_in_a_grid() {
    let mut g = Graph::new();
    let x = g.input("x", ["b".into(), Axis::new("n", 15), "h".into(), Axis::new("e", 8)]).unwrap();
    let angles = RotaryAngles::new(("n", 15), ("e", 8), 1e2);
    let angles = g.record("", RotaryAngles { grid: Some([3, 5]), ..angles }, &[]).unwrap();
    let y = g.rope(x, RopePairs::Halves, angles).unwrap();
    g.output("y", y);
    for (b, h) in [(1, 1), (2, 3)] {
        assert_proved(&g, &Binding::from_iter([("b", b), ("h", h)]));
    }
}

/// The keys and values of `p` tokens are there already, each layer's own.
#[test]
fn attention_to_a_cache_in_every_layer() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let layers = g.repeated("layers", "l");
    let mut inner = g.enter(&layers);
    let mut weight = |name, axes: [&str; 3]| inner.param(name, Source::weight("c"), axes).unwrap();
    let query = weight("q", ["h", "e", "c"]);
    let [key, value] = ["k", "v"].map(|name| weight(name, ["g", "e", "c"]));
    let out = weight("o", ["c", "h", "e"]);
    let past = ["b".into(), Axis::new("m", "p"), "g".into(), "e".into()];
    let [past_k, past_v] =
        ["past_k", "past_v"].map(|name| inner.input(name, past.clone()).unwrap());
    drop(inner);
    let causal = Mask { offset: Some("p".into()), ..Mask::none() };
    let angles = RotaryAngles { offset: "p".into(), ..RotaryAngles::new("n", "e", 1e4) };
    let angles = g.record("", angles, &[]).unwrap();
    let y = g
        .repeat::<GraphError>(&layers, x, |g, x| {
            let q = g.einsum("b n c, h e c -> b n h e", x, query)?;
            let q = g.rope(q, RopePairs::Halves, angles)?;
            let k = g.einsum("b n c, g e c -> b n g e", x, key)?;
            let k = g.rope(k, RopePairs::Halves, angles)?;
            let v = g.einsum("b n c, g e c -> b n g e", x, value)?;
            let (k, v) = (g.rename(k, "n", "m")?, g.rename(v, "n", "m")?);
            let (k, v) = (g.concat(past_k, k, "m")?, g.concat(past_v, v, "m")?);
            let scale = Some(Factor::InverseSqrt("e".into()));
            let y = g.attention((q, k, v), causal.clone(), scale, None)?;
            let y = g.einsum("b n h e, c h e -> b n c", y, out)?;
            g.add("residual", y, x)
        })
        .unwrap();
    g.output("y", y);
    for (b, n, p, h, kv, l) in [
        (2, 5, 0, 4, 2, 2),
        (1, 1, 0, 1, 1, 1),
        (2, 1, 7, 4, 2, 3),
        (1, 6, 9, 2, 2, 2),
        (0, 2, 3, 2, 1, 1),
        (1, 1, 300, 4, 1, 1),
        (1, 40, 90, 2, 1, 0),
    ] {
        let sizes = [("b", b), ("n", n), ("p", p), ("h", h), ("g", kv), ("l", l)];
        let binding = Binding::from_iter(sizes).with("e", 4).with("c", 6);
        assert_proved(&g, &binding);
    }
}

#[test]
fn attention_to_a_cache_is_attention_to_the_whole() {
    let mut g = Graph::new();
    let size = Poly::from("p") + Poly::from("n");
    let mut whole = |name: &str, token: &str, heads: &str| {
        g.input(name, ["b".into(), Axis::new(token, size.clone()), heads.into(), "e".into()])
            .unwrap()
    };
    let (q, k, v) = (whole("q", "n", "h"), whole("k", "m", "g"), whole("v", "m", "g"));
    let scale = || Some(Factor::InverseSqrt("e".into()));
    let part = |g: &mut Graph, x, axis: &str, start: Poly, len: &str| {
        let len = len.into();
        g.rearrange(x, Rearrange::Slice { axis: axis.into(), start, len }).unwrap()
    };
    let all = g.attention((q, k, v), Mask::causal(), scale(), None).unwrap();
    let expected = part(&mut g, all, "n", "p".into(), "n");
    let q = part(&mut g, q, "n", "p".into(), "n");
    let mut cached = |x| {
        let (past, new) =
            (part(&mut g, x, "m", 0.into(), "p"), part(&mut g, x, "m", "p".into(), "n"));
        g.concat(past, new, "m").unwrap()
    };
    let (k, v) = (cached(k), cached(v));
    let causal = Mask { offset: Some("p".into()), ..Mask::none() };
    let y = g.attention((q, k, v), causal, scale(), None).unwrap();
    g.output("expected", expected);
    g.output("y", y);
    for (n, p) in [(1, 0), (9, 0), (1, 8), (5, 6), (40, 100)] {
        let sizes = [("b", 2), ("n", n), ("p", p), ("h", 4), ("g", 2), ("e", 8)];
        let binding = Binding::from_iter(sizes);
        assert_proved(&g, &binding);
        let run = Fast::new().unwrap().run(&g, &binding, &Feeds::seeded(5)).unwrap();
        let (y, expected) = (run.output("y").unwrap(), run.output("expected").unwrap());
        assert!(y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-6), "n = {n}, p = {p}");
    }
}

/// T5 (Raffel et al. 2020): no scale, and a bias that depends on the bucket of the distance.
#[test]
fn relative_buckets_bias_attention() {
    for bidirectional in [true, false] {
        let mut g = Graph::new();
        let keys = Axis::new("m", Poly::from("p") + Poly::from("n"));
        let heads = |g: &mut Graph, name: &str, token: &Axis| {
            g.input(name, ["b".into(), token.clone(), "h".into(), "e".into()]).unwrap()
        };
        let q = heads(&mut g, "q", &"n".into());
        let (k, v) = (heads(&mut g, "k", &keys), heads(&mut g, "v", &keys));
        let table = Table::RelativeBuckets {
            bidirectional,
            buckets: 8,
            max_distance: 20,
            offset: "p".into(),
            query: "n".into(),
            key: keys,
        };
        let ids = g.table("buckets", table).unwrap();
        let weight = g
            .param(
                "relative_attention_bias",
                Source::embedding(),
                [Axis::new("buckets", 8), Axis::from("h")],
            )
            .unwrap();
        let bias = g.embedding("", ids, weight).unwrap();
        let order = ["h", "n", "m"].map(Into::into).into();
        let bias = g.rearrange(bias, Rearrange::Permute { order }).unwrap();
        let mask = match bidirectional {
            true => Mask::none(),
            false => Mask { offset: Some("p".into()), ..Mask::none() },
        };
        let y = g.attention((q, k, v), mask, None, Some(bias)).unwrap();
        g.output("y", y);
        for (b, n, p, h) in [(1, 1, 0, 1), (2, 30, 0, 3), (2, 1, 30, 2), (0, 2, 1, 1), (1, 7, 9, 2)]
        {
            let sizes = [("b", b), ("n", n), ("p", p), ("h", h), ("e", 5)];
            assert_proved(&g, &Binding::from_iter(sizes));
        }
    }
}

/// Mixtral (Jiang et al. 2024, §2.1): softmax over all experts, the `k` largest, their sum made 1.
fn route(g: &mut Graph, scores: Var) -> (Var, Var) {
    let scores = g.softmax(scores, None).unwrap();
    let ids = g.top_k(scores, "k").unwrap();
    let weights = g.gather(scores, ids).unwrap();
    let sum = g.reduce(weights, Reduce::Sum("k".into())).unwrap();
    (ids, g.div("renormalise", weights, sum).unwrap())
}

#[test]
fn a_router_chooses_experts_and_weighs_them() {
    let mut g = Graph::new();
    let scores = g.input("scores", ["b", "n", "x"]).unwrap();
    let (_, weights) = route(&mut g, scores);
    g.output("weights", weights);
    let total = g.cost().total();
    let poly = |text: &str| text.parse::<Poly>().unwrap();
    assert_eq!(total[Class::Max], poly("b·n·(x - 1) + b·n·(k·x - 1/2·k·(k + 1))"));
    assert_eq!(total[Class::Add], poly("b·n·(2·x - 1) + b·n·(k - 1)"));
    assert_eq!(total[Class::Div], poly("b·n·x + b·n·k"));
    for (b, n, x, k) in [(1, 1, 1, 1), (2, 5, 8, 2), (0, 2, 4, 2), (3, 700, 16, 4), (1, 3, 6, 6)] {
        let binding = Binding::from_iter([("b", b), ("n", n), ("x", x), ("k", k)]);
        assert_proved(&g, &binding);
        let run = Fast::new().unwrap().run(&g, &binding, &Feeds::seeded(5)).unwrap();
        let sums = run.output("weights").unwrap().sum_axis(ndarray::Axis(2));
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    }
}

/// The feed-forward layer of Mixtral: experts of three maps each, their results weighed and summed.
#[test]
fn a_mixture_of_experts() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let gate = g.param("gate", Source::weight("c"), ["x", "c"]).unwrap();
    let mut weight = |name, axes: [&str; 3]| g.param(name, Source::weight(axes[2]), axes).unwrap();
    let [up, gated] = ["w1", "w3"].map(|name| weight(name, ["x", "f", "c"]));
    let down = weight("w2", ["x", "c", "f"]);
    let scores = g.einsum("b n c, x c -> b n x", x, gate).unwrap();
    let (ids, weights) = route(&mut g, scores);
    let inner = g.experts("up", x, ids, up).unwrap();
    let inner = g.activation(inner, Activation::Silu).unwrap();
    let gated = g.experts("gated", x, ids, gated).unwrap();
    let inner = g.mul("gate", inner, gated).unwrap();
    let outer = g.experts("down", inner, ids, down).unwrap();
    let y = g.einsum("b n k c, b n k -> b n c", outer, weights).unwrap();
    g.output("inner", inner);
    g.output("y", y);
    let macs = "b·n·x·c + 3·b·n·k·f·c + b·n·k·c".parse::<Poly>().unwrap();
    assert_eq!(g.cost().macs(), macs);
    for (b, n, c, x, f, k) in [
        (1, 1, 1, 1, 1, 1),
        (2, 5, 6, 8, 7, 2),
        (0, 2, 3, 4, 2, 2),
        (1, 1, 40, 8, 65, 2),
        (3, 30, 33, 4, 20, 3),
        (1, 300, 24, 2, 40, 1),
    ] {
        let sizes = [("b", b), ("n", n), ("c", c), ("x", x), ("f", f), ("k", k)];
        assert_proved(&g, &Binding::from_iter(sizes));
    }
}
