"""What every error of a cellar has in common; each concrete error lives beside the noun it speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

__all__ = ["CellarError", "listing"]


class CellarError(Exception):
    """Something a cellar refused or could not do; the message names the thing, what was expected and the next step.

    ``retryable`` tells orchestrators whether the same call, made again unchanged, can succeed. It is false
    unless a subclass says otherwise: a broken rule stays broken however often it is tried.
    """

    retryable: ClassVar[bool] = False


def listing(things: Iterable[object], most: int = 10) -> str:
    """What exists, for an error message: the last *most* of *things*, or ``(none)``.

    >>> listing(["1.0", "1.1"])
    '1.0, 1.1'
    >>> listing(range(20), most=2)
    '…, 18, 19'
    >>> listing([])
    '(none)'
    """
    names = [str(thing) for thing in things]
    shown = names[-most:]
    return ", ".join(["…", *shown] if len(names) > len(shown) else shown) or "(none)"
