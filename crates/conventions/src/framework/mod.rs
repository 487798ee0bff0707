//! What frameworks say a training step costs: formulas of a configuration, as data.
//!
//! A file names the function that it stands for, with repository, commit and date, and gives the function as
//! terms: polynomials in the sizes of a decoder, each for one part of the model, of every layer that it is
//! for. The sizes come from who knows the model; nothing is executed.

mod counted;
mod data;

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Integer};

pub use self::counted::{PartCount, part_names};
pub use self::data::{Framework, Work, framework, framework_names, frameworks};

/// Sizes of a part by name, and what is true of it.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    /// Sizes.
    pub sizes: Binding,
    /// What is true of it.
    pub traits: BTreeSet<String>,
}

/// A decoder, as formulas of frameworks ask for it: the names of sizes and traits are those of
/// `DecoderSizes` of the models.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// Its family.
    pub family: String,
    /// What belongs to no layer; parameters that no matrix or table or bias of a map has are `rest`.
    pub whole: Sizes,
    /// Its layers, with how many there are of each kind.
    pub layers: Vec<(Integer, Sizes)>,
}

/// What a framework counts, part by part.
pub type PartCounts = BTreeMap<&'static str, PartCount>;
