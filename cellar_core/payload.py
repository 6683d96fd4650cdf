"""The directory that is registered: which files it has, their sizes and digests, and what no version may hold."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, TypeVar

from cellar_core.digest import hasher
from cellar_core.errors import CellarError
from cellar_core.record import FileEntry, tree_digest

if TYPE_CHECKING:
    from cellar_core.store import Store

__all__ = [
    "CHUNK",
    "PIECE",
    "WORKERS",
    "InvalidPayload",
    "Output",
    "Payload",
    "SourceChanged",
    "at_once",
    "chunks",
    "one_spelling",
    "pieces",
    "scan",
]

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 8 * 2**20
"""How many bytes a store that is far away is sent, or asked for, at once."""
PIECE = 2**20
"""How many bytes of a file are read at once: small, since each of several threads holds two such pieces."""
WORKERS = 8
"""How many files are read or sent at once."""
TEMPORARY = ".cellar-tmp-"
"""What the names of half-written files begin with; no file of a version may."""


class InvalidPayload(CellarError, ValueError):
    """The directory cannot be a version as it is; the message names the file and what is wrong with it."""


class SourceChanged(CellarError):
    """A file changed while it was registered; nothing was registered. Trying again helps once it is at rest."""

    retryable = True


@dataclass(frozen=True)
class Payload:
    """A directory as it was when it was scanned.

    Attributes:
        root: The directory.
        files: Its files, by path.
    """

    root: Path
    files: tuple[FileEntry, ...]

    @property
    def tree(self) -> str:
        """The digest of all files."""
        return tree_digest(self.files)

    @property
    def size(self) -> int:
        """How many bytes all files have."""
        return sum(file.size for file in self.files)

    def send(self, store: Store, files: Mapping[str, FileEntry], on_bytes: Callable[[int], object]) -> None:
        """Copy files to *store*, several at once; raises SourceChanged if one is not what was scanned.

        Args:
            store: Where to.
            files: Which, by key.
            on_bytes: Called with each number of bytes that was sent, from several threads.
        """
        store.upload_all(self.root, files, on_bytes)


class Output(Payload):
    """A directory that goes away once it is registered: its files are moved, where the store can do that."""

    @classmethod
    def of(cls, payload: Payload) -> Output:
        """What was scanned, if nobody needs the directory any more."""
        return cls(payload.root, payload.files)

    def send(self, store: Store, files: Mapping[str, FileEntry], on_bytes: Callable[[int], object]) -> None:
        """Move files to *store*, several at once; whatever comes of it, they may be gone from the directory."""
        links = {key: file for key, file in files.items() if (self.root / file.path).is_symlink()}
        super().send(store, links, on_bytes)  # as long as what they lead to is there
        moved = files.keys() - links.keys()
        at_once(
            lambda key, told: store.move(self.root / files[key].path, key, files[key], told), moved, on_bytes
        )


class _Ended(Exception):
    """Another file has failed, or somebody has interrupted: this one is not worth its bytes any more."""


def at_once(
    act: Callable[[T, Callable[[int], object]], R], items: Iterable[T], on_bytes: Callable[[int], object]
) -> list[R]:
    """Do something with many files, several at once; what *act* answers, in their order.

    As soon as one fails, or somebody interrupts, the others end too, at their next piece: a file may be of 100 GB.

    Args:
        act: What to do with one, and what to call with each number of bytes.
        items: The files.
        on_bytes: Called with each number of bytes, from several threads.
    """
    todo = list(enumerate(items))
    queue = iter(todo)  # each worker takes the next one: a future for each of many files would cost more
    answers: dict[int, R] = {}
    errors: list[BaseException] = []

    def go_on() -> None:
        if errors:
            raise _Ended

    def told(count: int) -> None:
        go_on()
        on_bytes(count)

    def work(_: int) -> None:
        try:
            for place, item in queue:
                go_on()
                answers[place] = act(item, told)
        except BaseException as error:
            errors.append(error)
            raise

    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                list(pool.map(work, range(min(WORKERS, len(todo)))))
            except BaseException as error:
                errors.append(error)
                raise
    except _Ended:
        raise errors[0] from errors[0].__cause__
    return [answers[place] for place, _ in todo]


def scan(
    root: str | os.PathLike[str],
    on_bytes: Callable[[int], object] = lambda count: None,
    on_size: Callable[[int], object] = lambda size: None,
) -> Payload:
    """Digest each file below *root*, several at once, in constant memory.

    Args:
        root: The directory; links to files inside it are read as these files.
        on_bytes: Called with each number of bytes that was read, from several threads.
        on_size: Called once with the number of bytes that there are to read.

    Raises:
        InvalidPayload: It is missing, no directory, empty, or holds what no version may: a link that leads out of
            it, a socket, a file that cannot be read, names that differ only in case, a name with a control character.
        SourceChanged: A file changed while it was read.
    """
    top = Path(root)
    if not top.is_dir():
        raise InvalidPayload(
            f"{top} is {'no directory' if top.exists() else 'not there'}; give the directory that training wrote"
        )
    paths = sorted(_walk(top, top.resolve()), key=str)
    if not paths:
        raise InvalidPayload(f"{top} is empty; give the directory that training wrote")
    names = {path: path.relative_to(top).as_posix() for path in paths}
    one_spelling(names.values(), str(top))
    on_size(sum(path.stat().st_size for path in paths))
    entries = at_once(lambda path, told: _entry(path, names[path], told), paths, on_bytes)
    return Payload(top, tuple(entries))


def chunks(path: Path, size: int | None = None) -> Iterator[bytes]:
    """The bytes of a file, in pieces of *size* bytes (PIECE if None)."""
    with path.open("rb", buffering=0) as file:
        yield from pieces(file, size or PIECE)


def pieces(file: BinaryIO, size: int = PIECE) -> Iterator[bytes]:
    """What an open file has, in pieces of *size* bytes, for which no more memory is taken than a small file needs."""
    size = min(size, os.fstat(file.fileno()).st_size + 4096)
    return iter(partial(file.read, size), b"")


def _walk(directory: Path, top: Path) -> Iterator[Path]:
    try:
        found = sorted(os.scandir(directory), key=lambda item: item.name)
    except PermissionError as error:
        raise InvalidPayload(
            f"{directory} cannot be read ({error.strerror}); change its permissions"
        ) from None
    for item in found:
        _check_name(item.name, directory)
        path = Path(item.path)
        if item.is_dir(follow_symlinks=False):
            yield from _walk(path, top)
        else:
            if item.is_symlink():
                _check_link(path, top)
            elif not item.is_file():
                _refuse_special(path)
            yield path


def _check_name(name: str, directory: Path) -> None:
    if name.startswith(TEMPORARY):
        raise InvalidPayload(
            f"{directory / name} begins with {TEMPORARY!r}, which is kept for half-written files; rename it"
        )
    if not name.isprintable() or "\\" in name:
        raise InvalidPayload(
            f"{directory}/{name!r} has a control character or a backslash in its name; rename it"
        )


def _check_link(path: Path, top: Path) -> None:
    target = Path(os.path.realpath(path))  # Path.resolve raises for a link to itself
    if not target.exists():
        raise InvalidPayload(
            f"{path} is a link to {target}, which is not there; remove it or copy the file in"
        )
    if not target.is_relative_to(top):
        raise InvalidPayload(
            f"{path} is a link that leads out of the directory, to {target}; copy the file in"
        )
    if target.is_dir():
        raise InvalidPayload(f"{path} is a link to a directory; copy its files in")
    if not target.is_file():
        _refuse_special(target)


def _refuse_special(path: Path) -> NoReturn:
    raise InvalidPayload(f"{path} is no regular file (a socket, pipe or device); remove it")


def one_spelling(names: Iterable[str], top: str) -> None:
    """Raise InvalidPayload for names that some file systems take for one: by case, or by Unicode form."""
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if (twin := seen.setdefault(folded, name)) != name:
            raise InvalidPayload(
                f"{top} has both {twin!r} and {name!r}, one file on macOS and Windows; rename one"
            )


def _entry(path: Path, name: str, on_bytes: Callable[[int], object]) -> FileEntry:
    state, size = hasher(), 0
    try:
        with path.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            # What it grows by meanwhile is not read: its size or time tells then.
            while size < before.st_size and (piece := file.read(min(PIECE, before.st_size - size))):
                state.update(piece)
                size += len(piece)
                on_bytes(len(piece))
        after = path.stat()
    except PermissionError as error:
        raise InvalidPayload(f"{path} cannot be read ({error.strerror}); change its permissions") from None
    except FileNotFoundError:
        raise SourceChanged(f"{path} went away while it was read; register once training has ended") from None
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or size != after.st_size:
        raise SourceChanged(f"{path} changed while it was read; register once training has ended")
    return FileEntry(path=name, size=size, digest=f"blake3:{state.hexdigest()}")
