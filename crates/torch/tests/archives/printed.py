"""Writes hooked.json: which classes tools hook; and printed.json: what tools print for the modules of families.py and hooked.py, by the conventions that stand for them.

Run in the environment of tests/conventions/observe.py. FlopCounterMode is left out, which families.py runs with
gradients: without, an encoder layer of torch.nn is one operator that it does not know, and no export has.
"""

import json
import pathlib
import sys

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[3] / "tests/conventions"))

import families
import hooked
from observe import isolated
from tools import TOOLS

FIGURES = {
    "fvcore": {"fvcore": "total"},
    "thop": {"thop": "macs"},
    "ultralytics-thop": {"ultralytics-thop": "macs"},
    "ptflops": {"ptflops": "macs"},
    "ptflops-aten": {"ptflops-aten": "macs"},
    "calflops": {"calflops": "flops", "calflops-macs": "macs"},
    "deepspeed": {"deepspeed": "flops", "deepspeed-macs": "macs"},
    "torchinfo": {"torchinfo": "mult_adds"},
}


def cases():
    """Each module with an argument of 3 items, of 7 tokens where it has any."""
    yield "encoder_layer", families.layer(), torch.randn(3, 7, 32), "bn"
    yield "equations", families.Equations(), torch.randn(3, 7, 16), "bn"
    yield "einsums", families.Einsums(), torch.randn(3, 7, 16), "bn"
    for name, build in families.FAMILIES.items():
        module, rest = build()
        for key, value in rest.items():
            setattr(module.config, key, value)
        _, draw, _, symbols = families.ARGUMENTS.get(name, families.IDS)
        yield name, module, draw(3, 7), symbols
    for name, module, x in hooked.cases():
        yield name, module, x, ""


def classes(table):
    """The classes of a table of hooks; containers count nothing of their own, and bases are no classes of modules."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Identity)
    known = [of for of in table if of not in containers and not of.__name__.startswith("_")]
    return sorted({f"{of.__module__}.{of.__qualname__}" for of in known})


def hooks():
    """The classes that each tool has a hook for that may count."""
    import calflops.pytorch_ops
    import deepspeed.profiling.flops_profiler.profiler as deepspeed
    import ptflops.pytorch_ops
    from thop.profile import register_hooks

    return {
        "thop": classes(register_hooks),
        "ptflops": classes(ptflops.pytorch_ops.MODULES_MAPPING),
        "calflops": classes(calflops.pytorch_ops.MODULE_HOOK_MAPPING),
        "deepspeed": classes(deepspeed.MODULE_HOOK_MAPPING),
    }


def main():
    torch.set_num_threads(1)  # A process that has threads must not fork.
    with FlopCounterMode(display=False):  # PyTorch imports here what every child needs.
        torch.ones(1) + 1
    (HERE / "hooked.json").write_text(json.dumps(isolated(lambda *_: hooks(), None, [], 1), indent=1) + "\n")
    printed = {}
    for name, module, x, symbols in cases():
        printed[name] = {"sizes": dict(zip(symbols, [3, 7])), "tools": {}}
        for tool, figures in FIGURES.items():
            said = isolated(TOOLS[tool], module.eval(), [x], 1)
            printed[name]["tools"] |= {of: said.get(figure, said.get("error")) for of, figure in figures.items()}
    (HERE / "printed.json").write_text(json.dumps(printed, indent=1) + "\n")


if __name__ == "__main__":
    main()
