//! A step whose attention is counted over all pairs, half of them, and those that its mask leaves.

use opledger_dims::{Binding, Class, EvalError, Integer, Poly};
use opledger_ir::{Axis, Graph, Node, Op, Operation, Part, Phase};
use opledger_report::TrainingMask;

use super::products;

/// The three, of a step whose products are these; none where no mask follows from positions.
pub(super) fn masks<'g>(
    graphs: impl Iterator<Item = (&'g Graph, u32)>,
    sizes: &Binding,
    model: &Integer,
    hardware: &Integer,
) -> Result<Vec<TrainingMask>, EvalError> {
    let zero = Integer::default;
    // Exact and of all pairs: those of the model, and those that are computed again.
    let [mut exact, mut whole] = [[zero(), zero()], [zero(), zero()]];
    for ((graph, node), times) in graphs
        .flat_map(|(graph, times)| graph.nodes().iter().map(move |node| ((graph, node), times)))
    {
        for (part, own, all) in of_attention(graph, node).into_iter().flatten() {
            let at = usize::from(node.phase_of(part) == Phase::Recomputation);
            exact[at] += own.at(sizes)? * times;
            whole[at] += all.at(sizes)? * times;
        }
        let Some(all) = whole_pairs(graph, node) else { continue };
        let at = usize::from(node.phase == Phase::Recomputation);
        exact[at] += products(graph, node).at(sizes)? * times;
        whole[at] += all.at(sizes)? * times;
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

/// Twice the multiplications of the parts of attention, or of its gradients, that are products: over the pairs
/// that a mask by positions leaves, and over all pairs.
fn of_attention(graph: &Graph, node: &Node) -> Option<[(Part, Poly, Poly); 2]> {
    let (of, gradients) = if let Op::Attention(op) = &node.op {
        (op, false)
    } else if let Op::AttentionGradient(op) = &node.op {
        (op.of(), true)
    } else {
        return None;
    };
    of.mask.offset.as_ref()?;
    let [q, k, v, ..] = node.inputs[..] else { return None };
    let [q, k, v] = [q, k, v].map(|var| &graph.shape(var).axes);
    let (width, queries) = q.split_last()?;
    let (key_width, value_width) = (&width.size, &v.last()?.size);
    let keys = k.get(k.len().checked_sub(3)?)?;
    let pairs = queries.iter().map(|axis| &axis.size).product::<Poly>() * &keys.size;
    let pairs = pairs * graph.multiplicity(node) * Poly::from(2u32);
    let second = match gradients {
        false => (Part::Context, value_width.clone()),
        true => (Part::Contraction, (key_width + value_width) * Poly::from(2u32)),
    };
    let cost = graph.node_cost(node);
    let own = |part| cost.part(part)[Class::Mul].clone() * Poly::from(2u32);
    let both = [(Part::Scores, key_width.clone()), second];
    Some(both.map(|(part, widths)| (part, own(part), &pairs * &widths)))
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
