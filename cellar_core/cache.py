"""What was pulled from afar, kept on this machine by digest, so that many pulls of one base get it once.

Nothing here decides anything: each file is digested when it is copied out, so whatever is wrong with the cache costs
a download. Its locks only spare downloads, and the kernel releases them when their holder ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple, TypeAlias, TypeVar

from cellar_core import disk
from cellar_core.digest import algorithm, digest_stream
from cellar_core.errors import CellarError
from cellar_core.record import FileEntry

__all__ = ["SIZE", "Cache", "UnknownSize"]

SIZE = "50GB"
"""How large the cache may grow, unless ``CELLAR_CACHE_SIZE`` says otherwise."""
PATIENCE = 60.0
"""After so many seconds without a byte, another's download counts as stuck, and is not waited for any longer."""
POLL = 0.05
"""Seconds between two looks whether another has ended."""

T = TypeVar("T")
OnBytes: TypeAlias = Callable[[int], object]
Fetch: TypeAlias = Callable[[FileEntry, Path, OnBytes], object]
"""Puts a file at a path, verified; tells how many bytes have come."""

_ENTRY = re.compile(r"(blake3|sha256)-[0-9a-f]{64}(\.part)?")
_log = logging.getLogger(__name__)


class UnknownSize(CellarError, ValueError):
    """``CELLAR_CACHE_SIZE`` is no size. Trying again does not help."""


