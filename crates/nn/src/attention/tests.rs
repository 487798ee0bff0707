//! Costs and shapes of attention in every form.

use opledger_dims::{Binding, Class, Counts};
use opledger_ir::{Cost, Op, Operation, Part};

use super::*;

fn config(kv_heads: Option<&str>) -> AttentionConfig {
    AttentionConfig {
        kv_heads: kv_heads.map(Into::into),
        bias: false,
        out_bias: false,
        ..AttentionConfig::new("c", "h")
    }
}

/// Self-attention of `x [b, n, c]`.
fn record(config: &AttentionConfig, call: impl FnOnce(&mut Graph) -> Attend) -> (Graph, Attended) {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let attention = MultiheadAttention::new(&mut g.scope("attn"), config).unwrap();
    let call = call(&mut g);
    let attended = attention.forward_with(&mut g, x, x, x, call).unwrap();
    g.output("y", attended.output);
    (g, attended)
}

#[test]
fn text_form() {
    let (g, _) = record(&config(None), |_| Attend::default());
    let expected = "\
%0 x: [b, n, c] = input()
%1 attn.q_proj.weight: [h, e, c] = param()
%2 attn.k_proj.weight: [h, e, c] = param()
%3 attn.v_proj.weight: [h, e, c] = param()
%4 attn.out_proj.weight: [c, h, e] = param()
%5 attn.q_proj.matmul: [b, n, h, e] = einsum(%0, %1) {b n c, h e c -> b n h e}
     contraction: add = b·n·c² - b·n·c, mul = b·n·c²
%6 attn.k_proj.matmul: [b, n, h, e] = einsum(%0, %2) {b n c, h e c -> b n h e}
     contraction: add = b·n·c² - b·n·c, mul = b·n·c²
%7 attn.v_proj.matmul: [b, n, h, e] = einsum(%0, %3) {b n c, h e c -> b n h e}
     contraction: add = b·n·c² - b·n·c, mul = b·n·c²
%8 attn.attention: [b, n, h, e] = attention(%5, %6, %7)
     scores: add = b·n²·c - b·n²·h, mul = b·n²·c
     scale: mul = b·n²·h
     softmax: add = 2·b·n²·h - b·n·h, div = b·n²·h, max = b·n²·h - b·n·h, exp = b·n²·h
     context: add = b·n²·c - b·n·c, mul = b·n²·c
%9 attn.out_proj.matmul: [b, n, c] = einsum(%8, %4) {b n h e, c h e -> b n c}
     contraction: add = b·n·c² - b·n·c, mul = b·n·c²
where c = h·e
return y = %9
";
    assert_eq!(g.to_string(), expected);
}

#[test]
fn published_formulas() {
    let (g, _) = record(&config(None), |_| Attend::default());
    assert_eq!(g.cost().macs().to_string(), "4·b·n·c² + 2·b·n²·c");
    assert_eq!(g.parameters().0.to_string(), "4·c²");
    let at = Binding::from_iter([("b", 32), ("n", 1024), ("c", 512)]);
    assert_eq!(g.cost().macs().at(&at), Ok(68_719_476_736_u64.into()));
    let without = AttentionConfig { out_proj: false, ..config(None) };
    let (g, attended) = record(&without, |_| Attend::default());
    assert_eq!(g.cost().macs().at(&at), Ok(60_129_542_144_u64.into()));
    assert_eq!(g.shape(attended.output).to_string(), "[b, n, c]");
}

#[test]
fn published_parameters() {
    let parameters = |config: &AttentionConfig| {
        let mut g = Graph::new();
        MultiheadAttention::new(&mut g, config).unwrap();
        g.parameters().0
    };
    assert_eq!(parameters(&AttentionConfig::new(512, 8)), 1_050_624.into());
    let bare = AttentionConfig { bias: false, out_bias: false, ..AttentionConfig::new("c", "h") };
    let wide = AttentionConfig { head_dim: Some("e".into()), ..bare.clone() };
    assert_eq!(parameters(&wide).to_string(), "4·h·e·c");
    let grouped = AttentionConfig { kv_heads: Some("kv".into()), ..wide.clone() };
    assert_eq!(parameters(&grouped).to_string(), "2·e·c·kv + 2·h·e·c");
    let grouped = AttentionConfig { bias: true, out_bias: true, ..grouped };
    assert_eq!(parameters(&grouped).to_string(), "2·e·c·kv + 2·h·e·c + 2·e·kv + h·e + c");
    let widths = AttentionConfig { kdim: Some("k".into()), vdim: Some("v".into()), ..bare };
    assert_eq!(parameters(&widths).to_string(), "c·v + c·k + 2·c²");
}

