"""A store on object storage, through fsspec.

Why each request is made the way it is: only one small request with a precondition creates exclusively (a multipart
or resumable upload does not, on several stores); no client caches a listing; and a request that reads says which
bytes it wants, since asking for the size first is a request more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from cellar_core.payload import CHUNK, PIECE
from cellar_core.store.base import Store, StoreUnavailable
from cellar_core.store.failures import is_beyond, is_of_store, passes, told

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem

__all__ = ["FileSystem", "ObjectStore"]

FileSystem: TypeAlias = "Callable[..., AsyncFileSystem]"
"""What makes an fsspec file system out of storage options; a function that can be pickled."""

PIECES = 4
"""How many pieces of 8 MiB are in memory at once, however many files are under way; a client may copy each."""
SENDING = 3
"""How many of them are sent at once, and all of one file: a client was seen to hold five times what it sends."""
SMALL = 2**20
"""Up to so many bytes, an object does not count among them."""
AHEAD = 4
"""How many pieces of one file are in flight."""
PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds to wait before an exclusive create is made again of which the answer is unknown."""


_OPEN: weakref.WeakSet[Session] = weakref.WeakSet()
_LEFT_TO_THE_PARENT: list[Session] = []


def _leave_to_the_parent() -> None:
    """In a forked child: never close what the parent has open, not even when this process ends.

    The two share its connections and what waits for their answers; a client that is closed here would take them away.
    """
    _LEFT_TO_THE_PARENT.extend(_OPEN)
    kept = {id(session.fs) for session in _LEFT_TO_THE_PARENT}
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        if (alive := finalizer.peek()) and id(alive[0]) in kept:
            finalizer.atexit = False


os.register_at_fork(after_in_child=_leave_to_the_parent)


class Session:
    """What one process has of a store: an fsspec file system, threads, and so many pieces in memory."""

    def __init__(self, url: str, options: Mapping[str, Any], filesystem: FileSystem | None) -> None:
        from fsspec.core import strip_protocol, url_to_fs
        from fsspec.dircache import DirCache

        self.pid = os.getpid()
        self.fs: AsyncFileSystem
        self.root: str
        if filesystem is None:
            # Our own, so that another cellar, or a user's file system, shares neither its loop's work nor its end.
            own = {"use_listings_cache": False, "skip_instance_cache": True}
            self.fs, self.root = url_to_fs(url, **{**options, **own})
        else:
            self.fs, self.root = filesystem(**options), strip_protocol(url)
            self.fs.dircache = DirCache(use_listings_cache=False)
        _OPEN.add(self)
        self.pool = ThreadPoolExecutor(PIECES, thread_name_prefix="cellar-store")
        # The last one given back first: what nobody needs is never made.
        self.rooms: LifoQueue[bytearray] = LifoQueue()
        for _ in range(PIECES):
            self.rooms.put(bytearray())
        self.sending = threading.BoundedSemaphore(SENDING)
        # One thread for all: what each thread has once allocated for pieces, it keeps.
        self.sender = ThreadPoolExecutor(1, thread_name_prefix="cellar-sender")

    def room(self, *, wait: bool) -> bytearray | None:
        """Room for a piece, to be given back; None if there is none, and nobody is to wait for it."""
        try:
            return self.rooms.get(block=wait) or bytearray(CHUNK + 1)
        except Empty:
            return None

    @contextlib.contextmanager
    def piece(self) -> Iterator[None]:
        """While a piece is in memory elsewhere."""
        room = self.rooms.get()
        try:
            yield
        finally:
            self.rooms.put(room)


