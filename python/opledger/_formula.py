"""Closed forms, as the command writes them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping

from ._binary import OpledgerError, whole
from ._definition import Definitions, latex_symbol
from ._definition import latex as latex_definition

if TYPE_CHECKING:
    import sympy

_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_FACTOR = re.compile(r"([^⁰¹²³⁴⁵⁶⁷⁸⁹]+)([⁰¹²³⁴⁵⁶⁷⁸⁹]*)")
_NUMBER = re.compile(r"\d+(/\d+)?")

Monomial = tuple[tuple[str, int], ...]
"""Symbols with their exponents, as they are written."""


def _terms(text: str) -> dict[Monomial, Fraction]:
    terms: dict[Monomial, Fraction] = {}
    sign = 1
    for word in text.split(" "):
        if word in ("+", "-"):
            sign = 1 if word == "+" else -1
            continue
        coefficient = Fraction(sign)
        if word.startswith("-"):
            coefficient, word = -coefficient, word[1:]
        powers: dict[str, int] = {}
        for factor in word.split("·"):
            if _NUMBER.fullmatch(factor):
                coefficient *= Fraction(factor)
                continue
            match = _FACTOR.fullmatch(factor)
            if match is None:
                raise OpledgerError(f"`{text}` is no formula")
            power = int(match[2].translate(_DIGITS)) if match[2] else 1
            powers[match[1]] = powers.get(match[1], 0) + power
        monomial = tuple(powers.items())
        terms[monomial] = terms.get(monomial, Fraction(0)) + coefficient
    return {monomial: value for monomial, value in terms.items() if value}


def _written(terms: Mapping[Monomial, Fraction]) -> str:
    """The text of a sum, terms of the highest degree first."""
    superscripts = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    text = ""
    for monomial in sorted(terms, key=lambda m: -sum(power for _, power in m)):
        value = terms[monomial]
        factors = [s + (str(p).translate(superscripts) if p > 1 else "") for s, p in monomial]
        if abs(value) != 1 or not factors:
            factors.insert(0, str(abs(value)))
        sign = ("-" if value < 0 else "") if not text else (" - " if value < 0 else " + ")
        text += sign + "·".join(factors)
    return text or "0"


class Formula:
    """A polynomial in the sizes of a model, with exact coefficients.

    It prints itself, equals formulas with the same terms, and is called with sizes:

    >>> Formula("2·b·n² + 3·n")(b=2, n=10)
    430

    Symbols that the model defines, such as ``pairs`` of a mask, are in :attr:`definitions`, with those that stand in a
    definition. They follow from the sizes, or are given like them.
    """

    def __init__(
        self,
        text: str,
        definitions: tuple[str, ...] = (),
        evaluate: Callable[[Mapping[str, int]], int] | None = None,
        sizes: Iterable[str] = (),
        holds: Callable[[Mapping[str, int]], None] | None = None,
        meanings: Mapping[str, str] | None = None,
    ) -> None:
        #: The polynomial alone, as it is written.
        self.text = text
        self._meanings = dict(meanings or {})
        #: Refuses sizes for which it does not hold.
        self._holds = holds
        #: Those that the model has, whether they occur or not.
        self._sizes = tuple(sizes)
        self._terms = _terms(text)
        self._evaluate = evaluate
        self._written = tuple(definitions)
        self._defined = Definitions(definitions)
        #: What symbols stand for that are no sizes of inputs, and what symbols in that stand for.
        self.definitions = self._defined.of(self.symbols)

    @classmethod
    def sum(
        cls,
        formulas: Iterable[Formula],
        definitions: tuple[str, ...] = (),
        sizes: Iterable[str] = (),
        meanings: Mapping[str, str] | None = None,
    ) -> Formula:
        """The sum of formulas."""
        terms: dict[Monomial, Fraction] = {}
        written: dict[frozenset[tuple[str, int]], Monomial] = {}
        formulas = list(formulas)
        for formula in formulas:
            for monomial, value in formula._terms.items():
                monomial = written.setdefault(frozenset(monomial), monomial)
                terms[monomial] = terms.get(monomial, Fraction(0)) + value
        checks = dict.fromkeys(formula._holds for formula in formulas if formula._holds is not None)

        def holds(sizes: Mapping[str, int]) -> None:
            for check in checks:
                check(sizes)

        text = _written({m: v for m, v in terms.items() if v})
        return cls(text, definitions, sizes=sizes, holds=holds if checks else None, meanings=meanings)

    @property
    def terms(self) -> dict[Monomial, Fraction]:
        """The coefficient of each monomial."""
        return dict(self._terms)

    @property
    def symbols(self) -> dict[str, str]:
        """The symbols that occur, in order of their names, and what each counts, as far as that is known."""
        names = sorted({symbol for monomial in self._terms for symbol, _ in monomial})
        return {name: self._defined.meaning(name) or self._meanings.get(name, "") for name in names}

    def __call__(self, /, **sizes: int) -> int:
        """The value at sizes, exactly.

        Raises :class:`OpledgerError` where a size is missing, none of the model, or no whole number.
        """
        sizes = whole(sizes)
        defined = (definition.split(" = ")[0] for definition in self.definitions)
        known = tuple(dict.fromkeys((*self.symbols, *self._sizes, *defined)))
        for name in sizes:
            if name not in known:
                there = f"its sizes are {', '.join(known)}" if known else "it has no sizes"
                raise OpledgerError(f"`{name}` is no size of `{self.text}`; {there}")
        if self._holds is not None:
            self._holds(sizes)
        missing = [symbol for symbol in self.symbols if symbol not in sizes]
        if missing and self.definitions and self._evaluate is not None:
            return self._evaluate(sizes)
        if missing:
            raise OpledgerError(f"{', '.join(missing)} of `{self.text}` has no size")
        total = Fraction(0)
        for monomial, coefficient in self._terms.items():
            for symbol, power in monomial:
                coefficient *= sizes[symbol] ** power
            total += coefficient
        if total.denominator != 1:
            raise OpledgerError(f"`{self.text}` is {total} at these sizes, which is no whole number")
        return total.numerator

    def __add__(self, other: object) -> Formula:
        if isinstance(other, int):
            other = Formula(str(other))
        if not isinstance(other, Formula):
            return NotImplemented
        definitions = tuple(dict.fromkeys((*self._written, *other._written)))
        sizes = dict.fromkeys((*self._sizes, *other._sizes))
        return Formula.sum((self, other), definitions, sizes, {**other._meanings, **self._meanings})

    __radd__ = __add__

    def divided(self, by: int, evaluate: Callable[[Mapping[str, int]], int]) -> Formula:
        """A part of so many that are equal; `evaluate` has its value where sizes leave symbols open."""
        text = _written({monomial: value / by for monomial, value in self._terms.items()})
        return Formula(text, self._written, evaluate, self._sizes, self._holds, self._meanings)

    def __reduce__(self) -> tuple[Any, ...]:
        # Symbols that the model defines are to be given to a copy.
        return Formula, (self.text, self._written, None, self._sizes, None, self._meanings)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, str)):
            other = Formula(str(other))
        if not isinstance(other, Formula):
            return NotImplemented
        return self._unordered() == other._unordered()

    def __bool__(self) -> bool:
        return bool(self._terms)

    def __hash__(self) -> int:
        return hash(frozenset(self._unordered().items()))

    def _unordered(self) -> dict[frozenset[tuple[str, int]], Fraction]:
        return {frozenset(monomial): value for monomial, value in self._terms.items()}

    def sympy(self, definitions: bool = True) -> sympy.Expr:
        """The same for sympy, its symbols whole numbers that are not negative.

        What symbols stand for is put in: pairs of a mask are a sum, which ``.doit()`` works out at sizes. Without
        ``definitions`` they stay symbols, as those do of which only the contents of a mask say what they are.

        Raises :class:`OpledgerError` where sympy is not installed.
        """
        try:
            import sympy
        except ImportError:
            raise OpledgerError("sympy is not installed: `pip install sympy`") from None
        defined = [one.split(" = ")[0] for one in self.definitions]
        symbols = {
            name: sympy.Symbol(name, integer=True, nonnegative=True) for name in dict.fromkeys((*self.symbols, *defined))
        }
        values = {name: self._defined.sympy(name, symbols) for name in self.symbols} if definitions else symbols
        terms = (
            sympy.Rational(value.numerator, value.denominator)
            * sympy.prod(values[symbol] ** power for symbol, power in monomial)
            for monomial, value in self._terms.items()
        )
        return sympy.Add(*terms)

    def latex(self, definitions: bool = True) -> str:
        """The same for LaTeX, in the order in which it is written, with what its symbols stand for behind it."""
        text = ""
        for monomial, value in self._terms.items():
            factors = [latex_symbol(symbol) + (f"^{{{power}}}" if power > 1 else "") for symbol, power in monomial]
            number = abs(value)
            if number.denominator > 1:
                factors.insert(0, rf"\frac{{{number.numerator}}}{{{number.denominator}}}")
            elif number != 1 or not factors:
                factors.insert(0, str(number))
            sign = "-" if value < 0 else "+"
            text += f" {sign} " if text else sign.strip("+")
            text += r" \, ".join(factors)
        text = text or "0"
        if definitions and self.definitions:
            text += r", \quad \text{where } " + r", \; ".join(map(latex_definition, self.definitions))
        return text

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def __str__(self) -> str:
        where = f", where {'; '.join(self.definitions)}" if self.definitions else ""
        return self.text + where

    __repr__ = __str__

