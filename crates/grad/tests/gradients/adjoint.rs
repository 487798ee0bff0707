//! Every rule by name against forward mode, on random shapes: the compiler leads here from a new operation.

use opledger_dims::{Activation, Binding, Poly};
use opledger_ir::ops::{
    ArithmeticKind, CompareKind, Convolution, ConvolutionTransposed, Dropout, Factor, Norm,
    NormKind, Pointwise, Pool, PoolKind, Rearrange, Reduce, RopePairs, RotaryAngles, ScatterKind,
};
use opledger_ir::{Axis, Graph, Mask, Op, Scoring, Var};
use proptest::prelude::*;

use crate::differences::{Made, adjoint, graph, param};
use crate::further::apart;

/// What a case is drawn from.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    b: usize,
    n: usize,
    c: usize,
    seed: u64,
}

impl Drawn {
    /// One of some, by the seed.
    fn of<T: Clone>(self, all: &[T]) -> T {
        all[self.seed as usize % all.len()].clone()
    }

    fn x(self, g: &mut Graph) -> Made {
        param(g, "x", [("b", self.b), ("n", self.n), ("c", self.c)])
    }

    /// Above one half everywhere.
    fn positive(self, g: &mut Graph) -> Made {
        let x = self.x(g)?;
        let square = g.mul("", x, x)?;
        g.pointwise(square, Pointwise::Shift(0.5))
    }

    fn ids(self, g: &mut Graph, below: i64) -> Made {
        g.input_ids("ids", [("b", self.b), ("n", self.n)], below)
    }
}

macro_rules! rules {
    ($($rule:ident => $record:expr;)*) => {
        /// A rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Rule { $($rule),* }

        impl Rule {
            const ALL: &[Rule] = &[$(Rule::$rule),*];

            /// A graph that needs it.
            fn record(self, g: &mut Graph, drawn: Drawn) -> Made {
                let record: fn(&mut Graph, Drawn) -> Made = match self { $(Rule::$rule => $record),* };
                record(g, drawn)
            }
        }
    };
}

