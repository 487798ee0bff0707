"""The command: where it is, and what it answers."""

from __future__ import annotations

import json
import operator
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import weakref
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping, Sequence


def printable(text: str) -> str:
    """Text that models name, of which characters that a terminal would obey are escaped."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class OpledgerError(Exception):
    """What was asked has no answer; the message says why and how to mend it."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ExportError(OpledgerError):
    """A module that PyTorch does not export, with the line that it refuses and what to change."""


@lru_cache(maxsize=None)
def _installed() -> str | None:
    """The command that came with this package, or one on the PATH."""
    name = "opledger" + (".exe" if sys.platform == "win32" else "")
    schemes = [None, "nt_user" if sys.platform == "win32" else "posix_user"]
    for scheme in schemes:
        folder = sysconfig.get_path("scripts", scheme) if scheme else sysconfig.get_path("scripts")
        path = Path(folder) / name
        if path.is_file():
            return str(path)
    return shutil.which(name)


def command() -> str:
    """The path of the command: that of ``OPLEDGER_BIN`` if it is set, else the installed one."""
    given = os.environ.get("OPLEDGER_BIN")
    if given:
        return given
    found = _installed()
    if found is None:
        raise OpledgerError(
            "the command `opledger` is not installed: `pip install opledger` brings it, or "
            "OPLEDGER_BIN gives its path"
        )
    return found


class Folder:
    """A temporary folder, which lasts as long as somebody has it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="opledger-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __deepcopy__(self, memo: Any) -> Folder:
        return self

    def __reduce__(self) -> Any:
        raise OpledgerError("this count asks a file of its own and cannot be pickled: keep its numbers and formulas")


@dataclass(frozen=True)
class Answer:
    """What the command wrote."""

    record: Any
    notes: tuple[str, ...]
    code: int


def ask(*arguments: str) -> Answer:
    """Runs the command with ``--format json``.

    Raises :class:`OpledgerError` with the command's message where it refuses (exit code 2). Code 1 is
    an answer of "no", such as of an assertion.
    """
    for argument in arguments:
        if not isinstance(argument, str):
            raise OpledgerError(f"{argument!r} is no text, and a name or an assertion is one")
    path = command()
    try:
        done = subprocess.run(
            [path, *arguments, "--format", "json"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise OpledgerError(f"`{path}` does not start: {error.strerror}") from None
    except ValueError:
        raise OpledgerError("a text for the command has a character that no command can be given") from None
    if done.returncode not in (0, 1) or not done.stdout:
        message = done.stderr.strip().removeprefix("error: ")
        message = message.removesuffix("For more information, try '--help'.").rstrip()
        raise OpledgerError(message or f"`{path}` ended with code {done.returncode}")
    record = json.loads(done.stdout)
    told = (line.removeprefix("note: ") for line in done.stderr.splitlines() if line.startswith("note: "))
    return Answer(record, (*record.get("notes", ()), *told), done.returncode)


def whole(given: Mapping[str, Any]) -> dict[str, int]:
    """Sizes as Python's integers.

    Raises :class:`OpledgerError` where one is no size.
    """
    numbers: dict[str, int] = {}
    for name, size in given.items():
        try:
            numbers[name] = operator.index(size)
        except (TypeError, ValueError):
            raise OpledgerError(f"{name} is {size!r}, and a size is a whole number") from None
        if isinstance(size, bool):
            raise OpledgerError(f"{name} is {size!r}, and a size is a whole number")
        if numbers[name] < 0:
            raise OpledgerError(f"{name} is {size!r}, and no size is negative")
    return numbers


def sizes(given: dict[str, int]) -> Sequence[str]:
    """Sizes as arguments of the command."""
    return [word for name, size in given.items() for word in ("--set", f"{name}={size}")]
