"""What is seen of a command while it goes on: bars at a terminal, else lines every few seconds; on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellar_core.cli.console import console
from cellar_core.progress import EVERY, amount, lines
from cellar_core.words import figure

if TYPE_CHECKING:
    from fsspec.callbacks import Callback
    from rich.progress import Progress, TaskID

__all__ = ["Seen", "transfer", "watch"]


@dataclass(frozen=True)
class Seen:
    """Where a training's lines, its progress and its bytes go: what ``Cellar.retrain`` takes under like names."""

    line: Callable[[str], None]
    progress: Callable[[float, Mapping[str, float]], None]
    callback: Callback


@contextmanager
def transfer() -> Iterator[Callback]:
    """Show how many bytes are done; the bars go away at the end, since the answer says it all."""
    if sys.stderr.isatty():
        with _bars(transient=True) as progress:
            yield _bytes(progress)
    else:
        yield lines(_tell)


@contextmanager
def watch(model: str, *, machine: bool) -> Iterator[Seen]:
    """Show a training of *model*. Its lines go to stdout; with *machine* to stderr, as stdout is for the JSON then."""
    with ExitStack() as stack:
        if machine:
            stack.enter_context(_stdout_to_stderr())
        if sys.stderr.isatty():
            progress = stack.enter_context(_bars())
            yield Seen(_print, _Training(progress, model), _bytes(progress))
        else:
            yield Seen(_print, _Lines(model), lines(_tell))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what Python prints, and also what C libraries and child processes write to stdout."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _bars(*, transient: bool = False) -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
        console=console(sys.stderr),
        redirect_stdout=sys.stdout.isatty(),  # what is printed there appears above the bars; a pipe gets it as it is
        transient=transient,
    )


def _bytes(progress: Progress) -> Callback:
    """A callback that draws a bar for each phase."""
    from fsspec.callbacks import Callback

    task: TaskID | None = None

    def show(size: int | None, value: int, *, what: str = "", verb: str = "") -> None:
        nonlocal task
        if verb:
            task = progress.add_task(f"{what} {verb}", total=None, detail="")
        elif task is not None:
            progress.update(task, completed=value, total=size, detail=amount(value, size))

    return Callback(hooks={"bar": show})


class _Training:
    """A bar for a training, from its first word of progress on."""

    def __init__(self, progress: Progress, model: str) -> None:
        self._progress = progress
        self._model = model
        self._task: TaskID | None = None

    def __call__(self, fraction: float, metrics: Mapping[str, float]) -> None:
        if self._task is None:
            self._task = self._progress.add_task(self._model, total=1.0, detail="")
        self._progress.update(self._task, completed=fraction, description=_words(self._model, metrics))


class _Lines:
    """Progress of a training as a line on stderr, every few seconds."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._next = 0.0

    def __call__(self, fraction: float, metrics: Mapping[str, float]) -> None:
        if time.monotonic() >= self._next or fraction >= 1:
            self._next = time.monotonic() + EVERY
            _tell(f"{_words(self._model, metrics)}: {fraction:.0%}")


def _words(model: str, metrics: Mapping[str, float]) -> str:
    return "  ".join([model, *(f"{name} {figure(value)}" for name, value in metrics.items())])
