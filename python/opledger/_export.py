"""From a module of PyTorch to an archive that the command reads. Imported only where there is torch."""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import json
import logging
import os
import sysconfig
import traceback
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence
from unittest import mock

import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils import _pytree as pytree

from ._binary import ExportError, Folder
from ._result import Source

Dynamic = Mapping[str, Mapping[int, "str | Dim"]]
"""For an argument of ``forward``, what its dimensions are called that may have any size, or any multiple of
one: ``"n"``, ``Dim("n")``, ``4 * Dim("n")``."""


#: The most elements of an input that are looked at.
_MOST_ELEMENTS = 1 << 22


@dataclass
class _Size:
    """A dimension of an input that is to have any size."""

    argument: str
    #: The input among all leaves of the arguments.
    leaf: int
    dim: int
    name: str
    example: int
    #: What PyTorch is told of it, where the user said so: ``4 * Dim("n")``.
    told: Any = None

    @property
    def value(self) -> int:
        """What the example gives to the name."""
        if self.told is None or not hasattr(self.told, "root"):
            return self.example
        for value in range(self.example + 1):
            if self.told.fn(value) == self.example:
                return value
        raise ExportError(f"{self} is {self.example}, which is no {self.told.__name__}")

    def __str__(self) -> str:
        return f"dimension {self.dim} of `{self.argument}`"


@dataclass
class _Call:
    """A call of a module: what is given, and which sizes are free."""

    arguments: dict[str, Any]
    sizes: list[_Size] = field(default_factory=list)
    #: Whether the user named the sizes; otherwise PyTorch says which of them are free.
    asked: bool = False
    #: Whether the sizes of the arguments are the user's.
    given: bool = True


def source(
    model: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic: Dynamic | None,
) -> tuple[Source, dict[str, int]]:
    """The archive of a module and the sizes of its example."""
    call = _call(model, args, kwargs, dynamic)
    program, names, notes = _exported(model, call)
    sizes = {names[i]: size.value for i, size in enumerate(call.sizes) if names[i] is not None}
    source = _source(program, type(model).__name__, _renamed(program, call, names), model, notes)
    if call.given:
        source = replace(source, inputs=_whole_inputs(program, call, Path(source.text).parent))
    return source, sizes if call.given else {}


def _whole_inputs(program: ExportedProgram, call: _Call, folder: Path) -> str | None:
    """A safetensors file of the whole numbers and truth values of the example, if it has some."""
    leaves = [leaf for leaf in pytree.tree_leaves(call.arguments) if isinstance(leaf, torch.Tensor)]
    kinds = {torch.bool: "BOOL", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8"}
    header: dict[str, Any] = {}
    data = b""
    for name, leaf in zip(program.graph_signature.user_inputs, leaves, strict=False):
        if leaf.dtype in kinds and leaf.device.type != "meta" and leaf.numel() <= _MOST_ELEMENTS:
            raw = bytes(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).tolist())
            place = [len(data), len(data) + len(raw)]
            header[str(name)] = {"dtype": kinds[leaf.dtype], "shape": list(leaf.shape), "data_offsets": place}
            data += raw
    if not header:
        return None
    text = json.dumps(header).encode()
    path = folder / "inputs.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return str(path)


def program_source(program: ExportedProgram) -> Source:
    """The archive of a program that is exported already."""
    return _source(program, "exported program", (), program, ())


# The call.


def _call(
    model: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic: Dynamic | None,
) -> _Call:
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
        raise ExportError(f"`{type(model).__name__}.forward` is not called so: {error}") from None
    arguments: dict[str, Any] = {}
    for name, value in bound.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        else:
            arguments[name] = value
    call = _Call(arguments, asked=dynamic is not None, given=given)
    call.sizes = _sizes(arguments, dynamic)
    return call


def _inputs_of(model: torch.nn.Module) -> dict[str, Any]:
    """Inputs for a model of transformers, by what its configuration says."""
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "model_type"):
        raise ExportError(f"`{type(model).__name__}` needs example inputs: count(model, (x,))")
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
            raise ExportError(f"`{type(model).__name__}` needs an example of `pixel_values`")
        return {"pixel_values": torch.zeros(2, getattr(config, "num_channels", 3), height, width)}
    raise ExportError(f"`{type(model).__name__}` needs an example of `{name}`")


