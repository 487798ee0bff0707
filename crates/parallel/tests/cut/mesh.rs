//! Several ways at once, on 4 and 8 ranks.

use std::collections::BTreeSet;

use opledger_ir::Phase;
use opledger_parallel::{CountingWire, Pipeline, Zero};

use super::layers::{GPT2, LLAMA};
use super::steps::{around, step};
use super::*;

/// Data and tensor parallel ranks.
const MESHES: [(u64, u64); 3] = [(2, 2), (2, 4), (4, 2)];

fn mesh(zero: Zero, tensor: Strategy, (data, heads): (u64, u64)) -> [MeshAxis; 2] {
    [
        MeshAxis { strategy: Strategy::Data(zero), ranks: data },
        MeshAxis { strategy: tensor, ranks: heads },
    ]
}

fn poly(text: &str) -> Poly {
    text.parse().unwrap()
}

/// Parameters that no backward pass reads.
fn unread(graph: &Graph) -> impl Iterator<Item = opledger_ir::Var> {
    let backward = graph.nodes().iter().filter(|node| node.phase == Phase::Backward);
    let read: BTreeSet<_> = backward.flat_map(|node| node.inputs.iter().copied()).collect();
    graph.vars().filter(move |var| graph.node(*var).is_parameter() && !read.contains(var))
}

/// Of its items, a rank sends two sums a layer to those that have the other heads, and nothing to those that
/// have other items.
#[test]
fn a_forward_pass_of_items_and_heads() {
    for config in [GPT2, LLAMA] {
        let config = Config::parse("test", config.as_bytes()).unwrap();
        let model = config.model("test", &Request::default()).unwrap();
        let case = Case::of(&model.graph, &model.binding.with("b", 4).with("n", 8));
        for tensor in [TENSOR, SEQUENCE] {
            for (data, heads) in MESHES {
                let mesh = mesh(Zero::None, tensor, (data, heads));
                let cut = Partition::over(&case.graph, &mesh).unwrap();
                case.holds_cut(&cut);
                assert_eq!(cut.sent_along(0), Poly::default());
                let two = around(&poly("8·b·n·c·l"), 2 * 2, heads).ratio(1, data as i64);
                assert_eq!(cut.sent_along(1), two);
            }
        }
    }
}

/// Four sums a layer of a rank's items; and of a rank's parameters, the sums of their gradients.
#[test]
fn a_step_of_items_and_heads() {
    for config in [GPT2, LLAMA] {
        let case = step(config, (4, 2));
        for (data, heads) in MESHES {
            for zero in [Zero::None, Zero::Gradients, Zero::Parameters] {
                let mesh = mesh(zero, TENSOR, (data, heads));
                let cut = Partition::over(&case.graph, &mesh).unwrap();
                case.holds_cut(&cut);
                let four = around(&poly("8·b·n·c·l"), 2 * 4, heads).ratio(1, data as i64);
                assert_eq!(cut.sent_along(1), four, "{mesh:?}");
                let alone = Partition::new(&case.graph, TENSOR, heads).unwrap().weights();
                let shares = if zero == Zero::Parameters { data as i64 } else { 1 };
                assert_eq!(cut.weights(), alone.ratio(1, shares), "{mesh:?}");
                let most = if zero == Zero::Parameters { 3 } else { 2 };
                let mut sums = around(&alone, most, data);
                if zero == Zero::Parameters {
                    // Biases and tables that are looked up in alone are not gathered for a backward pass.
                    let unread = unread(&case.graph).map(|var| cut.held(var)).sum::<Poly>();
                    sums = sums - around(&(unread * data as i64), 1, data);
                }
                assert_eq!(cut.sent_along(0), sums, "{mesh:?}");
            }
        }
    }
}

/// With tokens cut in between, what is whole on all ranks has gradients that are summed among both.
#[test]
fn a_step_of_items_heads_and_tokens() {
    for config in [GPT2, LLAMA] {
        let case = step(config, (4, 4));
        for (data, heads) in MESHES {
            for zero in [Zero::None, Zero::Parameters] {
                let mesh = mesh(zero, SEQUENCE, (data, heads));
                let cut = Partition::over(&case.graph, &mesh).unwrap();
                case.holds_cut(&cut);
                assert!(cut.sent_along(0) != Poly::default());
            }
        }
    }
}

/// What goes from layer to layer goes once over each link, and sums stay within a stage.
#[test]
fn heads_on_stages() {
    for config in [GPT2, LLAMA] {
        let case = Case::model(config);
        for heads in [2, 4] {
            let axis = MeshAxis { strategy: TENSOR, ranks: heads };
            let pipeline = Pipeline::over(&case.graph, 2, &[axis]).unwrap();
            let run =
                pipeline.run(&case.binding, &|path| case.fed(path), CountingWire::new).unwrap();
            case.holds_values(&run.outputs, "heads on stages");
            let at = |formula: Poly| u64::try_from(&formula.at(&case.binding).unwrap()).unwrap();
            assert_eq!(pipeline.sent().to_string(), "8·b·n·c");
            let each = vec![at(pipeline.sent()); heads as usize];
            assert_eq!(run.sent, [each, vec![0; heads as usize]]);
            let within: u64 = run.within.iter().map(|ranks| ranks[0]).sum();
            assert_eq!(at(pipeline.sent_within(0)) + at(pipeline.sent_within(1)), within);
            let two = around(&poly("8·b·n·c·l"), 2 * 2, heads).ratio(1, 2);
            assert_eq!([0, 1].map(|stage| pipeline.sent_within(stage)), [two.clone(), two]);
            let weights = [0, 1].map(|stage| at(pipeline.weights(stage)));
            assert_eq!(run.weights, weights);
        }
    }
}

#[test]
fn two_ways_do_not_cut_one_axis() {
    let case = Case::model(LLAMA);
    let axis = MeshAxis { strategy: TENSOR, ranks: 2 };
    let told = Partition::over(&case.graph, &[axis, axis]).unwrap_err().to_string();
    assert!(told.starts_with("two ways cut the same axis of `model.layers.*."), "{told}");
}
