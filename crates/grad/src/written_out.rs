//! Attention as the chain that defines it.

use std::collections::BTreeSet;
use std::ops::Range;

use opledger_dims::Symbol;
use opledger_ir::ops::{
    Activation, Arithmetic, ArithmeticKind, Attention, Einsum, Factor, IndexMap, Rearrange, Scaling,
};
use opledger_ir::{Axis, Definition, Graph, GraphError, IndexExpr, Mask, Masking, Node, Op, Var};

use crate::GradError;

/// The same graph with every attention written out: scores, scale, bias, softmax, context, each over the
/// pairs that the mask allows. It costs the same, class by class; its weights are values of their own.
///
/// A soft cap goes over every pair, hidden ones notwithstanding.
///
/// # Errors
/// When a size does not fit.
pub fn written_out(graph: &Graph) -> Result<Graph, GradError> {
    Ok(with_scores(graph, &BTreeSet::new())?.graph)
}

/// A graph with its attention written out.
pub(crate) struct WrittenOut {
    pub(crate) graph: Graph,
    /// The values between the operands of attention and its results.
    pub(crate) scores: BTreeSet<Var>,
    /// For each node, the one of the given graph that it is or is part of; none of the ends of repetitions.
    pub(crate) given: Vec<Option<Var>>,
}

/// The same but for some attention, with which nodes were attention.
pub(crate) fn with_scores(graph: &Graph, whole: &BTreeSet<Var>) -> Result<WrittenOut, GradError> {
    // No size that is declared on the way is called as one that stands further on.
    let mut graph = graph.clone();
    graph.reserve(graph.symbols());
    let mut scores: Vec<Range<usize>> = Vec::new();
    let mut given: Vec<Option<Var>> = Vec::new();
    let is_end = |op: &Op| matches!(op, Op::Carry(_) | Op::Exit(_));
    let mut rest = graph.vars().zip(graph.nodes()).filter(|(_, node)| !is_end(&node.op));
    let graph = graph.rebuild(|to, node, operands| {
        let start = to.graph.nodes().len();
        let of = rest.next().map(|(var, _)| var);
        let made = match &node.op {
            Op::Attention(op) if of.is_none_or(|of| !whole.contains(&of)) => {
                let made = chain(&mut to.graph, node, op, operands)?;
                scores.push(start..to.graph.nodes().len());
                vec![made]
            }
            _ => to.copy(node, operands)?,
        };
        given.resize(start, None);
        given.resize(to.graph.nodes().len(), of);
        Ok::<_, GradError>(made)
    })?;
    let inside = |var: &Var| scores.iter().any(|range| range.contains(&var.index()));
    let scores = graph.vars().filter(inside).collect();
    given.resize(graph.nodes().len(), None);
    Ok(WrittenOut { graph, scores, given })
}

fn names(axes: &[Axis]) -> Vec<Symbol> {
    axes.iter().map(|axis| axis.name.clone()).collect()
}

/// A name with as few primes as it takes that none of these is called so.
pub(crate) fn apart(name: &Symbol, taken: &[Symbol]) -> Symbol {
    let mut own = name.clone();
    while taken.contains(&own) {
        own = Symbol::from(format!("{own}'"));
    }
    own
}

