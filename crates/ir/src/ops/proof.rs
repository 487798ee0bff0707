//! What the tests of every operation use: evaluation of a graph by its references, and the proof
//! that what they count is what `cost` says.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Counted, Counts, Integer, Scalar, counted, take_counts};
use opledger_tensor::{Distribution, Tensor, seed_of};

use super::Source;
use crate::op::Op;
use crate::operation::Operation;
use crate::value::to_usize;
use crate::{Call, Definition, Graph, Part, PartCounts, Reads, Shape, Value, Var, indices};

fn sizes(g: &Graph, var: Var, binding: &Binding) -> Vec<usize> {
    g.shape(var).axes.iter().map(|a| to_usize(&a.size.at(binding).unwrap()).unwrap()).collect()
}

/// Pairs and rows that a mask tensor leaves, by looking at every pair.
fn measure_kept<T>(g: &Graph, values: &BTreeMap<Var, Value<T>>, binding: &mut Binding) {
    for definition in g.definitions() {
        let Definition::Kept { keep, .. } = definition else { continue };
        if let Some(keep) = values.get(keep).and_then(Value::index) {
            definition.measure(keep, binding).unwrap();
        }
    }
}

fn each<T: Scalar>(
    g: &Graph,
    binding: &Binding,
    feed: impl Fn(&str, &[usize]) -> Option<Vec<f64>>,
    mut seen: impl FnMut(Var, &PartCounts<u64>, u64, &Binding),
) -> BTreeMap<Var, Value<T>> {
    let mut binding = g.complete(binding).unwrap();
    let mut values: BTreeMap<Var, Value<T>> = BTreeMap::new();
    for (i, node) in g.nodes().iter().enumerate() {
        let var = Var::first(i);
        let shape = sizes(g, var, &binding);
        let results = match &node.op {
            Op::Source(source) => vec![match (feed(&node.path, &shape), source) {
                (
                    Some(data),
                    Source::Ids { .. } | Source::Visible { .. } | Source::Whole { .. },
                ) => {
                    let data = data.into_iter().map(|x| x as i64).collect();
                    Value::Index(Tensor::new(&shape, data).unwrap())
                }
                (Some(data), _) => {
                    Tensor::new(&shape, data).unwrap().map(|x| T::from_f64(*x)).into()
                }
                (None, Source::Ids { below, .. }) => {
                    let below = i64::try_from(&below.at(&binding).unwrap()).unwrap();
                    Value::Index(Tensor::random_index(&shape, i as u64, below))
                }
                (None, Source::Visible { .. } | Source::Whole { .. }) => {
                    Value::Index(Tensor::random_index(&shape, i as u64, 2))
                }
                (None, Source::Known { .. }) => Value::Index(source.known(&shape).unwrap()),
                (None, _) => Tensor::random(&shape, seed_of(1, &node.path), Distribution::Dyadic)
                    .map(|x| T::from_f64(f64::from(*x)))
                    .into(),
            }],
            op => {
                measure_kept(g, &values, &mut binding);
                let inputs: Vec<&Value<T>> = node.inputs.iter().map(|v| &values[v]).collect();
                let shapes = g.operand_shapes(node);
                let reads = Reads::of(inputs.len());
                let call = Call {
                    reads: &reads,
                    path: &node.path,
                    inputs: &inputs,
                    shapes: &shapes,
                    output: &shape,
                    binding: &binding,
                };
                let mut parts = PartCounts::free();
                take_counts();
                let value =
                    op.reference(&call, &mut |part| parts.add(part, &take_counts())).unwrap();
                assert!(take_counts().is_zero(), "{}: operations counted in no part", node.path);
                let elems: Vec<_> = shapes.iter().map(|shape| shape.elem).collect();
                let bytes = reads.bytes(&elems);
                prove_axes(op, &call, &node.shape, &value[0]);
                take_counts();
                seen(var, &parts, bytes, &binding);
                value
            }
        };
        for (result, value) in results.into_iter().enumerate() {
            values.insert(var.sibling(result), value);
        }
    }
    values
}

