//! Losses, against differences.

use opledger_dims::Binding;
use opledger_grad::{GradError, Loss, Optimizer, TrainingStep, Update};
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

/// A model's own result is another than the loss of the step.
#[test]
fn a_result_may_be_called_loss() {
    let mut g = graph(|g| {
        let x = param(g, "x", [("n", 2), ("c", 3)])?;
        g.mul("", x, x)
    });
    let y = g.outputs()[0].1;
    g.output("loss", y);
    let step = TrainingStep { loss: Loss::MeanSquare, ..TrainingStep::default() };
    let recorded = step.recorded(&g, "loss").unwrap();
    assert_eq!(recorded.loss.as_deref(), Some("step.loss"));
    let named = recorded.graph.outputs().iter().filter(|(name, _)| name == "loss");
    assert_eq!(named.map(|(_, var)| *var).collect::<Vec<_>>(), [y]);
}

/// Which result is a gradient is said, whatever the model calls its own.
#[test]
fn a_result_may_be_called_like_a_gradient() {
    let mut g = graph(|g| {
        let x = param(g, "x", [("n", 2), ("c", 3)])?;
        g.mul("", x, x)
    });
    let y = g.outputs()[0].1;
    for name in ["gradient.x", "updated.x"] {
        g.output(name, y);
    }
    let recorded = TrainingStep::default().recorded(&g, "y").unwrap();
    let [gradient] = &recorded.gradients[..] else { panic!("{:?}", recorded.gradients) };
    assert_eq!(gradient.result.as_deref(), Some("step.gradient.x"));
    let of = |graph: &opledger_ir::Graph, name: &str| {
        graph.outputs().iter().find(|(own, _)| own == name).map(|(_, var)| *var)
    };
    assert_eq!(of(&recorded.graph, "step.gradient.x"), Some(gradient.value));
    assert_eq!(of(&recorded.graph, "gradient.x"), Some(y));
    let update = Some(Update { optimizer: Optimizer::SGD, clip: None });
    let recorded = TrainingStep { update, ..TrainingStep::default() }.recorded(&g, "y").unwrap();
    assert_eq!(recorded.updated[0].result, "step.updated.x");
}
