"""Writes `defaults.json`: parameters of models of which the configuration lacks a key.

    python defaults.py

For the first checkpoint of each family and each key of its configuration that is a number, a flag or null: the
parameters that `transformers` gives the model without the key; null where it makes none.
"""

import json
import logging
import pathlib
import warnings

import torch
import transformers

from models import WITH_TEXT, untie

HERE = pathlib.Path(__file__).parent
KEPT = ("model_type", "architectures", "torch_dtype", "dtype", "transformers_version")


def parameters(config):
    (name,) = config["architectures"]
    architecture = getattr(transformers, name)
    try:
        with torch.device("meta"):
            own = architecture.config_class
            model = architecture(own.from_dict(own._decode_special_floats(config)))
        untie(model, config)
    except Exception:
        return None
    return sum(parameter.numel() for parameter in model.parameters())


def main():
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    found, families = {}, set()
    for folder in sorted((HERE / "models").iterdir()):
        config = json.loads((folder / "config.json").read_text())
        if config["model_type"] in [*families, *WITH_TEXT] or parameters(config) is None:
            continue
        families.add(config["model_type"])
        found[folder.name] = {
            key: parameters({own: value for own, value in config.items() if own != key})
            for key, value in config.items()
            if key not in KEPT and (value is None or isinstance(value, (bool, int, float)))
        }
    (HERE / "defaults.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
