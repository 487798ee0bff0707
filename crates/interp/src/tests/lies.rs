//! Interpreters that lie about one thing: each lie is told, with the node's path.

use super::*;
use crate::proof::prove_by;
use crate::{Interpreter, NodeCall, Schedule, in_turn};
use opledger_dims::{Class, Counted, Counts, take_counts};
use opledger_ir::{OpError, Operation, Part, Value};
use opledger_kernels::{Meter, Substitution, Tally};
use opledger_tensor::Tensor;

type Results<I> = Result<Vec<Value<<I as Interpreter>::Scalar>>, OpError>;
type Lie<I> = fn(&mut I, &mut [NodeCall<'_, <I as Interpreter>::Scalar>]) -> Results<I>;

/// An interpreter that executes the groups of one node otherwise.
struct Liar<I: Interpreter> {
    honest: I,
    at: &'static str,
    lie: Lie<I>,
}

impl<I: Interpreter> Interpreter for Liar<I> {
    type Scalar = I::Scalar;
    fn schedule(&self, graph: &Graph) -> Schedule {
        self.honest.schedule(graph)
    }
    fn begin(&mut self, computed_bytes: u64) {
        self.honest.begin(computed_bytes);
    }
    fn adopt(&self, value: &Value<f32>) -> Value<I::Scalar> {
        self.honest.adopt(value)
    }
    fn reads_weights(&self) -> bool {
        self.honest.reads_weights()
    }
    fn apply(&mut self, group: &mut [NodeCall<'_, I::Scalar>]) -> Results<I> {
        if group.iter().any(|call| call.path == self.at) {
            (self.lie)(&mut self.honest, group)
        } else {
            self.honest.apply(group)
        }
    }
}

/// A chain `sum` → `tanh`, with attention between them, so that each runs by itself.
fn graph() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", [("n", 3), ("c", 4)]).unwrap();
    let sum = g.add("sum", x, x).unwrap();
    let q = g.input("q", [("n", 3), ("h", 1), ("e", 4)]).unwrap();
    let seen = g.attention((q, q, q), Mask::causal(), Some(Factor::Number(0.5)), None).unwrap();
    let tanh = g.activation(sum, Activation::Tanh).unwrap();
    g.output("tanh", tanh);
    g.output("seen", seen);
    g
}

enum By {
    Oracle(Lie<Oracle<f32>>),
    NodeByNode(Lie<Fast>),
    Kernels(Lie<Fast>),
}

/// What a proof tells of a lie at a node.
fn told(at: &'static str, by: By) -> Vec<String> {
    let (oracle, single, fast) =
        (Oracle::<f32>::new(), Fast::new().unwrap().node_by_node(), Fast::new().unwrap());
    let (g, at_sizes, feeds) = (graph(), Binding::new(), Feeds::seeded(3));
    let proof = match by {
        By::Oracle(lie) => {
            let oracle = Liar { honest: oracle, at, lie };
            prove_by(&g, &at_sizes, &feeds, oracle, single, fast)
        }
        By::NodeByNode(lie) => {
            let single = Liar { honest: single, at, lie };
            prove_by(&g, &at_sizes, &feeds, oracle, single, fast)
        }
        By::Kernels(lie) => {
            let fast = Liar { honest: fast, at, lie };
            prove_by(&g, &at_sizes, &feeds, oracle, single, fast)
        }
    };
    let theorem = proof.unwrap().theorem;
    assert_eq!(theorem.holds(), theorem.mismatches.is_empty());
    theorem.mismatches.iter().map(ToString::to_string).collect()
}

/// One operation more than was done, useful and executed, in a part.
fn more<T>(call: &NodeCall<'_, T>, part: Part, class: Class) {
    let one = Counts::zero().with(class, 1);
    call.row.meter(part).record(&Tally { useful: one, executed: one, ..Tally::default() });
}

#[test]
fn the_honest_are_believed() {
    assert!(told("sum", By::Oracle(Interpreter::apply)).is_empty());
    assert!(told("sum", By::NodeByNode(Interpreter::apply)).is_empty());
    assert!(told("sum", By::Kernels(Interpreter::apply)).is_empty());
}

#[test]
fn an_operation_too_many_is_told() {
    let lie: Lie<Oracle<f32>> = |honest, group| {
        more(&group[0], Part::Pointwise, Class::Exp);
        honest.apply(group)
    };
    let expected = "sum (add) at : useful exp of pointwise derived 0, the oracle gave 1";
    assert_eq!(told("sum", By::Oracle(lie)), [expected]);
    let lie: Lie<Fast> = |honest, group| {
        more(&group[0], Part::Scale, Class::Mul);
        honest.apply(group)
    };
    let by = |who: &str| {
        format!("attention (attention) at : useful mul of scale derived 6, {who} gave 7")
    };
    // The other run of the kernels executed another number.
    let apart = |derived, found| {
        format!(
            "attention (attention) at : executed mul of scale derived {derived}, the kernels gave {found}"
        )
    };
    let told_of = told("attention", By::NodeByNode(lie));
    assert_eq!(told_of, [by("the kernels node by node"), apart(13, 12)]);
    assert_eq!(told("attention", By::Kernels(lie)), [by("the kernels"), apart(12, 13)]);
}

/// Nothing more was asked for, and yet more is said to have run.
#[test]
fn more_executed_than_was_is_told() {
    fn more<T>(call: &NodeCall<'_, T>) {
        let executed = Counts::zero().with(Class::Exp, 1);
        call.row.meter(Part::Pointwise).record(&Tally { executed, ..Tally::default() });
    }
    let lie: Lie<Oracle<f32>> = |honest, group| {
        more(&group[0]);
        honest.apply(group)
    };
    let by = |derived, who, found| {
        format!("tanh (tanh) at : executed exp of pointwise derived {derived}, {who} gave {found}")
    };
    assert_eq!(told("tanh", By::Oracle(lie)), [by(0, "the oracle", 1)]);
    let lie: Lie<Fast> = |honest, group| {
        more(&group[0]);
        honest.apply(group)
    };
    assert_eq!(told("tanh", By::NodeByNode(lie)), [by(1, "the kernels", 0)]);
    assert_eq!(told("tanh", By::Kernels(lie)), [by(0, "the kernels", 1)]);
}

#[test]
fn an_operation_in_a_part_that_is_not_there_is_told() {
    let lie: Lie<Fast> = |honest, group| {
        more(&group[0], Part::Bias, Class::Add);
        honest.apply(group)
    };
    let told_of = told("attention", By::Kernels(lie));
    let expected =
        "attention (attention) at : useful add of unforeseen derived 0, the kernels gave 1";
    assert_eq!(told_of[0], expected);
    for told in &told_of[1..] {
        assert!(told.starts_with("attention (attention) at : executed add of unforeseen"));
    }
    assert_eq!(told_of.len(), 3);
}

#[test]
fn less_executed_than_asked_for_is_told() {
    let lie: Lie<Oracle<f32>> = |_, group| {
        in_turn(group, |node, call, row| {
            take_counts();
            node.op.reference(call, &mut |part| {
                let useful = take_counts();
                let executed = Counts::from_fn(|class| useful[class].saturating_sub(1));
                row.meter(part).record(&Tally { useful, executed, ..Tally::default() });
            })
        })
    };
    let expected = ["executed or in another form", "executed"].map(|what| {
        format!("tanh (tanh) at : {what} tanh of pointwise derived 12, the oracle gave 11")
    });
    assert_eq!(told("tanh", By::Oracle(lie)), expected);
}

/// What stands for operations is executed in their place: both together are told.
#[test]
fn less_in_another_form_than_asked_for_is_told() {
    let lie: Lie<Oracle<f32>> = |_, group| {
        in_turn(group, |node, call, row| {
            take_counts();
            node.op.reference(call, &mut |part| {
                let useful = take_counts();
                let executed = Counts::from_fn(|class| useful[class].saturating_sub(2));
                let mut tally = Tally { useful, executed, ..Tally::default() };
                tally.substituted[Substitution::LogOfSum as usize] = 1;
                row.meter(part).record(&tally);
            })
        })
    };
    let expected = [("executed or in another form", 11), ("executed", 10)].map(|(what, found)| {
        format!("sum (add) at : {what} add of pointwise derived 12, the oracle gave {found}")
    });
    assert_eq!(told("sum", By::Oracle(lie)), expected);
}

#[test]
fn a_byte_more_or_less_is_told() {
    let more: Lie<Fast> = |honest, group| {
        group[0].row.record_bytes(1, 0);
        honest.apply(group)
    };
    let lie: Lie<Oracle<f32>> = |honest, group| {
        group[0].row.record_bytes(0, 1);
        honest.apply(group)
    };
    // Two operands of 12 numbers are read, one is written.
    let read = |who: &str| format!("sum (add) at : bytes read derived 96, {who} gave 97");
    assert_eq!(told("sum", By::NodeByNode(more)), [read("the kernels node by node")]);
    assert_eq!(told("sum", By::Kernels(more)), [read("the kernels")]);
    let written = "sum (add) at : bytes written derived 48, the oracle gave 49";
    assert_eq!(told("sum", By::Oracle(lie)), [written]);
}

/// Of experts the formula says the most bytes that can be; that one was read and two were told shows
/// against the definition on the same choices.
#[test]
fn a_byte_more_that_the_formula_allows_is_told() {
    let mut g = Graph::new();
    let x = g.input("x", [("n", 3), ("c", 4)]).unwrap();
    let ids = g.input_ids("ids", [("n", 3), ("k", 1)], 6).unwrap();
    let weight = g.param("w", Source::weight(4), [("x", 6), ("f", 5), ("c", 4)]).unwrap();
    let y = g.experts("chosen", x, ids, weight).unwrap();
    g.output("y", y);
    let feeds = Feeds::seeded(3).with_ids("ids", &[3, 1], vec![2; 3]).unwrap();
    let lie: Lie<Fast> = |honest, group| {
        group[0].row.record_bytes(20 * 4, 0);
        honest.apply(group)
    };
    let single = Liar { honest: Fast::new().unwrap().node_by_node(), at: "chosen", lie };
    let fast = Fast::new().unwrap();
    let proof = prove_by(&g, &Binding::new(), &feeds, Oracle::new(), single, fast).unwrap();
    let told: Vec<String> = proof.theorem.mismatches.iter().map(ToString::to_string).collect();
    // Twelve numbers, three ids and the weight of one expert.
    let honest = 12 * 4 + 3 * 8 + 20 * 4;
    let expected = format!(
        "chosen (experts) at : bytes read derived {honest}, the kernels node by node gave {}",
        honest + 80
    );
    assert_eq!(told, [expected]);
}

/// The results with another number in place of the sixth.
fn changed(
    honest: &mut Fast,
    group: &mut [NodeCall<'_, f32>],
    to: impl Fn(f32) -> f32,
) -> Results<Fast> {
    let change = |value: Value<f32>| {
        let mut data = value.real().unwrap().data().to_vec();
        data[5] = to(data[5]);
        Value::Real(Tensor::new(value.shape(), data).unwrap())
    };
    Ok(honest.apply(group)?.into_iter().map(change).collect())
}

#[test]
fn a_wrong_element_is_told() {
    let wrong: Lie<Fast> = |honest, group| changed(honest, group, |x| x + 0.01);
    for (path, op) in [("sum", "add"), ("tanh", "tanh"), ("attention", "attention")] {
        let told_of = told(path, By::NodeByNode(wrong));
        assert!(told_of[0].starts_with(&format!("{path} ({op}) at : value of element 5 derived ")));
        assert!(told_of[0].contains(", the kernels node by node gave "), "{}", told_of[0]);
        // Beside the node itself, only the result that it leads to differs.
        assert_eq!(told_of.len(), 2, "{told_of:?}");
    }
    let told_of = told("attention", By::Kernels(wrong));
    let [only] = &told_of[..] else { panic!("{told_of:?}") };
    assert!(only.starts_with("attention (attention) at : bits of element 5 derived "), "{only}");
}

#[test]
fn an_element_that_is_not_finite_is_told() {
    let lies: [(Lie<Fast>, &str); 3] = [
        (|honest, group| changed(honest, group, |_| f32::NAN), "NaN"),
        (|honest, group| changed(honest, group, |_| f32::INFINITY), "inf"),
        (|honest, group| changed(honest, group, |_| f32::NEG_INFINITY), "-inf"),
    ];
    for (lie, found) in lies {
        let told_of = told("sum", By::NodeByNode(lie));
        assert!(told_of[0].starts_with("sum (add) at : value of element 5 derived "));
        assert!(told_of[0].ends_with(&format!(", the kernels node by node gave {found}")));
    }
}

#[test]
fn a_node_left_out_and_a_node_twice_are_told() {
    let out: Lie<Oracle<f32>> = |_, group| {
        let zeros = vec![Counted(0.0); group[0].output.iter().product()];
        Ok(vec![Tensor::new(group[0].output, zeros)?.into()])
    };
    let told_of = told("tanh", By::Oracle(out));
    let expected = [
        "tanh (tanh) at : useful tanh of pointwise derived 12, the oracle gave 0",
        "tanh (tanh) at : bytes read derived 48, the oracle gave 0",
        "tanh (tanh) at : bytes written derived 48, the oracle gave 0",
    ];
    assert_eq!(told_of, expected);
    let twice: Lie<Fast> = |honest, group| {
        honest.apply(group)?;
        honest.apply(group)
    };
    let told_of = told("sum", By::Kernels(twice));
    let expected = [
        "sum (add) at : useful add of pointwise derived 12, the kernels gave 24",
        "sum (add) at : bytes read derived 96, the kernels gave 192",
        "sum (add) at : bytes written derived 48, the kernels gave 96",
        "sum (add) at : executed add of pointwise derived 12, the kernels gave 24",
    ];
    assert_eq!(told_of, expected);
}