/// Asserts of one call that an axis which runs along with one of the result does: other numbers at its
/// first position change the result at that position alone.
fn prove_axes<T: Scalar>(op: &Op, call: &Call<'_, T>, outputs: &Shape, result: &Value<T>) {
    let map = op.axis_map(call.shapes, outputs);
    for (operand, value) in call.inputs.iter().enumerate() {
        let Value::Real(x) = value else { continue };
        assert_eq!(map.of(operand).len(), x.shape().len(), "{}: operand {operand}", call.path);
        for (axis, along) in map.of(operand).iter().enumerate() {
            let Some(along) = *along else { continue };
            assert_eq!(x.shape()[axis], call.output[along], "{}: operand {operand}", call.path);
            let changed = indices(x.shape()).zip(x.data()).map(|(index, x)| match index[axis] {
                0 => *x * T::from_f64(0.5) + T::from_f64(0.25),
                _ => *x,
            });
            let changed = Value::Real(Tensor::new(x.shape(), changed.collect()).unwrap());
            let mut inputs = call.inputs.to_vec();
            inputs[operand] = &changed;
            let reads = Reads::of(inputs.len());
            let other = Call { inputs: &inputs, reads: &reads, ..*call };
            let other = op.reference(&other, &mut |_| {}).unwrap();
            let numbers = |value: &Value<T>| match value {
                Value::Real(t) => t.data().iter().map(|x| x.to_f64().to_bits()).collect(),
                Value::Index(t) => t.data().iter().map(|x| *x as u64).collect::<Vec<u64>>(),
            };
            let pairs = numbers(result).into_iter().zip(numbers(&other[0]));
            for (index, (before, after)) in indices(call.output).zip(pairs) {
                let same = index[along] == 0 || before == after;
                assert!(same, "{}: axis {axis} of operand {operand} at {index:?}", call.path);
            }
        }
    }
}

/// Asserts for every node that what its reference counts, part by part, is what `cost` says, that it
/// reads what the node's bytes say, and that its facts hold.
pub(crate) fn prove(g: &Graph, binding: &[(&str, usize)]) {
    let binding = Binding::from_iter(binding.iter().copied());
    each::<Counted<f32>>(
        g,
        &binding,
        |_, _| None,
        |var, measured, read, binding| {
            let node = g.node(var);
            let conflict = node.op.conflict(&g.operand_shapes(node), binding);
            assert_eq!(conflict, None, "{} at {binding}", node.path);
            let derived = g.node_cost(node);
            let (bytes, read) = (g.node_bytes(node).0.at(binding).unwrap(), Integer::from(read));
            // Which experts are met depends on the choices.
            let fits =
                if matches!(node.op, Op::Experts(_)) { read <= bytes } else { read == bytes };
            assert!(fits, "{} reads {read} bytes of {bytes}", node.path);
            let parts: Vec<Part> = derived.parts().collect();
            assert_eq!(node.op.facts().parts, parts, "{}", node.path);
            for part in measured.parts().chain(parts) {
                let derived = derived.part(part).at(binding).unwrap();
                assert_eq!(
                    measured.part(part).widen(),
                    derived,
                    "{} {part:?} at {binding}",
                    node.path
                );
            }
        },
    );
    let ((), silent) = counted(|| {
        each::<f64>(g, &binding, |_, _| None, |_, _, _, _| {});
    });
    assert_eq!(silent, Counts::zero());
}

/// The value of a node for the given inputs, in double precision.
pub(crate) fn evaluate(g: &Graph, var: Var, feeds: &[(&str, &[f64])]) -> Vec<f64> {
    evaluate_at(g, var, feeds, [])
}

/// The same at a binding.
pub(crate) fn evaluate_at<'s>(
    g: &Graph,
    var: Var,
    feeds: &[(&str, &[f64])],
    sizes: impl IntoIterator<Item = (&'s str, usize)>,
) -> Vec<f64> {
    let feed = |path: &str, _: &[usize]| {
        feeds.iter().find(|(name, _)| *name == path).map(|(_, data)| data.to_vec())
    };
    let binding = Binding::from_iter(sizes);
    match &each::<f64>(g, &binding, feed, |_, _, _, _| {})[&var] {
        Value::Real(t) => t.data().to_vec(),
        Value::Index(t) => t.data().iter().map(|x| *x as f64).collect(),
    }
}
