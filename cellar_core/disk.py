"""What a disk can do besides reading and writing: share a file's blocks, hand a file over, lend a directory."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cellar_core.payload import TEMPORARY, pieces

__all__ = ["copy", "is_abandoned", "remove", "scratch", "take"]

# Python names it from 3.13 on.
_FICLONE = 0x40049409


def copy(source: Path, target: BinaryIO) -> Iterator[bytes]:
    """Copy a file into *target*, which is empty and open for both; the bytes of the copy, piece by piece.

    Where the file system can (Btrfs, XFS, and others that know reflinks), nothing is written: the two share their
    blocks until one of them is written to, which the other never sees.
    """
    with source.open("rb", buffering=0) as original:
        if _clone(original.fileno(), target.fileno()):
            yield from pieces(target)
        else:
            for piece in pieces(original):
                target.write(piece)
                yield piece


def _clone(source: int, target: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:  # another disk, or one that cannot
        return False
    return True


def take(source: Path, target: Path) -> bool:
    """Move a file if nobody can write to it afterwards except by its new name; else leave it where it is.

    So it must be on the same disk, a file of our own and no link, with no other name; and no process, this one
    included, may have it open for writing or mapped: a training can leave a process, or a thread, behind.
    """
    try:
        source.rename(target)
    except OSError:
        return False
    if _is_ours_alone(target):
        return True
    target.rename(source)
    return False


def _is_ours_alone(path: Path) -> bool:
    if sys.platform != "linux":  # there is no way to ask who else has it open
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != os.geteuid():
            return False
        # The kernel grants a read lease on no file that somebody has open for writing. It is given back at once:
        # whoever opened the file while we have it would have us signalled.
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)


@contextmanager
def scratch(where: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """A temporary directory below *where*, or where the system keeps such things; gone afterwards.

    As long as it is used it is locked, which ends with its process, however that ends: see ``is_abandoned``.
    """
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=where) as directory:
        lock = os.open(directory, os.O_RDONLY)
        try:
            with suppress(
                OSError
            ):  # a share may know no locks; then nobody takes the directory for abandoned
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(directory)
        finally:
            os.close(lock)


def is_abandoned(directory: Path) -> bool:
    """Whether a scratch directory was left behind by a process that was killed; False where that cannot be told."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def remove(directory: Path) -> None:
    """Remove a directory, although there may be read-only ones in it."""
    for path in (directory, *directory.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(directory)
