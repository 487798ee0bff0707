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

# Those with LayerNorms, and the matrices that their library keeps with inputs first.
LAYER_NORMS = {"phi2", "starcoder2", "gptneox", "gpt2", "command-r"}
INPUTS_FIRST = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def key(writer, name, value):
    match value:
        case bool():
            writer.add_bool(name, value)
        case int():
            writer.add_uint32(name, value)
        case float():
            writer.add_float32(name, value)


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
    tied = model.config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if tied and name in ("lm_head.weight", "embed_out.weight"):
            continue
        array = tensor.float().numpy()
        if architecture == "gpt2" and name.endswith(INPUTS_FIRST):
            array = array.T
        layer = next((part for part in name.split(".") if part.isdigit()), None)
        last = name.split(".")[-1]
        if ".experts." in name:
            for own, part in zip(told[last], numpy.split(array, len(told[last]), axis=1)):
                yield f"blk.{layer}.{own}.weight", part
            continue
        if name.endswith("mlp.gate.weight"):
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
        "context_length": of.max_position_embeddings,
        "embedding_length": of.hidden_size,
        "block_count": of.num_hidden_layers,
        "feed_forward_length": getattr(of, "intermediate_size", None) or of.n_inner,
        "attention.head_count": of.num_attention_heads,
    }
    if architecture != "gpt2":
        common["rope.freq_base"] = 10000.0
    if hasattr(of, "num_key_value_heads"):
        common["attention.head_count_kv"] = of.num_key_value_heads
    if getattr(of, "head_dim", None) not in (None, of.hidden_size // of.num_attention_heads):
        common |= {"attention.key_length": of.head_dim, "attention.value_length": of.head_dim}
    norm = "layer_norm" if architecture in LAYER_NORMS else "layer_norm_rms"
    common[f"attention.{norm}_epsilon"] = 1e-5
    for own, value in (common | keys).items():
        key(writer, f"{architecture}.{own}", value)
    writer.add_token_list([f"word {i}" for i in range(of.vocab_size)])
    writer.add_array("tokenizer.ggml.token_type", [1] * of.vocab_size)
    kinds = {}
    for own, array in tensors(made, architecture, of.num_hidden_layers):
        data, of_type = stored(array, kind)
        writer.add_tensor(own, data, raw_dtype=of_type)
        entry = kinds.setdefault(of_type.name, {"tensors": 0, "elements": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["elements"] += array.size
        entry["bytes"] += data.nbytes
    close(writer)
    head = getattr(of, "head_dim", None) or of.hidden_size // of.num_attention_heads
    heads = getattr(of, "num_key_value_heads", of.num_attention_heads)
    return {
        "parameters": sum(parameter.numel() for parameter in made.parameters()),
        "cache_per_token": 2 * 2 * of.num_hidden_layers * heads * head,
        "kinds": kinds,
    }


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
    files = {name: model(name, *rest) for name, *rest in MODELS + MORE}
    files["types"] = every_type()
    (HERE / "files.json").write_text(json.dumps(files, indent=1) + "\n")


if __name__ == "__main__":
    main()
