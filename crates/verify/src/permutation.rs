//! Claims B5 and B6: attention does not know the order of its tokens, position encodings tell it.

use opledger_dims::{Binding, Counted, Quantity};
use opledger_interp::{Fast, Feeds, Oracle};
use opledger_ir::{Axis, Graph, Selection};
use opledger_nn::{AttentionConfig, LearnedPositions, MultiheadAttention, SinusoidalPositions};
use opledger_tensor::{Distribution, Tensor};

use crate::bench::{Trials, binding};
use crate::claim::{Basis, Finding, Verdict};
use crate::error::{Evidence, VerifyError};
use crate::experiment::{MovedOutput, OwnExperiment};
use crate::reading::greatest;

type Answer = Result<Finding, VerifyError>;

/// How an output may differ and still be called unchanged: rounding of `f32` sums of few terms.
const UNCHANGED: f64 = 1e-5;

/// What is added to the tokens before attention.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Positions {
    None,
    Sinusoidal,
    Learned,
}

/// Self-attention of `tokens` tokens of some width.
struct Experiment {
    graph: Graph,
    tokens: usize,
    width: usize,
    seed: u64,
}

/// The most tokens, and the widest.
const MOST: [usize; 2] = [64, 1024];

impl Experiment {
    fn new(
        tokens: usize,
        width: usize,
        heads: usize,
        positions: Positions,
    ) -> Result<Self, VerifyError> {
        let most = MOST;
        let fits = (3..=most[0]).contains(&tokens) && (1..=most[1]).contains(&width);
        if !fits || !width.is_multiple_of(heads) {
            return Err(VerifyError::Experiment { tokens, width, heads, most });
        }
        let mut g = Graph::new();
        let x =
            g.input("x", [Axis::new("b", "b"), Axis::new("n", tokens), Axis::new("c", width)])?;
        let placed = match positions {
            Positions::None => x,
            Positions::Sinusoidal => SinusoidalPositions::new(&mut g).forward(&mut g, x)?,
            Positions::Learned => {
                let learned = LearnedPositions::new(&mut g.scope("positions"), tokens, width)?;
                learned.forward(&mut g, x)?
            }
        };
        let attention = MultiheadAttention::new(
            &mut g.scope("attention"),
            &AttentionConfig::new(width, heads),
        )?;
        let y = attention.forward(&mut g, placed, placed, placed)?;
        g.output("y", y);
        Ok(Experiment { graph: g, tokens, width, seed: 2 })
    }

    /// That of the source, or one of somebody's own, with its tokens.
    fn asked(
        own: OwnExperiment,
        [tokens, width, heads]: [usize; 3],
        positions: Positions,
    ) -> Result<Self, VerifyError> {
        let [tokens, width, heads] =
            [own.tokens.unwrap_or(tokens), own.width.unwrap_or(width), own.heads.unwrap_or(heads)];
        let made = Experiment::new(tokens, width, heads, positions)?;
        Ok(Experiment { seed: own.seed.unwrap_or(made.seed), ..made })
    }

    /// Tokens that are drawn.
    fn drawn(&self, seed: u64) -> Vec<Vec<f32>> {
        let (shape, of) =
            ([self.tokens, self.width], Distribution::Uniform { centre: 0.0, radius: 1.0 });
        let random = Tensor::random(&shape, seed, of);
        random.data().chunks(self.width).map(<[f32]>::to_vec).collect()
    }

    /// All tokens in their order, and with the last two exchanged.
    fn exchanged(&self) -> [Vec<usize>; 2] {
        let plain: Vec<usize> = (0..self.tokens).collect();
        let mut exchanged = plain.clone();
        exchanged.swap(self.tokens - 1, self.tokens - 2);
        [plain, exchanged]
    }

