"""Writes flops.json: what PyTorch's FlopCounterMode counts in published models, without memory for them.

    python flops.py [--check] [name ...]

Presets of families that take token ids alone are instantiated on PyTorch's meta device and run once over one
text of 128 tokens, of an encoder and a decoder over two; those of families of images over one image of the size that
they were made for, of sounds over one sound and a text, or over so many samples,
those of both over one text of all their positions and one image, or of one image and 128 tokens; an image that is cut into patches
takes the rows of a grid. All with eager attention and without a cache. The counter has 2 for a multiply-accumulate, leaves
no masked pair out, and has nothing for the products of experts.
"""

import argparse
import contextlib
import importlib
import json
import pathlib
from unittest import mock

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from models import token_by_token, untie

HERE = pathlib.Path(__file__).parent
PRESETS = HERE.parents[1] / "crates" / "models" / "presets"
FILE = HERE / "flops.json"
FAMILIES = [
    "bloom", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "ernie4_5_moe", "falcon", "gemma", "gemma2", "gemma3_text", "gemma4_text", "glm", "glm4", "glm4_moe", "gpt_neo", "gpt_oss", "gptj", "granite", "granitemoehybrid", "kimi_linear", "lfm2", "lfm2_moe", "llama4_text", "mamba2", "minimax_m2", "nemotron_h",
    "olmo2", "opt", "phi", "phi3", "qwen2_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_next", "smollm3", "starcoder2",
]
ENCODERS = ["albert", "deberta-v2", "modernbert", "mpnet", "xlm-roberta"]
IMAGES = ["beit", "convnext", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "swin", "swinv2", "vit", "vit_mae"]
PAIRS = ["bart", "marian", "mbart", "mt5", "pegasus"]
SOUNDS = ["whisper"]
BOTH = ["clip", "siglip"]
WITHIN = ["llava"]
# Images that are cut into patches, and the rows of a text that one takes here, down and across.
IN_GRIDS = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]
GRID = [7, 10]
WAVES = ["hubert", "wav2vec2"]
SAMPLES = 16000
TOKENS = 128


def image(config):
    size = config["image_size"]
    return torch.zeros(1, config["num_channels"], *(size if isinstance(size, list) else [size, size]))


def of_numbers(function):
    """The same on the CPU; what it gives but for the ends of windows has no elements."""

    def made(*args, **kwargs):
        with torch.device("cpu"):
            result = function(*args, **kwargs)
        if not isinstance(result, tuple):
            return result.to("meta")
        return tuple(own if function.__name__ == "get_vision_window_index" and at == 1 else own.to("meta") for at, own in enumerate(result))

    return made


