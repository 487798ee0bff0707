//! What the `transformers` library calls the tensors of GGUF files: the tables of `gguf-py/gguf/tensor_mapping.py`
//! of `ggml-org/llama.cpp` (at 0024aa7) the other way round, and what its conversion does to their elements.

use super::GgufHeader;
use crate::names::{Names, Pattern};

/// A part of a layer, in files and in the library; where the latter has a `*`, one tensor for each expert.
type Part = (&'static str, &'static str);

/// How the tensors of an architecture are named, and what was done to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileNames {
    parts: &'static [&'static [Part]],
    /// Whether rows of queries and keys stand in pairs that turn together.
    pairs: bool,
    /// Whether weights of norms have one added to them.
    raised: bool,
}

const ATTENTION: &[Part] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    // Of Phi 3 the three as one.
    ("attn_qkv", "self_attn.qkv_proj"),
];
const TWO_NORMS: &[Part] = &[("ffn_norm", "post_attention_layernorm")];
const FOUR_NORMS: &[Part] = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];
const GATED: &[Part] =
    &[("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj")];
const GATED_AS_ONE: &[Part] = &[("ffn_up", "mlp.gate_up_proj"), ("ffn_down", "mlp.down_proj")];
const PLAIN: &[Part] = &[("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj")];
const EXPERTS: &[Part] = &[
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_exps", "mlp.experts.*.gate_proj"),
    ("ffn_up_exps", "mlp.experts.*.up_proj"),
    ("ffn_down_exps", "mlp.experts.*.down_proj"),
    ("ffn_gate_inp_shexp", "mlp.shared_expert_gate"),
    ("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
    ("ffn_up_shexp", "mlp.shared_expert.up_proj"),
    ("ffn_down_shexp", "mlp.shared_expert.down_proj"),
];
const MIXTRAL: &[Part] = &[
    ("ffn_gate_inp", "block_sparse_moe.gate"),
    ("ffn_gate_exps", "block_sparse_moe.experts.*.w1"),
    ("ffn_up_exps", "block_sparse_moe.experts.*.w3"),
    ("ffn_down_exps", "block_sparse_moe.experts.*.w2"),
];

/// How the tensors of a family are read; none of one whose tensors are only counted.
pub(super) fn tensors(family: &str) -> Option<FileNames> {
    let (parts, pairs, raised): (&'static [&'static [Part]], _, _) = match family {
        "llama" | "granite" | "smollm3" => (&[ATTENTION, TWO_NORMS, GATED], true, false),
        "mixtral" => (&[ATTENTION, TWO_NORMS, MIXTRAL], true, false),
        "qwen2" | "qwen3" => (&[ATTENTION, TWO_NORMS, GATED], false, false),
        "qwen2_moe" | "qwen3_moe" => (&[ATTENTION, TWO_NORMS, GATED, EXPERTS], false, false),
        "phi3" => (&[ATTENTION, TWO_NORMS, GATED_AS_ONE], false, false),
        "starcoder2" => (&[ATTENTION, TWO_NORMS, PLAIN], false, false),
        "olmo2" => (&[ATTENTION, FOUR_NORMS, GATED], false, false),
        "gemma" => (&[ATTENTION, TWO_NORMS, GATED], false, true),
        "gemma2" | "gemma3_text" => (&[ATTENTION, FOUR_NORMS, GATED], false, true),
        _ => return None,
    };
    Some(FileNames { parts, pairs, raised })
}

/// The names of the tensors of a file in the library.
#[derive(Clone, Copy, Debug)]
pub struct GgufNames {
    tensors: FileNames,
}

impl GgufHeader<'_> {
    /// The names of its tensors in the library; none where they are only counted.
    pub fn names(&self) -> Option<GgufNames> {
        let name = self.metadata.get("general.architecture")?.as_str()?;
        let architecture = self.architecture(name).ok()?;
        Some(GgufNames { tensors: tensors(architecture.family)? })
    }
}

