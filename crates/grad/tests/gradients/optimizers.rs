//! Optimisers, against their formulas on the gradients of the same step.

use opledger_dims::Binding;
use opledger_grad::{GradError, Optimizer, TrainingStep, Update, backward};
use opledger_interp::{Feeds, prove};
use opledger_ir::ops::{Activation, Source};
use opledger_ir::{Axis, Graph};
use opledger_tensor::Tensor;
use proptest::prelude::*;

use crate::differences::{graph, run, values};

/// Layers with parameters of their own, layers in layers, and parameters outside.
fn model() -> Graph {
    graph(|g| {
        let axes = ["n", "c"].map(|name| Axis::new(name, name));
        let x = g.param("x", Source::shift(), axes)?;
        let layers = g.repeated("layers", "l");
        let w = {
            let mut g = g.enter(&layers);
            g.param("w", Source::weight("c"), [Axis::new("f", "c"), Axis::new("c", "c")])?
        };
        let steps = g.enter(&layers).repeated("steps", "m");
        let gain = g.enter(&steps).param("gain", Source::gain(), [Axis::new("c", "c")])?;
        g.repeat(&layers, x, |g, x| {
            let up = g.einsum("n c, f c -> n f", x, w)?;
            let up = g.activation(up, Activation::Tanh)?;
            let up = g.rename(up, "f", "c")?;
            g.repeat(&steps, up, |g, x| g.mul("", x, gain))
        })
    })
}

type Values = Vec<(String, Tensor<f32>)>;

fn of(values: &Values, name: &str) -> Vec<f64> {
    let (_, tensor) = values.iter().find(|(own, _)| own == name).unwrap();
    tensor.data().iter().map(|x| f64::from(*x)).collect()
}

/// The names of state of a parameter's shape.
fn state_of(optimizer: Optimizer) -> &'static [&'static str] {
    match optimizer {
        Optimizer::Sgd { .. } => &[],
        Optimizer::Momentum { .. } => &["momentum_buffer"],
        Optimizer::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        Optimizer::Adafactor { .. } | Optimizer::Muon { .. } => unreachable!(),
    }
}

