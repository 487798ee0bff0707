//! The table of kinds and their keys: what the parser goes by, and what a listing shows.

use opledger_dims::{escaped, nearest};
use opledger_ir::Graph;

use super::error::LayerError;
use super::keys::*;
use super::settings::Settings;
use super::{attention, build, stacks};

/// A kind of layer.
pub struct Kind {
    /// The name before the colon.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// What may follow the colon.
    pub keys: &'static [Key],
    pub(super) build: fn(&Settings, &mut Graph) -> Result<(), LayerError>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).field("keys", &self.keys).finish()
    }
}

/// Every kind of layer.
pub fn kinds() -> &'static [Kind] {
    KINDS
}

pub(super) fn find(name: &str) -> Result<&'static Kind, LayerError> {
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| LayerError::UnknownKind {
        kind: escaped(name),
        nearest: nearest(name, KINDS.iter().map(|kind| kind.name)),
    })
}

const KINDS: &[Kind] = &[
    Kind {
        name: "linear",
        summary: "linear map x·Wᵀ + b",
        keys: &[B, N, free("in", "width of the input"), free("out", "width of the result"), BIAS],
        build: build::linear,
    },
    Kind {
        name: "self-attention",
        summary: "self-attention with one head, queries and keys of their own width",
        keys: &[
            B,
            N,
            C,
            size("c1", "c", "width of values"),
            size("c2", "c", "width of queries and keys"),
            flag("bias", "false", "biases of the projections"),
            flag("out_proj", "false", "output projection W_O"),
            MASK,
            WINDOW,
            PADDING,
            WEIGHTS,
        ],
        build: attention::self_attention,
    },
    Kind {
        name: "mha",
        summary: "multi-head attention, of x to itself or, with m, to a memory",
        keys: &[
            B,
            N,
            optional("m", "n", "tokens of the memory"),
            C,
            H,
            KV,
            E,
            optional("kdim", "c", "width of the keys' input"),
            optional("vdim", "c", "width of the values' input"),
            BIAS,
            QKV_BIAS,
            OUT_PROJ,
            MASK,
            WINDOW,
            PADDING,
            WEIGHTS,
            ROPE,
            ROT,
            THETA,
            DROPOUT,
            TRAINING,
        ],
        build: attention::multihead,
    },
    Kind {
        name: "cross-attention",
        summary: "multi-head attention of x to a memory",
        keys: &[
            B,
            N,
            M,
            C,
            H,
            KV,
            E,
            optional("kdim", "c", "width of the keys' input"),
            optional("vdim", "c", "width of the values' input"),
            BIAS,
            QKV_BIAS,
            OUT_PROJ,
            MASK,
            WINDOW,
            PADDING,
            WEIGHTS,
            DROPOUT,
            TRAINING,
        ],
        build: attention::multihead,
    },
    Kind {
        name: "window-attention",
        summary: "attention within windows of an image (Swin), shifted or not",
        keys: &[
            B,
            free("height", "rows of the image"),
            free("width", "columns of the image"),
            free("side", "tokens along a side of a window"),
            key_of("shift", Domain::Size { least: 0 }, "0", "roll of the image, below side")
                .fitting(Fit::Below("side")),
            C,
            H,
            BIAS,
            QKV_BIAS,
            OUT_PROJ,
            flag("position_bias", "true", "learned bias for each displacement"),
        ],
        build: attention::window,
    },
    Kind {
        name: "vit-attention",
        summary: "attention with one map for queries, keys and values",
        keys: &[
            B,
            N,
            C,
            H,
            E,
            BIAS,
            flag("qkv_bias", "false", "bias of the qkv map"),
            OUT_PROJ,
            WEIGHTS,
            DROPOUT,
            TRAINING,
        ],
        build: attention::vit,
    },
    Kind {
        name: "ffn",
        summary: "feed-forward layer act(x·W₁)·W₂, gated (act(x·W₁) ⊙ x·W₃)·W₂",
        keys: &[B, N, C, FF, ACT, GATED, BIAS, DROPOUT, TRAINING],
        build: build::ffn,
    },
    Kind {
        name: "layer-norm",
        summary: "LayerNorm over the width",
        keys: &[B, N, C, EPS, flag("bias", "true", "the shift")],
        build: build::layer_norm,
    },
    Kind {
        name: "group-norm",
        summary: "GroupNorm of channels over all tokens",
        keys: &[B, N, C, size("groups", "1", "groups of channels, a divisor of c"), EPS],
        build: build::group_norm,
    },
    Kind {
        name: "rms-norm",
        summary: "RMSNorm over the width",
        keys: &[B, N, C, EPS],
        build: build::rms_norm,
    },
    Kind {
        name: "embedding",
        summary: "rows of a table by id, with positions if wanted",
        keys: &[
            B,
            N,
            V,
            C,
            key_of(
                "positions",
                Domain::Choice(&["none", "sinusoid", "learned"]),
                "none",
                "positions added to the rows",
            ),
            size("p", "n", "rows of the table of learned positions").fitting(Fit::AtLeast("n")),
        ],
        build: build::embedding,
    },
    Kind {
        name: "bert-embedding",
        summary: "word, token-type and position embeddings, added and normalised",
        keys: &[
            B,
            N,
            V,
            C,
            free("p", "rows of the position table").fitting(Fit::AtLeast("n")),
            free("types", "rows of the token-type table"),
            eps("1e-12"),
            DROPOUT,
            TRAINING,
        ],
        build: build::bert_embedding,
    },
    Kind {
        name: "encoder-layer",
        summary: "self-attention and feed-forward, each with residual and norm",
        keys: &[
            B, N, C, H, KV, E, FF, ACT, GATED, BIAS, QKV_BIAS, RESIDUAL, RMS, EPS, MASK, WINDOW,
            PADDING, ROPE, ROT, THETA, DROPOUT, TRAINING,
        ],
        build: stacks::encoder_layer,
    },
    Kind {
        name: "decoder-layer",
        summary: "self-attention, attention to a memory, feed-forward",
        keys: &[
            B,
            N,
            M,
            C,
            H,
            KV,
            E,
            FF,
            ACT,
            GATED,
            BIAS,
            QKV_BIAS,
            NORM,
            RMS,
            EPS,
            mask("causal"),
            WINDOW,
            PADDING,
            ROPE,
            ROT,
            THETA,
            DROPOUT,
            TRAINING,
        ],
        build: stacks::decoder_layer,
    },
    Kind {
        name: "encoder",
        summary: "l encoder layers",
        keys: &[
            B, L, N, C, H, KV, E, FF, ACT, GATED, BIAS, QKV_BIAS, RESIDUAL, RMS, EPS, FINAL_NORM,
            MASK, WINDOW, PADDING, ROPE, ROT, THETA, DROPOUT, TRAINING,
        ],
        build: stacks::encoder,
    },
    Kind {
        name: "decoder",
        summary: "l decoder layers",
        keys: &[
            B,
            L,
            N,
            M,
            C,
            H,
            KV,
            E,
            FF,
            ACT,
            GATED,
            BIAS,
            QKV_BIAS,
            NORM,
            RMS,
            EPS,
            FINAL_NORM,
            mask("causal"),
            WINDOW,
            PADDING,
            ROPE,
            ROT,
            THETA,
            DROPOUT,
            TRAINING,
        ],
        build: stacks::decoder,
    },
    Kind {
        name: "transformer",
        summary: "encoder and decoder, with embeddings and head if wanted",
        keys: &[
            B,
            L,
            size("ld", "l", "layers of the decoder"),
            N,
            M,
            C,
            H,
            KV,
            E,
            FF,
            ACT,
            GATED,
            BIAS,
            QKV_BIAS,
            NORM,
            RMS,
            EPS,
            flag("final_norm", "true", "a norm after the last layers"),
            mask("causal"),
            WINDOW,
            PADDING,
            DROPOUT,
            TRAINING,
            flag("embed", "false", "ids in and scores over the vocabulary out"),
            V,
            flag("tied", "true", "one table for source, target and scores"),
        ],
        build: stacks::transformer,
    },
    Kind {
        name: "lm-head",
        summary: "scores over the vocabulary; tied, with the embedding that lends its table",
        keys: &[
            B,
            N,
            C,
            V,
            flag("bias", "false", "bias of the scores"),
            flag("tied", "false", "the table of an embedding in place of a weight"),
        ],
        build: build::lm_head,
    },
    Kind {
        name: "attention-mlp-stack",
        summary: "l times: multi-head attention with weights, Linear, ReLU, Dropout, Linear",
        keys: &[B, N, size("l", "2", "layers"), C, H, FF, dropout("0.1"), TRAINING],
        build: stacks::attention_mlp_stack,
    },
];
