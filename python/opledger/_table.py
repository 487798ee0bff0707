"""Tables, as wide as the terminal is."""

from __future__ import annotations

import re
import shutil
import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import Iterator, Sequence

from ._binary import printable

_GAP = 2

#: Signs behind which a word may be broken.
_JOINTS = "._·,/"


def share(part: int, whole: int) -> str:
    """A part in percent, to a tenth: what is not nothing is not told as nothing."""
    tenths = (2000 * abs(part) + whole) // (2 * whole)
    shown = "< 0.1 %" if not tenths and part else f"{tenths // 10}.{tenths % 10} %"
    return f"-{shown}" if part < 0 else shown


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
    #: Titles of columns that may be left out where there is no room for all, the first one first.
    dispensable: Sequence[str] = ()
    #: Which columns are broken nowhere.
    whole: frozenset[int] = frozenset()

    def text(self, width: int | None = None) -> str:
        """The table for a terminal of so many characters.

        By default it is as wide as the terminal, and as wide as it needs to be where there is none: ``COLUMNS`` gives
        another width. Where there is no room, words are wrapped, then columns are left out and said to be, then each
        row is set as lines.
        """
        if width is None:
            width = shutil.get_terminal_size((0, 0)).columns
        page = width or None
        text = [*_wrapped(printable(self.title), page), "", *self._lines(page)]
        if self.below:
            text += ["", *(line for one in self.below for line in _wrapped(printable(one), page))]
        return "\n".join(text)

    def _lines(self, page: int | None) -> list[str]:
        rows = [[printable(cell) for cell in row] for row in (self.head, *self.rows, *([self.total] if self.total else []))]
        natural = [max(len(row[at]) for row in rows) for at in range(len(self.head))]
        least = [
            width if at in self.numbers | self.whole else max(map(_longest, (row[at] for row in rows)))
            for at, width in enumerate(natural)
        ]
        kept = list(range(len(self.head)))

        def room(widths: Sequence[int]) -> int:
            return sum(widths[at] for at in kept) + _GAP * (len(kept) - 1)

        left_out = []
        for title in self.dispensable:
            if page is not None and room(least) > page and title in self.head:
                left_out.append(title)
                kept.remove(list(self.head).index(title))
        if page is not None and room(least) > page:
            return list(self._expanded(rows, page))
        widths = list(natural)
        while page is not None and room(widths) > page:
            widest = max((at for at in kept if widths[at] > least[at]), key=lambda at: widths[at])
            widths[widest] -= 1

        def lines(row: Sequence[str]) -> Iterator[str]:
            cells = {at: _wrapped(row[at], widths[at]) for at in kept}
            for line in range(max(map(len, cells.values()))):
                parts = {at: cell[line] if line < len(cell) else "" for at, cell in cells.items()}
                set_ = (p.rjust(widths[at]) if at in self.numbers else p.ljust(widths[at]) for at, p in parts.items())
                yield (" " * _GAP).join(set_).rstrip()

        rule = (" " * _GAP).join("─" * widths[at] for at in kept)
        text = [*lines(rows[0]), rule]
        for place, row in enumerate(rows[1:]):
            if place == len(self.rows):
                text.append(rule)
            text += lines(row)
        if left_out:
            text += _wrapped(f"(no room for {', '.join(left_out)}; a wider terminal shows all)", page)
        return text

    def _expanded(self, rows: Sequence[Sequence[str]], page: int) -> Iterator[str]:
        """Each row as lines of a title and a cell."""
        head, *rows = rows
        titles = max(1, min(max(map(len, head)), (page - _GAP) // 2))
        cells = max(1, page - titles - _GAP)
        for row in rows:
            yield f"{'─' * titles}{' ' * _GAP}{'─' * cells}"
            for title, cell in zip(head, row):
                if cell:
                    left, right = _wrapped(title, titles), _wrapped(cell, cells)
                    for at in range(max(len(left), len(right))):
                        first = left[at] if at < len(left) else ""
                        second = right[at] if at < len(right) else ""
                        yield f"{first.ljust(titles)}{' ' * _GAP}{second}".rstrip()

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


def _longest(text: str) -> int:
    """How long the longest part of a text is that is not broken."""
    return max(map(len, re.findall(f"[^ {re.escape(_JOINTS)}]*[{re.escape(_JOINTS)}]?", text)))


def _wrapped(text: str, width: int | None) -> list[str]:
    """Lines of at most so many characters, broken at spaces, then after a sign that joins words, then anywhere."""
    if width is None or len(text) <= width:
        return [text]
    # Words that are too long are broken where their parts meet.
    lines: list[str] = []
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        while len(line) > width:
            joint = max(line.rfind(sign, 0, width) for sign in _JOINTS) + 1
            lines.append(line[: joint or width])
            line = line[joint or width :]
        lines.append(line)
    return lines
