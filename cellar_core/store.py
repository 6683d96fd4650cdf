"""The only file that touches storage: exclusive create, list, read, and transfer with digest.

A store promises five things, and ``tests/core/store_contract.py`` holds each back end to them:

* ``create`` succeeds for exactly one caller for ever, and what it made is whole from the first look;
* an answer that was lost is found out by reading back;
* bytes that differ from what was expected never become visible under a payload's name;
* a listing tells the truth about what was there when it was asked for, and caches nothing;
* it survives a fork, threads and pickling: it is its URL and its options.
"""

from __future__ import annotations

import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cellar_core import layout
from cellar_core.digest import algorithm, hasher
from cellar_core.errors import CellarError
from cellar_core.payload import CHUNK, TEMPORARY, SourceChanged, chunks
from cellar_core.record import FileEntry

if TYPE_CHECKING:
    from fsspec.implementations.memory import MemoryFileSystem

__all__ = ["NotExclusive", "Store", "StoreRefused", "UnknownStore", "open_store"]

_RACERS = 8
_ROUNDS = 20


class UnknownStore(CellarError, ValueError):
    """The URL is of a kind that cannot hold a cellar."""


class StoreRefused(CellarError):
    """The store said no, for a reason that stays: permissions, a full or read-only disk."""


class NotExclusive(CellarError):
    """The store lets two callers create one object, so it would lose versions; no cellar can live there."""


class Store(ABC):
    """Objects by key under one URL.

    Attributes:
        url: Where the cellar is.
    """

    url: str

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
    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of an object, piece by piece; raises FileNotFoundError if there is none."""

    @abstractmethod
    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        """Send a file; it appears whole, and only if it still has the digest that is expected (else SourceChanged)."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a payload file whose number was voided; nothing else is ever deleted."""

    def probe(self) -> None:
        """Race the exclusive create for real; raises NotExclusive if any round has other than one winner."""
        run = uuid.uuid4().hex
        barrier = threading.Barrier(_RACERS)

        def race(racer: int) -> list[bool]:
            won = []
            for turn in range(_ROUNDS):
                barrier.wait()
                won.append(self.create(layout.probe(run, turn), f"racer {racer} of {run}".encode()))
            return won

        with ThreadPoolExecutor(_RACERS) as pool:
            rounds = list(zip(*pool.map(race, range(_RACERS)), strict=True))
        if bad := [winners for winners in map(sum, rounds) if winners != 1]:
            message = (
                f"{self.url} lets {max(bad)} of {_RACERS} callers create one object "
                f"(in {len(bad)} of {_ROUNDS} rounds): it would lose versions. Use a store with conditional writes"
            )
            raise NotExclusive(message)


def open_store(url: str, options: Mapping[str, Any] | None = None) -> Store:
    """The store at *url*: a path, ``file://…`` or ``memory://…``; *options* are fsspec's ``storage_options``.

    Raises:
        UnknownStore: There is no way to create exclusively at such a URL, or it takes no options.
    """
    scheme = urlsplit(url).scheme if "://" in url else "file"
    kind = {"file": LocalStore, "local": LocalStore, "memory": MemoryStore}.get(scheme)
    if kind is None:
        raise UnknownStore(f"{url}: a cellar can be on file:// (or a path) and memory://, not on {scheme}://")
    if options:
        raise UnknownStore(f"{url} takes no storage options; leave out: {', '.join(options)}")
    return kind(url)