fn chain(g: &mut Graph, node: &Node, op: &Attention, operands: &[Var]) -> Result<Var, GradError> {
    let mut rest = operands.iter().copied();
    let mut next = || rest.next().ok_or_else(|| GradError::unknown(node, " without operands"));
    let (mut q, mut k, mut v) = (next()?, next()?, next()?);
    let mut bias = if op.bias { Some(next()?) } else { None };
    let mut sinks = if op.sinks { Some(next()?) } else { None };
    let mut keep = if op.mask.keep { Some(next()?) } else { None };
    let shape = g.shape(q).clone();
    let [outer @ .., queries, heads, _] = &shape.axes[..] else {
        return Err(GradError::unknown(node, ""));
    };
    let (outer, queries, heads) = (outer.to_vec(), queries.clone(), heads.clone());
    let key_axes = g.shape(k).axes.clone();
    let [.., keys, shared, _] = &key_axes[..] else { return Err(GradError::unknown(node, "")) };
    let key = Axis::new(apart(&keys.name, &names(&shape.axes)), keys.size.clone());
    if let Some(var) = &mut sinks {
        let own = g.last_axis(*var).map_err(|_| GradError::unknown(node, ""))?;
        if own.name != heads.name {
            *var = g.rename(*var, own.name, heads.name.clone())?;
        }
    }
    // Heads that share keys stand behind the keys' own.
    let quotient = g.quotient(&heads.size, &shared.size);
    let is_product = |definition: &Definition| match definition {
        Definition::Product { whole, .. } => heads.size.as_symbol() == Some(whole),
        _ => false,
    };
    let spread = quotient.is_none() && g.definitions().iter().any(is_product);
    if spread {
        // The heads are a product of other factors already: each reads its keys by their place.
        for var in [&mut k, &mut v] {
            *var = for_each_head(g, *var, &heads)?;
        }
    }
    let groups = match spread || shared.size == heads.size {
        true => None,
        false => {
            let each = g.factor_of("group", &heads.size, &shared.size);
            let each =
                each.ok_or_else(|| GradError::unknown(node, " with heads that are no multiple"))?;
            let own = Axis::new(heads.name.clone(), shared.size.clone());
            let taken = [names(&shape.axes), vec![key.name.clone()]].concat();
            Some([own, Axis::new(apart(&heads.name, &taken), each)])
        }
    };
    let head_axes = match &groups {
        Some(both) => both.to_vec(),
        None => vec![heads.clone()],
    };
    if let Some(both) = &groups {
        let split = |g: &mut Graph, var: Var| -> Result<Var, GraphError> {
            match g.shape(var).position(&heads.name) {
                Some(_) => {
                    let how = Rearrange::Split { axis: heads.name.clone(), into: both.to_vec() };
                    g.rearrange(var, how)
                }
                None => Ok(var),
            }
        };
        q = split(g, q)?;
        bias = bias.map(|bias| split(g, bias)).transpose()?;
        sinks = sinks.map(|sinks| split(g, sinks)).transpose()?;
        keep = keep.map(|keep| split(g, keep)).transpose()?;
    }
    for var in [&mut k, &mut v] {
        let own = g.shape(*var).axes.clone();
        let [.., keys, shared, _] = &own[..] else { return Err(GradError::unknown(node, "")) };
        for (from, to) in [(keys, &key), (shared, &head_axes[0])] {
            if from.name != to.name {
                *var = g.rename(*var, from.name.clone(), to.name.clone())?;
            }
        }
    }
    if let Some(var) = &mut bias {
        // The axis before the keys is that of the queries, unless it is one of batch and heads.
        let before = g.shape(*var).axes.iter().rev().nth(1).cloned();
        let named =
            |axis: &Axis| shape.axes.iter().chain(&head_axes).any(|own| own.name == axis.name);
        if let Some(axis) = before.filter(|axis| !named(axis)) {
            *var = g.rename(*var, axis.name, queries.name.clone())?;
        }
        let last = g.last_axis(*var).map_err(|_| GradError::unknown(node, ""))?;
        if last.name != key.name {
            *var = g.rename(*var, last.name, key.name.clone())?;
        }
    }
    let entries = [&outer[..], &head_axes, &[queries.clone(), key.clone()]].concat();
    let mask = Mask { offset: op.mask.offset.clone(), reach: op.mask.reach.clone(), keep };
    let masking = (!mask.is_none()).then(|| g.masking(&mask, &entries));
    let masked = masking.as_ref().map(|masking| masking.masked.clone());
    let keep = masking.as_ref().and_then(|masking| masking.keep);
    let einsum = |g: &Graph, a: Var, b: Var, out: Vec<Symbol>| Einsum {
        lhs: names(&g.shape(a).axes),
        rhs: names(&g.shape(b).axes),
        out,
        masked: masked.clone(),
    };
    let scores = einsum(g, q, k, names(&entries));
    let mut scores = g.record_masked("scores", scores, &[q, k], keep)?;
    scores = scaled(g, op, scores, masking.clone())?;
    if let Some(cap) = op.soft_cap {
        let number = g.fill(Vec::<Axis>::new(), cap)?;
        let by = Arithmetic { kind: ArithmeticKind::Div, masked: masked.clone() };
        let share = g.record_masked("", by, &[scores, number], keep)?;
        let bounded = g.activation(share, Activation::Tanh)?;
        scores = g.scale_masked(bounded, Factor::Number(cap), masking.clone())?;
    }
    if let Some(bias) = bias {
        scores = g.add_masked("bias", scores, bias, masking.clone())?;
    }
    let weights = match sinks {
        Some(sinks) => g.softmax_beside(scores, sinks, masking)?,
        None => g.softmax(scores, masking)?,
    };
    let last = g.last_axis(v).map_err(|_| GradError::unknown(node, ""))?;
    let out = [names(&outer), vec![queries.name.clone()], names(&head_axes), vec![last.name]];
    let context = einsum(g, weights, v, out.concat());
    let mut context = g.record_masked("context", context, &[weights, v], keep)?;
    if groups.is_some() {
        let how = Rearrange::Merge { axes: names(&head_axes), into: heads.name.clone() };
        context = g.rearrange(context, how)?;
    }
    // As the result of the attention was called.
    let own = g.shape(context).axes.clone();
    for (from, to) in own.iter().zip(&node.shape.axes) {
        if from.name != to.name {
            context = g.rename(context, from.name.clone(), to.name.clone())?;
        }
    }
    Ok(context)
}

/// The keys or values of each head: those of head ⌊i·g/h⌋ of theirs.
fn for_each_head(g: &mut Graph, of: Var, heads: &Axis) -> Result<Var, GraphError> {
    let mut axes = g.shape(of).axes.clone();
    let at = axes.len() - 2;
    let shared = std::mem::replace(&mut axes[at], heads.clone());
    let value = IndexExpr::Position(0).scaled(&shared.size);
    let value = value.floor_div(&IndexExpr::size(heads.size.clone()));
    let places = IndexMap { axes: vec![heads.clone()], value, truth: false };
    let places = g.record("", places, &[])?;
    g.gather_nd(of, axes, &[(shared.name, places)])
}

fn scaled(
    g: &mut Graph,
    op: &Attention,
    scores: Var,
    masking: Option<Masking>,
) -> Result<Var, GraphError> {
    match &op.scale {
        None => Ok(scores),
        Some(Scaling::Times(factor)) => g.scale_masked(scores, factor.clone(), masking),
        Some(Scaling::Over(number)) => {
            let number = g.fill(Vec::<Axis>::new(), *number)?;
            let (masked, keep) =
                masking.map_or((None, None), |masking| (Some(masking.masked), masking.keep));
            let op = Arithmetic { kind: ArithmeticKind::Div, masked };
            g.record_masked("", op, &[scores, number], keep)
        }
    }
}
