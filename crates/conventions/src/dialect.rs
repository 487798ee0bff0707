//! Dialects: how a model is written in the framework that a tool watches. The same mathematics is
//! other calls in `torch.nn`, in the `transformers` library and by hand.

use std::collections::BTreeMap;

use opledger_dims::{Activation, escaped};
use serde::Deserialize;

use crate::ConventionError;
use crate::call::Manner;

/// A dialect: a way of writing models.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// What it is called.
    pub name: String,
    /// Whose code it describes, with versions.
    pub of: String,
    /// What projects to heads and back.
    pub attention: AttentionModule,
    /// What attends.
    pub core: Core,
    /// What attends in families that the library writes in one way whatever is asked of it.
    #[serde(default)]
    pub own_core: BTreeMap<String, Core>,
    /// How activations are called, by the activation's name; others are modules.
    #[serde(default)]
    pub activations: BTreeMap<String, ActivationManner>,
    /// Families whose attention and LayerNorm are of the library's own classes.
    #[serde(default)]
    pub families: Vec<String>,
    /// Whether linear maps that are stored `[in, out]` are of the class `Conv1D`.
    #[serde(default)]
    pub conv1d: bool,
    /// How many tokens are taken at once of a gated delta rule, where it is known.
    #[serde(default)]
    pub delta_chunk: Option<u64>,
    /// Whether state spaces are taken in chunks of the size that a model says.
    #[serde(default)]
    pub state_space_chunks: bool,
    /// What scores experts.
    #[serde(default)]
    pub router: LinearManner,
    /// Families whose router calls softmax as a method.
    #[serde(default)]
    pub method_routers: Vec<String>,
    /// Families whose router has a linear module, whatever others have.
    #[serde(default)]
    pub module_routers: Vec<String>,
    /// Families whose library resamples tables of biases by distance, to the size that they have.
    #[serde(default)]
    pub resampled_tables: Vec<String>,
    /// How experts run.
    #[serde(default)]
    pub experts: ExpertsManner,
    /// Families all of whose experts run for every token.
    #[serde(default)]
    pub all_experts: Vec<String>,
    /// Attention within windows, where it is written in another way than other attention.
    #[serde(default)]
    pub windows: Option<WindowManner>,
    /// Whether the bias by displacement within windows is a module.
    #[serde(default)]
    pub displacement_module: bool,
    /// The module that is the mean over tokens, by the family.
    #[serde(default)]
    pub poolers: BTreeMap<String, PoolerManner>,
    /// How RMSNorm is written.
    #[serde(default)]
    pub rms_norm: NormManner,
    /// Families whose LayerNorm is of a class of their own, operator by operator.
    #[serde(default)]
    pub own_layer_norm: Vec<String>,
    /// Families that look learned positions up for each item, where others do once for all.
    #[serde(default)]
    pub positions_of_items: Vec<String>,
    /// Families that look tables which training leaves alone up without an axis of items.
    #[serde(default)]
    pub positions_of_tokens: Vec<String>,
    /// Families that call the function behind a convolution, and have no module for it.
    #[serde(default)]
    pub convolved_by_function: Vec<String>,
    /// Models whose activations outside of their layers are modules of `torch.nn`, whatever those within are.
    #[serde(default)]
    pub outer_activation_modules: Vec<String>,
    /// Whether models have `nn.MultiheadAttention` where their graphs do, called so that it gives its weights
    /// as well.
    #[serde(default)]
    pub multihead_in_models: bool,
    /// Families whose convolutions say by a word that there is no padding.
    #[serde(default)]
    pub padding_by_word: Vec<String>,
    /// Whether LayerNorm is a subclass of PyTorch's.
    #[serde(default)]
    pub layer_norm_subclass: bool,
    /// Whether a LayerNorm of the channels of pixels is.
    #[serde(default)]
    pub pixel_norm_subclass: bool,
    /// Families that have dropout in their layers.
    #[serde(default)]
    pub dropouts: BTreeMap<String, Dropouts>,
    /// Families some of whose layers training leaves out by chance.
    #[serde(default)]
    pub left_out_by_chance: Vec<String>,
    /// Families whose layers run in another order than their graphs say, or keep other values, where they are
    /// computed again.
    #[serde(default)]
    pub otherwise_again: Vec<String>,
    /// What decides which tensors PyTorch saves, by the family, where that was observed.
    #[serde(default)]
    pub saved: BTreeMap<String, SavedManner>,
    /// What the library computes beside the operations of a graph, by the family: masks, positions.
    #[serde(default)]
    pub beside: BTreeMap<String, String>,
    /// What it computes of a mask that it is given.
    #[serde(default)]
    pub beside_masks: Option<String>,
    /// Whether the axis of tokens comes before that of items.
    #[serde(default)]
    pub sequence_first: bool,
}

/// What projects to heads and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum AttentionModule {
    /// One module that keeps its projections to itself.
    #[serde(rename = "nn.MultiheadAttention")]
    Multihead,
    /// The same, in a block whose attention has a scope of the name.
    #[serde(rename = "nn.MultiheadAttention in a block")]
    MultiheadInBlock,
    /// A linear module for each projection.
    #[serde(rename = "nn.Linear")]
    Linears,
    /// Linear modules within an attention module of the `timm` library.
    #[serde(rename = "timm.Attention")]
    Timm,
}