/// The parts of the fused operation, and the same of the chain that defines it.
fn parts(g: &Graph) -> [Counts<Poly>; 5] {
    let mut parts = [(); 5].map(|()| Counts::zero());
    for node in g.nodes() {
        let cost = g.node_cost(node);
        if let Op::Attention(_) = node.op {
            let order = [Part::Scores, Part::Scale, Part::Bias, Part::Softmax, Part::Context];
            for (sum, part) in parts.iter_mut().zip(order) {
                *sum += &cost.part(part);
            }
        }
        let labels = ["attn.scores", "attn.scale", "attn.bias", "attn.softmax", "attn.context"];
        if let Some(at) = labels.iter().position(|l| *l == node.path) {
            parts[at] += &cost.total();
        }
    }
    parts
}

#[test]
fn the_fused_operation_costs_what_its_chain_costs() {
    let masks: [fn(&mut Graph) -> Mask; 9] = [
        |_| Mask::none(),
        |_| Mask::causal(),
        |_| Mask::sliding("w"),
        |_| Mask { offset: Some("o".into()), ..Mask::none() },
        |g| Mask::none().keeping(g.input_mask("keep", ["b", "n"]).unwrap()),
        |g| Mask::causal().keeping(g.input_mask("keep", ["b", "n"]).unwrap()),
        |g| Mask::sliding(3).keeping(g.input_mask("keep", ["b", "n"]).unwrap()),
        |g| {
            Mask::none()
                .keeping(g.input_mask("keep", [("h", "h"), ("n", "n"), ("m", "n")]).unwrap())
        },
        |g| {
            Mask::around(2)
                .keeping(g.input_mask("keep", [("b", "b"), ("n", "n"), ("m", "n")]).unwrap())
        },
    ];
    for kv_heads in [None, Some("kv")] {
        for mask in masks {
            let attend = |weights| {
                record(&config(kv_heads), |g| {
                    let bias = Some(g.input("bias", [("h", "h"), ("n", "n"), ("m", "n")]).unwrap());
                    Attend { mask: mask(g), bias, weights, ..Attend::default() }
                })
            };
            let (fused, _) = attend(Weights::None);
            let (chain, attended) = attend(Weights::Heads);
            assert_eq!(parts(&chain), parts(&fused), "{chain}");
            assert_eq!(chain.cost().total(), fused.cost().total(), "{chain}");
            let marked = chain.to_string().matches("masked}").count();
            assert_eq!(marked, if mask(&mut fused.clone()).is_none() { 0 } else { 5 }, "{chain}");
            let weights = chain.shape(attended.weights.unwrap()).clone();
            assert_eq!(weights.to_string(), "[b, h, n, m=n]");
            assert_eq!(fused.parameters(), chain.parameters());
            assert_eq!(fused.shape(fused.outputs()[0].1), chain.shape(attended.output));
        }
    }
}

/// gpt-oss's sinks and Gemma 2's soft cap: a parameter for each head, and parts of the fused operation.
#[test]
fn a_soft_cap_and_sinks_belong_to_the_fused_operation() {
    let odd = AttentionConfig { soft_cap: Some(50.0), sinks: true, ..config(Some("kv")) };
    let (g, _) = record(&odd, |_| Attend::from(Mask::causal()));
    let (plain, _) = record(&config(Some("kv")), |_| Attend::from(Mask::causal()));
    let more = g.parameters().0 - plain.parameters().0;
    assert_eq!(more.to_string(), "h");
    let of = |g: &Graph| {
        let node = g.nodes().iter().find(|node| node.path == "attn.attention").unwrap();
        (node.op.detail(), g.node_cost(node))
    };
    let ((detail, cost), (_, without)) = (of(&g), of(&plain));
    assert_eq!(detail, "causal from 0, soft cap 50, sinks");
    let pairs = without.part(Part::Scale)[Class::Mul].clone();
    let cap = Counts::zero().with(Class::Div, pairs.clone()).with(Class::Tanh, pairs.clone());
    assert_eq!(cost.part(Part::SoftCap), cap.with(Class::Mul, pairs));
    let exponentials = |cost: &Cost| cost.part(Part::Softmax)[Class::Exp].clone();
    assert_eq!(exponentials(&cost) - exponentials(&without), "b·n·h".parse().unwrap());
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let attention = MultiheadAttention::new(&mut g, &odd).unwrap();
    let call = Attend { weights: Weights::Heads, ..Attend::default() };
    let error = attention.forward_with(&mut g, x, x, x, call).unwrap_err().to_string();
    assert!(error.starts_with("attention with a soft cap or sinks gives no weights back"));
}

