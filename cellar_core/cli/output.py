"""What the commands print: answers to stdout, for people or as JSON; errors to stderr, in one line."""

from __future__ import annotations

import difflib
import json
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cellar_core.admit import BaseMismatch, InvalidRecipe
from cellar_core.cellar import Cellar, NoCellarGiven
from cellar_core.choose import NoSuchVersion
from cellar_core.cli.app import BadUsage
from cellar_core.cli.console import console
from cellar_core.errors import CellarError
from cellar_core.names import NoSuchRack
from cellar_core.ref import InvalidRef, Model, Ref
from cellar_core.store import UnknownStore
from cellar_core.trainer import TrainerFailed, UnknownTrainer
from cellar_core.version import InvalidVersion, looks_like_version
from cellar_core.words import printable

if TYPE_CHECKING:
    from cellar_core.cli.app import Answer

__all__ = ["complain", "explain", "facts_of", "tell", "to_json", "warn"]

USAGE = (
    BadUsage,
    BaseMismatch,
    InvalidRecipe,
    InvalidRef,
    InvalidVersion,
    NoCellarGiven,
    UnknownStore,
    UnknownTrainer,
)
"""What is wrong with the words of a command, as opposed to what they ask for."""
_KEYWORDS = re.compile(r"\b(after|again|bump|version)=(\w*)")
"""Keywords of Python that a message names, which are options here."""
_NAMES = ("rack", "model", "name", "selector", "ref", "base")
"""The arguments and options that name something in the cellar."""


def to_json(data: object, indent: int | None = 2) -> str:
    """*data* as JSON: pydantic objects as they define it, names and versions as their text."""
    from pydantic_core import to_json

    return to_json(data, indent=indent, by_alias=True, inf_nan_mode="null", fallback=str).decode()


def tell(answer: Answer, *, machine: bool) -> None:
    """Print an answer to stdout."""
    if machine:
        print(to_json(answer.data))  # noqa: T201
        return
    for line in answer.lines():
        if isinstance(line, str):  # without rich, which takes its time to import
            print(line)  # noqa: T201
        else:
            console().print(line)


def explain(error: CellarError | OSError, ctx: Any, *, machine: bool) -> int:
    """Print the error that ends a command, with the name that was meant perhaps; returns the exit code."""
    hint = _hint(error, ctx) if isinstance(error, NoSuchRack | NoSuchVersion) else ""
    complain(error, hint, machine=machine)
    return 2 if isinstance(error, USAGE) else 1


def misunderstood(error: Any, *, machine: bool) -> int:
    """Print what is wrong with the words of a command, as typer found it; returns the exit code."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if options := getattr(error, "possibilities", None):
        message = f"{error.message}{_meant(options[0])}"
    name = error.ctx.command_path if error.ctx else "cellar"
    complain(BadUsage(f"{message}{'' if message.endswith('?') else '.'} See: {name} --help"), machine=machine)
    return 2


def _meant(name: str) -> str:
    return f". Did you mean {name}?"


def complain(error: CellarError | OSError, hint: str = "", *, machine: bool) -> None:
    """Print an error to stderr, in one line (a JSON object with ``--json``), after the traceback of a trainer's own."""
    if isinstance(error, TrainerFailed) and error.__cause__:
        _trace(error.__cause__)
    facts = facts_of(error, hint)
    if machine:
        print(json.dumps(facts), file=sys.stderr)  # noqa: T201
    else:
        _say("Error: ", "bold red", facts["message"])


def warn(message: str) -> None:
    """Print a warning to stderr; what goes to stdout stays as it is."""
    _say("Warning: ", "yellow", message)


def _say(kind: str, style: str, message: str) -> None:
    from rich.text import Text

    console(sys.stderr).print(Text.assemble((kind, style), printable(message)), soft_wrap=True)


def facts_of(error: CellarError | OSError, hint: str = "") -> dict[str, Any]:
    """An error for programs."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if not isinstance(error, TrainerFailed):  # whose message holds words of the user's own
        message = _KEYWORDS.sub(lambda found: f"--{found[1]}{found[2] and ' '}{found[2]}", message)
    retryable = error.retryable if isinstance(error, CellarError) else True
    return {"error": type(error).__name__, "message": message + hint, "retryable": retryable}


def _trace(cause: BaseException) -> None:
    """Show where a trainer went wrong, from its own first line on."""
    trace = cause.__traceback__
    traceback.print_exception(type(cause), cause, trace.tb_next if trace else None)


def _hint(error: CellarError, ctx: Any) -> str:
    """What was meant perhaps: what exists and looks most like the name that was given and does not."""
    with suppress(CellarError):
        cellar = Cellar(ctx.obj)
        racks = list(map(str, cellar.racks()))
        known = [*racks, *(str(model) for rack in racks for model in cellar.models(rack))]
        for name, mark, choice in map(_split, _words(ctx)):
            if isinstance(error, NoSuchRack) and name in racks:
                return f". {name} is a rack: name one of its models, such as {name}/base"
            if isinstance(error, NoSuchRack) and name in known:
                return f". {name} is a model: name its rack, {Model(name).rack}"
            if name not in known:
                there, before, given = known, "", name
            else:
                there, before, given = _choices(cellar, name, mark), name + mark, choice
            if given not in there and (close := difflib.get_close_matches(given, there, 1)):
                return _meant(before + close[0])
    return ""


def _words(ctx: Any) -> Iterator[str]:
    """What was given as a name of something in the cellar."""
    given = {name: str(value) for name, value in ctx.params.items() if value}
    yield from (given[name] for name in _NAMES if name in given)
    if "project" in given:
        yield f"{Ref(given['base']).rack}/{given['project']}"
    if "version" in given and "model" in given:
        yield f"{given['model']}/{given['version']}"


def _split(word: str) -> tuple[str, str, str]:
    """The rack or model that *word* names, and what it chooses of it.

    >>> _split("vit/vit-l/base/1.0"), _split("vit/vit-l/base@stable"), _split("vit/vit-l")
    (('vit/vit-l/base', '/', '1.0'), ('vit/vit-l/base', '@', 'stable'), ('vit/vit-l', '', ''))
    """
    path, slash, last = word.rpartition("/")
    if "@" in word:
        return word.partition("@")
    return (path, slash, last) if looks_like_version(last) else (word, "", "")


def _choices(cellar: Cellar, name: str, mark: str) -> list[str]:
    """The versions of a model, or its aliases."""
    if mark == "/":
        return [str(ref.version) for ref in cellar.versions(name)]
    return list(cellar.aliases(name)) if mark else []
