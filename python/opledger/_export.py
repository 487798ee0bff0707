"""From a module of PyTorch to an archive that the command reads. Imported only where there is torch."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Sequence

import sympy
import torch
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree
from torch.utils._sympy.functions import FloorDiv

from . import _archive, _module
from ._binary import ExportError, Folder, OpledgerError
from ._call import Call, Size, call_of, check_leaves, sizes_of
from ._refusals import refusal, rounds, specialised
from ._result import Count
from ._source import Source
from ._written import call_written, dynamic_written

#: How long multiples of sizes are looked for that the command understands.
_SECONDS = 60

Made = tuple[Source, dict[str, int]]
"""An archive and the sizes of the example."""


def source(
    model: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic: Any,
    options: tuple[str, ...],
) -> Made:
    """The archive of a module, which the command understands, and the sizes of its example."""
    model = _module.innermost(model)
    with _module.as_exported(model), _module.nested(model):
        _module.check(model)
        call = call_of(model, args, kwargs)
        with _module.containers_known(model, call.arguments):
            check_leaves(call)
            call.asked, call.sizes = dynamic is not None, sizes_of(call, dynamic)
            program, made = _made(model, call, options)
            try:
                made[0].derived
            except OpledgerError as error:
                return _otherwise(error, model, call, program, options)
            return _as_example(model, call, options, made)


def program_source(program: ExportedProgram, options: tuple[str, ...]) -> Source:
    """The archive of a program that is exported already."""
    return _source(program, "exported program", options, program, ())


def _made(
    model: torch.nn.Module, call: Call, options: tuple[str, ...], free: list[Size] | None = None
) -> tuple[ExportedProgram, Made]:
    program, names, notes = _exported(model, call, free)
    own = _renamed(program, call, names)
    words = tuple(word for symbol, name in own.items() for word in ("--name", f"{symbol}={name}"))
    source = _source(program, type(model).__name__, (*words, *options), model, notes)
    inputs = None
    if call.given:
        inputs = _archive.whole_inputs(program, call.leaves, Path(source.text).parent)
    sizes = {names[i]: size.value for i, size in enumerate(call.sizes) if names[i] is not None}
    ones = _Ones(model, call, names, options)
    named = ones.call
    meanings: dict[str, str] = {}
    for size in named.sizes:
        own = f"`{size.argument}`"
        of = f"dimension {size.dim} of {own}"
        if hasattr(size.told, "root"):
            of += f", which is {str(size.told.__name__).replace('*', '·')}"
        meanings[size.name] = f"{meanings[size.name]}, {of}" if size.name in meanings else of
    source = replace(source, inputs=inputs, ones=ones, bounds=_bounds(call), meanings=meanings)
    return program, (source, sizes if call.given else {})


def _bounds(call: Call) -> dict[str, tuple[int, int | None]]:
    return {size.name: (size.least, size.most) for size in call.sizes if size.least or size.most is not None}


def _as_example(
    model: torch.nn.Module, call: Call, options: tuple[str, ...], made: Made
) -> Made:
    """What was made of a larger example, if it is the model at the example's sizes of 0 and 1 as well: PyTorch sets
    those apart and writes no guard for it, so the model is exported as it is and its counts compared.
    """
    ones = {size.name for size in call.sizes if size.example < 2 and size.name in made[1]}
    if not ones:
        return made
    try:
        own = _made(model, replace(call, asked=False), options, [])[1]
        number = Count(*own).numbers
    except OpledgerError:
        # What cannot be compared is told.
        note = f"not compared with the model at {_told(ones, call)}, which PyTorch sets apart"
        return replace(made[0], notes=(*made[0].notes, note)), made[1]
    try:
        larger = Count(*made).numbers
    except OpledgerError:
        # The larger model does not hold at the example.
        return _bound(model, call, options, ones, made, own)
    if larger == number:
        made[0].ones.compared(made[1])
        return made
    if call.asked:
        raise ExportError(
            f"`{type(model).__name__}` is another model at {_told(ones, call)} than at larger sizes; give an example "
            f"of larger ones, or leave {' and '.join(sorted(ones))} out of `dynamic`"
            + _shown(call, dict.fromkeys(ones, 2))
        )
    note = f"at {_told(ones, call)} this is another model than at larger sizes, so it is counted at this size alone"
    return replace(own[0], notes=(note,)), own[1]


def _bound(
    model: torch.nn.Module, call: Call, options: tuple[str, ...], ones: set[str], made: Made, own: Made
) -> Made:
    """The model at the example's sizes of 0 and 1, the others free where it allows that."""
    values = {name: size for name, size in made[1].items() if name in ones}
    found = made[0].ones.made(values)
    if isinstance(found, Source) and all(made[1].get(name) == size for name, size in found.fixed.items()):
        try:
            Count(found, made[1]).numbers
            own = found, made[1]
        except OpledgerError:
            pass
    note = f"at {_told(ones, call)} this is another model than at larger sizes, so it is counted at this size alone"
    return replace(own[0], notes=(note, *own[0].notes)), own[1]


