"""What the commands print: answers to stdout, for people or as JSON; errors to stderr, in one line."""

from __future__ import annotations

import difflib
import json
import re
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cellar_core.admit import BaseMismatch, InvalidRecipe
from cellar_core.cellar import Cellar, NoCellarGiven
from cellar_core.choose import NoSuchVersion
from cellar_core.cli.app import BadUsage
from cellar_core.cli.console import console
from cellar_core.errors import CellarError
from cellar_core.names import NoSuchRack
from cellar_core.ref import InvalidRef
from cellar_core.report import printable
from cellar_core.store import UnknownStore
from cellar_core.trainer import TrainerFailed, UnknownTrainer
from cellar_core.version import InvalidVersion, looks_like_version

if TYPE_CHECKING:
    from cellar_core.cli.app import Answer

__all__ = ["complain", "explain", "facts_of", "tell", "to_json"]

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
_NAMES = ("rack", "model", "name", "selector", "base")
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
    out = console()
    for line in answer.lines():
        out.print(line, soft_wrap=isinstance(line, str))


def explain(error: CellarError | OSError, ctx: Any, *, machine: bool) -> int:
    """Print the error that ends a command, with the name that was meant perhaps; returns the exit code."""
    hint = ""
    if isinstance(error, NoSuchRack | NoSuchVersion) and (nearest := _nearest(ctx)):
        hint = f". Did you mean {nearest}?"
    complain(error, hint, machine=machine)
    return 2 if isinstance(error, USAGE) else 1


def complain(error: CellarError | OSError, hint: str = "", *, machine: bool) -> None:
    """Print an error to stderr, in one line (a JSON object with ``--json``), after the traceback of a trainer's own."""
    if isinstance(error, TrainerFailed) and error.__cause__:
        _trace(error.__cause__)
    facts = facts_of(error, hint)
    if machine:
        print(json.dumps(facts), file=sys.stderr)  # noqa: T201
    else:
        from rich.text import Text

        line = Text.assemble(("Error: ", "bold red"), printable(facts["message"]))
        console(sys.stderr).print(line, soft_wrap=True)


def facts_of(error: CellarError | OSError, hint: str = "") -> dict[str, Any]:
    """An error for programs."""
    message = str(error)
    if not isinstance(error, TrainerFailed):  # whose message holds words of the user's own
        message = _KEYWORDS.sub(lambda found: f"--{found[1]}{found[2] and ' '}{found[2]}", message)
    retryable = error.retryable if isinstance(error, CellarError) else True
    return {"error": type(error).__name__, "message": message + hint, "retryable": retryable}


def _trace(cause: BaseException) -> None:
    """Show where a trainer went wrong, from its own first line on."""
    trace = cause.__traceback__
    traceback.print_exception(type(cause), cause, trace.tb_next if trace else None)


def _nearest(ctx: Any) -> str | None:
    """The name that exists and looks most like the one that was given and does not."""
    words = [str(ctx.params[name]) for name in _NAMES if ctx.params.get(name)]
    with suppress(CellarError):
        cellar = Cellar(ctx.obj)
        racks = cellar.racks()
        known = [*map(str, racks), *(str(model) for rack in racks for model in cellar.models(rack))]
        for word in words:
            model, _, version = word.partition("@")[0].rpartition("/")
            name = model if looks_like_version(version) else f"{model}/{version}"
            if name not in known and (close := difflib.get_close_matches(name, known, 1)):
                return close[0]
    return None
