//! Masks under which a program computes what they hide, and a count counts it: where what reads the
//! scores is of no form of attention that is known.

use std::collections::{BTreeMap, BTreeSet};

use opledger_ir::ops::{ArithmeticKind, Pointwise, Reduce};
use opledger_ir::{Graph, Op, Var};

/// Scores of which a mask hides some, and where a program makes them.
#[derive(Clone, Debug)]
pub(crate) struct MaskedScores {
    pub(crate) scores: Var,
    pub(crate) module: String,
    pub(crate) line: Option<String>,
}

/// How far a program is on its way from scores to sums.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Scores,
    /// Exponentials of them.
    Weights,
    /// Those times other numbers.
    Products,
}

/// Whether a value is weighed: whether exponentials of it, or of what is made of it place by place, are in
/// sums of products.
fn is_weighed(graph: &Graph, scores: Var) -> bool {
    let mut made: BTreeMap<usize, Step> = BTreeMap::from([(scores.index(), Step::Scores)]);
    for (at, node) in graph.nodes().iter().enumerate().skip(scores.index() + 1) {
        let steps = node.inputs.iter().filter_map(|var| made.get(&var.index()));
        let Some(step) = steps.max().copied() else { continue };
        let op = &node.op;
        let sums = (matches!(op, Op::Einsum(_)) && step > Step::Scores)
            || (matches!(op, Op::Reduce(Reduce::Sum(_))) && step == Step::Products);
        if sums {
            return true;
        }
        let multiplies = matches!(op, Op::Arithmetic(op) if op.kind == ArithmeticKind::Mul);
        let by_place = matches!(
            op,
            Op::Arithmetic(_)
                | Op::Scale(_)
                | Op::Rearrange(_)
                | Op::Select(_)
                | Op::Pointwise(_)
                | Op::Concat(_)
        );
        let next = if matches!(op, Op::Softmax(_) | Op::Pointwise(Pointwise::Exp)) {
            Step::Weights
        } else if multiplies && step == Step::Weights {
            Step::Products
        } else if by_place {
            step
        } else {
            continue;
        };
        made.insert(at, next);
    }
    false
}

/// What has to be known of masks whose hidden pairs are counted; once for each line.
pub(crate) fn notes(
    graph: &Graph,
    masked: &[MaskedScores],
    moved: impl Fn(&Var) -> Option<Var>,
) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut lines: BTreeSet<String> = BTreeSet::new();
    for one in masked {
        let Some(scores) = moved(&one.scores) else { continue };
        let line = one.line.clone().unwrap_or_else(|| one.module.clone());
        if lines.contains(&line) || !is_weighed(graph, scores) {
            continue;
        }
        let at = one.line.as_ref().map_or_else(String::new, |line| format!(" ({line})"));
        notes.push(format!(
            "what the mask in {}{at} hides is counted: it is followed by no form of attention that is \
             known, such as `softmax(q @ k.T + mask) @ v`",
            match one.module.is_empty() {
                true => "the model itself".to_owned(),
                false => format!("`{}`", opledger_dims::escaped(&one.module)),
            }
        ));
        lines.insert(line);
    }
    notes
}

#[cfg(test)]
mod tests {
    use opledger_dims::Poly;

    use super::*;

    /// Weights that a softmax makes of scores with a column beside them.
    #[test]
    fn scores_with_a_column_beside_them_are_weighed() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", Poly::from("n")), ("e", Poly::from("e"))]).unwrap();
        let y = g.input("y", [("m", Poly::from("m")), ("e", Poly::from("e"))]).unwrap();
        let sink = g.input("sink", [("n", Poly::from("n")), ("m", Poly::one())]).unwrap();
        let values = g.input("values", [("m", Poly::from("m") + 1), ("e", Poly::from("e"))]);
        let scores = g.einsum("n e, m e -> n m", x, y).unwrap();
        let beside = g.concat(scores, sink, "m").unwrap();
        let weights = g.softmax(beside, None).unwrap();
        g.einsum("n m, m e -> n e", weights, values.unwrap()).unwrap();
        assert!(is_weighed(&g, scores));
    }
}