rules! {
    Einsum => |g, d| {
        let x = d.x(g)?;
        let w = param(g, "w", [("b", d.b), ("f", d.c + 1), ("c", d.c)])?;
        g.einsum(d.of(&["b n c, b f c -> b n f", "b n c, b f c -> n f", "b n c, b f c -> f n"]), x, w)
    };
    Convolution => |g, d| {
        let x = param(g, "x", [("b", d.b), ("i", d.c * 2), ("s", d.n + 1)])?;
        let w = param(g, "w", [("o", 4), ("ii", d.c), ("k", 2)])?;
        let result = [("b", d.b), ("o", 4), ("r", d.n)].map(Axis::from);
        let (padding, dilation) = d.of(&[((0, 0), 1), ((1, 0), 2)]);
        g.convolution("", x, w, Convolution::new(result, &[1], &[padding], &[dilation], Poly::from(2)))
    };
    ConvolutionTransposed => |g, d| {
        let x = param(g, "x", [("b", d.b), ("i", d.c * 2), ("r", d.n)])?;
        let w = param(g, "w", [("i", d.c * 2), ("oo", 2), ("k", 2)])?;
        let result = [("b", d.b), ("o", 4), ("s", d.n * 2)].map(Axis::from);
        let op = ConvolutionTransposed::new(result.to_vec(), &[2], &[(0, 0)], &[1], 2);
        g.convolution_transposed("", x, w, op)
    };
    Pool => |g, d| {
        let x = d.x(g)?;
        let x = apart(g, x)?;
        let kind = d.of(&[PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding]);
        let result = [("b", d.b), ("n", d.n), ("r", d.c)].map(Axis::from).to_vec();
        g.pool(x, Pool::new(kind, result, &[2], &[1], &[(1, 0)]))
    };
    AdaptivePool => |g, d| {
        let x = d.x(g)?;
        let x = apart(g, x)?;
        let result = [("b", d.b), ("n", d.n), ("r", 2)].map(Axis::from).to_vec();
        g.adaptive_pool(x, d.of(&[PoolKind::Max, PoolKind::Mean]), 1, result)
    };
    Experts => |g, d| {
        let x = d.x(g)?;
        let ids = g.input_ids("ids", [("b", d.b), ("n", d.n), ("k", 2)], 3)?;
        let w = param(g, "w", [("x", 3), ("f", d.c + 1), ("c", d.c)])?;
        g.experts("", x, ids, w)
    };
    Arithmetic => |g, d| {
        let kinds = [
            ArithmeticKind::Add, ArithmeticKind::Sub, ArithmeticKind::Mul, ArithmeticKind::Div,
            ArithmeticKind::Pow, ArithmeticKind::Max, ArithmeticKind::Min,
        ];
        let a = d.positive(g)?;
        let b = param(g, "other", [("n", d.n), ("c", d.c)])?;
        let b = g.mul("", b, b)?;
        let b = g.pointwise(b, Pointwise::Shift(0.25))?;
        g.arithmetic("", d.of(&kinds), a, b)
    };
    Scale => |g, d| {
        let x = d.x(g)?;
        g.scale(x, d.of(&[Factor::Number(0.3), Factor::InverseSqrt(3.into())]))
    };
    Activation => |g, d| {
        let x = d.x(g)?;
        g.activation(x, d.of(Activation::ALL))
    };
    Pointwise => |g, d| {
        let x = d.positive(g)?;
        let functions = [
            Pointwise::Neg, Pointwise::Abs, Pointwise::Exp, Pointwise::Exp2, Pointwise::Expm1,
            Pointwise::Log, Pointwise::Log2, Pointwise::Log10, Pointwise::Log1p, Pointwise::Sqrt,
            Pointwise::Rsqrt, Pointwise::Reciprocal, Pointwise::Sin, Pointwise::Cos,
            Pointwise::Tan, Pointwise::Atan, Pointwise::Erf, Pointwise::Power(1.7),
            Pointwise::Shift(0.5), Pointwise::LogSigmoid, Pointwise::Softsign, Pointwise::Mish,
            Pointwise::Clamp { min: Some(0.6), max: Some(1.1) }, Pointwise::LeakyRelu(0.1),
            Pointwise::Elu(1.3), Pointwise::Celu(0.7), Pointwise::Selu, Pointwise::HardSigmoid,
            Pointwise::HardSwish,
        ];
        g.pointwise(x, d.of(&functions))
    };
    Softmax => |g, d| {
        let x = d.x(g)?;
        if d.seed % 2 == 0 {
            return g.softmax(x, None);
        }
        let sinks = param(g, "sinks", [("b", d.b)])?;
        g.softmax_beside(x, sinks, None)
    };
    Norm => |g, d| {
        let x = d.x(g)?;
        let kind = d.of(&[NormKind::Layer, NormKind::Rms]);
        let gain = param(g, "gain", [("c", d.c)])?;
        let shift = param(g, "shift", [("c", d.c)])?;
        g.norm(x, Norm { kind, ..Norm::layer(0.01) }, Some(gain), Some(shift))
    };
    Reduce => |g, d| {
        let x = d.x(g)?;
        let x = apart(g, x)?;
        let axis = d.of(&["b", "n", "c", "n", "b"]);
        g.reduce(x, d.of(&[Reduce::Sum(axis.into()), Reduce::Mean(axis.into()), Reduce::Max(axis.into())]))
    };
    Rearrange => |g, d| {
        let x = d.x(g)?;
        let hows = [
            Rearrange::Merge { axes: vec!["n".into(), "c".into()], into: "m".into() },
            Rearrange::Split { axis: "n".into(), into: vec![("h", 1).into(), ("e", d.n).into()] },
            Rearrange::Rename { from: "n".into(), to: "m".into() },
            Rearrange::Permute { order: vec!["c".into(), "b".into(), "n".into()] },
            Rearrange::Slice { axis: "n".into(), start: (d.n as i64 - 1).into(), len: 1.into() },
            Rearrange::Roll { axis: "c".into(), by: 1.into() },
            Rearrange::Pad { axis: "n".into(), to: (d.n as i64 + 2).into() },
            Rearrange::Expand { axis: ("r", 3).into() },
        ];
        g.rearrange(x, d.of(&hows))
    };
    Concat => |g, d| {
        let x = d.x(g)?;
        let y = param(g, "y", [("b", d.b), ("n", 2), ("c", d.c)])?;
        g.concat(x, y, "n")
    };
    Embedding => |g, d| {
        let table = param(g, "table", [("v", 3), ("c", d.c)])?;
        let ids = d.ids(g, 3)?;
        g.embedding("", ids, table)
    };
    Rope => |g, d| {
        let x = param(g, "x", [("b", d.b), ("n", d.n), ("h", d.c), ("e", 4)])?;
        let angles = g.record("", RotaryAngles::new(("n", d.n), ("e", 4), 10.0), &[])?;
        g.rope(x, d.of(&[RopePairs::Halves, RopePairs::Neighbours]), angles)
    };
    Select => |g, d| {
        let x = d.x(g)?;
        let y = param(g, "y", [("c", d.c)])?;
        let axes = [("b", d.b), ("n", d.n), ("c", d.c)];
        let z = g.input("z", axes)?;
        let none = g.fill(Vec::<Axis>::new(), 0.0)?;
        let above = g.compare(CompareKind::Less, axes, none, z)?;
        g.select(axes, above, x, y)
    };
    Cumulative => |g, d| {
        let x = d.x(g)?;
        g.cumulative(x, d.of(&["n", "c"]))
    };
    Gather => |g, d| {
        let x = d.x(g)?;
        let ids = g.input_ids("ids", [("b", d.b), ("n", d.n), ("k", 2)], d.c as i64)?;
        g.gather(x, ids)
    };
    GatherNd => |g, d| {
        let x = d.x(g)?;
        let [first, second] = [("first", d.b), ("second", d.c)].map(|(name, below)| (name, below as i64));
        let first = g.input_ids(first.0, [("k", 3)], first.1)?;
        let second = g.input_ids(second.0, [("n", d.n), ("k", 3)], second.1)?;
        g.gather_nd(x, [("k", 3), ("n", d.n)], &[("b", first), ("c", second)])
    };
    Scatter => |g, d| {
        let x = d.x(g)?;
        let x = apart(g, x)?;
        let v = param(g, "v", [("k", 3), ("n", d.n), ("c", d.c)])?;
        let v = apart(g, v)?;
        let v = g.scale(v, Factor::Number(1.25))?;
        let places = g.input_ids("places", [("k", 3)], d.b as i64)?;
        g.scatter(d.of(&[ScatterKind::Write, ScatterKind::Add, ScatterKind::Max]), x, v, &[("b", places)])
    };
    Dropout => |g, d| {
        let x = d.x(g)?;
        g.dropout("", x, Dropout { p: 0.5, training: false, seed: 0 })
    };
    Attention => |g, d| {
        let axes = |heads| [("b", d.b), ("n", d.n), ("h", heads), ("e", d.c)];
        let q = param(g, "q", axes(4))?;
        let k = param(g, "k", axes(2))?;
        let v = param(g, "v", axes(2))?;
        let mask = d.of(&[Mask::none(), Mask::causal(), Mask::sliding(2)]);
        let soft_cap = d.of(&[None, Some(2.0), None, None]);
        g.attention_by((q, k, v), Scoring { mask, soft_cap, ..Scoring::default() })
    };
    Repeat => |g, d| {
        let x = d.x(g)?;
        let w = param(g, "w", [("f", d.c), ("c", d.c)])?;
        let layers = g.repeated("layers", d.n as i64);
        let gain = g.enter(&layers).param("gain", opledger_ir::ops::Source::shift(), [Axis::from(("c", d.c))])?;
        g.repeat(&layers, x, |g, x| {
            let up = g.einsum("b n c, f c -> b n f", x, w)?;
            let up = g.activation(up, Activation::Tanh)?;
            let up = g.rename(up, "f", "c")?;
            g.mul("", up, gain)
        })
    };
}

