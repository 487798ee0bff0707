//! What a family hands back: the graph as it is recorded, or what keeps it from that.

use opledger_dims::{Binding, Poly, Symbol};
use opledger_ir::{Graph, GraphError};
use opledger_nn::NnError;

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
    pub(crate) decoder: Option<DecoderSizes>,
}

impl Recorder {
    /// A model of a family, nothing of it recorded yet.
    pub(crate) fn new(family: &'static str) -> Self {
        let (sizes, names) = (Binding::new(), Names::default());
        Recorder { graph: Graph::of_model(family), sizes, names, positions: None, decoder: None }
    }

    /// A symbol of a size.
    pub(crate) fn size(&mut self, symbol: impl Into<Symbol>, value: u64) -> Poly {
        let symbol = symbol.into();
        self.sizes.set(&symbol, value);
        symbol.into()
    }
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
