//! The encoder of a pair: run once over a text, for the decoder to attend to.

use opledger_account::Model;
use opledger_dims::Binding;
use opledger_interp::{Fast, Feeds, Prepared, Quiet, Run};
use opledger_ir::{Graph, Role, SizeRole, Value};

use crate::ExecuteError;

/// The encoder with the maps that make keys and values of its result for each layer of the decoder.
#[derive(Debug)]
pub(crate) struct SourceReader {
    part: Model,
    /// All parameters of the pair.
    feeds: Feeds,
    fast: Fast,
    /// The graph of the last run, with the types that weights have in memory.
    ran: Option<Graph>,
}

impl SourceReader {
    pub(crate) fn new(part: Model, feeds: Feeds) -> Result<Self, ExecuteError> {
        Ok(SourceReader { part, feeds, fast: Fast::new()?, ran: None })
    }

    pub(crate) fn graph(&self) -> &Graph {
        self.ran.as_ref().unwrap_or(self.part.graph())
    }

    /// Runs the encoder on a text of one item.
    pub(crate) fn read(&mut self, tokens: &[i64]) -> Result<Run<f32>, ExecuteError> {
        let graph = self.part.graph();
        let size = graph.size_of(SizeRole::Memory).into_iter();
        let given: Binding = size.map(|m| (m.clone(), tokens.len())).collect();
        let sized = self.part.run_at(&self.part.merged(&given)?)?;
        let mut feeds = self.feeds.taken_by(graph, sized.sizes())?;
        if let Some(ids) = graph.inputs_of(Role::Tokens).next() {
            let path = &graph.node(ids).path;
            feeds = feeds.with_ids(path, &[1, tokens.len()], tokens.to_vec())?;
        }
        let prepared = Prepared::new(graph, sized.sizes(), &feeds)?;
        self.ran = Some(prepared.graph().clone());
        Ok(prepared.run(&mut self.fast, &mut Quiet)?)
    }

    /// What a decoder is fed with that attends to the text of a run, at sizes of its own.
    pub(crate) fn feeds(
        &self,
        run: &Run<f32>,
        decoder: &Graph,
        sizes: &Binding,
    ) -> Result<Feeds, ExecuteError> {
        let all = run
            .outputs
            .iter()
            .fold(self.feeds.clone(), |feeds, (name, value): &(_, Value<f32>)| {
                feeds.with(name, value.clone())
            });
        Ok(all.taken_by(decoder, sizes)?)
    }
}
