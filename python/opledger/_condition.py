"""Conditions on sizes under which a program is what was counted, as PyTorch writes them."""

from __future__ import annotations

import ast
import operator
import re
from typing import Callable, Mapping

_PREFIX = "holds where "
_SIZE = re.compile(r"L\['(\w+)'\]\.size\(\)\[(\d+)\]")

_ARITHMETIC: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
# `!=` is left out: with it PyTorch sets sizes of 0 and 1 apart, for which a formula holds as well.
_COMPARISON: dict[type, Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def named(note: str, names: Mapping[tuple[str, int], str]) -> str:
    """A note in which sizes of inputs have their names."""
    if not note.startswith(_PREFIX):
        return note
    name = _SIZE.sub(lambda m: names.get((m[1], int(m[2])), m[0]), note)
    return name.replace("<=", "≤").replace(">=", "≥").replace(" == ", " = ")


def is_known(note: str) -> bool:
    """Whether a note says nothing: that a size is itself."""
    left, equal, right = note.removeprefix(_PREFIX).partition(" = ")
    return note.startswith(_PREFIX) and bool(equal) and left == right


def violated(note: str, sizes: Mapping[str, int]) -> bool:
    """Whether sizes contradict a note. What is not understood, or has no size, contradicts nothing."""
    if not note.startswith(_PREFIX):
        return False
    text = note.removeprefix(_PREFIX).replace("≤", "<=").replace("≥", ">=").replace(" = ", " == ")
    try:
        return not _holds(ast.parse(text.strip(), mode="eval").body, sizes)
    except (SyntaxError, KeyError, ZeroDivisionError, RecursionError):
        return False


def _holds(node: ast.expr, sizes: Mapping[str, int]) -> bool:
    if not isinstance(node, ast.Compare):
        raise KeyError(node)
    values = [_value(one, sizes) for one in (node.left, *node.comparators)]
    pairs = zip(node.ops, values, values[1:])
    return all(_COMPARISON[type(how)](one, other) for how, one, other in pairs)


def _value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    if isinstance(node, ast.BinOp):
        return _ARITHMETIC[type(node.op)](_value(node.left, sizes), _value(node.right, sizes))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, sizes)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return sizes[node.id]
    raise KeyError(node)
