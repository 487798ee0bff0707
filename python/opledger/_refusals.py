"""What PyTorch does not export, told in one message with the line. Imported only where there is torch."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator
from unittest import mock

import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ._binary import ExportError
from ._call import Call, Size, numbers_of
from ._written import call_written

_OWN = str(Path(__file__).parent)


def is_users(path: str) -> bool:
    """Whether a file is the model's: none of PyTorch, of Python or of this package."""
    library = sysconfig.get_path("stdlib")
    if path.startswith((str(Path(torch.__file__).parent), _OWN, "<")) or not os.path.exists(path):
        return False
    return not path.startswith(library) or "site-packages" in path


def _place(frames: traceback.StackSummary) -> str:
    """The innermost line that is no line of PyTorch, of those that the export runs."""
    within = max((i for i, frame in enumerate(frames) if frame.filename.startswith(_OWN)), default=-1)
    users = [frame for frame in frames[within + 1 :] if is_users(frame.filename)]
    if not users:
        return ""
    frame = users[-1]
    return f"\n  {frame.filename}:{frame.lineno} in {frame.name}\n    {frame.line}"


def refusal(error: Exception, model: torch.nn.Module, call: Call, enlarged: set[str]) -> ExportError:
    """PyTorch's refusal as one message."""
    stack = traceback.extract_tb(error.__traceback__)
    place, frames = _place(stack), {frame.name for frame in stack}
    kind = type(error).__name__
    text = str(error).strip().split("\n")[0] or kind
    listed = numbers_of(call)
    multiples = re.findall(r"^ *(\w+) = (\d+)\*_?\w+$", str(error), flags=re.MULTILINE)
    unknown = re.search(r"(?:Found|Unsupported input type) <class '([^']+)'>", text)
    if multiples:
        names = {size.told.__name__: size for size in call.sizes if size.told is not None}
        text = text.split("!")[0].replace("Constraints violated", "not every size does for")
        ways = (f'{by}*Dim("{name.lstrip("_")}")' for name, by in multiples)
        mend = f"multiples of a size do: {', '.join(dict.fromkeys(ways))}" if names else ""
    elif "_detect_is_causal_mask" in frames:
        text = "nn.Transformer looks into the mask to see whether it is causal"
        mend = "say so in the call: is_causal=True, of nn.Transformer tgt_is_causal=True (False where it is not)"
    elif kind == "GuardOnDataDependentSymNode":
        text = "it decides by the value of a tensor"
        mend = (
            "write the choice with torch.where or torch.cond, or make it by an argument that is no "
            "tensor"
        )
    elif "numpy" in text:
        text = "it leaves PyTorch for numpy"
        mend = "write the line with operations of PyTorch"
    elif unknown and unknown[1].endswith("Cache"):
        text = f"it returns a `{unknown[1].rpartition('.')[2]}`"
        mend = (
            "leave use_cache and past_key_values out; tokens that a cache holds are counted by the configuration: "
            "count(model.config).at(n=1, p=128)"
        )
    elif unknown:
        text = f"it {'returns' if 'in output' in text else 'is given'} a `{unknown[1].rpartition('.')[2]}`"
        mend = (
            "PyTorch looks into tuples, lists, dictionaries and dataclasses: pass and return its tensors in one of "
            "these, or register the class by torch.utils._pytree.register_pytree_node"
        )
    elif listed is not None:
        mend = f"`{listed}` is a list of numbers: give a tensor, torch.tensor({listed})"
    elif "meta" in text and "kernel" in text:
        mend = "an operation has no rule for shapes: register one with torch.library.register_fake"
    else:
        mend = "see whether the model runs on these inputs; `torch.export.draft_export` says more"
    if enlarged:
        sizes = ", ".join(sorted(enlarged))
        mend += f". The size 1 of {sizes} was tried as 2: give an example of at least 2"
        written = call_written(call, dict.fromkeys(enlarged, 2))
        mend += f", such as\n  {written}" if written else ""
    return ExportError(f"`{type(model).__name__}` cannot be exported: {text}{place}\n  {mend}")


@contextmanager
def rounds(places: list[str]) -> Iterator[None]:
    """Notes the lines of the model where `int` makes a number of a size with a fraction, for a while."""
    number = torch.SymFloat.__int__

    def watched(self: Any) -> int:
        frame = sys._getframe(1)
        if is_users(frame.f_code.co_filename):
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return number(self)

    with mock.patch.object(torch.SymFloat, "__int__", watched):
        yield


def _recurrent() -> Iterator[str]:
    """The class of the recurrent module that runs, if one does."""
    frame = sys._getframe(1)
    while frame is not None:
        own = frame.f_locals.get("self")
        if isinstance(own, torch.nn.RNNBase):
            yield type(own).__name__
        frame = frame.f_back  # type: ignore[assignment]


def specialised(
    model: torch.nn.Module, call: Call, size: Size, enlarged: set[str], export: Callable[..., Any]
) -> ExportError:
    """That a size which may have any value has one alone, and the line for which it has."""
    places: list[str] = []
    recurrent: list[str] = []
    evaluate = ShapeEnv._set_replacement

    def watched(self: Any, symbol: Any, target: Any, *rest: Any, **more: Any) -> None:
        if getattr(target, "is_number", False):
            places.append(_place(traceback.extract_stack()[:-1]))
            recurrent.extend(_recurrent())
        evaluate(self, symbol, target, *rest, **more)

    # PyTorch keeps the line of a guard only where it is one of its own.
    with mock.patch.object(ShapeEnv, "_set_replacement", watched):
        try:
            export(model, call, enlarged, [size])
        except Exception:  # What was seen until then is told.
            pass
    places = [place for place in places if place]
    if recurrent:
        return ExportError(
            f"`{type(model).__name__}` works for {size.name} = {size.example} alone ({size}): PyTorch's export unrolls "
            f"nn.{recurrent[0]}, step by step\n"
            f"  leave {size.name} out of `dynamic` and count it at each length"
        )
    fixed = 2 if size.name in enlarged else size.example
    change = "change the line so that it takes any size" if places else "change the model so that it takes any size"
    return ExportError(
        f"`{type(model).__name__}` works for {size.name} = {fixed} alone ({size})"
        f"{places[0] if places else ''}\n"
        f"  leave {size.name} out of `dynamic` to count at this size, or {change}"
    )
