//! What a family hands back: the graph as it is recorded, or what keeps it from that.

use opledger_dims::{Binding, Poly, Symbol};
use opledger_ir::{Graph, GraphError, Var};
use opledger_nn::NnError;

use super::three_positions::ThreePositions;
use crate::config::ConfigError;
use crate::decoder_sizes::DecoderSizes;
use crate::model::PositionLimit;
use crate::names::Names;

/// A model as it is recorded.
pub(crate) struct Recorder {
    pub(crate) graph: Graph,
    pub(crate) sizes: Binding,
    pub(crate) names: Names,
    pub(crate) positions: Option<PositionLimit>,
    /// Images whose rows stand in the text that a decoder reads.
    pub(super) images: Option<Images>,
    /// What a reader has to know of the model.
    pub(crate) notes: Vec<String>,
    pub(crate) decoder: Option<DecoderSizes>,
}

impl Recorder {
    /// A model of a family, nothing of it recorded yet.
    pub(crate) fn new(family: &'static str) -> Self {
        let (sizes, names) = (Binding::new(), Names::default());
        let (graph, notes) = (Graph::of_model(family), Vec::new());
        let (positions, images, decoder) = (None, None, None);
        Recorder { graph, sizes, names, positions, images, notes, decoder }
    }

    /// A symbol of a size.
    pub(crate) fn size(&mut self, symbol: impl Into<Symbol>, value: u64) -> Poly {
        let symbol = symbol.into();
        self.sizes.set(&symbol, value);
        symbol.into()
    }
}

/// Images whose rows stand in a text.
pub(super) struct Images {
    /// The id of the tokens whose places they take.
    pub(super) token: u64,
    /// What encodes them.
    pub(super) encoder: Box<dyn ImageEncoder>,
    /// How heads of the text turn by three positions of each token, where they do.
    pub(super) turning: Option<ThreePositions>,
    /// Behind how many of the first layers of the text rows of images are added.
    pub(super) deeper: usize,
}

/// What makes rows of images, as wide as those of words.
pub(super) trait ImageEncoder {
    /// The input of images.
    fn input(&self, g: &mut Graph) -> Result<Var, Problem>;
    /// The rows of all images, one after another.
    fn rows(self: Box<Self>, g: &mut Graph, pixels: Var) -> Result<ImageRows, Problem>;
}

/// Rows of images.
pub(super) struct ImageRows {
    /// Those that take the places of words, `[rows, c]`.
    pub(super) entering: Var,
    /// Those that are added behind each of the first layers, `[l, rows, c]`, where any are.
    pub(super) deeper: Option<Var>,
}

/// What keeps a family from building a model.
pub(crate) enum Problem {
    Config(ConfigError),
    Layer(NnError),
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Problem::Config(error)
    }
}

impl From<NnError> for Problem {
    fn from(error: NnError) -> Self {
        Problem::Layer(error)
    }
}

impl From<GraphError> for Problem {
    fn from(error: GraphError) -> Self {
        Problem::Layer(error.into())
    }
}
