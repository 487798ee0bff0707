//! The architectures of llama.cpp that are read, each as a family with its keys: those that the files of
//! `conversion/` write, and their base class (`ggml-org/llama.cpp` at 7bca1fd).

use serde_json::Value;

use super::{GgufHeader, gguf_layers_behind};

/// An architecture that is read.
pub(super) struct Architecture {
    /// What `general.architecture` says.
    pub(super) name: &'static str,
    /// The family, and the class with a head of words.
    pub(super) family: &'static str,
    pub(super) class: &'static str,
    /// Keys of files, below the architecture's name, and what the family calls them: those of most, and
    /// its own.
    pub(super) common: &'static [(&'static str, &'static str)],
    pub(super) keys: &'static [(&'static str, &'static str)],
    /// The key of the family that says the share of each head that turns.
    pub(super) turned: Option<&'static str>,
    /// Whether layers may differ in whether they attend, by their heads of keys.
    pub(super) mixed: bool,
    /// What else the family needs to be told.
    pub(super) fixed: fn(&GgufHeader<'_>) -> Vec<(&'static str, Value)>,
}

/// The keys of most.
const COMMON: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
];

/// Those of GPT-2.
const GPT2: &[(&str, &str)] = &[
    ("block_count", "n_layer"),
    ("embedding_length", "n_embd"),
    ("feed_forward_length", "n_inner"),
    ("attention.head_count", "n_head"),
    ("context_length", "n_positions"),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
];

const EXPERTS: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
];
const EXPERTS_AND_SHARED: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
];
const GRANITE: &[(&str, &str)] = &[
    ("embedding_scale", "embedding_multiplier"),
    ("residual_scale", "residual_multiplier"),
    ("attention.scale", "attention_multiplier"),
    ("logit_scale", "logits_scaling"),
];

/// Those of BLOOM.
const BLOOM: &[(&str, &str)] = &[
    ("block_count", "n_layer"),
    ("embedding_length", "hidden_size"),
    ("attention.head_count", "n_head"),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
];

/// Those of Falcon.
const FALCON: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "ffn_hidden_size"),
    ("attention.head_count", "num_attention_heads"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
];

/// Those of Mamba 2.
const MAMBA2: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("ssm.conv_kernel", "conv_kernel"),
    ("ssm.state_size", "state_size"),
    ("ssm.group_count", "n_groups"),
    ("ssm.time_step_rank", "num_heads"),
    ("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
];

/// Those of Granite 4 with state spaces, beside the scales of Granite.
const GRANITE_SPACES: &[(&str, &str)] = &[
    ("embedding_scale", "embedding_multiplier"),
    ("residual_scale", "residual_multiplier"),
    ("attention.scale", "attention_multiplier"),
    ("logit_scale", "logits_scaling"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_shared_feed_forward_length", "shared_intermediate_size"),
    ("ssm.conv_kernel", "mamba_d_conv"),
    ("ssm.state_size", "mamba_d_state"),
    ("ssm.group_count", "mamba_n_groups"),
    ("ssm.time_step_rank", "mamba_n_heads"),
];

/// Those of LFM2.
const LFM2: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_rms_epsilon", "norm_eps"),
    ("shortconv.l_cache", "conv_L_cache"),
];

/// Those of encoders.
pub(super) const BERT: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("context_length", "max_position_embeddings"),
    ("attention.layer_norm_epsilon", "layer_norm_eps"),
];

