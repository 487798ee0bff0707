//! ONNX's cases of FlexAttention: scores and weights go through graphs of the case's own, each of which is
//! read as what it is to attention: a cap, a bias, a mask, a factor.

use std::collections::HashMap;

use opledger_interp::Feeds;
use opledger_ir::ops::{Factor, IndexMap, Rearrange};
use opledger_ir::{Axis, Graph, IndexExpr, Mask, Scoring, Var};
use serde_json::Value as Json;

use super::attention::{holds, operand, sizes};
use super::{Case, cases};

/// What is added to scores.
#[derive(Clone, Debug)]
enum Added {
    Number(f64),
    /// A whole number for each query and key, in their positions 0 and 1.
    Whole(IndexExpr),
}

/// What a graph makes of scores or weights, in this order.
#[derive(Clone, Debug, Default)]
struct Changed {
    cap: Option<f64>,
    added: Option<Added>,
    seen: Option<IndexExpr>,
    times: Option<f64>,
}

/// What a name in such a graph stands for.
#[derive(Clone, Debug)]
enum Term {
    /// The scores or weights themselves.
    Entries(Changed),
    /// These divided by a number, and the hyperbolic tangent of that.
    Divided(f64),
    Bent(f64),
    /// Their sizes, one of which is that of a dimension, and the positions along it.
    Sizes,
    Size(usize),
    Positions(usize),
    /// A number for each query and key.
    Whole(IndexExpr),
    Numbers(Vec<f64>),
}

fn numbers(json: &Json) -> Vec<f64> {
    let number = |x: &Json| x.as_f64().unwrap_or_else(|| x.as_str().unwrap().parse().unwrap());
    json.as_array().unwrap().iter().map(number).collect()
}

/// What one operation gives.
fn result(op: &str, terms: &[Term]) -> Term {
    use Term::{Bent, Divided, Entries, Numbers, Positions, Size, Sizes, Whole};
    match (op, terms) {
        ("Shape", [Entries(_)]) => Sizes,
        ("Gather", [Sizes, Numbers(at)]) => Size(at[0] as usize),
        ("Range", [Numbers(from), Size(dim), Numbers(by)]) if from == &[0.0] && by == &[1.0] => {
            Positions(*dim)
        }
        // Of four dimensions query and key are the last.
        ("Reshape", [Positions(dim), Numbers(into)]) => {
            let open = into.iter().position(|size| *size == -1.0).unwrap();
            assert_eq!(4 - dim, into.len() - open);
            Whole(IndexExpr::Position(dim - 2))
        }
        ("GreaterOrEqual", [Whole(a), Whole(b)]) => Whole(b.below(&a.plus(&1.into()))),
        ("Sub", [Whole(a), Whole(b)]) => Whole(a.minus(b)),
        ("Cast", [Whole(a)]) => Whole(a.clone()),
        ("Where", [Whole(seen), Entries(own), Numbers(hidden)]) => {
            assert_eq!(hidden, &[f64::NEG_INFINITY]);
            Entries(Changed { seen: Some(seen.clone()), ..own.clone() })
        }
        ("Add", [Entries(own), Whole(added)]) => {
            Entries(Changed { added: Some(Added::Whole(added.clone())), ..own.clone() })
        }
        ("Add", [Entries(own), Numbers(added)]) => {
            Entries(Changed { added: Some(Added::Number(added[0])), ..own.clone() })
        }
        ("Div", [Entries(_), Numbers(cap)]) => Divided(cap[0]),
        ("Tanh", [Divided(cap)]) => Bent(*cap),
        ("Mul", [Bent(cap), Numbers(by)]) if *cap == by[0] => {
            Entries(Changed { cap: Some(*cap), ..Changed::default() })
        }
        ("Mul", [Entries(own), Numbers(by)]) => {
            Entries(Changed { times: Some(by[0]), ..own.clone() })
        }
        other => panic!("{other:?}"),
    }
}

