//! Claims B3 and B4: heads split from one projection, and what heads cost.

use opledger_dims::{Poly, Quantity, Symbol};
use opledger_interp::{Fast, Feeds, Oracle, Tensors};
use opledger_ir::ops::{Factor, Source};
use opledger_ir::{Axis, Graph, Mask, Selection, Var};
use opledger_nn::{AttentionConfig, MultiheadAttention, SelfAttention, SelfAttentionConfig};
use opledger_tensor::Tensor;

use crate::bench::{Trials, binding};
use crate::claim::{Basis, Finding, Verdict};
use crate::error::{Evidence, VerifyError};
use crate::reading::greatest;

type Answer = Result<Finding, VerifyError>;

const BATCH: usize = 2;
const TOKENS: usize = 7;
const WIDTH: usize = 12;
const HEADS: usize = 4;
const HEAD_DIM: usize = WIDTH / HEADS;

fn input(g: &mut Graph) -> Result<Var, VerifyError> {
    Ok(g.input("x", [("b", BATCH), ("n", TOKENS), ("c", WIDTH)])?)
}

/// Every head from one projection.
fn split() -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = input(&mut g)?;
    let config =
        AttentionConfig { bias: false, out_bias: false, ..AttentionConfig::new(WIDTH, HEADS) };
    let y = MultiheadAttention::new(&mut g, &config)?.forward(&mut g, x, x, x)?;
    g.output("y", y);
    Ok(g)
}

/// Each head from projections of its own, the heads side by side, then W_O.
fn per_head() -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = input(&mut g)?;
    let mut joined: Option<Var> = None;
    for head in 0..HEADS {
        let g = &mut *g.scope(&format!("head{head}"));
        let mut projected = Vec::new();
        for name in ["q", "k", "v"] {
            let axes = [Axis::new("h", 1), Axis::new("e", HEAD_DIM), Axis::new("c", WIDTH)];
            let weight = g.param(name, Source::weight(WIDTH), axes)?;
            projected.push(g.einsum("b n c, h e c -> b n h e", x, weight)?);
        }
        let operands = (projected[0], projected[1], projected[2]);
        let y =
            g.attention(operands, Mask::none(), Some(Factor::InverseSqrt(HEAD_DIM.into())), None)?;
        joined = Some(match joined {
            None => y,
            Some(before) => g.concat(before, y, "h")?,
        });
    }
    let joined = joined.ok_or(VerifyError::Missing(Evidence::Heads))?;
    let axes = [Axis::new("c", WIDTH), Axis::new("h", HEADS), Axis::new("e", HEAD_DIM)];
    let out = g.param("out", Source::weight(WIDTH), axes)?;
    let y = g.einsum("b n h e, c h e -> b n c", joined, out)?;
    g.output("y", y);
    Ok(g)
}

