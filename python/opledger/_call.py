"""The call of a module: its arguments, and which of their sizes are free. Imported only where there is torch."""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import numbers
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence

import torch
from torch.export import Dim
from torch.utils import _pytree as pytree

from ._binary import ExportError

Dynamic = "Mapping[str, Any] | Sequence[Any]"
"""For an argument of ``forward``, what its dimensions are called that may have any size, or any multiple of
one: ``"n"``, ``Dim("n")``, ``4 * Dim("n")``. Arguments that hold tensors have the same for each of them."""

_FORM = 'dynamic={"x": {0: "b", 1: "n"}}, for each argument the names of its free dimensions'


@dataclass
class Size:
    """A dimension of an input that is to have any size."""

    #: The tensor as the user writes it: ``x``, ``batch["ids"]``.
    argument: str
    #: The input among all leaves of the arguments.
    leaf: int
    dim: int
    name: str
    example: int
    #: What PyTorch is told of it, where the user said so: ``4 * Dim("n")``.
    told: Any = None
    #: Between what the user says that the name lies; without end where there is none.
    least: int = 0
    most: int | None = None

    @property
    def value(self) -> int:
        """What the example gives to the name."""
        if self.told is None or not hasattr(self.told, "root"):
            return self.example
        for value in range(self.example + 1):
            if self.told.fn(value) == self.example:
                return value
        raise ExportError(f"{self} is {self.example}, which is no {self.told.__name__}")

    @property
    def free(self) -> Any:
        """What PyTorch is told of the dimension."""
        if self.told is not None:
            return self.told
        if self.least <= 2 and self.most is None:
            return Dim.AUTO
        # It sets sizes of 0 and 1 apart.
        return Dim.AUTO(min=max(self.least, 2), max=self.most)

    def length(self, value: int) -> int:
        """How long the dimension is where its name is a value."""
        return int(self.told.fn(value)) if hasattr(self.told, "root") else value

    def __str__(self) -> str:
        return f"dimension {self.dim} of `{self.argument}`"


