//! One interpreter and several graphs: what it keeps of one never reaches another. A prepared run owns
//! its graph and its tensors, so that the one cannot be run on the other's.

use super::assert_proved;
use crate::{Fast, Feeds, Prepared, Quiet};
use opledger_dims::Binding;
use opledger_ir::ops::{Activation, Source};
use opledger_ir::{Graph, Var};

/// `relu((x / y)·wᵀ)` and the product inside, its sources recorded in an order, all square, so that
/// nothing but names tells them.
fn quotient(order: [&str; 3]) -> (Graph, Var) {
    let mut g = Graph::new();
    let mut of = std::collections::BTreeMap::new();
    for name in order {
        let var = match name {
            "w" => g.param(name, Source::weight("c"), ["f", "c"]),
            _ => g.input(name, ["n", "c"]),
        };
        of.insert(name, var.unwrap());
    }
    let ratio = g.div("", of["x"], of["y"]).unwrap();
    let product = g.einsum("n c, f c -> n f", ratio, of["w"]).unwrap();
    let z = g.activation(product, Activation::Relu).unwrap();
    g.output("z", z);
    (g, product)
}

#[test]
fn an_interpreter_runs_graphs_in_turn() {
    let sizes = Binding::from_iter([("n", 16), ("c", 16), ("f", 16)]);
    let graphs = [["x", "y", "w"], ["y", "x", "w"], ["w", "y", "x"]].map(|order| quotient(order).0);
    let prepared = graphs.each_ref().map(|g| Prepared::new(g, &sizes, &Feeds::seeded(1)).unwrap());
    let mut fast = Fast::new().unwrap();
    let bits = |prepared: &Prepared, fast: &mut Fast| -> Vec<u32> {
        let run = prepared.run(fast, &mut Quiet).unwrap();
        run.output("z").unwrap().iter().map(|x| x.to_bits()).collect()
    };
    let alone = bits(&prepared[0], &mut Fast::new().unwrap());
    for _ in 0..2 {
        for prepared in &prepared {
            assert_eq!(bits(prepared, &mut fast), alone);
        }
    }
    graphs.iter().for_each(|graph| assert_proved(graph, &sizes));
}

/// A graph that goes on after it was prepared is another one.
#[test]
fn what_is_recorded_later_is_not_run() {
    let sizes = Binding::from_iter([("n", 4), ("c", 4), ("f", 4)]);
    let (mut graph, product) = quotient(["x", "y", "w"]);
    let before = Prepared::new(&graph, &sizes, &Feeds::seeded(1)).unwrap();
    graph.output("product", product);
    let after = Prepared::new(&graph, &sizes, &Feeds::seeded(1)).unwrap();
    let names = |prepared: &Prepared| {
        let run = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
        run.outputs.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&before), ["z"]);
    assert_eq!(names(&after), ["z", "product"]);
}
