"""Modules: which of them are counted, and the state that they are in for a while. Imported only where there
is torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import io
import json
import logging
import sys
import warnings
from contextlib import contextmanager
from typing import Any, Iterator

import torch
from torch._dynamo.eval_frame import OptimizedModule
from torch.utils import _pytree as pytree

from ._binary import ExportError
from ._refusals import is_users


def _within(model: Any) -> torch.nn.Module | None:
    """The module that another only compiles or distributes."""
    if isinstance(model, OptimizedModule):
        return model._orig_mod
    if isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
        return model.module
    return None


def innermost(model: torch.nn.Module) -> torch.nn.Module:
    """A module without those around it that only compile or distribute it."""
    while (within := _within(model)) is not None:
        model = within
    return model


def check(model: torch.nn.Module) -> None:
    """Refuses modules that cannot be exported whatever their inputs are."""
    for path, module in model.named_modules():
        name = type(module).__name__
        what = f"`{path}`, a {name}," if path else f"`{name}`"
        if isinstance(module, torch.jit.ScriptModule):
            raise ExportError(f"{what} is a program of TorchScript: pass the nn.Module that it was made of")
        if ".quantized" in type(module).__module__:
            raise ExportError(f"{what} is quantised: count the module before that, the operations are the same")
        if isinstance(module, torch.nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():
            raise ExportError(
                f"{what} takes its sizes from the first inputs that it sees: call the model with the example once"
            )
    if model.forward.__func__ is torch.nn.Module.forward if hasattr(model.forward, "__func__") else False:
        raise ExportError(
            f"`{type(model).__name__}` has no `forward`: count the module whose `forward` calls its parts"
        )


@contextmanager
def as_exported(model: torch.nn.Module) -> Iterator[None]:
    """A model without modules inside of it that only compile or distribute their one part."""
    changed = []
    try:
        for module in list(model.modules()):
            for name, child in module._modules.items():
                if child is not None and _within(child) is not None:
                    changed.append((module, name, child))
                    module._modules[name] = innermost(child)
        yield
    finally:
        for module, name, child in changed:
            module._modules[name] = child


def on_meta(model: torch.nn.Module, arguments: Any) -> bool:
    # What a module without tensors makes itself is where its inputs are.
    tensors = [*model.parameters(), *model.buffers()]
    given = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, torch.Tensor)]
    return any(tensor.is_meta for tensor in tensors + given if tensors)


def device(model: torch.nn.Module) -> torch.device | None:
    """Where all tensors of a model are, if that is one place."""
    places = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    return places.pop() if len(places) == 1 else None


@contextmanager
def wholly_on_meta(model: torch.nn.Module, meta: bool) -> Iterator[None]:
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
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode for a while."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


#: How many calls a module inside of another may take in PyTorch.
_CALLS = 30


@contextmanager
def nested(model: torch.nn.Module) -> Iterator[None]:
    """As deep calls for a while as modules that are nested deep take."""
    before = sys.getrecursionlimit()
    depth = max(path.count(".") for path, _ in model.named_modules())
    sys.setrecursionlimit(max(before, min(before + _CALLS * depth, 100_000)))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextmanager
def quick() -> Iterator[None]:
    """Without searches for garbage, of which an export makes many and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch writes beside a refusal, which is told as one message: its log, warnings, and the graph.

    What the model itself writes is seen as ever, unless it is refused.
    """
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "torch"]
    loggers = [logger for logger in map(logging.getLogger, names) if not logger.disabled]
    written = io.StringIO()
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(written):
            yield
    finally:
        for logger in loggers:
            logger.disabled = False
    sys.stderr.write(written.getvalue())
    for one in caught:
        if is_users(one.filename):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno, registry=_warned)


#: The warnings that were shown.
_warned: dict[Any, Any] = {}


@contextmanager
def containers_known(model: torch.nn.Module, inputs: Any) -> Iterator[None]:
    """PyTorch knows the dataclasses and the named tuples among the inputs and the outputs of a model for a while."""
    known: list[type] = []
    nameless: dict[type, Any] = {}

    def name_written(one: type) -> None:
        """A class that its owner registered without a name for archives has one for a while."""
        written = pytree.SUPPORTED_SERIALIZED_TYPES.get(one)
        if written is not None and written.serialized_type_name == pytree.NO_SERIALIZED_TYPE_NAME_FOUND:
            nameless[one] = written
            name = f"{one.__module__}.{one.__qualname__}"
            context = written.to_dumpable_context or _dumpable
            pytree.SUPPORTED_SERIALIZED_TYPES[one] = written._replace(
                serialized_type_name=name, to_dumpable_context=context
            )

    def know(one: type, register: Any) -> bool:
        if one is type or one in pytree.SUPPORTED_NODES:
            return False
        register(one, serialized_type_name=f"{one.__module__}.{one.__qualname__}")
        known.append(one)
        return True

    def named_tuple(value: Any) -> bool:
        if isinstance(value, tuple) and hasattr(type(value), "_fields"):
            know(type(value), pytree._register_namedtuple)
        return False

    def look(values: Any) -> None:
        leaves = pytree.tree_leaves(values, is_leaf=named_tuple)
        found = [type(leaf) for leaf in leaves if dataclasses.is_dataclass(leaf)]
        if any([know(one, torch.export.register_dataclass) for one in dict.fromkeys(found)]):
            look(values)

    for one in list(pytree.SUPPORTED_NODES):
        name_written(one)
    look(inputs)
    hook = model.register_forward_hook(lambda module, given, result: look(result))
    try:
        yield
    finally:
        hook.remove()
        pytree.SUPPORTED_SERIALIZED_TYPES.update(nameless)
        # What is registered for good could not be registered by its owner any more. Old versions keep it.
        forget = getattr(pytree, "_deregister_pytree_node", None)
        for one in known if forget else ():
            forget(one)


def _dumpable(context: Any) -> Any:
    """What an archive has of a container beside its parts."""
    try:
        json.dumps(context)
    except (TypeError, ValueError):
        return repr(context)
    return context


def mapped(change: Any, value: Any) -> Any:
    """A value for each leaf, in the form in which PyTorch takes what is said of inputs."""
    own = type(value) in pytree.SUPPORTED_NODES and type(value) not in pytree.BUILTIN_TYPES
    if own and not hasattr(value, "_fields"):
        parts, _ = pytree.SUPPORTED_NODES[type(value)].flatten_fn(value)
        return [mapped(change, part) for part in parts]
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(mapped(change, part) for part in value)
    if type(value) is dict:
        return {key: mapped(change, part) for key, part in value.items()}
    return pytree.tree_map(change, value)
