"""What the command is asked about, and how its messages are told."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Iterator, Mapping

from . import _binary
from ._binary import OpledgerError


@dataclass(frozen=True)
class Source:
    """What the command is asked about."""

    #: A model as the command reads it.
    text: str
    #: What a reader calls it.
    name: str
    #: Options that belong to it.
    options: tuple[str, ...] = ()
    #: The class of each module by its path, where it is known.
    classes: Mapping[str, str] = field(default_factory=dict)
    #: What was found when the model was read.
    notes: tuple[str, ...] = ()
    #: Buffers on meta that may be masks: which pairs they hide is not known.
    unknown: tuple[str, ...] = ()
    #: Parameters that nothing reads.
    idle: frozenset[str] = frozenset()
    #: A file of the inputs that masks may follow from, where their elements are known.
    inputs: str | None = None
    #: Sizes that it has alone, which the command is not told.
    fixed: Mapping[str, int] = field(default_factory=dict)
    #: What sizes are, by their names, where that is known.
    meanings: Mapping[str, str] = field(default_factory=dict)
    #: Between what the user says that sizes lie; the second is none where there is no end.
    bounds: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    #: The module at sizes of 0 and 1, where there is one.
    ones: Any = None
    #: The model of larger sizes, where this is another one.
    larger: Source | None = None
    #: Keeps temporary files until nobody asks any more.
    keeper: Any = None

    @cached_property
    def derived(self) -> _binary.Answer:
        """The formulas of the model."""
        return self.ask("derive")

    @property
    def about_unknown(self) -> tuple[str, ...]:
        """What a reader has to know of buffers on meta."""
        if not self.unknown:
            return ()
        names = ", ".join(f"`{name}`" for name in self.unknown)
        return (
            f"what {names} may hide is not known, since buffers on meta have no elements; give a mask its "
            f"elements on the CPU, such as model.{self.unknown[0]} = …, and leave the rest on meta",
        )

    def _counted_so(self, message: str, arguments: tuple[str, ...]) -> str:
        """A refusal of sizes with the call that has them."""
        again = "; export it again with examples of such sizes"
        if again not in message:
            return message
        given = (word.split("=") for word in arguments if re.fullmatch(r"\w+=\d+", word))
        written = self.ones.written({name: int(size) for name, size in given}) if self.ones is not None else ""
        return message.replace(again, f"; count it with an example of such sizes{':' if written else ''}") + (
            f"\n  {written}" if written else ""
        )

    @property
    def bounded(self) -> Iterator[tuple[str, str, int]]:
        """The user's bounds: a size, how it is compared, and with what."""
        for name, (least, most) in self.bounds.items():
            if least > 0:
                yield name, "≥", least
            if most is not None:
                yield name, "≤", most

    def check(self, sizes: Mapping[str, int]) -> None:
        """Refuses sizes beyond the user's bounds."""
        for name, relation, bound in self.bounded:
            size = sizes.get(name, bound)
            if size < bound if relation == "≥" else size > bound:
                raise OpledgerError(
                    f"`{self.name}` holds where {name} {relation} {bound}, as its Dim says, and not at {name}={size}"
                )

    def told(self, conditions: tuple[str, ...]) -> tuple[str, ...]:
        """The user's bounds as notes, but where a condition says as much or more."""
        notes = []
        for name, relation, bound in self.bounded:
            start = f"holds where {name} {relation} "
            others = [int(note[len(start) :]) for note in conditions if re.fullmatch(re.escape(start) + r"\d+", note)]
            if not any(other >= bound if relation == "≥" else other <= bound for other in others):
                notes.append(f"{start}{bound}")
        return tuple(notes)

    def ask(self, verb: str, *arguments: str) -> _binary.Answer:
        """Asks the command about the model; its messages are told in the words of this package."""
        # Names of tools stand before the model.
        names = len(arguments) if verb == "explain" else 0
        names = next((at for at, word in enumerate(arguments[:names]) if word.startswith("--")), names)
        first, second = arguments[:names], arguments[names:]
        try:
            answer = _binary.ask(verb, *first, self.text, *self.options, *second)
        except OpledgerError as error:
            message = str(error).replace(self.text, self.name) if self.keeper else str(error)
            wanted = re.findall(r"--set (\w+)=<size>", message)
            calls = ", ".join(f"{name}=…" for name in wanted)
            message = re.sub(r"--set \w+=<size>( --set \w+=<size>)*", f".at({calls})", message)
            message = message.replace("with `--partial` the rest", "with partial=True the rest")
            if self.classes:
                message = self._counted_so(message, arguments)
                # It was exported in evaluation.
                message = message.replace(
                    "dropout in training: export the model in evaluation (`model.eval()`)",
                    "dropout in evaluation too: write F.dropout(…, training=self.training)",
                )
            message = _nearest(message)
            message = re.sub(r"^invalid value '(.*)' for '--assert <ASSERTION>': ", r"assertion `\1`: ", message)
            if "mask" in message:
                message = "\n  ".join((message, *self.about_unknown))
            raise OpledgerError(message) from None
        return answer


def _nearest(message: str) -> str:
    """What the command says of a name that it has not, the nearest first and without a long list."""
    found = re.match(r"(quantity|convention) `(.*)` is not known; there are: ([^()]+)", message)
    if found is None:
        return message
    kind, name, names = found[1], found[2], found[3].strip().split(", ")
    near = difflib.get_close_matches(name.replace("_", "-"), names, 1)
    if kind == "convention":
        mend = "`opledger.conventions()` lists them"
    else:
        mend = f"there are {', '.join(names[: names.index('atan') + 1] if 'atan' in names else names)}"
    return f"there is no {kind} `{name}`; " + (f"did you mean `{near[0]}`? {mend[0].upper()}{mend[1:]}" if near else mend)
