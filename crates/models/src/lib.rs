//! Models by name: a layer such as `mha:c=512,h=8`, a configuration of the `transformers` library, or a
//! preset becomes a graph, the sizes it gives, and the names that its parameters have in files.
//! Nothing here opens a file.

mod config;
mod decoder_sizes;
mod family;
mod gguf;
pub mod layer;
mod model;
mod names;
mod preset;
mod probe;

pub use config::{
    Compressed, Config, ConfigError, GenerationSettings, OfExperts, POOLERS, Quantisation,
    QuantisationMethod,
};
pub use decoder_sizes::{DecoderSizes, NamedSizes};
pub use family::{Logits, Request, families, families_with_text};
pub use gguf::{
    GGUF_CONSTANTS, GGUF_FACTORS, GgufHeader, GgufNames, gguf_architectures, gguf_layers_behind,
};
pub use model::{ModelGraph, PositionLimit};
pub use names::{Names, Pattern, Place};
pub use opledger_nn::LatentForm;
pub use preset::{Preset, preset, preset_names, presets};
pub use probe::{Probe, ProbedSize, harmless_keys};
