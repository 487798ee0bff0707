//! What an operation makes of operands that are cut, operation by operation, and how it wants them.

use opledger_ir::ops::{ArithmeticKind, Dropout, Fill, Reduce, Scatter, ScatterKind};
use opledger_ir::{Graph, Node, Op, Var};

use crate::placement::Placement;
use crate::threads::{Threads, along, contracted, heads, is_param};

/// How operands are to lie, and how the results then do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) wanted: Vec<Placement>,
    pub(crate) results: Placement,
}

/// What is decided in the same way in a whole graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) threads: &'a Threads,
    /// The threads along which sums are left cut, where they can be.
    pub(crate) tokens: &'a [usize],
}

impl Rules<'_> {
    /// How a node wants its operands, given how they lie.
    pub(crate) fn decide(&self, node: &Node, given: &[Placement]) -> Decision {
        if let Some(decision) = self.passed(node, given) {
            return decision;
        }
        if let Op::Attention(_) = node.op {
            return self.attention(node, given);
        }
        if let Op::Experts(_) = node.op {
            return self.experts(node, given);
        }
        if let Op::Embedding(_) = node.op {
            return self.embedding(node, given);
        }
        if let Op::ExpertsOuter(_) = node.op
            && let Some(decision) = self.experts_outer(node, given)
        {
            return decision;
        }
        if let Op::Dropout(Dropout { training: true, .. }) = node.op {
            // What is drawn for an element depends on its place.
            return whole(node);
        }
        self.general(node, given)
    }

    /// What goes through an operation as it is: partial sums through what is linear, rows of own experts
    /// through what looks at each number alone.
    fn passed(&self, node: &Node, given: &[Placement]) -> Option<Decision> {
        let partly = |at: &Placement| *at == Placement::Partial;
        let partial = given.iter().filter(|at| partly(at)).count();
        let rest_whole = given.iter().all(|at| matches!(at, Placement::Partial | Placement::Whole));
        let chosen = given.iter().position(|at| matches!(at, Placement::Chosen { .. }));
        let rows_alone = chosen.is_some_and(|chosen| {
            self.graph.shape(node.inputs[chosen]).axes.len() == node.shape.axes.len()
                && given.iter().all(|at| *at == Placement::Whole || same_rows(*at, given[chosen]))
        });
        let Passing { sums, each } = passing(&node.op);
        let sums = match sums {
            Sums::None => false,
            Sums::Any => true,
            Sums::One => partial == 1,
            Sums::First => partial == 1 && given[0] == Placement::Partial,
            Sums::All => partial == given.len(),
        };
        let resolved = node.inputs.iter().zip(given).any(|(var, at)| {
            *at == Placement::Partial && self.threads.is_gradient_of_several(*var)
        });
        if partial > 0 && rest_whole && sums && !resolved {
            return Some(Decision { wanted: given.to_vec(), results: Placement::Partial });
        }
        // What experts give waits for the sum of a token's choices, whose shares are gathered for it.
        if let (Op::Arithmetic(op), Some(at)) = (&node.op, given.iter().position(partly))
            && op.kind == ArithmeticKind::Mul
            && matches!(self.graph.node(node.inputs[at]).op, Op::Experts(_))
            && matches!(given[1 - at], Placement::Cut(_))
        {
            let wanted = given.iter().map(|own| if partly(own) { *own } else { Placement::Whole });
            return Some(Decision { wanted: wanted.collect(), results: Placement::Partial });
        }
        // What is added to zeros at some places.
        if let Op::Scatter(Scatter { kind: ScatterKind::Add, .. }) = node.op
            && is_zeros(self.graph, node.inputs[0])
            && given[1] == Placement::Partial
            && rest_whole
        {
            return Some(Decision { wanted: given.to_vec(), results: Placement::Partial });
        }
        if let (Some(at), true, true) = (chosen, rows_alone, each) {
            return Some(Decision { wanted: given.to_vec(), results: given[at] });
        }
        // Rows of other ranks' experts count as zero in a sum.
        if let (Some(_), Op::Reduce(Reduce::Sum(_))) = (chosen, &node.op) {
            return Some(Decision {
                wanted: vec![Placement::Partial],
                results: Placement::Partial,
            });
        }
        None
    }

    /// An operation by what it says of its axes: one that is cut runs along with an axis of the result, which
    /// is then cut, or is summed over, or has to be whole.
    fn general(&self, node: &Node, given: &[Placement]) -> Decision {
        let (along, pairs) = (along(self.graph, node), contracted(self.graph, node));
        let mut best: Option<(usize, Decision)> = None;
        for (operand, placement) in given.iter().enumerate() {
            let param = is_param(self.graph, node.inputs[operand]);
            let axis = match placement {
                Placement::Cut(axis) => Some(*axis),
                Placement::Partial | Placement::Chosen { .. } => {
                    self.left_cut(node.inputs[operand])
                }
                Placement::Whole | Placement::Flat => None,
            };
            let Some(axis) = axis else { continue };
            let decision = match along.get(operand).and_then(|axes| axes.get(axis)) {
                Some(Some(to)) => Some(running(&along, *to)),
                Some(None) | None => summed(self.graph, node, &pairs, (operand, axis)),
            };
            let Some(decision) = decision else { continue };
            // What is cut of parameters decides before tokens are, and these before sums that may be.
            let of_tokens = self.left_cut(node.inputs[operand]) == Some(axis);
            let rank = match (param, placement) {
                (true, _) => 3,
                (false, Placement::Cut(_)) if !of_tokens => 2,
                (false, Placement::Cut(_)) => 1,
                (false, _) => 0,
            };
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, decision));
            }
        }
        best.map_or_else(|| whole(node), |(_, decision)| decision)
    }

    /// The axis along which a sum is left cut.
    fn left_cut(&self, var: Var) -> Option<usize> {
        self.tokens.iter().find_map(|thread| self.threads.axis_in(self.graph, var, *thread))
    }

    /// Items and heads are apart; where queries are cut, every rank needs all keys and values.
    fn attention(&self, node: &Node, given: &[Placement]) -> Decision {
        let Some([head, ..]) = heads(self.graph, node) else { return self.general(node, given) };
        let query = head - 1;
        let of_three = |axis: usize| given[..3].contains(&Placement::Cut(axis));
        let along = along(self.graph, node);
        let rest = |to: usize| along[3..].iter().map(move |axes| matching(axes, to));
        if of_three(head) {
            let three = [Placement::Cut(head); 3].into_iter();
            let wanted = three.chain(rest(head)).collect();
            return Decision { wanted, results: Placement::Cut(head) };
        }
        if given[0] == Placement::Cut(query) {
            let three = [Placement::Cut(query), Placement::Whole, Placement::Whole].into_iter();
            let wanted = three.chain(rest(query)).collect();
            return Decision { wanted, results: Placement::Cut(query) };
        }
        self.general(node, given)
    }

    fn experts(&self, node: &Node, given: &[Placement]) -> Decision {
        if given[2] != Placement::Cut(0) {
            return self.general(node, given);
        }
        let rows = match given[0] {
            Placement::Chosen { ids, .. } if ids == node.inputs[1] => given[0],
            _ => Placement::Whole,
        };
        let wanted = vec![rows, Placement::Whole, Placement::Cut(0)];
        let results = Placement::Chosen { ids: node.inputs[1], weight: node.inputs[2] };
        Decision { wanted, results }
    }

    /// Of rows of own experts, a rank has the gradients of these experts.
    fn experts_outer(&self, node: &Node, given: &[Placement]) -> Option<Decision> {
        let own = |at: usize| match given[at] {
            Placement::Chosen { ids, .. } if ids == node.inputs[1] => Some(given[at]),
            _ => None,
        };
        let rows = [own(0), own(2)];
        rows.iter().any(Option::is_some).then_some(())?;
        let [y, x] = rows.map(|own| own.unwrap_or(Placement::Whole));
        Some(Decision { wanted: vec![y, Placement::Whole, x], results: Placement::Cut(0) })
    }

    /// Of a table cut by rows, a rank has the rows of some ids: the others are zeros, and the sum of all
    /// ranks is the result (Shoeybi et al. 2019, §3).
    fn embedding(&self, node: &Node, given: &[Placement]) -> Decision {
        match given[1] {
            Placement::Cut(0) => {
                let wanted = vec![Placement::Whole, Placement::Cut(0)];
                Decision { wanted, results: Placement::Partial }
            }
            Placement::Cut(_)
            | Placement::Whole
            | Placement::Flat
            | Placement::Partial
            | Placement::Chosen { .. } => self.general(node, given),
        }
    }
}

