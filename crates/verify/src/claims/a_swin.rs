//! Claims A: one block's multiplications, and windows.

use opledger_dims::{Integer, Poly, Quantity, Symbol};
use opledger_interp::{Fast, Feeds, Oracle};
use opledger_ir::{Axis, Graph, Part, Selection};
use opledger_nn::{
    SelfAttention, SelfAttentionConfig, VitAttention, VitAttentionConfig, WindowAttention,
    WindowAttentionConfig,
};

use crate::bench::{Trials, at, binding};
use crate::claim::{Basis, Finding, Verdict};
use crate::error::VerifyError;
use crate::judge::{Question, grouped};
use crate::reading::greatest;

type Answer = Result<Finding, VerifyError>;

/// The block: one head over `n = H·W` tokens, with W_O, widths `c1` and `c2`.
fn block(value_width: &str, key_width: &str) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = g.input("x", [Axis::from("n"), Axis::new("c", value_width)])?;
    let config = SelfAttentionConfig {
        key_dim: Some(key_width.into()),
        out_proj: true,
        ..SelfAttentionConfig::new(value_width)
    };
    let y = SelfAttention::new(&mut g, &config)?.forward(&mut g, x)?;
    g.output("y", y);
    Ok(g)
}

fn multiplications(
    graph: &Graph,
    scope: Selection,
    claimed: &str,
    bench: &mut Trials<'_>,
) -> Answer {
    Question::new(graph, claimed, &[Quantity::Multiplications]).within(scope).judge(bench)
}

pub(crate) fn projections(bench: &mut Trials<'_>) -> Answer {
    let g = block("c1", "c2")?;
    Ok(Finding::all(vec![
        ("q", multiplications(&g, Selection::within(&["q_proj"]), "n·c1·c2", bench)?),
        ("k", multiplications(&g, Selection::within(&["k_proj"]), "n·c1·c2", bench)?),
        ("v", multiplications(&g, Selection::within(&["v_proj"]), "n·c1²", bench)?),
    ]))
}

pub(crate) fn products(bench: &mut Trials<'_>) -> Answer {
    let g = block("c1", "c2")?;
    Ok(Finding::all(vec![
        ("scores", multiplications(&g, Selection::part(Part::Scores), "n²·c2", bench)?),
        ("context", multiplications(&g, Selection::part(Part::Context), "n²·c1", bench)?),
    ]))
}

pub(crate) fn output_projection(bench: &mut Trials<'_>) -> Answer {
    let g = block("c1", "c2")?;
    let finding = multiplications(&g, Selection::within(&["out_proj"]), "n·c1²", bench)?;
    Ok(finding.noting(
        "the map counted here is the output projection W_O of attention, not a feed-forward layer",
    ))
}

pub(crate) fn total(bench: &mut Trials<'_>) -> Answer {
    let readings = [Quantity::Multiplications, Quantity::Macs];
    let (general, equal) = (block("c1", "c2")?, block("c", "c")?);
    let formula = "2·n·c1·c2 + 2·n·c1² + n²·c2 + n²·c1";
    let finding = Finding::all(vec![
        ("C1, C2", Question::new(&general, formula, &readings).judge(bench)?),
        ("C", Question::new(&equal, "4·n·c² + 2·n²·c", &readings).judge(bench)?),
    ]);
    let all = equal.quantity(Quantity::Multiplications);
    let contractions = equal.quantity(Quantity::Macs);
    let scaling = &all - &contractions;
    let flops = equal.quantity(Quantity::Flops);
    Ok(finding.noting(format!(
        "scaling by 1/√e is {scaling} multiplications more (one per score and head); with softmax and all \
         additions the block is {flops} operations"
    )))
}

pub(crate) fn widths_differ(bench: &mut Trials<'_>) -> Answer {
    let g = block("c1", "c2")?;
    let sizes = [(7, 6, 10), (5, 9, 4), (3, 4, 4)];
    let (mut worst, mut shapes_fit) = (0.0_f64, true);
    for (n, c1, c2) in sizes {
        let at = binding(&[("n", n), ("c1", c1), ("c2", c2)]);
        let exact = Oracle::<f64>::new().run(&g, &at, &Feeds::seeded(5))?;
        let fast = Fast::new()?.run(&g, &at, &Feeds::seeded(5))?;
        let (exact, fast) = (exact.output("y")?, fast.output("y")?);
        shapes_fit &= fast.shape() == [n as usize, c1 as usize];
        let errors = exact.iter().zip(&fast).map(|(x, y)| (x.0 - f64::from(*y)).abs());
        worst = greatest(errors.chain([worst]));
    }
    let grid = bench.grid(&g)?;
    let formula = bench.derived(&g, Quantity::Macs, &Selection::ALL);
    let counted = grid.agrees(&g, Selection::ALL, Quantity::Macs, &formula);
    let holds = shapes_fit && worst < 1e-5;
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "C2 ≠ C1".into(),
        derived: format!("{formula} multiply-accumulates"),
        evidence: format!("executed at (C1, C2) = (6, 10), (9, 4), (4, 4); {}", grid.describe()),
        note: format!("kernels and oracle differ by at most {worst:.1e}; the output has width C1"),
        details: Vec::new(),
        agrees: counted,
    })
}