class _Ones:
    """The model at sizes of 0 and 1, which PyTorch sets apart: exported when they are asked for, once each."""

    def __init__(self, model: torch.nn.Module, call: Call, names: list[str | None], options: tuple[str, ...]) -> None:
        self._model, self._options = model, options
        sizes = [replace(size, name=name) for size, name in zip(call.sizes, names) if name is not None]
        #: The call in the names that the sizes have.
        self.call = replace(call, sizes=sizes)
        self._call = replace(call, sizes=sizes, asked=False)
        self._found: dict[tuple[tuple[str, int], ...], Source | OpledgerError] = {}
        self._compared: set[tuple[str, int]] = set()

    def __deepcopy__(self, memo: Any) -> _Ones:
        return self

    def written(self, sizes: Mapping[str, int]) -> str:
        """How a user writes the call with an example of such sizes, if that is short."""
        return call_written(self.call, sizes)

    def compared(self, sizes: Mapping[str, int]) -> None:
        """That at the sizes of 0 and 1 of these it is the model of larger ones."""
        self._compared = {(name, size) for name, size in sizes.items() if size < 2}

    def of(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Those of sizes that are 0 and 1 and not compared yet."""
        names = {size.name for size in self._call.sizes}
        ones = {name: size for name, size in sizes.items() if size < 2 and name in names}
        return {} if set(ones.items()) <= self._compared else ones

    def made(self, ones: Mapping[str, int]) -> Source | OpledgerError:
        """The model at these sizes, the others free where it allows that."""
        key = tuple(sorted(ones.items()))
        if key not in self._found:
            try:
                self._found[key] = self._exported(ones)
            except OpledgerError as error:
                self._found[key] = error
        return self._found[key]

    def _exported(self, ones: Mapping[str, int]) -> Source:
        model, call = self._model, self._call
        free = [size for size in call.sizes if size.name not in ones]
        small = {size.name for size in free if size.example < 2}
        with _module.as_exported(model), _module.nested(model), _module.containers_known(model, call.arguments):
            try:
                program = export(model, call, small, free, lengths=ones)
            except Exception as error:  # PyTorch refuses in many types.
                raise ExportError(str(error).split("\n")[0]) from None
            names = _names(model, program, call, free)
            own = _renamed(program, call, names)
            words = tuple(word for symbol, name in own.items() for word in ("--name", f"{symbol}={name}"))
            source = _source(program, type(model).__name__, (*words, *self._options), model, ())
            example = all(size.value == ones.get(size.name, size.value) for size in call.sizes)
            inputs = None
            if call.given and example and not small:
                inputs = _archive.whole_inputs(program, call.leaves, Path(source.text).parent)
        fixed = {size.name: 2 if size.name in small else size.value for size, n in zip(call.sizes, names) if n is None}
        return replace(source, inputs=inputs, fixed={**fixed, **ones}, bounds=_bounds(call))


def _shown(call: Call, sizes: Mapping[str, int]) -> str:
    """The call with an example of such sizes, on a line of its own."""
    written = call_written(call, sizes)
    return f"\n  {written}" if written else ""


def _told(names: set[str], call: Call) -> str:
    """``b = 1``, of sizes of the example."""
    values = {size.name: size.value for size in call.sizes if size.name in names}
    return " and ".join(f"{name} = {value}" for name, value in sorted(values.items()))


def _otherwise(
    error: OpledgerError,
    model: torch.nn.Module,
    call: Call,
    program: ExportedProgram,
    options: tuple[str, ...],
) -> Made:
    """What the command understands where fewer sizes are free. What the user asked for is not changed: the
    error says which multiples it does understand.
    """

    def tried(call: Call, free: list[Size] | None = None) -> tuple[ExportedProgram | None, Made | None]:
        program = None
        try:
            program, made = _made(model, call, options, free)
            made[0].derived
        except OpledgerError:
            return program, None
        return program, made

    if "`--partial`" in str(error) or "partial=True" in str(error):
        # Operations that are not known, whatever the sizes are.
        raise error
    if not call.asked:
        fixed = tried(call, [])[1] if call.sizes else None
        if fixed is None:
            raise error
        return tried(call, [size for size in call.sizes if size.name == "b"])[1] or fixed
    if any(size.told is not None for size in call.sizes):
        raise error
    multiples: dict[str, int] = {}
    end = time.monotonic() + _SECONDS
    now = call
    while time.monotonic() < end and (more := _multiples(program, now)):
        multiples = {name: multiples.get(name, 1) * more.get(name, 1) for name in {**multiples, **more}}
        if any(size.example % multiples.get(size.name, 1) for size in call.sizes):
            break
        dims = {name: by * Dim(name) for name, by in multiples.items()}
        now = replace(call, sizes=[replace(size, told=dims.get(size.name)) for size in call.sizes])
        next_program, made = tried(now)
        if made is not None:
            raise OpledgerError(f"{error}\n  of multiples it is counted: {_written(call.sizes, multiples)}") from None
        if next_program is None:
            break
        program = next_program
    raise error


def _multiples(program: ExportedProgram, call: Call) -> dict[str, int]:
    """By what numbers the program divides sizes."""
    named = {str(_symbol(program, call, size)): size.name for size in call.sizes}
    found: dict[str, int] = {}
    for node in program.graph.nodes:
        for length in getattr(node.meta.get("val"), "shape", ()):
            for part in () if isinstance(length, int) else length.node.expr.atoms(FloorDiv):
                symbols = part.free_symbols
                name = named.get(str(next(iter(symbols)))) if len(symbols) == 1 else None
                if name is not None:
                    found[name] = math.lcm(found.get(name, 1), _divisor(part))
    return {name: by for name, by in found.items() if 1 < by <= 4096}


def _divisor(quotient: Any) -> int:
    """By what a number is divided, the quotients in it first."""
    over, by = quotient.args
    inner = math.lcm(*map(_divisor, over.atoms(FloorDiv)))
    return int(by) * inner if by.is_Integer else inner


def _written(sizes: list[Size], multiples: Mapping[str, int]) -> str:
    """What a user writes for multiples of sizes."""

    names = {name: f'{by}*Dim("{name}")' for name, by in multiples.items()}
    written = dynamic_written(sizes, names)
    if not written:
        return ", ".join(f"{names[size.name]} for {size}" for size in sizes if size.name in names)
    return f"dynamic={written}, with Dim of torch.export"


# The export.


def _exported(
    model: torch.nn.Module, call: Call, only: list[Size] | None = None
) -> tuple[ExportedProgram, list[str | None], tuple[str, ...]]:
    """The program, what each size is called that is free in it, and what a reader has to know."""
    sizes = call.sizes if only is None else only
    small = {size.name for size in sizes if size.example < 2}
    attempts: list[tuple[set[str], list[Size]]] = [(small, sizes)]
    if not call.asked:
        # Where inputs disagree in their first dimension it is no batch that could be enlarged.
        firsts = {size.example for size in sizes if size.dim == 0}
        if small and (len(firsts) > 1 or "n" in small):
            attempts = [({"b"} & small, sizes)] if len(firsts) == 1 else []
        if small:
            attempts.append((set(), sizes))
        attempts.append((set(), []))
    first: Exception | None = None
    for enlarged, free in attempts:
        rounded: list[str] = []
        try:
            program = export(model, call, enlarged, free, rounded=rounded)
        except Exception as error:  # PyTorch refuses in many types.
            # Where nobody asked for names, the error that has none of PyTorch's.
            first = (first or error) if call.asked else error
            continue
        names = _names(model, program, call, free)
        stuck = [s for s, n in zip(call.sizes, names) if n is None and s.name in enlarged]
        if stuck and call.asked:
            raise specialised(model, call, stuck[0], enlarged, export)
        if stuck:
            continue
        numbers = (
            f"`int` makes a constant of a size at {place}: math.trunc keeps it a size" for place in dict.fromkeys(rounded)
        )
        return program, names, (*_fixed(call, names), *numbers)
    assert first is not None
    raise refusal(first, model, call, small if call.asked else set()) from None


def export(
    model: torch.nn.Module,
    call: Call,
    enlarged: set[str],
    free: list[Size],
    lengths: Mapping[str, int] | None = None,
    rounded: list[str] | None = None,
) -> ExportedProgram:
    """The program that PyTorch makes of a call, sizes of some names enlarged to 2 or made what is given.

    `rounded` gets the lines of the model where `int` makes a number of a size.
    """
    meta = _module.on_meta(model, call.arguments)
    where = "meta" if meta else _module.device(model)
    larger = {(s.leaf, s.dim): 2 for s in call.sizes if s.name in enlarged}
    larger |= {(s.leaf, s.dim): s.length(lengths[s.name]) for s in call.sizes if s.name in (lengths or ())}
    wanted = {(s.leaf, s.dim): s.free for s in free}
    index = iter(range(10**9))

    def example(leaf: Any) -> Any:
        i = next(index)
        if not isinstance(leaf, torch.Tensor):
            return leaf
        shape = [larger.get((i, d), size) for d, size in enumerate(leaf.shape)]
        place = leaf.device if where is None else torch.device(where)
        if shape == list(leaf.shape) and place == leaf.device and not meta:
            return leaf
        return torch.zeros(shape, dtype=leaf.dtype, device=place)

    arguments = {name: pytree.tree_map(example, value) for name, value in call.arguments.items()}
    index = iter(range(10**9))

    def shape(leaf: Any) -> Any:
        i = next(index)
        if not isinstance(leaf, torch.Tensor):
            return None
        return {d: wanted[i, d] for d in range(leaf.dim()) if (i, d) in wanted} or None

    shapes = {name: _module.mapped(shape, value) for name, value in call.arguments.items()}
    by_place, by_name = call.split(arguments)
    with (
        _module.evaluating(model),
        _module.wholly_on_meta(model, meta),
        _module.quick(),
        _module.quiet(),
        rounds(rounded if rounded is not None else []),
        torch.no_grad(),
    ):
        return torch.export.export(model, by_place, by_name, dynamic_shapes=shapes or None, strict=False)


# The names of sizes.


def _inputs(program: ExportedProgram) -> list[Any]:
    """The value of each leaf of the inputs, those that are no tensors being None."""
    from torch.export.graph_signature import InputKind, TensorArgument

    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs = [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    return [values.get(s.arg.name) if isinstance(s.arg, TensorArgument) else None for s in specs]


def _symbol(program: ExportedProgram, call: Call, size: Size) -> Any:
    """The size as the program has it: a number or an expression."""
    leaves, values = call.leaves, _inputs(program)
    if len(leaves) != len(values):
        raise ExportError("PyTorch changed the arguments of the call; pass tensors by their names")
    length = values[size.leaf].shape[size.dim]
    if isinstance(length, int):
        return length
    symbols = length.node.expr.free_symbols
    return next(iter(symbols)) if hasattr(size.told, "root") and len(symbols) == 1 else length.node.expr


def _names(
    model: torch.nn.Module, program: ExportedProgram, call: Call, free: list[Size]
) -> list[str | None]:
    """What each size is called, none where it is fixed. Sizes that are one have one name."""
    names: list[str | None] = []
    of_symbol: dict[str, str] = {}
    for size in call.sizes:
        symbol = _symbol(program, call, size) if size in free else size.example
        if isinstance(symbol, int) or symbol.is_number:
            if call.asked and size.example >= 2:
                raise specialised(model, call, size, set(), export)
            names.append(None)
            continue
        if not symbol.is_Symbol:
            if call.asked:
                known = {key: sympy.Symbol(name) for key, name in of_symbol.items()}
                symbol = symbol.xreplace({s: known.get(str(s), s) for s in symbol.free_symbols})
                raise ExportError(
                    f"{size.name}, {size}, is {symbol} in this model: it is no size of its own. Leave it "
                    "out of `dynamic`"
                )
            names.append(None)
            continue
        taken = of_symbol.get(str(symbol))
        if taken is None:
            name = size.name
            if not call.asked and name in of_symbol.values():
                name = re.sub(r"\W+", "_", f"{size.argument}_{size.dim}")
            of_symbol[str(symbol)] = name
            names.append(name)
        elif taken != size.name and call.asked:
            raise ExportError(
                f"{taken} and {size.name} are one size in this model, which {size} shows: call both by "
                "one name"
            )
        else:
            names.append(taken)
    return names


def _renamed(program: ExportedProgram, call: Call, names: list[str | None]) -> dict[str, str]:
    """The user's names of the program's own symbols."""
    own: dict[str, str] = {}
    for size, name in zip(call.sizes, names):
        if name is not None:
            own[str(_symbol(program, call, size))] = name
    return own


def _fixed(call: Call, names: list[str | None]) -> tuple[str, ...]:
    fixed = [s for s, name in zip(call.sizes, names) if name is None and s.dim in (0, 1)]
    return tuple(f"{size} is fixed at {size.example}" for size in fixed)


# The archive.


def _source(
    program: ExportedProgram,
    name: str,
    options: tuple[str, ...],
    model: Any,
    notes: tuple[str, ...],
) -> Source:
    folder = Folder()
    path = folder.path / f"{name.replace(' ', '_')}.pt2"
    _archive.write(program, model, path)
    module = model if isinstance(model, torch.nn.Module) else None
    named = module.named_modules(remove_duplicate=False) if module else ()
    classes = {path: type(one).__name__ for path, one in named}
    unknown = _archive.without_elements(model, program)
    return Source(str(path), name, options, classes, notes, unknown, _archive.idle(program), keeper=folder)