def _leaves(arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The leaves of all arguments in order, each with the name of its argument."""
    return [(name, leaf) for name, value in arguments.items() for leaf in pytree.tree_leaves(value)]


def _sizes(arguments: Mapping[str, Any], dynamic: Dynamic | None) -> list[_Size]:
    leaves = _leaves(arguments)
    if dynamic is not None:
        return _sizes_asked(arguments, leaves, dynamic)
    sizes = []
    for i, (argument, leaf) in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            dims = {0: "b", 1: "n"} if leaf.dim() in (2, 3) else {0: "b"} if leaf.dim() else {}
            sizes += [_Size(argument, i, dim, name, leaf.shape[dim]) for dim, name in dims.items()]
    return sizes


def _sizes_asked(
    arguments: Mapping[str, Any], leaves: list[tuple[str, Any]], dynamic: Dynamic
) -> list[_Size]:
    sizes: list[_Size] = []
    for argument, dims in dynamic.items():
        tensors = [(i, leaf) for i, (name, leaf) in enumerate(leaves) if name == argument]
        if argument not in arguments:
            raise ExportError(f"`{argument}` is no argument of the call; there are {', '.join(arguments)}")
        if len(tensors) != 1 or not isinstance(tensors[0][1], torch.Tensor):
            raise ExportError(f"`{argument}` is no tensor, so it has no dimensions to name")
        leaf, tensor = tensors[0]
        for dim, name in dims.items():
            if not -tensor.dim() <= dim < tensor.dim():
                raise ExportError(f"`{argument}` has {tensor.dim()} dimensions and none of index {dim}")
            told = name if isinstance(name, Dim) else None
            name = getattr(told, "root", told).__name__ if told is not None else name
            if not (isinstance(name, str) and name.isidentifier()):
                raise ExportError(f"{name!r} is no name of a size, such as \"n\"")
            dim %= tensor.dim()
            sizes.append(_Size(argument, leaf, dim, name, tensor.shape[dim], told))
    examples: dict[str, int] = {}
    # A size that a multiple is made of is one with it.
    roots = {size.name: size.told.root for size in sizes if hasattr(size.told, "root")}
    for size in sizes:
        if size.told is None or not hasattr(size.told, "root"):
            size.told = roots.get(size.name)
        if examples.setdefault(size.name, size.value) != size.value:
            raise ExportError(
                f"{size.name} is {examples[size.name]} in one input and {size.value} in {size}: "
                "sizes of one name are equal"
            )
    return sizes


# The export.


def _exported(
    model: torch.nn.Module, call: _Call
) -> tuple[ExportedProgram, list[str | None], tuple[str, ...]]:
    """The program, what each size is called that is free in it, and what a reader has to know."""
    small = {size.name for size in call.sizes if size.example < 2}
    attempts: list[tuple[set[str], list[_Size]]] = [(small, call.sizes)]
    if not call.asked:
        # Where inputs disagree in their first dimension it is no batch that could be enlarged.
        firsts = {size.example for size in call.sizes if size.dim == 0}
        if small and (len(firsts) > 1 or "n" in small):
            attempts = [({"b"} & small, call.sizes)] if len(firsts) == 1 else []
        if small:
            attempts.append((set(), call.sizes))
        attempts.append((set(), []))
    first: Exception | None = None
    for enlarged, free in attempts:
        try:
            program = _export(model, call, enlarged, free)
        except Exception as error:  # PyTorch refuses in many types.
            first = first or error
            continue
        try:
            names = _names(model, program, call, free)
        except ExportError:
            raise
        stuck = [s for s, n in zip(call.sizes, names) if n is None and s.name in enlarged]
        if stuck and call.asked:
            raise _specialised(model, call, stuck[0], enlarged)
        if stuck:
            continue
        return program, names, _fixed(call, names)
    assert first is not None
    raise _refusal(first, model, small if call.asked else set()) from first


def _export(
    model: torch.nn.Module, call: _Call, enlarged: set[str], free: list[_Size], how: Any = Dim.AUTO
) -> ExportedProgram:
    meta = _on_meta(model)
    larger = {(s.leaf, s.dim): 2 for s in call.sizes if s.name in enlarged}
    wanted = {(s.leaf, s.dim): s.told or how for s in free}
    index = iter(range(10**9))

    def example(leaf: Any) -> Any:
        i = next(index)
        if not isinstance(leaf, torch.Tensor):
            return leaf
        shape = [larger.get((i, d), size) for d, size in enumerate(leaf.shape)]
        if meta:
            return torch.empty(shape, dtype=leaf.dtype, device="meta")
        if shape == list(leaf.shape):
            return leaf
        return torch.zeros(shape, dtype=leaf.dtype, device=leaf.device)

    arguments = {name: pytree.tree_map(example, value) for name, value in call.arguments.items()}
    index = iter(range(10**9))

    def shape(leaf: Any) -> Any:
        i = next(index)
        if not isinstance(leaf, torch.Tensor):
            return None
        return {d: wanted[i, d] for d in range(leaf.dim()) if (i, d) in wanted} or None

    shapes = {name: pytree.tree_map(shape, value) for name, value in call.arguments.items()}
    parameters = inspect.signature(model.forward).parameters
    variadic = [n for n, p in parameters.items() if p.kind is inspect.Parameter.VAR_POSITIONAL]
    positional: tuple[Any, ...] = ()
    if variadic:
        # What stands before `*args` is positional as well.
        for name in list(parameters)[: list(parameters).index(variadic[0]) + 1]:
            if name in arguments:
                value = arguments.pop(name)
                positional += tuple(value) if name in variadic else (value,)
    with _evaluating(model), _wholly_on_meta(model, meta), _quick(), _quiet(), torch.no_grad():
        return torch.export.export(
            model, positional, arguments, dynamic_shapes=shapes or None, strict=False
        )


def _on_meta(model: torch.nn.Module) -> bool:
    # What a module without tensors makes itself is where its inputs are.
    return any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


@contextmanager
def _wholly_on_meta(model: torch.nn.Module, meta: bool) -> Iterator[None]:
    """The model with all of its tensors on meta for a while, where some of them are."""
    changed = []
    one: dict[int, torch.Tensor] = {}
    try:
        for module in model.modules() if meta else ():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and not tensor.is_meta:
                        changed.append((tensors, name, tensor))
                        empty = torch.empty_like(tensor, device="meta")
                        if isinstance(tensor, torch.nn.Parameter):
                            empty = torch.nn.Parameter(empty, tensor.requires_grad)
                        # What is shared stays so.
                        tensors[name] = one.setdefault(id(tensor), empty)
        yield
    finally:
        for tensors, name, tensor in changed:
            tensors[name] = tensor


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode for a while."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _quick() -> Iterator[None]:
    """Without searches for garbage, of which an export makes many and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warnings, of which a refusal has one message."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# The names of sizes.


def _inputs(program: ExportedProgram) -> list[Any]:
    """The value of each leaf of the inputs, those that are no tensors being None."""
    from torch.export.graph_signature import InputKind, TensorArgument

    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs = [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    return [values.get(s.arg.name) if isinstance(s.arg, TensorArgument) else None for s in specs]


def _symbol(program: ExportedProgram, call: _Call, size: _Size) -> Any:
    """The size as the program has it: a number or an expression."""
    leaves, values = _leaves(call.arguments), _inputs(program)
    if len(leaves) != len(values):
        raise ExportError("PyTorch changed the arguments of the call; pass tensors by their names")
    length = values[size.leaf].shape[size.dim]
    if isinstance(length, int):
        return length
    symbols = length.node.expr.free_symbols
    return next(iter(symbols)) if hasattr(size.told, "root") and len(symbols) == 1 else length.node.expr


def _names(
    model: torch.nn.Module, program: ExportedProgram, call: _Call, free: list[_Size]
) -> list[str | None]:
    """What each size is called, none where it is fixed. Sizes that are one have one name."""
    names: list[str | None] = []
    of_symbol: dict[str, str] = {}
    for size in call.sizes:
        symbol = _symbol(program, call, size) if size in free else size.example
        if isinstance(symbol, int) or symbol.is_number:
            if call.asked and size.example >= 2:
                raise _specialised(model, call, size, set())
            names.append(None)
            continue
        if not symbol.is_Symbol:
            if call.asked:
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
                name = f"{size.argument}_{size.dim}"
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


def _renamed(program: ExportedProgram, call: _Call, names: list[str | None]) -> tuple[str, ...]:
    own: dict[str, str] = {}
    for size, name in zip(call.sizes, names):
        if name is not None:
            own[str(_symbol(program, call, size))] = name
    return tuple(word for symbol, name in own.items() for word in ("--name", f"{symbol}={name}"))


def _fixed(call: _Call, names: list[str | None]) -> tuple[str, ...]:
    fixed = [s for s, name in zip(call.sizes, names) if name is None and s.dim in (0, 1)]
    return tuple(f"{size} is fixed at {size.example}" for size in fixed)


# Refusals.

_OWN = Path(__file__).parent


def _is_users(path: str) -> bool:
    """Whether a file is the model's: none of PyTorch, of Python or of this package."""
    library = sysconfig.get_path("stdlib")
    if path.startswith((str(Path(torch.__file__).parent), str(_OWN), "<")) or not os.path.exists(path):
        return False
    return not path.startswith(library) or "site-packages" in path


def _place(frames: traceback.StackSummary) -> str:
    """The innermost line that is no line of PyTorch, as far as it is inside of a `forward`."""
    users = [frame for frame in frames if _is_users(frame.filename)]
    if not users:
        return ""
    frame = users[-1]
    return f"\n  {frame.filename}:{frame.lineno} in {frame.name}\n    {frame.line}"


def _refusal(error: Exception, model: torch.nn.Module, enlarged: set[str]) -> ExportError:
    """PyTorch's refusal as one message."""
    inside = any("forward" in frame.name for frame in traceback.extract_tb(error.__traceback__))
    place = _place(traceback.extract_tb(error.__traceback__)) if inside else ""
    text = str(error).strip().split("\n")[0]
    kind = type(error).__name__
    if kind == "GuardOnDataDependentSymNode":
        text = "it decides by the value of a tensor"
        mend = (
            "write the choice with torch.where or torch.cond, or make it by an argument that is no "
            "tensor"
        )
    elif ".numpy()" in text or "numpy" in text:
        text = "it leaves PyTorch for numpy"
        mend = "write the line with operations of PyTorch"
    elif "meta" in text and "kernel" in text:
        mend = "an operation has no rule for shapes: register one with torch.library.register_fake"
    else:
        mend = "see whether the model runs on these inputs; `torch.export.draft_export` says more"
    if enlarged:
        sizes = ", ".join(sorted(enlarged))
        mend += f". The size 1 of {sizes} was tried as 2: give an example of at least 2"
    return ExportError(f"`{type(model).__name__}` cannot be exported: {text}{place}\n  {mend}")


def _specialised(
    model: torch.nn.Module, call: _Call, size: _Size, enlarged: set[str]
) -> ExportError:
    """That a size which may have any value has one alone, and the line for which it has."""
    places: list[str] = []
    evaluate = ShapeEnv._set_replacement

    def watched(self: Any, symbol: Any, target: Any, *rest: Any, **more: Any) -> None:
        if getattr(target, "is_number", False):
            places.append(_place(traceback.extract_stack()[:-1]))
        evaluate(self, symbol, target, *rest, **more)

    # PyTorch keeps the line of a guard only where it is one of its own.
    with mock.patch.object(ShapeEnv, "_set_replacement", watched):
        try:
            _export(model, call, enlarged, [size])
        except Exception:  # What was seen until then is told.
            pass
    places = [place for place in places if place]
    fixed = 2 if size.name in enlarged else size.example
    return ExportError(
        f"`{type(model).__name__}` works for {size.name} = {fixed} alone ({size})"
        f"{places[0] if places else ''}\n"
        f"  leave {size.name} out of `dynamic` to count at this size, or change the line so that it takes "
        "any size"
    )


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
    _write(program, model, path)
    module = model if isinstance(model, torch.nn.Module) else None
    classes = {path: type(one).__name__ for path, one in module.named_modules()} if module else {}
    unknown = _without_elements(model, program)
    return Source(str(path), name, options, classes, notes, unknown, keeper=folder)


def _write(program: ExportedProgram, model: Any, path: Path) -> None:
    """An archive as ``torch.export.save`` writes it, of the elements of tensors only those of masks and places."""
    from torch._export.serde.serialize import serialize

    takes = inspect.signature(serialize).parameters
    parts = ("serialize_state_dict", "serialize_constants", "serialize_example_inputs")
    with _quick():
        written = serialize(program, **{part: False for part in parts if part in takes})
    weights = {
        name: {"path_name": f"weight_{i}", "is_param": True, "use_pickle": False, "tensor_meta": None}
        for name, i in _storages(model, program).items()
    }
    marks = {name: tensor for name, tensor in _stored(model, program) if _marks(tensor)}
    for i, (name, tensor) in enumerate(marks.items()):
        weights[name] = {
            "path_name": f"mark_{i}",
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": _layout(tensor),
        }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        folder = path.stem
        for i, tensor in enumerate(marks.values()):
            data = bytes(tensor.contiguous().cpu().untyped_storage())
            archive.writestr(f"{folder}/data/weights/mark_{i}", data[: tensor.numel() * tensor.element_size()])
        archive.writestr(f"{folder}/archive_format", "pt2")
        if isinstance(model, torch.nn.Module):
            archive.writestr(f"{folder}/extra/module_names.json", json.dumps(_module_names(model)))
        archive.writestr(f"{folder}/models/{folder}.json", written.exported_program)
        archive.writestr(
            f"{folder}/data/weights/{folder}_weights_config.json", json.dumps({"config": weights})
        )


def _module_names(model: torch.nn.Module) -> dict[str, int]:
    """How often a walk from parents to children meets a module, by each of its names, where that is not once."""
    met: dict[int, int] = {id(model): 1}
    # A module comes after all of its parents: the reverse of the order in which they are left.
    left: dict[int, torch.nn.Module] = {}

    def walk(module: torch.nn.Module) -> None:
        for child in module.children():
            if id(child) not in left:
                walk(child)
        left[id(module)] = module

    walk(model)
    for module in reversed(left.values()):
        for child in module.children():
            met[id(child)] = met.get(id(child), 0) + met[id(module)]
    named = model.named_modules(remove_duplicate=False)
    return {path: met[id(module)] for path, module in named if met[id(module)] > 1}


def _stored(model: Any, program: ExportedProgram) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a program keeps and that are no parameters, with the elements they have in the model."""
    kept = {**program.state_dict, **program.constants}
    buffers = dict(model.named_buffers(remove_duplicate=False)) if isinstance(model, torch.nn.Module) else {}
    for name, tensor in kept.items():
        tensor = buffers.get(name, tensor)
        if isinstance(tensor, torch.Tensor) and not isinstance(tensor, torch.nn.Parameter):
            yield name, tensor


#: The most elements of a tensor that are written.
_MOST = 1 << 20


def _marks(tensor: torch.Tensor) -> bool:
    """Whether a count follows from the elements of a tensor: from whole numbers, and from reals that hide."""
    if type(tensor) is not torch.Tensor or tensor.is_meta or not 0 < tensor.numel() <= _MOST:
        return False
    if not tensor.is_floating_point():
        return not tensor.is_complex() and tensor.layout is torch.strided
    hides = tensor <= torch.finfo(torch.float16).min
    if tensor.dim() == 0:
        return bool(hides)
    return tensor.dim() > 1 and bool(hides.any() or ((tensor == 0) | (tensor == 1)).all())


def _without_elements(model: Any, program: ExportedProgram) -> tuple[str, ...]:
    """The buffers on meta that are read and may be masks: truth values, and reals of several dimensions."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    specs = program.graph_signature.input_specs
    read = {spec.target for spec in specs if spec.target and placeholders[spec.arg.name].users}
    return tuple(
        name
        for name, tensor in _stored(model, program)
        if name in read and tensor.is_meta
        and (tensor.dtype == torch.bool or tensor.is_floating_point() and tensor.dim() > 1)
    )


def _layout(tensor: torch.Tensor) -> dict[str, Any]:
    """The description of a tensor whose elements stand in rows, as an archive has it."""
    from torch._export.serde.serialize import _TORCH_TO_SERIALIZE_DTYPE

    def number(value: int) -> dict[str, int]:
        return {"as_int": value}

    strides = torch.empty(tensor.shape, device="meta").stride()
    return {
        "dtype": int(_TORCH_TO_SERIALIZE_DTYPE[tensor.dtype]),
        "sizes": [number(size) for size in tensor.shape],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [number(stride) for stride in strides],
        "storage_offset": number(0),
        "layout": 7,
    }


def _storages(model: Any, program: ExportedProgram) -> dict[str, int]:
    """For each parameter a number, which those share that are one tensor."""
    if isinstance(model, torch.nn.Module):
        named = model.named_parameters(remove_duplicate=False)
        keys = {name: id(parameter) for name, parameter in named}
    else:
        keys = {
            name: (tensor.untyped_storage()._cdata, tensor.storage_offset())
            for name, tensor in program.state_dict.items()
        }
    numbers: dict[Any, int] = {}
    return {name: numbers.setdefault(key, len(numbers)) for name, key in keys.items()}
