//! Generation: one token after the other, with a cache.

use opledger_account::Model;
use opledger_interp::{Fast, Feeds, Quiet, Run, RunError, Session};
use opledger_ir::ops::RopeScaling;
use opledger_ir::{Graph, Node, Op, SizeRole, Value};
use opledger_models::{GenerationSettings, LatentForm, Logits, Request};

use crate::settings::settings;
use crate::source::{SourceInput, SourceReader};
use crate::{Choice, Chooser, ExecuteError, ModelWeights, weights};

/// A causal model that goes on from tokens, of one item; or an encoder and a decoder, which first
/// [reads a text](Generator::read_source) or [a sound](Generator::read_sound).
///
/// ```
/// # mod opledger { pub use {opledger_account::*, opledger_execute::*, opledger_interp::*}; }
/// use opledger::{Feeds, Generator};
///
/// let mut generator = Generator::open("gpt2", Feeds::seeded(1))?.with_room(8); // weights are drawn
/// let new = generator.generate(&[1, 2, 3], 5)?;
/// assert_eq!((new.len(), generator.session().past()), (5, 7));
/// assert!(generator.read_source(&[1]).is_err()); // it has no encoder
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Generator {
    model: Model,
    session: Session<Fast>,
    weights_read: bool,
    non_finite: Vec<(String, usize)>,
    aside: Vec<String>,
    settings: GenerationSettings,
    settings_of: &'static str,
    chooser: Chooser,
    /// The text so far.
    context: Vec<i64>,
    /// The encoder that the model attends to, if it is a pair.
    source: Option<SourceReader>,
    /// Whether the encoder has been given what it reads.
    source_read: bool,
    /// Tokens that the cache has room for from the start.
    room: usize,
}

