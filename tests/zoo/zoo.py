"""Exports the models of models.py and holds what Opledger says of each against PyTorch and tools that count.

    python3.11 -m venv env && env/bin/pip install torch==2.15.0 wheel setuptools
    env/bin/pip install --no-build-isolation -r requirements.txt
    cargo build --release -p opledger-cli
    env/bin/python zoo.py [MODEL ...] [--cache DIR] [--opledger FILE] [--no-record]

At five random sizes each: the number of parameters, the numbers of tools by their conventions, the results of the
module, and the theorem at every node. What is not equal must stand in misses.json with its reason, and what stands
there must not be equal; otherwise the exit code is 1. record.md is the result. Archives, what modules gave and what
tools printed are kept in the cache, and made again only where a folder is missing or the versions are others.
"""

import argparse
import collections
import functools
import importlib
import importlib.metadata
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys

import numpy
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import nn
from torch.utils import _pytree as pytree

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "conventions"))

import observe
from observe import isolated
from tools import TOOLS

from models import MODELS, Case

POINTS = 5
PACKAGES = ["torch", "transformers", "torchvision", "timm", "numpy", "fvcore", "thop", "ptflops", "calflops"]
VERSIONS = {package: importlib.metadata.version(package) for package in PACKAGES}


def flop_counter(module, arguments):
    """With gradients, since layers of torch.nn are operators of their own without."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(*arguments)
    return {"total": counter.get_total_flops()}


#: Which figure of which tool a convention stands for, and what the tool imports.
CONVENTIONS = {
    "torch-flop-counter": (flop_counter, "total", "torch.utils.flop_counter"),
    "fvcore": (TOOLS["fvcore"], "total", "fvcore.nn"),
    "thop": (TOOLS["thop"], "macs", "thop"),
    "ptflops": (TOOLS["ptflops"], "macs", "ptflops"),
    "ptflops-aten": (TOOLS["ptflops-aten"], "macs", "ptflops"),
    "calflops": (TOOLS["calflops"], "flops", "calflops"),
    "calflops-macs": (TOOLS["calflops"], "macs", "calflops"),
}


class Positional(nn.Module):
    """A module whose tensors are given by position and given back flat, as tools want it."""

    def __init__(self, inner, names, given):
        super().__init__()
        self.inner, self.names, self.given = inner, names, given

    def forward(self, *tensors):
        results = tensors_of(self.inner(**dict(zip(self.names, tensors)), **self.given))
        return tuple(results) if len(results) > 1 else results[0]


def tensors_of(results):
    return [leaf for leaf in pytree.tree_leaves(results) if isinstance(leaf, torch.Tensor)]


def built(case):
    """The module, its constant parameters and statistics drawn as well."""
    torch.manual_seed(0)
    module = case.build().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim <= 1 or bool((parameter == parameter.flatten()[0]).all()):
                parameter += 0.1 * torch.randn_like(parameter)
        for path, buffer in module.named_buffers():
            if path.endswith("running_mean"):
                buffer += 0.1 * torch.randn_like(buffer)
            if path.endswith("running_var"):
                buffer *= 1 + 0.2 * torch.rand_like(buffer)
    return module


def exported(module, case: Case):
    """The program, and which size each of its symbols is."""
    sizes = {name: (least + most) // 2 + at for at, (name, (least, most)) in enumerate(case.sizes.items())}
    arguments = case.inputs(sizes) | case.given
    with torch.no_grad():
        program = torch.export.export(module, (), arguments, dynamic_shapes=case.open(arguments), strict=False)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    symbols = {}
    for argument, axes in case.axes.items():
        for axis, size in axes.items():
            if argument in arguments:
                symbols[str(values[argument].shape[axis])] = size
    return program, symbols


def at_points(tool, package, module, points):
    """What a tool says at each point, each time in a process of its own, since tools patch PyTorch."""
    importlib.import_module(package)
    return [isolated(tool, module, arguments, 1) for arguments in points]


def write(name, folder):
    """Writes the archive of a model, what it gives at sizes and what tools print for it."""
    case, module = MODELS[name], built(MODELS[name])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    program, symbols = exported(module, case)
    torch.export.save(program, folder / "model.pt2")
    specs = [spec.arg for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    outputs = [arg.name for arg in specs if isinstance(arg, torch.export.graph_signature.TensorArgument)]
    del program
    record = {"versions": VERSIONS, "symbols": symbols, "params": sum(p.numel() for p in module.parameters()), "points": []}
    points = []
    for at, sizes in enumerate(case.drawn(name, POINTS)):
        torch.manual_seed(at)
        tensors = case.inputs(sizes)
        with torch.no_grad():
            results = tensors_of(module(**tensors, **case.given))
        assert len(results) == len(outputs), (outputs, len(results))
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"{at}.in.safetensors")
        save_file({k: v.contiguous().clone() for k, v in zip(outputs, results)}, folder / f"{at}.out.safetensors")
        points.append(list(tensors.values()))
        record["points"].append({"sizes": sizes, "printed": {}})
    watched = Positional(module, list(tensors), case.given)
    for tool, package in dict.fromkeys((tool, package) for tool, _, package in CONVENTIONS.values()):
        said = isolated(functools.partial(at_points, tool, package), watched, points, 1)
        said = [said] * POINTS if "error" in said else said
        for of, (own, figure, _) in CONVENTIONS.items():
            for point, one in zip(record["points"], said):
                if own is tool:
                    point["printed"][of] = one.get(figure, one.get("error"))
    (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    return {}


def observed(name, cache):
    """What is known of a model; made first where it is not."""
    folder = cache / name
    record = folder / "record.json"
    if not record.exists() or json.loads(record.read_text())["versions"] != VERSIONS:
        # In a process of its own, which gives its memory back.
        said = isolated(lambda *_: write(name, folder), None, None, 1)
        if "error" in said:
            return folder, said
    return folder, json.loads(record.read_text())


def ask(command, *words):
    """What Opledger says, as a record, or in one line why it does not. What a mask decides is one."""
    done = subprocess.run([command, *map(str, words), "--format", "json"], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        wanted = re.findall(r"--set (\w+)=<size>", done.stderr)
        if wanted and words[0] == "count":
            return ask(command, *words, *(f"--set={symbol}=1" for symbol in wanted))
        lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
        return {"error": " ".join(line.strip() for line in lines) or f"exit code {done.returncode}"}


def difference(own, theirs):
    """The largest difference of two files of tensors, of what the largest element is."""
    worst, own, theirs = 0.0, load_file(own), load_file(theirs)
    for name, value in theirs.items():
        if name not in own or own[name].shape != value.shape:
            return math.inf
        a, b = own[name].astype(float), value.astype(float)
        # Where both are infinite they are equal.
        far = numpy.abs(numpy.where(a == b, 0, a - b))
        scale = 1 + numpy.abs(b[numpy.isfinite(b)]).max(initial=0)
        worst = max(worst, float(numpy.nan_to_num(far, nan=math.inf).max(initial=0)) / scale)
    return worst


def compare(command, folder, record, runs=POINTS):
    """For each check, how many points are equal, of how many, and the first that is not."""
    checks = collections.defaultdict(lambda: [0, 0, ""])

    def check(name, equal, otherwise):
        checks[name][1] += 1
        if equal:
            checks[name][0] += 1
        elif not checks[name][2]:
            checks[name][2] = otherwise

    model, worst = folder / "model.pt2", 0.0
    for at, point in enumerate(record["points"]):
        sizes = [f"--set={symbol}={point['sizes'][size]}" for symbol, size in record["symbols"].items()]
        where = ", ".join(f"{size}={value}" for size, value in point["sizes"].items())
        counted = ask(command, "count", model, *sizes)
        params = counted.get("params", {}).get("total", counted.get("error"))
        check("params", params == record["params"], f"{where}: {params}, and there are {record['params']}")
        told = ask(command, "count", model, *sizes, "--convention", "all")
        own = {one["name"].split("@")[0]: one["total"] for one in told.get("conventions", [])}
        refused = {one["name"].split("@")[0]: one["reason"] for one in told.get("refused", [])}
        for convention, printed in point["printed"].items():
            if isinstance(printed, str) or printed is None:
                # The tool gives no number.
                continue
            given = own.get(convention, refused.get(convention, told.get("error")))
            check(convention, given == printed, f"{where}: {given}, and {printed} is printed")
        if at >= runs:
            continue
        out = folder / "own.safetensors"
        out.unlink(missing_ok=True)
        ran = ask(command, "run", model, "--input", folder / f"{at}.in.safetensors", "--output", out)
        mismatches = ran.get("theorem", {}).get("mismatches", ran.get("error"))
        check("theorem", mismatches == 0, f"{where}: {mismatches}")
        far = difference(out, folder / f"{at}.out.safetensors") if out.exists() else math.inf
        worst = max(worst, far)
        check("outputs", far < 1e-4, f"{where}: they differ by {far:.1e}")
        out.unlink(missing_ok=True)
    return dict(checks), worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=list(MODELS), help="parts of names; all without")
    parser.add_argument("--cache", type=pathlib.Path, default=HERE.parents[1] / "target/zoo")
    parser.add_argument("--opledger", default=HERE.parents[1] / "target/release/opledger")
    parser.add_argument("--runs", type=int, default=POINTS, help="at how many of the sizes models are run")
    parser.add_argument("--no-record", action="store_true", help="leave record.md as it is")
    chosen = parser.parse_args()
    observe.LIMIT = 3600
    torch.set_num_threads(1)  # A process that has threads must not fork.
    names = [name for name in MODELS if any(part in name for part in chosen.models)]
    known = json.loads((HERE / "misses.json").read_text())
    reasons = {(model, of): miss["why"] for miss in known for model in miss["models"] for of in miss["of"]}
    rows, wrong, missed = [], [], []
    for name in names:
        folder, record = observed(name, chosen.cache)
        if "error" in record:
            checks, worst = {"export": [0, 1, record["error"]]}, math.inf
        else:
            checks, worst = compare(chosen.opledger, folder, record, chosen.runs)
        for of, (equal, all_, first) in checks.items():
            reason = reasons.pop((name, of), None)
            if equal < all_ and reason is None:
                wrong.append(f"{name}, {of}: {first}")
            if equal < all_ and reason is not None:
                missed.append((name, of, all_ - equal, reason))
            if equal == all_ and reason is not None:
                wrong.append(f"{name}, {of}: equal, and misses.json says that it is not")
        rows.append((name, record, checks, worst))
        print(line(name, checks, worst), flush=True)
    wrong += [f"{name}, {of}: nothing is compared, and misses.json has it" for name, of in reasons if name in names]
    told = report(rows, missed)
    if not chosen.no_record and len(names) == len(MODELS):
        (HERE / "record.md").write_text(told)
    print(summary(rows))
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


COLUMNS = ["params", *CONVENTIONS, "outputs", "theorem"]


def cells(checks, worst):
    """A cell for each check: how many points are equal."""
    for of in COLUMNS:
        equal, all_, _ = checks.get(of, [0, 0, ""])
        yield f"{worst:.0e}" if of == "outputs" and equal and equal == all_ else f"{equal}/{all_}" if all_ else "–"


def line(name, checks, worst):
    return f"{name:45}" + " ".join(f"{cell:>5}" for cell in cells(checks, worst)) + checks.get("export", ["", "", ""])[2]


def totals(rows):
    """Of each check, how many points are equal and how many there are."""
    return {of: [sum(checks.get(of, [0, 0])[at] for _, _, checks, _ in rows) for at in (0, 1)] for of in COLUMNS}


def summary(rows):
    shares = [f"{of} {equal} of {all_} ({100 * equal / all_:.1f} %)" for of, (equal, all_) in totals(rows).items() if all_]
    return f"{len(rows)} models: " + ", ".join(shares)


def report(rows, missed):
    """The result as Markdown."""
    versions = ", ".join(f"{package} {version}" for package, version in VERSIONS.items())
    told = [
        "# Models of PyTorch, exported and compared", "",
        f"Written by `python tests/zoo/zoo.py` with {versions}: {len(rows)} models, {POINTS} random sizes each. A cell "
        "says at how many of the sizes a number is the one that is printed, to the unit, of those at which the tool "
        "prints one; `outputs` is the largest difference to what the module gives, of its largest element (f32); "
        "`theorem` is at how many of the sizes at which it was run every node counted what its formula says.", "",
        "| model | sizes | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "--:|" * len(COLUMNS),
    ]
    for name, record, checks, worst in rows:
        sizes = ", ".join(dict.fromkeys(record.get("symbols", {}).values()))
        told.append(f"| {name} | {sizes} | " + " | ".join(cells(checks, worst)) + " |")
    all_ = [f"{equal}/{all_}" for equal, all_ in totals(rows).values()]
    told += ["| **all** | | " + " | ".join(all_) + " |", ""]
    if missed:
        told += ["What is not equal, and why:", ""]
        by = collections.defaultdict(list)
        for name, of, points, reason in missed:
            by[reason].append(f"{name} ({of}, {points})")
        told += [f"- {reason}: {'; '.join(where)}." for reason, where in by.items()]
        told.append("")
    return "\n".join(told)


if __name__ == "__main__":
    main()