@dataclass
class Call:
    """A call of a module: what is given, and which sizes are free."""

    arguments: dict[str, Any]
    #: Arguments that are given by their places: the first of all, and what `*args` takes.
    placed: list[str] = field(default_factory=list)
    #: The argument that takes the rest by place, and the one that takes the rest by name.
    rest: str | None = None
    named_rest: str | None = None
    sizes: list[Size] = field(default_factory=list)
    #: Whether the user named the sizes; otherwise PyTorch says which of them are free.
    asked: bool = False
    #: Whether the sizes of the arguments are the user's.
    given: bool = True

    @property
    def leaves(self) -> list[Any]:
        """The leaves of all arguments in order."""
        return pytree.tree_leaves(self.arguments)

    def split(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments, those by place and those by name."""
        positional: list[Any] = []
        for name in self.placed:
            positional += arguments[name] if name == self.rest else [arguments[name]]
        return tuple(positional), {n: v for n, v in arguments.items() if n not in self.placed}


def call_of(model: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """The call, its sizes not looked at."""
    given = bool(args or kwargs)
    if not given:
        kwargs = _inputs_of(model)
    signature = inspect.signature(model.forward)
    kwargs = dict(kwargs)
    if hasattr(model, "config") and "use_cache" in signature.parameters:
        kwargs.setdefault("use_cache", False)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        shapes = all(isinstance(one, int) for one in args) and len(args) > 1
        mend = f"\n  give an example of each input: (torch.zeros({', '.join(map(str, args))}),)" if shapes else ""
        name = f"{type(model).__name__}.forward"
        takes = ", ".join([*list(signature.parameters)[:12], *(["…"] if len(signature.parameters) > 12 else [])])
        raise ExportError(f"`{name}` is not called so: {error}; it takes ({takes}){mend}") from None
    call = Call({}, given=given)
    parameters = signature.parameters
    for name, value in bound.items():
        kind = parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            call.named_rest = name
            call.arguments.update(value)
            continue
        call.arguments[name] = value
        if kind is inspect.Parameter.VAR_POSITIONAL:
            call.rest = name
    # By place stands what can only stand so, or was given so.
    for place, name in enumerate(bound):
        kind = parameters[name].kind
        by_name = name in kwargs and kind is not inspect.Parameter.POSITIONAL_ONLY
        if kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD) and (
            call.rest is not None or not by_name and place < len(args)
        ):
            call.placed.append(name)
    return call


def check_leaves(call: Call) -> None:
    """Refuses what no module of PyTorch takes."""
    for name, value in call.arguments.items():
        if isinstance(value, torch.nn.utils.rnn.PackedSequence):
            raise ExportError(f"`{name}` is a packed sequence, whose lengths are data: give the padded tensor")
    for path, leaf in _named(call.arguments):
        if isinstance(leaf, torch.Tensor) and (leaf.is_nested or leaf.layout is not torch.strided):
            kind = "nested" if leaf.is_nested else "sparse"
            raise ExportError(f"`{path}` is {kind}: what is computed follows from its elements; give a dense tensor")
        if type(leaf).__module__ == "numpy" and hasattr(leaf, "__array__"):
            raise ExportError(f"`{path}` is of numpy, and a module takes tensors: torch.as_tensor({path})")


def numbers_of(call: Call) -> str | None:
    """The first argument that is a list of numbers."""
    for name, value in call.arguments.items():
        flat = pytree.tree_leaves(value)
        if isinstance(value, (list, tuple)) and flat and all(isinstance(one, numbers.Number) for one in flat):
            return name
    return None


def _inputs_of(model: torch.nn.Module) -> dict[str, Any]:
    """Inputs for a model of transformers, by what its configuration says."""
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "model_type"):
        raise ExportError(f"`{type(model).__name__}` needs example inputs, tensors for {_needed(model)}")
    name = getattr(model, "main_input_name", "input_ids")
    if name == "input_ids":
        ids = torch.zeros(2, 7, dtype=torch.long)
        inputs = {"input_ids": ids}
        if getattr(config, "is_encoder_decoder", False):
            inputs["decoder_input_ids"] = torch.zeros(2, 5, dtype=torch.long)
        return inputs
    if name == "pixel_values":
        size = getattr(config, "image_size", None)
        if isinstance(size, (list, tuple)):
            height, width = size
        elif isinstance(size, int):
            height = width = size
        else:
            example = 'opledger.count(model, kwargs={"pixel_values": torch.zeros(1, 3, 224, 224)})'
            raise ExportError(f"`{type(model).__name__}` needs an example of `pixel_values`, such as {example}")
        return {"pixel_values": torch.zeros(2, getattr(config, "num_channels", 3), height, width)}
    example = f'opledger.count(model, kwargs={{"{name}": torch.zeros(…)}})'
    raise ExportError(f"`{type(model).__name__}` needs an example of `{name}`: {example}")


def _needed(model: torch.nn.Module) -> str:
    """How a module is called of which only the names of arguments are known."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    names = [one.name for one in parameters if one.kind in kinds and one.default is one.empty] or ["x"]
    return f"its arguments: opledger.count(model, ({', '.join(names)}{',' if len(names) == 1 else ''}))"


# The parts of arguments.


@dataclass
class _Part:
    """An argument, or what one holds."""

    path: str
    #: The leaf that it is, and its number among all.
    leaf: Any = None
    number: int | None = None
    parts: dict[Any, _Part] = field(default_factory=dict)


def _step(key: Any) -> tuple[Any, str]:
    """A key of a container, and how it is written behind the container."""
    if isinstance(key, pytree.GetAttrKey):
        return key.name, f".{key.name}"
    inner = key.idx if isinstance(key, pytree.SequenceKey) else getattr(key, "key", str(key))
    return inner, f"[{inner!r}]".replace("'", '"')


def _flat(arguments: Mapping[str, Any]) -> list[tuple[tuple[Any, ...], Any]]:
    """All leaves with the keys that lead to them."""
    found: list[tuple[tuple[Any, ...], Any]] = []
    for name, value in arguments.items():
        first = pytree.MappingKey(name)
        try:
            found += [((first, *keys), leaf) for keys, leaf in pytree.tree_flatten_with_path(value)[0]]
        except ValueError:
            # A container whose parts have no names.
            leaves = enumerate(pytree.tree_leaves(value))
            found += [((first, pytree.SequenceKey(i)), leaf) for i, leaf in leaves]
    return found


def _tree(arguments: Mapping[str, Any]) -> _Part:
    root = _Part("")
    for number, (keys, leaf) in enumerate(_flat(arguments)):
        part = root
        for place, key in enumerate(keys):
            inner, written = _step(key)
            path = str(inner) if place == 0 else part.path + written
            part = part.parts.setdefault(inner, _Part(path))
        part.leaf, part.number = leaf, number
    return root


def _named(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each leaf with how the user writes it."""

    def walk(part: _Part) -> Iterator[tuple[str, Any]]:
        if part.number is not None:
            yield part.path, part.leaf
        for inner in part.parts.values():
            yield from walk(inner)

    return walk(_tree(arguments))


# The sizes that are free.


def sizes_of(call: Call, dynamic: Any) -> list[Size]:
    """The sizes that a user names, or those that are tried where none are named."""
    if dynamic is not None:
        return _asked(call, dynamic)
    sizes = []
    for number, (path, leaf) in enumerate(_named(call.arguments)):
        if isinstance(leaf, torch.Tensor):
            dims = {0: "b", 1: "n"} if leaf.dim() in (2, 3) else {0: "b"} if leaf.dim() else {}
            sizes += [Size(path, number, dim, name, leaf.shape[dim]) for dim, name in dims.items()]
    return sizes


def _asked(call: Call, dynamic: Any) -> list[Size]:
    tree = _tree(call.arguments)
    if isinstance(dynamic, (list, tuple)):
        # As PyTorch takes it as well: one for each argument.
        if not all(one is None or isinstance(one, (Mapping, list, tuple)) for one in dynamic):
            raise ExportError(f"`dynamic` is {dynamic!r}; it is written as {_FORM}")
        if len(dynamic) > len(call.arguments):
            raise ExportError(
                f"`dynamic` has {len(dynamic)} entries for the arguments {', '.join(call.arguments)}; it is "
                f"written as {_FORM}"
            )
        dynamic = dict(zip(call.arguments, dynamic))
    if not isinstance(dynamic, Mapping):
        raise ExportError(f"`dynamic` is {dynamic!r}; it is written as {_FORM}")
    sizes: list[Size] = []
    named = dynamic.get(call.named_rest)
    if call.named_rest not in call.arguments and isinstance(named, Mapping):
        # What `**kwargs` takes are arguments of their own.
        dynamic = {**{k: v for k, v in dynamic.items() if k != call.named_rest}, **named}
    for argument, names in dynamic.items():
        if argument not in call.arguments:
            rest = f'; what `{call.rest}` holds has places: {{"{call.rest}": [{{0: "b"}}]}}' if call.rest else ""
            raise ExportError(
                f"`{argument}` is no argument of the call; there are {', '.join(call.arguments)}{rest}"
            )
        sizes += _within(tree.parts.get(argument, _Part(argument)), names)
    _bound(sizes)
    examples: dict[str, int] = {}
    # A size that a multiple is made of is one with it.
    roots = {size.name: size.told.root for size in sizes if hasattr(size.told, "root")}
    for size in sizes:
        if size.told is None or not hasattr(size.told, "root"):
            size.told = roots.get(size.name)
        if examples.setdefault(size.name, size.value) != size.value:
            first = next(one for one in sizes if one.name == size.name)
            raise ExportError(
                f"{size.name} is {first.value} in {first} and {size.value} in {size}: sizes of one name are equal"
            )
    return sizes


def _bound(sizes: list[Size]) -> None:
    """Sizes of one name have the bounds of all of them."""
    for name in dict.fromkeys(size.name for size in sizes):
        own = [size for size in sizes if size.name == name]
        dims = [getattr(size.told, "root", size.told) for size in own if size.told is not None]
        least = max((int(dim.min) for dim in dims), default=0)
        # Without a bound PyTorch has its greatest integer, or one that is above all.
        most = min((int(dim.max) for dim in dims if dim.max < _ENDLESS), default=None)
        for size in own:
            size.least, size.most = least, most
        value = own[0].value
        if value < least or most is not None and value > most:
            raise ExportError(
                f"{name} is {value} in the example, {own[0]}, and {_between(name, least, most)}: give an example within"
            )
        if most is not None and most < 2:
            raise ExportError(f"{_between(name, least, most)}: PyTorch sets sizes of 0 and 1 apart, so leave it out of `dynamic`")


#: From here a bound is none.
_ENDLESS = 2**31 - 1


def _between(name: str, least: int, most: int | None) -> str:
    if most is None:
        return f"{name} ≥ {least} by its Dim"
    return f"{name} ≤ {most} by its Dim" if least == 0 else f"{least} ≤ {name} ≤ {most} by its Dim"


def _within(part: _Part, names: Any) -> list[Size]:
    """The sizes that are named in an argument or in what it holds."""
    if names is None:
        return []
    if part.number is not None:
        return _of_tensor(part, names)
    if not part.parts:
        raise ExportError(f"`{part.path}` is no tensor, so it has no dimensions to name")
    keys = list(part.parts)
    if dataclasses.is_dataclass(names) and not isinstance(names, type):
        names = {field.name: getattr(names, field.name) for field in dataclasses.fields(names)}
    if isinstance(names, (list, tuple)) and all(one.path.endswith(f".{key}") for key, one in part.parts.items()):
        # The fields of a class in their order.
        if len(names) > len(keys):
            raise ExportError(f"`{part.path}` holds {_listed(part)}, and `dynamic` names {len(names)}")
        names = dict(zip(keys, names))
    if isinstance(names, (list, tuple)) and all(isinstance(key, int) for key in keys):
        if len(names) > max(keys) + 1:
            raise ExportError(f"`{part.path}` has {max(keys) + 1} entries, and `dynamic` names {len(names)}")
        names = dict(enumerate(names))
    if not isinstance(names, Mapping):
        raise ExportError(
            f"`{part.path}` holds {_listed(part)}: `dynamic` names sizes of each, and has {names!r} there"
        )
    sizes: list[Size] = []
    for key, inner in names.items():
        if inner is None:
            continue
        if key not in part.parts:
            raise ExportError(f"`{part.path}` holds {_listed(part)}, and `dynamic` names {key!r} in it")
        sizes += _within(part.parts[key], inner)
    return sizes


def _listed(part: _Part) -> str:
    shown = [f"`{one.path}`" for one in part.parts.values()]
    return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")


def _of_tensor(part: _Part, names: Any) -> list[Size]:
    tensor = part.leaf
    if not isinstance(tensor, torch.Tensor):
        raise ExportError(f"`{part.path}` is no tensor, so it has no dimensions to name")
    if isinstance(names, (list, tuple)) and len(names) <= tensor.dim():
        names = dict(enumerate(names))
    if not isinstance(names, Mapping):
        raise ExportError(f"`dynamic` has {names!r} for `{part.path}`; it is written as {_FORM}")
    sizes: dict[int, Size] = {}
    for dim, name in names.items():
        if not isinstance(dim, int) or isinstance(dim, bool):
            raise ExportError(f"`{part.path}` is a tensor: {dim!r} is none of its dimensions, which are numbers")
        if not -tensor.dim() <= dim < tensor.dim():
            raise ExportError(f"`{part.path}` has {tensor.dim()} dimensions and none of index {dim}")
        hint = getattr(getattr(name, "type", None), "name", None)
        if name is None or hint == "STATIC":
            continue
        if hint in ("AUTO", "DYNAMIC"):
            raise ExportError(
                f'Dim.{hint} has no name, and formulas are in names: write {{{dim}: "n"}} (dimension {dim} of `{part.path}`)'
            )
        told = name if isinstance(name, Dim) else None
        name = getattr(told, "root", told).__name__ if told is not None else name
        if not (isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)):
            raise ExportError(f'{name!r} is no name of a size, such as "n" ({part.path}, dimension {dim})')
        dim %= tensor.dim()
        size = Size(part.path, part.number or 0, dim, name, tensor.shape[dim], told)
        if dim in sizes and sizes[dim].name != name:
            raise ExportError(f"{size} has two names, {sizes[dim].name} and {name}")
        sizes[dim] = size
    return list(sizes.values())
