"""What is seen of a training while it goes on: its lines, and a progress bar at a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellar_core.cli.output import console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Seen", "watch"]

EVERY = 5.0
"""So many seconds lie between two lines of progress, where no bar is shown."""


@dataclass(frozen=True)
class Seen:
    """Where a training's lines and its progress go: ``on_output`` and ``on_progress`` of ``Cellar.retrain``."""

    line: Callable[[str], None]
    progress: Callable[[float, Mapping[str, float]], None]


@contextmanager
def watch(model: str, *, machine: bool) -> Iterator[Seen]:
    """Show a training of *model*. Its lines go to stdout; with *machine* to stderr, as stdout is for the JSON then."""
    with ExitStack() as stack:
        if machine:
            stack.enter_context(_stdout_to_stderr())
        if sys.stdout.isatty():
            yield stack.enter_context(_bar(model, console()))
        else:
            yield Seen(lambda line: print(line, flush=True), _Lines(model))  # noqa: T201


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


@contextmanager
def _bar(model: str, out: Console) -> Iterator[Seen]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    with Progress(text, BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=out) as progress:
        task = progress.add_task(model, total=1.0)

        def show(fraction: float, metrics: Mapping[str, float]) -> None:
            progress.update(task, completed=fraction, description=_words(model, metrics))

        yield Seen(lambda line: out.print(line, soft_wrap=True), show)


class _Lines:
    """Progress as a line on stderr, every few seconds."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._next = 0.0

    def __call__(self, fraction: float, metrics: Mapping[str, float]) -> None:
        if time.monotonic() >= self._next or fraction >= 1:
            self._next = time.monotonic() + EVERY
            print(f"{_words(self._model, metrics)}: {fraction:.0%}", file=sys.stderr, flush=True)  # noqa: T201


def _words(model: str, metrics: Mapping[str, float]) -> str:
    return "  ".join([model, *(f"{name} {value:.4g}" for name, value in metrics.items())])
