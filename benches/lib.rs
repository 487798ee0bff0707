//! What the benches share: a layer, its sizes, and one run of it.
//!
//! Throughput is in elements per second, an element being one useful scalar operation by the derived
//! formula, which the tests hold against the ledger (the convention `flops`); it reads as FLOP/s.

use std::time::Duration;

use criterion::{BenchmarkGroup, BenchmarkId, Throughput, measurement::WallTime};
use opledger_dims::Binding;
use opledger_grad::{Recompute, TrainingStep};
use opledger_interp::{Fast, Feeds, Interpreter, Oracle, Prepared, Quiet};
use opledger_ir::Graph;
use opledger_kernels::NoMeter;
use opledger_models::layer::parse;

/// Times runs of `model` at the given sizes. Tensors are drawn once, outside the time.
///
/// # Panics
/// When the layer or the sizes are wrong, which only a mistake in a bench can cause.
#[allow(clippy::expect_used)]
pub fn time<I: Interpreter>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    parameter: impl std::fmt::Display,
    (model, sizes): (&str, &[(&str, u64)]),
    interpreter: &mut I,
) {
    let model = parse(model).expect("a layer of the grammar");
    let sizes = sizes.iter().fold(model.binding.clone(), |at: Binding, (s, v)| at.with(*s, *v));
    time_graph(group, name, parameter, (&model.graph, &sizes), interpreter);
}

/// The same of forward and backward pass of the layer, the gradient of its result being given.
///
/// # Panics
/// As [`time`].
#[allow(clippy::expect_used)]
pub fn time_step<I: Interpreter>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    recompute: Recompute,
    (model, sizes): (&str, &[(&str, u64)]),
    interpreter: &mut I,
) {
    let model = parse(model).expect("a layer of the grammar");
    let sizes = sizes.iter().fold(model.binding.clone(), |at: Binding, (s, v)| at.with(*s, *v));
    let parameter = recompute.to_string();
    let step = TrainingStep { recompute, ..TrainingStep::default() };
    let step = step.of(&model.graph, "y").expect("a result with gradients");
    time_graph(group, name, parameter, (&step, &sizes), interpreter);
}

#[allow(clippy::expect_used)]
fn time_graph<I: Interpreter>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    parameter: impl std::fmt::Display,
    (graph, sizes): (&Graph, &Binding),
    interpreter: &mut I,
) {
    let prepared = Prepared::new(graph, sizes, &Feeds::seeded(1)).expect("sizes that fit");
    let mut run = || prepared.run(interpreter, &mut Quiet).expect("a run");
    let derived = graph.counts_at(sizes).expect("sizes that fit");
    let operations = u64::try_from(derived.total()).unwrap_or(u64::MAX);
    group.throughput(Throughput::Elements(operations));
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.bench_function(BenchmarkId::new(name, parameter), |b| {
        b.iter(&mut run);
    });
}

/// The fast interpreter.
///
/// # Panics
/// When `OPLEDGER_ISA` asks for what the machine lacks.
#[allow(clippy::expect_used)]
pub fn fast() -> Fast {
    Fast::new().expect("the instruction set asked for")
}

/// The fast interpreter with counting compiled out.
///
/// # Panics
/// As [`fast`].
#[allow(clippy::expect_used)]
pub fn uncounted() -> Fast<NoMeter> {
    Fast::uncounted().expect("the instruction set asked for")
}

/// The oracle on `f32`.
pub fn oracle() -> Oracle<f32> {
    Oracle::new()
}
