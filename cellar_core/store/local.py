"""A store in a directory of a disk, or of a share that has hard links."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit

from cellar_core import disk
from cellar_core.payload import CHUNK, TEMPORARY, WORKERS, at_once, chunks
from cellar_core.record import FileEntry
from cellar_core.store.base import Store, StoreRefused, StoreUnavailable, UnknownStore, checked

__all__ = ["LocalStore"]

T = TypeVar("T")
R = TypeVar("R")

GROUP = f"{TEMPORARY}group-"
"""How the directories begin in which small files are written: of these, unlike others, nobody keeps a lock."""


class LocalStore(Store):
    """A directory of a disk or of a share that has hard links."""

    near = True

    def __init__(self, url: str) -> None:
        path = _path(url) if "://" in url else url
        self._root = Path(path).expanduser().resolve()
        self.url = self._root.as_uri()

    @property
    def workplace(self) -> Path | None:
        return self._root if os.access(self._root, os.W_OK) else None

    def each(self, act: Callable[[T], R], items: Iterable[T]) -> list[R]:
        # A disk answers at once: threads would only wait for each other.
        return [act(item) for item in items]

    def create(self, key: str, data: bytes) -> bool:
        path = self._root / key
        with _refusals(path):
            temporary = self._temporary(path)
            try:
                _write(temporary, [data])
                os.link(temporary, path)
            except FileNotFoundError:
                raise StoreUnavailable(f"{path} was tidied away while it was written; try again") from None
            except OSError:
                # Another's stands there, or our own of which the answer was lost (on a share): the bytes tell.
                if self.read(key) is None:
                    raise
            finally:
                temporary.unlink(missing_ok=True)
        self.settle([key])
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
            return _Sizes(self._root, [key for key in self._walk(directory, start) if not _is_partial(key)])

    def _walk(self, directory: str, start: str = "") -> Iterator[str]:
        try:
            found = list(os.scandir(self._root / directory))
        except (FileNotFoundError, NotADirectoryError):
            return
        for item in found:
            if not item.name.startswith(start):
                continue
            key = f"{directory}/{item.name}" if directory else item.name
            if item.is_dir() and not _is_partial(key):
                yield from self._walk(key)
            else:
                yield key

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        path = self._root / key
        with _refusals(path):
            yield from chunks(path)

    def copy(self, key: str, size: int, target: BinaryIO) -> Iterator[bytes]:
        path = self._root / key
        with _refusals(path):
            yield from disk.copy(path, target)

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        with self._arriving(self._root / key) as temporary:
            _write(temporary, pieces)

    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        with self._arriving(self._root / key) as temporary:
            _copy(source, temporary, expected, on_bytes)
            _sync(temporary)

    def upload_all(
        self, root: Path, files: Mapping[str, FileEntry], on_bytes: Callable[[int], object]
    ) -> None:
        """In groups, each of which is written in a directory of its own, where nobody else makes files meanwhile."""

        def upload(group: list[str], told: Callable[[int], object]) -> None:
            first = self._root / group[0]
            with _tidied(first), self._group(first) as directory:
                arriving = [(directory / str(number), key) for number, key in enumerate(group)]
                for temporary, key in arriving:
                    _copy(root / files[key].path, temporary, files[key], told)
                for temporary, _ in arriving:
                    _sync(temporary)
                for temporary, key in arriving:
                    _make_directory((self._root / key).parent)
                    temporary.replace(self._root / key)

        at_once(upload, _groups(files), on_bytes)

    def move(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        with self._arriving(self._root / key) as temporary:
            if disk.take(source, temporary):
                # Digested only now that nobody can write to it any more.
                for _ in checked(source, expected, on_bytes, chunks(temporary)):
                    pass
                # As if it had been written here: who may read the directory may read the file.
                temporary.chmod(temporary.parent.stat().st_mode & 0o666)
            else:
                _copy(source, temporary, expected, on_bytes)
            _sync(temporary)

    @contextmanager
    def _arriving(self, path: Path) -> Iterator[Path]:
        """Where to write a file, synced; it then appears at *path* if the block ends well."""
        with _tidied(path):
            temporary = self._temporary(path)
            try:
                yield temporary
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    @contextmanager
    def _group(self, path: Path) -> Iterator[Path]:
        """Where to write some files, of which *path* is to be one; whatever is left there is removed."""
        directory = self._temporary(path, GROUP)
        directory.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def settle(self, keys: Iterable[str]) -> None:
        """The bytes of each file were synced before it got its name; so now the names, from the root on down."""
        for directory in sorted({one for key in keys for one in _parents(key)}):
            with _refusals(self._root / directory):
                _sync(self._root / directory)

    def delete(self, key: str) -> None:
        """The directories that are empty then go too, as on any other store."""
        with _refusals(self._root / key):
            (self._root / key).unlink(missing_ok=True)
        with suppress(OSError):  # not empty, so somebody's; or somebody else was faster
            for directory in filter(None, _parents(key)):
                (self._root / directory).rmdir()

    def partials(self, prefix: str) -> Mapping[str, int]:
        """Half-written files, and the directories of trainings that were killed; not of those that go on here."""
        directory, _, start = prefix.rpartition("/")
        with _refusals(self._root / directory):
            found = [key for key in self._walk(directory, start) if _is_partial(key)]
            return _Sizes(self._root, [key for key in found if not self._is_in_use(key)])

    def _is_in_use(self, partial: str) -> bool:
        path = self._root / partial
        return path.is_dir() and not path.name.startswith(GROUP) and not disk.is_abandoned(path)

    def discard(self, partial: str) -> None:
        path = self._root / partial
        if not path.is_dir():
            self.delete(partial)
        elif not self._is_in_use(partial):
            with _refusals(path):
                disk.remove(path)

    def _temporary(self, path: Path, prefix: str = TEMPORARY) -> Path:
        _make_directory(path.parent)
        return path.with_name(f"{prefix}{uuid.uuid4().hex}")


class _Sizes(Mapping[str, int]):
    """Keys below a directory; a size is looked up only when it is asked for, since it costs a ``stat``."""

    def __init__(self, root: Path, keys: list[str]) -> None:
        self._root = f"{root}/"  # for thousands of keys, joining paths would take longer than looking
        self._keys = dict.fromkeys(keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __getitem__(self, key: str) -> int:
        if key not in self._keys:
            raise KeyError(key)
        path = self._root + key
        found = os.stat(path)  # noqa: PTH116 - see __init__
        if not stat.S_ISDIR(found.st_mode):
            return found.st_size
        return sum(one.stat().st_size for one in Path(path).rglob("*"))


_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
_STAYS = {errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, *_NO_LINKS}
_PASSES = {errno.EAGAIN, errno.EBUSY, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


class _refusals:  # noqa: N801 - reads as a phrase: with _refusals(path)
    """Tell what the operating system will go on refusing from what a share may answer later, with the path in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in _STAYS:
            hint = "; a cellar needs hard links" if error.errno in _NO_LINKS else ""
            raise StoreRefused(f"{self._path}: {error.strerror}{hint}") from error
        if isinstance(error, OSError) and error.errno in _PASSES:
            raise StoreUnavailable(f"{self._path}: {error.strerror}; try again") from error


