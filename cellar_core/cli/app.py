"""The frame of the command line: global options, how an answer is printed, how an error is told."""

from __future__ import annotations

import inspect
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

__all__ = ["Answer", "BadUsage", "app", "as_json", "command", "main", "open_cellar"]

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


class BadUsage(CellarError, ValueError):
    """The words of a command do not go together. Trying again does not help."""


class Commands(TyperGroup):
    """The group of all commands; lets ``--cellar`` stand before the command or after it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``--cellar URL`` first, wherever it stands before ``--``."""
        end = args.index("--") if "--" in args else len(args)
        for index, word in enumerate(args[:end]):
            if word == "--cellar" or word.startswith("--cellar="):
                after = index + (1 if "=" in word else 2)
                option, others = args[index:after], args[:index] + args[after:]
                return super().parse_args(ctx, option + others if after <= end else [word])
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The global options; those that typer adds for completion have one line of the help instead of five."""
        found: list[Any] = super().get_params(ctx)
        for one in found:
            one.hidden = one.name in ("install_completion", "show_completion")
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the method that it replaces
        """All commands on one screen: a line each, after what one wants to do."""
        from rich.table import Table
        from rich.text import Text

        from cellar_core.cli.console import console

        table = Table(box=None, pad_edge=False, show_header=False)
        shown = None
        for name in self.list_commands(ctx):
            one: Any = self.get_command(ctx, name)
            group = str(one.rich_help_panel).partition(" ")[0]
            text = one.help.partition("\n")[0]
            table.add_row(Text(group if group != shown else "", "dim"), Text(name, "bold cyan"), text)
            shown = group
        for option in self.get_params(ctx):
            if not option.hidden:
                table.add_row("", Text(max(option.opts, key=len), "bold cyan"), option.help)
        out = console()
        for line in (ctx.get_usage(), *self.help_text(), "", table):
            out.print(line)

    def help_text(self) -> list[str]:
        """What the program is for, and its exit codes."""
        return [
            line
            for paragraph in (self.help or "").split("\n\n")
            for line in ("", " ".join(paragraph.split()))
        ]


class Command(TyperCommand):
    """One command: a function that returns an Answer, or raises a CellarError or an OSError."""

    def invoke(self, ctx: Any) -> None:
        """Run it, print its answer, and end with the exit code that fits."""
        from cellar_core.cli import output

        machine = bool(ctx.params["json"])
        try:
            answer: Answer = super().invoke(ctx)
            output.tell(answer, machine=machine)
        except BrokenPipeError:  # whoever read the answer has had enough
            raise
        except (CellarError, OSError) as error:
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
        typer.Option("--cellar", metavar="URL", envvar="CELLAR_URL", help="Which cellar."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Keep base models and the models tuned from them for projects, and rebuild these when a base is bumped.

    Exit codes: 0 done, 1 failed, 2 not understood. Also: --install-completion
    """
    ctx.obj = cellar


class Terminated(BaseException):
    """A signal asks this process to end; on its way out, a training's process group is ended and its rebuild noted."""


def main() -> None:
    """The entry point of ``cellar``."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _terminate)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app(prog_name="cellar")
    except Terminated as end:
        print(f"ended by {signal.Signals(end.args[0]).name}", file=sys.stderr)  # noqa: T201
        sys.exit(128 + end.args[0])


def _terminate(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's arguments
    signal.signal(number, signal.SIG_IGN)  # a second one must not cut short what ends the training
    raise Terminated(number)
