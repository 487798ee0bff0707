//! Gradients against differences of what the graph computes, and the theorem on the graph of the step.

use opledger_dims::{Binding, Counted, Scalar};
use opledger_grad::{Loss, Recompute, TrainingStep};
use opledger_interp::{Feeds, Oracle, Prepared, Quiet, prove};
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Graph, GraphError, Kind, Op, Var};
use opledger_tensor::{Distribution, Tensor};

use crate::dual::{direction, slopes};

pub(crate) type Made = Result<Var, GraphError>;

/// A graph whose result `y` is made of parameters.
pub(crate) fn graph(record: impl Fn(&mut Graph) -> Made) -> Graph {
    let mut g = Graph::new();
    let y = record(&mut g).unwrap();
    g.output("y", y);
    g
}

pub(crate) fn param<const N: usize>(g: &mut Graph, name: &str, axes: [(&str, usize); N]) -> Made {
    g.param(name, Source::shift(), axes.map(Axis::from))
}

/// Values of all real sources, in halves and quarters, none near 0.
pub(crate) fn values(g: &Graph, sizes: &Binding, seed: u64) -> Vec<(String, Tensor<f32>)> {
    let real = |node: &&opledger_ir::Node| {
        node.op.is_source() && node.shape.elem.kind() == Kind::Real && !node.path.is_empty()
    };
    let own = |op: &Op| matches!(op, Op::Source(Source::Param { .. } | Source::Input { .. }));
    let sources = g.nodes().iter().filter(real).filter(|node| own(&node.op));
    let all = sources.flat_map(|node| {
        let paths = g.instances(node, sizes).unwrap();
        paths.into_iter().map(move |path| (path, node))
    });
    let each = all.enumerate().map(|(at, (path, node))| {
        let size = |axis: &Axis| usize::try_from(axis.size.at(sizes).unwrap()).unwrap();
        let shape: Vec<usize> = node.shape.axes.iter().map(size).collect();
        let uniform = Distribution::Uniform { centre: 0.0, radius: 1.0 };
        let drawn = Tensor::random(&shape, seed + at as u64, uniform);
        // 2⁻¹⁰ more or less is exact.
        (path, drawn.map(|x| (x * 1024.0).round() / 1024.0 + 0.125 * x.signum()))
    });
    each.collect()
}

/// A graph with those of the values that it takes.
pub(crate) fn prepared(g: &Graph, sizes: &Binding, values: &[(String, Tensor<f32>)]) -> Prepared {
    let own: Vec<String> =
        g.nodes().iter().flat_map(|node| g.instances(node, sizes).unwrap()).collect();
    let given = values.iter().filter(|(path, _)| own.contains(path));
    let feeds =
        given.fold(Feeds::seeded(1), |feeds, (path, value)| feeds.with(path, value.clone()));
    Prepared::new(g, sizes, &feeds).unwrap()
}

