//! The files of frameworks.

use std::collections::BTreeMap;

use opledger_dims::{Poly, escaped};
use serde::Deserialize;

use super::parts::part_of;
use crate::ConventionError;

/// What a framework says a step costs.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Its name and version: `megatron-lm@d98e8a6`.
    pub name: String,
    /// What one unit of its number is, and of which work.
    pub unit: String,
    /// Which function of which file of which repository, at which commit of which day.
    pub source: String,
    /// Which numbers of the function it was held against.
    pub checked: String,
    /// Of which work.
    pub work: FormulaWork,
    /// The families that it is for; any where there is none.
    pub(super) families: Vec<String>,
    /// What layers may be.
    pub(super) covers: Vec<String>,
    /// Families of which it takes one layer of so many to see all tokens, whatever a configuration says.
    pub(super) full_every: BTreeMap<String, u64>,
    /// Its terms.
    pub(super) terms: Vec<Term>,
}

/// The work that a formula is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormulaWork {
    /// A step of training, of `b` sequences of `n` tokens.
    #[default]
    Step,
    /// A forward pass of `n` tokens of each of `b` sequences, behind `p` in the cache.
    Forward,
}

/// A term.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) part: &'static str,
    /// Whether it is of each layer.
    pub(super) of_layers: bool,
    /// What has to be true for it.
    pub(super) when: Vec<String>,
    /// What must not be.
    pub(super) unless: Vec<String>,
    /// The families that it is for; any where there is none.
    pub(super) families: Vec<String>,
    /// As the file writes it.
    pub(super) text: String,
    pub(super) poly: Poly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: String,
    unit: String,
    repository: String,
    commit: String,
    #[serde(default)]
    date: Option<String>,
    function: String,
    checked: String,
    #[serde(default)]
    work: FormulaWork,
    #[serde(default)]
    families: Vec<String>,
    covers: Vec<String>,
    #[serde(default)]
    full_every: BTreeMap<String, u64>,
    terms: Vec<TermText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermText {
    part: String,
    of: Of,
    #[serde(default)]
    when: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    families: Vec<String>,
    counts: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Of {
    Layers,
    Model,
}

impl Framework {
    /// Reads a framework.
    ///
    /// # Errors
    /// What in the file is none.
    pub fn read(file: &str, text: &str) -> Result<Framework, ConventionError> {
        let malformed =
            |problem: String| ConventionError::Malformed { file: file.to_owned(), problem };
        let raw: File = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let term = |term: TermText| {
            let part = part_of(&term.part)
                .ok_or_else(|| malformed(format!("`{}` is no part of a model", term.part)))?;
            let poly = term
                .counts
                .parse()
                .map_err(|source| ConventionError::Formula { file: file.to_owned(), source })?;
            Ok(Term {
                part,
                of_layers: term.of == Of::Layers,
                when: term.when,
                unless: term.unless,
                families: term.families,
                text: term.counts.replace('*', "·").replace("^2", "²"),
                poly,
            })
        };
        let terms = raw.terms.into_iter().map(term);
        Ok(Framework {
            name: format!("{}@{}", raw.name, raw.version),
            unit: raw.unit,
            source: match raw.date {
                Some(date) => {
                    let (repository, commit) = (raw.repository, raw.commit);
                    format!("{repository} at {commit} of {date}, {}", raw.function)
                }
                None => format!("{} at {}, {}", raw.repository, raw.commit, raw.function),
            },
            checked: raw.checked,
            work: raw.work,
            families: raw.families,
            covers: raw.covers,
            full_every: raw.full_every,
            terms: terms.collect::<Result<_, ConventionError>>()?,
        })
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../frameworks/", $name, ".json")))),*];
    };
}

files! {
    "step-products",
    "forward-products",
    "megatron-lm",
    "megatron-bridge",
    "maxtext",
    "maxtext-before",
    "torchtitan",
    "nanogpt",
    "llm-foundry",
    "hf-trainer",
    "olmo-core",
    "palm",
    "vllm-prefill",
    "vllm-decode",
}

impl Framework {
    /// The parameters of what formulas know of a decoder, as a framework that counts each once.
    ///
    /// # Errors
    /// When its file is none.
    pub fn parameters() -> Result<Framework, ConventionError> {
        Framework::read("parameters", include_str!("../../frameworks/parameters.json"))
    }
}

/// The names of all frameworks.
pub fn framework_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// All frameworks.
///
/// # Errors
/// When a file is none.
pub fn frameworks() -> Result<Vec<Framework>, ConventionError> {
    FILES.iter().map(|(name, text)| Framework::read(name, text)).collect()
}

/// A framework by name, with its version or without: `maxtext`, `maxtext@e591f30`.
///
/// # Errors
/// When there is none of that name or version.
pub fn framework(name: &str) -> Result<Framework, ConventionError> {
    let plain = name.split_once('@').map_or(name, |(plain, _)| plain);
    let unknown = || ConventionError::Unknown {
        kind: "framework",
        name: escaped(name),
        known: framework_names().collect(),
    };
    let (file, text) = FILES.iter().find(|(known, _)| *known == plain).ok_or_else(unknown)?;
    let found = Framework::read(file, text)?;
    if name != plain && found.name != name { Err(unknown()) } else { Ok(found) }
}
