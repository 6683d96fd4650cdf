"""How many bytes are done: told to a callback of fsspec, or to the log in a line every few seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec.callbacks import Callback

__all__ = ["EVERY", "Progress", "amount", "lines"]

EVERY = 5.0
"""So many seconds lie between two lines; what takes less has none."""


class Progress:
    """Tells *callback* of the bytes that are done, from whichever thread.

    What a cellar does has phases, each of which starts again at 0: the callback's hooks are then called once with the
    keywords ``what`` (a model, a version or a rack) and ``verb`` (``digested``, ``sent``, ``fetched``, ``verified``
    or ``copied``).

    Args:
        callback: A callback of fsspec; None for lines in the log ``cellar_core.progress``, at INFO.
    """

    def __init__(self, callback: Callback | None = None) -> None:
        self._callback: Any = lines(logging.getLogger(__name__).info) if callback is None else callback
        self._lock = Lock()

    def begin(self, what: object, verb: str, size: int = 0) -> None:
        """Begin a phase of *size* bytes."""
        with self._lock:
            self._callback.call(what=str(what), verb=verb)
            self._callback.absolute_update(0)
            self._callback.set_size(size)

    def set_size(self, size: int) -> None:
        """Say how many bytes the phase has, once that is known."""
        with self._lock:
            self._callback.set_size(size)

    def add(self, count: int) -> None:
        """Say that *count* more bytes are done; fewer than none, if some have to be done again."""
        with self._lock:
            self._callback.relative_update(count)


def lines(say: Callable[[str], object], every: float = EVERY) -> Callback:
    """A callback that says every few seconds how far it is: ``vit/vit-l/base: 3.2 of 10.7 GB sent, 210 MB/s``.

    Args:
        say: What takes a line, such as ``logger.info``.
        every: How many seconds lie between two lines.
    """
    from fsspec.callbacks import Callback

    return Callback(hooks={"lines": _Lines(say, every)})


class _Lines:
    def __init__(self, say: Callable[[str], object], every: float) -> None:
        self._say = say
        self._every = every
        self._phase = ("", "")
        self._last = (time.monotonic(), 0)

    def __call__(self, size: int | None, value: int, *, what: str = "", verb: str = "") -> None:
        now = time.monotonic()
        if verb:
            self._phase = (what, verb)
            self._last = (now, 0)
            return
        since, before = self._last
        if now - since < self._every:
            return
        self._last = (now, value)
        what, verb = self._phase
        speed = max(value - before, 0) / (now - since)
        self._say(f"{what}: {amount(value, size)} {verb}, {amount(speed)}/s")


def amount(count: float, of: float | None = None) -> str:
    """So many bytes, or so many of a larger number, for people.

    >>> amount(210e6), amount(3.2e9, 10.7e9), amount(512), amount(10e6, 1.25e9)
    ('210 MB', '3.2 of 10.7 GB', '512 bytes', '0.0 of 1.2 GB')
    """
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    most = max(count, of or 0)
    power = 0
    while most >= 1000 ** (power + 1) and power < len(units) - 1:
        power += 1
    digits = 0 if power == 0 or (of is None and count / 1000**power >= 100) else 1
    numbers = [f"{one / 1000**power:.{digits}f}" for one in (count, of) if one is not None]
    return f"{' of '.join(numbers)} {units[power]}"
