"""Exact operation counts of models, as formulas in their sizes.

>>> import opledger
>>> r = opledger.count("mha:c=512,h=8")
>>> r.formula("macs")
1024·b·n² + 1048576·b·n
>>> r.at(b=8, n=4096).macs
171798691840

A module of PyTorch is exported (on the meta device where it is there, so that no weights are needed) and
read by the command ``opledger``, which this package brings. What needs no module works without PyTorch.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any, Mapping, Sequence

from ._binary import ExportError, Folder, OpledgerError
from ._binary import ask as _ask
from ._binary import sizes as _sizes
from ._formula import Formula
from ._result import Count, Explanation, Line, Module, Modules, Source, SourceLine, SourceLines

__all__ = [
    "Count",
    "Explanation",
    "ExportError",
    "Formula",
    "Line",
    "Module",
    "Modules",
    "OpledgerError",
    "SourceLine",
    "SourceLines",
    "assert_flops",
    "conventions",
    "count",
    "layers",
    "models",
]


def count(
    model: Any,
    args: Sequence[Any] | Mapping[str, Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic: Mapping[str, Mapping[int, Any]] | None = None,
    sizes: Mapping[str, int] | None = None,
    partial: bool = False,
) -> Count:
    """Counts what a model computes in a forward pass.

    ``model`` is

    * a ``torch.nn.Module``, called with ``args`` and ``kwargs``, of which shapes and types matter, and what
      masks hide; a mapping in the place of ``args``, such as what a tokenizer gives, is taken for ``kwargs``.
      A model of transformers needs none. Make a large one under ``with torch.device("meta")``, and it takes
      no memory;
    * what ``torch.export.export`` returned, or the path of a ``.pt2`` file;
    * a configuration of transformers, a ``dict`` of one, or the path of a ``config.json``;
    * the name of a published model, such as ``"llama-3.1-8b"`` (see :func:`models`), or a layer, such as
      ``"mha:c=512,h=8"`` (see :func:`layers`).

    ``dynamic`` names the dimensions of inputs that may have any size:
    ``{"x": {0: "b", 1: "n"}}``, or any multiple of one, ``4 * torch.export.Dim("n")``. Without it the first dimension of each tensor and the second of those
    with two or three are free where the model allows it. ``sizes`` are put in, beside those of the
    inputs. With ``partial`` operations that are not known are left out, and the count is a lower bound.

    Raises :class:`ExportError` where PyTorch does not export the module, and :class:`OpledgerError` where
    the model is not understood.
    """
    if isinstance(args, Mapping):
        args, kwargs = (), {**args, **(kwargs or {})}
    source, found = _read(model, args, dict(kwargs or {}), dynamic)
    if partial:
        options = (*source.options, "--partial")
        source = replace(source, options=options)
    counted = Count(source, {**found, **(sizes or {})})
    # What is wrong with the model is said here, not at the first question.
    counted._derived
    if found and not sizes:
        counted._at_example()
    return counted


def assert_flops(
    model: Any,
    args: Any = (),
    assertion: str | Sequence[str] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Count:
    """Fails unless an assertion holds, such as ``"flops <= 2.5e9"`` or ``"params == 124439808"``.

    ``assert_flops("gpt2", "params == 124439808", sizes={"n": 16})`` needs no inputs. Several assertions are a list. The
    other arguments are those of :func:`count`, whose result is returned.

    Raises ``AssertionError`` with what was counted.
    """
    if not assertion and (isinstance(args, str) or all(isinstance(one, str) for one in args)):
        args, assertion = (), args
    counted = count(model, args, kwargs, **options)
    assertions = [assertion] if isinstance(assertion, str) else list(assertion)
    if not assertions:
        raise TypeError('assert_flops: give an assertion, such as "flops <= 2.5e9"')
    words = [word for one in assertions for word in ("--assert", one)]
    answer = counted._source.ask("count", *_sizes(counted.sizes), *words)
    failed = [note for note in answer.notes if note.startswith("assertion failed: ")]
    if failed or answer.code:
        raise AssertionError("\n".join(failed) or "an assertion failed")
    return counted


def conventions() -> list[dict[str, Any]]:
    """The conventions by which tools count, for :meth:`Count.convention` and :meth:`Count.explain`."""
    return _ask("conventions").record["conventions"]


def models() -> list[dict[str, Any]]:
    """The published models that are known by name."""
    return _ask("models").record["models"]


def layers() -> list[dict[str, Any]]:
    """The kinds of layers that a text such as ``"mha:c=512,h=8"`` is made of."""
    return _ask("layers").record["kinds"]


def _read(
    model: Any, args: Sequence[Any], kwargs: dict[str, Any], dynamic: Any
) -> tuple[Source, dict[str, int]]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from . import _export

        single = isinstance(args, torch.Tensor)
        return _export.source(model, (args,) if single else tuple(args), kwargs, dynamic)
    if len(args) or kwargs or dynamic is not None:
        raise TypeError("inputs and `dynamic` belong to a torch.nn.Module")
    if isinstance(model, (str, os.PathLike)):
        text = os.fspath(model)
        return Source(text, text), {}
    if hasattr(model, "to_json_string") and hasattr(model, "model_type"):
        return _configuration(json.loads(model.to_json_string(use_diff=False)), model.model_type), {}
    if isinstance(model, Mapping):
        return _configuration(dict(model), str(model.get("model_type", "configuration"))), {}
    if torch is not None and isinstance(model, torch.export.ExportedProgram):
        from . import _export

        return _export.program_source(model), {}
    raise TypeError(
        f"`{type(model).__name__}` is no model: give a torch.nn.Module, a configuration, a path, or a name"
    )


def _configuration(config: dict[str, Any], name: str) -> Source:
    folder = Folder()
    path = folder.path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return Source(str(path), name, keeper=folder)
