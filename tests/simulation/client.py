"""The store as a caller sees it: the real one of object storage, on a file system that an adversary answers for."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cellar_core.payload import Output, Payload
from cellar_core.record import Claim, FileEntry
from cellar_core.store import ObjectStore
from tests.simulation.caller import ask
from tests.simulation.world import Error, digest

__all__ = ["Client", "chunks"]

ERRORS: dict[Error, Callable[[str], OSError]] = {
    Error.UNANSWERED: lambda what: ConnectionResetError(errno.ECONNRESET, f"no answer to {what}"),
    Error.EXISTS: FileExistsError,
    Error.CONFLICT: lambda what: OSError(errno.EIO, f"409: {what}"),
}
"""What fsspec's clients raise."""


def _ask(kind: str, key: str, data: Hashable = None) -> Any:
    answer = ask(kind, key, data)
    if isinstance(answer, Error):
        raise ERRORS[answer](f"{kind} {key}")
    return answer


class _FileSystem:
    """What ``ObjectStore`` uses of an fsspec file system; each method is one request."""

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        _ask("create" if mode == "create" else "put", path, data)

    def cat_file(self, path: str) -> bytes:
        data: bytes | None = _ask("get", path)
        if data is None:
            raise FileNotFoundError(path)
        return data

    def find(self, path: str, *, prefix: str, detail: bool) -> dict[str, dict[str, int]]:
        return {key: {"size": size} for key, size in _ask("list", f"{path}/{prefix}")}

    def rm_file(self, path: str) -> None:
        _ask("delete", path)


class Client(ObjectStore):
    """The real store; and what a caller does on its own disk."""

    def __init__(self) -> None:
        super().__init__("simulation://", {})
        self.claims: dict[str, Claim] = {}  # as a Cellar keeps them

    @property
    def _fs(self) -> Any:
        return _FileSystem()

    def _path(self, key: str) -> str:
        return key

    def scan(self, directory: str) -> Payload:
        """What ``payload.scan`` finds in a directory."""
        return Payload(Path(directory), _entries(ask("scan", directory)))

    def save(self, directory: str, files: Mapping[str, bytes]) -> Output:
        """A training writes *files*."""
        return Output(Path(directory), _entries(ask("save", directory, tuple(files.items()))))

    def now(self, prefix: str) -> frozenset[str]:
        """The keys of the records below *prefix* at this moment, without tombstones; no real caller could know."""
        return ask("now", prefix)  # type: ignore[no-any-return]


def chunks(source: Path, size: int | None = None) -> Iterator[bytes]:
    """The bytes of a file on the caller's disk."""
    yield ask("file", str(source))


def _entries(files: tuple[tuple[str, bytes], ...]) -> tuple[FileEntry, ...]:
    return tuple(FileEntry(path=name, size=len(data), digest=digest(data)) for name, data in files)
