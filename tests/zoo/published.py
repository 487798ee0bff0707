"""Holds the numbers of operations that torchvision publishes with its weights against exports of the models.

    OPLEDGER_BIN=../../target/release/opledger PYTHONPATH=../../python env/bin/python published.py [MODEL ...]

The environment is that of zoo.py. `weights.meta["_ops"]` was made by `get_ops` of torchvision's
test/common_extended_utils.py: multiply-accumulates of mm, addmm, bmm and convolution, those on padding included, for one
image of the size that the weights want, in units of 10⁹ with three digits. That is half of what the convention
`torch-flop-counter` counts. Models are built without elements. The exit code is 1 where a printed digit differs.
"""

import argparse
import sys

import opledger
import torch
import torchvision

from zoo import isolated

models = torchvision.models


def counted(name, size):
    """Multiply-accumulates by the convention, and parameters."""
    keys = {"image_size": size} if name.startswith("vit_") else {"aux_logits": False} if name == "googlenet" else {}
    try:
        with torch.device("meta"):
            model = models.get_model(name, weights=None, **keys)
    except NotImplementedError:  # RegNets work their widths out by tensors.
        model = models.get_model(name, weights=None, **keys).to("meta")
    image = torch.empty(1, 3, size, size, device="meta")
    count = opledger.count(model.eval(), (image,))
    return {"macs": count.convention("torch-flop-counter") / 2, "params": count.params}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=models.list_models(module=models))
    torch.set_num_threads(1)  # A process that has threads must not fork.
    all_, wrong = 0, []
    for name in parser.parse_args().models:
        known = {}
        for weights in models.get_model_weights(name):
            size = weights.transforms().crop_size[0]
            if size not in known:
                known[size] = isolated(lambda *_: counted(name, size), None, None, 1)
            own, meta = known[size], weights.meta
            given = [round(own["macs"] / 1e9, 3), own["params"]] if "macs" in own else own["error"]
            equal = given == [meta["_ops"], meta["num_params"]]
            all_ += 1
            print(f"{name:20} {weights.name:22} {size:4} {given} {'' if equal else 'published: '}", end="")
            print("" if equal else [meta["_ops"], meta["num_params"]], flush=True)
            wrong += [] if equal else [f"{name} {weights.name}"]
    print(f"{all_ - len(wrong)} of {all_} equal")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
