//! Under which names the parts of a layer stand: the scopes of their parameters. The empty name is the
//! scope of the layer itself.

/// The scopes of the projections of an attention. The default is PyTorch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionNames {
    /// Of one map that holds the projections of queries, keys and values, if one does; these stand in
    /// it.
    pub fused: Option<String>,
    /// Of the projection to queries.
    pub query: String,
    /// Of the projection to keys.
    pub key: String,
    /// Of the projection to values.
    pub value: String,
    /// Of the projection of the joined heads.
    pub out: String,
}

impl AttentionNames {
    /// Four projections.
    ///
    /// ```
    /// # mod opledger { pub use opledger_nn as nn; }
    /// use opledger::nn::{AttentionConfig, AttentionNames};
    ///
    /// let names = AttentionNames::new("wq", "wk", "wv", "wo");
    /// let config = AttentionConfig { names, ..AttentionConfig::new("c", "h") };
    /// # let _ = config;
    /// ```
    pub fn new(
        query: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
        out: impl Into<String>,
    ) -> Self {
        let (query, key, value, out) = (query.into(), key.into(), value.into(), out.into());
        AttentionNames { fused: None, query, key, value, out }
    }

    /// Two maps: `fused`, whose parts for queries, keys and values stand in it as `q`, `k` and `v`, and
    /// the projection of the joined heads.
    pub fn fused(fused: impl Into<String>, out: impl Into<String>) -> Self {
        AttentionNames { fused: Some(fused.into()), ..AttentionNames::new("q", "k", "v", out) }
    }
}

impl Default for AttentionNames {
    fn default() -> Self {
        AttentionNames::new("q_proj", "k_proj", "v_proj", "out_proj")
    }
}

/// The scopes of the maps of a feed-forward layer. The default is PyTorch's, and `linear3` for the map
/// that is gated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedForwardNames {
    /// Of the map before the activation.
    pub input: String,
    /// Of the map to the result.
    pub output: String,
    /// Of the map that the activation gates, where one is gated.
    pub gated: String,
}

impl FeedForwardNames {
    /// Two maps.
    pub fn new(input: impl Into<String>, output: impl Into<String>) -> Self {
        FeedForwardNames { input: input.into(), output: output.into(), gated: "linear3".to_owned() }
    }

    /// Three maps, the last of which is gated.
    pub fn gated(
        input: impl Into<String>,
        output: impl Into<String>,
        gated: impl Into<String>,
    ) -> Self {
        FeedForwardNames { gated: gated.into(), ..FeedForwardNames::new(input, output) }
    }
}

impl Default for FeedForwardNames {
    fn default() -> Self {
        FeedForwardNames::new("linear1", "linear2")
    }
}

/// The scopes of the parts of a layer. The default is PyTorch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerNames {
    /// Of the first attention.
    pub self_attn: String,
    /// Of a decoder layer's attention to the encoder's result.
    pub multihead_attn: String,
    /// Of the feed-forward layer.
    pub feed_forward: String,
    /// Of the norms, in the order in which they are applied; those that the layer does not have are
    /// passed over.
    pub norms: [String; 4],
    /// Of the factors of the sublayers' results, where the layer has them.
    pub layer_scales: [String; 2],
}

impl LayerNames {
    /// The parts of a layer with one attention, its norms in the order of the sublayers.
    pub fn encoder(self_attn: &str, feed_forward: &str, norms: [&str; 2]) -> Self {
        let [first, second] = norms;
        LayerNames::decoder(self_attn, "multihead_attn", feed_forward, [first, second, "norm3"])
    }

    /// The parts of a layer with one attention that has a norm before and after each sublayer.
    pub fn sandwich(self_attn: &str, feed_forward: &str, norms: [&str; 4]) -> Self {
        let norms = norms.map(str::to_owned);
        LayerNames { norms, ..LayerNames::encoder(self_attn, feed_forward, ["norm1", "norm2"]) }
    }

    /// The parts of a layer with two attentions, its norms in the order of the sublayers.
    pub fn decoder(
        self_attn: &str,
        multihead_attn: &str,
        feed_forward: &str,
        norms: [&str; 3],
    ) -> Self {
        LayerNames {
            self_attn: self_attn.to_owned(),
            multihead_attn: multihead_attn.to_owned(),
            feed_forward: feed_forward.to_owned(),
            norms: [norms[0], norms[1], norms[2], "norm4"].map(str::to_owned),
            layer_scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"].map(str::to_owned),
        }
    }
}

impl Default for LayerNames {
    fn default() -> Self {
        LayerNames::decoder("self_attn", "multihead_attn", "", ["norm1", "norm2", "norm3"])
    }
}
