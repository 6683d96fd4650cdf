"""The frame of the command line: global options, how an answer is printed, how an error is told."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

from cellar_core.errors import CellarError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cellar_core.cellar import Cellar

__all__ = ["Answer", "BadUsage", "app", "as_json", "command", "main", "open_cellar"]

F = TypeVar("F", bound=Callable[..., "Answer"])

UsageError: Any = typer.BadParameter.__base__
"""What typer raises if it does not understand the words of a command; it exports only this child of it."""
PATHS = ("DIR", "[DIR]", "FILE")
"""What takes a path is called so."""
SHOWN = {"cellar": "URL", "version": "", "install_completion": ""}
"""The options in the help of all commands, with what they take; ``--help`` is known by whoever sees it."""


@dataclass(frozen=True)
class Answer:
    """What a command has to say, once for programs and once for people.

    Attributes:
        data: What ``--json`` prints: a pydantic object, or plain values with such objects in them.
        lines: Makes what people see; strings are printed as they are.
        failed: Whether the command ends with exit code 1 all the same.
    """

    data: object
    lines: Callable[[], Iterable[RenderableType]]
    failed: bool = False


class BadUsage(CellarError, ValueError):
    """The words of a command do not go together. Trying again does not help."""


class Commands(TyperGroup):
    """The group of all commands; lets ``--cellar`` stand before the command or after it."""

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run one command and exit; words that are not understood are told in one line, as each error is."""
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(words, **{**extra, "standalone_mode": False})
        except UsageError as error:
            from cellar_core.cli import output

            code = output.misunderstood(error, machine="--json" in words[: _end(words)])
        sys.exit(code)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``--cellar URL`` first, wherever it stands before ``--``."""
        end = _end(args)
        for index, word in enumerate(args[:end]):
            if word == "--cellar" or word.startswith("--cellar="):
                after = index + (1 if "=" in word else 2)
                option, others = args[index:after], args[:index] + args[after:]
                return super().parse_args(ctx, option + others if after <= end else [word])
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the method that it replaces
        """All commands on one screen of 80 by 24: two in a line, after what one wants to do.

        Drawn without rich, which would take longer to load than all else that the help needs.
        """
        first, last = (self.help or "").split("\n\n")
        lines = [ctx.get_usage(), "", first, ""]
        for panel, names in groupby(
            self.list_commands(ctx), lambda name: self._command(name).rich_help_panel
        ):
            cells = [f"{_bold(name, 10)}{self._summary(name):27}" for name in names]
            pairs = ["".join(cells[start : start + 2]) for start in range(0, len(cells), 2)]
            lines += [f"{panel:7}{pairs[0]}", *(f"{'':7}{pair}" for pair in pairs[1:])]
        params: list[Any] = self.get_params(ctx)
        shown = {option.name: option for option in params if option.name in SHOWN}
        lines += [
            "",
            *(f"{_bold(f'{one.opts[0]} {SHOWN[name]}', 22)}{one.help}" for name, one in shown.items()),
        ]
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        for line in (*lines, last):
            typer.echo(line.rstrip(), color=False if plain else None)  # None: if it is a terminal

    def _summary(self, name: str) -> str:
        return str(self._command(name).help).partition("\n")[0].rstrip(".")

    def _command(self, name: str) -> Any:
        return self.commands[name]


def _bold(text: str, width: int) -> str:
    return typer.style(text.ljust(width), fg="cyan", bold=True)


def _end(words: list[str]) -> int:
    """Where those words end that are ours: after ``--`` a command of the user's own begins."""
    return words.index("--") if "--" in words else len(words)


class Command(TyperCommand):
    """One command: a function that returns an Answer, or raises a CellarError or an OSError."""

    def invoke(self, ctx: Any) -> None:
        """Run it, print its answer, and end with the exit code that fits."""
        from cellar_core.cli import output

        machine = bool(ctx.params["json"])
        try:
            _refuse_broken_text(ctx)
            answer: Answer = super().invoke(ctx)
            output.tell(answer, machine=machine)
        except BrokenPipeError:  # whoever read the answer has had enough
            raise
        except (CellarError, OSError) as error:
            raise typer.Exit(output.explain(error, ctx, machine=machine)) from None
        if answer.failed:
            raise typer.Exit(1)


def _refuse_broken_text(ctx: Any) -> None:
    """Bytes that are no text come in as lone surrogates, which no JSON can hold; a path may have them."""
    for option in ctx.command.params:
        value = ctx.params.get(option.name)
        if option.metavar in PATHS or not isinstance(value, str):
            continue
        if any("\ud800" <= one <= "\udfff" for one in value):
            raise BadUsage(
                f"{option.opts[0] if option.opts[0][0] == '-' else option.metavar} is no text in UTF-8: {value}"
            )


app = typer.Typer(
    name="cellar",
    cls=Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(panel: str, *examples: str) -> Callable[[F], F]:
    """Add a function as a command, listed under *panel* and shown with *examples*."""
    epilog = "\n\n".join(["Examples:" if len(examples) > 1 else "Example:", *examples])

    def add(function: F) -> F:
        # Typer keeps the line breaks of a docstring, wherever the terminal wraps.
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        name = function.__name__.rstrip("_")
        return app.command(name, cls=Command, rich_help_panel=panel, help=text, epilog=epilog)(function)

    return add


def as_json(what: str) -> OptionInfo:
    """The option ``--json`` of a command, whose help says *what* it prints."""
    option: OptionInfo = typer.Option(
        "--json", metavar="", help=f"Print JSON ({what}), and an error as JSON on stderr."
    )
    return option


def open_cellar(ctx: typer.Context) -> Cellar:
    """The cellar that the command line or the environment names."""
    from cellar_core.cellar import Cellar, NoCellarGiven

    try:
        return Cellar(ctx.obj)
    except NoCellarGiven:
        raise NoCellarGiven("which cellar? Give --cellar URL, or set CELLAR_URL") from None


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    if value:
        from importlib.metadata import version

        typer.echo(f"cellar-flows {version('cellar-flows')}")
        raise typer.Exit


@app.callback()
def _globals(
    ctx: typer.Context,
    *,
    cellar: Annotated[
        str | None,
        typer.Option(
            "--cellar", metavar="URL", envvar="CELLAR_URL", help="Which cellar; else that of CELLAR_URL."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Keep base models, and rebuild what was tuned from them when they are bumped.

    COMMAND --help shows examples. Exit codes: 0 done, 1 failed, 2 not understood.
    """
    ctx.obj = cellar


class Terminated(BaseException):
    """A signal asks this process to end; on its way out, a training's process group is ended and its rebuild noted."""


def main() -> None:
    """The entry point of ``cellar``."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _terminate)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:  # it was closed, and what is opened next must not take its place
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="cellar")
    except Terminated as end:
        print(f"ended by {signal.Signals(end.args[0]).name}", file=sys.stderr)  # noqa: T201
        sys.exit(128 + end.args[0])


def _terminate(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    signal.signal(number, signal.SIG_IGN)  # a second one must not cut short what ends the training
    raise Terminated(number)
