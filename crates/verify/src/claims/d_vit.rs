//! Claims D: a ViT attention module, operator by operator.

use opledger_dims::{Class, Poly, Quantity, Symbol};
use opledger_ir::{Graph, Op, Operation, Part, Selection};
use opledger_nn::{DropoutConfig, VitAttention, VitAttentionConfig};

use crate::bench::Trials;
use crate::claim::{Basis, Finding, Verdict};
use crate::error::{Evidence, VerifyError};
use crate::judge::Question;

type Answer = Result<Finding, VerifyError>;

/// The module: qkv, split into heads, scale, softmax, weighted sum, projection, dropout.
fn module(qkv_bias: bool) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"])?;
    let config = VitAttentionConfig {
        qkv_bias,
        out_bias: false,
        dropout: DropoutConfig::inference(0.1),
        ..VitAttentionConfig::new("c", "h")
    };
    let y = VitAttention::new(&mut g, &config)?.forward(&mut g, x)?;
    g.output("y", y);
    Ok(g)
}

fn ask(scope: Selection, claimed: &str, readings: &[Quantity], bench: &mut Trials<'_>) -> Answer {
    Question::new(&module(false)?, claimed, readings).within(scope).judge(bench)
}

const PRODUCTS: &[Quantity] = &[Quantity::Multiplications];

pub(crate) fn qkv(bench: &mut Trials<'_>) -> Answer {
    let finding = ask(
        Selection::within(&["qkv"]),
        "3·c²",
        &[Quantity::Multiplications, Quantity::Flops],
        bench,
    )?;
    Ok(finding.noting("3C² is the number of weights; each meets every one of the B·N tokens"))
}

pub(crate) fn scores(bench: &mut Trials<'_>) -> Answer {
    ask(Selection::part(Part::Scores), "b·n²·c", PRODUCTS, bench)
}

pub(crate) fn scaling(bench: &mut Trials<'_>) -> Answer {
    let finding = ask(Selection::part(Part::Scale), "b·n²·h", &[Quantity::Flops], bench)?;
    let graph = module(false)?;
    let moving = |node: &&opledger_ir::Node| matches!(node.op, Op::Rearrange(_) | Op::Dropout(_));
    let moved: Vec<_> = graph.nodes().iter().filter(moving).collect();
    let free = moved.iter().all(|node| graph.node_cost(node).total().is_zero());
    let own = bench.own_size(&graph, &[("b", 2), ("n", 5), ("c", 8), ("h", 2)])?;
    let own = own.ok_or(VerifyError::Missing(Evidence::Run))?;
    let counted = graph.nodes().iter().zip(own.ledger.rows()).filter(|(node, _)| moving(node));
    let none_counted =
        counted.map(|(_, row)| row.counts().executed.total().total()).sum::<u64>() == 0;
    let mut finding = finding;
    if !(free && none_counted && !moved.is_empty()) {
        finding.verdict = Verdict::Refuted;
    }
    let names: std::collections::BTreeSet<_> = moved.iter().map(|node| node.op.name()).collect();
    let names: Vec<_> = names.into_iter().collect();
    Ok(finding.noting(format!("{} executed without a scalar operation", names.join(", "))))
}

pub(crate) fn softmax(bench: &mut Trials<'_>) -> Answer {
    let readings = [Quantity::Flops, Quantity::Class(Class::Exp)];
    let finding = ask(Selection::part(Part::Softmax), "b·n²·h", &readings, bench)?;
    let graph = module(false)?;
    let all = graph.quantity_of(Quantity::Flops, &Selection::part(Part::Softmax));
    let attention = graph.nodes().iter().find(|node| matches!(node.op, Op::Attention(_)));
    let exact = attention.map(|node| graph.node_cost(node).part(Part::Softmax).to_string());
    Ok(finding.noting(format!("in full {all} operations: {}", exact.unwrap_or_default())))
}

