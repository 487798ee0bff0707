//! What is cut: which axes of parameters and inputs, found by where they lead.

use std::collections::BTreeMap;

use opledger_dims::Poly;
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Kind, Op, Phase, Role, SizeRole, Var};

use crate::error::PartitionError;
use crate::threads::{Threads, contracted, heads, is_param};

/// A way of cutting a graph among ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// Heads of attention and the inner width of feed-forward layers (Shoeybi et al. 2019, §3).
    Tensor {
        /// Whether values between sublayers are cut along their tokens (Korthikanti et al. 2022, §4.2.2).
        sequence: bool,
        /// Whether words are cut too, in the table and in the head.
        vocabulary: bool,
    },
    /// The experts of mixtures, tokens being on every rank.
    Experts,
    /// Tokens everywhere; attention gathers keys and values (Liu et al. 2023; Llama Team 2024, §3.3.2).
    Context,
    /// Items, each rank having some; of a training step, the gradients of parameters are summed.
    Data(Zero),
}

/// What data-parallel ranks do not all hold (Rajbhandari et al. 2020, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Zero {
    /// Nothing: gradients are summed for all.
    None,
    /// State of the optimiser, or gradients too (stages 1 and 2): a rank has the sums of its part, and
    /// changes that part of the parameters, which are then gathered.
    Gradients,
    /// Parameters too (stage 3): they are gathered where they are read, in the forward and in the backward
    /// pass.
    Parameters,
}

/// An axis of a mesh of ranks: in which way it cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MeshAxis {
    /// What is cut along it.
    pub strategy: Strategy,
    /// How many ranks it has.
    pub ranks: u64,
}

/// The axes at which sources are cut.
#[derive(Debug)]
pub(crate) struct Seeds {
    pub(crate) cut: BTreeMap<Var, usize>,
    /// The threads along which sums are left cut.
    pub(crate) tokens: Vec<usize>,
    /// Whether parameters are cut element by element.
    pub(crate) flat: bool,
    /// Whether gradients are.
    pub(crate) flat_sums: bool,
    /// What a thread counts, for those who are told that it cannot be cut.
    pub(crate) counts: BTreeMap<usize, &'static str>,
}

impl Strategy {
    pub(crate) fn seeds(self, graph: &Graph, threads: &Threads) -> Result<Seeds, PartitionError> {
        let (cut, tokens, counts) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let (flat, flat_sums) = match self {
            Strategy::Data(zero) => (zero == Zero::Parameters, zero != Zero::None),
            Strategy::Tensor { .. } | Strategy::Experts | Strategy::Context => (false, false),
        };
        let mut seeds = Seeds { cut, tokens, flat, flat_sums, counts };
        let nothing = |problem: &str| Err(PartitionError::Nothing { problem: problem.to_owned() });
        match self {
            Strategy::Tensor { sequence, vocabulary } => {
                seeds.tensor(graph, threads);
                if seeds.cut.is_empty() {
                    return nothing(
                        "there are neither heads nor an inner width that parameters make and parameters sum \
                         over",
                    );
                }
                if vocabulary {
                    seeds.vocabulary(graph, threads);
                }
                if sequence {
                    seeds.tokens(graph, threads);
                    if seeds.tokens.is_empty() {
                        seeds.said_tokens(graph, threads);
                    }
                    if seeds.tokens.is_empty() {
                        return nothing(
                            "no layer says which size counts tokens, and no attention has them",
                        );
                    }
                }
            }
            Strategy::Experts => {
                seeds.experts(graph, threads);
                if seeds.cut.is_empty() {
                    return nothing("there are no experts");
                }
            }
            Strategy::Context => {
                seeds.tokens(graph, threads);
                if seeds.cut.is_empty() {
                    let steps = graph.nodes().iter().any(|node| node.phase == Phase::Backward);
                    let attends = graph.nodes().iter().any(|node| heads(graph, node).is_some());
                    return nothing(match (steps, attends) {
                        (true, _) => {
                            "tokens are cut of a forward pass, and this is a training step"
                        }
                        (false, true) => {
                            "no input has the tokens of attention, as where they are patches of an image"
                        }
                        (false, false) => "there is no attention, whose tokens could be cut",
                    });
                }
            }
            Strategy::Data(_) => {
                seeds.items(graph, threads);
                if seeds.cut.is_empty() {
                    return nothing("there is no input, whose items could be cut");
                }
            }
        }
        Ok(seeds)
    }

    /// The name of the way.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Tensor { sequence: false, .. } => "tensor",
            Strategy::Tensor { sequence: true, .. } => "tensor and sequence",
            Strategy::Experts => "expert",
            Strategy::Context => "context",
            Strategy::Data(Zero::None) => "data",
            Strategy::Data(Zero::Gradients) => "data (ZeRO 1 and 2)",
            Strategy::Data(Zero::Parameters) => "data (ZeRO 3)",
        }
    }
}

impl Seeds {
    /// Cuts the sources that an axis leads to, unless one is cut at another axis or twice.
    fn cut_thread(
        &mut self,
        graph: &Graph,
        threads: &Threads,
        thread: usize,
        counts: &'static str,
    ) {
        let mut cut = Vec::new();
        for var in graph.vars().filter(|var| graph.node(*var).op.is_source()) {
            let axes = 0..graph.shape(var).axes.len();
            let own: Vec<usize> = axes.filter(|axis| threads.at(var, *axis) == thread).collect();
            match (&own[..], self.cut.get(&var)) {
                ([], _) => {}
                ([axis], None) => cut.push((var, *axis)),
                ([axis], Some(other)) if axis == other => {}
                (_, _) => return,
            }
        }
        self.cut.extend(cut);
        self.counts.entry(thread).or_insert(counts);
    }

