//! What is cut: which axes of parameters and inputs, found by where they lead.

use std::collections::BTreeMap;

use opledger_ir::ops::Source;
use opledger_ir::{Graph, Kind, Op, Role, Var};

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
}

/// The axes at which sources are cut.
#[derive(Debug)]
pub(crate) struct Seeds {
    pub(crate) cut: BTreeMap<Var, usize>,
    /// The threads along which sums are left cut.
    pub(crate) tokens: Vec<usize>,
    /// What a thread counts, for those who are told that it cannot be cut.
    pub(crate) counts: BTreeMap<usize, &'static str>,
}

impl Strategy {
    pub(crate) fn seeds(self, graph: &Graph, threads: &Threads) -> Result<Seeds, PartitionError> {
        let (cut, tokens, counts) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let mut seeds = Seeds { cut, tokens, counts };
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
                    return nothing("there is no attention, whose tokens could be cut");
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
        }
    }
}

impl Seeds {
    /// Cuts the sources that an axis leads to, unless one is cut at another axis or twice.
    fn cut_thread(&mut self, graph: &Graph, threads: &Threads, thread: usize, counts: &'static str) {
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
        self.counts.insert(thread, counts);
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
                if met.output && met.made && !(met.input || met.residual || met.carried || met.mixed) {
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
            if let (true, Some(axis)) = (given && node.role.is_none_or(|role| !is_cache(role)), axis) {
                self.cut.insert(var, axis);
            }
        }
    }
}

fn is_cache(role: Role) -> bool {
    matches!(role, Role::Cache(_))
}
