"""Writes training.json: the losses of ten steps on checkpoints in models/, in single precision, of Adafactor in double.

    env/bin/python training.py [--check]

Of a batch of two texts of seven tokens, id `(5·i + 3) mod words` at the i-th place and label `(3·i + 1) mod
words`: cross-entropy by `torch.nn.functional`, the optimiser with a rate of 0.01 and its defaults. Of `accumulated`
the gradients of three batches are added, `(loss / 3).backward()` each; ids and labels of the j-th are j further.

`muon` is `torch.optim.Muon` of the matrices of the layers and `torch.optim.AdamW` of all else, at one rate. PyTorch
has its Newton–Schulz iterations in bf16; here they are in the type of the gradient, its one cast replaced in the text
of its own function. PyTorch's Adafactor in single precision is up to 2.5e-5 apart from itself in double precision
after ten steps, so `adafactor` is the latter, with the epsilon of single precision. `state` is how many numbers the optimiser holds, steps left out.
"""

import argparse
import inspect
import json
import pathlib

import torch
import transformers
from torch.optim import _muon

import models
from models_cases import CASES

FILE = pathlib.Path(__file__).parent / "training.json"
NAMES = ["gpt2_lm", "llama_tied_scaled", "qwen3_untied"]
MATRICES = ["llama_tied_scaled", "qwen3_untied"]
SHAPE = (2, 7)

TEXT = inspect.getsource(_muon._zeropower_via_newtonschulz)
CAST = "grad.to(dtype=torch.bfloat16, copy=True)"
assert TEXT.count("bfloat16") == TEXT.count(CAST) == 1
exec(TEXT.replace(CAST, "grad.clone()"), vars(_muon))


def adamw(model):
    return [torch.optim.AdamW(model.parameters(), lr=0.01)]


def adafactor(model):
    return [torch.optim.Adafactor(model.parameters(), lr=0.01, eps=(torch.finfo(torch.float32).eps, 1e-3))]


def muon(model):
    hidden = {name for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2}
    of = lambda own: [p for name, p in model.named_parameters() if (name in hidden) == own]
    return [torch.optim.Muon(of(True), lr=0.01), torch.optim.AdamW(of(False), lr=0.01)]


def steps(case, make, batches=1, dtype=torch.float32):
    torch.manual_seed(0)
    model = models.load(case, models.HERE / case.name, dtype).requires_grad_(True)
    words = model.config.vocab_size
    places = torch.arange(SHAPE[0] * SHAPE[1])
    optimizers = make(model)
    found = []
    for _ in range(10):
        model.zero_grad()
        total = 0.0
        for j in range(batches):
            ids, labels = ((5 * places + 3 + j) % words).reshape(SHAPE), (3 * places + 1 + j) % words
            logits = model(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, words), labels)
            (loss / batches).backward()
            total += float(loss.detach()) / batches
        for optimizer in optimizers:
            optimizer.step()
        found.append(total)
    held = [value for own in optimizers for of in own.state.values() for name, value in of.items() if name != "step"]
    return {"losses": found, "state": sum(value.numel() for value in held)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    args = parser.parse_args()
    cases = {case.name: case for case in CASES}
    found = {
        "adamw": {name: steps(cases[name], adamw) for name in NAMES},
        "accumulated": {name: steps(cases[name], adamw, 3) for name in NAMES},
        "adafactor": {name: steps(cases[name], adafactor, dtype=torch.float64) for name in MATRICES},
        "muon": {name: steps(cases[name], muon) for name in MATRICES},
    }
    if args.check:
        for way, own in json.loads(FILE.read_text()).items():
            for name, before in own.items():
                assert found[way][name]["state"] == before["state"], (way, name)
                pairs = zip(found[way][name]["losses"], before["losses"], strict=True)
                assert all(abs(a - b) < 1e-5 * abs(b) for a, b in pairs), (way, name)
        return
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