const LFM2_EXPERTS: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("leading_dense_block_count", "num_dense_layers"),
];
const GPT_OSS: &[(&str, &str)] = &[
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "intermediate_size"),
    WINDOW,
];
const MINIMAX: &[(&str, &str)] = &[
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "intermediate_size"),
    ("rope.dimension_count", "rotary_dim"),
];
const GLM_MOE: &[(&str, &str)] = &[
    ("expert_count", "n_routed_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_count", "n_shared_experts"),
    ("expert_group_count", "n_group"),
    ("expert_group_used_count", "topk_group"),
    ("leading_dense_block_count", "first_k_dense_replace"),
    ("expert_weights_scale", "routed_scaling_factor"),
    ("expert_weights_norm", "norm_topk_prob"),
    ("nextn_predict_layers", "num_nextn_predict_layers"),
];
const ERNIE_MOE: &[(&str, &str)] = &[
    ("expert_count", "moe_num_experts"),
    ("expert_used_count", "moe_k"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_count", "moe_num_shared_experts"),
    ("interleave_moe_layer_step", "moe_layer_interval"),
    ("leading_dense_block_count", "moe_layer_start_index"),
];
const LINEAR: &[(&str, &str)] = &[
    ("ssm.conv_kernel", "linear_conv_kernel_dim"),
    ("ssm.state_size", "linear_key_head_dim"),
    ("ssm.group_count", "linear_num_key_heads"),
    ("ssm.time_step_rank", "linear_num_value_heads"),
    ("full_attention_interval", "full_attention_interval"),
];
const QWEN3_NEXT: &[(&str, &str)] = &[
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ("ssm.conv_kernel", "linear_conv_kernel_dim"),
    ("ssm.state_size", "linear_key_head_dim"),
    ("ssm.group_count", "linear_num_key_heads"),
    ("ssm.time_step_rank", "linear_num_value_heads"),
    ("full_attention_interval", "full_attention_interval"),
];

/// Those of DeepSeek, whose keys and values come from a latent, which llama.cpp keeps as one head of keys.
const DEEPSEEK: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.kv_lora_rank", "kv_lora_rank"),
    ("rope.dimension_count", "qk_rope_head_dim"),
];
const DEEPSEEK_EXPERTS: &[(&str, &str)] = &[
    ("expert_count", "n_routed_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_count", "n_shared_experts"),
    ("expert_group_count", "n_group"),
    ("expert_group_used_count", "topk_group"),
    ("leading_dense_block_count", "first_k_dense_replace"),
    ("expert_weights_scale", "routed_scaling_factor"),
];

/// Those of Nemotron-H, of which a layer is one of a state space, attention, or a feed-forward layer.
const NEMOTRON_H: &[(&str, &str)] = &[
    ("embedding_length", "hidden_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.key_length", "head_dim"),
    ("context_length", "max_position_embeddings"),
    ("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
    ("ssm.conv_kernel", "conv_kernel"),
    ("ssm.state_size", "ssm_state_size"),
    ("ssm.group_count", "n_groups"),
    ("ssm.time_step_rank", "mamba_num_heads"),
];

/// Those of ModernBERT.
const MODERN_BERT: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "global_rope_theta"),
    ("rope.freq_base_swa", "local_rope_theta"),
    ("attention.layer_norm_epsilon", "norm_eps"),
    ("attention.sliding_window", "local_attention"),
    ("attention.sliding_window_pattern", "global_attn_every_n_layers"),
    ("hidden_act", "hidden_activation"),
];