pub(crate) fn run(
    g: &Graph,
    sizes: &Binding,
    values: &[(String, Tensor<f32>)],
) -> Vec<(String, Vec<f64>)> {
    let prepared = prepared(g, sizes, values);
    let run = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
    let real = |(name, value): &(String, opledger_ir::Value<Counted<f64>>)| {
        let data = value.real()?.data().iter().map(|x| x.to_f64()).collect();
        Some((name.clone(), data))
    };
    run.outputs.iter().filter_map(real).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ⟨w, (y(p + εv) − y(p − εv)) / 2ε⟩ = ⟨gradient of p, v⟩ for each parameter p, w being the gradient of
/// y; the same without rounding by [`adjoint`]; and every node of the gradient's graph counts what its formula
/// says.
pub(crate) fn check(g: &Graph, sizes: &Binding, seed: u64) {
    for recompute in RECOMPUTED {
        let step = TrainingStep { recompute, ..TrainingStep::default() };
        check_step(g, &step.of(g, "y").unwrap(), sizes, seed);
    }
}

const RECOMPUTED: [Recompute; 3] = [Recompute::Nothing, Recompute::Selective, Recompute::Layers];

/// ⟨w, J·u⟩ = ⟨Jᵀ·w, u⟩, where dual numbers through the references say J·u and the step says Jᵀ·w.
pub(crate) fn adjoint(g: &Graph, sizes: &Binding, seed: u64) {
    for recompute in RECOMPUTED {
        let step = TrainingStep { recompute, ..TrainingStep::default() };
        adjoint_step((g, "y"), &step.of(g, "y").unwrap(), sizes, seed);
    }
}

fn adjoint_step((g, seen): (&Graph, &str), step: &Graph, sizes: &Binding, seed: u64) {
    let names: Vec<&str> =
        step.outputs().iter().filter_map(|(name, _)| name.strip_prefix("gradient.")).collect();
    let mut given = values(step, sizes, seed);
    let mut changing = Vec::new();
    let parameters: Vec<String> = (step.nodes().iter())
        .filter(|node| names.contains(&node.path.as_str()))
        .flat_map(|node| step.instances(node, sizes).unwrap())
        .collect();
    for (path, tensor) in &mut given {
        match parameters.contains(path) {
            true => changing.push(tensor.clone()),
            // An input is never taken for a parameter.
            false => *tensor = tensor.map(|x| x + 2_f32.powi(-12)),
        }
    }
    let found = run(step, sizes, &given);
    let weights = given.iter().find(|(path, _)| path == "gradient");
    let weights = weights.map_or_else(|| vec![1.0], |(_, w)| wide(w));
    let forward = dot(&slopes(g, sizes, &given, (&changing, seen)), &weights);
    let (mut backward, mut size) = (0.0, 1.0);
    for (path, tensor) in given.iter().filter(|(path, _)| parameters.contains(path)) {
        let (_, gradient) =
            found.iter().find(|(name, _)| name.strip_prefix("gradient.") == Some(path)).unwrap();
        let direction = direction(tensor);
        backward += dot(gradient, &direction);
        size += gradient.iter().zip(&direction).map(|(g, u)| (g * u).abs()).sum::<f64>();
    }
    assert!(!changing.is_empty());
    assert!((forward - backward).abs() < 1e-11 * size, "{forward} forwards, {backward} backwards");
}

fn wide(tensor: &Tensor<f32>) -> Vec<f64> {
    tensor.data().iter().map(|x| f64::from(*x)).collect()
}

/// The same of a loss of y: what `step` computes and `gradient.…` gives.
pub(crate) fn check_loss(g: &Graph, loss: Loss, sizes: &Binding, seed: u64) {
    let step = TrainingStep { loss, ..TrainingStep::default() };
    check_step(g, &step.of(g, "y").unwrap(), sizes, seed);
}

fn check_step(g: &Graph, step: &Graph, sizes: &Binding, seed: u64) {
    // What is looked at: the loss, or y along the gradient that it is given.
    let lost = step.outputs().iter().any(|(name, _)| name == "loss");
    let (g, seen) = if lost { (step, "loss") } else { (g, "y") };
    let given = values(step, sizes, seed);
    let of = |results: &[(String, Vec<f64>)], name: &str| {
        results.iter().find(|(own, _)| own == name).map(|(_, data)| data.clone()).unwrap()
    };
    let found = run(step, sizes, &given);
    let weights = given.iter().find(|(path, _)| path == "gradient").map(|(_, w)| wide(w));
    let weights = weights.unwrap_or_else(|| vec![1.0]);
    let gradients: Vec<String> = found
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("gradient.").map(str::to_owned))
        .collect();
    assert!(!gradients.is_empty());
    for name in gradients {
        let at = given.iter().position(|(path, _)| *path == name).unwrap();
        let shape = given[at].1.shape().to_vec();
        let direction = Tensor::random(&shape, seed + 77, Distribution::Dyadic);
        let epsilon = 2_f32.powi(-9);
        let moved = |sign: f32| {
            let mut moved = given.clone();
            let all = given[at].1.data().iter().zip(direction.data());
            let data = all.map(|(x, v)| x + sign * epsilon * v).collect();
            moved[at].1 = Tensor::new(&shape, data).unwrap();
            of(&run(g, sizes, &moved), seen)
        };
        let (up, down) = (moved(1.0), moved(-1.0));
        let slope = (dot(&up, &weights) - dot(&down, &weights)) / f64::from(2.0 * epsilon);
        let gradient = of(&found, &format!("gradient.{name}"));
        let ours = dot(&gradient, &wide(&direction));
        let size = 1.0 + dot(&gradient, &gradient).sqrt();
        assert!((slope - ours).abs() < 2e-4 * size, "{name}: {slope} by differences, {ours}");
    }
    adjoint_step((g, seen), step, sizes, seed);
    let theorem = prove(step, sizes, &Feeds::seeded(seed)).unwrap().theorem;
    assert!(theorem.holds(), "{:?}", theorem.mismatches);
}

pub(crate) fn checked(seed: u64, record: impl Fn(&mut Graph) -> Made) {
    check(&graph(record), &Binding::new(), seed);
}