#[test]
fn mean_weights_are_pytorchs() {
    let (g, attended) =
        record(&config(None), |_| Attend { weights: Weights::Mean, ..Attend::default() });
    assert_eq!(g.shape(attended.weights.unwrap()).to_string(), "[b, n, m=n]");
    let (numbers, _) = record(&AttentionConfig::new("c", "h"), |_| Attend::default());
    assert_eq!(numbers.parameters().0.to_string(), "4·c² + 4·c");
}

#[test]
fn cross_attention_with_widths_of_its_own() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let key = g.input("key", ["b".into(), "m".into(), Axis::new("c", "k")]).unwrap();
    let value = g.input("value", ["b".into(), "m".into(), Axis::new("c", "v")]).unwrap();
    let config = AttentionConfig { kdim: Some("k".into()), vdim: Some("v".into()), ..config(None) };
    let attention = MultiheadAttention::new(&mut g, &config).unwrap();
    let y = attention.forward(&mut g, x, key, value).unwrap();
    assert_eq!(g.shape(y).to_string(), "[b, n, c]");
    let macs: Poly = "2·b·n·c² + b·m·c·k + b·m·c·v + 2·b·n·m·c".parse().unwrap();
    assert_eq!(g.cost().macs(), macs);
    let error = attention.forward(&mut g, x, value, value).unwrap_err().to_string();
    assert!(error.contains("axis `c` is v in one operand and k in another"), "{error}");
}

#[test]
fn rotation_and_dropout() {
    let config_of_rope =
        AttentionConfig { rope: Some(RotaryEmbedding::new(1e4)), ..config(Some("kv")) };
    let nodes = |g: &Graph, path: &str| g.nodes().iter().filter(|n| n.path.contains(path)).count();
    let (g, _) = record(&config_of_rope, |_| Attend::from(Mask::causal()));
    assert_eq!((nodes(&g, "attn.rope"), nodes(&g, "attn.rotary_angles")), (2, 1));
    let (g, _) = record(&config_of_rope, |g| {
        let angles = RotaryEmbedding::new(1e4).angles(g, "n".into(), &"e".into()).unwrap();
        Attend { angles: Some(angles), ..Attend::default() }
    });
    assert_eq!((nodes(&g, "attn.rope"), nodes(&g, "attn.rotary_angles")), (2, 0));
    let dropout = DropoutConfig { training: true, ..DropoutConfig::inference(0.1) };
    let (g, _) = record(&AttentionConfig { dropout, ..config(None) }, |_| Attend::default());
    assert!(g.nodes().iter().any(|n| n.path == "attn.dropout"), "{g}");
    let dropout = DropoutConfig::inference(0.1);
    let (g, _) = record(&AttentionConfig { dropout, ..config(None) }, |_| Attend::default());
    assert!(g.nodes().iter().any(|n| n.path == "attn.attention"), "{g}");
}

#[test]
fn what_does_not_divide_is_named() {
    let error = |config: AttentionConfig| {
        MultiheadAttention::new(&mut Graph::new(), &config).unwrap_err().to_string()
    };
    assert_eq!(
        error(AttentionConfig::new(64, 5)),
        "embed_dim = 64 is not a multiple of num_heads = 5"
    );
    let grouped = AttentionConfig { kv_heads: Some(3.into()), ..AttentionConfig::new(64, 4) };
    assert_eq!(error(grouped), "num_heads = 4 is not a multiple of kv_heads = 3");
    let none = AttentionConfig { kv_heads: Some(0.into()), ..AttentionConfig::new(64, 4) };
    assert_eq!(error(none), "kv_heads = 0, but a size is at least 1");
    let mut g = Graph::new();
    let row = g.input("row", ["c"]).unwrap();
    let attention = MultiheadAttention::new(&mut g, &config(None)).unwrap();
    let error = attention.forward(&mut g, row, row, row).unwrap_err().to_string();
    assert_eq!(error, "MultiheadAttention needs a value of […, n, c], not [c]");
}
