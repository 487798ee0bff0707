"""Writes training.json: the losses of ten steps of AdamW on checkpoints in models/, in single precision.

    env/bin/python training.py [--check]

Of a batch of two texts of seven tokens, id `(5·i + 3) mod words` at the i-th place and label `(3·i + 1) mod
words`: cross-entropy by `torch.nn.functional`, `torch.optim.AdamW` with a rate of 0.01 and its defaults.
"""

import argparse
import json
import pathlib

import torch
import transformers

import models
from models_cases import CASES

FILE = pathlib.Path(__file__).parent / "training.json"
NAMES = ["gpt2_lm", "llama_tied_scaled", "qwen3_untied"]
SHAPE = (2, 7)


def losses(case):
    torch.manual_seed(0)
    model = models.load(case, models.HERE / case.name, torch.float32).requires_grad_(True)
    words = model.config.vocab_size
    places = torch.arange(SHAPE[0] * SHAPE[1])
    ids, labels = ((5 * places + 3) % words).reshape(SHAPE), (3 * places + 1) % words
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    found = []
    for _ in range(10):
        optimizer.zero_grad()
        logits = model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, words), labels)
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    args = parser.parse_args()
    found = {case.name: losses(case) for case in CASES if case.name in NAMES}
    if args.check:
        for name, before in json.loads(FILE.read_text()).items():
            assert all(abs(a - b) < 1e-5 * abs(b) for a, b in zip(found[name], before, strict=True)), name
        return
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