    /// Outputs `[n][c]` of the kernels for the tokens in a given order; the oracle must agree.
    fn outputs(&self, tokens: &[Vec<f32>], order: &[usize]) -> Result<Vec<Vec<f64>>, VerifyError> {
        let data: Vec<f32> = order.iter().flat_map(|i| tokens[*i].clone()).collect();
        let x = Tensor::new(&[1, self.tokens, self.width], data);
        let x = x?;
        let at = binding(&[("b", 1)]);
        let feeds = Feeds::seeded(self.seed).with("x", x);
        let fast = Fast::new()?.run(&self.graph, &at, &feeds)?;
        let exact = Oracle::<f64>::new().run(&self.graph, &at, &feeds)?;
        let (fast, exact) = (fast.output("y")?, exact.output("y")?);
        let near = |(x, y): (&f32, &Counted<f64>)| (f64::from(*x) - y.0).abs() <= UNCHANGED;
        let apart = !fast.iter().zip(&exact).all(near);
        if apart {
            return Err(VerifyError::Missing(Evidence::Agreement));
        }
        let values: Vec<f64> = fast.iter().map(|x| f64::from(*x)).collect();
        Ok(values.chunks(self.width).map(<[f64]>::to_vec).collect())
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    greatest(a.iter().zip(b).map(|(x, y)| (x - y).abs()))
}

fn show(vector: &[f64]) -> String {
    let numbers: Vec<String> = vector.iter().map(|x| format!("{x:.4}")).collect();
    format!("({})", numbers.join(", "))
}

/// The most tokens of which all orders are tried, and how many of more.
const ALL_OF: usize = 6;
const SOME: usize = 720;

/// Orders of `count` tokens: all, or some that are drawn.
fn orders(count: usize, seed: u64) -> Vec<Vec<usize>> {
    if count <= ALL_OF {
        return all_orders(count);
    }
    let keys =
        Tensor::random(&[SOME, count], seed, Distribution::Uniform { centre: 0.0, radius: 1.0 });
    let order = |keys: &[f32]| {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]));
        order
    };
    keys.data().chunks(count).map(order).collect()
}

/// All orders of `count` tokens (Heap's algorithm).
fn all_orders(count: usize) -> Vec<Vec<usize>> {
    let (mut order, mut counters) = ((0..count).collect::<Vec<_>>(), vec![0; count]);
    let (mut all, mut i) = (vec![order.clone()], 1);
    while i < count {
        if counters[i] < i {
            order.swap(if i % 2 == 0 { 0 } else { counters[i] }, i);
            all.push(order.clone());
            counters[i] += 1;
            i = 1;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
    all
}

/// The three tokens of the source.
fn source_tokens() -> Vec<Vec<f32>> {
    vec![vec![1.0, 2.0], vec![2.0, 3.0], vec![3.0, 4.0]]
}

const SWAPPED: [usize; 3] = [0, 2, 1];

/// The source's own call: [1, 3, 2] without `batch_first` is a sequence of length 1 in a batch of 3,
/// so that every token attends to itself alone and no order could matter.
fn empty_run(details: &mut Vec<String>) -> Result<bool, VerifyError> {
    let mut g = Graph::new();
    let x = g.input("x", [Axis::new("b", 3), Axis::new("n", 1), Axis::new("c", 2)])?;
    let attention =
        MultiheadAttention::new(&mut g.scope("attention"), &AttentionConfig::new(2, 1))?;
    let y = attention.forward(&mut g, x, x, x)?;
    g.output("y", y);
    let outputs = |tokens: &[Vec<f32>]| -> Result<Vec<Vec<f64>>, VerifyError> {
        let x = Tensor::new(&[3, 1, 2], tokens.concat())?;
        let run = Fast::new()?.run(&g, &Binding::new(), &Feeds::seeded(2).with("x", x))?;
        let y = run.output("y")?;
        let values: Vec<f64> = y.iter().map(|v| f64::from(*v)).collect();
        Ok(values.chunks(2).map(<[f64]>::to_vec).collect())
    };
    let tokens = source_tokens();
    let full = outputs(&tokens)?;
    // Whatever stands at the other two places, the first output stays to the last bit.
    let replaced = outputs(&[tokens[0].clone(), vec![-7.0, 9.0], vec![100.0, 0.5]])?;
    let blind = full[0] == replaced[0];
    details
        .push("the source's run: [1, 3, 2] without batch_first is 1 token in a batch of 3".into());
    details.push(format!("  output 1 with tokens (1,2) (2,3) (3,4): {}", show(&full[0])));
    details.push(format!("  output 1 with (1,2) and two unrelated tokens: {}", show(&replaced[0])));
    details
        .push("  equal: each token saw itself only, so the run shows nothing about order".into());
    Ok(blind)
}

pub(crate) fn equivariance(bench: &mut Trials<'_>) -> Answer {
    let mut details = Vec::new();
    let blind = empty_run(&mut details)?;

    let small = Experiment::new(3, 2, 1, Positions::None)?;
    let tokens = source_tokens();
    let (plain, swapped) = (small.outputs(&tokens, &[0, 1, 2])?, small.outputs(&tokens, &SWAPPED)?);
    let first = distance(&plain[0], &swapped[0]);
    details.push("the same tokens as one sequence of 3, and with tokens 2 and 3 exchanged:".into());
    for (i, (a, b)) in plain.iter().zip(&swapped).enumerate() {
        details.push(format!("  output {}: {}  |  {}", i + 1, show(a), show(b)));
    }

    let large = Experiment::asked(bench.own, [5, 8, 2], Positions::None)?;
    let (count, seed) = (large.tokens, bench.own.seed.unwrap_or(17));
    let tokens = large.drawn(seed);
    let identity: Vec<usize> = (0..count).collect();
    let base = large.outputs(&tokens, &identity)?;
    let (mut worst, all) = (0.0_f64, orders(count, seed));
    for order in &all {
        let outputs = large.outputs(&tokens, order)?;
        for (place, token) in order.iter().enumerate() {
            worst = greatest([worst, distance(&outputs[place], &base[*token])].into_iter());
        }
    }
    let which = if count <= ALL_OF { "all" } else { "of all, the" };
    details.push(format!("{which} {} orders of {count} random tokens: outputs move with their tokens, off by at most {worst:.1e}", all.len()));
    for (name, moved) in [
        ("no positions: 2, 3 exchanged".to_owned(), first),
        (format!("no positions: {} orders", all.len()), worst),
    ] {
        bench.moved.push(MovedOutput { name, moved });
    }

    let mut counts_agree = true;
    for graph in [&small.graph, &large.graph] {
        let flops = bench.derived(graph, Quantity::Flops, &Selection::ALL);
        let grid = bench.grid(graph)?;
        counts_agree &= grid.agrees(graph, Selection::ALL, Quantity::Flops, &flops);
    }
    let holds = first < UNCHANGED && worst < UNCHANGED;
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "output 1 unchanged".into(),
        derived: "attention is equivariant: outputs move with their tokens".into(),
        evidence: format!("output 1 moves by {first:.1e}; over {} {} orders of {count} tokens {worst:.1e}", if count <= ALL_OF { "all" } else { "some" }, all.len()),
        note: "the source's own run has sequence length 1 (its call passes [1,3,2] without batch_first) and shows nothing".into(),
        details,
        agrees: blind && counts_agree,
    })
}

