"""Writes config_keys.json: for each family the keys of a configuration that the library knows.

    env/bin/python config_keys.py [--check]

Those are the attributes of its configuration's class, the other names that the class has for them, and what
the code of its models and of the masks they make asks a configuration for.
"""

import argparse
import importlib
import inspect
import json
import pathlib
import re

from transformers import __version__
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

FILE = pathlib.Path(__file__).parent / "config_keys.json"
FAMILIES = [
    "albert", "bart", "beit", "bert", "bloom", "camembert", "clip", "clip_text_model", "clip_vision_model", "cohere", "cohere2", "convnext", "deberta-v2", "deepseek_v2", "deepseek_v3", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit",
    "distilbert",
    "electra", "ernie4_5_moe", "falcon", "gemma", "gemma2", "gemma3_text", "gemma4_text", "glm", "glm4", "glm4_moe", "gpt2", "gpt_neo", "gpt_neox", "gpt_oss",
    "gptj", "granite", "granitemoehybrid", "hubert", "kimi_linear", "lfm2", "lfm2_moe", "llama", "llama4_text", "llava", "mamba2", "marian", "mbart", "minimax_m2", "mistral", "mixtral", "modernbert", "mpnet", "mt5", "nemotron_h", "olmo2", "opt",
    "pegasus", "phi", "phi3", "qwen2", "qwen2_5_vl", "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_vl", "qwen3_5_text", "qwen3_5_moe_text", "roberta", "siglip", "siglip_text_model", "siglip_vision_model", "smollm3", "starcoder2", "swin",
    "swinv2", "t5", "vit", "vit_mae", "wav2vec2", "whisper", "xlm-roberta",
]
# Families whose code stands in that of another.
CODE = {"gemma4_text": "gemma4", "clip_text_model": "clip", "clip_vision_model": "clip", "gemma3_text": "gemma3", "llama4_text": "llama4"}
CODE |= {"qwen3_5_text": "qwen3_5", "qwen3_5_moe_text": "qwen3_5_moe"}
CODE |= {"siglip_text_model": "siglip", "siglip_vision_model": "siglip"}
ASKED = re.compile(r"\bconfig\.([a-z]\w*)|getattr\((?:self\.)?config, \"([a-z]\w*)\"")


def asked(source):
    return {first or second for first, second in ASKED.findall(source)}


def parts_of_text(module):
    """The classes of a module that a model of texts is made of, where it has others."""
    classes = [own for _, own in inspect.getmembers(module, inspect.isclass) if own.__module__ == module.__name__]
    whole = re.compile(r"Vision|ForConditionalGeneration|Qwen3_5(Moe)?Model$")
    return [own for own in classes if not whole.search(own.__name__)]


def whole(module):
    """The classes of a module that join a model of images to one of texts."""
    classes = [own for _, own in inspect.getmembers(module, inspect.isclass) if own.__module__ == module.__name__]
    return [own for own in classes if re.search(r"ForConditionalGeneration$|VLModel$", own.__name__)]


def keys(family):
    config = CONFIG_MAPPING[family]()
    code = CODE.get(family, family).replace("-", "_")
    module = importlib.import_module("transformers.models.{0}.modeling_{0}".format(code))
    masks = [getattr(module, name) for name in dir(module) if re.fullmatch(r"create_\w*mask", name)]
    sources = parts_of_text(module) if family.startswith("qwen3_5") else [module]
    if family.endswith("_vl"):
        sources, masks = whole(module), []
    read = set().union(*(asked(inspect.getsource(source)) for source in [*sources, *masks]))
    methods = {name for name in read if callable(getattr(type(config), name, None))}
    known = set(config.to_dict()) | set(config.attribute_map) | read - methods
    return sorted(name for name in known if not name.startswith("_"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare with the file that is there")
    made = {"transformers": __version__, "keys": {family: keys(family) for family in FAMILIES}}
    text = json.dumps(made, indent=1) + "\n"
    if arguments.parse_args().check:
        raise SystemExit(0 if FILE.read_text() == text else f"{FILE} has other contents")
    FILE.write_text(text)


if __name__ == "__main__":
    main()