pub(crate) fn split_is_per_head(bench: &mut Trials<'_>) -> Answer {
    let (split, per_head) = (split()?, per_head()?);
    let seeded = Feeds::seeded(11);
    let drawn = Tensors::new(&split, &binding(&[]), &seeded)?;
    let tensor = |path: &str| {
        let value = drawn.get(path).and_then(|v| v.real().cloned());
        value.ok_or_else(|| VerifyError::Missing(Evidence::Parameter(path.to_owned())))
    };
    let mut feeds =
        Feeds::seeded(11).with("x", tensor("x")?).with("out", tensor("out_proj.weight")?);
    for (letter, name) in [("q", "q_proj.weight"), ("k", "k_proj.weight"), ("v", "v_proj.weight")] {
        let big = tensor(name)?;
        let rows = HEAD_DIM * WIDTH;
        for (head, slice) in big.data().chunks(rows).enumerate() {
            let own = Tensor::new(&[1, HEAD_DIM, WIDTH], slice.to_vec());
            let own = own?;
            feeds = feeds.with(&format!("head{head}.{letter}"), own);
        }
    }
    let here = binding(&[]);
    let exact = |g: &Graph, feeds: &Feeds| -> Result<Vec<f64>, VerifyError> {
        let run = Oracle::<f64>::new().run(g, &here, feeds)?;
        Ok(run.output("y")?.iter().map(|x| x.0).collect())
    };
    let (a, b) = (exact(&split, &seeded)?, exact(&per_head, &feeds)?);
    let difference = greatest(a.iter().zip(&b).map(|(x, y)| (x - y).abs()));
    let (fa, fb) =
        (Fast::new()?.run(&split, &here, &seeded)?, Fast::new()?.run(&per_head, &here, &feeds)?);
    let (fa, fb) = (fa.output("y")?, fb.output("y")?);
    let fast_difference = greatest(fa.iter().zip(&fb).map(|(x, y)| f64::from((x - y).abs())));
    let of = |g: &Graph| bench.derived(g, Quantity::Macs, &Selection::ALL);
    let (macs_split, macs_per_head) = (of(&split), of(&per_head));
    let same_cost = macs_split == macs_per_head;
    let mut settled = true;
    for (graph, macs) in [(&split, &macs_split), (&per_head, &macs_per_head)] {
        let grid = bench.grid(graph)?;
        settled &= grid.agrees(graph, Selection::ALL, Quantity::Macs, macs);
    }
    let holds = difference == 0.0 && fast_difference < 1e-6 && same_cost;
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "equal outputs".into(),
        derived: format!("{macs_split} multiply-accumulates either way"),
        evidence: format!(
            "outputs differ by {difference:e} (oracle, f64) and {fast_difference:.1e} (kernels, f32)"
        ),
        note: format!(
            "[{BATCH},{TOKENS},{WIDTH}], {HEADS} heads; head i uses rows i·e to (i+1)·e of the big weight"
        ),
        details: Vec::new(),
        agrees: settled,
    })
}

/// Self-attention without W_O: several heads, or one of full width.
fn without_output_projection(one_head: bool) -> Result<Graph, VerifyError> {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"])?;
    let y = if one_head {
        SelfAttention::new(&mut g, &SelfAttentionConfig::new("c"))?.forward(&mut g, x)?
    } else {
        let config =
            AttentionConfig { bias: false, out_proj: false, ..AttentionConfig::new("c", "h") };
        MultiheadAttention::new(&mut g, &config)?.forward(&mut g, x, x, x)?
    };
    g.output("y", y);
    Ok(g)
}

pub(crate) fn similar_cost(bench: &mut Trials<'_>) -> Answer {
    let (many, one) = (without_output_projection(false)?, without_output_projection(true)?);
    let derive = |graph, reading| bench.derived(graph, reading, &Selection::ALL);
    let of = |reading| (derive(&many, reading), derive(&one, reading));
    let (macs_many, macs_one) = of(Quantity::Macs);
    let (flops_many, flops_one) = of(Quantity::Flops);
    let more = many.fold(&(&flops_many - &flops_one));
    let mut settled = true;
    for (graph, flops, macs) in [(&many, &flops_many, &macs_many), (&one, &flops_one, &macs_one)] {
        let grid = bench.grid(graph)?;
        settled &= grid.agrees(graph, Selection::ALL, Quantity::Flops, flops);
        settled &= grid.agrees(graph, Selection::ALL, Quantity::Macs, macs);
    }
    // What grows is linear in the number of heads and independent of the width.
    let h = Symbol::new("h");
    let linear = more.degree_in(&h) == 1 && more.degree_in(&Symbol::new("c")) == 0;
    let holds = macs_many == macs_one && linear;
    let at = binding(&[("b", 32), ("n", 1024), ("c", 512), ("h", 8), ("e", 64)]);
    let number = |p: &Poly| {
        p.at(&at).map(|v| v.to_string().parse::<f64>().unwrap_or(f64::NAN)).unwrap_or(f64::NAN)
    };
    let share = 100.0 * number(&more) / number(&flops_one);
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "similar".into(),
        derived: format!("multiply-accumulates equal: {macs_many}"),
        evidence: "both executed over grids of sizes".into(),
        note: format!(
            "all operations: multi-head takes {more} more (scaling and softmax once per head), {share:.1} % at \
             [32,1024,512] with 8 heads"
        ),
        details: vec![
            format!("multi-head flops: {flops_many}"),
            format!("one head flops: {flops_one}"),
        ],
        agrees: settled,
    })
}
