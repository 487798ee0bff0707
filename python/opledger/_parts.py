"""What parts of a model compute: its modules, and lines of its source."""

from __future__ import annotations

import linecache
import os
import re
from dataclasses import dataclass
from typing import Mapping, Union

from ._formula import Formula
from ._table import Table, share

Quantity = Union[int, Formula]

#: Characters of a line of source in a table.
_WIDEST = 60


@dataclass(frozen=True)
class Module:
    """What a module computes, its children included or not as :meth:`Count.by_module` was asked."""

    #: Its path, as the model names it; empty for the model itself.
    path: str
    #: Its class, where the model was a module of PyTorch.
    type: str
    params: Quantity
    macs: Quantity
    flops: Quantity
    #: How many operations of each class, such as ``add`` and ``exp``.
    counts: Mapping[str, Quantity]


class Modules(list[Module]):
    """Modules in the order in which the model defines them, or executes them where it was no module; prints
    itself as a table.
    """

    def __init__(self, rows: list[Module], title: str) -> None:
        super().__init__(rows)
        self._title = title

    def table(self) -> Table:
        """As a table."""
        return _table(self, self._title)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


@dataclass(frozen=True)
class SourceLine:
    """What a line of the model's source computes, each time that it runs."""

    #: The file.
    file: str
    #: The line in it, from 1.
    number: int
    macs: int
    flops: int

    @property
    def text(self) -> str:
        """The line as it is written; empty where the file is not there."""
        return linecache.getline(self.file, self.number).strip()


class SourceLines(list[SourceLine]):
    """Lines of source, the one that computes most first; prints itself as a table."""

    def __init__(self, rows: list[SourceLine], title: str) -> None:
        super().__init__(rows)
        self._title = title

    def table(self) -> Table:
        """As a table."""
        whole = sum(one.flops for one in self) or 1
        rows = []
        for one in self:
            text = one.text if len(one.text) <= _WIDEST else f"{one.text[: _WIDEST - 1]}…"
            place = f"{os.path.basename(one.file)}:{one.number}"
            rows.append([place, text, _number(one.macs), _number(one.flops), share(one.flops, whole)])
        return Table(
            title=self._title,
            head=["line", "source", "macs", "flops", "share"],
            rows=rows,
            numbers=frozenset((2, 3, 4)),
            bars=[one.flops / whole for one in self],
            dispensable=("macs",),
            whole=frozenset((0,)),
        )

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def _number(value: Quantity) -> str:
    return f"{value:,}" if isinstance(value, int) else value.text


def _table(modules: list[Module], title: str) -> Table:
    known = all(isinstance(one.flops, int) for one in modules)
    whole = sum(one.flops for one in modules if isinstance(one.flops, int)) if known else 0
    shares = [one.flops / whole if whole and isinstance(one.flops, int) else 0.0 for one in modules]
    typed = any(one.type for one in modules)
    head = ["module", *(["class"] if typed else []), "params", "macs", "flops"]
    first = 2 if typed else 1
    rows = []
    for one in modules:
        row = [one.path or "(itself)", *([one.type] if typed else [])]
        row += [_number(one.params), _number(one.macs), _number(one.flops)]
        rows.append(row + ([share(one.flops, whole)] if whole and isinstance(one.flops, int) else []))
    if whole:
        head.append("share")
    return Table(
        title=title,
        head=head,
        rows=rows,
        numbers=frozenset(range(first, len(head))) if known else frozenset(),
        bars=shares if whole else None,
        # Numbers of a table are not wrapped.
        dispensable=("class", "params", "macs") if known else ("class",),
    )


class Named:
    """The modules of a model by the paths that rows have, in which equal layers are one: ``layers.*``, ``block_*``."""

    def __init__(self, classes: Mapping[str, str], nodes: list[str]) -> None:
        self._classes = classes
        self._places = {path: place for place, path in enumerate(classes)}
        self._nodes = nodes

    def place(self, path: str) -> tuple[int, int]:
        """Where a module stands in the model: one that is none of its own, after the one around it."""
        path = self._first(path)
        segments = path.split(".") if path else []
        own = ".".join(segments)
        while segments and ".".join(segments) not in self._places:
            segments.pop()
        around = ".".join(segments)
        return self._places.get(around, 0), own != around

    def type(self, path: str) -> str:
        """The class of a module, empty where it is not known."""
        return self._classes.get(self._first(path), "")

    def many(self, path: str) -> int:
        """How many modules a path stands for; 0 where that is not known."""
        many = 1
        while "*" in path:
            numbers = self._numbers(path)
            many *= len(numbers)
            path = path.replace("*", numbers[0] if numbers else "0", 1)
        return many

    def _first(self, path: str) -> str:
        """The path of the first layer of those that are one."""
        while "*" in path:
            path = path.replace("*", next(iter(self._numbers(path)), "0"), 1)
        return path

    def _numbers(self, path: str) -> list[str]:
        """What the first `*` of a path stands for: numbers of layers, without those that stand alone."""
        scope, _, rest = path.partition("*")
        numbered = re.compile(re.escape(scope) + r"(\d+)" + re.escape(rest.partition("*")[0]) + r"(\.|$)")
        numbers = dict.fromkeys(m[1] for one in self._classes if (m := numbered.match(one)))
        return [n for n in numbers if not any(node.startswith(f"{scope}{n}.") for node in self._nodes)]