def flops(config):
    (name,) = config["architectures"]
    architecture = getattr(transformers, name)
    with torch.device("meta"), contextlib.ExitStack() as stack:
        own = architecture.config_class.from_dict(config)
        model = architecture._from_config(own, attn_implementation="eager").eval().requires_grad_(False)
        untie(model, config)
        ids = torch.zeros(1, TOKENS, dtype=torch.long)
        # Without a mask a decoder of the library looks into positions, with one an encoder into the mask, and
        # neither has elements here.
        is_encoder = config["model_type"] in ENCODERS
        kwargs = {} if is_encoder else {"use_cache": False, "attention_mask": torch.ones_like(ids)}
        # A layer that convolves looks into the mask, too; of two masks that are none, nobody does.
        if config["model_type"] in ("lfm2", "lfm2_moe"):
            kwargs["attention_mask"] = {"full_attention": None, "conv": None}
        # The same; recurrences are left out, whose products the counter has of the library's chunks alone.
        if config["model_type"] in ("granitemoehybrid", "kimi_linear", "nemotron_h", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"):
            kwargs["attention_mask"] = {"full_attention": None, "linear_attention": None}
        if config["model_type"] == "mamba2":
            kwargs["attention_mask"] = None
        if config["model_type"] in PAIRS:
            kwargs = {"use_cache": False, "decoder_input_ids": ids}
        kwargs = {"pixel_values": image(config)} if config["model_type"] in IMAGES else {"input_ids": ids} | kwargs
        if config["model_type"] in SOUNDS:
            frames = torch.zeros(1, config["num_mel_bins"], 2 * config["max_source_positions"])
            kwargs = {"input_features": frames, "decoder_input_ids": ids, "decoder_attention_mask": torch.ones_like(ids),
                      "use_cache": False}
        if config["model_type"] in WAVES:
            kwargs = {"input_values": torch.zeros(1, SAMPLES)}
        if config["model_type"] in BOTH:
            length = config["text_config"]["max_position_embeddings"]
            ids = torch.zeros(1, length, dtype=torch.long)
            kwargs = {"input_ids": ids, "pixel_values": image(config["vision_config"])}
            # The texts of one family alone see those before them.
            kwargs |= {"attention_mask": torch.ones_like(ids)} if config["model_type"] == "clip" else {}
        if config["model_type"] in WITHIN:
            vision = config["vision_config"]
            rows = (vision["image_size"] // vision["patch_size"]) ** 2
            ids = torch.zeros(1, rows + TOKENS, dtype=torch.long)
            kwargs = {"input_ids": ids, "pixel_values": image(vision), "attention_mask": torch.ones_like(ids),
                      "use_cache": False}
            # Which tokens are those of images nobody can look at here.
            model.model.get_placeholder_mask = lambda ids, inputs_embeds, **_: torch.ones_like(inputs_embeds).bool()
        if config["model_type"] in IN_GRIDS:
            vision, rows = own.vision_config, GRID[0] * GRID[1]
            ids, side = torch.zeros(1, rows + TOKENS, dtype=torch.long), vision.spatial_merge_size
            pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
            # Where patches stand and which attend to one another follows from numbers, which are none here.
            grid = torch.tensor([[1, *(side * rows for rows in GRID)]], device="cpu")
            kwargs = {"input_ids": ids, "pixel_values": torch.zeros(rows * side**2, pixels), "image_grid_thw": grid,
                      "attention_mask": torch.ones_like(ids), "use_cache": False,
                      "position_ids": torch.zeros(3, *ids.shape, dtype=torch.long)}
            model.model.get_placeholder_mask = lambda ids, inputs_embeds, **_: [torch.ones_like(inputs_embeds).bool()] * 2
            if config["model_type"] == "qwen3_vl":
                model.model.language_model._deepstack_process = lambda x, *_: x
            where = importlib.import_module(f"transformers.models.{config['model_type']}.modeling_{config['model_type']}")
            for name in ["get_vision_position_ids", "get_vision_window_index", "get_vision_interpolation_indices_and_weights"]:
                if hasattr(where, name):
                    stack.enter_context(mock.patch.object(where, name, of_numbers(getattr(where, name))))
        # A warning about padding looks into the ids.
        quiet = mock.patch.object(type(model), "warn_if_padding_and_no_attention_mask", lambda *_: None)
        with quiet, token_by_token(), FlopCounterMode(display=False) as counter, torch.no_grad():
            model(**kwargs)
    counts = counter.get_flop_counts()
    # Of other families products of experts are not counted.
    left_out = (".rotary_emb", ".feed_forward.experts")
    tables = sum(sum(own.values()) for module, own in counts.items() if module.endswith(left_out))
    return counter.get_total_flops() - tables


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare with the file that is there")
    arguments.add_argument("names", nargs="*")
    options = arguments.parse_args()
    transformers.logging.set_verbosity_error()
    kept = json.loads(FILE.read_text()) if FILE.exists() else {"flops": {}}
    made = dict(kept["flops"])
    for path in sorted(PRESETS.glob("*.json")):
        config = json.loads(path.read_text())["config"]
        known = config["model_type"] in FAMILIES + ENCODERS + IMAGES + PAIRS + SOUNDS + BOTH + WAVES + WITHIN + IN_GRIDS
        if known and (not options.names or path.stem in options.names):
            made[path.stem] = flops(config)
            print(path.stem, made[path.stem], flush=True)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]}
    text = json.dumps(versions | {"tokens": TOKENS, "samples": SAMPLES, "grid": GRID, "flops": dict(sorted(made.items()))}, indent=1) + "\n"
    if options.check:
        raise SystemExit(0 if FILE.read_text() == text else f"{FILE} has other contents")
    FILE.write_text(text)


if __name__ == "__main__":
    main()
