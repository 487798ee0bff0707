//! What of the forward pass is kept for the gradients, and what is made again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use opledger_ir::{Graph, Node, Op, Var};

/// What of the forward pass is kept until gradients read it. The rest is computed again where it is read
/// (Chen et al. 2016), which is counted as [`Phase::Recomputation`](opledger_ir::Phase::Recomputation).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// All that a rule reads.
    #[default]
    All,
    /// All but what attention has between its operands and its result: scores and weights are computed
    /// again (Korthikanti et al. 2022, §5; Dao et al. 2022).
    Selective,
    /// Of what is repeated, such as the layers of a model, only what enters an iteration.
    Layers,
    /// All but what stands below modules of these paths, in which `*` stands for a number.
    Without(Vec<String>),
}

impl Kept {
    /// Which values are computed again, where gradients read them. `scores` are those that attention has
    /// between its operands and its result.
    pub(crate) fn again(
        &self,
        graph: &Graph,
        scores: &BTreeSet<Var>,
    ) -> Result<BTreeSet<Var>, String> {
        let below = |node: &Node, path: &String| {
            node.path.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let made = |var: &Var| {
            let node = graph.node(*var);
            !node.op.is_source() && !matches!(node.op, Op::Carry(_) | Op::Exit(_))
        };
        if let Kept::Without(paths) = self {
            let missed = |path: &&String| !graph.nodes().iter().any(|node| below(node, path));
            if let Some(path) = paths.iter().find(missed) {
                return Err(path.clone());
            }
        }
        let again = graph.vars().filter(made).filter(|var| match self {
            Kept::All => false,
            Kept::Selective => scores.contains(var),
            Kept::Layers => graph.loops().iter().any(|body| body.body.contains(&var.index())),
            Kept::Without(paths) => paths.iter().any(|path| below(graph.node(*var), path)),
        });
        Ok(again.collect())
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::All => f.write_str("none"),
            Kept::Selective => f.write_str("selective"),
            Kept::Layers => f.write_str("full"),
            Kept::Without(paths) => f.write_str(&paths.join(",")),
        }
    }
}

/// `none`, `selective`, `full`, or paths of modules with commas between them.
impl FromStr for Kept {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Kept::All,
            "selective" => Kept::Selective,
            "full" => Kept::Layers,
            paths => Kept::Without(paths.split(',').map(str::to_owned).collect()),
        })
    }
}