/// What attends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "as", rename_all = "lowercase")]
pub enum Core {
    /// `F.scaled_dot_product_attention`, unless weights are asked for.
    Sdpa,
    /// Product, scale, softmax, product.
    Chain {
        /// How products are called: `torch.matmul`, or the operator `@`.
        products: Manner,
        /// How those of queries and keys are, where they are called otherwise.
        #[serde(default)]
        scores: Option<Manner>,
        /// Whether they are products of batches of matrices, `torch.bmm`.
        #[serde(default)]
        of_batches: bool,
        /// How softmax is called.
        softmax: Manner,
        /// Whether queries are scaled, or scores.
        scaled: Scaled,
        /// Whether scores are made with their scale and bias by `baddbmm`, and what they weigh by `bmm`.
        #[serde(default)]
        baddbmm: bool,
    },
}

/// What is multiplied with the constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaled {
    /// The queries, before the product.
    Queries,
    /// The scores, after it.
    Scores,
    /// The scores, after it, by one where the graph has no constant for them.
    Always,
}

/// How an activation is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationManner {
    /// A module of its own.
    Module,
    /// A function.
    Function,
    /// A function that was taken hold of before any tool could replace it.
    Captured,
    /// Its formula, operator by operator.
    Spelled,
}

/// What a linear map is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinearManner {
    /// A linear module.
    #[default]
    Module,
    /// A function, by the weight of a module of another class.
    Function,
}

/// How experts run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpertsManner {
    /// All in one product, `torch._grouped_mm`.
    #[default]
    GroupedMm,
    /// One by one, each by linear functions.
    Linear,
}

/// A module that is a mean over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PoolerManner {
    /// Of tokens in a row.
    AdaptiveAvgPool1d,
    /// Of tokens in rows and columns.
    AdaptiveAvgPool2d,
}

impl PoolerManner {
    /// The class of the module.
    pub fn class(self) -> &'static str {
        match self {
            PoolerManner::AdaptiveAvgPool1d => "AdaptiveAvgPool1d",
            PoolerManner::AdaptiveAvgPool2d => "AdaptiveAvgPool2d",
        }
    }

    /// The function that it calls.
    pub fn function(self) -> &'static str {
        match self {
            PoolerManner::AdaptiveAvgPool1d => "adaptive_avg_pool1d",
            PoolerManner::AdaptiveAvgPool2d => "adaptive_avg_pool2d",
        }
    }
}

/// Attention within windows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowManner {
    /// What projects to heads and back.
    #[serde(default)]
    pub projections: LinearManner,
    /// What attends.
    pub core: Core,
    /// Whether softmax is a module.
    #[serde(default)]
    pub softmax_module: bool,
}

/// What decides which tensors PyTorch saves of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedManner {
    /// Whether attention written out takes softmax in single precision.
    #[serde(default)]
    pub widened_softmax: bool,
    /// Whether the ids of positions are a buffer of the model.
    #[serde(default)]
    pub positions_kept: bool,
}

/// Where a family has dropout.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropouts {
    /// Its usual probability.
    pub p: f64,
    /// The places.
    pub at: Vec<DropoutPlace>,
}

/// A place of dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropoutPlace {
    /// Before the layers.
    Entry,
    /// Attention weights.
    Weights,
    /// Between the maps of a feed-forward layer.
    Hidden,
    /// What attention gives.
    Attended,
    /// What a feed-forward layer gives.
    Fed,
    /// Before the scores of classes.
    Head,
}

/// How RMSNorm is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormManner {
    /// `nn.RMSNorm`.
    #[default]
    Module,
    /// Its formula, operator by operator.
    Spelled,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../dialects/", $name, ".json")))),*];
    };
}

files! {
    "torch.nn",
    "torch.nn-sequence-first",
    "plain",
    "plain-sdpa",
    "transformers",
    "transformers-eager",
    "transformers-experts",
    "transformers-eager-experts",
    "timm",
    "timm-eager",
    "torchvision",
    "jax",
}

/// What a file says, and beside it what another says that it is like.
fn described(text: &str) -> Result<Dialect, String> {
    let read = |text| serde_json::from_str::<serde_json::Map<_, _>>(text);
    let mut own = read(text).map_err(|e| e.to_string())?;
    if let Some(like) = own.remove("like") {
        let base = FILES.iter().find(|(name, _)| like == *name);
        let (_, base) = base.ok_or_else(|| format!("it is like {like}, which is none"))?;
        let mut all = read(base).map_err(|e| e.to_string())?;
        all.extend(own);
        own = all;
    }
    serde_json::from_value(own.into()).map_err(|e| e.to_string())
}

/// The names of all ways of writing.
pub fn dialect_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// A dialect by name.
///
/// # Errors
/// When there is none of that name.
pub fn dialect(name: &str) -> Result<Dialect, ConventionError> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    let (name, text) = found.ok_or_else(|| ConventionError::Unknown {
        kind: "way of writing",
        name: escaped(name),
        known: dialect_names().collect(),
    })?;
    let malformed = |problem: String| ConventionError::Malformed {
        file: format!("way of writing `{name}`"),
        problem,
    };
    let found = described(text).map_err(&malformed)?;
    let is_name = |word: &&String| Activation::NAMES.contains(&word.as_str());
    match found.activations.keys().find(|word| !is_name(word)) {
        Some(word) => Err(malformed(format!("`{word}` is no activation"))),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_reads_and_bears_its_name() {
        for name in dialect_names() {
            assert_eq!(dialect(name).unwrap().name, name);
        }
        let error = dialect("torch-nn").unwrap_err().to_string();
        assert!(error.contains("`torch-nn` is not known; there are: torch.nn, "), "{error}");
    }
}