/// Window attention over an image, its windows `s` tokens wide; with or without a bias of positions,
/// which multiplies nothing.
fn window(height: Poly, width: Poly, position_bias: bool) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x =
        g.input("x", [Axis::new("height", height), Axis::new("width", width), Axis::from("c")])?;
    let attention = VitAttentionConfig { qkv_bias: false, ..VitAttentionConfig::new("c", "h") };
    let swin = WindowAttentionConfig::new("c", "h", "s");
    let config = WindowAttentionConfig { attention, position_bias, ..swin };
    let y = WindowAttention::new(&mut g, &config)?.forward(&mut g, x)?;
    g.output("y", y);
    Ok(g)
}

/// The paper's formula for windows.
const WINDOWS: &str = "4·height·width·c² + 2·s²·height·width·c";

/// `WINDOWS` where windows fill the image: `height = s·wy`, `width = s·wx`.
fn filled(bench: &mut Trials<'_>) -> Answer {
    let [height, width] = ["s·wy", "s·wx"].map(str::parse::<Poly>);
    let (height, width) = (height?, width?);
    let claimed = WINDOWS.parse::<Poly>()?.substitute(&Symbol::new("height"), &height);
    let claimed = claimed.substitute(&Symbol::new("width"), &width).to_string();
    let graph = window(height, width, false)?;
    let finding = Question::new(&graph, &claimed, &[Quantity::Macs]).judge(bench)?;
    Ok(match finding.verdict {
        Verdict::Holds => Finding {
            verdict: Verdict::HoldsUnderConvention,
            convention: Some("windows fill the image: h and w are multiples of M".into()),
            ..finding
        },
        Verdict::HoldsUnderConvention | Verdict::Refuted | Verdict::NotRun => finding,
    })
}

pub(crate) fn windows(bench: &mut Trials<'_>) -> Answer {
    let mut global = Graph::new();
    let tokens = Poly::symbol("height") * Poly::symbol("width");
    let x = global.input("x", [Axis::new("n", tokens), Axis::from("c")])?;
    let config = VitAttentionConfig { qkv_bias: false, ..VitAttentionConfig::new("c", "h") };
    let y = VitAttention::new(&mut global, &config)?.forward(&mut global, x)?;
    global.output("y", y);
    let formula = "4·height·width·c² + 2·height²·width²·c";
    let msa = Question::new(&global, formula, &[Quantity::Macs]).judge(bench)?;
    let filled = filled(bench)?;
    let evidence = format!("MSA: {}; W-MSA: {}", msa.evidence, filled.evidence);
    let both = Finding::all(vec![("MSA", msa), ("W-MSA", filled)]);
    let mut finding = Finding { evidence, ..both };

    // Any image: what windows cover beside it is padded.
    let local = window("height".into(), "width".into(), true)?;
    let derived = bench.derived(&local, Quantity::Macs, &Selection::ALL);
    for (height, width, side, h, c) in
        [(4, 4, 2, 2, 6), (6, 9, 3, 1, 5), (7, 7, 7, 3, 6), (5, 5, 3, 2, 4), (10, 13, 7, 4, 8)]
    {
        let sizes = [("height", height), ("width", width), ("s", side), ("c", c), ("h", h)];
        let Some(own) = bench.own_size(&local, &sizes)? else { continue };
        let counted = bench.counted(&local, &own, &Selection::ALL, Quantity::Macs);
        let claimed: Integer = at(&local, &WINDOWS.parse()?, &sizes)?;
        let fills = height % side == 0 && width % side == 0;
        finding.agrees &= counted == at(&local, &derived, &sizes)?;
        finding.agrees &= if fills { counted == claimed } else { counted > claimed };
        let how = if fills { "windows fill it" } else { "padded: the formula leaves out padding" };
        finding.details.push(format!(
            "{height}×{width}, M={side}, h={h}, C={c}: formula {}, counted {} ({how})",
            grouped(&claimed),
            grouped(&counted)
        ));
    }
    finding.claimed = format!("MSA: 4·h·w·c² + 2·(h·w)²·c; W-MSA: {WINDOWS}");
    Ok(finding.noting(format!(
        "the paper's columns say FLOPs and count multiply-accumulates; where windows do not fill the image \
         W-MSA is {derived} with wy·wx windows, padded tokens included (see --details)"
    )))
}
