//! A model by name, recorded as a graph.

use std::path::Path;
use std::str::FromStr;

use opledger_dims::{Binding, Poly, Quantity};
use opledger_ir::{BindingError, Cost, Elem, Graph, SizeRole};
use opledger_models::{ConfigError, Request};

use crate::{AccountError, ModelReference, ProgramOptions};

/// A model by name, recorded as a graph whose sizes are symbols.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    reference: ModelReference,
    request: Request,
    recorded: opledger_models::ModelGraph,
}

impl Model {
    /// The model that a text names: a layer, a published model, a `config.json`, or a directory that
    /// holds one.
    ///
    /// ```
    /// use opledger::Model;
    ///
    /// let model = Model::open("mha:c=512,h=8")?;
    /// assert_eq!(model.cost().macs().to_string(), "4·b·n·c² + 2·b·n²·c");
    /// assert_eq!(model.parameters().to_string(), "1050624");
    /// let error = Model::open("lama-3.1-8b").unwrap_err().to_string();
    /// assert!(error.contains("did you mean `llama-3.1-8b`?"));
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// What in the text, the file or the configuration has no meaning, with the nearest name.
    pub fn open(text: &str) -> Result<Model, AccountError> {
        Model::open_for(text, Request::default())
    }

    /// The model that a text names, recorded with a cache, with a mask, or for the last token only.
    ///
    /// # Errors
    /// As [`Model::open`], and when the model does not support what is asked.
    pub fn open_for(text: &str, request: Request) -> Result<Model, AccountError> {
        Model::record(text, text.parse()?, request)
    }

    pub(crate) fn record(
        text: &str,
        reference: ModelReference,
        request: Request,
    ) -> Result<Model, AccountError> {
        let recorded = reference.record(text, &request)?;
        let model = Model { name: text.to_owned(), reference, request, recorded };
        model.check_stored()?;
        Ok(model)
    }

    /// The model that a text names, recorded as a request asks, and with a cache where a size is given
    /// that only the cache has, such as `p` earlier tokens; an exported program is read as `program` says.
    ///
    /// # Errors
    /// As [`Model::open_for`].
    pub fn open_at(
        text: &str,
        request: Request,
        sizes: &Binding,
        program: &ProgramOptions,
    ) -> Result<Model, AccountError> {
        let model = Model::record(text, ModelReference::read(text, program)?, request)?;
        let Err(BindingError::Unknown { symbol, .. }) = model.graph().complete(sizes) else {
            return Ok(model);
        };
        let cached = model.with_cache(request)?;
        let is_past = |cached: &Model| cached.graph().size_of(SizeRole::Past) == Some(&symbol);
        Ok(cached.filter(is_past).unwrap_or(model))
    }

    /// The same model, recorded for another request.
    ///
    /// # Errors
    /// When the model does not support what is asked.
    pub fn recorded_for(&self, request: Request) -> Result<Model, AccountError> {
        let recorded = self.reference.record(&self.name, &request)?;
        let (name, reference) = (self.name.clone(), self.reference.clone());
        Ok(Model { name, reference, request, recorded })
    }

    /// As it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the text names.
    pub fn reference(&self) -> &ModelReference {
        &self.reference
    }

    /// What was asked of the model.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The computation.
    pub fn graph(&self) -> &Graph {
        &self.recorded.graph
    }

    /// The graph with the names of its parameters in files.
    pub fn recorded(&self) -> &opledger_models::ModelGraph {
        &self.recorded
    }

    /// The sizes that belong to the model.
    pub fn sizes(&self) -> &Binding {
        &self.recorded.binding
    }

    /// Keys of its configuration that are not known: what they ask for is not in the graph.
    pub fn not_understood(&self) -> &[String] {
        &self.recorded.not_understood
    }

    /// What a reader has to know of its counts, where it was read from a program: under which
    /// conditions on sizes they hold, and what is not counted.
    pub fn conditions(&self) -> Vec<String> {
        let conditions = self.recorded.conditions.iter();
        let held = conditions.map(|condition| format!("holds where {condition}"));
        self.recorded.notes.iter().cloned().chain(held).collect()
    }

    /// The type that its weights are stored in, where a configuration says one.
    pub fn declared(&self) -> Option<Elem> {
        match &self.reference {
            ModelReference::Config { config, .. } => config.stored(),
            ModelReference::Layer(_) => None,
            #[cfg(feature = "files")]
            ModelReference::Gguf { .. } | ModelReference::Program { .. } => None,
        }
    }

    /// What the tensors of its GGUF file are called in the library, where they are read.
    #[cfg(feature = "files")]
    pub fn gguf_names(&self) -> Option<opledger_models::GgufNames> {
        match &self.reference {
            ModelReference::Gguf { names, .. } => *names,
            ModelReference::Layer(_)
            | ModelReference::Config { .. }
            | ModelReference::Program { .. } => None,
        }
    }

    /// The type that its weights are stored in as its configuration says it, where it is not known.
    pub fn unknown_type(&self) -> Option<String> {
        match &self.reference {
            ModelReference::Config { config, .. } => config.unknown_type(),
            ModelReference::Layer(_) => None,
            #[cfg(feature = "files")]
            ModelReference::Gguf { .. } | ModelReference::Program { .. } => None,
        }
    }

    /// The type that bytes are told in unless another is asked for: the one of the configuration; of a
    /// GGUF file `f16`, in which llama.cpp keeps keys and values unless it is told otherwise; of a program the
    /// one of most elements of its parameters; else `f32`.
    pub fn storage(&self) -> Elem {
        match &self.reference {
            #[cfg(feature = "files")]
            ModelReference::Gguf { .. } => Elem::F16,
            #[cfg(feature = "files")]
            ModelReference::Program { .. } => self.most_stored().unwrap_or(Elem::F32),
            ModelReference::Layer(_) | ModelReference::Config { .. } => {
                self.declared().unwrap_or(Elem::F32)
            }
        }
    }

    /// The directory of the configuration, when one was named.
    pub fn directory(&self) -> Option<&Path> {
        self.reference.directory()
    }

    /// Operations by part and class, as formulas in the symbols of the graph.
    pub fn cost(&self) -> Cost {
        self.graph().cost()
    }

    /// A quantity as a formula, the sizes of the model put in.
    pub fn formula(&self, quantity: Quantity) -> Poly {
        let graph = self.graph();
        let sizes = graph.complete(self.sizes()).unwrap_or_else(|_| self.sizes().clone());
        graph.quantity(quantity).bind(&sizes)
    }

    /// Parameters, tied ones once: a number where the model has all sizes, otherwise a formula.
    pub fn parameters(&self) -> Poly {
        self.formula(Quantity::Parameters)
    }

    /// What an encoder and a decoder do once for all tokens that are generated; nothing of other models.
    ///
    /// # Errors
    /// When the model cannot be recorded so.
    pub fn source_part(&self) -> Result<Option<Model>, AccountError> {
        let pair = self.graph().size_of(SizeRole::Memory).is_some();
        if !pair || !self.reference.is_whole_model() {
            return Ok(None);
        }
        self.recorded_for(Request { source: true, past: false, ..self.request }).map(Some)
    }

    /// The same model with a cache of keys and values; none of a model without.
    pub(crate) fn with_cache(&self, request: Request) -> Result<Option<Model>, AccountError> {
        if !self.reference.is_whole_model() {
            return Ok(None);
        }
        match self.recorded_for(Request { past: true, ..request }) {
            Ok(model) => Ok(Some(model)),
            Err(AccountError::Config(ConfigError::Request { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl FromStr for Model {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        Model::open(text)
    }
}
