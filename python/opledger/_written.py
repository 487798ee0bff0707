"""A call of `count` as a user writes it, for messages. Imported only where there is torch."""

from __future__ import annotations

from typing import Any, Mapping

import torch

from ._call import Call, Size

#: The longest call that a message shows.
_LONGEST = 200


def dynamic_written(sizes: list[Size], names: Mapping[str, str]) -> str:
    """``{"x": {0: "b"}}``; some names are written otherwise. Empty where an argument has no plain name."""
    if not all(size.argument.isidentifier() for size in sizes):
        return ""
    arguments = dict.fromkeys(size.argument for size in sizes)

    def dims(argument: str) -> str:
        own = (size for size in sizes if size.argument == argument)
        return ", ".join(f"{size.dim}: {names.get(size.name, repr(size.name))}" for size in own).replace("'", '"')

    return "{" + ", ".join(f'"{argument}": {{{dims(argument)}}}' for argument in arguments) + "}"


def call_written(call: Call, sizes: Mapping[str, int]) -> str:
    """``opledger.count(model, (torch.zeros(2, 9, 4),))``, the example's names having these sizes."""
    lengths = {(size.leaf, size.dim): size.length(sizes.get(size.name, size.value)) for size in call.sizes}
    number = iter(range(10**9))

    def one(leaf: Any) -> str:
        i = next(number)
        if isinstance(leaf, torch.Tensor):
            shape = ", ".join(str(lengths.get((i, dim), length)) for dim, length in enumerate(leaf.shape)) or "()"
            kind = "" if leaf.dtype == torch.float32 else f", dtype={leaf.dtype}"
            return f"torch.{'ones' if leaf.dtype == torch.bool else 'zeros'}({shape}{kind})"
        return repr(leaf) if isinstance(leaf, (int, float, str, type(None))) else "…"

    def written(value: Any) -> str:
        if type(value) is dict:
            return "{" + ", ".join(f"{key!r}: {written(part)}" for key, part in value.items()).replace("'", '"') + "}"
        if type(value) in (list, tuple):
            return _sequence([written(part) for part in value], type(value) is tuple)
        return one(value)

    texts = {name: written(value) for name, value in call.arguments.items()}
    if next(number) != len(call.leaves):
        # A container of another kind.
        return ""
    parts = ["model"]
    if call.placed and call.rest is None:
        parts.append(_sequence([texts[name] for name in call.placed], True))
    elif call.placed:
        return ""
    named = [f'"{name}": {text}' for name, text in texts.items() if name not in call.placed]
    if named:
        parts.append(f"kwargs={{{', '.join(named)}}}")
    if call.asked:
        # What PyTorch is told of a multiple is its own.
        names = {size.name: str(size.told.__name__) for size in call.sizes if hasattr(size.told, "root")}
        parts.append(f"dynamic={dynamic_written(call.sizes, names) or '…'}" if not names else "dynamic=…")
    text = f"opledger.count({', '.join(parts)})"
    return text if len(text) <= _LONGEST else ""


def _sequence(parts: list[str], is_tuple: bool) -> str:
    if not is_tuple:
        return f"[{', '.join(parts)}]"
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"

