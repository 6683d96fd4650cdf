"""A store of which nothing is changed, whatever its credentials would allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, NoReturn, TypeVar

from cellar_core.errors import CellarError
from cellar_core.store.base import Store

__all__ = ["ReadOnly", "ReadOnlyStore"]

T = TypeVar("T")
R = TypeVar("R")


class ReadOnly(CellarError):
    """The cellar was opened to be read only; trying again does not help."""


class ReadOnlyStore(Store):
    """Reads what another store has, and refuses to write.

    Args:
        store: The other store.
    """

    def __init__(self, store: Store) -> None:
        self.url = store.url
        self.near = store.near
        self._store = store

    def each(self, act: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return self._store.each(act, items)

    def read(self, key: str) -> bytes | None:
        return self._store.read(key)

    def find(self, prefix: str) -> Mapping[str, int]:
        return self._store.find(prefix)

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        return self._store.chunks(key, size)

    def copy(self, key: str, size: int, target: BinaryIO) -> Iterator[bytes | memoryview]:
        return self._store.copy(key, size, target)

    def partials(self, prefix: str) -> Mapping[str, int]:
        return self._store.partials(prefix)

    def refuse(self) -> NoReturn:
        """Raise ReadOnly."""
        raise ReadOnly(
            f"{self.url} was opened read-only, so nothing can be written; open it without read_only"
        )

    def create(self, key: str, data: bytes) -> bool:
        self.refuse()

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        self.refuse()

    def delete(self, key: str) -> None:
        self.refuse()

    def discard(self, partial: str) -> None:
        self.refuse()
