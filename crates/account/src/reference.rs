//! What a text names: a layer of the grammar, a published model, a configuration, or a directory
//! with one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use opledger_dims::{Binding, Symbol, nearest};
use opledger_models::layer::{self, kinds};
use opledger_models::{Config, ConfigError, LatentForm, Request, preset};

use crate::AccountError;

/// What a text names; it becomes a graph for a [`Request`].
#[derive(Clone, Debug)]
pub enum ModelReference {
    /// A layer of the grammar, which is the same for every request.
    Layer(Box<opledger_models::ModelGraph>),
    /// A configuration: of a published model, of a file, or of a directory that may hold weights.
    Config {
        /// What it says.
        config: Config,
        /// The directory, when one was named.
        directory: Option<PathBuf>,
    },
    /// A GGUF file, whose header says what the model is and how its weights are stored.
    #[cfg(feature = "files")]
    Gguf {
        /// The model, as a configuration says it.
        config: Config,
        /// The header.
        header: Box<opledger_weights::Gguf>,
        /// What its tensors are called in the library, where they are read.
        names: Option<opledger_models::GgufNames>,
    },
    /// A program that PyTorch exported, which is the same for every request.
    #[cfg(feature = "files")]
    Program {
        /// What was recorded of it.
        model: Box<opledger_models::ModelGraph>,
        /// What it calls, as tools that count operations see it.
        observations: Vec<opledger_conventions::Observation>,
        /// The types of parameters, buffers and inputs by their paths.
        types: BTreeMap<String, opledger_ir::StoredType>,
        /// The types of what the nodes of its graph compute, where the program says one of reals.
        computed: Vec<Option<opledger_ir::Elem>>,
        /// The archive.
        path: PathBuf,
    },
}

/// The most frequencies of a head's rotation that are scaled each by its own.
#[cfg(feature = "files")]
const MOST_FACTORS: usize = 1 << 12;

/// How a program that PyTorch exported is read.
#[derive(Clone, Debug, Default)]
pub struct ProgramOptions {
    /// What symbols of the export are called, such as `b` for `s52`.
    pub names: BTreeMap<String, Symbol>,
    /// Whether operations that are not known are left out, which makes a count a lower bound.
    pub partial: bool,
}

impl ProgramOptions {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.partial
    }
}

impl FromStr for ModelReference {
    type Err = AccountError;

    /// Finds what a text names: the kind of a layer first, then a published model by its name here, then
    /// a path, then what the cache of Hugging Face on this machine has under the name, `org/name` or
    /// `name`, then a published model by the name it is published under, or in other letters. A folder
    /// that is called as a model or a layer is named by a path with a separator, `./gpt2`.
    fn from_str(text: &str) -> Result<Self, AccountError> {
        ModelReference::read(text, &ProgramOptions::default())
    }
}

impl ModelReference {
    /// Finds what a text names, as [`ModelReference::from_str`]; a program is read as `options` say.
    ///
    /// # Errors
    /// When nothing has that name, a file cannot be read, or what is no program is given options of one.
    pub fn read(text: &str, options: &ProgramOptions) -> Result<ModelReference, AccountError> {
        let reference = ModelReference::find(text, options)?;
        if !options.is_empty() && reference.program().is_none() {
            return Err(AccountError::NoProgram { model: text.to_owned() });
        }
        Ok(reference)
    }

