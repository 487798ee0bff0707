"""Writes what FlopCounterMode counts in a training step, forward and backward: steps_drawn.json, by which the rules were
written, steps_scored.json, drawn with another seed for scoring alone, and steps_observed.json of chosen models.

    env/bin/python steps.py drawn SEED ROUNDS FILE
    env/bin/python steps.py chosen FILE

Environment and isolation are those of observe.py, the cases of `drawn` those of draw.py, every family in turn. The
gradient is that of the sum of the first result; inputs need none. `fused` is what PyTorch chooses, `math` the same under
`sdpa_kernel(SDPBackend.MATH)`, `checkpointed` where the layers of `transformers` keep what enters them alone.
"""

import importlib.metadata
import json
import pathlib
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cases import CASES
from draw import GROUPS, drawn
from observe import build, isolated

HERE = pathlib.Path(__file__).parent


def step(module, args):
    counter = FlopCounterMode(display=False)
    with counter:
        result = module.train()(*args)
        (result[0] if isinstance(result, tuple) else result).sum().backward()
    return {"total": counter.get_total_flops()}


def math(module, args):
    with sdpa_kernel(SDPBackend.MATH):
        return step(module, args)


def checkpointed(module, args):
    inner = getattr(module, "inner", module)
    if not getattr(inner, "supports_gradient_checkpointing", False):
        return {}
    inner.gradient_checkpointing_enable({"use_reentrant": False})
    return step(module, args)


WAYS = {"fused": step, "math": math, "checkpointed": checkpointed}


def observed(case):
    try:
        module, args = build(case["source"], config=case.get("config"))
    except Exception as error:
        return {**case, "error": f"{type(error).__name__}: {error}"}
    record = {**case, "params": sum(p.numel() for p in module.parameters()), "steps": {}}
    for way, count in WAYS.items():
        said = isolated(count, module, args, threads=1)
        if said:
            record["steps"][way] = said.get("total", said.get("error"))
    print(case["name"], record["steps"], file=sys.stderr, flush=True)
    return record


def small(case):
    """Whether a case is soon done."""
    return case["sizes"].get("b", 1) * case["sizes"].get("n", 1) < 4096


def chosen():
    named = [{"name": name, **case} for name, case in CASES.items() if case["model"] and small(case)]
    gpt2 = {"written": "transformers", "sizes": {"b": 1, "n": 1024}}
    return named + [
        {"name": "gpt2_b1_n1024", "model": "gpt2", **gpt2,
         "source": 'preset("sdpa", "gpt2"), [ids(1, 1024)]'},
        {"name": "gpt2_b1_n1024_eager", "model": "gpt2", **gpt2, "written": "transformers-eager",
         "source": 'preset("eager", "gpt2"), [ids(1, 1024)]'},
    ]


def main():
    what, *rest, file = sys.argv[1:]
    head = {"versions": {name: importlib.metadata.version(name) for name in ["torch", "transformers", "timm", "torchvision"]}}
    if what == "drawn":
        head, families = {"seed": rest[0], **head}, [family for group in GROUPS.values() for family in group]
        cases = [drawn(families, rest[0], at) for at in range(len(families) * int(rest[1]))]
    else:
        cases = chosen()
    torch.set_num_threads(1)  # A process that has threads must not fork.
    with FlopCounterMode(display=False):  # PyTorch imports here what every child needs.
        torch.ones(1) + 1
    lines = [json.dumps(observed(case), separators=(",", ":")) for case in cases]
    (HERE / file).write_text(json.dumps(head)[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
