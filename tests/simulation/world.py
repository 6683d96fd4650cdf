"""The store that all callers share: a dictionary, one request at a time; and everybody's disk."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from cellar_core.digest import digest_stream

__all__ = ["Effect", "Error", "Listing", "Request", "World", "digest"]

Listing = tuple[tuple[str, int], ...]


class Request(NamedTuple):
    """What a caller waits for.

    Attributes:
        kind: To the store: ``create``, ``get``, ``list``, ``put``, ``delete``. To the caller's own disk: ``scan``,
            ``file``, ``save``. To the test: ``now``, which tells what is committed.
        key: The key, the prefix to list, or the path.
        data: What to create or put; for ``save``: files.
    """

    kind: str
    key: str
    data: Any = None


class Error(enum.Enum):
    """An answer that is an error."""

    UNANSWERED = "no answer: it may have happened, or will, or not"
    EXISTS = "412: it exists"
    CONFLICT = "409: nothing was done"


class Effect(NamedTuple):
    """What a request does to the store when it arrives, whenever that is."""

    kind: str
    key: str
    data: bytes

    @classmethod
    def of(cls, request: Request) -> Effect | None:
        """None for a request that changes nothing."""
        if request.kind not in ("create", "put", "delete"):
            return None
        return cls(request.kind, request.key, request.data or b"")


@dataclass
class World:
    """Objects by key, and everybody's disk.

    Attributes:
        objects: What the store holds.
        disk: What lies in the directories that are registered, by path.
        late: Requests that are under way, of which nobody waits for the answer any more.
        changes: Every change of an object so far, with its new size (None: deleted): older listings come from it.
    """

    objects: dict[str, bytes]
    disk: dict[str, bytes]
    late: tuple[Effect, ...] = ()
    changes: tuple[tuple[str, int | None], ...] = ()

    def copy(self) -> World:
        """The same, to go on from in another way."""
        return World(dict(self.objects), dict(self.disk), self.late, self.changes)

    @property
    def key(self) -> Hashable:
        """Equal for worlds that behave alike, but for older listings."""
        return frozenset(self.objects.items()), frozenset(self.disk.items()), self.late

    def list(self, prefix: str) -> Listing:
        """What a listing tells."""
        return tuple((key, len(data)) for key, data in self.objects.items() if key.startswith(prefix))

    def older(self, prefix: str) -> Iterator[Listing]:
        """What a listing would have told before, from nothing to just before the last change."""
        sizes: dict[str, int] = {}
        yield ()
        for key, size in self.changes:
            if key.startswith(prefix):
                yield tuple(sizes.items())
                if size is None:
                    sizes.pop(key, None)
                else:
                    sizes[key] = size

    def files(self, directory: str) -> tuple[tuple[str, bytes], ...]:
        """The files in a directory of a caller's, by name."""
        start = f"{directory}/"
        return tuple((path[len(start) :], data) for path, data in self.disk.items() if path.startswith(start))

    def arrive(self, effect: Effect) -> bool:
        """Let a request change the store; returns whether it did."""
        before = self.objects.get(effect.key)
        if effect.kind == "create" and before is not None:
            return False
        if effect.kind == "delete":
            self.objects.pop(effect.key, None)
        else:
            self.objects[effect.key] = effect.data
        after = self.objects.get(effect.key)
        if after != before:
            self.changes += ((effect.key, None if after is None else len(after)),)
        return after != before


@cache
def digest(data: bytes) -> str:
    """The digest of a file."""
    return digest_stream([data])