/// What a graph among the attributes of a case makes of what is given to it.
fn changed(case: &Case, name: &str) -> Changed {
    let graph = &case.attributes[name];
    let Some(nodes) = graph["nodes"].as_array() else { return Changed::default() };
    let mut terms: HashMap<&str, Term> = HashMap::new();
    for (name, given) in graph["numbers"].as_object().unwrap() {
        terms.insert(name, Term::Numbers(numbers(given)));
    }
    terms.insert(graph["inputs"][0].as_str().unwrap(), Term::Entries(Changed::default()));
    for node in nodes {
        let words: Vec<&str> = node.as_str().unwrap().split(' ').collect();
        let [to, "=", op, operands @ ..] = &words[..] else { panic!("{words:?}") };
        let operands: Vec<Term> = operands.iter().map(|name| terms[name].clone()).collect();
        terms.insert(to, result(op, &operands));
    }
    match &terms[graph["outputs"][0].as_str().unwrap()] {
        Term::Entries(changed) => changed.clone(),
        other => panic!("{other:?}"),
    }
}

fn pairs(case: &Case) -> Vec<Axis> {
    vec![Axis::new("n", case.sizes(0)[2]), Axis::new("m", case.sizes(1)[2])]
}

fn recorded(g: &mut Graph, case: &Case) -> Var {
    let q = operand(g, case, 0, ["n", "h", "e"]);
    let heads = if case.sizes(0)[1] == case.sizes(1)[1] { "h" } else { "g" };
    let k = operand(g, case, 1, ["m", heads, "e"]);
    let v = operand(g, case, 2, ["m", heads, "f"]);
    let [_, _, _, width] = sizes(case, 0, "");
    let scale = Factor::Number(case.float("scale", 1.0 / (width as f64).sqrt()));
    let (of_scores, of_weights) = (changed(case, "score_mod"), changed(case, "prob_mod"));
    let y = if let Changed { cap: None, added: None, seen: None, times: Some(times) } = of_weights {
        // Attention gives no weights to be changed: its parts one by one.
        let scores = g.einsum("b n h e, b m h e -> b h n m", q, k).unwrap();
        let scores = g.scale(scores, scale).unwrap();
        let weights = g.softmax(scores, None).unwrap();
        let weights = g.scale(weights, Factor::Number(times)).unwrap();
        g.einsum("b h n m, b m h f -> b n h f", weights, v).unwrap()
    } else {
        let Changed { cap, added, seen, times: None } = of_scores else { panic!("{of_scores:?}") };
        let bias = added.map(|added| match added {
            Added::Number(number) => g.fill(pairs(case), number).unwrap(),
            Added::Whole(value) => {
                let added = IndexMap { axes: pairs(case), value, truth: false };
                let added = g.record("", added, &[]).unwrap();
                g.to_real(added).unwrap()
            }
        });
        let [query, key] = [0, 1].map(IndexExpr::Position);
        let mask = match seen {
            Some(seen) => {
                assert_eq!(seen, key.below(&query.plus(&1.into())), "{}", case.name);
                Mask::causal()
            }
            None => Mask::none(),
        };
        let scoring = Scoring { scale: Some(scale.into()), soft_cap: cap, bias, mask, sinks: None };
        g.attention_by((q, k, v), scoring).unwrap()
    };
    let order = ["b", "h", "n", "f"].map(Into::into).to_vec();
    g.rearrange(y, Rearrange::Permute { order }).unwrap()
}

#[test]
fn onnx_attends_flexibly_as_attention_does() {
    let mut run = Vec::new();
    for case in cases().iter().filter(|case| case.op == "FlexAttention") {
        let (mut g, mut feeds) = (Graph::new(), Feeds::seeded(1));
        for at in 0..3 {
            feeds = feeds.with(&at.to_string(), case.input(at).unwrap().clone());
        }
        let y = recorded(&mut g, case);
        g.output("y", y);
        holds(case, &g, &feeds);
        run.push(case.name.trim_start_matches("test_flexattention").to_owned());
    }
    let of_scores = ["_score_mod", "_causal_mask", "_soft_cap", "_relative_positional"];
    let others = ["", "_scaled", "_gqa", "_diff_head_sizes", "_prob_mod", "_double"];
    let mut expected = [&of_scores[..], &others].concat();
    expected.sort_unstable();
    assert_eq!(run, expected);
}
