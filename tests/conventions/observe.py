"""Writes observed.json: what tools that count operations print for the modules of cases.py.

    python3.11 -m venv env && env/bin/pip install torch==2.15.0 wheel setuptools
    env/bin/pip install --no-build-isolation -r requirements.txt
    env/bin/pip install --no-deps --target ultralytics ultralytics-thop==2.1.6   # its package is named thop as well
    ULTRALYTICS_THOP=ultralytics env/bin/python observe.py [--case NAME ...] [--tool NAME ...]

Each tool meets each case in a process of its own, forked before any tool is imported, since tools patch PyTorch.
Given names, only those are run, and other records stay. A tool that fails is recorded with its error.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import select
import signal
import sys
import warnings

import onnx
import onnxscript
import timm
import torch
import torchvision
import transformers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import modules
from cases import CASES
from tools import TOOLS

OUT = pathlib.Path(__file__).parent / "observed.json"
LIMIT = 600
PACKAGES = ["torch", "numpy", "transformers", "timm", "torchvision", "fvcore", "thop", "ptflops", "calflops",
            "deepspeed", "torchinfo", "torchlens", "onnx-tool", "onnx", "onnxscript"]


def build(source, **names):
    """Module and arguments, from the line of Python that names them; every parameter is drawn.

    Parameters that start as nought or one would let an exporter drop the operations that they belong to.
    """
    torch.manual_seed(0)
    module, args = eval(source, {"torch": torch, "nn": nn, **vars(modules), **names})
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.02, 0.02)
    return module, args


def answer(tool, module, args, threads):
    torch.set_num_threads(threads)
    with open(os.devnull, "w") as void, contextlib.redirect_stdout(void), contextlib.redirect_stderr(void):
        warnings.simplefilter("ignore")
        try:
            return tool(module, args)
        except BaseException as error:
            return {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0]}


def isolated(tool, module, args, threads=os.cpu_count()):
    """What a tool says, in a process of its own."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(theirs, "w") as end:
            json.dump(answer(tool, module, args, threads), end)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as end:
        if not select.select([end], [], [], LIMIT)[0]:
            os.kill(child, signal.SIGKILL)
        text = end.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": f"no answer within {LIMIT} s, or not enough memory"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", nargs="*", default=list(CASES))
    parser.add_argument("--tool", nargs="*", default=list(TOOLS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # A process that has threads must not fork.
    with FlopCounterMode(display=False):  # PyTorch imports here what every child needs.
        torch.ones(1) + 1
    saved = json.loads(OUT.read_text()) if OUT.exists() else {"cases": []}
    known = {case["name"]: case for case in saved["cases"]}
    versions = {package: importlib.metadata.version(package) for package in PACKAGES} | {"ultralytics-thop": "2.1.6"}
    for name in chosen.case:
        case = CASES[name]
        module, args = build(case["source"])
        record = {"name": name, **case, "params": sum(p.numel() for p in module.parameters())}
        tools = known.get(name, {}).get("tools", {})
        for tool in chosen.tool:
            tools[tool] = isolated(TOOLS[tool], module, args)
            print(name, tool, tools[tool].get("error", ""), file=sys.stderr, flush=True)
        known[name] = record | {"tools": {tool: tools[tool] for tool in TOOLS if tool in tools}}
        cases = [known[name] for name in CASES if name in known]
        OUT.write_text(json.dumps({"versions": versions, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
