"""The frame of the command line: global options, how an answer is printed, how an error is told."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

from cellar_core.errors import CellarError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cellar_core.cellar import Cellar

__all__ = ["Answer", "app", "as_json", "command", "main", "open_cellar"]

F = TypeVar("F", bound=Callable[..., "Answer"])


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


class Commands(TyperGroup):
    """The group of all commands; lets ``--cellar`` stand before the command or after it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``--cellar URL`` first, wherever it stands before ``--``."""
        end = args.index("--") if "--" in args else len(args)
        ours, rest = args[:end], args[end:]
        for index, word in enumerate(ours):
            if word.startswith("--cellar"):
                width = 1 if "=" in word else 2
                ours = [*ours[index : index + width], *ours[:index], *ours[index + width :]]
                break
        return super().parse_args(ctx, [*ours, *rest])


class Command(TyperCommand):
    """One command: a function that returns an Answer, or raises a CellarError."""

    def invoke(self, ctx: Any) -> None:
        """Run it, print its answer, and end with the exit code that fits."""
        from cellar_core.cli import output

        machine = bool(ctx.params["json"])
        try:
            answer: Answer = super().invoke(ctx)
            output.tell(answer, machine=machine)
        except CellarError as error:
            raise typer.Exit(output.explain(error, ctx, machine=machine)) from None
        if answer.failed:
            raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(panel: str, *examples: str, name: str | None = None) -> Callable[[F], F]:
    """Add a function as a command, listed under *panel* and shown with *examples*."""
    epilog = "\n\n".join(["Examples:" if len(examples) > 1 else "Example:", *examples])
    return app.command(name, cls=Command, rich_help_panel=panel, epilog=epilog, no_args_is_help=False)


def as_json(what: str) -> OptionInfo:
    """The option ``--json`` of a command, whose help says *what* it prints."""
    option: OptionInfo = typer.Option("--json", help=f"Print JSON: {what}.")
    return option


def open_cellar(ctx: typer.Context) -> Cellar:
    """The cellar that the command line or the environment names."""
    from cellar_core.cellar import Cellar, NoCellarGiven

    if not ctx.obj:
        raise NoCellarGiven("which cellar? Give --cellar URL, or set CELLAR_URL")
    return Cellar(ctx.obj)


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    if value:
        from importlib.metadata import version

        typer.echo(f"cellar-flows {version('cellar-flows')}")
        raise typer.Exit


@app.callback()
def _globals(
    ctx: typer.Context,
    cellar: Annotated[
        str | None,
        typer.Option("--cellar", metavar="URL", envvar="CELLAR_URL", help="Which cellar: a path or a URL."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep base models and the project models tuned from them, and rebuild these when a base is bumped.

    Exit codes: 0 done, 1 failed, 2 not understood.
    """
    ctx.obj = cellar


def main() -> None:
    """The entry point of ``cellar``."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app(prog_name="cellar")


def _terminate(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    """End as an exception does, so that a training's process group is ended and its rebuild noted as lost."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
