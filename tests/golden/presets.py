"""Counts the parameters of crates/models/presets/*.json in `transformers`, without memory for them.

    python presets.py [--write] [name ...]

Each configuration is instantiated on PyTorch's meta device as its architecture; parameters that are tied
count once. Without `--write` a number that differs from the file's is an error.
"""

import argparse
import json
import pathlib

import torch
import transformers

from models import untie

PRESETS = pathlib.Path(__file__).parents[2] / "crates" / "models" / "presets"


def parameters(config):
    """All parameters, and those that one token uses where experts are chosen."""
    (name,) = config["architectures"]
    architecture = getattr(transformers, name)
    assert architecture.config_class.model_type == config["model_type"], name
    with torch.device("meta"):
        model = architecture(architecture.config_class.from_dict(config))
    untie(model, config)
    every = sum(parameter.numel() for parameter in model.parameters())
    experts = sum(x.numel() for name, x in model.named_parameters() if ".experts." in name)
    names = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    count = next((config[name] for name in names if name in config), 1)
    chosen = config.get("num_experts_per_token", count)
    chosen = config.get("num_experts_per_tok", config.get("moe_k", config.get("top_k_experts", chosen)))
    return every, every - experts // max(count, 1) * (count - chosen)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--write", action="store_true", help="put the numbers into the files")
    arguments.add_argument("names", nargs="*")
    options = arguments.parse_args()
    wrong = []
    for path in sorted(PRESETS.glob("*.json")):
        if options.names and path.stem not in options.names:
            continue
        text = path.read_text()
        preset = json.loads(text)
        assert preset["name"] == path.stem, path
        every, active = parameters(preset["config"])
        said = {key: preset[key] for key in ("parameters", "active_parameters") if key in preset}
        found = {"parameters": every} | ({"active_parameters": active} if active != every else {})
        print(path.stem, *found.values(), "" if said == found else f"(the file says {said})")
        if said == found:
            continue
        wrong.append(path.stem)
        if options.write:
            lines = [line for line in text.splitlines() if not any(f'"{key}":' in line for key in found)]
            lines[3:3] = [f'  "{key}": {value},' for key, value in found.items()]
            path.write_text("\n".join(lines) + "\n")
    if wrong and not options.write:
        raise SystemExit(f"other numbers in the files: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