class ObjectStore(Store):
    """A bucket or container, or a part of one.

    Args:
        url: Where, such as ``gs://bucket/cellar``.
        options: fsspec's ``storage_options``.
        filesystem: What makes the file system out of them, in each process anew; fsspec itself if None.
    """

    def __init__(self, url: str, options: Mapping[str, Any], filesystem: FileSystem | None = None) -> None:
        self.url = url.rstrip("/")
        self._options = dict(options)
        self._filesystem = filesystem
        self._opened: Session | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    @property
    def _session(self) -> Session:
        """Opened when it is first needed and again after a fork: no client survives one."""
        session = self._opened
        if session is None or session.pid != os.getpid():
            with self._telling(""):
                session = self._opened = self._open()
        return session

    def _open(self) -> Session:
        return Session(self.url, self._options, self._filesystem)

    @property
    def _fs(self) -> AsyncFileSystem:
        return self._session.fs

    def _path(self, key: str) -> str:
        return f"{self._session.root}/{key}"

    @contextlib.contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        """Raise what a client raises as an error of ours, but for an absent object."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            if not is_of_store(error):
                raise
            raise told(error, f"{self.url}/{key}") from error

    def create(self, key: str, data: bytes) -> bool:
        for pause in (*PAUSES, None):
            try:
                self._fs.pipe_file(self._path(key), data, mode="create")
            except Exception as error:
                # A lost race has another class on each store, and so has a lost answer.
                if not is_of_store(error):
                    raise
                failure = error
            else:
                return True
            if (standing := self.read(key)) is not None:
                return standing == data
            if pause is None or not passes(failure):
                break
            time.sleep(pause)
        raise told(failure, f"{self.url}/{key}") from failure

    def read(self, key: str) -> bytes | None:
        try:
            with self._telling(key):
                return self._get(key)
        except FileNotFoundError:
            return None

    def find(self, prefix: str) -> Mapping[str, int]:
        directory, _, start = prefix.rpartition("/")
        try:
            with self._telling(prefix):
                found = self._fs.find(self._path(directory).rstrip("/"), prefix=start, detail=True)
        except FileNotFoundError:
            return {}
        root = self._path("")
        sizes = {path.removeprefix(root): int(facts["size"]) for path, facts in found.items()}
        return {key: size for key, size in sizes.items() if key.startswith(prefix)}

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        for piece in self._passing(key, size):
            yield bytes(piece)

    def copy(self, key: str, size: int, target: BinaryIO) -> Iterator[bytes | memoryview]:
        for piece in self._passing(key, size):
            target.write(piece)
            yield piece

    def _passing(self, key: str, size: int) -> Iterator[bytes | memoryview]:
        """The same as ``chunks``, in memory that is used again: each piece is there until the next is asked for."""
        if size == 0:  # no range is in it, and gcsfs logs a refusal
            with self._telling(key):
                yield self._get(key)
            return
        # One byte more than there should be: an object that is too long shows.
        if size <= SMALL:
            yield self._range(key, 0, size + 1, bytearray(size + 1))
            return
        starts = range(0, size, CHUNK)
        for data in self._in_order(key, zip(starts, [*starts[1:], size + 1], strict=True)):
            view = memoryview(data)
            yield from (view[start : start + PIECE] for start in range(0, len(view), PIECE))

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        if size <= CHUNK:
            with self._session.piece() if size > SMALL else contextlib.nullcontext():
                self._send_whole(key, b"".join(pieces))
            return
        try:
            self._session.sender.submit(self._send, key, size, pieces).result()
        except _Gone as error:
            # It was completed and the answer was lost, or somebody has discarded it.
            if self.find(key).get(key) != size:
                place = f"{self.url}/{key}"
                raise StoreUnavailable(
                    f"{place} was tidied away while it was sent; register again"
                ) from error

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._telling(key):
            self._fs.rm_file(self._path(key))

    def _get(self, key: str) -> bytes:
        data: bytes = self._fs.cat_file(self._path(key))
        return data

    def _send_whole(self, key: str, data: bytes) -> None:
        with self._telling(key):
            self._fs.pipe_file(self._path(key), data)

    def _range(self, key: str, start: int, end: int, room: bytearray) -> bytes | memoryview:
        """The bytes from *start* on and before *end*: in *room*, which is large enough, or elsewhere."""
        with self._telling(key):
            try:
                data: bytes = self._fs.cat_file(self._path(key), start=start, end=end)
            except Exception as error:
                if not is_beyond(error):
                    raise
                return b""
        return data

    @contextlib.contextmanager
    def _sending(self, key: str) -> Iterator[None]:
        """The same for what is asked of an upload that was begun; raises _Gone if there is no such upload."""
        try:
            with self._telling(key):
                yield
        except FileNotFoundError as error:
            raise _Gone from error

    def _send(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        """Send a large object in pieces; closing the stream makes it visible, so that is done last, or never."""
        with self._session.piece():
            with self._sending(key):
                stream = self._fs.open(self._path(key), "wb", block_size=CHUNK)
            try:
                for piece in pieces:
                    with self._sending(key):
                        stream.write(piece)
            except BaseException:
                stream.discard()
                stream.closed = True  # else its destructor would finish the upload
                raise
            with self._sending(key):
                stream.close()

    def _in_order(self, key: str, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes | memoryview]:
        """The bytes of each range, while the next few are under way."""
        session = self._session
        ahead: deque[tuple[Future[bytes | memoryview], bytearray]] = deque()
        waiting = deque(ranges)
        try:
            while waiting or ahead:
                # Wait for room only with empty hands: then whoever has some goes on and gives it back.
                while waiting and len(ahead) < AHEAD and (room := session.room(wait=not ahead)):
                    ahead.append((session.pool.submit(self._range, key, *waiting.popleft(), room), room))
                yield ahead[0][0].result()
                session.rooms.put(ahead.popleft()[1])
        finally:
            for future, room in ahead:
                future.cancel()
                # Not before: it may be filled until then.
                future.add_done_callback(partial(_give_back, session, room))


def _give_back(session: Session, room: bytearray, _: object) -> None:
    session.rooms.put(room)


class _Gone(Exception):
    """There is no such upload (any more)."""
