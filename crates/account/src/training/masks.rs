//! A step whose attention is counted over all pairs, half of them, and those that its mask leaves.

use opledger_dims::{Binding, Class, EvalError, Integer, Poly};
use opledger_ir::ops::AttentionGradient;
use opledger_ir::{Axis, Graph, Node, Op, Operation, Part, Phase};
use opledger_report::TrainingMask;

use super::products;

/// The three, of a step whose products are these; none where no mask follows from positions.
pub(super) fn masks(
    graph: &Graph,
    sizes: &Binding,
    model: &Integer,
    hardware: &Integer,
) -> Result<Vec<TrainingMask>, EvalError> {
    let zero = Integer::default;
    // Exact and of all pairs: those of the model, and those that are computed again.
    let [mut exact, mut whole] = [[zero(), zero()], [zero(), zero()]];
    for node in graph.nodes() {
        if let Op::AttentionGradient(op) = &node.op {
            for (at, part) in [(0, Part::Contraction), (1, Part::Scores)] {
                let Some([own, all]) = of_gradient(graph, node, op, part) else { continue };
                exact[at] += own.at(sizes)?;
                whole[at] += all.at(sizes)?;
            }
            continue;
        }
        let Some(all) = whole_pairs(graph, node) else { continue };
        let at = usize::from(node.phase == Phase::Recomputation);
        exact[at] += products(graph, node).at(sizes)?;
        whole[at] += all.at(sizes)?;
    }
    if exact == whole {
        return Ok(Vec::new());
    }
    let half = [&whole[0] / 2u32, &whole[1] / 2u32];
    let told = [
        ("all, as of a square", &whole),
        ("half of the square", &half),
        ("those that the mask leaves", &exact),
    ];
    let mask = |(pairs, counted): (&'static str, &[Integer; 2])| {
        let more = &counted[0] - &exact[0];
        TrainingMask {
            pairs,
            attention: counted[0].clone(),
            model_flops: model + &more,
            hardware_flops: hardware + &more + &counted[1] - &exact[1],
        }
    };
    Ok(told.map(mask).into())
}

/// Twice the multiplications of a part of the gradients of attention: over the pairs that its mask by
/// positions leaves, and over all pairs.
fn of_gradient(
    graph: &Graph,
    node: &Node,
    op: &AttentionGradient,
    part: Part,
) -> Option<[Poly; 2]> {
    op.of().mask.offset.as_ref()?;
    let [q, k, v, ..] = node.inputs[..] else { return None };
    let [q, k, v] = [q, k, v].map(|var| &graph.shape(var).axes);
    let (width, queries) = q.split_last()?;
    let keys = k.get(k.len().checked_sub(3)?)?;
    let pairs = queries.iter().map(|axis| &axis.size).product::<Poly>() * &keys.size;
    let widths = match part {
        Part::Scores => width.size.clone(),
        _ => (&width.size + &v.last()?.size) * Poly::from(2u32),
    };
    let own = graph.node_cost(node).part(part)[Class::Mul].clone() * Poly::from(2u32);
    Some([own, pairs * widths * graph.multiplicity(node) * Poly::from(2u32)])
}

/// Twice the multiplications of a product over the pairs of a mask by positions, were no pair hidden.
fn whole_pairs(graph: &Graph, node: &Node) -> Option<Poly> {
    let Op::Einsum(op) = &node.op else { return None };
    let masked = node.op.facts().masked?;
    masked.rule.offset.as_ref()?;
    let [a, b, ..] = node.inputs[..] else { return None };
    let both: [&[Axis]; 2] = [&graph.shape(a).axes, &graph.shape(b).axes];
    let mut named: Vec<&Axis> = both[0].iter().collect();
    for (axis, name) in both[1].iter().zip(&op.rhs) {
        if !op.lhs.contains(name) {
            named.push(axis);
        }
    }
    let all: Poly = named.into_iter().map(|axis| &axis.size).product();
    Some(all * graph.multiplicity(node) * Poly::from(2u32))
}
