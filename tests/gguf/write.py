"""Writes small GGUF files with the writer of llama.cpp, and what is in them: `files.json`.

    python write.py

Models are made by `transformers` with weights that are drawn; their parameters are counted by PyTorch, and
the bytes of each type by the arrays that were written. Keys are those of `convert_hf_to_gguf.py`.
"""

import json
import pathlib

import gguf
import numpy
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

HERE = pathlib.Path(__file__).parent

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 40,
    "max_position_embeddings": 128,
}

# name, architecture of the file, class, configuration, type of the matrices, keys of the architecture
MODELS = [
    ("llama", "llama", "LlamaForCausalLM", SMALL | {"tie_word_embeddings": False}, Kind.Q8_0, {}),
    ("llama_tied", "llama", "LlamaForCausalLM", SMALL | {"tie_word_embeddings": True, "head_dim": 32}, Kind.Q4_0, {}),
    ("mixtral", "llama", "MixtralForCausalLM", SMALL | {"num_local_experts": 3, "num_experts_per_tok": 2}, Kind.Q4_1,
     {"expert_count": 3, "expert_used_count": 2}),
    ("qwen2", "qwen2", "Qwen2ForCausalLM", SMALL | {"tie_word_embeddings": True}, Kind.Q5_0, {}),
    ("qwen3", "qwen3", "Qwen3ForCausalLM", SMALL | {"head_dim": 32}, Kind.Q5_1, {}),
    ("qwen3_moe", "qwen3moe", "Qwen3MoeForCausalLM",
     SMALL | {"head_dim": 32, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}, Kind.Q8_0,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32}),
    ("phi2", "phi2", "PhiForCausalLM", SMALL | {"num_key_value_heads": 4, "partial_rotary_factor": 0.5}, Kind.BF16,
     {"rope.dimension_count": 8}),
    ("phi3", "phi3", "Phi3ForCausalLM",
     SMALL | {"sliding_window": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, Kind.Q4_0,
     {"rope.dimension_count": 16, "attention.sliding_window": 16}),
    ("starcoder2", "starcoder2", "Starcoder2ForCausalLM", SMALL | {"use_bias": True, "sliding_window": None},
     Kind.F16, {}),
    ("gptneox", "gptneox", "GPTNeoXForCausalLM",
     {key: value for key, value in SMALL.items() if key != "num_key_value_heads"} | {"rotary_pct": 0.25}, Kind.Q8_0,
     {"rope.dimension_count": 4, "use_parallel_residual": True}),
]

MORE = [
    ("gpt2", "gpt2", "GPT2LMHeadModel",
     {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "vocab_size": 40, "n_positions": 128}, Kind.Q4_0, {}),
    ("gemma", "gemma", "GemmaForCausalLM", SMALL | {"head_dim": 32}, Kind.Q4_0, {}),
    ("gemma2", "gemma2", "Gemma2ForCausalLM", SMALL | {"head_dim": 32, "sliding_window": 16}, Kind.Q5_1,
     {"attention.sliding_window": 16, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),
    ("gemma3", "gemma3", "Gemma3ForCausalLM",
     SMALL | {"head_dim": 32, "num_hidden_layers": 7, "sliding_window": 16}, Kind.Q4_1,
     {"attention.sliding_window": 16, "rope.freq_base_swa": 10000.0}),
    ("olmo2", "olmo2", "Olmo2ForCausalLM", SMALL, Kind.Q8_0, {}),
    ("granite", "granite", "GraniteForCausalLM", SMALL, Kind.Q4_0,
     {"embedding_scale": 12.0, "residual_scale": 0.22, "attention.scale": 0.0625, "logit_scale": 8.0}),
    ("smollm3", "smollm3", "SmolLM3ForCausalLM", SMALL | {"num_hidden_layers": 5, "pad_token_id": 0}, Kind.Q4_0, {}),
    ("command_r", "command-r", "CohereForCausalLM", SMALL | {"logit_scale": 0.0625}, Kind.Q8_0,
     {"logit_scale": 0.0625}),
    ("qwen2_moe", "qwen2moe", "Qwen2MoeForCausalLM",
     SMALL | {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 64, "num_experts": 4,
              "num_experts_per_tok": 2}, Kind.Q4_0,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32,
      "expert_shared_feed_forward_length": 64}),
]

EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
LATENT = SMALL | EXPERTS | {"num_hidden_layers": 3, "num_key_value_heads": 4, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
                            "qk_rope_head_dim": 8, "v_head_dim": 32, "n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1,
                            "routed_scaling_factor": 2.5}
SPACES = {"num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"], "mamba_n_heads": 4,
          "mamba_d_head": 32, "mamba_d_state": 32, "mamba_n_groups": 2, "shared_intermediate_size": 128, "pad_token_id": 0}
OF_SPACES = {"attention.head_count_kv": [0, 2, 0], "ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 32,
             "ssm.time_step_rank": 4, "ssm.group_count": 2, "expert_shared_feed_forward_length": 128, "rope.scaling.finetuned": False,
             "embedding_scale": 12.0, "residual_scale": 0.22, "attention.scale": 0.0625, "logit_scale": 8.0}
LINEAR = {"num_hidden_layers": 4, "head_dim": 32, "linear_key_head_dim": 16, "linear_value_head_dim": 32, "linear_num_key_heads": 2,
          "linear_num_value_heads": 4, "pad_token_id": 0}
OF_LINEAR = {"ssm.conv_kernel": 4, "ssm.state_size": 16, "ssm.group_count": 2, "ssm.time_step_rank": 4, "ssm.inner_size": 128,
             "full_attention_interval": 4, "rope.dimension_count": 8}
OF_LATENT = {"attention.head_count_kv": 1, "attention.kv_lora_rank": 32, "attention.key_length": 40, "attention.value_length": 32,
             "attention.key_length_mla": 24, "attention.value_length_mla": 32, "rope.dimension_count": 8, "expert_count": 4,
             "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_count": 1, "leading_dense_block_count": 1,
             "expert_weights_scale": 2.5}