pub(crate) fn positions_break_it(bench: &mut Trials<'_>) -> Answer {
    let (mut details, mut measured, mut holds, mut settled) = (Vec::new(), Vec::new(), true, true);
    for (name, positions) in [
        ("no positions", Positions::None),
        ("sine and cosine", Positions::Sinusoidal),
        ("learned", Positions::Learned),
    ] {
        let experiment = Experiment::asked(bench.own, [3, 2, 1], positions)?;
        let tokens = match bench.own.is_any() {
            true => experiment.drawn(bench.own.seed.unwrap_or(17)),
            false => source_tokens(),
        };
        let [order, exchanged] = experiment.exchanged();
        let (plain, swapped) =
            (experiment.outputs(&tokens, &order)?, experiment.outputs(&tokens, &exchanged)?);
        let moved = distance(&plain[0], &swapped[0]);
        let breaks = moved > 100.0 * UNCHANGED;
        holds &= breaks == (positions != Positions::None);
        let last = experiment.tokens;
        details.push(format!("{name}, tokens {} and {last} exchanged:", last - 1));
        let told = format!("{name}: {}, {last} exchanged", last - 1);
        bench.moved.push(MovedOutput { name: told, moved });
        for (i, (a, b)) in plain.iter().zip(&swapped).enumerate() {
            details.push(format!("  output {}: {}  |  {}", i + 1, show(a), show(b)));
        }
        measured.push(format!("{name}: output 1 moves by {moved:.1e}"));
        let (graph, flops) = (&experiment.graph, Quantity::Flops);
        let formula = bench.derived(graph, flops, &Selection::ALL);
        settled &= bench.grid(graph)?.agrees(graph, Selection::ALL, flops, &formula);
    }
    Ok(Finding {
        verdict: if holds { Verdict::Holds } else { Verdict::Refuted },
        basis: Basis::Executed,
        convention: None,
        claimed: "output 1 changes".into(),
        derived: "the sum of token and position is another token at another place".into(),
        evidence: measured.join("; "),
        note: String::new(),
        details,
        agrees: settled,
    })
}