fn same_rows(one: Placement, other: Placement) -> bool {
    match (one, other) {
        (Placement::Chosen { ids: a, .. }, Placement::Chosen { ids: b, .. }) => a == b,
        _ => false,
    }
}

/// Everything everywhere.
fn whole(node: &Node) -> Decision {
    Decision { wanted: vec![Placement::Whole; node.inputs.len()], results: Placement::Whole }
}

/// Cut at the axis that runs along with one of the result.
fn matching(axes: &[Option<usize>], to: usize) -> Placement {
    let axis = axes.iter().position(|own| *own == Some(to));
    axis.map_or(Placement::Whole, Placement::Cut)
}

/// All operands cut along with an axis of the result.
fn running(along: &[Vec<Option<usize>>], to: usize) -> Decision {
    let wanted = along.iter().map(|axes| matching(axes, to)).collect();
    Decision { wanted, results: Placement::Cut(to) }
}

/// Operands cut at the axis they are summed over: each rank has a term of the sum.
fn summed(
    graph: &Graph,
    node: &Node,
    pairs: &[[(usize, usize); 2]],
    cut: (usize, usize),
) -> Option<Decision> {
    let mut wanted = vec![Placement::Whole; node.inputs.len()];
    let mut term = |ends: &[(usize, usize)]| {
        ends.iter().for_each(|(operand, axis)| wanted[*operand] = Placement::Cut(*axis));
        Some(())
    };
    if let Some(pair) = pairs.iter().find(|pair| pair.contains(&cut)) {
        term(pair)?;
    } else if let Op::Reduce(Reduce::Sum(_)) = &node.op {
        term(&[cut])?;
    } else if let Op::ExpertsOuter(_) = &node.op {
        // Rows of ids, and what belongs to them.
        (cut.1 + 1 < graph.shape(node.inputs[1]).axes.len()).then_some(())?;
        term(&[(0, cut.1), (1, cut.1), (2, cut.1)])?;
    } else if let Op::Scatter(Scatter { kind: ScatterKind::Add, .. }) = &node.op {
        // Elements that are added to zeros, and the ids of their places.
        (is_zeros(graph, node.inputs[0]) && cut.0 > 0).then_some(())?;
        let name = &graph.shape(node.inputs[cut.0]).axes[cut.1].name;
        graph.shape(node.inputs[0]).position(name).is_none().then_some(())?;
        for operand in 1..node.inputs.len() {
            let axis = graph.shape(node.inputs[operand]).position(name);
            axis.and_then(|axis| term(&[(operand, axis)]));
        }
    } else {
        return None;
    }
    Some(Decision { wanted, results: Placement::Partial })
}

