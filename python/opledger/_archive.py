"""The archive of an exported program, as the command reads it. Imported only where there is torch."""

from __future__ import annotations

import inspect
import json
import math
import zipfile
from pathlib import Path
from typing import Any, Iterator, Sequence
from unittest import mock

import torch
from torch.export import ExportedProgram

from ._binary import ExportError
from ._module import quick, quiet

#: The most elements of an input that are looked at.
_MOST_ELEMENTS = 1 << 22


def write(program: ExportedProgram, model: Any, path: Path) -> None:
    """An archive as ``torch.export.save`` writes it, of the elements of tensors only those of masks and places."""
    from torch._export.serde import serialize as serde

    takes = inspect.signature(serde.serialize).parameters
    parts = ("serialize_state_dict", "serialize_constants", "serialize_example_inputs")
    try:
        # PyTorch tries whether what it writes has a canonical form, and throws that away: an eighth of all.
        # Nor does it write what rounds a size, of which an archive needs the result alone.
        rounds = serde._SYM_OPS | {math.ceil, math.floor, round}
        with (
            quick(),
            quiet(),
            mock.patch.object(serde, "canonicalize", lambda program, *_: program, create=True),
            mock.patch.object(serde, "_SYM_OPS", rounds),
        ):
            written = serde.serialize(program, **{part: False for part in parts if part in takes})
    except Exception as error:  # PyTorch refuses in many types.
        text = str(error).strip().split("\n")[0].split(" in graph:")[0]
        raise ExportError(f"`{path.stem}` is exported, but torch.export cannot write it: {text}") from None
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


def idle(program: ExportedProgram) -> frozenset[str]:
    """The parameters that nothing reads."""
    read = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    specs = program.graph_signature.input_specs
    return frozenset(spec.target for spec in specs if spec.target and spec.arg.name not in read)


def without_elements(model: Any, program: ExportedProgram) -> tuple[str, ...]:
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


def whole_inputs(program: ExportedProgram, leaves: Sequence[Any], folder: Path) -> str | None:
    """A safetensors file of the whole numbers and truth values of an example, if it has some."""
    kinds = {torch.bool: "BOOL", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8"}
    header: dict[str, Any] = {}
    data = b""
    for name, leaf in zip(program.graph_signature.user_inputs, leaves, strict=False):
        if not isinstance(leaf, torch.Tensor) or leaf.dtype not in kinds:
            continue
        if leaf.device.type != "meta" and leaf.numel() <= _MOST_ELEMENTS:
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
