//! What is asked of a model beside its configuration.

use opledger_nn::LatentForm;

/// What is asked of a model beside its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Earlier tokens come as keys and values: inputs `past_key` and `past_value` of each layer, `p`
    /// tokens long, and results `present_key` and `present_value`; of a layer that convolves its last
    /// inputs, `past_input` and `present_input`. Of an encoder and a decoder it is the
    /// decoder alone, each layer of which is given the keys and values of the source, `cross_key` and
    /// `cross_value`.
    pub past: bool,
    /// Of an encoder and a decoder, what is done once for all tokens that are generated: the encoder, and
    /// the `cross_key` and `cross_value` of each layer of the decoder.
    pub source: bool,
    /// An input `attention_mask` says which tokens are padding.
    pub attention_mask: bool,
    /// Of which tokens a language model gives scores.
    pub logits: Logits,
    /// In which order attention by a latent takes its products, and what it keeps. Other attention has
    /// the first alone.
    pub latent: LatentForm,
    /// Height and width in pixels of the images that a model is given, where they are others than those that
    /// its configuration says. Not every model of images takes such.
    pub image: Option<[u64; 2]>,
}

/// Of which tokens a language model gives scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logits {
    /// Of each, as the `forward` of the `transformers` library.
    #[default]
    All,
    /// Of the last, which is all that generating takes.
    Last,
}
