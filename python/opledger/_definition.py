"""What symbols of formulas stand for, as the command writes it: ``wy = ⌈height / 7⌉``, ``pairs = number of …``."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from ._binary import OpledgerError

if TYPE_CHECKING:
    import sympy

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_TOKEN = re.compile(r"\d+/\d+|\d+|[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[-·+/()⌈⌉⌊⌋,<≤]|[^\s·+\-/()⌈⌉⌊⌋,<≤⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_PAIRS = re.compile(r"number of \((\w+), (\w+)\) with \1 < (.+?), \2 < (.+?), (.+)")
_ROWS = re.compile(r"number of (\w+) with such a (\w+)")


class Definitions:
    """What symbols stand for, each in sizes and in symbols that are defined as well."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: dict[str, str] = {}
        #: Those that stand beside another, whose definition theirs goes on.
        self._first: dict[str, str] = {}
        for text in texts:
            parts = [part.split(" = ", 1) for part in text.split("; ") if " = " in part]
            for name, meaning in parts:
                self._texts.setdefault(name, meaning)
                if _ROWS.fullmatch(meaning):
                    self._first.setdefault(name, parts[0][0])

    def __contains__(self, name: str) -> bool:
        return name in self._texts

    def meaning(self, name: str) -> str | None:
        """What a symbol stands for, as it is written."""
        return self._texts.get(name)

    def of(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """The definitions that symbols need, those of symbols inside of them included, in their order."""
        needed: set[str] = set()
        left = [name for name in symbols if name in self]
        while left:
            name = left.pop()
            if name not in needed:
                needed.add(name)
                inner = _TOKEN.findall(self._texts[name])
                left += [one for one in (*inner, self._first.get(name, name)) if one in self]
        return tuple(f"{name} = {text}" for name, text in self._texts.items() if name in needed)

    def sympy(self, name: str, symbol: Mapping[str, sympy.Symbol]) -> sympy.Expr:
        """What a symbol stands for: itself where only the contents of a mask say that."""
        text = self._texts.get(name)
        if text is None or name not in symbol:
            return _symbol(name)
        inner = {other: own for other, own in symbol.items() if other != name}
        pairs = _PAIRS.fullmatch(self._texts[self._first.get(name, name)])
        if pairs is not None:
            return self._pairs(pairs, inner, name in self._first)
        if text.startswith("number of "):
            return symbol[name]
        return _Reader(text, lambda one: self.sympy(one, inner)).whole()

    def _pairs(self, pairs: re.Match[str], symbol: Mapping[str, sympy.Symbol], rows: bool) -> sympy.Expr:
        """How many pairs there are, or how many of the first have a second: a sum over the first."""
        import sympy

        first, second = (sympy.Symbol(pairs[at], integer=True, nonnegative=True) for at in (1, 2))
        bound = {pairs[1]: first, pairs[2]: second}

        def read(text: str) -> sympy.Expr:
            return _Reader(text, lambda one: bound[one] if one in bound else self.sympy(one, symbol)).whole()

        chain = re.split(" (<|≤) ", pairs[5])
        parts = [read(text) for text in chain[::2]]
        least, most = sympy.Integer(0), read(pairs[4]) - 1
        for left, relation, right in zip(parts, chain[1::2], parts[1:]):
            strict = 1 if relation == "<" else 0
            # One side has the second of the pair, times a number, and what is beside it.
            side = left if left.has(second) else right
            factor = side.coeff(second, 1)
            rest = sympy.expand(side - factor * second)
            if side is left:
                most = sympy.Min(most, sympy.floor((right - strict - rest) / factor))
            else:
                least = sympy.Max(least, sympy.ceiling((left + strict - rest) / factor))
        many = sympy.Max(0, most - least + 1)
        return sympy.Sum(sympy.Min(1, many) if rows else many, (first, 0, read(pairs[3]) - 1))


def _symbol(name: str) -> sympy.Symbol:
    import sympy

    return sympy.Symbol(name, integer=True, nonnegative=True)


@lru_cache(maxsize=None)
def _gcd() -> Any:
    """The greatest common divisor of whole numbers; sympy's own is that of polynomials."""
    import sympy

    class gcd(sympy.Function):  # type: ignore[misc]
        @classmethod
        def eval(cls, *of: sympy.Expr) -> sympy.Expr | None:
            known = all(one.is_Integer for one in of)
            return sympy.Integer(math.gcd(*(int(one) for one in of))) if known else None

    return gcd


class _Reader:
    """Reads an expression of sizes: a polynomial, with quotients that are rounded, `min` and `gcd`."""

    def __init__(self, text: str, value: Any) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = 0
        self._value = value

    def whole(self) -> sympy.Expr:
        value = self._sum()
        if self._at != len(self._tokens):
            raise OpledgerError(f"`{self._text}` is no expression of sizes")
        return value

    def _next(self, *wanted: str) -> str | None:
        token = self._tokens[self._at] if self._at < len(self._tokens) else ""
        if not token or wanted and token not in wanted:
            return None
        self._at += 1
        return token

    def _sum(self) -> sympy.Expr:
        value = -self._product() if self._next("-") else self._product()
        while sign := self._next("+", "-"):
            value = value + self._product() if sign == "+" else value - self._product()
        return value

    def _product(self) -> sympy.Expr:
        value = self._factor()
        while self._next("·"):
            value *= self._factor()
        return value

    def _factor(self) -> sympy.Expr:
        import sympy

        token = self._next() or ""
        if token[:1].isdecimal():
            number = Fraction(token)
            value = sympy.Rational(number.numerator, number.denominator)
        elif token == "(":
            value = self._sum()
            self._close(")")
        elif token in ("⌈", "⌊"):
            value = self._sum()
            self._close("/")
            value /= self._sum()
            value = sympy.ceiling(value) if token == "⌈" else sympy.floor(value)
            self._close("⌉" if token == "⌈" else "⌋")
        elif token in ("min", "gcd") and self._next("("):
            of = [self._sum()]
            while self._next(","):
                of.append(self._sum())
            self._close(")")
            value = sympy.Min(*of) if token == "min" else _gcd()(*of)
        elif token and token not in "·+-/)⌉⌋,<≤":
            value = self._value(token)
        else:
            raise OpledgerError(f"`{self._text}` is no expression of sizes")
        following = self._tokens[self._at] if self._at < len(self._tokens) else ""
        if following[:1] in tuple("⁰¹²³⁴⁵⁶⁷⁸⁹"):
            self._at += 1
            value **= int(following.translate(_SUPERSCRIPTS))
        return value

    def _close(self, sign: str) -> None:
        if not self._next(sign):
            raise OpledgerError(f"`{self._text}` is no expression of sizes")


_SIGNS = {
    "·": r" \, ", "+": " + ", "-": " - ", "/": " / ", ",": ", ", "<": " < ", "≤": r" \le ", "(": r"\left(", ")": r"\right)",
    "⌈": r"\left\lceil ", "⌉": r"\right\rceil", "⌊": r"\left\lfloor ", "⌋": r"\right\rfloor", "min": r"\min", "gcd": r"\gcd",
}


def latex(definition: str) -> str:
    """A definition for LaTeX."""
    name, meaning = definition.split(" = ", 1)
    pairs, rows = _PAIRS.fullmatch(meaning), _ROWS.fullmatch(meaning)
    if pairs is not None:
        conditions = meaning.split(" with ", 1)[1]
        told = rf"\#\left\{{({pairs[1]}, {pairs[2]}) \mid {_set(conditions)}\right\}}"
    elif rows is not None:
        told = rf"\text{{number of }} {rows[1]} \text{{ with such a }} {rows[2]}"
    elif meaning.startswith("number of "):
        told = rf"\text{{{meaning}}}"
    else:
        told = _set(meaning)
    return f"{latex_symbol(name)} = {told}"


def _set(text: str) -> str:
    """An expression, or several, token by token."""
    out = ""
    for token in _TOKEN.findall(text):
        if token in _SIGNS:
            out += _SIGNS[token]
        elif "/" in token:
            out += rf"\frac{{{token.split('/')[0]}}}{{{token.split('/')[1]}}}"
        elif token[0] in "⁰¹²³⁴⁵⁶⁷⁸⁹":
            out += f"^{{{token.translate(_SUPERSCRIPTS)}}}"
        else:
            out += token if token.isdecimal() else latex_symbol(token)
    return out


def latex_symbol(symbol: str) -> str:
    """A letter, or a name, which stands upright; what follows its first `_` is an index."""
    name, _, index = symbol.partition("_")
    escaped = index.replace("_", r"\_")
    upright = name if len(name) == 1 else rf"\mathrm{{{name}}}"
    return upright + (rf"_{{\mathrm{{{escaped}}}}}" if index else "")
