//! What a graph costs, as a record: exact numbers or formulas, by node or by group.

use std::collections::HashMap;
use std::ops::AddAssign;

use num_traits::Zero;
use opledger_dims::{Class, Counts, EvalError, Poly};
use opledger_ir::ops::Source;
use opledger_ir::{Cost, Op, Operation, PartCounts, Shape};
use opledger_report::{
    Account, AccountNode, AccountPart, Bytes, CONVENTIONS, Parameters, Quantity,
};

use crate::failure::Failure;
use crate::subject::Subject;

/// A node, or the nodes under one path.
struct Group<'g> {
    path: String,
    members: usize,
    op: &'static str,
    shape: &'g Shape,
    cost: Cost,
    params: Poly,
    read: Poly,
    written: Poly,
}

/// The account of a model, where `value` turns a formula into what is accounted in and `formula`
/// prints the counts of a node.
pub(crate) fn account<N>(
    subject: &Subject,
    depth: Option<usize>,
    value: impl Fn(&Poly) -> Result<N, EvalError>,
    formula: impl Fn(&Counts<Poly>) -> String,
) -> Result<Account<N>, Failure>
where
    N: Quantity + Clone + Zero + for<'a> AddAssign<&'a N>,
{
    let graph = &subject.graph;
    let (total, trainable) = graph.parameters();
    let mut nodes = Vec::new();
    let (mut read, mut written) = (N::zero(), N::zero());
    let mut sum = PartCounts::free();
    for group in groups(subject, depth) {
        let cost = evaluate(&group.cost, &value)?;
        let bytes = Bytes { read: value(&group.read)?, written: value(&group.written)? };
        read += &bytes.read;
        written += &bytes.written;
        for (part, counts) in &cost.0 {
            sum.add(*part, counts);
        }
        let single = group.members == 1;
        let sizes = || group.shape.axes.iter().map(|axis| value(&axis.size));
        nodes.push(AccountNode {
            path: group.path,
            op: single.then_some(group.op),
            members: group.members,
            axes: single.then(|| group.shape.axes.iter().map(|a| a.name.to_string()).collect()),
            shape: if single { Some(sizes().collect::<Result<_, _>>()?) } else { None },
            formula: formula(&group.cost.total()),
            counts: cost.total(),
            parts: cost
                .0
                .iter()
                .map(|(part, counts)| AccountPart {
                    name: part.name(),
                    counts: counts.clone(),
                    macs: PartCounts::of(*part, counts.clone()).macs(),
                    flops: counts.total(),
                })
                .collect(),
            macs: cost.macs(),
            flops: cost.total().total(),
            params: value(&group.params)?,
            bytes,
        });
    }
    let mut matmul_flops = sum.macs();
    matmul_flops += &sum.macs();
    Ok(Account {
        model: subject.name.clone(),
        binding: subject.binding.clone(),
        params: Parameters { total: value(&total)?, trainable: value(&trainable)? },
        counts: sum.total(),
        macs: sum.macs(),
        flops: sum.total().total(),
        matmul_flops,
        bytes: Bytes { read, written },
        memory: None,
        nodes,
        definitions: definitions(subject),
        conventions: CONVENTIONS.to_vec(),
    })
}

fn evaluate<N>(
    cost: &Cost,
    value: impl Fn(&Poly) -> Result<N, EvalError>,
) -> Result<PartCounts<N>, EvalError>
where
    N: Clone + Zero,
{
    let mut parts = Vec::new();
    for (part, polys) in &cost.0 {
        let mut counts = Counts::zero();
        for class in Class::ALL {
            counts[class] = value(&polys[class])?;
        }
        parts.push((*part, counts));
    }
    Ok(PartCounts(parts))
}

/// The nodes one by one, or together by the first `depth` segments of their paths, in order.
fn groups(subject: &Subject, depth: Option<usize>) -> Vec<Group<'_>> {
    let graph = &subject.graph;
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for node in graph.nodes() {
        let path = match depth {
            None => node.path.clone(),
            Some(0) => "(all)".to_owned(),
            Some(depth) => node.path.split('.').take(depth).collect::<Vec<_>>().join("."),
        };
        let (read, written) = graph.node_bytes(node);
        let params = match &node.op {
            Op::Source(Source::Param { .. }) => {
                graph.fold(&(node.shape.elements() * graph.multiplicity(node)))
            }
            _ => Poly::zero(),
        };
        match known.get(&path) {
            Some(at) => {
                let group = &mut groups[*at];
                group.members += 1;
                for (part, counts) in &graph.node_cost(node).0 {
                    group.cost.add(*part, counts);
                }
                group.params += params;
                group.read += read;
                group.written += written;
            }
            None => {
                known.insert(path.clone(), groups.len());
                groups.push(Group {
                    path,
                    members: 1,
                    op: node.op.name(),
                    shape: &node.shape,
                    cost: graph.node_cost(node),
                    params,
                    read,
                    written,
                });
            }
        }
    }
    groups
}

/// The definitions of which a symbol is still free.
fn definitions(subject: &Subject) -> Vec<String> {
    let free = |d: &&opledger_ir::Definition| match d {
        opledger_ir::Definition::Product { factors, .. } => {
            factors.iter().any(|s| subject.binding.get(s).is_none())
        }
        other => other.defines().iter().any(|s| subject.binding.get(s).is_none()),
    };
    subject.graph.definitions().iter().filter(free).map(ToString::to_string).collect()
}
