"""Guards of an export: those that hold at every size are left out, the others are told as mathematics."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Mapping, Sequence, Union

import sympy
from sympy.printing.str import StrPrinter

Bounds = tuple[Any, Any]
"""The least and the greatest value: fractions, or an infinity."""


@dataclass(frozen=True)
class Input:
    """An input of a program as guards write it, such as ``L['batch']['ids']``."""

    #: What the program calls it.
    name: str
    #: Its sizes: numbers, and expressions in the program's symbols.
    sizes: Sequence[Any]


@dataclass
class Guards:
    """What is left of the guards of an export."""

    #: Comparisons in Python, of inputs by the program's own names.
    code: list[str] = field(default_factory=list)
    #: What they say, in the names of sizes.
    told: dict[str, str] = field(default_factory=dict)


#: The longest guard that is looked into.
_LONGEST = 20_000


def plain(
    code: Sequence[str], inputs: Mapping[str, Input], bounds: Mapping[Any, Bounds], names: Mapping[str, str]
) -> Guards:
    """The guards that a size may break, each once. ``bounds`` are those of the export: a least size of 2 is the
    tracer's, which sets sizes of 0 and 1 apart.
    """
    reader = _Reader(inputs, bounds, names)
    kept = Guards()
    read: list[tuple[str, ast.expr, bool]] = []
    for guard in code:
        try:
            if len(guard) > _LONGEST:
                raise _Unread
            node = ast.parse(guard.strip(), mode="eval").body
            read.append((guard, node, reader.sets_apart(node)))
        except (SyntaxError, RecursionError, _Unread):
            kept.code.append(guard)
    inferred, given = reader.bounds, bounds
    for guard, node, premise in read:
        try:
            # What others are inferred from is not inferred from itself.
            reader.bounds = dict(given) if premise else inferred
            left = reader.left(node)
        except (RecursionError, _Unread):
            kept.code.append(guard)
            continue
        parts = left.values if isinstance(left, ast.BoolOp) and isinstance(left.op, ast.And) else [left]
        for part in parts:
            if isinstance(part, bool):
                # What never holds is told as it stands.
                kept.code += [] if part else [guard]
                continue
            written, told = reader.written(part)
            if written not in kept.code:
                kept.code.append(written)
                kept.told[written] = told
    return kept


class _Unread(Exception):
    """A form that guards have and that is not looked into."""


_SIGNS = {"==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE}
_RELATIONS = {ast.Eq: "=", ast.NotEq: "≠", ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥"}


class _Reader:
    def __init__(
        self, inputs: Mapping[str, Input], bounds: Mapping[Any, Bounds], names: Mapping[str, str]
    ) -> None:
        self.inputs, self.names = inputs, names
        #: Of symbols, and of quotients of which more is known than their parts say.
        self.bounds: dict[Any, Bounds] = dict(bounds)
        #: Without what the tracer sets apart.
        self.firm = self
        if any(low == 2 for low, _ in bounds.values()):
            lowered = {size: (1 if low == 2 else low, high) for size, (low, high) in bounds.items()}
            self.firm = _Reader(inputs, lowered, names)

    # What holds.

    def left(self, node: ast.expr) -> Union[ast.expr, bool]:
        """A condition without the parts that are known, or whether it holds."""
        if isinstance(node, ast.BoolOp):
            ends = isinstance(node.op, ast.Or)
            parts: list[ast.expr] = []
            for value in node.values:
                part = self.left(value)
                if isinstance(part, bool):
                    if part is ends:
                        return ends
                elif isinstance(part, ast.BoolOp) and type(part.op) is type(node.op):
                    parts += part.values
                else:
                    parts.append(part)
            if not parts:
                return not ends
            return parts[0] if len(parts) == 1 else ast.BoolOp(node.op, parts)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            known = self.compared(node.left, node.ops[0], node.comparators[0])
            return node if known is None else known
        raise _Unread

    def compared(self, a: ast.expr, relation: ast.cmpop, b: ast.expr) -> bool | None:
        """Whether a comparison holds at every size or at none."""
        difference = sympy.expand(self.term(a) - self.term(b))
        if isinstance(relation, ast.NotEq):
            if self.is_of_tracer(difference):
                return True
        least, most = self.closest(difference)
        if isinstance(relation, (ast.Eq, ast.NotEq)):
            if least == most == 0 or least > 0 or most < 0:
                return (least == most == 0) is isinstance(relation, ast.Eq)
            return None
        least, most = self.firm.closest(difference)
        constant, rest = difference.as_coeff_Add()
        more = isinstance(relation, (ast.Gt, ast.GtE))
        apart = 1 if isinstance(relation, (ast.Gt, ast.Lt)) else 2
        if constant == (-apart if more else apart) and self.is_product(rest if more else -rest):
            # That a product of sizes is at least 2 is the tracer's again.
            low, high = self.closest(rest)
            if low >= 0 if more else high <= 0:
                return True
        holds = {
            ast.Lt: (most < 0, least >= 0),
            ast.LtE: (most <= 0, least > 0),
            ast.Gt: (least > 0, most <= 0),
            ast.GtE: (least >= 0, most < 0),
        }[type(relation)]
        return True if holds[0] else False if holds[1] else None

    def is_of_tracer(self, difference: Any) -> bool:
        """Whether that a number is not 0 says that no product of sizes is 0 or 1: sizes of 0 and 1 are told apart
        in tracing only, and what is recorded holds for them as well.
        """
        for factor in sympy.Mul.make_args(sympy.factor(difference)):
            constant, rest = factor.as_coeff_Add()
            sign, product = rest.as_coeff_Mul()
            # `t ≠ 1` for a product t of sizes, or `t ≠ 0`; of a quotient it may be a branch of the model.
            if not (constant == 0 or sign == -constant) or abs(sign) != 1 or not self.is_product(product):
                return False
        return not difference.is_number

    def is_product(self, term: Any) -> bool:
        """Whether a number is a product of sizes that inputs have."""
        own = {size for tensor in self.inputs.values() for size in tensor.sizes}
        parts = (part.as_base_exp() for part in sympy.Mul.make_args(term))
        return all(base.is_Symbol and base in own and power.is_Integer and power > 0 for base, power in parts)

    def sets_apart(self, node: ast.expr) -> bool:
        """Takes from `t ≠ 1` that a quotient t which is not 0 is at least 2; whether it says so."""
        if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.NotEq)):
            return False
        said = False
        difference = sympy.expand(self.term(node.left) - self.term(node.comparators[0]))
        for factor in sympy.Mul.make_args(sympy.factor(difference)):
            constant, rest = factor.as_coeff_Add()
            sign, quotient = rest.as_coeff_Mul()
            if abs(constant) == abs(sign) == 1 and isinstance(quotient, (sympy.floor, sympy.ceiling)):
                low, high = self.range(quotient)
                if sign == -constant and low >= 1:
                    self.bounds[quotient], said = (Fraction(2), high), True
                elif sign == constant and high <= -1:
                    self.bounds[quotient], said = (low, Fraction(-2)), True
        return said

    def closest(self, term: Any) -> Bounds:
        """Between which values a number is, by several ways to write it."""
        constant, rest = term.as_coeff_Add()
        shift = Fraction(int(constant.p), int(constant.q))
        ranges = [self.range(term), self.range(sympy.factor(term))]
        ranges.append(tuple(end + shift for end in self.range(sympy.factor(rest))))
        # A quotient that is rounded down is the quotient less a part of one.
        parts = {}
        for quotient in term.atoms(sympy.floor):
            of = quotient.args[0]
            part = sympy.Dummy(nonnegative=True)
            by = int(sympy.denom(sympy.together(of))) if sympy.denom(sympy.together(of)).is_Integer else 0
            self.bounds[part] = (Fraction(0), Fraction(by - 1, by) if by else Fraction(1))
            parts[quotient] = of - part
        if parts:
            ranges.append(self.range(sympy.expand(term.xreplace(parts))))
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def term(self, node: ast.expr) -> Any:
        """A number as an expression, in which a remainder is what a quotient leaves."""
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return sympy.Integer(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.term(node.operand)
        if isinstance(node, ast.BinOp):
            a, b = self.term(node.left), self.term(node.right)
            if isinstance(node.op, ast.Add):
                return a + b
            if isinstance(node.op, ast.Sub):
                return a - b
            if isinstance(node.op, ast.Mult):
                return sympy.expand(a * b)
            if b != 0 and isinstance(node.op, (ast.FloorDiv, ast.Mod)):
                quotient = sympy.floor(sympy.expand(a / b))
                return quotient if isinstance(node.op, ast.FloorDiv) else sympy.expand(a - b * quotient)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("torch.sym_max", "torch.sym_min") and len(node.args) == 2:
                return self.extreme(name == "torch.sym_max", *map(self.term, node.args))
        size = self.size(node)
        if size is not None:
            return sympy.Integer(size) if isinstance(size, int) else size
        raise _Unread

    def extreme(self, greatest: bool, a: Any, b: Any) -> Any:
        """The greater or the lesser of two numbers, where it is known that one."""
        least, most = self.range(sympy.factor(sympy.expand(a - b)))
        if least >= 0:
            return a if greatest else b
        if most <= 0:
            return b if greatest else a
        return sympy.Max(a, b) if greatest else sympy.Min(a, b)

    def size(self, node: ast.expr) -> Any:
        """The dimension of an input, as ``L['x'].size()[1]`` is one."""
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)):
            return None
        call = node.value
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "size"):
            return None
        tensor = self.inputs.get(ast.unparse(call.func.value))
        dim = node.slice.value
        if tensor is None or not isinstance(dim, int) or not 0 <= dim < len(tensor.sizes):
            return None
        return tensor.sizes[dim]

    def range(self, term: Any) -> Bounds:
        """Between which values a number is."""
        everything = (-math.inf, math.inf)
        if term.is_Rational:
            value = Fraction(int(term.p), int(term.q))
            return value, value
        if term in self.bounds:
            return self.bounds[term]
        of = [self.range(part) for part in term.args]
        if term.is_Add:
            return sum(low for low, _ in of), sum(high for _, high in of)
        if term.is_Mul:
            product: Bounds = (Fraction(1), Fraction(1))
            for part in of:
                ends = [_times(a, b) for a in product for b in part]
                product = min(ends), max(ends)
            return product
        if term.is_Pow and term.exp.is_Integer and (of[0][0] > 0 or of[0][1] < 0):
            ends = [_power(end, int(term.exp)) for end in of[0]]
            return min(ends), max(ends)
        if isinstance(term, (sympy.floor, sympy.ceiling)):
            to_whole = math.floor if isinstance(term, sympy.floor) else math.ceil
            low, high = of[0]
            return tuple(end if math.isinf(end) else Fraction(to_whole(end)) for end in (low, high))
        if isinstance(term, sympy.Max):
            return max(low for low, _ in of), max(high for _, high in of)
        if isinstance(term, sympy.Min):
            return min(low for low, _ in of), min(high for _, high in of)
        return everything

    # How it is written.

    def written(self, node: ast.expr) -> tuple[str, str]:
        """A condition in Python and as mathematics: as it is, or simpler."""
        plain = ast.unparse(self.renamed(node)), self.told(node)
        if not isinstance(node, ast.Compare):
            return plain
        relation = _RELATIONS[type(node.ops[0])]
        sign = next(word for word, kind in _SIGNS.items() if isinstance(node.ops[0], kind))
        a, b = (self.term(side) for side in (node.left, node.comparators[0]))
        constant, rest = sympy.expand(a - b).as_coeff_Add()
        if rest.is_Symbol:
            a, b = rest, -constant
        try:
            printers = _Code(self.symbols()), _Text(self.names)
            code, told = ([printer.doprint(side) for side in (a, b)] for printer in printers)
        except _Unread:
            return plain
        if len("".join(told)) >= len(plain[1]) or re.search(r"[^/]/[^/]", "".join(code)):
            return plain
        return f"{code[0]} {sign} {code[1]}", f"{told[0]} {relation} {told[1]}"

    def symbols(self) -> dict[str, str]:
        """The program's symbols as guards write them."""
        found: dict[str, str] = {}
        for tensor in self.inputs.values():
            for dim, size in enumerate(tensor.sizes):
                if isinstance(size, int) or len(size.free_symbols) != 1:
                    continue
                by, symbol = size.as_coeff_Mul()
                own = f"L['{tensor.name}'].size()[{dim}]"
                if symbol.is_Symbol and (by == 1 or str(symbol) not in found):
                    found[str(symbol)] = own if by == 1 else f"({own} // {by})"
        return found

    def renamed(self, node: ast.expr) -> ast.expr:
        """A condition with inputs by the program's own names."""
        inputs = self.inputs

        class Renaming(ast.NodeTransformer):
            def visit_Call(self, call: ast.Call) -> ast.AST:
                if isinstance(call.func, ast.Attribute) and call.func.attr == "size":
                    tensor = inputs.get(ast.unparse(call.func.value))
                    if tensor is not None:
                        return ast.parse(f"L['{tensor.name}'].size()", mode="eval").body
                return self.generic_visit(call)

        copy = ast.parse(ast.unparse(node), mode="eval").body
        return Renaming().visit(copy)

    def told(self, node: ast.expr, level: int = 0) -> str:
        """A condition in the names of sizes, as the command writes those that it reads. ``level`` is what stands
        around it: 0 nothing, 1 a sum, 2 a product or a division.
        """

        def around(text: str, own: int) -> str:
            return f"({text})" if level > own else text

        if isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.Or) else " and "
            parts = (self.told(value, 1 if isinstance(value, ast.BoolOp) else 0) for value in node.values)
            return around(word.join(parts), 0)
        if isinstance(node, ast.Compare):
            relation = _RELATIONS[type(node.ops[0])]
            return f"{self.told(node.left)} {relation} {self.told(node.comparators[0])}"
        size = self.size(node)
        if size is not None:
            return self.polynomial(size, around)
        if isinstance(node, ast.UnaryOp):
            return around(f"-{self.told(node.operand, 2)}", 1)
        if isinstance(node, ast.BinOp):
            a, b = node.left, node.right
            if isinstance(node.op, ast.FloorDiv):
                return f"⌊{self.told(a, 2)} / {self.told(b, 3)}⌋"
            if isinstance(node.op, ast.Mod):
                return around(f"{self.told(a, 2)} mod {self.told(b, 3)}", 1)
            if isinstance(node.op, ast.Mult):
                return around(f"{self.told(a, 2)}·{self.told(b, 2)}", 2)
            minus = isinstance(node.op, ast.Sub)
            if isinstance(b, ast.BinOp) and isinstance(b.op, ast.Mult) and ast.unparse(b.left) == "-1":
                minus, b = not minus, b.right
            elif ast.unparse(a).startswith("-") and isinstance(a, ast.UnaryOp) and not minus:
                # `n - 3`, and not `-3 + n`.
                minus, a, b = True, b, a.operand
            return around(f"{self.told(a, 0)} {'-' if minus else '+'} {self.told(b, 1 if minus else 0)}", 1)
        if isinstance(node, ast.Call):
            word = ast.unparse(node.func).removeprefix("torch.sym_")
            return f"{word}({', '.join(map(self.told, node.args))})"
        return ast.unparse(node)

    def polynomial(self, size: Any, around: Any) -> str:
        """A size in the names of sizes."""
        if isinstance(size, int) or size.is_Symbol:
            return self.names.get(str(size), str(size))
        named = size.subs({s: sympy.Symbol(self.names.get(str(s), str(s))) for s in size.free_symbols})
        return around(str(named).replace("**", "^").replace("*", "·"), 1 if named.is_Add else 2)