fn is_zeros(graph: &Graph, var: Var) -> bool {
    matches!(graph.node(var).op, Op::Fill(Fill { value: 0.0, .. }))
}

/// Through which operands partial sums go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sums {
    None,
    /// Where one operand is given as partial sums, whichever.
    One,
    /// Where the first is.
    First,
    /// Where all are.
    All,
    /// The only operand there is.
    Any,
}

/// What goes through an operation as it is.
#[derive(Clone, Copy, Debug)]
struct Passing {
    sums: Sums,
    /// Whether each element of the result is made of those at its place alone.
    each: bool,
}

fn passing(op: &Op) -> Passing {
    let nothing = Passing { sums: Sums::None, each: false };
    let each = |each| Passing { each, ..nothing };
    match op {
        Op::Arithmetic(op) => {
            let sums = match op.kind {
                ArithmeticKind::Add | ArithmeticKind::Sub => Sums::All,
                ArithmeticKind::Mul => Sums::One,
                ArithmeticKind::Div => Sums::First,
                ArithmeticKind::Max | ArithmeticKind::Min | ArithmeticKind::Pow => Sums::None,
            };
            Passing { sums, each: op.masked.is_none() }
        }
        Op::Scale(scale) => Passing { sums: Sums::Any, each: scale.masked.is_none() },
        Op::Dropout(dropout) if dropout.training => nothing,
        Op::Dropout(_) => Passing { sums: Sums::Any, each: true },
        Op::Reduce(Reduce::Sum(_) | Reduce::Mean(_)) | Op::Rearrange(_) => {
            Passing { sums: Sums::Any, each: false }
        }
        Op::Activation(_) | Op::Pointwise(_) => each(true),
        Op::Reduce(Reduce::Max(_))
        | Op::Source(_)
        | Op::Table(_)
        | Op::TokenPositions(_)
        | Op::IndexMap(_)
        | Op::Einsum(_)
        | Op::Softmax(_)
        | Op::Norm(_)
        | Op::Compare(_)
        | Op::Select(_)
        | Op::ToReal(_)
        | Op::ToWhole(_)
        | Op::Sort(_)
        | Op::Fill(_)
        | Op::Embedding(_)
        | Op::Convolution(_)
        | Op::ConvolutionTransposed(_)
        | Op::Pool(_)
        | Op::AdaptivePool(_)
        | Op::Concat(_)
        | Op::RotaryAngles(_)
        | Op::Rope(_)
        | Op::Sinusoid(_)
        | Op::Attention(_)
        | Op::AttentionGradient(_)
        | Op::Cumulative(_)
        | Op::ArgMax(_)
        | Op::TopK(_)
        | Op::Gather(_)
        | Op::GatherNd(_)
        | Op::Scatter(_)
        | Op::Experts(_)
        | Op::ExpertsOuter(_)
        | Op::Carry(_)
        | Op::Exit(_) => nothing,
    }
}
