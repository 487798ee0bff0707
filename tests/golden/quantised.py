"""Writes `quantised.json`: bytes of quantised models as `transformers` and bitsandbytes keep them.

    python quantised.py

Needs bitsandbytes 0.50.2 beside requirements.txt.
"""

import json
import pathlib

import bitsandbytes.functional
import torch
import transformers
from transformers.integrations.finegrained_fp8 import replace_with_fp8_linear
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

SMALL = {
    "hidden_size": 192,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 130,
    "max_position_embeddings": 64,
}
MOE = {"head_dim": 64, "moe_intermediate_size": 128, "num_experts": 3, "num_experts_per_tok": 2}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}

CASES = [
    ("LlamaForCausalLM", SMALL, FP8 | {"weight_block_size": [128, 128]}),
    ("Qwen3ForCausalLM", SMALL | {"head_dim": 64}, FP8 | {"weight_block_size": [64, 96]}),
    ("Qwen2ForCausalLM", SMALL | {"tie_word_embeddings": True}, FP8),
    ("LlamaForCausalLM", SMALL,
     FP8 | {"weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head", "model.layers.1.mlp", "v_proj"]}),
    ("Qwen3MoeForCausalLM", SMALL | MOE,
     FP8 | {"weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head", "mlp.gate"]}),
    ("LlamaForCausalLM", SMALL, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    ("Qwen2ForCausalLM", SMALL,
     {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}),
    ("LlamaForCausalLM", SMALL, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
]


def held(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def fp8(model, quantisation):
    names = quantisation.get("modules_to_not_convert") or get_keys_to_not_convert(model)
    settings = {key: value for key, value in quantisation.items() if key not in ("quant_method", "fmt")}
    config = transformers.FineGrainedFP8Config(**({"weight_block_size": None} | settings))
    replace_with_fp8_linear(model, modules_to_not_convert=names, quantization_config=config)
    every = dict(model.named_parameters())
    # What is not quantised is in the type of the configuration, also what the library made in another.
    own = [p for name, p in every.items() if p.dtype == torch.float8_e4m3fn or "scale_inv" in name]
    rest = [p for p in every.values() if all(p is not q for q in own)]
    return held(own) + 2 * sum(p.numel() for p in rest)


def four_bits(weight, nested):
    packed, state = bitsandbytes.functional.quantize_4bit(
        torch.randn(weight.shape), blocksize=64, compress_statistics=nested, quant_type="nf4"
    )
    tensors = [packed, state.absmax, state.code]
    if nested:
        tensors += [state.state2.absmax, state.state2.code, state.offset]
    return held(tensors)


def bitsandbytes_bytes(model, quantisation):
    names = get_keys_to_not_convert(model)
    total, seen = 0, 0
    for name, module in model.named_modules():
        if type(module) is torch.nn.Linear and should_convert_module(name, names):
            seen += module.weight.numel()
            if quantisation.get("load_in_4bit"):
                total += four_bits(module.weight, quantisation.get("bnb_4bit_use_double_quant", False))
            else:
                values, scales, _ = bitsandbytes.functional.int8_vectorwise_quant(torch.randn(module.weight.shape))
                total += held([values, scales.float()])
    return total + 2 * (sum(p.numel() for p in model.parameters()) - seen)


def main():
    cases = []
    for name, config, quantisation in CASES:
        made = getattr(transformers, name)
        config = made.config_class(**config)
        with torch.device("meta"):
            model = made(config)
        count = fp8 if quantisation["quant_method"] == "fp8" else bitsandbytes_bytes
        said = config.to_diff_dict() | {
            "architectures": [name],
            "dtype": "bfloat16",
            "quantization_config": quantisation,
        }
        cases.append({"config": said, "bytes": count(model, quantisation)})
    (pathlib.Path(__file__).parent / "quantised.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
