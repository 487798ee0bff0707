//! The operations that published models need, by both interpreters.

use super::assert_proved;
use opledger_dims::Binding;
use opledger_ir::ops::{Rearrange, Source};
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
