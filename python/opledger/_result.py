"""What is answered about a model."""

from __future__ import annotations

import contextlib
import difflib
import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from . import _binary
from ._binary import OpledgerError
from ._explanation import Explanation
from ._formula import Formula
from ._parts import Module, Modules, Named, Quantity, SourceLine, SourceLines
from ._source import Source
from ._table import Table

if TYPE_CHECKING:
    import pandas

_QUANTITIES = ("macs", "flops", "matmul_flops", "params", "trainable", "bytes_read", "bytes_written")
_CLASSES = ("add", "mul", "div", "max", "exp", "log", "sqrt", "tanh", "erf", "sin", "cos", "atan")


class Count:
    """Exact counts of a model: formulas in its sizes, and numbers at sizes.

    Made by :func:`opledger.count`. Prints itself as a table by module, in a notebook with bars.
    """

    def __init__(self, source: Source, sizes: Mapping[str, int]) -> None:
        self._source = source
        self._sizes = dict(sizes)
        #: Those that the masks of the example leave.
        self._left: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._source.name

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes at which is counted."""
        return dict(self._sizes)

    @property
    def _derived(self) -> _binary.Answer:
        return self._source.derived

    @cached_property
    def _counted(self) -> _binary.Answer:
        return self._source.ask("count", *self._words)

    @property
    def _words(self) -> tuple[str, ...]:
        """The sizes as arguments of the command."""
        fixed = self._source.fixed
        self._source.check(self._sizes)
        for name, size in fixed.items():
            if self._sizes.get(name, size) != size:
                raise OpledgerError(f"`{self.name}` is counted at {name} = {size} alone, and not at {self._sizes[name]}")
        return tuple(_binary.sizes({name: size for name, size in self._sizes.items() if name not in fixed}))

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Parameters, multiplications and operations, by which models are compared."""
        return self.params, self.macs, self.flops

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know: conditions on sizes, sizes that are fixed, what is left out."""
        source, conditions = self._source, self._derived.notes
        # In order, each once.
        return tuple(dict.fromkeys((*source.notes, *source.about_unknown, *source.told(conditions), *conditions)))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sizes that formulas are written in."""
        record = self._derived.record
        texts = [Formula(str(_pick(record, one))) for one in ("flops", "params", "bytes_written")]
        defined = {part.split(" = ")[0].strip() for d in self._definitions for part in d.split("; ")}
        return tuple(sorted({s for text in texts for s in text.symbols} - defined))

    @property
    def _definitions(self) -> tuple[str, ...]:
        return tuple(self._derived.record["definitions"])

    def _at_example(self) -> None:
        """Takes what masks leave from the example, where it has their elements."""
        if not (self._by_contents and self._source.inputs):
            return
        try:
            found = self._source.ask("count", *self._words, "--input", self._source.inputs).record["binding"]
        except OpledgerError:
            # A mask that follows from something else stays open.
            return
        self._left = tuple(name for name in self._by_contents if name in found)
        self._sizes.update({name: found[name] for name in self._left})

    @property
    def _by_contents(self) -> tuple[str, ...]:
        """Symbols that only the contents of masks say, such as ``pairs``."""
        return tuple(self._derived.record.get("by_contents", ()))

    # Numbers.

    @property
    def macs(self) -> int:
        """Multiplications inside contractions, that is, multiply-accumulate operations."""
        return self._counted.record["macs"]

    @property
    def flops(self) -> int:
        """All scalar operations, each worth one."""
        return self._counted.record["flops"]

    @property
    def matmul_flops(self) -> int:
        """Twice :attr:`macs`."""
        return self._counted.record["matmul_flops"]

    @property
    def params(self) -> int:
        """Elements of parameters, those that are shared counted once.

        Raises :class:`OpledgerError` where they depend on a size that is not given.
        """
        return self._elements("params")

    @property
    def trainable(self) -> int:
        """Elements of parameters that have gradients, as :attr:`params`."""
        return self._elements("trainable")

    def _elements(self, which: str) -> int:
        value = _pick(self._derived.record, which)
        return Formula(str(value), self._definitions, lambda sizes: self._value(which, sizes), self._names)(
            **self._sizes
        )

    @property
    def counts(self) -> dict[str, int]:
        """Operations of each class: ``add``, ``mul``, ``div``, ``max``, ``exp``, …"""
        return dict(self._counted.record["counts"])

    @property
    def bytes_read(self) -> int:
        """Bytes of operands in single precision, each read once."""
        return self._counted.record["bytes"]["read"]

    @property
    def bytes_written(self) -> int:
        """Bytes of results in single precision."""
        return self._counted.record["bytes"]["written"]

    @property
    def memory(self) -> dict[str, Any]:
        """Bytes of parameters, of cached keys and values, and of activations at their peak."""
        return dict(self._counted.record["memory"])

    def at(self, /, **sizes: int) -> Count:
        """The same model at sizes, those of before where none is given.

        Raises :class:`OpledgerError` if the model has no such size.
        """
        sizes = _binary.whole(sizes)
        if self._source.larger is not None:
            return Count(self._source.larger, self._sizes).at(**sizes)
        for name, size in sizes.items():
            if name not in self._names:
                self._check(name, size)
        sizes = self._with_equals(sizes)
        self._source.check(sizes)
        same = all(self._sizes.get(name) == size for name, size in sizes.items())
        # What the masks of the example leave is of its sizes alone.
        kept = {k: v for k, v in self._sizes.items() if same or k not in self._left}
        count = Count(self._source, {**kept, **sizes})
        count._left = self._left if same else ()
        return count._as_ones()

    def _with_equals(self, sizes: dict[str, int]) -> dict[str, int]:
        """Sizes with those that conditions say are the same, such as the batch of another input."""
        pairs = (re.fullmatch(r"holds where ([A-Za-z]\w*) = ([A-Za-z]\w*)", note) for note in self._derived.notes)
        equal = [(pair[1], pair[2]) for pair in pairs if pair]
        sizes = dict(sizes)
        for _ in equal:
            for one, other in (*equal, *((other, one) for one, other in equal)):
                if one in sizes:
                    sizes.setdefault(other, sizes[one])
        return sizes

    def _as_ones(self) -> Count:
        """The count at sizes of 0 and 1, which PyTorch sets apart: that of the model there, where it is another."""
        source = self._source
        ones = source.ones.of(self._sizes) if source.ones is not None else {}
        if not ones:
            return self
        told = " and ".join(f"{name} = {size}" for name, size in sorted(ones.items()))
        own = source.ones.made(ones)
        here = there = None
        with contextlib.suppress(OpledgerError):
            here = self.numbers
        if isinstance(own, Source) and all(self._sizes.get(name) == size for name, size in own.fixed.items()):
            with contextlib.suppress(OpledgerError):
                there = Count(own, self._sizes).numbers
        if here == there:
            return self
        if there is None:
            note = f"not compared with the model at {told}, which PyTorch sets apart"
            return self._of(replace(source, notes=(*source.notes, note)))
        note = f"at {told} this is another model than at larger sizes, which is counted here"
        return self._of(replace(own, notes=(note, *own.notes), larger=source))

    def _of(self, source: Source) -> Count:
        """The same sizes of another source."""
        count = Count(source, self._sizes)
        count._left = self._left
        return count

    @property
    def _names(self) -> tuple[str, ...]:
        """The sizes that are known to belong to the model."""
        return tuple(dict.fromkeys((*self.symbols, *self._by_contents, *self._sizes)))

    def _check(self, name: str, size: int) -> None:
        """Refuses a size that the model has not. Some that no formula shows it has, such as of a cache."""
        try:
            self._source.ask("count", *_binary.sizes({name: size}))
        except OpledgerError as error:
            if "is no size of" in str(error):
                raise

    # Formulas.

    def formula(self, quantity: str = "flops", module: str | None = None) -> Formula:
        """A quantity in the sizes of the model.

        ``quantity`` is ``macs``, ``flops``, ``matmul_flops``, ``params``, ``bytes_read``,
        ``bytes_written``, or a class of operations such as ``add`` or ``exp``; ``module`` is the path of one, as
        :meth:`by_module` or the model itself has it, whose formula is that of all within it. Formulas of modules that
        stand side by side add up to the formula of what is around them.
        """
        if module is not None:
            return self._formula_within(quantity, module)
        text = _pick(self._derived.record, quantity)
        return Formula(
            str(text),
            self._definitions,
            lambda sizes: self._value(quantity, sizes),
            self._names,
            self._holds,
            self._source.meanings,
        )

    def _formula_within(self, quantity: str, module: str) -> Formula:
        """A quantity of a module with all within it."""
        if not isinstance(module, str):
            raise OpledgerError(f"{module!r} is no path of a module, such as \"layers.0.attn\"")
        path, many = self._path_of(module, self._derived.record["nodes"])

        def terms(record: Any) -> list[Any]:
            placed = self._placed(record["nodes"])
            return [_pick_node(node, quantity) for own, node in placed if _is_within(own, path)]

        formulas = [Formula(str(value), holds=self._holds) for value in terms(self._derived.record)]
        whole = Formula.sum(formulas, self._definitions, self._names, self._source.meanings)
        # Equal layers cost the same.
        return whole.divided(many, lambda sizes: sum(terms(Count(self._source, sizes)._counted.record)) // many)

    def _path_of(self, module: str, nodes: list[dict[str, Any]]) -> tuple[str, int]:
        """The path under which a module stands in formulas, and how many modules stand under it."""
        placed = [path for path, _ in self._placed(nodes)]
        if any(_is_within(path, module) for path in placed):
            return module, 1
        paths = dict.fromkeys(
            ".".join(path.split(".")[:depth]) for path in placed for depth in range(1, path.count(".") + 2)
        )
        equal = [path for path in paths if "*" in path and _like(path).fullmatch(module)]
        if equal and (not self._source.classes or module in self._source.classes):
            many = Named(self._source.classes, [node["path"] for node in nodes]).many(equal[0])
            if many:
                return equal[0], many
            raise OpledgerError(
                f"`{module}` is one of several that are equal and told as one: module=\"{equal[0]}\" has them all"
            )
        near = difflib.get_close_matches(module, paths, 1)
        mend = f"did you mean `{near[0]}`? There" if near else "there"
        first = [path for path in paths if path and "." not in path]
        raise OpledgerError(f"there is no module `{module}`; {mend} are {', '.join(first) or 'none'}, and those within them")

    def _holds(self, sizes: Mapping[str, int]) -> None:
        """Refuses sizes at which formulas do not hold, and the command is not asked."""
        count = Count(self._source, sizes)
        count._words
        if count._as_ones()._source.larger is not None:
            ones = {name: size for name, size in sizes.items() if size < 2}
            told = ", ".join(f"{name}={size}" for name, size in ones.items())
            raise OpledgerError(
                f"`{self.name}` is another model at {told} than at larger sizes, for which this formula is; .at({told}) "
                "counts it there"
            )

    def _value(self, quantity: str, sizes: Mapping[str, int]) -> int:
        return _pick(Count(self._source, sizes)._counted.record, quantity)

    # Parts.

    def _complete(self) -> bool:
        """Whether every size has a number; a batch is one item unless it is said."""
        try:
            self._counted
        except OpledgerError:
            if all(symbol in self._sizes for symbol in (*self.symbols, *self._by_contents)):
                raise
            return False
        return True

    def by_module(self, depth: int | None = None) -> Modules:
        """What each module computes, down to ``depth`` levels; its own operations only without one.

        At sizes the entries are ints, else formulas. Parameters of a module that the model does not call,
        such as ``out_proj`` of ``nn.MultiheadAttention``, stand with the module around it, which computes
        with them; those that nothing reads stand with their own.
        """
        if depth is not None and (not isinstance(depth, int) or depth < 0):
            raise OpledgerError(f"depth is {depth!r}, and a depth is a whole number that is not negative")
        answer = self._counted if self._complete() else self._derived
        nodes = answer.record["nodes"]
        groups: dict[str, list[dict[str, Any]]] = {}
        # What is given to a module stands where the module computes first.
        for module, node in sorted(self._placed(nodes), key=lambda placed: placed[1]["op"] in _GIVEN):
            groups.setdefault(".".join(module.split(".")[:depth]), []).append(node)
        named = Named(self._source.classes, [node["path"] for node in nodes])
        paths = sorted(groups, key=named.place)
        modules = (self._module(path, named.type(path), groups[path]) for path in paths)
        kept = [m for m in modules if m.flops or m.params]
        return Modules(kept, self._title())

    def _placed(self, nodes: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """Nodes, each with the path of the module that it stands with."""
        calls = {node["path"].rpartition(".")[0] for node in nodes if node["op"] not in _GIVEN}
        placed = []
        for node in nodes:
            segments = node["path"].split(".")[:-1]
            while segments and ".".join(segments) not in calls and node["path"] not in self._source.idle:
                segments.pop()
            placed.append((".".join(segments), node))
        return placed

    def _module(self, path: str, kind: str, nodes: list[dict[str, Any]]) -> Module:
        def total(values: Iterator[Any]) -> Quantity:
            values = list(values)
            if all(isinstance(value, int) for value in values):
                return sum(values)
            formulas = [Formula(str(value), holds=self._holds) for value in values]
            return Formula.sum(formulas, self._definitions, self._names, self._source.meanings)

        return Module(
            path=path,
            type=kind,
            params=total(node["params"] for node in nodes),
            macs=total(node["macs"] for node in nodes),
            flops=total(node["flops"] for node in nodes),
            counts={name: total(node["counts"][name] for node in nodes) for name in _CLASSES},
        )

    def by_line(self) -> SourceLines:
        """What each line of the model's source computes, at sizes: a line that several modules run is
        one.

        The line of a call is the innermost that is not PyTorch's own. A model that was not a module of
        PyTorch has the lines of Opledger's layers.
        """
        record = self._source.ask("count", *self._words, "--where").record
        sums: dict[str, list[int]] = {}
        for node in record["nodes"]:
            if node["flops"]:
                own = sums.setdefault(node["where"] or "no line:0", [0, 0])
                own[0] += node["macs"]
                own[1] += node["flops"]
        rows = []
        for place, (macs, flops) in sorted(sums.items(), key=lambda item: -item[1][1]):
            file, _, number = place.rpartition(":")
            rows.append(SourceLine(file, int(number), macs, flops))
        return SourceLines(rows, self._title())

    def to_pandas(self, depth: int | None = None) -> pandas.DataFrame:
        """The modules as a data frame, with a column for each class of operations."""
        try:
            import pandas
        except ImportError:
            raise OpledgerError("pandas is not installed: `pip install pandas`") from None
        rows = [
            {"module": m.path, "class": m.type, "params": m.params, "macs": m.macs, "flops": m.flops, **m.counts}
            for m in self.by_module(depth)
        ]
        # Python's integers, which never overflow.
        return pandas.DataFrame(rows).astype(
            {name: object for name in ("params", "macs", "flops", *_CLASSES)}
        )

    # Tools.

    def convention(self, tool: str) -> int:
        """What a tool would print, such as ``fvcore`` or ``thop``; see :func:`opledger.conventions`."""
        record = self._source.ask("count", *self._words, "--convention", _tool(tool)).record
        return record["conventions"][0]["total"]

    def explain(self, tool: str, other: str | None = None) -> Explanation:
        """Why a tool prints another number than ``other``, to the last unit.

        ``other`` is another tool; without one it is our own count in the unit of the tool, ``macs`` or
        ``matmul-flops``, and of a framework's formula the products that are computed.
        """
        names = [_tool(name) for name in (tool, other) if name is not None]
        if names[0] in ("macs", "matmul-flops") and names[1:] in ([], [names[0]]):
            raise OpledgerError(
                f"`{names[0]}` is our own count, and is explained beside another: r.explain(\"fvcore\"), or "
                f"r.explain(\"flops\", \"{names[0]}\")"
            )
        record = self._source.ask("explain", *names, *self._words).record
        return Explanation(self.name, record)

    # Display.

    def _title(self) -> str:
        if not self._sizes:
            return self.name
        return f"{self.name} at {', '.join(f'{k}={v}' for k, v in self._sizes.items())}"

    def table(self, depth: int | None = None) -> Table:
        """The table that is printed."""
        modules = self.by_module(depth)
        if depth is None and len(modules) > _MOST_ROWS:
            # The greatest depth whose table is read at a glance.
            for level in range(4, 0, -1):
                modules = self.by_module(level)
                if len(modules) <= _MOST_ROWS:
                    break
        table = modules.table()
        complete = self._complete()
        record = self._counted.record if complete else self._derived.record
        total = ["total", *([""] if "class" in table.head else [])]
        total += [_total(record["params"]["total"]), _total(record["macs"]), _total(record["flops"])]
        table.total = total + (["100.0 %"] if "share" in table.head else [])
        if complete and self.symbols:
            formulas = {quantity: self.formula(quantity) for quantity in ("macs", "flops")}
            table.below += [f"{quantity} = {formula.text}" for quantity, formula in formulas.items()]
            shown = [one for formula in formulas.values() for one in formula.definitions]
            table.below += [f"where {definition}" for definition in dict.fromkeys(shown)]
        if not complete:
            table.below += [f"where {definition}" for definition in self._definitions]
        table.below += [f"note: {note}" for note in self.notes]
        return table

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


_MOST_ROWS = 40

#: What is given to a model and not computed by it.
_GIVEN = frozenset(("param", "buffer", "input"))


def _total(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pick(record: Mapping[str, Any], quantity: str) -> Any:
    key = str(quantity).replace("-", "_")
    if key in ("macs", "flops", "matmul_flops"):
        return record[key]
    if key in ("params", "trainable"):
        return record["params"]["total" if key == "params" else key]
    if key in ("bytes_read", "bytes_written"):
        return record["bytes"][key.removeprefix("bytes_")]
    if key in record["counts"]:
        return record["counts"][key]
    known = [*_QUANTITIES, *_CLASSES]
    near = difflib.get_close_matches(key, known, 1)
    mend = f"did you mean `{near[0]}`? There" if near else "there"
    raise OpledgerError(f"there is no quantity `{quantity}`; {mend} are {', '.join(known)}")


def _pick_node(node: Mapping[str, Any], quantity: str) -> Any:
    """A quantity of a node."""
    key = str(quantity).replace("-", "_")
    if key == "trainable":
        raise OpledgerError("`trainable` is told of the whole model: leave `module` out, or ask for `params`")
    if key == "matmul_flops":
        macs = node["macs"]
        return 2 * macs if isinstance(macs, int) else Formula.sum([Formula(macs)] * 2).text
    # By the names that the record of the whole has.
    return _pick({**node, "params": {"total": node["params"]}}, key)


def _is_within(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")


def _like(path: str) -> re.Pattern[str]:
    """The modules that a path with `*` in it stands for."""
    return re.compile(r"\d+".join(map(re.escape, path.split("*"))))


def _tool(name: Any) -> str:
    """A convention as the command writes it."""
    if not isinstance(name, str):
        raise OpledgerError(f"{name!r} is no text, and the name of a tool is one")
    quantity = name.replace("-", "_")
    if quantity in (*_QUANTITIES, *_CLASSES) and quantity not in ("macs", "flops", "matmul_flops"):
        raise OpledgerError(
            f"`{name}` is a quantity and no convention of a tool: r.formula(\"{quantity}\") has it, and "
            "opledger.conventions() lists what is explained"
        )
    return name.replace("_", "-")