LATER = [
    ("gpt_oss", "gpt-oss", "GptOssForCausalLM", SMALL | {"head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2,
     "intermediate_size": 32, "sliding_window": 16}, Kind.MXFP4,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "attention.sliding_window": 16,
      "rope.scaling.type": "yarn", "rope.scaling.factor": 32.0, "rope.scaling.original_context_length": 4096}),
    ("minimax_m2", "minimax-m2", "MiniMaxM2ForCausalLM", SMALL | {"head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2,
     "intermediate_size": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
     Kind.Q8_0, {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "rope.dimension_count": 16}),
    ("glm4", "glm4", "Glm4ForCausalLM", SMALL | {"head_dim": 32, "attention_bias": True, "pad_token_id": 0}, Kind.Q4_0,
     {"rope.dimension_count": 16}),
    ("glm4_moe", "glm4moe", "Glm4MoeForCausalLM", SMALL | EXPERTS | {"head_dim": 32, "num_hidden_layers": 3, "n_routed_experts": 4,
     "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "use_qk_norm": True}, Kind.Q5_0,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_count": 1,
      "leading_dense_block_count": 1, "expert_weights_scale": 1.0, "expert_weights_norm": True, "rope.dimension_count": 16}),
    ("glm4_moe_behind", "glm4moe", "Glm4MoeForCausalLM", SMALL | EXPERTS | {"head_dim": 32, "num_hidden_layers": 3, "n_routed_experts": 4,
     "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "attention_bias": True}, Kind.Q8_0,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_count": 1, "block_count": 4,
      "nextn_predict_layers": 1, "leading_dense_block_count": 1, "expert_weights_scale": 1.0, "expert_weights_norm": True,
      "rope.dimension_count": 16}),
    ("cohere2", "cohere2", "Cohere2ForCausalLM", SMALL | {"num_hidden_layers": 5, "sliding_window": 16, "logit_scale": 0.25}, Kind.Q8_0,
     {"logit_scale": 0.25, "attention.sliding_window": 16, "rope.dimension_count": 16}),
    ("falcon", "falcon", "FalconForCausalLM", {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40,
     "multi_query": True}, Kind.Q4_1, {"attention.head_count_kv": 1}),
    ("falcon_later", "falcon", "FalconForCausalLM", {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
     "vocab_size": 40, "num_kv_heads": 2, "new_decoder_architecture": True}, Kind.Q8_0, {"attention.head_count_kv": 2}),
    ("bloom", "bloom", "BloomForCausalLM", {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 40}, Kind.Q4_0,
     {"attention.head_count_kv": 4}),
    ("ernie", "ernie4_5-moe", "Ernie4_5_MoeForCausalLM", SMALL | {"num_hidden_layers": 3, "moe_num_experts": 4, "moe_k": 2,
     "moe_intermediate_size": 32, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_end_index": 2}, Kind.Q8_0,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_count": 2,
      "interleave_moe_layer_step": 1, "leading_dense_block_count": 1}),
    ("lfm2", "lfm2", "Lfm2ForCausalLM", SMALL | {"num_hidden_layers": 3, "block_auto_adjust_ff_dim": False,
     "layer_types": ["conv", "full_attention", "conv"]}, Kind.Q4_0,
     {"attention.head_count_kv": [0, 2, 0], "shortconv.l_cache": 3}),
    ("lfm2_moe", "lfm2moe", "Lfm2MoeForCausalLM", SMALL | EXPERTS | {"num_hidden_layers": 3, "num_experts": 4, "num_dense_layers": 1,
     "layer_types": ["conv", "full_attention", "conv"]}, Kind.Q5_1,
     {"attention.head_count_kv": [0, 2, 0], "shortconv.l_cache": 3, "expert_count": 4, "expert_used_count": 2,
      "expert_feed_forward_length": 32, "leading_dense_block_count": 1}),
    ("mamba2", "mamba2", "Mamba2ForCausalLM", {"hidden_size": 64, "num_hidden_layers": 2, "num_heads": 4, "head_dim": 32,
     "n_groups": 2, "state_size": 32, "vocab_size": 40}, Kind.Q8_0,
     {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 32, "ssm.time_step_rank": 4, "ssm.group_count": 2,
      "attention.head_count": 0, "feed_forward_length": 0, "context_length": 1 << 20}),
    ("granite_hybrid", "granitehybrid", "GraniteMoeHybridForCausalLM", SMALL | SPACES | {"num_local_experts": 4,
     "num_experts_per_tok": 2, "intermediate_size": 32}, Kind.Q8_0, OF_SPACES | {"expert_count": 4, "expert_used_count": 2}),
    ("granite_hybrid_dense", "granitehybrid", "GraniteMoeHybridForCausalLM", SMALL | SPACES | {"num_local_experts": 0,
     "mamba_conv_bias": False, "mamba_proj_bias": True, "tie_word_embeddings": True}, Kind.Q4_1, OF_SPACES),
    ("qwen3_next", "qwen3next", "Qwen3NextForCausalLM", SMALL | EXPERTS | {"num_hidden_layers": 4, "head_dim": 32, "num_experts": 4,
     "shared_expert_intermediate_size": 64, "linear_key_head_dim": 16, "linear_value_head_dim": 32, "linear_num_key_heads": 2,
     "linear_num_value_heads": 4}, Kind.Q4_0,
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_shared_feed_forward_length": 64,
      "ssm.conv_kernel": 4, "ssm.state_size": 16, "ssm.group_count": 2, "ssm.time_step_rank": 4, "ssm.inner_size": 128,
      "full_attention_interval": 4, "rope.dimension_count": 8}),
    ("qwen3_5", "qwen35", "Qwen3_5ForCausalLM", SMALL | LINEAR | {"tie_word_embeddings": True}, Kind.Q8_0, OF_LINEAR),
    ("qwen3_5_moe", "qwen35moe", "Qwen3_5MoeForCausalLM", SMALL | EXPERTS | LINEAR | {"num_experts": 4,
     "shared_expert_intermediate_size": 64}, Kind.Q5_1, OF_LINEAR | {"expert_count": 4, "expert_used_count": 2,
     "expert_feed_forward_length": 32, "expert_shared_feed_forward_length": 64}),
    ("deepseek_v2", "deepseek2", "DeepseekV2ForCausalLM", LATENT | {"q_lora_rank": None, "n_group": None, "topk_group": None}, Kind.Q8_0,
     OF_LATENT | {"expert_gating_func": 1}),
    ("deepseek_v3", "deepseek2", "DeepseekV3ForCausalLM", LATENT | {"q_lora_rank": 32, "n_group": 2, "topk_group": 1, "rope_parameters": {
     "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 1.0}},
     Kind.Q4_0, OF_LATENT | {"attention.q_lora_rank": 32, "expert_group_count": 2, "expert_group_used_count": 1, "expert_gating_func": 2,
     "expert_weights_norm": True, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
     "rope.scaling.original_context_length": 32, "rope.scaling.yarn_log_multiplier": 0.1}),
    ("chatglm", "chatglm", "GlmForCausalLM", SMALL | {"head_dim": 16, "attention_bias": True, "pad_token_id": 0}, Kind.Q8_0,
     {"rope.dimension_count": 8}),
    ("nemotron_h", "nemotron_h", "NemotronHForCausalLM", SMALL | {"head_dim": 32, "layers_block_type": ["linear_attention", "mlp",
     "full_attention", "mlp", "linear_attention"], "mamba_num_heads": 4, "mamba_head_dim": 32, "ssm_state_size": 32, "n_groups": 2},
     Kind.Q8_0, {"block_count": 5, "attention.head_count_kv": [0, 0, 2, 0, 0], "feed_forward_length": [0, 96, 0, 96, 0],
     "ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 32, "ssm.time_step_rank": 4, "ssm.group_count": 2}),
    ("modern_bert", "modern-bert", "ModernBertModel", {key: value for key, value in SMALL.items() if key != "num_key_value_heads"} |
     {"num_hidden_layers": 5, "local_attention": 16, "global_attn_every_n_layers": 3, "pad_token_id": 0, "bos_token_id": 1,
      "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}, Kind.F16,
     {"rope.freq_base_swa": 10000.0, "attention.sliding_window": 16, "attention.sliding_window_pattern": 3, "hidden_act": "gelu"}),
    ("t5", "t5", "T5ForConditionalGeneration", {"d_model": 64, "d_kv": 32, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 2,
     "num_heads": 4, "vocab_size": 40, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, Kind.Q8_0,
     {"feed_forward_length": 96, "attention.key_length": 32, "attention.value_length": 32, "decoder_block_count": 2,
      "attention.relative_buckets_count": 32, "decoder_start_token_id": 0}),
    ("t5_encoder", "t5encoder", "T5EncoderModel", {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 3, "num_heads": 4, "vocab_size": 40},
     Kind.Q4_0, {"feed_forward_length": 96, "attention.key_length": 16, "attention.value_length": 16,
      "attention.relative_buckets_count": 32}),
    ("bert", "bert", "BertModel", {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}, Kind.F16, {}),
]

# Those with LayerNorms, and the matrices that their library keeps with inputs first.
LAYER_NORMS = {"modern-bert", "phi2", "starcoder2", "gptneox", "gpt2", "command-r", "cohere2", "falcon", "bloom", "bert"}
# Those whose layers differ in what they keep.
WITHOUT_ROPE = {"gpt2", "bloom", "mamba2", "bert", "nemotron_h", "t5", "t5encoder"}
ENCODERS = {"bert", "modern-bert", "t5encoder"}
INPUTS_FIRST = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def key(writer, name, value):
    match value:
        case bool():
            writer.add_bool(name, value)
        case int():
            writer.add_uint32(name, value)
        case float():
            writer.add_float32(name, value)
        case str():
            writer.add_string(name, value)
        case list():
            writer.add_array(name, value)


def stored(array, kind):
    """The array as it is written, and its type; of what has no blocks, F32."""
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if array.ndim < 2 or array.shape[-1] % block:
        kind = Kind.F32
    return gguf.quants.quantize(array, kind), kind


def tensors(model, architecture, layers):
    """The tensors under their names in files, experts of a layer as one."""
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, layers)
    told = {"gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "down_proj": ("ffn_down_exps",)}
    tied = getattr(model.config, "tie_word_embeddings", False)
    for name, tensor in model.state_dict().items():
        if tied and name in ("lm_head.weight", "embed_out.weight"):
            continue
        array = tensor.float().numpy()
        name = name.removeprefix("transformer.") if architecture == "bloom" else name
        name = name.replace("model.", "backbone.", 1) if architecture == "nemotron_h" else name
        if architecture == "gpt2" and name.endswith(INPUTS_FIRST):
            array = array.T
        layer = next((part for part in name.split(".") if part.isdigit()), None)
        last = name.split(".")[-1]
        if architecture == "gpt-oss" and ".experts." in name:
            # Maps with inputs first, those of gates and of what they multiply taking turns.
            kind = "bias" if last.endswith("_bias") else "weight"
            array = array if kind == "bias" else array.transpose(0, 2, 1)
            if last.startswith("gate_up"):
                for at, own in enumerate(("ffn_gate_exps", "ffn_up_exps")):
                    yield f"blk.{layer}.{own}.{kind}", numpy.ascontiguousarray(array[:, at::2])
            else:
                yield f"blk.{layer}.ffn_down_exps.{kind}", numpy.ascontiguousarray(array)
            continue
        if name.startswith("pooler.") or name.endswith(("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")):
            continue  # It has no place there, or is there under another name.
        if name.endswith("kv_b_proj.weight"):
            own = model.config
            both = array.reshape(own.num_attention_heads, own.qk_nope_head_dim + own.v_head_dim, -1)
            keys, values = numpy.split(both, [own.qk_nope_head_dim], axis=1)
            yield f"blk.{layer}.attn_k_b.weight", numpy.ascontiguousarray(keys.transpose(0, 2, 1))
            yield f"blk.{layer}.attn_v_b.weight", numpy.ascontiguousarray(values)
            continue
        if name.endswith(("A_log", "mixer.D", "dt_bias")):
            own = {"A_log": "ssm_a", "D": "ssm_d", "dt_bias": "ssm_dt.bias"}[last]
            yield f"blk.{layer}.{own}", array
            continue
        if name.endswith(("conv1d.weight", "conv.conv.weight")):
            array = array.squeeze(1)
        if name.endswith(("e_score_correction_bias", ".expert_bias")):
            yield f"blk.{layer}.exp_probs_b.bias", array.reshape(-1)
            continue
        if "shared_mlp." in name:
            end = "_shexp" if model.config.num_local_experts else ""
            own = ("ffn_gate", "ffn_up") if "input_linear" in name else ("ffn_down",)
            for own, part in zip(own, numpy.split(array, len(own))):
                yield f"blk.{layer}.{own}{end}.weight", part
            continue
        if ".experts." in name:
            for own, part in zip(told[last], numpy.split(array, len(told[last]), axis=1)):
                yield f"blk.{layer}.{own}.weight", part
            continue
        if name.endswith(("mlp.gate.weight", "feed_forward.gate.weight", "block_sparse_moe.gate.weight", "block_sparse_moe.router.weight")):
            yield f"blk.{layer}.ffn_gate_inp.weight", array
            continue
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert mapped, (architecture, name)
        yield mapped, array


def model(name, architecture, cls, config, kind, keys):
    torch.manual_seed(1)
    made = getattr(transformers, cls)
    made = made(made.config_class(**config)).eval()
    path = HERE / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    of = made.config
    common = {
        "context_length": getattr(of, "max_position_embeddings", 2048),
        "embedding_length": of.hidden_size,
        "block_count": of.num_hidden_layers,
        "feed_forward_length": getattr(of, "intermediate_size", None) or getattr(of, "n_inner", None) or 4 * of.hidden_size,
    }
    if hasattr(of, "num_attention_heads"):
        common["attention.head_count"] = of.num_attention_heads
    if architecture not in WITHOUT_ROPE:
        common["rope.freq_base"] = 10000.0
    if getattr(of, "num_key_value_heads", None) is not None:
        common["attention.head_count_kv"] = of.num_key_value_heads
    if architecture not in ("mamba2", "deepseek2", "t5", "t5encoder") and getattr(of, "head_dim", None) not in (None, of.hidden_size // of.num_attention_heads):
        common |= {"attention.key_length": of.head_dim, "attention.value_length": of.head_dim}
    norm = "layer_norm" if architecture in LAYER_NORMS else "layer_norm_rms"
    common[f"attention.{norm}_epsilon"] = 1e-5
    for own, value in (common | keys).items():
        key(writer, f"{architecture}.{own}", value)
    writer.add_token_list([f"word {i}" for i in range(of.vocab_size)])
    writer.add_array("tokenizer.ggml.token_type", [1] * of.vocab_size)
    kinds = {}
    written = list(tensors(made, architecture, of.num_hidden_layers))
    if "nextn_predict_layers" in keys:
        # A layer behind, with a map of its own.
        last = f"blk.{of.num_hidden_layers - 1}."
        behind = [(own.replace(last, f"blk.{of.num_hidden_layers}."), array) for own, array in written if own.startswith(last)]
        written += behind + [(f"blk.{of.num_hidden_layers}.nextn.eh_proj.weight", numpy.ones((64, 128), numpy.float32))]
    for own, array in written:
        data, of_type = stored(array, kind)
        writer.add_tensor(own, data, raw_dtype=of_type)
        entry = kinds.setdefault(of_type.name, {"tensors": 0, "elements": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["elements"] += array.size
        entry["bytes"] += data.nbytes
    close(writer)
    named = [(own, parameter) for own, parameter in made.named_parameters() if not own.startswith("pooler.")]
    told = {"parameters": sum(parameter.numel() for _, parameter in named), "kinds": kinds}
    if architecture not in ENCODERS:
        told["cache_per_token"] = int(2 * 2 * kept(architecture, of))
    return told


def kept(architecture, of):
    """How many keys a token leaves in all layers, and as many values."""
    if architecture == "mamba2":
        return 0
    if architecture == "deepseek2":  # A latent and what turns, in place of both.
        return of.num_hidden_layers * (of.kv_lora_rank + of.qk_rope_head_dim) / 2
    if architecture == "falcon":
        heads = of.num_kv_heads if of.new_decoder_architecture else 1
    else:
        heads = getattr(of, "num_key_value_heads", None) or of.num_attention_heads
    layers = of.num_hidden_layers
    if getattr(of, "layer_types", None):
        layers = sum(kind in ("full_attention", "sliding_attention") for kind in of.layer_types)
    return layers * heads * (getattr(of, "head_dim", None) or of.hidden_size // of.num_attention_heads)


def close(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def every_type():
    """A file with a tensor of two rows of each type that the library can size."""
    writer = gguf.GGUFWriter(HERE / "types.gguf", "none")
    kinds = {}
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        data = numpy.zeros((2, size), dtype=numpy.uint8)
        writer.add_tensor(kind.name, data, raw_shape=(2, size), raw_dtype=kind)
        kinds[kind.name] = {"tensors": 1, "elements": 2 * block, "bytes": 2 * size}
    close(writer)
    return {"kinds": kinds}


def main():
    files = {name: model(name, *rest) for name, *rest in MODELS + MORE + LATER}
    files["types"] = every_type()
    (HERE / "files.json").write_text(json.dumps(files, indent=1) + "\n")


if __name__ == "__main__":
    main()
