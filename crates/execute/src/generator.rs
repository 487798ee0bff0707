//! Generation: the token with the highest score, one after the other, with a cache.

use opledger_account::Model;
use opledger_interp::{Fast, Feeds, Quiet, Run, Session};
use opledger_models::{Logits, Request};

use crate::{ExecuteError, ModelWeights, weights};

/// A causal model that goes on from tokens, of one item.
///
/// ```
/// # mod opledger { pub use {opledger_account::*, opledger_execute::*, opledger_interp::*}; }
/// use opledger::{Feeds, Generator};
///
/// let mut generator = Generator::open("gpt2", Feeds::seeded(1))?.with_room(8); // weights are drawn
/// let new = generator.generate(&[1, 2, 3], 5)?;
/// assert_eq!((new.len(), generator.session().past()), (5, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Generator {
    model: Model,
    session: Session<Fast>,
    non_finite: Vec<(String, usize)>,
}

/// One step.
#[derive(Debug)]
pub struct Generated {
    /// The token with the highest score, the first of equals.
    pub id: i64,
    /// The run that gave the scores.
    pub run: Run<f32>,
}

impl Generator {
    /// A model by its text, recorded with a cache and the scores of the last token alone. ModelWeights are
    /// those beside its configuration, else drawn.
    ///
    /// # Errors
    /// When the text names no causal model with a head, files do not hold its parameters, or memory does
    /// not suffice.
    pub fn open(text: &str, feeds: Feeds) -> Result<Self, ExecuteError> {
        let request = Request { past: true, logits: Logits::Last, ..Request::default() };
        Generator::new(Model::open_for(text, request)?, feeds)
    }

    /// The same of a model that was recorded so.
    ///
    /// # Errors
    /// As [`Generator::open`].
    pub fn new(model: Model, feeds: Feeds) -> Result<Self, ExecuteError> {
        let graph = model.graph();
        if !graph.outputs().iter().any(|(name, _)| name == "logits") {
            return Err(ExecuteError::NoScores { model: model.name().to_owned() });
        }
        let mut sizes = model.sizes().clone();
        model.one_item_unless_given(&mut sizes);
        let complete = graph.complete(&sizes).map_err(opledger_interp::RunError::from)?;
        let ModelWeights { feeds, non_finite, .. } = weights(&model, &complete, feeds)?;
        let session = Session::new(graph, &sizes, &feeds, Fast::new()?)?;
        Ok(Generator { model, session, non_finite })
    }

    /// The same with an empty cache that has room for so many tokens.
    #[must_use]
    pub fn with_room(self, tokens: usize) -> Self {
        Generator { session: self.session.with_room(tokens), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The run with its cache.
    pub fn session(&self) -> &Session<Fast> {
        &self.session
    }

    /// The parameters with elements that are infinite or no numbers, and how many these are.
    pub fn non_finite(&self) -> &[(String, usize)] {
        &self.non_finite
    }

    /// Runs the model on the next tokens, which are then in the cache.
    ///
    /// # Errors
    /// When the tokens do not fit the model, or memory does not suffice.
    pub fn step(&mut self, tokens: &[i64]) -> Result<Generated, ExecuteError> {
        let run = self.session.step(tokens.len(), tokens, &mut Quiet)?;
        let no_scores = || ExecuteError::NoScores { model: self.model.name().to_owned() };
        let id = best(&run).ok_or_else(no_scores)?;
        Ok(Generated { id, run })
    }

    /// Goes on from a prompt by so many tokens.
    ///
    /// # Errors
    /// As [`Generator::step`].
    pub fn generate(&mut self, prompt: &[i64], new: usize) -> Result<Vec<i64>, ExecuteError> {
        let (mut ids, mut next) = (Vec::with_capacity(new), prompt.to_vec());
        for _ in 0..new {
            let id = self.step(&next)?.id;
            ids.push(id);
            next = vec![id];
        }
        Ok(ids)
    }
}

/// The id with the highest score, the first of equals.
fn best(run: &Run<f32>) -> Option<i64> {
    let scores = run.value("logits").ok()?.real()?.data();
    let better = |best: Option<usize>, at: usize| match best {
        Some(other) if scores[at].total_cmp(&scores[other]).is_le() => Some(other),
        _ => Some(at),
    };
    (0..scores.len()).fold(None, better).map(|at| at as i64)
}