/// Those of T5.
const T5: &[(&str, &str)] = &[
    ("block_count", "num_layers"),
    ("decoder_block_count", "num_decoder_layers"),
    ("embedding_length", "d_model"),
    ("feed_forward_length", "d_ff"),
    ("attention.head_count", "num_heads"),
    ("attention.key_length", "d_kv"),
    ("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
    ("attention.relative_buckets_count", "relative_attention_num_buckets"),
    ("decoder_start_token_id", "decoder_start_token_id"),
];

const PARALLEL: (&str, &str) = ("use_parallel_residual", "use_parallel_residual");
const STARCODER_NORM: (&str, &str) = ("attention.layer_norm_epsilon", "norm_epsilon");
const SCORES_CAP: (&str, &str) = ("attn_logit_softcapping", "attn_logit_softcapping");
const LOGITS_CAP: (&str, &str) = ("final_logit_softcapping", "final_logit_softcapping");
const LOCAL_BASE: (&str, &str) = ("rope.freq_base_swa", "rope_local_base_freq");
const LAYER_NORM: (&str, &str) = ("attention.layer_norm_epsilon", "layer_norm_eps");
const LOGIT_SCALE: (&str, &str) = ("logit_scale", "logit_scale");
const WINDOW: (&str, &str) = ("attention.sliding_window", "sliding_window");

fn nothing(_: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    Vec::new()
}

fn biases(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    vec![("attention_bias", header.has("blk.0.attn_q.bias").into())]
}

/// Biases, norms of heads, and the layers without those behind them.
fn with_layers_behind(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let norms = ("use_qk_norm", header.has("blk.0.attn_q_norm.weight").into());
    biases(header).into_iter().chain([norms]).chain(own_layers(header)).collect()
}

/// How many layers are the model's own, where others that predict further tokens are counted with them.
fn own_layers(header: &GgufHeader<'_>) -> Option<(&'static str, Value)> {
    gguf_layers_behind(header.metadata).map(|own| ("num_hidden_layers", own.into()))
}

/// Falcon's later form has as many norms before a layer as there are sublayers.
fn falcon(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let later = header.has("blk.0.attn_norm_2.weight");
    let heads = header.number("attention.head_count_kv");
    let mut said = vec![("new_decoder_architecture", later.into())];
    match (later, heads) {
        (true, Some(heads)) => said.push(("num_kv_heads", heads.into())),
        (_, heads) => said.push(("multi_query", (heads == Some(1)).into())),
    }
    said
}

/// The kinds of layers, of which those that attend have heads of keys, and how many of these.
fn mixed(header: &GgufHeader<'_>, [attends, other]: [&str; 2]) -> Vec<(&'static str, Value)> {
    let Some(Value::Array(heads)) = header.of_architecture("attention.head_count_kv") else {
        return Vec::new();
    };
    let kinds = heads.iter().map(|own| if own.as_u64() == Some(0) { other } else { attends });
    let kinds: Vec<Value> = kinds.map(Value::from).collect();
    let some = heads.iter().find(|own| own.as_u64() != Some(0));
    let mut said = vec![("layer_types", kinds.into())];
    said.extend(some.map(|heads| ("num_key_value_heads", heads.clone())));
    said
}

/// The layers of LFM2.
fn short_convolutions(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    mixed(header, ["full_attention", "conv"])
}

/// The layers of Granite 4, how its state spaces are made, and whether heads turn.
fn granite_spaces(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let some = |end: &str| header.tensors.keys().any(|name| name.ends_with(end));
    let turns = header.of_architecture("rope.scaling.finetuned") == Some(&Value::Bool(true));
    let spaces = state_spaces(header).into_iter().map(|(key, value)| match key {
        "expand" => ("mamba_expand", value),
        _ => ("mamba_d_head", value),
    });
    let rest = [
        ("mamba_conv_bias", some(".ssm_conv1d.bias").into()),
        ("mamba_proj_bias", some(".ssm_in.bias").into()),
        ("attention_bias", some(".attn_q.bias").into()),
        ("position_embedding_type", if turns { "rope" } else { "nope" }.into()),
        ("num_local_experts", header.number("expert_count").unwrap_or(0).into()),
    ];
    mixed(header, ["attention", "mamba"]).into_iter().chain(spaces).chain(rest).collect()
}

/// The same, the width of whose feed-forward layers is that which the header says.
fn short_convolutions_of_width(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let mut said = short_convolutions(header);
    said.push(("block_auto_adjust_ff_dim", false.into()));
    said
}

/// The layers of Nemotron-H by what they have, and how their state spaces are made.
fn nemotron_layers(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let of = |key: &str| match header.of_architecture(key) {
        Some(Value::Array(layers)) => layers.clone(),
        _ => Vec::new(),
    };
    let (heads, widths) = (of("attention.head_count_kv"), of("feed_forward_length"));
    let some = |own: &&Value| own.as_u64().is_some_and(|own| own > 0);
    let kinds =
        heads.iter().zip(&widths).map(|(heads, width)| match (some(&heads), some(&width)) {
            (true, _) => "full_attention",
            (false, true) => "mlp",
            (false, false) => "linear_attention",
        });
    let kinds: Vec<Value> = kinds.map(Value::from).collect();
    let has = |end: &str| header.tensors.keys().any(|name| name.ends_with(end)).into();
    let mut said = vec![
        ("layers_block_type", kinds.into()),
        ("use_conv_bias", has(".ssm_conv1d.bias")),
        ("use_bias", has(".ssm_in.bias")),
        ("mlp_bias", has(".ffn_up.bias")),
    ];
    let first = |layers: &[Value]| layers.iter().find(some).cloned();
    said.extend(first(&heads).map(|heads| ("num_key_value_heads", heads)));
    said.extend(first(&widths).map(|width| ("intermediate_size", width)));
    let width = state_spaces(header).into_iter().find(|(key, _)| *key == "head_dim");
    said.extend(width.map(|(_, width)| ("mamba_head_dim", width)));
    said
}

/// Layers of the largest Gemma 2 and Gemma 3, of 27 billion parameters (`load_arch_hparams` of llama.cpp's
/// `llama_model_gemma2` and `llama_model_gemma3`).
const LARGEST: [u64; 2] = [46, 62];

/// What queries are divided by, squared, of a family whose largest model has so many layers: the width of a
/// head, and of the largest the share of the model's width. No key says it: llama.cpp goes by the number of layers.
fn scale_of_queries(header: &GgufHeader<'_>, largest: u64) -> Vec<(&'static str, Value)> {
    let share = header
        .number("embedding_length")
        .and_then(|width| width.checked_div(header.number("attention.head_count")?));
    let is_largest = header.number("block_count") == Some(largest);
    let width = header.number("attention.key_length").filter(|_| !is_largest).or(share);
    width.map(|width| ("query_pre_attn_scalar", width.into())).into_iter().collect()
}

/// Whether T5's feed-forward layers have a gate, as from version 1.1 on.
fn t5(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let gated = header.has("enc.blk.0.ffn_gate.weight");
    vec![("feed_forward_proj", if gated { "gated-gelu" } else { "relu" }.into())]
}

/// How much wider than the model, and how wide a head of its states is.
fn state_spaces(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let number = |key: &str| header.number(key).filter(|number| *number > 0);
    let inner = number("ssm.inner_size");
    let share = |by| Some(inner? / number(by)?);
    let both = [("expand", share("embedding_length")), ("head_dim", share("ssm.time_step_rank"))];
    both.into_iter().filter_map(|(key, value)| Some((key, value?.into()))).collect()
}

/// How wide the heads of values of linear attention are, and the layers without those behind them.
fn linear_attention(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let number = |key: &str| header.number(key).filter(|number| *number > 0);
    let width = number("ssm.inner_size").zip(number("ssm.time_step_rank"));
    let width = width.map(|(all, heads)| ("linear_value_head_dim", (all / heads).into()));
    width.into_iter().chain(own_layers(header)).collect()
}

/// The widths of the heads of DeepSeek: those that `_mla` keys say, in earlier files the plain ones.
fn latents(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let either = |key: &str| {
        header
            .number(&format!("attention.{key}_mla"))
            .or_else(|| header.number(&format!("attention.{key}")))
    };
    let turned = header.number("rope.dimension_count");
    let still = either("key_length").zip(turned);
    let rank = header.number("attention.q_lora_rank");
    let mut said = vec![("q_lora_rank", rank.map_or(Value::Null, Value::from))];
    said.extend(still.map(|(all, turned)| ("qk_nope_head_dim", all.saturating_sub(turned).into())));
    said.extend(either("value_length").map(|width| ("v_head_dim", width.into())));
    said
}

/// Those of version 2, whose groups of experts are chosen from where there are several.
fn latents_of_v2(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let grouped = header.number("expert_group_count").is_some_and(|groups| groups > 1);
    let method = if grouped { "group_limited_greedy" } else { "greedy" };
    latents(header).into_iter().chain([("topk_method", method.into())]).collect()
}

/// Those of version 3; the weights of the chosen experts are divided by their sum where the header says so.
fn latents_of_v3(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let divided = header.of_architecture("expert_weights_norm") == Some(&Value::Bool(true));
    latents(header).into_iter().chain([("norm_topk_prob", divided.into())]).collect()
}

/// Of encoders, how many kinds of sentences there are.
fn sentences(header: &GgufHeader<'_>) -> Vec<(&'static str, Value)> {
    let kinds = header.tensors.get("token_types.weight").and_then(|shape| shape.first());
    kinds.map(|kinds| ("type_vocab_size", (*kinds).into())).into_iter().collect()
}

/// An architecture of these keys and no others.
const fn plain(
    name: &'static str,
    family: &'static str,
    class: &'static str,
    keys: &'static [(&'static str, &'static str)],
) -> Architecture {
    Architecture {
        name,
        family,
        class,
        common: COMMON,
        keys,
        turned: None,
        mixed: false,
        fixed: nothing,
    }
}

pub(super) const ARCHITECTURES: &[Architecture] = &[
    Architecture { fixed: biases, ..plain("llama", "llama", "LlamaForCausalLM", &[]) },
    plain("qwen2", "qwen2", "Qwen2ForCausalLM", &[]),
    Architecture { fixed: biases, ..plain("qwen3", "qwen3", "Qwen3ForCausalLM", &[]) },
    Architecture {
        // llama.cpp divides the weights of the chosen experts by their sum.
        fixed: |_| vec![("norm_topk_prob", true.into())],
        ..plain("qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", EXPERTS)
    },
    plain("qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", EXPERTS_AND_SHARED),
    Architecture {
        turned: Some("partial_rotary_factor"),
        ..plain("phi2", "phi", "PhiForCausalLM", &[LAYER_NORM])
    },
    Architecture {
        turned: Some("partial_rotary_factor"),
        ..plain("phi3", "phi3", "Phi3ForCausalLM", &[WINDOW])
    },
    Architecture {
        fixed: |header| vec![("use_bias", header.has("blk.0.attn_q.bias").into())],
        ..plain("starcoder2", "starcoder2", "Starcoder2ForCausalLM", &[STARCODER_NORM])
    },
    Architecture {
        turned: Some("rotary_pct"),
        ..plain("gptneox", "gpt_neox", "GPTNeoXForCausalLM", &[LAYER_NORM, PARALLEL])
    },
    Architecture { common: GPT2, ..plain("gpt2", "gpt2", "GPT2LMHeadModel", &[]) },
    plain("gemma", "gemma", "GemmaForCausalLM", &[]),
    Architecture {
        fixed: |header| scale_of_queries(header, LARGEST[0]),
        ..plain("gemma2", "gemma2", "Gemma2ForCausalLM", &[WINDOW, SCORES_CAP, LOGITS_CAP])
    },
    Architecture {
        fixed: |header| scale_of_queries(header, LARGEST[1]),
        ..plain("gemma3", "gemma3_text", "Gemma3ForCausalLM", &[WINDOW, LOCAL_BASE])
    },
    plain("olmo2", "olmo2", "Olmo2ForCausalLM", &[]),
    Architecture {
        fixed: |_| vec![("attention_bias", true.into())],
        ..plain("gpt-oss", "gpt_oss", "GptOssForCausalLM", GPT_OSS)
    },
    plain("minimax-m2", "minimax_m2", "MiniMaxM2ForCausalLM", MINIMAX),
    Architecture {
        turned: Some("partial_rotary_factor"),
        fixed: biases,
        ..plain("glm4", "glm4", "Glm4ForCausalLM", &[])
    },
    Architecture {
        turned: Some("partial_rotary_factor"),
        fixed: with_layers_behind,
        ..plain("glm4moe", "glm4_moe", "Glm4MoeForCausalLM", GLM_MOE)
    },
    plain("cohere2", "cohere2", "Cohere2ForCausalLM", &[LAYER_NORM, LOGIT_SCALE, WINDOW]),
    Architecture {
        common: FALCON,
        fixed: falcon,
        ..plain("falcon", "falcon", "FalconForCausalLM", &[])
    },
    Architecture { common: BLOOM, ..plain("bloom", "bloom", "BloomForCausalLM", &[]) },
    Architecture {
        fixed: |header| vec![("use_bias", header.has("blk.0.attn_q.bias").into())],
        ..plain("ernie4_5-moe", "ernie4_5_moe", "Ernie4_5_MoeForCausalLM", ERNIE_MOE)
    },
    Architecture {
        common: LFM2,
        fixed: short_convolutions_of_width,
        ..plain("lfm2", "lfm2", "Lfm2ForCausalLM", &[])
    },
    Architecture {
        common: LFM2,
        fixed: short_convolutions,
        ..plain("lfm2moe", "lfm2_moe", "Lfm2MoeForCausalLM", LFM2_EXPERTS)
    },
    Architecture {
        mixed: true,
        fixed: granite_spaces,
        ..plain("granitehybrid", "granitemoehybrid", "GraniteMoeHybridForCausalLM", GRANITE_SPACES)
    },
    Architecture {
        common: MAMBA2,
        fixed: state_spaces,
        ..plain("mamba2", "mamba2", "Mamba2ForCausalLM", &[])
    },
    Architecture {
        turned: Some("partial_rotary_factor"),
        fixed: linear_attention,
        ..plain("qwen3next", "qwen3_next", "Qwen3NextForCausalLM", QWEN3_NEXT)
    },
    Architecture {
        common: DEEPSEEK,
        fixed: latents_of_v2,
        ..plain("deepseek2", "deepseek_v2", "DeepseekV2ForCausalLM", DEEPSEEK_EXPERTS)
    },
    Architecture {
        turned: Some("partial_rotary_factor"),
        fixed: linear_attention,
        ..plain("qwen35", "qwen3_5_text", "Qwen3_5ForCausalLM", LINEAR)
    },
    Architecture {
        turned: Some("partial_rotary_factor"),
        fixed: linear_attention,
        ..plain("qwen35moe", "qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", QWEN3_NEXT)
    },
    Architecture { common: BERT, fixed: sentences, ..plain("bert", "bert", "BertModel", &[]) },
    Architecture { fixed: biases, ..plain("granite", "granite", "GraniteForCausalLM", GRANITE) },
    Architecture { fixed: biases, ..plain("smollm3", "smollm3", "SmolLM3ForCausalLM", &[]) },
    Architecture {
        turned: Some("partial_rotary_factor"),
        fixed: |header| {
            let share = |of: &str| header.number(of).filter(|number| *number > 0);
            let width = share("embedding_length").zip(share("attention.head_count"));
            let bias =
                ["blk.0.attn_q.bias", "blk.0.attn_qkv.bias"].iter().any(|own| header.has(own));
            let width = width.map(|(all, heads)| ("head_dim", (all / heads).into()));
            width.into_iter().chain([("attention_bias", bias.into())]).collect()
        },
        ..plain("chatglm", "glm", "GlmForCausalLM", &[])
    },
    Architecture {
        common: NEMOTRON_H,
        fixed: nemotron_layers,
        ..plain("nemotron_h", "nemotron_h", "NemotronHForCausalLM", &[])
    },
    Architecture {
        common: MODERN_BERT,
        fixed: |header| {
            let some = |end: &str| header.tensors.keys().any(|name| name.ends_with(end)).into();
            vec![
                ("attention_bias", some(".attn_qkv.bias")),
                ("mlp_bias", some(".ffn_up.bias")),
                ("norm_bias", some("output_norm.bias")),
            ]
        },
        ..plain("modern-bert", "modernbert", "ModernBertModel", &[])
    },
    Architecture { common: T5, fixed: t5, ..plain("t5", "t5", "T5ForConditionalGeneration", &[]) },
    Architecture { common: T5, fixed: t5, ..plain("t5encoder", "t5", "T5EncoderModel", &[]) },
    plain("command-r", "cohere", "CohereForCausalLM", &[LAYER_NORM, LOGIT_SCALE]),
];

/// DeepSeek of version 3, whose experts are scored by a sigmoid (`ExpertGatingFuncType.SIGMOID`).
pub(super) const DEEPSEEK_V3: Architecture = Architecture {
    common: DEEPSEEK,
    fixed: latents_of_v3,
    ..plain("deepseek2", "deepseek_v3", "DeepseekV3ForCausalLM", DEEPSEEK_EXPERTS)
};

/// What a Llama with experts is called.
pub(super) const MIXTRAL: Architecture = plain(
    "llama",
    "mixtral",
    "MixtralForCausalLM",
    &[("expert_count", "num_local_experts"), ("expert_used_count", "num_experts_per_tok")],
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// As many layers as the largest of another family has are those of any model.
    #[test]
    fn the_largest_of_a_family_alone_divides_queries_by_the_share_of_its_width() {
        let of = |largest: u64, layers: u64| {
            let metadata = serde_json::json!({
                "general.architecture": "gemma3", "gemma3.block_count": layers,
                "gemma3.embedding_length": 5376, "gemma3.attention.head_count": 32,
                "gemma3.attention.key_length": 128,
            });
            let tensors = BTreeMap::new();
            let metadata = metadata.as_object().unwrap();
            let header = GgufHeader { origin: "", metadata, tensors: &tensors, factors: None };
            scale_of_queries(&header, largest)
        };
        let scale = |n: u64| vec![("query_pre_attn_scalar", Value::from(n))];
        assert_eq!(of(LARGEST[1], 62), scale(168));
        assert_eq!(of(LARGEST[1], 46), scale(128));
        assert_eq!(of(LARGEST[0], 62), scale(128));
    }
}