/// One step.
#[derive(Debug)]
pub struct Generated {
    /// The token that was chosen.
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
        Generator::open_as(text, LatentForm::default(), feeds)
    }

    /// The same, with attention by a latent in a form.
    ///
    /// # Errors
    /// As [`Generator::open`], and when the model's attention has no latent.
    pub fn open_as(text: &str, latent: LatentForm, feeds: Feeds) -> Result<Self, ExecuteError> {
        let request = Request { past: true, logits: Logits::Last, latent, ..Request::default() };
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
        let part = model.source_part()?;
        let whole = match part {
            Some(_) => Some(model.recorded_for(Request::default())?),
            None => None,
        };
        let loaded = {
            let whole = whole.as_ref().unwrap_or(&model);
            let mut sizes = whole.sizes().clone();
            whole.one_item_unless_given(&mut sizes);
            let complete = whole.graph().complete(&sizes).map_err(RunError::from)?;
            weights(whole, &complete, feeds)?
        };
        let ModelWeights { feeds, read: weights_read, non_finite, aside } = loaded;
        if let (Some(_), Some(m)) = (&part, graph.size_of(SizeRole::Memory)) {
            // Until a text is read there is one token, which nobody looks at.
            sizes.set(m, 1);
        }
        let complete = graph.complete(&sizes).map_err(RunError::from)?;
        let own = feeds.taken_by(graph, &complete)?;
        let session = Session::new(graph, &sizes, &own, Fast::new()?)?;
        let source = part.map(|part| SourceReader::new(part, feeds)).transpose()?;
        let (settings, settings_of) = settings(&model)?;
        Ok(Generator {
            model,
            session,
            weights_read,
            non_finite,
            aside,
            chooser: Chooser::new(Choice::greedy(&settings)),
            settings,
            settings_of,
            context: Vec::new(),
            source,
            source_read: false,
            room: 0,
        })
    }

    /// Whether the model is an encoder and a decoder, which reads a text or a sound before it generates.
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// The graph of the encoder, where the model has one.
    pub fn source_graph(&self) -> Option<&Graph> {
        self.source.as_ref().map(SourceReader::graph)
    }

    /// Whether it is sounds that its encoder reads.
    pub fn reads_sounds(&self) -> bool {
        self.source.as_ref().is_some_and(SourceReader::reads_sounds)
    }

    /// Gives the encoder of a pair its text; the decoder's cache is empty afterwards.
    ///
    /// # Errors
    /// When the model has no encoder of texts, the tokens do not fit it, or memory does not suffice.
    pub fn read_source(&mut self, tokens: &[i64]) -> Result<Run<f32>, ExecuteError> {
        if self.reads_sounds() {
            return Err(ExecuteError::NoEncoder { model: self.model.name().to_owned() });
        }
        self.read(SourceInput::Tokens(tokens))
    }

    /// The same of a sound, the strengths of frequencies `[1, strengths, frames]` as the model's feature
    /// extractor gives them; without one they are drawn.
    ///
    /// # Errors
    /// When the model has no encoder of sounds, the sound does not fit it, or memory does not suffice.
    pub fn read_sound(&mut self, sound: Option<&Value<f32>>) -> Result<Run<f32>, ExecuteError> {
        if !self.reads_sounds() {
            return Err(ExecuteError::NoSounds { model: self.model.name().to_owned() });
        }
        self.read(SourceInput::Sound(sound))
    }

    fn read(&mut self, given: SourceInput<'_>) -> Result<Run<f32>, ExecuteError> {
        let none = || ExecuteError::NoEncoder { model: self.model.name().to_owned() };
        let Some(source) = &mut self.source else { return Err(none()) };
        let run = source.read(given)?;
        let graph = self.model.graph();
        let mut sizes = self.model.sizes().clone();
        self.model.one_item_unless_given(&mut sizes);
        if let (Some(m), SourceInput::Tokens(tokens)) = (graph.size_of(SizeRole::Memory), given) {
            sizes.set(m, tokens.len());
        }
        let complete = graph.complete(&sizes).map_err(RunError::from)?;
        let feeds = source.feeds(&run, graph, &complete)?;
        self.session = Session::new(graph, &sizes, &feeds, Fast::new()?)?.with_room(self.room);
        (self.source_read, self.context) = (true, Vec::new());
        Ok(run)
    }

    /// What the decoder of a pair begins with.
    ///
    /// # Errors
    /// When no file says it.
    pub fn start(&self) -> Result<i64, ExecuteError> {
        let none = || ExecuteError::NoStart { model: self.model.name().to_owned() };
        self.settings.start.ok_or_else(none)
    }

    /// The tokens that the decoder is given before it chooses any.
    ///
    /// # Errors
    /// When no file says what the decoder of a pair begins with.
    pub fn first(&self, prompt: &[i64]) -> Result<Vec<i64>, ExecuteError> {
        Ok(match (&self.source, self.reads_sounds()) {
            (None, _) => prompt.to_vec(),
            (Some(_), false) => vec![self.start()?],
            (Some(_), true) => [&[self.start()?], prompt].concat(),
        })
    }

    /// The same with an empty cache that has room for so many tokens.
    #[must_use]
    pub fn with_room(self, tokens: usize) -> Self {
        let session = self.session.with_room(tokens);
        Generator { session, context: Vec::new(), room: tokens, ..self }
    }

    /// The same, choosing tokens in another way; the one with the highest score is taken unless another
    /// way is asked for, of scores that the repetition penalty of the model's files has changed.
    #[must_use]
    pub fn choosing(self, choice: Choice) -> Self {
        Generator { chooser: Chooser::new(choice), ..self }
    }

    /// How tokens are chosen.
    pub fn choice(&self) -> &Choice {
        self.chooser.choice()
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The run with its cache.
    pub fn session(&self) -> &Session<Fast> {
        &self.session
    }

    /// Whether the weights come from files; else they are drawn.
    pub fn weights_read(&self) -> bool {
        self.weights_read
    }

    /// What files say of generating.
    pub fn settings(&self) -> &GenerationSettings {
        &self.settings
    }

    /// Where [`Generator::settings`] stand.
    pub fn settings_of(&self) -> &'static str {
        self.settings_of
    }

    /// The same, going on after the tokens that end a text.
    #[must_use]
    pub fn past_end_tokens(self) -> Self {
        let settings = GenerationSettings { end_tokens: Vec::new(), ..self.settings };
        Generator { settings, ..self }
    }

    /// Refuses to add so many tokens to a prompt when the model has not the positions, or when heads turn
    /// otherwise beyond some of them, which keys in the cache would not do.
    ///
    /// # Errors
    /// [`ExecuteError::Positions`] and [`ExecuteError::OtherTurns`], with how many fit.
    pub fn check_room(&self, prompt: usize, new: usize) -> Result<(), ExecuteError> {
        // The last new token takes no position, since nothing is computed from it.
        let used = prompt.saturating_add(new).saturating_sub(1);
        let turns = |node: &Node| {
            let Op::RotaryAngles(angles) = &node.op else { return None };
            let RopeScaling::LongRope { original_max_position_embeddings: alike, .. } =
                &angles.scaling
            else {
                return None;
            };
            Some(*alike)
        };
        let alike = self.model.graph().nodes().iter().find_map(turns);
        if let Some(alike) = alike.filter(|alike| prompt <= *alike && *alike < used) {
            return Err(ExecuteError::OtherTurns { prompt, new, alike, room: alike + 1 - prompt });
        }
        let Some(limit) = &self.model.recorded().positions else { return Ok(()) };
        if limit.computed || used as u64 <= limit.tokens {
            return Ok(());
        }
        let room = (limit.tokens + 1).saturating_sub(prompt as u64);
        Err(ExecuteError::Positions { prompt, new, room, limit: limit.clone() })
    }

    /// The last tokens of a prompt to which so many can be added: all, where the model has the positions.
    ///
    /// # Errors
    /// As [`Generator::check_room`], where no token of the prompt would be left.
    pub fn fitting<'p>(&self, prompt: &'p [i64], new: usize) -> Result<&'p [i64], ExecuteError> {
        match self.check_room(prompt.len(), new) {
            Ok(()) => Ok(prompt),
            Err(ExecuteError::Positions { prompt: given, new, room, limit }) => {
                let most = usize::try_from(limit.tokens).unwrap_or(usize::MAX).saturating_add(1);
                let kept = most.saturating_sub(new);
                let last = prompt.get(prompt.len().saturating_sub(kept)..).unwrap_or_default();
                match last.is_empty() {
                    false => Ok(last),
                    true => Err(ExecuteError::Positions { prompt: given, new, room, limit }),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// The parameters with elements that are infinite or no numbers, and how many these are.
    pub fn non_finite(&self) -> &[(String, usize)] {
        &self.non_finite
    }

    /// Tensors of the files that are of parts the model does not have.
    pub fn left_aside(&self) -> &[String] {
        &self.aside
    }

    /// Runs the model on the next tokens, which are then in the cache.
    ///
    /// # Errors
    /// When the tokens do not fit the model, or memory does not suffice.
    pub fn step(&mut self, tokens: &[i64]) -> Result<Generated, ExecuteError> {
        if self.source.is_some() && !self.source_read {
            return Err(ExecuteError::NoSource { model: self.model.name().to_owned() });
        }
        let run = self.session.step(tokens.len(), tokens, &mut Quiet)?;
        let no_scores = || ExecuteError::NoScores { model: self.model.name().to_owned() };
        let begins = self.context.is_empty();
        self.context.extend(tokens);
        let forced = self.settings.forced_second.filter(|_| self.context.len() == 1);
        // A forced token is not the first that is chosen.
        let begins = match self.settings.forced_second {
            Some(_) => self.context.len() == 2 || (begins && forced.is_none()),
            None => begins,
        };
        let scores = run.value("logits").ok().and_then(|logits| logits.real());
        let chosen = scores.and_then(|scores| {
            let scores = self.settings.allowed(scores.data(), begins);
            self.chooser.choose(&scores, &self.context)
        });
        let id = forced.or(chosen);
        Ok(Generated { id: id.ok_or_else(no_scores)?, run })
    }

    /// Goes on from a prompt by so many tokens, or until one that ends a text; an encoder of texts reads the
    /// prompt, and the decoder goes on from its first token; beside an encoder of sounds, which has been
    /// given one, it goes on from its first token and the prompt.
    ///
    /// # Errors
    /// As [`Generator::step`], and when the model has too few positions.
    pub fn generate(&mut self, prompt: &[i64], new: usize) -> Result<Vec<i64>, ExecuteError> {
        let mut next = self.first(prompt)?;
        self.check_room(next.len(), new)?;
        if self.source.is_some() && !self.reads_sounds() {
            self.read_source(prompt)?;
        }
        let mut ids = Vec::new();
        while ids.len() < new {
            let id = self.step(&next)?.id;
            ids.push(id);
            if self.settings.end_tokens.contains(&id) {
                break;
            }
            next = vec![id];
        }
        Ok(ids)
    }
}
