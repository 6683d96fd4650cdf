"""The versions of one model, in order, of which no more are looked at than decide something."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from math import inf
from operator import attrgetter
from typing import TypeVar

from cellar_core.ref import Version
from cellar_core.version import BaseVersion, ProjectVersion

__all__ = ["Versions"]

V = TypeVar("V", bound=Version)

_numbers = attrgetter("numbers")


class Versions(Collection[V]):
    """The versions of one model, ascending; true if there are any.

    A listing names numbers. Whether one is a version is looked up when it is asked for, which makes no difference to
    the answer: what stands at a number never changes.

    Args:
        named: The numbers, in any order.
        stands: Whether a version stands there, and not what voids the number.

    >>> some = Versions(map(BaseVersion, ("1.10", "1.9", "2.0")), lambda version: version.major < 2)
    >>> [*some], some.newest()
    ([BaseVersion('1.9'), BaseVersion('1.10')], BaseVersion('1.10'))
    """

    def __init__(self, named: Iterable[V] = (), stands: Callable[[V], bool] = lambda version: True) -> None:
        self._named = sorted(named, key=_numbers)
        self._stands = stands

    def __iter__(self) -> Iterator[V]:
        return filter(self._stands, self._named)

    def __reversed__(self) -> Iterator[V]:
        return filter(self._stands, reversed(self._named))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return self.newest() is not None

    def __contains__(self, version: object) -> bool:
        if not isinstance(version, (BaseVersion, ProjectVersion)):
            return False
        place = bisect_left(self._named, version.numbers, key=_numbers)
        return self._named[place : place + 1] == [version] and self._stands(self._named[place])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[*self]!r})"

    def newest(self, fits: Callable[[V], bool] = lambda version: True) -> V | None:
        """The newest version that *fits*, None if there is none; looked for from the newest down."""
        return next(filter(self._stands, filter(fits, reversed(self._named))), None)

    def on(self, *numbers: int) -> Versions[V]:
        """Those whose numbers begin with *numbers*.

        >>> [*Versions(map(ProjectVersion, ("1.1.9", "1.2.1", "1.2.2", "2.0.1"))).on(1, 2)]
        [ProjectVersion('1.2.1'), ProjectVersion('1.2.2')]
        """
        start = bisect_left(self._named, numbers, key=_numbers)
        end = bisect_left(self._named, (*numbers, inf), lo=start, key=_numbers)
        return Versions(self._named[start:end], self._stands)

    def where(self, fits: Callable[[V], bool]) -> Versions[V]:
        """Those that *fit*.

        >>> [*Versions(map(BaseVersion, ("1.0", "1.1"))).where(lambda version: version.minor > 0)]
        [BaseVersion('1.1')]
        """
        return Versions(filter(fits, self._named), self._stands)