class LocalStore(Store):
    """A directory of a disk or of a share that has hard links."""

    def __init__(self, url: str) -> None:
        path = _path(url) if "://" in url else url
        self._root = Path(path).expanduser().resolve()
        self.url = self._root.as_uri()

    def create(self, key: str, data: bytes) -> bool:
        path = self._root / key
        with _refusals(path):
            temporary = self._temporary(path)
            try:
                _write(temporary, [data])
                os.link(temporary, path)
            except FileExistsError:
                pass  # another's, or our own of which the answer was lost: the bytes tell
            finally:
                temporary.unlink(missing_ok=True)
            _sync_directory(path.parent)
        return self.read(key) == data

    def read(self, key: str) -> bytes | None:
        path = self._root / key
        with _refusals(path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None  # a directory is no object: object stores have none

    def find(self, prefix: str) -> Mapping[str, int]:
        directory, _, start = prefix.rpartition("/")
        with _refusals(self._root / directory):
            return _Sizes(self._root, list(self._walk(directory, start)))

    def _walk(self, directory: str, start: str = "") -> Iterator[str]:
        try:
            found = list(os.scandir(self._root / directory))
        except (FileNotFoundError, NotADirectoryError):
            return
        for item in found:
            key = f"{directory}/{item.name}" if directory else item.name
            if not item.name.startswith(start) or item.name.startswith(TEMPORARY):
                continue
            if item.is_dir():
                yield from self._walk(key)
            else:
                yield key

    def chunks(self, key: str) -> Iterator[bytes]:
        path = self._root / key
        with _refusals(path):
            yield from chunks(path)

    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        path = self._root / key
        with _refusals(path):
            temporary = self._temporary(path)
            try:
                _write(temporary, _checked(chunks(source), source, expected, on_bytes))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_directory(path.parent)

    def delete(self, key: str) -> None:
        with _refusals(self._root / key):
            (self._root / key).unlink(missing_ok=True)

    def _temporary(self, path: Path) -> Path:
        _make_directory(path.parent)
        return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")


class MemoryStore(Store):
    """fsspec's memory file system: one process, for tests and trials."""

    def __init__(self, url: str) -> None:
        self.url = "memory://" + url.removeprefix("memory://").strip("/")

    @property
    def _fs(self) -> MemoryFileSystem:
        import fsspec

        return fsspec.filesystem("memory")

    def _path(self, key: str) -> str:
        return "/" + f"{self.url}/{key}".removeprefix("memory://").lstrip("/")

    def create(self, key: str, data: bytes) -> bool:
        from fsspec.implementations.memory import MemoryFile

        path = self._path(key)
        # dict.setdefault is atomic; the file system's own "create" looks first and writes then.
        standing = self._fs.store.setdefault(path, MemoryFile(self._fs, path, data))
        return bytes(standing.getvalue()) == data

    def read(self, key: str) -> bytes | None:
        file = self._fs.store.get(self._path(key))
        return file.getvalue() if file else None

    def find(self, prefix: str) -> Mapping[str, int]:
        root = self._path("x")[:-1]
        start = root + prefix
        files = list(self._fs.store.items())
        return {
            path.removeprefix(root): len(file.getvalue()) for path, file in files if path.startswith(start)
        }

    def chunks(self, key: str) -> Iterator[bytes]:
        if (data := self.read(key)) is None:
            raise FileNotFoundError(f"{self.url}/{key}")
        yield from (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))

    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        data = b"".join(_checked(chunks(source), source, expected, on_bytes))
        self._fs.pipe_file(self._path(key), data)

    def delete(self, key: str) -> None:
        self._fs.store.pop(self._path(key), None)


class _Sizes(Mapping[str, int]):
    """Keys below a directory; a size is looked up only when it is asked for, since it costs a ``stat``."""

    def __init__(self, root: Path, keys: list[str]) -> None:
        self._root = root
        self._keys = dict.fromkeys(keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, key: str) -> int:
        if key not in self._keys:
            raise KeyError(key)
        return (self._root / key).stat().st_size


class _refusals:  # noqa: N801 - reads as a phrase: with _refusals(path)
    """Turn what the operating system will go on refusing into StoreRefused, with the path in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        import errno

        stays = {
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOSPC,
            errno.EDQUOT,
            errno.ENOTSUP,
            errno.ENOSYS,
        }
        if isinstance(error, OSError) and error.errno in stays:
            hint = (
                "; a cellar needs hard links"
                if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
                else ""
            )
            raise StoreRefused(f"{self._path}: {error.strerror}{hint}") from error


def _path(url: str) -> str:
    """The path in a file URL; raises UnknownStore where a slash was left out: ``file://cellar`` has no path."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnknownStore(f"{url} names a host, {parts.netloc!r}: for a directory here write file:///path")
    return unquote(parts.path)


def _checked(
    pieces: Iterator[bytes], source: Path, expected: FileEntry, on_bytes: Callable[[int], object]
) -> Iterator[bytes]:
    """Pass the bytes on, and raise SourceChanged at the end unless they are those that were scanned."""
    name = algorithm(expected.digest)
    state = hasher(name)
    for piece in pieces:
        state.update(piece)
        on_bytes(len(piece))
        yield piece
    if f"{name}:{state.hexdigest()}" != expected.digest:
        raise SourceChanged(f"{source} changed while it was registered; register once training has ended")


def _write(path: Path, pieces: Iterator[bytes] | list[bytes]) -> None:
    with path.open("xb", buffering=0) as file:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
        os.fsync(file.fileno())


def _make_directory(path: Path) -> None:
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
