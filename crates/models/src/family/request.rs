//! What is asked of a model beside its configuration.

/// What is asked of a model beside its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Earlier tokens come as keys and values: inputs `past_key` and `past_value` of each layer, `p`
    /// tokens long, and results `present_key` and `present_value`.
    pub past: bool,
    /// An input `attention_mask` says which tokens are padding.
    pub attention_mask: bool,
    /// Of which tokens a language model gives scores.
    pub logits: Logits,
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
