"""What is seen of a training while it goes on: its lines, and a progress bar at a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from cellar_core.cli.output import console

__all__ = ["watch"]

EVERY = 5.0
"""So many seconds lie between two lines of progress, where no bar is shown."""

Hooks = dict[str, Callable[..., None]]


@contextmanager
def watch(model: str, *, machine: bool) -> Iterator[Hooks]:
    """Show a training of *model*; gives the ``on_output`` and ``on_progress`` of ``Cellar.retrain``.

    Lines go to stdout; with *machine* to stderr, as stdout then is for the JSON alone.
    """
    stream = sys.stderr if machine else sys.stdout
    with redirect_stdout(stream):
        if stream.isatty():
            with _bar(model, console(stream)) as hooks:
                yield hooks
        else:
            yield {"on_output": lambda line: print(line, flush=True), "on_progress": _Lines(model)}  # noqa: T201


@contextmanager
def _bar(model: str, out: Any) -> Iterator[Hooks]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out) as progress:
        task = progress.add_task(model, total=1.0)

        def show(fraction: float, metrics: Mapping[str, float]) -> None:
            progress.update(task, completed=fraction, description=_words(model, metrics))

        yield {"on_output": lambda line: out.print(line, soft_wrap=True), "on_progress": show}


class _Lines:
    """Progress as a line on stderr, every few seconds."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._next = 0.0

    def __call__(self, fraction: float, metrics: Mapping[str, float]) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            print(f"{_words(self._model, metrics)}: {fraction:.0%}", file=sys.stderr, flush=True)  # noqa: T201


def _words(model: str, metrics: Mapping[str, float]) -> str:
    return " ".join([model, *(f"{name} {value:.4g}" for name, value in metrics.items())])
