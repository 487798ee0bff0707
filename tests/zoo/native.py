"""Holds Opledger's own graphs against exports of the same models of `transformers`, class by class.

    env/bin/python native.py [CASE ...] [--opledger FILE] [--write]

The models are those of tests/golden/models, loaded as a user loads them and exported with open sizes; the environment
is that of zoo.py. At several sizes the two graphs count the same operations of each class, but for those of REASONS:
the nodes that a reason names are taken out of both, and what is left must be equal. native.json has what each reason
is worth in each model; --write writes it anew, otherwise a difference to it is told and the exit code is 1.
"""

import argparse
import json
import pathlib
import re
import sys
import tempfile

import torch
import transformers

from zoo import HERE, ask

CASES = HERE.parents[0] / "golden/models"
SIZES = [{"b": 1, "n": 5, "m": 6}, {"b": 2, "n": 8, "m": 9}, {"b": 3, "n": 11, "m": 4}]
#: The least table of positions among the cases has 16 rows.
MOST = 14

#: A pattern that finds nothing.
NONE = r"(?!)"

#: What is counted in one of the two alone, or differently: why, and the paths of the nodes in each.
REASONS = [
    ("an RMSNorm of `transformers` multiplies by 1/√, ours divides by √",
     r"\.rms_norm$", r"norm\.(power|mean|shift|rsqrt|mul)(_\d+)?$"),
    ("cos and sin are multiplied by a factor that is 1 for most", r"rotary_emb\.", r"rotary_emb\."),
    ("buckets of distances are found by logarithms, ours are a table",
     NONE, r"SelfAttention\.(div|log|scale)(_\d+)?$"),
    ("a quick GELU of `transformers` multiplies by the sigmoid, ours divides by 1 + exp(−1.702·x)",
     r"\.quick_gelu$", r"activation_fn\.(scale|sigmoid|mul)(_\d+)?$"),
    ("queries are scaled, ours are where that is less than to scale the scores of what they see",
     r"decoder\.layers.*self_attn\.attention$", r"decoder\.layers.*self_attn\.(attention|scale)$"),
    ("half the sum of two heads is divided by 2, ours multiplied by ½", r"^scale$", r"^div$"),
]


class Refused(Exception):
    """Opledger does not read the export."""


def exported(folder, config, to):
    """Writes the archive of a model, and says which size each of its symbols is."""
    model = getattr(transformers, config["architectures"][0]).from_pretrained(folder, dtype="float32").eval()
    dim = torch.export.Dim.DYNAMIC
    if config["model_type"] in ("vit", "deit", "swin"):
        size = config["image_size"]
        height, width = size if isinstance(size, list) else (size, size)
        given, open_ = {"pixel_values": torch.randn(2, config["num_channels"], height, width)}, {"pixel_values": {0: dim}}
        names = {"pixel_values": ["b"]}
    else:
        has_table = any(key in config for key in ("type_vocab_size", "sinusoidal_pos_embds", "n_positions"))
        length = torch.export.Dim("n", max=MOST) if has_table else dim
        given, open_ = {"input_ids": torch.randint(3, 30, (2, 7))}, {"input_ids": {0: dim, 1: length}}
        names = {"input_ids": ["b", "n"]}
        if config["model_type"] == "t5":
            given["decoder_input_ids"], open_["decoder_input_ids"] = torch.randint(3, 30, (2, 6)), {0: dim, 1: dim}
            names = {"input_ids": ["b", "m"], "decoder_input_ids": ["b", "n"]}
        if config["model_type"] not in ("bert", "roberta", "distilbert"):
            given["use_cache"], open_["use_cache"] = False, None
    with torch.no_grad():
        program = torch.export.export(model, (), given, dynamic_shapes=open_, strict=False)
    torch.export.save(program, to)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    return {str(values[argument].shape[at]): name for argument, own in names.items() for at, name in enumerate(own)}


def nodes(command, model, sizes):
    """The nodes of a graph: path and counts by class; and the number of its parameters."""
    words = [f"--set={symbol}={size}" for symbol, size in sizes.items()]
    counted = ask(command, "count", model, *words)
    if "error" in counted:
        raise Refused(counted["error"].removeprefix("error: "))
    return [(node["path"], node["counts"]) for node in counted["nodes"]], counted["params"]["total"]


def total(nodes, pattern):
    """The counts by class of the nodes whose path a pattern finds, and the other nodes."""
    found, left = {}, []
    for path, counts in nodes:
        if re.search(pattern, path):
            found = {of: found.get(of, 0) + count for of, count in counts.items()}
        else:
            left.append((path, counts))
    return found, left


def less(a, b):
    return {of: a.get(of, 0) - b.get(of, 0) for of in {**a, **b} if a.get(of, 0) != b.get(of, 0)}


def compared(command, folder):
    """What each reason is worth at each size, by class, and what is left unexplained."""
    config = json.loads((folder / "config.json").read_text())
    with tempfile.TemporaryDirectory() as temporary:
        archive = pathlib.Path(temporary) / "model.pt2"
        symbols = exported(folder, config, archive)
        named = set(symbols.values())
        worth, unexplained = {}, []
        for at, sizes in enumerate(SIZES):
            own, own_params = nodes(command, folder, {name: sizes[name] for name in named})
            their, their_params = nodes(command, archive, {symbol: sizes[name] for symbol, name in symbols.items()})
            if own_params != their_params:
                unexplained.append(f"{own_params} parameters, {their_params} in the export")
            for why, ours, theirs in REASONS:
                (a, rest), (b, their_rest) = total(own, ours), total(their, theirs)
                if not a and ours != NONE:
                    continue
                own, their = rest, their_rest
                if difference := less(b, a):
                    worth.setdefault(why, [{} for _ in SIZES])[at] = dict(sorted(difference.items()))
            (a, _), (b, _) = total(own, ""), total(their, "")
            if difference := less(b, a):
                unexplained.append(f"at {sizes}: the export has {difference} more")
    return worth, unexplained


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=sorted(path.name for path in CASES.iterdir()))
    parser.add_argument("--opledger", default=HERE.parents[1] / "target/release/opledger")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    path, wrong = HERE / "native.json", []
    known = json.loads(path.read_text()) if path.exists() else {}
    for case in chosen.cases:
        try:
            worth, unexplained = compared(chosen.opledger, CASES / case)
        except Refused as problem:
            worth, unexplained = {f"not compared: {problem}": [{}]}, []
        print(case, "equal" if not worth else "; ".join(f"{why}: {of[0]}" for why, of in worth.items()), flush=True)
        wrong += [f"{case}: {text}" for text in unexplained]
        if chosen.write:
            known[case] = worth
        elif known.get(case) != worth:
            wrong.append(f"{case}: {worth}, and native.json has {known.get(case)}")
    if chosen.write:
        path.write_text(json.dumps({case: known[case] for case in sorted(known)}, indent=1, ensure_ascii=False) + "\n")
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
