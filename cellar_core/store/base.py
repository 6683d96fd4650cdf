"""What a store promises.

* ``create`` succeeds for exactly one caller for ever, and what it made is whole from the first look;
* an answer that was lost is found out by reading back;
* bytes that differ from what was expected never become visible under a payload's name;
* a listing tells the truth about what was there when it was asked for, and caches nothing;
* it survives a fork, threads and pickling: it is its URL and its options.
"""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from cellar_core import layout
from cellar_core.digest import algorithm, hasher
from cellar_core.errors import CellarError
from cellar_core.payload import CHUNK, WORKERS, SourceChanged, at_once, chunks
from cellar_core.record import FileEntry

__all__ = ["NotExclusive", "Store", "StoreRefused", "StoreUnavailable", "UnknownStore", "checked"]

T = TypeVar("T")
R = TypeVar("R")

_RACERS = 8
_ROUNDS = 20


class UnknownStore(CellarError, ValueError):
    """The URL is of a kind that cannot hold a cellar, or not as things are installed."""


class StoreRefused(CellarError):
    """The store said no, for a reason that stays: permissions, no such bucket, a full or read-only disk."""


class StoreUnavailable(CellarError):
    """The store did not answer, or said that it cannot now. What was asked may have happened; trying again helps."""

    retryable = True


class NotExclusive(CellarError):
    """The store lets two callers create one object, so it would lose versions; no cellar can live there."""


class Store(ABC):
    """Objects by key under one URL.

    Attributes:
        url: Where the cellar is.
        near: Whether its files are on this machine already, so that a local cache of them would gain nothing.
    """

    url: str
    near: bool = False

    @property
    def workplace(self) -> Path | None:
        """Where on its disk temporary directories may lie, so that ``move`` has nothing to copy; None if nowhere."""
        return None

    def each(self, act: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """What *act*, which asks this store, gives for each of *items*; several at once, since asking takes a while."""
        items = list(items)
        if len(items) < 2:
            return [act(item) for item in items]
        with ThreadPoolExecutor(min(WORKERS, len(items))) as pool:
            return list(pool.map(act, items))

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Create an object unless it exists; the only primitive that decides anything.

        *data* must hold something unique to this attempt: a caller whose answer was lost knows its own object by it.

        Returns:
            True if *data* stands at *key*, so also when an earlier try of this very create made it; else False.
        """

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The bytes of a small object, or None if there is none."""

    @abstractmethod
    def find(self, prefix: str) -> Mapping[str, int]:
        """Size by key, of each object whose key begins with *prefix*; a size may cost a look, a key does not."""

    @abstractmethod
    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """The bytes of an object, piece by piece.

        Args:
            key: Its key.
            size: How many bytes it should have; if it has more or fewer, what comes differs in length from *size*.

        Raises:
            FileNotFoundError: There is none.
        """

    @abstractmethod
    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        """Send an object of *size* bytes; it appears whole, and only if *pieces* come to their end without an error."""

    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        """Send a file; it appears whole, and only if it still has the digest that is expected (else SourceChanged)."""
        self.put(key, expected.size, checked(source, expected, on_bytes))

    def upload_all(
        self, root: Path, files: Mapping[str, FileEntry], on_bytes: Callable[[int], object]
    ) -> None:
        """Send files by key from below *root*, several at once; *on_bytes* is called from several threads."""
        at_once(lambda key, told: self.upload(root / files[key].path, key, files[key], told), files, on_bytes)

    def move(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        """The same for a file that nobody needs any more: a store on the same disk may take it instead of a copy."""
        self.upload(source, key, expected, on_bytes)

    def settle(self, keys: Iterable[str]) -> None:  # noqa: B027 - most stores have nothing to do
        """See to it that files which arrived, whoever sent them, outlive a loss of power; then they may be relied on.

        Nothing to do where an object is durable once its upload was answered.

        Args:
            keys: All files of a version, those included that were there already.
        """

    def copy(self, key: str, size: int, target: BinaryIO) -> Iterator[bytes | memoryview]:
        """Copy an object into a file, which is empty and open for both.

        The bytes of the copy come as from ``chunks``, but each piece is only there until the next is asked for.
        """
        for chunk in self.chunks(key, size):
            target.write(chunk)
            yield chunk

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a payload file whose number was voided; nothing else is ever deleted."""

    def partials(self, prefix: str) -> Mapping[str, int]:
        """Size by name, of what was begun below *prefix* and is not an object: what a killed upload leaves behind."""
        return {}

    def discard(self, partial: str) -> None:
        """Free one of ``partials``; an upload that was still at it fails, and can start again."""
        raise NotImplementedError

    def probe(self) -> None:
        """Race the exclusive create for real.

        Raises:
            NotExclusive: Any round has other than one winner, or the winner's object does not stand.
        """
        run = uuid.uuid4().hex
        barrier = threading.Barrier(_RACERS)

        def race(racer: int) -> list[bool]:
            won = []
            for turn in range(_ROUNDS):
                barrier.wait()
                won.append(self.create(layout.probe(run, turn), _stake(run, racer)))
            return won

        with ThreadPoolExecutor(_RACERS) as pool:
            rounds = list(zip(*pool.map(race, range(_RACERS)), strict=True))
        if bad := [winners for winners in map(sum, rounds) if winners != 1]:
            message = (
                f"{self.url} lets {max(bad)} of {_RACERS} callers create one object "
                f"(in {len(bad)} of {_ROUNDS} rounds): it would lose versions. Use a store with conditional writes"
            )
            raise NotExclusive(message)
        seen = self.find(layout.probes(run))
        for turn, won in enumerate(rounds):
            key = layout.probe(run, turn)
            if key not in seen or self.read(key) != _stake(run, won.index(True)):
                raise NotExclusive(
                    f"{self.url} does not show what was created at {key}: it would lose versions"
                )


def _stake(run: str, racer: int) -> bytes:
    return f"racer {racer} of {run}".encode()


def checked(
    source: Path,
    expected: FileEntry,
    on_bytes: Callable[[int], object],
    pieces: Iterable[bytes] | None = None,
) -> Iterator[bytes]:
    """The bytes of *source*; raises SourceChanged at the end unless they are those that were scanned.

    Args:
        source: The file.
        expected: What was scanned.
        on_bytes: Called with each number of bytes, once they were taken.
        pieces: The bytes of *source*, if they are not to be read from there.
    """
    name = algorithm(expected.digest)
    state = hasher(name)
    for piece in _there(source, chunks(source, CHUNK) if pieces is None else pieces):
        state.update(piece)
        yield piece
        on_bytes(len(piece))
    if f"{name}:{state.hexdigest()}" != expected.digest:
        raise SourceChanged(f"{source} changed while it was registered; register once training has ended")


def _there(source: Path, pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except FileNotFoundError:
        raise SourceChanged(
            f"{source} went away while it was registered; register once training has ended"
        ) from None
