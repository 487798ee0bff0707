//! Losses, against differences.

use opledger_dims::Binding;
use opledger_grad::{GradError, Loss, TrainingStep};
use opledger_ir::ops::Reduce;
use proptest::prelude::*;

use crate::differences::{check_loss, graph, param};

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

    #[test]
    fn losses_agree_with_differences(
        [b, n, v] in [1..3_usize, 1..4, 1..5], ignoring: bool, seed in 0..1000_u64,
    ) {
        let g = graph(|g| {
            let x = param(g, "x", [("b", b), ("n", n), ("v", v)])?;
            g.mul("", x, x)
        });
        for loss in [Loss::CrossEntropy { ignoring }, Loss::MeanSquare] {
            check_loss(&g, loss, &Binding::new(), seed);
        }
    }
}

#[test]
fn a_number_has_no_classes() {
    let g = graph(|g| {
        let x = param(g, "x", [("n", 3)])?;
        g.reduce(x, Reduce::Sum("n".into()))
    });
    let loss = Loss::CrossEntropy { ignoring: false };
    let error = TrainingStep { loss, ..TrainingStep::default() }.of(&g, "y").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a result of shape [] has no such loss: it needs an axis of classes"
    );
    assert!(matches!(error, GradError::Loss { .. }));
}
