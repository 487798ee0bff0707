//! Claims B1 and B2: a worked example, and numbers printed by a tool.

use opledger_dims::{Poly, Quantity};
use opledger_interp::{Fast, Feeds, Oracle};
use opledger_ir::ops::{Factor, Source};
use opledger_ir::{Axis, Graph, Selection};
use opledger_nn::{VitAttention, VitAttentionConfig};
use opledger_tensor::Tensor;

use crate::bench::{Trials, binding};
use crate::claim::{Basis, Finding, Verdict};
use crate::error::VerifyError;
use crate::judge::{ClaimedNumber, grouped};

type Answer = Result<Finding, VerifyError>;

/// The numbers of the example, by the name they have in it, to the digits it prints.
const EXAMPLE: [(&str, &[f64]); 4] = [
    ("q", &[1.0, 2.0, 1.0, 1.0]),
    ("scores", &[0.71, 1.41, 0.71, 0.71]),
    ("weights", &[0.33, 0.67, 0.50, 0.50]),
    ("b", &[0.33, 0.67, 0.50, 0.50]),
];

pub(crate) fn worked_example(bench: &mut Trials<'_>) -> Answer {
    let mut g = Graph::new();
    let a = g.input("a", [("n", 2), ("c", 2)])?;
    let w = g.param("Wq", Source::weight(2), [("c", 2), ("e", 2)])?;
    let k = g.input("k", [("m", 2), ("e", 2)])?;
    let v = g.input("v", [("m", 2), ("f", 2)])?;
    let q = g.einsum("n c, c e -> n e", a, w)?;
    let products = g.einsum("n e, m e -> n m", q, k)?;
    let scores = g.scale(products, Factor::InverseSqrt(2.into()))?;
    let weights = g.softmax(scores, None)?;
    let b = g.einsum("n m, m f -> n f", weights, v)?;
    for (name, var) in [("q", q), ("scores", scores), ("weights", weights), ("b", b)] {
        g.output(name, var);
    }
    let matrix = |data: [f32; 4]| Ok::<_, VerifyError>(Tensor::new(&[2, 2], data.to_vec())?);
    let feeds = Feeds::seeded(0)
        .with("a", matrix([1., 1., 1., 0.])?)
        .with("Wq", matrix([1., 1., 0., 1.])?)
        .with("k", matrix([1., 0., 0., 1.])?)
        .with("v", matrix([1., 0., 0., 1.])?);
    let at = binding(&[]);
    let exact = Oracle::<f64>::new().run(&g, &at, &feeds)?;
    let fast = Fast::new()?.run(&g, &at, &feeds)?;
    let (mut holds, mut settled, mut details) = (true, true, Vec::new());
    for (name, printed) in EXAMPLE {
        let exact: Vec<f64> = exact.output(name)?.iter().map(|x| x.0).collect();
        let fast = fast.output(name)?;
        settled &= exact.iter().zip(&fast).all(|(x, y)| (x - f64::from(*y)).abs() < 1e-6);
        holds &= exact.iter().zip(printed).all(|(x, p)| (x - p).abs() <= 0.005);
        let values: Vec<String> = exact.iter().map(|x| format!("{x:.4}")).collect();
        details.push(format!("{name}: executed {}; printed {printed:?}", values.join(", ")));
    }
    let grid = bench.grid(&g)?;
    let flops = bench.derived(&g, Quantity::Flops, &Selection::ALL);
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "b1=(0.33,0.67), b2=(0.50,0.50)".into(),
        derived: "softmax(q·kᵀ/√2)·v".into(),
        evidence: details.last().cloned().unwrap_or_default(),
        note: "to the two decimals printed".into(),
        details,
        agrees: settled && grid.agrees(&g, Selection::ALL, Quantity::Flops, &flops),
    })
}

/// The module that the tool was run on, of any sizes: one projection to q, k and v without bias.
fn module([b, n, c, h]: [Poly; 4], out_proj: bool) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = g.input("x", [Axis::new("b", b), Axis::new("n", n), Axis::new("c", &c)])?;
    let config = VitAttentionConfig { qkv_bias: false, out_proj, ..VitAttentionConfig::new(c, h) };
    let y = VitAttention::new(&mut g, &config)?.forward(&mut g, x)?;
    g.output("y", y);
    Ok(g)
}

pub(crate) fn tool_numbers(bench: &mut Trials<'_>) -> Answer {
    let cases = [
        ("1 head", 1, false, 60_129_542_144),
        ("8 heads + W_O", 8, true, 68_719_476_736),
        ("8 heads", 8, false, 60_129_542_144),
    ];
    let readings = &[Quantity::Flops, Quantity::MatmulFlops, Quantity::Macs];
    let (mut findings, mut flops) = (Vec::new(), Vec::new());
    for (name, heads, out_proj, claimed) in cases {
        let graph = module([32, 1024, 512, heads].map(Poly::from), out_proj)?;
        let number = ClaimedNumber {
            graph: &graph,
            scope: Selection::ALL,
            claimed,
            readings,
            own_size: &[],
        };
        findings.push((name, number.judge(bench)?));
        let all = graph.quantity(Quantity::Flops).as_integer().unwrap_or_default();
        flops.push(grouped(&all));
    }
    let evidence: Vec<String> =
        findings.iter().map(|(name, f)| format!("{name}: {}", f.evidence)).collect();
    let mut finding = Finding::all(findings);
    finding.evidence = evidence.join("; ");
    // The same module of other sizes.
    for out_proj in [false, true] {
        let graph = module(["b", "n", "c", "h"].map(Poly::symbol), out_proj)?;
        let grid = bench.grid(&graph)?;
        for reading in *readings {
            let formula = bench.derived(&graph, reading, &Selection::ALL);
            finding.agrees &= grid.agrees(&graph, Selection::ALL, reading, &formula);
        }
        let which = if out_proj { "with W_O" } else { "without W_O" };
        finding.details.push(format!("{which}, of other sizes: {}", grid.describe()));
    }
    Ok(finding.noting(format!(
        "fvcore's \"flop\" is one multiply-accumulate, half the usual two; every scalar operation counted, the \
         three modules take {} flops",
        flops.join(", ")
    )))
}
