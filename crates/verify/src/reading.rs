//! Readings: what a sentence about "operations" or "parameters" may mean, as a number taken from the
//! same counts whether derived or measured.

use opledger_dims::{Class, Integer, Poly};
use opledger_interp::{Ledger, Tensors};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Op, Part, PartCounts};

/// A convention that turns counts into one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Every scalar operation worth one.
    Flops,
    /// Every multiplication.
    Multiplications,
    /// Multiplications inside contractions.
    Macs,
    /// Twice the multiplications inside contractions.
    MatmulFlops,
    /// One class alone.
    Only(Class),
    /// Parameters, all of them.
    Parameters,
    /// Parameters that training changes.
    Trainable,
}

impl Reading {
    pub(crate) fn name(self) -> String {
        match self {
            Reading::Flops => "flops: every scalar operation worth one".into(),
            Reading::Multiplications => "multiplications".into(),
            Reading::Macs => "macs: multiplications in contractions".into(),
            Reading::MatmulFlops => "matmul-flops: two per multiply-accumulate".into(),
            Reading::Only(class) => format!("{class} alone"),
            Reading::Parameters => "parameters".into(),
            Reading::Trainable => "trainable parameters".into(),
        }
    }

    pub(crate) fn counts_parameters(self) -> bool {
        matches!(self, Reading::Parameters | Reading::Trainable)
    }

    fn of<N>(self, counts: &PartCounts<N>) -> N
    where
        N: Clone + num_traits::Zero + for<'a> std::ops::AddAssign<&'a N>,
    {
        match self {
            Reading::Flops => counts.total().total(),
            Reading::Multiplications => counts.total()[Class::Mul].clone(),
            Reading::Macs => counts.macs(),
            Reading::MatmulFlops => {
                let mut twice = counts.macs();
                twice += &counts.macs();
                twice
            }
            Reading::Only(class) => counts.total()[class].clone(),
            Reading::Parameters | Reading::Trainable => N::zero(),
        }
    }
}

/// The nodes of a graph, and the part of them, that a claim speaks of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Path segments of which a node's path has one; all nodes when empty.
    pub(crate) within: &'static [&'static str],
    /// The part of the nodes; all parts when none.
    pub(crate) part: Option<Part>,
}

impl Scope {
    /// The whole graph.
    pub(crate) const ALL: Scope = Scope { within: &[], part: None };

    /// The nodes below any of these path segments.
    pub(crate) const fn within(segments: &'static [&'static str]) -> Self {
        Scope { within: segments, part: None }
    }

    /// One part of the nodes that have it.
    pub(crate) const fn part(part: Part) -> Self {
        Scope { within: &[], part: Some(part) }
    }

    fn holds(&self, path: &str) -> bool {
        self.within.is_empty() || path.split('.').any(|segment| self.within.contains(&segment))
    }

    fn select<N: Clone>(&self, counts: &PartCounts<N>) -> PartCounts<N> {
        let chosen = |part: &Part| self.part.is_none_or(|p| p == *part);
        PartCounts(counts.0.iter().filter(|(part, _)| chosen(part)).cloned().collect())
    }

    /// What the graph's formulas say.
    pub(crate) fn derived(&self, graph: &Graph, reading: Reading) -> Poly {
        let nodes = graph.nodes().iter().filter(|node| self.holds(&node.path));
        let of_node = |node: &opledger_ir::Node| match &node.op {
            Op::Source(Source::Param { trainable, .. }) if reading.counts_parameters() => {
                let counted = *trainable || reading == Reading::Parameters;
                if counted {
                    node.shape.elements() * graph.multiplicity(node)
                } else {
                    Poly::zero()
                }
            }
            _ => reading.of(&self.select(&graph.node_cost(node))),
        };
        graph.fold(&nodes.map(of_node).sum::<Poly>())
    }

    /// What a run counted.
    pub(crate) fn counted(&self, graph: &Graph, ledger: &Ledger, reading: Reading) -> Integer {
        let rows =
            graph.nodes().iter().zip(ledger.rows()).filter(|(node, _)| self.holds(&node.path));
        rows.map(|(_, row)| Integer::from(reading.of(&self.select(&row.counts().useful)))).sum()
    }

    /// How many elements the parameters in memory have.
    pub(crate) fn stored(&self, graph: &Graph, tensors: &Tensors, reading: Reading) -> Integer {
        let counted = |node: &opledger_ir::Node| match &node.op {
            Op::Source(Source::Param { trainable, .. }) => {
                *trainable || reading == Reading::Parameters
            }
            _ => false,
        };
        let nodes = tensors.iter().map(|(at, fed)| (&graph.nodes()[at], fed));
        let chosen = nodes.filter(|(node, _)| self.holds(&node.path) && counted(node));
        chosen.map(|(_, fed)| Integer::from(fed.value.shape().iter().product::<usize>())).sum()
    }
}
