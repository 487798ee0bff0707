//! The encoder of a pair: run once over a text or a sound, for the decoder to attend to.

use opledger_account::Model;
use opledger_dims::Binding;
use opledger_interp::{Fast, Feeds, Prepared, Quiet, Run};
use opledger_ir::{Graph, Role, SizeRole, Value};

use crate::ExecuteError;

/// What an encoder is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceInput<'a> {
    /// The tokens of a text.
    Tokens(&'a [i64]),
    /// A sound, `[1, strengths, frames]`; one that is drawn where there is none.
    Sound(Option<&'a Value<f32>>),
}

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

    /// Whether it reads sounds, of the length that the model is made for; else texts.
    pub(crate) fn reads_sounds(&self) -> bool {
        self.part.graph().inputs_of(Role::Sound).next().is_some()
    }

    /// Runs the encoder on one item.
    pub(crate) fn read(&mut self, given: SourceInput<'_>) -> Result<Run<f32>, ExecuteError> {
        let graph = self.part.graph();
        let mut sizes = self.part.sizes().clone();
        self.part.one_item_unless_given(&mut sizes);
        if let (Some(m), SourceInput::Tokens(tokens)) = (graph.size_of(SizeRole::Memory), given) {
            sizes.set(m, tokens.len());
        }
        let sized = self.part.run_at(&self.part.merged(&sizes)?)?;
        let mut feeds = self.feeds.taken_by(graph, sized.sizes())?;
        let path = |role| graph.inputs_of(role).next().map(|var| graph.node(var).path.as_str());
        match given {
            SourceInput::Tokens(tokens) => {
                if let Some(path) = path(Role::Tokens) {
                    feeds = feeds.with_ids(path, &[1, tokens.len()], tokens.to_vec())?;
                }
            }
            SourceInput::Sound(sound) => {
                if let (Some(path), Some(sound)) = (path(Role::Sound), sound) {
                    feeds = feeds.with(path, sound.clone());
                }
            }
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
