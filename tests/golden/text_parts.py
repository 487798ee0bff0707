"""Writes text_parts.json: parameters of models of texts within models that take images as well.

    python text_parts.py

Each configuration leaves out keys of its part, as published ones do; it is instantiated on PyTorch's meta device,
and what is no part of the model of texts is not counted.
"""

import json
import pathlib

import torch
import transformers

from models import WHOLE, WITH_TEXT

FILE = pathlib.Path(__file__).parent / "text_parts.json"
CLASSES = {"gemma3": "Gemma3", "gemma4": "Gemma4", "llama4": "Llama4", "llava": "Llava", "mistral3": "Mistral3",
           "qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL",
           "qwen3_5": "Qwen3_5", "qwen3_5_moe": "Qwen3_5Moe"}
PARTS = {
    "gemma3": [{}, {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
                    "sliding_window": 1024}],
    "gemma4": [{}, {"model_type": "gemma4_text", "hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 35,
                    "num_key_value_heads": 1, "num_kv_shared_layers": 20, "use_double_wide_mlp": True,
                    "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7}],
    "llama4": [{}, {"model_type": "llama4_text", "num_local_experts": 128, "interleave_moe_layer_step": 2}],
    "llava": [{}, {"model_type": "llama", "vocab_size": 32064, "rms_norm_eps": 1e-5}],
    "mistral3": [{}, {"model_type": "mistral", "vocab_size": 131072, "hidden_size": 5120, "num_hidden_layers": 40,
                      "intermediate_size": 32768, "head_dim": 128, "sliding_window": None}],
    "qwen2_vl": [{}, {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
                      "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
                      "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}],
    "qwen2_5_vl": [{}, {"model_type": "qwen2_5_vl_text", "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
                        "num_attention_heads": 16, "num_key_value_heads": 2}],
    "qwen3_vl": [{}, {"model_type": "qwen3_vl_text", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
                      "num_key_value_heads": 8, "rope_scaling": {"rope_type": "default", "mrope_interleaved": True,
                      "mrope_section": [24, 20, 20]}, "rope_theta": 5000000}],
    "qwen3_5": [{}, {"model_type": "qwen3_5_text", "hidden_size": 5120, "intermediate_size": 17408, "num_hidden_layers": 64,
                     "num_attention_heads": 24, "linear_num_value_heads": 48}],
    "qwen3_5_moe": [{}, {"model_type": "qwen3_5_moe_text", "num_hidden_layers": 8}],
}


def parameters(model):
    """How many the model of texts has."""
    left_out = ("vision", "visual", "projector")
    assert model.config.model_type in WHOLE + WITH_TEXT
    return sum(own.numel() for name, own in model.named_parameters() if not any(part in name for part in left_out))


def main():
    transformers.logging.set_verbosity_error()
    found = []
    for family, parts in PARTS.items():
        name = f"{CLASSES[family]}ForConditionalGeneration"
        architecture = getattr(transformers, name)
        for part in parts:
            config = {"model_type": family, "architectures": [name], "text_config": part}
            with torch.device("meta"):
                model = architecture(architecture.config_class.from_dict(config))
            found.append({"config": config, "parameters": parameters(model)})
            print(family, found[-1]["parameters"], flush=True)
    FILE.write_text(json.dumps({"transformers": transformers.__version__, "models": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
