"""A store in one process's memory, for tests and trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cellar_core.payload import CHUNK
from cellar_core.store.base import Store

if TYPE_CHECKING:
    from fsspec.implementations.memory import MemoryFileSystem

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """fsspec's memory file system: one process, for tests and trials."""

    near = True

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

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        if (data := self.read(key)) is None:
            raise FileNotFoundError(f"{self.url}/{key}")
        yield from (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        self._fs.pipe_file(self._path(key), b"".join(pieces))

    def delete(self, key: str) -> None:
        self._fs.store.pop(self._path(key), None)