impl GgufNames {
    /// The names of a tensor with so many entries of its outermost axis: its own, or one for each of these.
    pub fn of(&self, tensor: &str, outermost: u64) -> Vec<String> {
        let whole = match tensor {
            "token_embd.weight" => Some("model.embed_tokens.weight"),
            "output_norm.weight" => Some("model.norm.weight"),
            "output_norm.bias" => Some("model.norm.bias"),
            "output.weight" => Some("lm_head.weight"),
            _ => None,
        };
        if let Some(whole) = whole {
            return vec![whole.to_owned()];
        }
        let found = self.in_layer(tensor).map(|name| match name.contains('*') {
            true => (0..outermost).map(|at| name.replace('*', &at.to_string())).collect(),
            false => vec![name],
        });
        found.unwrap_or_else(|| vec![tensor.to_owned()])
    }

    fn in_layer(&self, tensor: &str) -> Option<String> {
        let mut words = tensor.strip_prefix("blk.")?.split('.');
        let (layer, part, kind) = (words.next()?, words.next()?, words.next()?);
        let mut parts = self.tensors.parts.iter().copied().flatten();
        let (_, own) = parts.find(|(own, _)| *own == part)?;
        Some(format!("model.layers.{layer}.{own}.{kind}"))
    }

    /// How a model's parameters are found among them, and what was done to their elements.
    pub fn applied(&self, mut names: Names) -> Names {
        for part in ["q_proj", "k_proj"].into_iter().filter(|_| self.tensors.pairs) {
            for kind in ["weight", "bias"] {
                names = names.pairs(&format!("model.layers.*.self_attn.{part}.{kind}"));
            }
        }
        if self.tensors.raised {
            let parts = self.tensors.parts.iter().copied().flatten();
            let norms = parts.filter(|(own, _)| own.ends_with("norm"));
            for (_, norm) in norms {
                names = names.raise(&format!("model.layers.*.{norm}.weight"));
            }
            names = names.raise("model.norm.weight");
        }
        names
    }
}

impl Names {
    /// Files hold the rows of each head of a parameter, the outermost axis, by turns: the first of each half,
    /// then the second.
    #[must_use]
    fn pairs(mut self, graph: &str) -> Self {
        self.pairs.push(Pattern::new(graph));
        self
    }

    /// Files hold the elements of a parameter with one added to each.
    #[must_use]
    fn raise(mut self, graph: &str) -> Self {
        self.raised.push(Pattern::new(graph));
        self
    }

    /// Whether rows of each head stand in pairs.
    pub fn is_in_pairs(&self, path: &str) -> bool {
        self.pairs.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether one was added to the elements.
    pub fn is_raised(&self, path: &str) -> bool {
        self.raised.iter().any(|pattern| pattern.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_the_names_of_the_library() {
        let names = |family| GgufNames { tensors: tensors(family).unwrap() };
        let of = |family, tensor| names(family).of(tensor, 2);
        assert_eq!(of("llama", "blk.3.attn_q.bias"), ["model.layers.3.self_attn.q_proj.bias"]);
        assert_eq!(of("llama", "output.weight"), ["lm_head.weight"]);
        assert_eq!(
            of("mixtral", "blk.0.ffn_up_exps.weight"),
            [0, 1].map(|at| format!("model.layers.0.block_sparse_moe.experts.{at}.w3.weight"))
        );
        // What is not known keeps its name, and is told as too many.
        assert_eq!(of("llama", "blk.0.ffn_gate_inp.weight"), ["blk.0.ffn_gate_inp.weight"]);
        assert!(tensors("bloom").is_none());
        let applied = names("llama").applied(Names::default());
        assert!(applied.is_in_pairs("model.layers.2.self_attn.k_proj.weight"));
        assert!(!applied.is_in_pairs("model.layers.2.self_attn.v_proj.weight"));
        assert!(!applied.is_raised("model.norm.weight"));
        assert!(names("gemma2").applied(Names::default()).is_raised("model.norm.weight"));
    }
}