pub(crate) fn weighted_sum(bench: &mut Trials<'_>) -> Answer {
    let summary = ask(Selection::part(Part::Context), "b·n²", PRODUCTS, bench)?;
    let comment = ask(Selection::part(Part::Context), "b·n²·c", PRODUCTS, bench)?;
    let comment_holds = comment.verdict == Verdict::Holds;
    let mut finding = summary;
    finding.agrees &= comment.agrees;
    Ok(finding.noting(if comment_holds {
        "the comment in the source's code, B·N²·C, holds; its summary lost the factor C"
    } else {
        "the comment in the source's code, B·N²·C, does not hold either"
    }))
}

pub(crate) fn output_projection(bench: &mut Trials<'_>) -> Answer {
    ask(Selection::within(&["proj"]), "b·n·c²", PRODUCTS, bench)
}

pub(crate) fn heads(bench: &mut Trials<'_>) -> Answer {
    let graph = module(false)?;
    let (h, e) = (Symbol::new("h"), Symbol::new("e"));
    let mut details = Vec::new();
    let mut holds = true;
    let mut parts: Vec<(&str, Selection)> =
        vec![("qkv", Selection::within(&["qkv"])), ("proj", Selection::within(&["proj"]))];
    parts.extend(
        [Part::Scores, Part::Scale, Part::Softmax, Part::Context]
            .map(|p| (p.name(), Selection::part(p))),
    );
    for (name, scope) in parts {
        let formula = bench.derived(&graph, Quantity::Multiplications, &scope);
        let all = bench.derived(&graph, Quantity::Flops, &scope);
        // Of a contraction the source counts the multiplications, of the rest everything.
        let (counted, expected) =
            if ["scale", "softmax"].contains(&name) { (all, 1) } else { (formula, 0) };
        let proportional = counted.substitute(&h, &Poly::zero()).is_zero();
        let fits = counted.degree_in(&h) == expected
            && counted.degree_in(&e) == 0
            && (expected == 0 || proportional);
        holds &= fits;
        details.push(format!("{name}: {counted} (degree {} in h)", counted.degree_in(&h)));
    }
    let grid = bench.grid(&graph)?;
    let flops = bench.derived(&graph, Quantity::Flops, &Selection::ALL);
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "scaling and softmax ∝ h; the rest free of h".into(),
        derived: details.join("; "),
        evidence: grid.describe(),
        note: "at a given width C; multiplications for contractions, every operation for scaling and softmax".into(),
        details,
        agrees: grid.agrees(&graph, Selection::ALL, Quantity::Flops, &flops),
    })
}

pub(crate) fn bias(bench: &mut Trials<'_>) -> Answer {
    let (with, without) = (module(true)?, module(false)?);
    let more = |reading| {
        let derive = |graph| bench.derived(graph, reading, &Selection::ALL);
        let difference = derive(&with) - derive(&without);
        with.fold(&difference)
    };
    let (additions, all, parameters) =
        (more(Quantity::Class(Class::Add)), more(Quantity::Flops), more(Quantity::Parameters));
    let claimed: (Poly, Poly) = ("3·b·n·c".parse()?, "3·c".parse()?);
    let holds = additions == claimed.0 && all == claimed.0 && parameters == claimed.1;
    let mut settled = true;
    for graph in [&with, &without] {
        let grid = bench.grid(graph)?;
        let parameters = bench.parameter_grid(graph, &[])?;
        for (grid, of) in [(grid, Quantity::Class(Class::Add)), (parameters, Quantity::Parameters)]
        {
            let formula = bench.derived(graph, of, &Selection::ALL);
            settled &= grid.agrees(graph, Selection::ALL, of, &formula);
        }
    }
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: format!("{} additions, {} parameters", claimed.0, claimed.1),
        derived: format!("{additions} additions, {parameters} parameters"),
        evidence: "with and without, both executed over grids of sizes".into(),
        note: String::new(),
        details: Vec::new(),
        agrees: settled,
    })
}
