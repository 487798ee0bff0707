//! Products of derived steps beside those of PyTorch's own export of forward and backward pass.

use std::collections::BTreeMap;

use opledger_account::{Model, TrainingOptions};
use opledger_dims::Binding;
use opledger_ir::{Axis, Graph, Node, Op, Phase};
use serde_json::Value;

/// A product: batch, the sizes of both results' axes, the smaller first, and of what is summed. Turned round it
/// is the same.
type Product = [u64; 4];

/// How often each product occurs.
type Products = BTreeMap<Product, u64>;

fn product(batch: u64, m: u64, n: u64, k: u64) -> Product {
    [batch, m.min(n), m.max(n), k]
}

/// The products of a part of a step. Where neither operand has an axis of its own, rows are multiplied and summed.
fn derived(graph: &Graph, sizes: &Binding, phase: Phase) -> Products {
    let mut found = Products::new();
    let at = |poly: &opledger_dims::Poly| -> u64 {
        poly.at(sizes).unwrap().to_string().parse().unwrap()
    };
    for node in graph.nodes().iter().filter(|node| node.phase == phase) {
        let Node { op: Op::Einsum(op), inputs, .. } = node else { continue };
        let axes = |var: usize| graph.shape(inputs[var]).axes.iter();
        let named: Vec<(&Axis, bool, bool, bool)> = { axes(0).zip(&op.lhs) }
            .map(|(axis, name)| (axis, true, op.rhs.contains(name), op.out.contains(name)))
            .chain(
                { axes(1).zip(&op.rhs) }
                    .filter(|(_, name)| !op.lhs.contains(name))
                    .map(|(axis, name)| (axis, false, true, op.out.contains(name))),
            )
            .collect();
        let of = |place: (bool, bool, bool)| -> u64 {
            let own = named.iter().filter(|(_, l, r, o)| (*l, *r, *o) == place);
            own.map(|(axis, ..)| at(&axis.size)).product()
        };
        assert!(named.iter().all(|(_, l, r, o)| *o || l == r), "{}", node.path);
        let (m, n) = (of((true, false, true)), of((false, true, true)));
        if m * n > 1 {
            let own = product(of((true, true, true)), m, n, of((true, true, false)));
            *found.entry(own).or_default() += at(&graph.multiplicity(node));
        }
    }
    found
}

/// The products that PyTorch has; of projections that it holds as one weight, each.
fn exported(case: &Value, pass: &str) -> Products {
    let mut found = Products::new();
    for own in case[pass].as_array().unwrap() {
        let size = |at: usize| own[at].as_u64().unwrap();
        let (mut sizes, mut times) = ([size(1), size(2), size(3)], 1);
        for (packed, parts) in case["packed"].as_object().unwrap() {
            let (packed, parts): (u64, _) = (packed.parse().unwrap(), parts.as_u64().unwrap());
            if let Some(axis) = sizes.iter_mut().find(|size| **size == packed) {
                *axis = packed / parts;
                times = parts;
            }
        }
        let [m, k, n] = sizes;
        *found.entry(product(size(0), m, n, k)).or_default() += times;
    }
    found
}

#[test]
fn products_are_those_of_the_joint_export() {
    let cases: Value = serde_json::from_str(include_str!("joint/products.json")).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    let folder = tempfile::tempdir().unwrap();
    for case in cases {
        let text = match &case["model"] {
            Value::String(layer) => layer.clone(),
            config => {
                let path = folder.path().join("config.json");
                std::fs::write(&path, config.to_string()).unwrap();
                path.to_str().unwrap().to_owned()
            }
        };
        let model = Model::open(&text).unwrap();
        let step = model.training(&TrainingOptions::default()).unwrap();
        let sizes: Binding = { case["sizes"].as_object().unwrap().iter() }
            .map(|(symbol, size)| (symbol.as_str(), size.as_u64().unwrap()))
            .collect();
        let sizes = step.sized(&sizes).unwrap();
        for (pass, phase) in [("forward", Phase::Forward), ("backward", Phase::Backward)] {
            let (ours, theirs) = (derived(step.graph(), &sizes, phase), exported(case, pass));
            assert_eq!(ours, theirs, "{}, {pass}", case["name"]);
        }
    }
}
