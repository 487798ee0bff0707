"""Tables, for a terminal and for a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Sequence

from ._binary import printable


@dataclass
class Table:
    """Rows under a head, with lines of text around them."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    #: Which columns are numbers, and stand to the right.
    numbers: frozenset[int] = frozenset()
    total: Sequence[str] | None = None
    #: For each row the length of its bar, from 0 to 1.
    bars: Sequence[float] | None = None
    below: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The table for a terminal."""
        head, *rows = ([printable(cell) for cell in row] for row in (self.head, *self.rows))
        everything = [head, *rows, *([self.total] if self.total else [])]
        widths = [max(len(row[i]) for row in everything) for i in range(len(self.head))]
        rule = "  ".join("─" * width for width in widths)

        def line(row: Sequence[str]) -> str:
            cells = (
                cell.rjust(width) if i in self.numbers else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            )
            return "  ".join(cells).rstrip()

        lines = [printable(self.title), "", line(head), rule, *map(line, rows)]
        if self.total:
            lines += [rule, line(self.total)]
        if self.below:
            lines += ["", *map(printable, self.below)]
        return "\n".join(lines)

    def html(self) -> str:
        """The table for a notebook, each row with a bar."""

        def cells(row: Sequence[str], tag: str) -> str:
            aligned = (
                f'<{tag} style="text-align:{"right" if i in self.numbers else "left"}">'
                f"{escape(cell)}</{tag}>"
                for i, cell in enumerate(row)
            )
            return "".join(aligned)

        def bar(share: float) -> str:
            return (
                '<td style="text-align:left;min-width:8em"><div style="background:#4c9f70;height:0.8em;'
                f'width:{100 * share:.1f}%"></div></td>'
            )

        bars = self.bars
        body = "".join(
            f"<tr>{cells(row, 'td')}{bar(bars[i]) if bars else ''}</tr>"
            for i, row in enumerate(self.rows)
        )
        empty = "<td></td>" if bars else ""
        foot = f"<tr>{cells(self.total, 'th')}{empty}</tr>" if self.total else ""
        below = "".join(f"<div>{escape(line)}</div>" for line in self.below)
        return (
            f"<div><b>{escape(self.title)}</b><table><thead><tr>{cells(self.head, 'th')}"
            f"{'<th></th>' if bars else ''}</tr></thead><tbody>{body}{foot}</tbody></table>{below}</div>"
        )