class _Code(StrPrinter):
    """Numbers as guards write them."""

    quotient, greatest, least = "({} // {})", "torch.sym_max", "torch.sym_min"

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self.names = names

    def _print_Symbol(self, symbol: Any) -> str:
        return self.names.get(str(symbol.name), str(symbol.name))

    def _print_floor(self, term: Any) -> str:
        over, under = sympy.fraction(sympy.together(term.args[0]))
        above, below = self.doprint(over), self.doprint(under)
        above = f"({above})" if " " in above else above
        return self.quotient.format(above, f"({below})" if re.search(r"[ *·]", below) else below)

    def _print_Max(self, term: Any) -> str:
        return self.folded(self.greatest, list(term.args))

    def _print_Min(self, term: Any) -> str:
        return self.folded(self.least, list(term.args))

    def folded(self, name: str, terms: list[Any]) -> str:
        text = self.doprint(terms[0])
        for term in terms[1:]:
            text = f"{name}({text}, {self.doprint(term)})"
        return text

    def _print_Pow(self, term: Any, rational: bool = False) -> str:
        base = self.parenthesize(term.base, 1000)
        if not (term.exp.is_Integer and term.exp > 0):
            raise _Unread
        return self.times.join([base] * int(term.exp))

    times = "*"


class _Text(_Code):
    """Numbers as mathematics."""

    quotient, greatest, least, times = "⌊{} / {}⌋", "max", "min", "·"

    def _print_Mul(self, term: Any) -> str:
        return super()._print_Mul(term).replace("*", "·")


def _times(a: Any, b: Any) -> Any:
    return Fraction(0) if a == 0 or b == 0 else a * b


def _power(base: Any, exponent: int) -> Any:
    if math.isinf(base):
        return base**exponent if exponent > 0 else Fraction(0)
    return base**exponent