/// A parameter and its state after a step, by the formulas.
fn updated(optimizer: Optimizer, name: &str, given: &Values, g: &[f64]) -> Vec<Vec<f64>> {
    let p = of(given, name);
    let state = state_of(optimizer).iter().map(|own| of(given, &format!("{name}.{own}")));
    let state: Vec<Vec<f64>> = state.collect();
    let rate = of(given, "optimizer.rate")[0];
    let each = (0..p.len()).map(|i| match optimizer {
        Optimizer::Sgd { weight_decay } => vec![p[i] - rate * (g[i] + weight_decay * p[i])],
        Optimizer::Momentum { momentum, weight_decay } => {
            let b = momentum * state[0][i] + g[i] + weight_decay * p[i];
            vec![p[i] - rate * b, b]
        }
        Optimizer::AdamW { betas: [first, second], eps, weight_decay } => {
            let m = first * state[0][i] + (1.0 - first) * g[i];
            let v = second * state[1][i] + (1.0 - second) * g[i] * g[i];
            let (bias, root) = (of(given, "optimizer.first")[0], of(given, "optimizer.second")[0]);
            let step = rate / bias * m / ((v / root).sqrt() + eps);
            vec![p[i] * (1.0 - rate * weight_decay) - step, m, v]
        }
        Optimizer::Adafactor { .. } | Optimizer::Muon { .. } => unreachable!(),
    });
    let each: Vec<Vec<f64>> = each.collect();
    (0..=state.len()).map(|at| each.iter().map(|all| all[at]).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parameters_change_by_the_formulas(
        [l, m, n, c] in [1..3_usize, 1..3, 1..3, 1..4], clip: bool, decay: bool, seed in 0..1000_u64,
    ) {
        let g = model();
        let sizes = Binding::from_iter([("l", l), ("m", m), ("n", n), ("c", c)]);
        let weight_decay = if decay { 0.1 } else { 0.0 };
        let adamw = Optimizer::AdamW { betas: [0.75, 0.875], eps: 0.01, weight_decay };
        let momentum = Optimizer::Momentum { momentum: 0.75, weight_decay };
        for optimizer in [Optimizer::Sgd { weight_decay }, momentum, adamw] {
            let update = Update { optimizer, clip: clip.then_some(0.5) };
            let step = TrainingStep { update: Some(update), ..TrainingStep::default() }.of(&g, "y").unwrap();
            let mut given = values(&step, &sizes, seed);
            for (name, tensor) in &mut given {
                if name.ends_with("exp_avg_sq") || name.starts_with("optimizer.") {
                    *tensor = tensor.map(|x| x.abs());
                }
            }
            let gradients = run(&backward(&g, "y").unwrap(), &sizes, &given);
            let gradients: Vec<(&str, &Vec<f64>)> = { gradients.iter() }
                .filter_map(|(name, g)| Some((name.strip_prefix("gradient.")?, g)))
                .collect();
            prop_assert_eq!(gradients.len(), 1 + l + l * m);
            let squares = gradients.iter().flat_map(|(_, g)| g.iter()).map(|g| g * g).sum::<f64>();
            let share = if clip { (0.5 / (squares.sqrt() + 1e-6)).min(1.0) } else { 1.0 };
            let found = run(&step, &sizes, &given);
            for (name, gradient) in gradients {
                let gradient: Vec<f64> = gradient.iter().map(|g| g * share).collect();
                let expected = updated(optimizer, name, &given, &gradient);
                let state = state_of(optimizer).iter().map(|own| format!("updated.{name}.{own}"));
                let names = std::iter::once(format!("updated.{name}")).chain(state);
                for (name, expected) in names.zip(expected) {
                    let (_, own) = found.iter().find(|(own, _)| *own == name).unwrap();
                    for (x, y) in own.iter().zip(&expected) {
                        prop_assert!((x - y).abs() < 1e-12, "{} {}: {} for {}", optimizer, name, x, y);
                    }
                    prop_assert_eq!(own.len(), expected.len());
                }
            }
            let feeds = given.into_iter().fold(Feeds::seeded(1), |f, (name, value)| f.with(&name, value));
            let theorem = prove(&step, &sizes, &feeds).unwrap().theorem;
            prop_assert!(theorem.holds(), "{:?}", theorem.mismatches);
        }
    }

    /// Of matrices whose sides are of any sizes, in repetitions or not.
    #[test]
    fn matrices_change_as_is_counted(
        [l, m, n, c] in [1..3_usize, 1..3, 1..3, 1..4], clip: bool, seed in 0..1000_u64,
    ) {
        let g = model();
        let sizes = Binding::from_iter([("l", l), ("m", m), ("n", n), ("c", c)]);
        for optimizer in [Optimizer::ADAFACTOR, Optimizer::MUON] {
            let update = Some(Update { optimizer, clip: clip.then_some(0.5) });
            let open = TrainingStep { update, ..TrainingStep::default() };
            // Which side is shorter has to be known.
            let sides = matches!(open.of(&g, "y"), Err(GradError::Sides { .. }));
            prop_assert_eq!(sides, optimizer == Optimizer::MUON);
            let step = TrainingStep { sizes: sizes.clone(), ..open }.of(&g, "y").unwrap();
            let mut given = values(&step, &sizes, seed);
            for (name, tensor) in &mut given {
                if name.ends_with("_var") || name.ends_with("_sq") || name.ends_with("variance") {
                    *tensor = tensor.map(|x| x.abs());
                }
            }
            for (name, value) in optimizer.rates(2, 0.01) {
                let own = given.iter_mut().find(|(own, _)| own == name).unwrap();
                own.1 = Tensor::from(value as f32);
            }
            let feeds = given.into_iter().fold(Feeds::seeded(1), |f, (name, value)| f.with(&name, value));
            let theorem = prove(&step, &sizes, &feeds).unwrap().theorem;
            prop_assert!(theorem.holds(), "{:?}", theorem.mismatches);
        }
    }
}