/// The rule that an operation has; none of what has no gradient to pass on.
fn rule_of(op: &Op) -> Option<Rule> {
    match op {
        Op::Einsum(_) => Some(Rule::Einsum),
        Op::Convolution(_) => Some(Rule::Convolution),
        Op::ConvolutionTransposed(_) => Some(Rule::ConvolutionTransposed),
        Op::Pool(_) => Some(Rule::Pool),
        Op::AdaptivePool(_) => Some(Rule::AdaptivePool),
        Op::Experts(_) => Some(Rule::Experts),
        Op::Arithmetic(_) => Some(Rule::Arithmetic),
        Op::Scale(_) => Some(Rule::Scale),
        Op::Activation(_) => Some(Rule::Activation),
        Op::Pointwise(_) => Some(Rule::Pointwise),
        Op::Softmax(_) => Some(Rule::Softmax),
        Op::Norm(_) => Some(Rule::Norm),
        Op::Reduce(_) => Some(Rule::Reduce),
        Op::Rearrange(_) => Some(Rule::Rearrange),
        Op::Concat(_) => Some(Rule::Concat),
        Op::Embedding(_) => Some(Rule::Embedding),
        Op::Rope(_) => Some(Rule::Rope),
        Op::Select(_) => Some(Rule::Select),
        Op::Cumulative(_) => Some(Rule::Cumulative),
        Op::Gather(_) => Some(Rule::Gather),
        Op::GatherNd(_) => Some(Rule::GatherNd),
        Op::Scatter(_) => Some(Rule::Scatter),
        Op::Dropout(_) => Some(Rule::Dropout),
        Op::Attention(_) => Some(Rule::Attention),
        Op::Carry(_) | Op::Exit(_) => Some(Rule::Repeat),
        // Sources, constants, whole numbers, and what gradients are made with.
        Op::Source(_)
        | Op::Fill(_)
        | Op::Table(_)
        | Op::Sinusoid(_)
        | Op::RotaryAngles(_)
        | Op::IndexMap(_)
        | Op::TokenPositions(_)
        | Op::Compare(_)
        | Op::ArgMax(_)
        | Op::TopK(_)
        | Op::Sort(_)
        | Op::ToReal(_)
        | Op::ToWhole(_)
        | Op::ExpertsOuter(_)
        | Op::AttentionGradient(_) => None,
    }
}

fn has(g: &Graph, rule: Rule) -> bool {
    g.nodes().iter().any(|node| rule_of(&node.op) == Some(rule))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_rule_is_the_adjoint_of_what_its_reference_does(
        [b, n, c] in [1..4_usize, 1..5, 1..5], seed in 0..10_000_u64,
    ) {
        for rule in Rule::ALL {
            let g = graph(|g: &mut Graph| -> Result<Var, _> {
                rule.record(g, Drawn { b, n, c, seed })
            });
            prop_assert!(has(&g, *rule), "{:?}", rule);
            adjoint(&g, &Binding::new(), seed);
        }
    }
}
