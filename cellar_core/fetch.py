"""Getting a version out again: verified while it is copied, and whole or not there at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from cellar_core import layout
from cellar_core.cache import Cache
from cellar_core.digest import algorithm, digest_stream, hasher
from cellar_core.errors import CellarError, listing
from cellar_core.payload import TEMPORARY, at_once
from cellar_core.record import FileEntry, Record
from cellar_core.store import Store

__all__ = ["PayloadCorrupt", "PayloadMissing", "TargetExists", "pull", "verified", "verify"]

Piece = TypeVar("Piece", bound=bytes | memoryview)


class PayloadMissing(CellarError):
    """A version's files are not where they were; its number stays taken. Trying again does not help."""


class PayloadCorrupt(CellarError):
    """A version's file is not what was registered. Trying again does not help."""


class TargetExists(CellarError):
    """Something is already where a version was to be put. Trying again does not help."""


def pull(
    store: Store, record: Record, target: Path, on_bytes: Callable[[int], object] = lambda count: None
) -> Path:
    """Copy a version's files to *target*, which must not exist or be an empty directory.

    The files are digested while they are copied into a temporary sibling, which is renamed at the end: there is
    never half a directory. What comes from afar goes through the cache of this machine.

    Raises:
        TargetExists, PayloadMissing, PayloadCorrupt: see there; *target* is as it was.
    """
    target = target.absolute()
    _refuse_taken(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    arriving = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    copy = partial(_copy, store, record)
    if not store.near and (cache := Cache.of_environment()):
        copy = partial(cache.get, copy)
    try:
        for directory in {arriving, *((arriving / entry.path).parent for entry in record.files)}:
            directory.mkdir(parents=True, exist_ok=True)
        at_once(lambda entry, told: copy(entry, arriving / entry.path, told), record.files, on_bytes)
        arriving.rename(target)
    except OSError:
        _refuse_taken(target)  # by somebody who was faster
        raise
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    return target


def _refuse_taken(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TargetExists(f"{target} exists and is not empty; name a new directory, or remove it")


def verify(store: Store, record: Record, on_bytes: Callable[[int], object] = lambda count: None) -> None:
    """Digest a version's stored files; raises PayloadMissing or PayloadCorrupt, naming every bad file."""
    bad = [
        problem
        for problem in at_once(lambda entry, told: _check(store, record, entry, told), record.files, on_bytes)
        if problem
    ]
    if bad:
        kind = (
            PayloadMissing if all(isinstance(problem, PayloadMissing) for problem in bad) else PayloadCorrupt
        )
        raise bad[0] if len(bad) == 1 else kind(f"{len(bad)} files of {record.ref}: {listing(bad)}")


def _copy(
    store: Store, record: Record, entry: FileEntry, path: Path, on_bytes: Callable[[int], object]
) -> None:
    with path.open("x+b") as file:
        key = layout.payload(record.ref) + entry.path
        pieces = _told(record, entry, store.copy(key, entry.size, file), on_bytes)
        _compare(record, entry, digest_stream(pieces, algorithm(entry.digest)))


def _check(
    store: Store, record: Record, entry: FileEntry, on_bytes: Callable[[int], object]
) -> PayloadMissing | PayloadCorrupt | None:
    try:
        for _ in verified(store, record, entry, on_bytes):
            pass
    except (PayloadMissing, PayloadCorrupt) as error:
        return error
    return None


def verified(
    store: Store, record: Record, entry: FileEntry, on_bytes: Callable[[int], object]
) -> Generator[bytes, None, None]:
    """The bytes of a stored file, piece by piece; raises PayloadMissing, or at their end PayloadCorrupt.

    So whoever uses them must be able to let go of what is written when that is raised.
    """
    name, done = algorithm(entry.digest), 0
    state = hasher(name)
    for piece in _told(
        record, entry, store.chunks(layout.payload(record.ref) + entry.path, entry.size), on_bytes
    ):
        state.update(piece)
        yield piece
        if (done := done + len(piece)) > entry.size:
            break
    _compare(record, entry, f"{name}:{state.hexdigest()}")


def _compare(record: Record, entry: FileEntry, found: str) -> None:
    if found != entry.digest:
        message = f"{record.ref}/{entry.path} is {found}, but {entry.digest} was registered"
        raise PayloadCorrupt(f"{message}; restore the file, then run: cellar verify {record.ref}")


def _told(
    record: Record, entry: FileEntry, pieces: Iterator[Piece], on_bytes: Callable[[int], object]
) -> Iterator[Piece]:
    try:
        for piece in pieces:
            on_bytes(len(piece))
            yield piece
    except FileNotFoundError:
        message = f"{record.ref}/{entry.path} is not in the cellar any more, though it was registered"
        raise PayloadMissing(
            f"{message}; restore it, register the same content again (that heals it), or yank it"
        ) from None