class Cache:
    """Files by digest in one directory, for all processes of this machine.

    A file that is there is copied out, by sharing its blocks where the file system can, and never linked: whatever
    happens to the copy, the cache stays as it is. What was not used for longest goes first when room is needed; what
    does not fit is not kept. If the directory cannot be used, pulls go on without it.

    Args:
        directory: Where.
        size: How many bytes it may hold. It takes no more than half of what would be free without it, either.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self._size = size
        self._usable = True
        self._granted = 0
        self._lock = Lock()

    @classmethod
    def of_environment(cls) -> Cache | None:
        """The cache of this machine; None if ``CELLAR_CACHE_SIZE`` is 0.

        It is in ``CELLAR_CACHE_DIR``, or else where the system keeps a user's caches; ``CELLAR_CACHE_SIZE``, such as
        ``200GB``, says how large it may grow.

        Raises:
            UnknownSize: see there.
        """
        from platformdirs import user_cache_dir
        from pydantic import ByteSize, TypeAdapter

        text = os.environ.get("CELLAR_CACHE_SIZE") or SIZE
        try:
            size = TypeAdapter(ByteSize).validate_python(text)
        except ValueError:
            message = f"CELLAR_CACHE_SIZE is {text!r}; write a size such as 200GB, or 0 for no cache"
            raise UnknownSize(message) from None
        directory = os.environ.get("CELLAR_CACHE_DIR") or user_cache_dir("cellar-flows", appauthor=False)
        return cls(Path(directory), size) if size > 0 else None

    def get(self, fetch: Fetch, file: FileEntry, path: Path, on_bytes: OnBytes) -> None:
        """Put *file* at *path*: from the cache, or by *fetch*, and then it is kept."""
        if self._copy_out(file, path, on_bytes):
            return
        with self._turn(file, on_bytes) as part:
            if part is None:
                fetch(file, path, on_bytes)
            elif not self._copy_out(file, path, on_bytes):  # nobody has fetched it meanwhile
                fetch(file, path, lambda count: (on_bytes(count), self._try(lambda: os.utime(part.fileno()))))
                self._try(lambda: self._keep(file, path, part))

    def _place(self, file: FileEntry) -> Path:
        return self._directory / file.digest.replace(":", "-")

    def _part(self, file: FileEntry) -> Path:
        return self._place(file).with_suffix(".part")

    def _try(self, act: Callable[[], T]) -> T | None:
        """Do what is only for the cache's sake; if it cannot be done, say so, and do no more of it in this pull."""
        if not self._usable:
            return None
        try:
            return act()
        except OSError as error:
            with self._lock:
                said, self._usable = not self._usable, False
            if not said:
                _log.warning("going on without the cache in %s: %s", self._directory, error)
            return None

    def _copy_out(self, file: FileEntry, path: Path, on_bytes: OnBytes) -> bool:
        """Whether *file* was here, and is at *path* now; what is not what it should be is removed."""
        place = self._place(file)
        told = 0

        def pieces() -> Iterator[bytes]:
            nonlocal told
            with path.open("x+b") as target:
                for piece in disk.copy(place, target):
                    told += len(piece)
                    on_bytes(len(piece))
                    yield piece

        if not _is_file(place):
            return False
        with suppress(OSError):  # it may be evicted meanwhile
            if digest_stream(pieces(), algorithm(file.digest)) == file.digest:
                with suppress(OSError):
                    os.utime(place)
                return True
            _log.warning("%s was damaged; getting it anew", place)
            place.unlink()
        on_bytes(-told)
        path.unlink(missing_ok=True)
        return False

    @contextmanager
    def _turn(self, file: FileEntry, on_bytes: OnBytes) -> Iterator[BinaryIO | None]:
        """Wait while another fetches *file*; gives what to keep it in, or None if it is not to be kept."""
        place = self._part(file)
        part = self._wait(place, on_bytes) if file.size <= self._size else None
        try:
            yield part
        finally:
            if part:
                with suppress(OSError), part:
                    if _is_at(place, part):
                        place.unlink()

    def _wait(self, part: Path, on_bytes: OnBytes) -> BinaryIO | None:
        """Lock *part*; None if whoever has locked it is stuck, or if there can be no lock."""
        self._try(lambda: self._directory.mkdir(mode=0o700, parents=True, exist_ok=True))
        until = time.monotonic() + PATIENCE
        for look in count():
            if (locked := self._try(lambda: _locked(part))) or not self._usable:
                return locked
            on_bytes(0)  # raises if this pull has failed meanwhile, or was interrupted
            if _is_stale(part):
                _log.warning("another process is stuck getting %s; getting it too", part.stem)
                return None
            if look == 0 or time.monotonic() > until:
                _log.info("waiting for another process, which is getting %s", part.stem)
                until = time.monotonic() + PATIENCE
            time.sleep(POLL)
        raise AssertionError("time has no end")

    def _keep(self, file: FileEntry, path: Path, part: BinaryIO) -> None:
        if not self._make_room(file.size):
            return
        for _ in disk.copy(path, part):
            pass
        part.flush()
        os.fchmod(part.fileno(), 0o444)
        if _is_at(self._part(file), part):  # else we were taken for stuck
            self._part(file).replace(self._place(file))

    def _make_room(self, size: int) -> bool:
        """Whether *size* bytes may be added; looks through the directory only now and then."""
        with self._lock:
            if self._granted < size:
                with self._alone():
                    self._granted = self._evict(size)
            if self._granted < size:
                return False
            self._granted -= size
            return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process makes room; raises TimeoutError if one is stuck at it."""
        until = time.monotonic() + PATIENCE
        while (lock := _locked(self._directory / "room.lock")) is None:
            if time.monotonic() > until:
                raise TimeoutError("another process is stuck making room")
            time.sleep(POLL)
        with lock:
            yield

    def _evict(self, size: int) -> int:
        """Remove what was not used for longest until *size* bytes fit; returns how many do."""
        entries = sorted(self._entries())
        held = sum(entry.size for entry in entries)
        most = min(self._size, held + shutil.disk_usage(self._directory).free // 2)
        if size > most:
            return 0
        at_once = max(size, min(most, self._size // 16))
        if held + size > most:
            for entry in entries:
                if held + at_once > most and not entry.path.suffix:
                    entry.path.unlink(missing_ok=True)
                    held -= entry.size
        return min(most - held, at_once)

    def _entries(self) -> Iterator[_Entry]:
        """What is here, but for other people's files; what a pull left that was killed is removed."""
        for item in os.scandir(self._directory):
            path = Path(item.path)
            if not _ENTRY.fullmatch(item.name) or not _is_file(path):
                continue
            if path.suffix and _is_stale(path):
                path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError):
                facts = path.stat()
                yield _Entry(facts.st_mtime, path, facts.st_size)


class _Entry(NamedTuple):
    used: float
    path: Path
    size: int


def _locked(path: Path) -> BinaryIO | None:
    """An empty file that nobody else has locked, until it is closed or its process ends; None if somebody has."""
    with ExitStack() as stack:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        file = stack.enter_context(os.fdopen(descriptor, "r+b"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not _is_at(path, file):
            return None
        file.truncate()
        os.utime(descriptor)
        stack.pop_all()
        return file


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether an open file is (still) the one at *path*."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _is_stale(part: Path) -> bool:
    """Whether nothing has come for a while; a download touches its part with each piece."""
    try:
        return time.time() - part.stat().st_mtime > PATIENCE
    except FileNotFoundError:  # it has just become an entry
        return False
