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
import re
import sys
from typing import Any, Mapping, Sequence

from ._binary import ExportError, Folder, OpledgerError
from ._binary import ask as _ask
from ._binary import whole as _whole
from ._explanation import Explanation, Line
from ._formula import Formula
from ._parts import Module, Modules, SourceLine, SourceLines
from ._result import Count
from ._source import Source
from ._training import Mask, Phase, Term, TrainedModule, TrainingCost

__all__ = [
    "Count",
    "Explanation",
    "ExportError",
    "Formula",
    "Line",
    "Mask",
    "Module",
    "Modules",
    "OpledgerError",
    "Phase",
    "SourceLine",
    "SourceLines",
    "Term",
    "TrainedModule",
    "TrainingCost",
    "assert_flops",
    "conventions",
    "count",
    "layers",
    "models",
    "train_cost",
]


def count(
    model: Any,
    args: Sequence[Any] | Mapping[str, Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic: Mapping[str, Any] | None = None,
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
    ``{"x": {0: "b", 1: "n"}}``, or any multiple of one, ``4 * torch.export.Dim("n")``; of an argument that holds
    several tensors those of each, ``{"batch": {"ids": {0: "b"}}, "features": [{1: "n"}, None]}``. Without it the
    first dimension of each tensor and the second of those with two or three are free where the model allows it.
    ``sizes`` are put in, beside those of the inputs. With ``partial`` operations that are not known are left out, and the count is a lower bound.

    Raises :class:`ExportError` where PyTorch does not export the module, and :class:`OpledgerError` where
    the model is not understood.
    """
    source, found = _given(model, args, kwargs, dynamic, sizes, ("--partial",) if partial else ())
    counted = Count(source, found)
    # What is wrong with the model is said here, not at the first question.
    counted._derived
    if sizes:
        return counted.at(**sizes)
    if found:
        counted._at_example()
    return counted


def train_cost(
    model: Any,
    args: Sequence[Any] | Mapping[str, Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    recompute: str = "none",
    optimizer: str | None = None,
    loss: str | None = None,
    result: str | None = None,
    dtype: str | None = None,
    state_dtype: str | None = None,
    master_dtype: str | None = None,
) -> TrainingCost:
    """Counts what a training step of a model computes: forward pass, loss, gradients of all parameters, update.

    ``model``, ``args``, ``kwargs``, ``dynamic`` and ``sizes`` are those of :func:`count`; a module is exported as it
    is in evaluation, without dropout. ``recompute`` is what is computed again for the gradients instead of being
    kept: ``"none"``, ``"selective"`` (scores and weights of attention), ``"full"`` (layers), or paths of modules with
    commas between them. ``optimizer`` is ``"sgd"``, ``"momentum"``, ``"adam"`` or ``"adamw"``; without one nothing is
    updated. ``loss`` is ``"cross-entropy"``, ``"mean-square"`` or ``"given"``, of the result that is called
    ``result``: by default cross-entropy of scores of words, else the gradient is given. Bytes are those of elements of
    the types ``dtype`` (weights, gradients, what is kept), ``state_dtype`` and ``master_dtype``.

    >>> opledger.train_cost("gpt2", sizes={"n": 1024}).model_flops
    817019486208

    Raises :class:`ExportError` where PyTorch does not export the module, and :class:`OpledgerError` where the model
    is not understood, or an operation has no gradient.
    """
    source, found = _given(model, args, kwargs, dynamic, sizes, ())
    named = (("optimizer", optimizer), ("loss", loss), ("result", result), ("dtype", dtype),
             ("state-dtype", state_dtype), ("master-dtype", master_dtype))
    options = [word for name, value in named if value is not None for word in (f"--{name}", value)]
    cost = TrainingCost(source, {**found, **_whole(sizes or {})}, recompute, options)
    # What is wrong with the model is said here, not at the first question.
    cost._answer
    return cost


def assert_flops(
    model: Any,
    args: Any = (),
    assertion: str | Sequence[str] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Count:
    """Fails unless an assertion holds, such as ``"flops <= 2.5G"`` or ``"params == 124439808"``.

    ``assert_flops("gpt2", "params == 124439808", sizes={"n": 16})`` needs no inputs. Several assertions are a list. The
    other arguments are those of :func:`count`, whose result is returned.

    Raises ``AssertionError`` with what was counted.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test.
    if isinstance(args, str) or isinstance(args, (list, tuple)) and all(isinstance(one, str) for one in args):
        if not assertion:
            args, assertion = (), args
    counted = count(model, args, kwargs, **options)
    assertions = list(assertion) if isinstance(assertion, (list, tuple)) else [assertion]
    for one in assertions:
        if not isinstance(one, str):
            raise OpledgerError(f'{one!r} is no text, and an assertion is one, such as "flops <= 2.5e9"')
    # Names may be written as attributes are.
    assertions = [re.sub(r"^\s*\w+", lambda name: name[0].replace("_", "-"), one) for one in assertions]
    if not assertions:
        raise OpledgerError('assert_flops: give an assertion, such as "flops <= 2.5e9"')
    words = [word for one in assertions for word in ("--assert", one)]
    answer = counted._source.ask("count", *counted._words, *words)
    failed = [note for note in answer.notes if note.startswith("assertion failed: ")]
    if failed or answer.code:
        raise AssertionError("\n".join((*failed, f"  {counted._title()}")))
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


def _given(
    model: Any, args: Any, kwargs: Any, dynamic: Any, sizes: Any, options: tuple[str, ...]
) -> tuple[Source, dict[str, int]]:
    """A model as a user gives it, with the sizes of the inputs."""
    for name, given in (("kwargs", kwargs), ("sizes", sizes)):
        if given is not None and not isinstance(given, Mapping):
            raise OpledgerError(f"`{name}` is a `{type(given).__name__}`, and is a dictionary of names")
    if isinstance(args, Mapping):
        args, kwargs = (), {**args, **(kwargs or {})}
    return _read(model, () if args is None else args, dict(kwargs or {}), dynamic, options)


def _read(
    model: Any, args: Sequence[Any], kwargs: dict[str, Any], dynamic: Any, options: tuple[str, ...]
) -> tuple[Source, dict[str, int]]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from . import _export

        single = not isinstance(args, (list, tuple))
        return _export.source(model, (args,) if single else tuple(args), kwargs, dynamic, options)
    _check(model, torch)
    if len(args) or kwargs or dynamic is not None:
        raise OpledgerError("inputs and `dynamic` belong to a torch.nn.Module, which this model is not")
    if isinstance(model, (str, os.PathLike)):
        text = os.fspath(model)
        if isinstance(text, str) and text.startswith("-"):
            raise OpledgerError(f"{text!r} is no model; a file of such a name is ./{text}")
        return Source(text, text, options), {}
    if hasattr(model, "to_json_string") and hasattr(model, "model_type"):
        config = json.loads(model.to_json_string(use_diff=False))
        return _configuration(config, model.model_type, options), {}
    if isinstance(model, Mapping):
        return _configuration(dict(model), str(model.get("model_type", "configuration")), options), {}
    from . import _export

    return _export.program_source(model, options), {}


def _check(model: Any, torch: Any) -> None:
    """Refuses what is no model, and says what to give instead."""
    name = getattr(model, "__qualname__", type(model).__name__)
    wanted = "give a torch.nn.Module, a configuration, a path, or a name"
    if isinstance(model, type):
        raise OpledgerError(f"`{name}` is a class: give a module of it, {model.__name__}(…)")
    if isinstance(model, Mapping):
        try:
            json.dumps(dict(model))
        except (TypeError, ValueError):
            raise OpledgerError(
                f"this `{type(model).__name__}` is no configuration, which has names, numbers and lists alone; of a "
                f"state dict give the module that it belongs to"
            ) from None
        return
    if isinstance(model, (str, os.PathLike)) and os.path.isfile(model):
        text = os.fspath(model)
        if text.endswith((".pt", ".pth", ".ckpt", ".onnx")):
            raise OpledgerError(
                f"`{text}` is no model that is opened: load it, and give the torch.nn.Module, or the `.pt2` file that "
                "torch.export.save writes of it"
            )
    if isinstance(model, (str, os.PathLike)) or hasattr(model, "to_json_string") and hasattr(model, "model_type"):
        return
    if torch is not None:
        if isinstance(model, torch.export.ExportedProgram):
            return
        owner = getattr(model, "__self__", None)
        if isinstance(owner, torch.nn.Module) and getattr(model, "__name__", "") in ("forward", "__call__"):
            raise OpledgerError(f"`{name}` is a method: give the module itself")
        if isinstance(getattr(model, "model", None), torch.nn.Module):
            raise OpledgerError(f"`{name}` is no model, but its `model` is one: {wanted}")
        if callable(model):
            raise OpledgerError(
                f"`{name}` is a function, whose parameters nobody knows: give a torch.nn.Module whose `forward` calls "
                "it, and which has the modules that it uses"
            )
    raise OpledgerError(f"`{name}` is no model: {wanted}")


def _configuration(config: dict[str, Any], name: str, options: tuple[str, ...]) -> Source:
    folder = Folder()
    path = folder.path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return Source(str(path), name, options, keeper=folder)