@contextmanager
def _tidied(path: Path) -> Iterator[None]:
    """The same where something else may delete what is written."""
    with _refusals(path):
        try:
            yield
        except FileNotFoundError:
            raise StoreUnavailable(f"{path} was tidied away while it was written; register again") from None


def _is_partial(key: str) -> bool:
    return key.startswith(TEMPORARY, key.rfind("/") + 1)


def _path(url: str) -> str:
    """The path in a file URL; raises UnknownStore where a slash was left out: ``file://cellar`` has no path."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnknownStore(f"{url} names a host, {parts.netloc!r}: for a directory here write file:///path")
    return unquote(parts.path)


def _groups(files: Mapping[str, FileEntry]) -> Iterator[list[str]]:
    """The keys of *files*: small ones by the sixteen, fewer if some workers would have nothing to do."""
    most = min(16, 1 + len(files) // (4 * WORKERS))
    group: list[str] = []
    size = 0
    for key, file in files.items():
        if group and (len(group) == most or size + file.size > CHUNK):
            yield group
            group, size = [], 0
        group.append(key)
        size += file.size
    if group:
        yield group


def _write(path: Path, pieces: Iterator[bytes] | list[bytes]) -> None:
    with path.open("xb", buffering=0) as file:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
        os.fsync(file.fileno())


def _copy(source: Path, target: Path, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
    with target.open("x+b") as file:
        for _ in checked(source, expected, on_bytes, disk.copy(source, file)):
            pass


def _parents(key: str) -> Iterator[str]:
    """The directories that *key* lies in, from its own to the root, which is called the empty string."""
    while key:
        key = key.rpartition("/")[0]
        yield key


def _make_directory(path: Path) -> None:
    while not path.is_dir():
        with suppress(FileNotFoundError):  # ``delete`` has just tidied an empty parent away
            path.mkdir(parents=True, exist_ok=True)


def _sync(path: Path) -> None:
    """See to it that a file's bytes, or a directory's names, outlive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
