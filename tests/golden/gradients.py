"""Writes gradients.json: gradients of the checkpoints in models/, by autograd in double precision.

    env/bin/python gradients.py [--check] [NAME ...]

The gradient of a result (the first of `models.OUTPUTS` that there is) is `((7·i) mod 17 - 8) / 8` at its i-th
element, and 0 at tokens that are padding. Of the gradients of all parameters that training changes, tied ones
once: `squares`, the sum of their squares; `along`, their product with the parameters; `elements`, how many
elements the parameters have that the result depends on.
"""

import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file

import models
from models_cases import CASES

FILE = pathlib.Path(__file__).parent / "gradients.json"


def seed(result, given):
    """The gradient of a result, of numbers that single precision has."""
    places = torch.arange(result.numel(), dtype=torch.float64)
    values = ((7 * places % 17 - 8) / 8).reshape(result.shape)
    mask = given.get("attention_mask")
    if mask is not None and "decoder_input_ids" not in given and values.shape[:2] == mask.shape:
        values = values * mask.reshape(mask.shape + (1,) * (values.dim() - 2))
    return values


def of(case):
    folder = models.HERE / case.name
    architecture = getattr(transformers, case.architecture)
    config = architecture.config_class(**case.config)
    left_alone = {name for name, p in architecture(config).named_parameters() if not p.requires_grad}
    given = {name: x for name, x in load_file(folder / "io.safetensors").items() if not name.startswith("expected.")}
    if "ids_shuffle" in given:
        given["noise"] = given.pop("ids_shuffle").argsort(1).double()
    model = models.load(case, folder, torch.float64)
    with models.in_double():
        models.made_in_double(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in left_alone and not name.endswith(models.CORRECTION))
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.padding_idx = None  # Whose row PyTorch gives no gradient.
        results = models.forward(model, given)
        name = next(name for name in models.OUTPUTS if name in results)
        results[name].backward(seed(results[name], given))
    pairs = [(p.grad, p.detach()) for p in model.parameters() if p.grad is not None]
    return {
        "result": name,
        "squares": sum(float((g * g).sum()) for g, _ in pairs),
        "along": sum(float((g * p).sum()) for g, p in pairs),
        "elements": sum(p.numel() for _, p in pairs),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    args = parser.parse_args()
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    found = dict(before) if args.names else {}
    for case in CASES:
        if not args.names or case.name in args.names:
            found[case.name] = of(case)
    if args.check:
        for name, values in found.items():
            for key, value in values.items():
                assert value == before[name][key] or abs(value - before[name][key]) < 1e-9 * abs(value), (name, key)
        return
    FILE.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
