"""Holds the numbers of operations that torchvision publishes with its weights against exports of the models.

    OPLEDGER_BIN=../../target/release/opledger PYTHONPATH=../../python env/bin/python published.py [MODEL ...]

The environment is that of zoo.py. `weights.meta["_ops"]` was made by `get_ops` of torchvision's
test/common_extended_utils.py: multiply-accumulates of mm, addmm, bmm and convolution, those on padding included, for one
image of the size that the weights want, in units of 10⁹ with three digits. That is half of what the convention
`torch-flop-counter` counts. Models are built without elements. The exit code is 1 where a printed digit differs. Without
names all classification models are read, and published.md is the result.
"""

import argparse
import pathlib
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


def report(rows):
    """The result as Markdown."""
    equal = sum(own == published for *_, own, published in rows)
    told = [
        "# What torchvision publishes, of exports of its models", "",
        f"Written by `python tests/zoo/published.py` with torch {torch.__version__.split('+')[0]} and torchvision "
        f"{torchvision.__version__.split('+')[0]}: for {equal} of {len(rows)} weights of all {len({row[0] for row in rows})} "
        "classification models the published `_ops`, 10⁹ multiply-accumulates for one image, and the published number of "
        "parameters are what the exported model is counted to have, to the last printed digit.", "",
        "| model | weights | image | 10⁹ macs | parameters | published |",
        "|---|---|--:|--:|--:|---|",
    ]
    for name, weights, size, own, published in rows:
        counts = f"{own[0]:.3f} | {own[1]:,}" if isinstance(own, list) else f"{own} |"
        same = "the same" if own == published else f"{published[0]:.3f}, {published[1]:,}"
        told.append(f"| {name} | {weights} | {size} | {counts} | {same} |")
    return "\n".join([*told, ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*")
    torch.set_num_threads(1)  # A process that has threads must not fork.
    chosen, rows = parser.parse_args().models, []
    for name in chosen or models.list_models(module=models):
        known = {}
        for weights in models.get_model_weights(name):
            size = weights.transforms().crop_size[0]
            if size not in known:
                known[size] = isolated(lambda *_: counted(name, size), None, None, 1)
            own, meta = known[size], weights.meta
            given = [round(own["macs"] / 1e9, 3), own["params"]] if "macs" in own else own["error"]
            rows.append((name, weights.name, size, given, [meta["_ops"], meta["num_params"]]))
            published = "" if given == rows[-1][-1] else f"published: {rows[-1][-1]}"
            print(f"{name:20} {weights.name:22} {size:4} {given} {published}", flush=True)
    wrong = sum(given != published for *_, given, published in rows)
    print(f"{len(rows) - wrong} of {len(rows)} equal")
    if not chosen:
        (pathlib.Path(__file__).parent / "published.md").write_text(report(rows))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
