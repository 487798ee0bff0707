"""What a training step costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Mapping, Sequence

from . import _binary
from ._binary import OpledgerError
from ._explanation import Explanation
from ._source import Source
from ._table import Table, share


@dataclass(frozen=True)
class Phase:
    """A part of a step: forward, loss, backward, recomputation, update."""

    name: str
    #: Twice the multiplications in contractions.
    matmul_flops: int
    #: All scalar operations.
    flops: int


@dataclass(frozen=True)
class TrainedModule:
    """What a module costs in a step, in twice the multiplications in contractions."""

    #: Its path; empty for the model itself.
    path: str
    forward: int
    #: For its gradients, and the update of its parameters.
    backward: int
    #: Computed again.
    recomputation: int
    #: All scalar operations of all parts.
    flops: int


@dataclass(frozen=True)
class Term:
    """What leads from 6·N·T to the step, and why."""

    reason: str
    flops: int


@dataclass(frozen=True)
class Mask:
    """The step with attention counted over some pairs: all, half of them, those that its mask leaves."""

    pairs: str
    #: Of products of attention.
    attention: int
    model_flops: int
    hardware_flops: int


class TrainingCost:
    """The exact cost of a training step at sizes: forward pass, loss, gradients, update.

    Made by :func:`opledger.train_cost`. Prints itself as a table of its parts, in a notebook with bars.
    """

    def __init__(self, source: Source, sizes: Mapping[str, int], recompute: str, options: Sequence[str]) -> None:
        self._source = source
        self._sizes = dict(sizes)
        self._recompute = recompute
        self._options = ("--recompute", recompute, *options)
        self._given = tuple(options)

    @cached_property
    def _answer(self) -> _binary.Answer:
        self._source.check(self._sizes)
        return self._source.ask("train", *_binary.sizes(self._sizes), *self._options)

    @property
    def _record(self) -> Any:
        return self._answer.record

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._source.name

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes at which is counted."""
        return dict(self._sizes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know."""
        source, conditions = self._source, self._answer.notes
        return tuple(dict.fromkeys((*source.notes, *source.about_unknown, *source.told(conditions), *conditions)))

    @property
    def model_flops(self) -> int:
        """Twice the multiplications in contractions, what is computed again left out: the numerator of MFU."""
        return self._record["model_flops"]

    @property
    def hardware_flops(self) -> int:
        """The same with what is computed again: the numerator of HFU."""
        return self._record["hardware_flops"]

    @property
    def flops(self) -> int:
        """All scalar operations of the step, each worth one."""
        return self._record["flops"]

    @property
    def params(self) -> int:
        """Elements of parameters."""
        return self._record["parameters"]

    @property
    def trained(self) -> int:
        """Those that have a gradient."""
        return self._record["trained"]

    @property
    def tokens(self) -> int | None:
        """How many tokens a step is of, of a model that has tokens."""
        return self._record["tokens"]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The parts of the step."""
        return tuple(Phase(p["phase"], p["matmul_flops"], p["flops"]) for p in self._record["phases"])

    @property
    def modules(self) -> tuple[TrainedModule, ...]:
        """The same by module."""
        fields = ("path", "forward", "backward", "recomputation", "flops")
        return tuple(TrainedModule(*(m[field] for field in fields)) for m in self._record["modules"])

    @property
    def terms(self) -> tuple[Term, ...]:
        """From 6·N·T to :attr:`hardware_flops`, each difference with its reason; none of models without tokens."""
        return tuple(Term(t["reason"], t["flops"]) for t in self._record["terms"])

    @property
    def masks(self) -> tuple[Mask, ...]:
        """The step with attention over all pairs of a mask, half of them, and those that it leaves; none where no
        mask follows from positions."""
        fields = ("pairs", "attention", "model_flops", "hardware_flops")
        return tuple(Mask(*(m[field] for field in fields)) for m in self._record["masks"])

    @property
    def memory(self) -> dict[str, Any]:
        """Bytes of weights, gradients, state of the optimiser, of what is kept for the gradients, and of all these; and
        the types that they are in."""
        return dict(self._record["memory"])

    def utilisation(self, seconds: float, peak: float) -> tuple[float, float]:
        """The shares of a machine's peak, in operations a second, that a step of so many seconds reaches: MFU, HFU."""
        if not seconds > 0 or not peak > 0:
            raise OpledgerError(f"a step of {seconds!r} seconds at {peak!r} operations a second: both are above 0")
        return self.model_flops / (seconds * peak), self.hardware_flops / (seconds * peak)

    def at(self, /, **sizes: int) -> TrainingCost:
        """The same step at sizes, those of before where none is given.

        Raises :class:`OpledgerError` if the model has no such size.
        """
        cost = TrainingCost(self._source, {**self._sizes, **_binary.whole(sizes)}, self._recompute, self._given)
        cost._answer
        return cost

    def convention(self, tool: str) -> int:
        """What a tool or a framework says of the step: ``torch-flop-counter``, ``megatron-lm``, ``torchtitan``, …"""
        arguments = (*_binary.sizes(self._sizes), *self._options, "--convention", tool)
        return self._source.ask("train", *arguments).record["conventions"][0]["total"]

    def explain(self, tool: str, other: str | None = None) -> Explanation:
        """Why a tool says another number of the step than ``other``, to the last unit.

        Without ``other`` it is our own count: of a framework's formula ``step-products``, else ``matmul-flops``.
        """
        names = (tool,) if other is None else (tool, other)
        arguments = (*_binary.sizes(self._sizes), "--step", "--recompute", self._recompute)
        return Explanation(self.name, self._source.ask("explain", *names, *arguments).record)

    def table(self) -> Table:
        """The table that is printed."""
        whole = self.hardware_flops or 1
        rows = [
            [phase.name, f"{phase.matmul_flops:,}", share(phase.matmul_flops, whole), f"{phase.flops:,}"]
            for phase in self.phases
        ]
        below = [f"model {self.model_flops:,}, hardware {self.hardware_flops:,}; of {self.trained:,} parameters"]
        if self.terms:
            below.append(f"{whole / (self.terms[0].flops or 1):.3f} of 6·N·T = {self.terms[0].flops:,}")
        below += [f"{mask.model_flops:,} with pairs of attention: {mask.pairs}" for mask in self.masks]
        memory = self.memory
        parts = [(part, memory[part]) for part in ("weights", "gradients", "state", "masters", "kept")]
        told = ", ".join(f"{part} {size:,}" for part, size in parts if size is not None)
        below.append(f"memory {memory['total']:,} bytes: {told}")
        below += [f"note: {note}" for note in self.notes]
        at = ", ".join(f"{k}={v}" for k, v in self._sizes.items())
        return Table(
            title=f"step of {self.name} at {at}" if at else f"step of {self.name}",
            head=["part", "matmul_flops", "of them", "flops"],
            rows=rows,
            numbers=frozenset((1, 2, 3)),
            total=["step", f"{self.hardware_flops:,}", "100.0 %", f"{self.flops:,}"],
            bars=[phase.matmul_flops / whole for phase in self.phases],
            below=below,
            dispensable=("flops", "of them"),
        )

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()
