//! What of the forward pass is kept for the gradients, and what is made again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use opledger_ir::ops::AttentionGradient;
use opledger_ir::{Graph, Node, Op, Var};

/// What of the forward pass is not kept until gradients read it, but computed again there (Chen et al.
/// 2016), which is counted as [`Phase::Recomputation`](opledger_ir::Phase::Recomputation).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// Nothing: all that a rule reads is kept.
    #[default]
    Nothing,
    /// What attention has between its operands and its result, scores and weights (Korthikanti et al. 2022,
    /// §5; Dao et al. 2022). Its gradients are one operation, [`AttentionGradient`], but for a bias, a soft cap
    /// and sinks, and where some of queries, keys and values have no gradient.
    Selective,
    /// What is repeated, such as the layers of a model: what enters an iteration is kept alone.
    Layers,
    /// What stands below modules of these paths, in which `*` stands for a number.
    Modules(Vec<String>),
}

impl Recompute {
    /// The attention whose gradients are one operation, which computes the weights again: of a selective
    /// policy that whose queries, keys and values all have gradients, where there is [such an
    /// operation](AttentionGradient). All other is written out.
    pub(crate) fn whole(&self, graph: &Graph, wanted: &BTreeSet<Var>) -> BTreeSet<Var> {
        let whole = |var: &Var| {
            let node = graph.node(*var);
            let Op::Attention(op) = &node.op else { return false };
            let mut attended = node.inputs.iter().take(3);
            attended.all(|operand| wanted.contains(operand)) && AttentionGradient::new(op).is_some()
        };
        match self {
            Recompute::Selective => graph.vars().filter(whole).collect(),
            Recompute::Nothing | Recompute::Layers | Recompute::Modules(_) => BTreeSet::new(),
        }
    }

    /// Which values are computed again, where gradients read them. `scores` are those that attention has
    /// between its operands and its result.
    pub(crate) fn again(
        &self,
        graph: &Graph,
        scores: &BTreeSet<Var>,
    ) -> Result<BTreeSet<Var>, String> {
        let below = |node: &Node, path: &String| node.is_below(path);
        let made = |var: &Var| {
            let node = graph.node(*var);
            !node.op.is_source() && !matches!(node.op, Op::Carry(_) | Op::Exit(_))
        };
        if let Recompute::Modules(paths) = self {
            let missed = |path: &&String| !graph.nodes().iter().any(|node| below(node, path));
            if let Some(path) = paths.iter().find(missed) {
                return Err(path.clone());
            }
        }
        let again = graph.vars().filter(made).filter(|var| match self {
            Recompute::Nothing => false,
            Recompute::Selective => scores.contains(var),
            Recompute::Layers => graph.loops().iter().any(|body| body.body.contains(&var.index())),
            Recompute::Modules(paths) => paths.iter().any(|path| below(graph.node(*var), path)),
        });
        Ok(again.collect())
    }
}

impl fmt::Display for Recompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recompute::Nothing => f.write_str("none"),
            Recompute::Selective => f.write_str("selective"),
            Recompute::Layers => f.write_str("full"),
            Recompute::Modules(paths) => f.write_str(&paths.join(",")),
        }
    }
}

/// `none`, `selective`, `full`, or paths of modules with commas between them.
impl FromStr for Recompute {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Recompute::Nothing,
            "selective" => Recompute::Selective,
            "full" => Recompute::Layers,
            paths => Recompute::Modules(paths.split(',').map(str::to_owned).collect()),
        })
    }
}
