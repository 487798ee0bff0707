//! What frameworks say a training step costs: formulas of a configuration, as data.
//!
//! A file names the function that it stands for, with repository, commit and date, and gives the function as
//! terms: polynomials in the sizes of a decoder, each for one part of the model, of every layer that it is
//! for. The sizes come from who knows the model; nothing is executed.

mod counted;
mod data;
mod parts;

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Integer};

pub use self::counted::PartCount;
pub use self::data::{FormulaWork, Framework, framework, framework_names, frameworks};
pub use self::parts::part_names;

/// Sizes of a part by name, and what is true of it.
#[derive(Clone, Debug, Default)]
pub struct DescribedSizes {
    /// Sizes.
    pub sizes: Binding,
    /// What is true of it.
    pub traits: BTreeSet<String>,
}

/// A decoder, as formulas of frameworks ask for it: the names of sizes and traits are those of
/// `DecoderSizes` of the models.
#[derive(Clone, Debug, Default)]
pub struct DescribedDecoder {
    /// Its family.
    pub family: String,
    /// What belongs to no layer; parameters that no matrix or table or bias of a map has are `rest`.
    pub whole: DescribedSizes,
    /// Its layers, with how many there are of each kind.
    pub layers: Vec<(Integer, DescribedSizes)>,
}

/// What a framework counts, part by part.
pub type CountedParts = BTreeMap<&'static str, PartCount>;
