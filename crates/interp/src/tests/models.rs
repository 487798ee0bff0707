//! The operations that published models need, by both interpreters.

use super::assert_proved;
use opledger_dims::Binding;
use opledger_ir::ops::{Activation, Rearrange, Rope, RopePairs, RopeScaling, Source};
use opledger_ir::{Axis, Graph};

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
    for (i, function) in Activation::ALL.into_iter().enumerate() {
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
    };
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 64,
    };
    let linear = RopeScaling::Linear { factor: 2.0 };
    for (i, scaling) in
        [RopeScaling::None, linear, llama3, yarn(1.0), yarn(1.125)].into_iter().enumerate()
    {
        for pairs in [RopePairs::Halves, RopePairs::Neighbours] {
            let rope = Rope { pairs, theta: 1e4, offset: "p".into(), scaling };
            let y = g.record("", rope, &[x]).unwrap();
            g.output(&format!("{pairs:?} {i}"), y);
        }
    }
    for (b, n, h, e, p) in [(1, 1, 1, 2, 0), (2, 5, 3, 8, 7), (0, 2, 1, 4, 1), (2, 40, 2, 32, 9)] {
        let sizes = [("b", b), ("n", n), ("h", h), ("e", e), ("p", p)];
        assert_proved(&g, &Binding::from_iter(sizes));
    }
}