    fn tensor(&mut self, graph: &Graph, threads: &Threads) {
        for node in graph.nodes() {
            let Some([head, ..]) = heads(graph, node) else { continue };
            let thread = threads.at(node.inputs[0], head);
            let met = threads.met(thread);
            if met.made && met.summed && !(met.input || met.output || met.residual || met.carried) {
                self.cut_thread(graph, threads, thread, "heads");
            }
        }
        for node in graph.nodes() {
            for [(operand, axis), (weight, _)] in contracted(graph, node) {
                if !is_param(graph, node.inputs[weight]) && !is_param(graph, node.inputs[operand]) {
                    continue;
                }
                let thread = threads.at(node.inputs[operand], axis);
                let met = threads.met(thread);
                let apart = !(met.input || met.output || met.residual || met.carried || met.mixed);
                if met.made && met.summed && apart {
                    self.cut_thread(graph, threads, thread, "columns");
                }
            }
        }
    }

    /// The rows of tables that tokens are looked up in, and the columns of what scores words.
    fn vocabulary(&mut self, graph: &Graph, threads: &Threads) {
        for node in graph.nodes() {
            let Op::Embedding(_) = node.op else { continue };
            let of_tokens = graph.node(node.inputs[0]).role == Some(Role::Tokens);
            if of_tokens && is_param(graph, node.inputs[1]) {
                let thread = threads.at(node.inputs[1], 0);
                self.cut_thread(graph, threads, thread, "words");
            }
        }
        for var in graph.vars().filter(|var| is_param(graph, *var)) {
            for axis in 0..graph.shape(var).axes.len() {
                let thread = threads.at(var, axis);
                let met = threads.met(thread);
                if met.output
                    && met.made
                    && !(met.input || met.residual || met.carried || met.mixed)
                {
                    self.cut_thread(graph, threads, thread, "words");
                }
            }
        }
    }

    fn experts(&mut self, graph: &Graph, threads: &Threads) {
        for node in graph.nodes() {
            let Op::Experts(_) = node.op else { continue };
            if is_param(graph, node.inputs[2]) {
                self.cut.insert(node.inputs[2], 0);
                self.counts.insert(threads.at(node.inputs[2], 0), "experts");
            }
        }
    }

    /// The items of a batch in all inputs; where no layer says which size counts them, the first of the first
    /// input.
    fn items(&mut self, graph: &Graph, threads: &Threads) {
        let given = |var: &Var| {
            let Op::Source(source) = &graph.node(*var).op else { return false };
            match source {
                Source::Input { .. }
                | Source::Ids { .. }
                | Source::Whole { .. }
                | Source::Visible { .. } => true,
                Source::Buffer { .. } | Source::Known { .. } | Source::Param { .. } => false,
            }
        };
        let inputs: Vec<Var> = graph.vars().filter(given).collect();
        let said = graph.size_of(SizeRole::Batch).map(Poly::symbol);
        let first = || Some(graph.shape(*inputs.first()?).axes.first()?.size.clone());
        let Some(items) = said.or_else(first) else { return };
        for var in inputs {
            let axes = &graph.shape(var).axes;
            if let Some(axis) = axes.iter().position(|axis| axis.size == items) {
                self.cut.insert(var, axis);
                self.counts.insert(threads.at(var, axis), "items");
            }
        }
    }

    /// Tokens by the size that is said to count them, where attention is written out.
    fn said_tokens(&mut self, graph: &Graph, threads: &Threads) {
        let Some(tokens) = graph.size_of(SizeRole::Tokens).map(Poly::symbol) else { return };
        for var in graph.vars() {
            let node = graph.node(var);
            let Op::Source(Source::Input { .. } | Source::Ids { .. }) = &node.op else { continue };
            let axis = node.shape.axes.iter().position(|axis| axis.size == tokens);
            if let (Some(axis), false) = (axis, node.role.is_some_and(is_cache)) {
                self.tokens.push(threads.at(var, axis));
                self.counts.insert(threads.at(var, axis), "tokens");
                self.cut.insert(var, axis);
            }
        }
    }

    /// The tokens that queries are made of, in inputs that are no masks.
    fn tokens(&mut self, graph: &Graph, threads: &Threads) {
        for node in graph.nodes() {
            let Some([head, ..]) = heads(graph, node) else { continue };
            let thread = threads.at(node.inputs[0], head - 1);
            if !self.tokens.contains(&thread) {
                self.tokens.push(thread);
                self.counts.insert(thread, "tokens");
            }
        }
        for var in graph.vars() {
            let node = graph.node(var);
            let Op::Source(source) = &node.op else { continue };
            let given = match source {
                Source::Input { .. } => node.shape.elem.kind() == Kind::Real,
                Source::Ids { .. } => true,
                Source::Buffer { .. }
                | Source::Whole { .. }
                | Source::Visible { .. }
                | Source::Known { .. }
                | Source::Param { .. } => false,
            };
            let axis = self.tokens.iter().find_map(|at| threads.axis_in(graph, var, *at));
            if let (true, Some(axis)) =
                (given && node.role.is_none_or(|role| !is_cache(role)), axis)
            {
                self.cut.insert(var, axis);
            }
        }
    }
}

fn is_cache(role: Role) -> bool {
    matches!(role, Role::Cache(_))
}
