//! Claims C: counting a small model with a hook-based tool.

use std::collections::BTreeSet;

use opledger_dims::Quantity;
use opledger_interp::{Fast, Feeds};
use opledger_ir::{Axis, Graph, Selection};
use opledger_nn::{AttentionMlpStack, AttentionMlpStackConfig};

use crate::bench::{Trials, binding};
use crate::claim::{Basis, Finding, Verdict};
use crate::error::{Evidence, VerifyError};
use crate::judge::{ClaimedNumber, grouped};

type Answer = Result<Finding, VerifyError>;

/// The model on input [10, 32, 64] = (sequence, batch, embed).
fn model() -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = g.input("x", [Axis::new("b", 32), Axis::new("n", 10), Axis::new("c", 64)])?;
    let y =
        AttentionMlpStack::new(&mut g, &AttentionMlpStackConfig::default())?.forward(&mut g, x)?;
    g.output("y", y);
    Ok(g)
}

/// A count belongs to the work, a rate to the machine: a matter of words. Shown by the same work on
/// three sets of data, of which a rate would say how long each took.
pub(crate) fn not_a_rate(_: &mut Trials<'_>) -> Answer {
    let graph = model()?;
    let mut runs = Vec::new();
    for seed in [1, 2, 3] {
        let run = Fast::new()?.run(&graph, &binding(&[]), &Feeds::seeded(seed))?;
        runs.push((run.ledger.useful().total(), run.wall));
    }
    let counts: BTreeSet<_> = runs.iter().map(|(count, _)| count.clone()).collect();
    let describe = |(count, wall): &(opledger_dims::Integer, std::time::Duration)| {
        let rate = count.to_string().parse::<f64>().unwrap_or(f64::NAN) / wall.as_secs_f64() / 1e9;
        format!(
            "{} operations in {:.3} ms: {rate:.2} GFLOP/s",
            grouped(count),
            wall.as_secs_f64() * 1e3
        )
    };
    let details: Vec<String> = runs.iter().map(describe).collect();
    let refuted = counts.len() == 1;
    Ok(Finding {
        verdict: if refuted { Verdict::Refuted } else { Verdict::Holds },
        basis: Basis::Definition,
        convention: None,
        claimed: "operations per second".into(),
        derived: "FLOPs are operations, a count; FLOP/s is the rate".into(),
        evidence: details.first().cloned().unwrap_or_default(),
        note: "the count is the same in every run, the rate is not".into(),
        details,
        agrees: counts.len() == 1,
    })
}

pub(crate) fn small_model(bench: &mut Trials<'_>) -> Answer {
    let graph = model()?;
    let number = |claimed, readings, scope| ClaimedNumber {
        graph: &graph,
        scope,
        claimed,
        readings,
        own_size: &[],
    };
    let flops = number(
        10_485_760,
        &[Quantity::Flops, Quantity::MatmulFlops, Quantity::Macs],
        Selection::ALL,
    )
    .judge(bench)?;
    let parameters = number(33_152, &[Quantity::Parameters], Selection::ALL).judge(bench)?;
    // What the tool sees: the Linear modules that are not inside MultiheadAttention.
    let linear = Selection::within(&["linear1", "linear2"]);
    let seen = number(10_485_760, &[Quantity::Macs], linear).judge(bench)?;
    let seen_parameters = number(33_152, &[Quantity::Parameters], linear).judge(bench)?;
    let explained = seen.verdict == Verdict::Holds && seen_parameters.verdict == Verdict::Holds;
    let own = bench.own_size(&graph, &[])?;
    let counted = |of| match &own {
        Some(own) => grouped(&bench.counted(&graph, own, &Selection::ALL, of)),
        None => "not executed".into(),
    };
    let (macs, read) = (counted(Quantity::Macs), counted(Quantity::Parameters));
    let mut finding = Finding::all(vec![("FLOPs", flops), ("parameters", parameters)]);
    finding.agrees &= seen.agrees && seen_parameters.agrees;
    finding.evidence = format!("{macs} multiply-accumulates, {read} parameters");
    let reason = if explained {
        "thop 0.1.1 sees the Linear modules only: their multiply-accumulates and parameters are exactly its \
         numbers; the attention inside nn.MultiheadAttention is the missing half"
    } else {
        "the Linear modules alone do not explain the tool's numbers"
    };
    Ok(finding.noting(reason))
}

/// The product draws what it executed: every node that ran is in the diagram, every edge too.
pub(crate) fn diagram(bench: &mut Trials<'_>) -> Answer {
    let graph = model()?;
    let drawing = graph.mermaid();
    let drawn = |i: usize| {
        let id = format!("n{i}");
        drawing.lines().any(|line| {
            line.trim_start().strip_prefix(&id).is_some_and(|rest| rest.starts_with(['[', '(']))
        })
    };
    let all_nodes = (0..graph.nodes().len()).all(drawn);
    let edges = graph.nodes().iter().map(|node| node.inputs.len()).sum::<usize>();
    let arrows = drawing.lines().filter(|line| line.contains(" --> ")).count();
    let own = bench.own_size(&graph, &[])?.ok_or(VerifyError::Missing(Evidence::Run))?;
    let ran = own.ledger.rows().iter().filter(|row| row.counts().runs > 0).count();
    let holds = all_nodes && arrows == edges && ran > 0;
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Definition,
        convention: None,
        claimed: "drawn by hand".into(),
        derived: format!("{} nodes and {edges} edges as a Mermaid flowchart", graph.nodes().len()),
        evidence: format!("{ran} nodes executed, all of them drawn"),
        note: "`opledger count attention-mlp-stack --format mermaid` prints it".into(),
        details: drawing.lines().map(str::to_owned).collect(),
        agrees: holds,
    })
}