    fn find(text: &str, options: &ProgramOptions) -> Result<ModelReference, AccountError> {
        let kind = text.split(':').next().unwrap_or_default().trim();
        if kinds().iter().any(|known| known.name == kind) {
            return Ok(ModelReference::Layer(Box::new(layer::parse(text)?)));
        }
        if !text.contains(std::path::is_separator)
            && let Ok(preset) = preset(text)
            && (preset.name == text || ModelReference::cached(text)?.is_none())
        {
            return Ok(ModelReference::Config { config: preset.config(), directory: None });
        }
        #[cfg(feature = "files")]
        if let Some(reference) = ModelReference::of_path(Path::new(text), options)? {
            return Ok(reference);
        }
        if text.contains(':') {
            return Ok(ModelReference::Layer(Box::new(layer::parse(text)?)));
        }
        if let Some(reference) = ModelReference::cached(text)? {
            return Ok(reference);
        }
        match preset(text) {
            Ok(preset) => Ok(ModelReference::Config { config: preset.config(), directory: None }),
            Err(ConfigError::Unknown { name, nearest: model }) => {
                let nearest = nearest(&name, kinds().iter().map(|kind| kind.name)).or(model);
                #[cfg(feature = "files")]
                if let Some(cache) = crate::hub::cache() {
                    return Err(AccountError::NoModel { name, nearest, cache });
                }
                Err(ConfigError::Unknown { name, nearest }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The model of a name in the cache of Hugging Face on this machine.
    fn cached(text: &str) -> Result<Option<ModelReference>, AccountError> {
        #[cfg(feature = "files")]
        if let Some(folder) = crate::hub::cache().and_then(|c| crate::hub::snapshot(&c, text)) {
            let config = opledger_weights::read_config(&folder)?;
            return Ok(Some(ModelReference::Config { config, directory: Some(folder) }));
        }
        let _ = text;
        Ok(None)
    }

    /// The configuration of a file or of a directory; none where no file has this path.
    #[cfg(feature = "files")]
    fn of_path(
        path: &Path,
        options: &ProgramOptions,
    ) -> Result<Option<ModelReference>, AccountError> {
        if !path.exists() && path.extension().is_none_or(|e| e != "json") {
            return Ok(None);
        }
        if path.is_file() && path.extension().is_some_and(|extension| extension == "pt2") {
            let (names, partial) = (options.names.clone(), options.partial);
            let options = opledger_torch::ImportOptions { names, partial };
            return Ok(Some(ModelReference::of_program(path, &options)?));
        }
        let is_gguf = |extension: &std::ffi::OsStr| extension.eq_ignore_ascii_case("gguf");
        if path.is_file() && path.extension().is_some_and(is_gguf) {
            return Ok(Some(ModelReference::of_gguf(path)?));
        }
        let config = opledger_weights::read_config(path)?;
        let directory = path.is_dir().then(|| path.to_owned());
        Ok(Some(ModelReference::Config { config, directory }))
    }

    /// The model of a GGUF file.
    #[cfg(feature = "files")]
    fn of_gguf(path: &Path) -> Result<ModelReference, AccountError> {
        let header = Box::new(opledger_weights::Gguf::open(path)?);
        let tensors = header.tensors.iter().map(|(name, own)| (name.clone(), own.shape.clone()));
        let factors = match header.tensors.contains_key(opledger_models::GGUF_FACTORS) {
            true => Some(header.reals(opledger_models::GGUF_FACTORS, MOST_FACTORS)?),
            false => None,
        };
        let told = opledger_models::GgufHeader {
            origin: &format!("`{}`", opledger_dims::escaped(&path.to_string_lossy())),
            metadata: &header.metadata,
            tensors: &tensors.collect(),
            factors: factors.as_deref(),
        };
        let (config, names) = (told.config()?, told.names());
        Ok(ModelReference::Gguf { config, header, names })
    }

    /// A program that PyTorch exported.
    ///
    /// # Errors
    /// When the archive cannot be read, or has operations that are not known.
    #[cfg(feature = "files")]
    pub fn of_program(
        path: &Path,
        options: &opledger_torch::ImportOptions,
    ) -> Result<ModelReference, AccountError> {
        let imported = opledger_torch::open(path, options)?;
        let unknown = imported.unknown.iter().map(|one| {
            format!(
                "a lower bound: `{}` in {} is not counted ({} calls)",
                one.name,
                one.place(),
                one.calls
            )
        });
        let unread = imported.unread.iter().map(|name| {
            format!(
                "nothing reads the parameter `{}`, which is counted; the module was on `meta`, so if it is \
                 another one under a second name the archive does not say so",
                opledger_dims::escaped(name)
            )
        });
        let guards = imported.guards.iter().map(|guard| format!("holds where {guard}"));
        let examples = imported.examples.into_iter();
        let only = (!imported.guards.is_empty()).then(|| examples.collect::<Binding>());
        let (observations, types, computed) =
            (imported.observations, imported.types, imported.computed);
        let model = opledger_models::ModelGraph {
            name: path.display().to_string(),
            graph: imported.graph,
            binding: Binding::new(),
            names: opledger_models::Names::default(),
            not_understood: Vec::new(),
            notes: unknown.chain(unread).chain(guards).chain(imported.in_full).collect(),
            conditions: imported.conditions,
            only,
            aliases: imported
                .symbols
                .iter()
                .map(|(own, name)| (own.as_str().into(), name.clone()))
                .collect(),
            positions: None,
            decoder: None,
            rows: imported.positions,
        };
        let (model, path) = (Box::new(model), path.to_owned());
        Ok(ModelReference::Program { model, observations, types, computed, path })
    }

    /// The model, recorded as a request asks; `name` is what it is called.
    ///
    /// # Errors
    /// When the configuration cannot be built, or does not support what is asked.
    pub fn record(
        &self,
        name: &str,
        request: &Request,
    ) -> Result<opledger_models::ModelGraph, AccountError> {
        let as_it_stands = matches!(self, ModelReference::Layer(_)) || self.is_program();
        if as_it_stands && request.latent != LatentForm::default() {
            let problem = "attention is counted in the form that it stands in; that of a layer is said in its \
                           text, as in mla:form=absorbed";
            let (origin, problem) = (name.to_owned(), problem.to_owned());
            return Err(ConfigError::Request { origin, problem }.into());
        }
        match self {
            ModelReference::Layer(model) => Ok((**model).clone()),
            ModelReference::Config { config, .. } => Ok(config.model(name, request)?),
            #[cfg(feature = "files")]
            ModelReference::Gguf { config, .. } => Ok(config.model(name, request)?),
            #[cfg(feature = "files")]
            ModelReference::Program { model, .. } => Ok((**model).clone()),
        }
    }

    /// Whether it is a program that PyTorch exported.
    fn is_program(&self) -> bool {
        #[cfg(feature = "files")]
        return matches!(self, ModelReference::Program { .. });
        #[cfg(not(feature = "files"))]
        return false;
    }

    /// Whether it is a whole model, of which there is one item unless a number is given.
    pub fn is_whole_model(&self) -> bool {
        !matches!(self, ModelReference::Layer(_))
    }

    /// The directory of the configuration, when one was named.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            ModelReference::Config { directory, .. } => directory.as_deref(),
            ModelReference::Layer(_) => None,
            #[cfg(feature = "files")]
            ModelReference::Program { .. } | ModelReference::Gguf { .. } => None,
        }
    }

    /// What a program calls.
    #[cfg(feature = "files")]
    pub fn observations(&self) -> Option<&[opledger_conventions::Observation]> {
        match self {
            ModelReference::Program { observations, .. } => Some(observations),
            ModelReference::Layer(_)
            | ModelReference::Config { .. }
            | ModelReference::Gguf { .. } => None,
        }
    }

    /// The types of what a program is given, by paths.
    pub(crate) fn types(&self) -> Option<&BTreeMap<String, opledger_ir::StoredType>> {
        match self {
            #[cfg(feature = "files")]
            ModelReference::Program { types, .. } => Some(types),
            #[cfg(feature = "files")]
            ModelReference::Gguf { .. } => None,
            ModelReference::Layer(_) | ModelReference::Config { .. } => None,
        }
    }

    /// The types of what a program computes, node by node.
    pub(crate) fn computed(&self) -> &[Option<opledger_ir::Elem>] {
        match self {
            #[cfg(feature = "files")]
            ModelReference::Program { computed, .. } => computed,
            #[cfg(feature = "files")]
            ModelReference::Gguf { .. } => &[],
            ModelReference::Layer(_) | ModelReference::Config { .. } => &[],
        }
    }

    /// The header of a GGUF file.
    #[cfg(feature = "files")]
    pub fn gguf(&self) -> Option<&opledger_weights::Gguf> {
        match self {
            ModelReference::Gguf { header, .. } => Some(header),
            ModelReference::Layer(_)
            | ModelReference::Config { .. }
            | ModelReference::Program { .. } => None,
        }
    }

    /// The archive of a program.
    pub fn program(&self) -> Option<&Path> {
        match self {
            #[cfg(feature = "files")]
            ModelReference::Program { path, .. } => Some(path),
            #[cfg(feature = "files")]
            ModelReference::Gguf { .. } => None,
            ModelReference::Layer(_) | ModelReference::Config { .. } => None,
        }
    }
}
