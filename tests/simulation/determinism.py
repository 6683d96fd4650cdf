"""No threads, no clock, no chance: a program does the same for the same answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Self
from unittest import mock
from zlib import crc32

from cellar_core import log, record
from cellar_core.attempt import Attempt
from cellar_core.gc import Look
from cellar_core.parsed import Parsed
from cellar_core.store import base
from tests.simulation.caller import nonce
from tests.simulation.client import chunks

__all__ = ["deterministic"]


class _Inline:
    """An executor that runs everything in the calling thread, at once and in order."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, function: Callable[[Any], object], *items: Iterable[Any]) -> Iterator[object]:
        """As in an executor's threads, one failure does not keep the others from being tried."""
        done: list[tuple[object, Exception | None]] = []
        for arguments in zip(*items, strict=False):
            try:
                done.append((function(*arguments), None))
            except Exception as error:  # noqa: BLE001 - raised when its turn comes, as by an executor
                done.append((None, error))
        return self._results(done)

    def _results(self, done: list[tuple[object, Exception | None]]) -> Iterator[object]:
        for result, error in done:
            if error:
                raise error
            yield result


class _NoTime(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime(2026, 1, 1, tzinfo=UTC)


def _no_pause(seconds: float) -> None:
    pass


def _somebody() -> str:
    return "somebody"


@contextmanager
def deterministic() -> Iterator[None]:
    """Within it, programs can run."""
    for model in (record.Claim, record.Record, Attempt, Look):
        model.model_rebuild()  # while their modules' datetime is the real one
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("cellar_core.") and hasattr(module, "ThreadPoolExecutor"):
                stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", _Inline))
        for module in (record, log):
            stack.enter_context(mock.patch.object(module, "datetime", _NoTime))
        # The order of a set of models is that of their hashes, and a class's own hash differs from process to process.
        stack.enter_context(mock.patch.object(Parsed, "__hash__", lambda self: crc32(str(self).encode())))
        stack.enter_context(mock.patch.object(base, "chunks", chunks))
        stack.enter_context(mock.patch("time.sleep", _no_pause))
        stack.enter_context(mock.patch("getpass.getuser", _somebody))
        stack.enter_context(mock.patch("uuid.uuid4", nonce))
        yield
