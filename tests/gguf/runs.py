"""Writes small GGUF files whose weights run, and what the library computes by them: `runs/*.gguf`, `runs.json`.

    python runs.py

Weights are drawn, brought into the order of llama.cpp's conversion (heads that turn in pairs, norms with one
added), quantised, and dequantised again by `gguf-py`; the library computes with these, in double precision. Blocks
that `gguf-py` does not make are drawn as bytes.
"""

import contextlib
import json
import pathlib
from unittest import mock

import gguf
import numpy
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

from write import SMALL, close, key

HERE = pathlib.Path(__file__).parent
SINGLE = torch.float32
PROMPT = [3, 17, 5, 29, 11, 2, 38]
NEW = 9
WIDE = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 40, "max_position_embeddings": 128}
EXPERTS = {"num_experts_per_tok": 2}
FACTORS = [1.0, 1.5, 2.25, 4.0, 8.0, 8.0, 8.0, 8.0]

# name, architecture, class, configuration, types of tensors by a part of their names, keys of the architecture
CASES = [
    ("llama_q8_0", "llama", "LlamaForCausalLM", SMALL | {"tie_word_embeddings": False}, {"": Kind.Q8_0}, {}),
    ("llama_q4_0", "llama", "LlamaForCausalLM", SMALL | {"tie_word_embeddings": True, "head_dim": 32}, {"": Kind.Q4_0}, {}),
    ("llama_scaled", "llama", "LlamaForCausalLM", SMALL | {"tie_word_embeddings": True}, {"ffn": Kind.F16, "": Kind.Q5_0}, {}),
    ("llama_k", "llama", "LlamaForCausalLM", WIDE | {"tie_word_embeddings": True},
     {"blk.1.attn_v": Kind.Q6_K, "blk.0.ffn_down": Kind.Q6_K, "blk.2.ffn_down": Kind.Q5_K, "token_embd": Kind.Q6_K, "": Kind.Q4_K}, {}),
    ("mixtral", "llama", "MixtralForCausalLM", SMALL | {"num_local_experts": 3, "num_experts_per_tok": 2}, {"": Kind.Q8_0},
     {"expert_count": 3, "expert_used_count": 2}),
    ("qwen2", "qwen2", "Qwen2ForCausalLM", SMALL | {"tie_word_embeddings": True}, {"": Kind.F16}, {}),
    ("qwen3", "qwen3", "Qwen3ForCausalLM", SMALL | {"head_dim": 32}, {"attn": Kind.BF16, "": Kind.Q5_1}, {}),
    ("qwen3_moe", "qwen3moe", "Qwen3MoeForCausalLM", SMALL | EXPERTS | {"head_dim": 32, "moe_intermediate_size": 32, "num_experts": 4,
     "norm_topk_prob": True}, {"ffn_gate_inp": Kind.F32, "": Kind.Q4_1},
     {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32}),
    ("gemma2", "gemma2", "Gemma2ForCausalLM", SMALL | {"head_dim": 32, "sliding_window": 4, "query_pre_attn_scalar": 32}, {"": Kind.Q8_0},
     {"attention.sliding_window": 4, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),
    ("phi3", "phi3", "Phi3ForCausalLM", SMALL | {"sliding_window": None, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
     {"": Kind.Q4_0}, {"rope.dimension_count": 16}),
]
PAIRS = {"llama_q8_0", "llama_q4_0", "llama_scaled", "llama_k", "mixtral"}


@contextlib.contextmanager
def in_double():
    """Double precision, also where a model casts to single precision (norms, softmax, rotary angles)."""
    with (
        mock.patch.object(torch, "float32", torch.float64),
        mock.patch.object(torch, "float", torch.float64),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(SINGLE)


def drawn_blocks(shape, kind, draw):
    """Blocks that have bits of any kind, with scales in half precision that give small numbers."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows = numpy.array(draw.integers(0, 256, (shape[0], shape[1] // block, size)), dtype=numpy.uint8)
    at = {Kind.Q4_K: (0, 2), Kind.Q5_K: (0, 2), Kind.Q6_K: (208,)}[kind]
    largest = {Kind.Q4_K: 63 * 15 / 2, Kind.Q5_K: 63 * 31 / 2, Kind.Q6_K: 127 * 32}[kind]
    for n, place in enumerate(at):
        scale = draw.uniform(0.5, 1.0, rows.shape[:2]) * 0.25 / largest * (largest / 63 if n else 1)
        rows[:, :, place:place + 2] = scale.astype(numpy.float16)[..., None].view(numpy.uint8)
    return rows.reshape(shape[0], -1)


def paired(array, heads):
    """The rows of each head, those of its halves by turns (`LlamaModel.permute` of llama.cpp's conversion)."""
    return array.reshape(heads, 2, array.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(array.shape)


def apart(array, heads):
    return array.reshape(heads, array.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(array.shape)


def files(state, architecture, layers):
    """Names in files, each with the parameters that it is made of and which part of them."""
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, layers)
    for name, array in state.items():
        layer = next((part for part in name.split(".") if part.isdigit()), None)
        if ".experts." in name:
            told = ("ffn_gate_exps", "ffn_up_exps") if name.endswith("gate_up_proj") else ("ffn_down_exps",)
            each = array.shape[1] // len(told)
            for at, own in enumerate(told):
                yield f"blk.{layer}.{own}.weight", name, (slice(None), slice(at * each, (at + 1) * each))
        elif name.endswith("gate.weight"):
            yield f"blk.{layer}.ffn_gate_inp.weight", name, ...
        else:
            yield names.get_name(name, try_suffixes=(".weight", ".bias")), name, ...


def run(name, architecture, cls, config, kinds, keys):
    torch.manual_seed(3)
    draw = numpy.random.default_rng(5)
    made = getattr(transformers, cls)
    model = made(made.config_class(**config, initializer_range=0.15, attn_implementation="eager", experts_implementation="eager")).eval()
    of = model.config
    with torch.no_grad():
        for own, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    state = {own: tensor.float().numpy().copy() for own, tensor in model.state_dict().items()}
    if of.tie_word_embeddings:
        state.pop("lm_head.weight")
    writer = gguf.GGUFWriter(HERE / "runs" / f"{name}.gguf", architecture)
    common = {"context_length": 128, "embedding_length": of.hidden_size, "block_count": of.num_hidden_layers,
              "feed_forward_length": of.intermediate_size, "attention.head_count": of.num_attention_heads,
              "attention.head_count_kv": of.num_key_value_heads, "rope.freq_base": float(of.rope_parameters["rope_theta"])}
    width = getattr(of, "head_dim", None) or of.hidden_size // of.num_attention_heads
    common |= {"attention.key_length": width, "attention.value_length": width,
               "attention.layer_norm_rms_epsilon": of.rms_norm_eps}
    for own, value in (common | keys).items():
        key(writer, f"{architecture}.{own}", value)
    if name == "llama_scaled":
        writer.add_tensor("rope_freqs.weight", numpy.array(FACTORS, dtype=numpy.float32))
    bytes_of = 0
    for own, parameter, part in files(state, architecture, of.num_hidden_layers):
        array = state[parameter][part]
        heads = {"attn_q": of.num_attention_heads, "attn_k": of.num_key_value_heads}.get(own.split(".")[-2])
        turned = name in PAIRS and heads
        raised = architecture.startswith("gemma") and own.split(".")[-2].endswith("norm")
        stored = paired(array, heads) if turned else array + 1 if raised else array
        kind = next(kind for part_of, kind in kinds.items() if part_of in own)
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        kind = Kind.F32 if stored.ndim < 2 or stored.shape[-1] % block else kind
        if kind in (Kind.Q4_K, Kind.Q5_K, Kind.Q6_K):
            data = drawn_blocks(stored.shape, kind, draw)
        else:
            data = gguf.quants.quantize(numpy.ascontiguousarray(stored, dtype=numpy.float32), kind)
        writer.add_tensor(own, data, raw_dtype=kind)
        bytes_of += data.nbytes
        wide = gguf.quants.dequantize(data, kind).astype(numpy.float64).reshape(stored.shape)
        back = apart(wide, heads) if turned else wide - 1 if raised else wide
        state[parameter] = state[parameter].astype(numpy.float64)
        state[parameter][part] = back
    close(writer)
    ids, margins = list(PROMPT), []
    with in_double(), torch.no_grad():
        model = model.double()
        model.model.rotary_emb = type(model.model.rotary_emb)(of)
        missing, more = model.load_state_dict({own: torch.from_numpy(array) for own, array in state.items()}, strict=False)
        assert not more and set(missing) <= {"lm_head.weight"}, (missing, more)
        model.tie_weights()
        if name == "llama_scaled":
            model.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq / torch.tensor(FACTORS)
        logits = model(torch.tensor([PROMPT])).logits[0]
        for _ in range(NEW):
            best = model(torch.tensor([ids])).logits[0, -1].sort(descending=True)
            margins.append(float(best.values[0] - best.values[1]))
            ids.append(int(best.indices[0]))
    assert min(margins) > 1e-4, (name, margins)
    return {"bytes": bytes_of, "generated": ids[len(PROMPT):], "logits": [[round(float(x), 12) for x in row] for row in logits]}


def blocks():
    """Random bytes as blocks of each type, and what `gguf-py` makes of them."""
    draw, told = numpy.random.default_rng(7), {}
    for kind in (Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K):
        _, size = gguf.GGML_QUANT_SIZES[kind]
        # Without the bit of large exponents no scale is infinite.
        data = numpy.array(draw.integers(0, 256, (3, size)), dtype=numpy.uint8)
        for at in {Kind.Q6_K: (209,)}.get(kind, (1, 3) if kind in (Kind.Q4_1, Kind.Q5_1, Kind.Q4_K, Kind.Q5_K) else (1,)):
            data[:, at] &= 0xBF
        values = gguf.quants.dequantize(data, kind).astype(numpy.float32)
        told[kind.name] = {"bytes": data.tobytes().hex(), "values": values.tobytes().hex()}
    return told


if __name__ == "__main__":
    told = {"prompt": PROMPT, "blocks": blocks(), "runs": {case[0]: run(*case) for case in CASES}}
    (HERE / "runs.json").write_text(json.dumps(told, indent=1) + "\n")
