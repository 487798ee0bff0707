"""Why two tools print different numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ._table import Table


@dataclass(frozen=True)
class Line:
    """One reason for which two numbers differ."""

    what: str
    difference: int
    first: int
    second: int
    reason: str | None


class Explanation:
    """Why two conventions give different numbers; prints itself as a table."""

    def __init__(self, name: str, record: Mapping[str, Any]) -> None:
        self.name = name
        first, second = record["conventions"]
        #: The names of both conventions, with their versions.
        self.conventions: tuple[str, str] = (first["name"], second["name"])
        #: Their numbers.
        self.totals: tuple[int, int] = (first["total"], second["total"])
        #: The first less the second.
        self.difference: int = record["difference"]
        #: What of the difference no line accounts for.
        self.unaccounted: int = record["unaccounted"]
        #: The reasons.
        self.lines: tuple[Line, ...] = tuple(
            Line(l["what"], l["difference"], l["first"], l["second"], l["reason"])
            for l in record["lines"]
        )
        self.notes: tuple[str, ...] = tuple(record.get("notes", ()))

    def table(self) -> Table:
        """As a table."""
        first, second = self.conventions
        most = max((abs(line.difference) for line in self.lines), default=0)
        return Table(
            title=f"{self.name}: {first} {self.totals[0]:,}, {second} {self.totals[1]:,}",
            head=["what", "difference", first, second, "why"],
            rows=[
                [l.what, f"{l.difference:,}", f"{l.first:,}", f"{l.second:,}", l.reason or "not known"]
                for l in self.lines
            ],
            numbers=frozenset((1, 2, 3)),
            bars=[abs(line.difference) / most if most else 0.0 for line in self.lines],
            below=[
                f"difference: {self.difference:,}; accounted for: "
                + ("all of it" if self.unaccounted == 0 else f"all but {self.unaccounted:,}"),
                *self.notes,
            ],
        )

    def __repr__(self) -> str:
        if not self.lines:
            return "\n".join((f"{self.name}: {' and '.join(self.conventions)} both print {self.totals[0]:,}", *self.notes))
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()
