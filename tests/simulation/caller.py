"""A caller: real code that stops at each of its requests, and goes on with whatever answer it is given."""

from __future__ import annotations

import errno
import sys
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock
from zlib import crc32

from greenlet import GreenletExit, getcurrent, greenlet

from cellar_core import log, record
from cellar_core.attempt import Attempt
from cellar_core.parsed import Parsed
from cellar_core.payload import Payload
from cellar_core.record import FileEntry
from cellar_core.store import ObjectStore, base
from tests.simulation.world import Error, Request, entry_digest

__all__ = ["Caller", "Client", "Program", "chunks", "deterministic"]

class Program:
    """What a caller does.

    Attributes:
        name: Who it is, in traces.
        act: The real code, given a store; what it returns is how the caller ended.
        client: The store's class: how a client repeats and compares.
    """

    def __init__(self, name: str, act: Callable[[Client], object], client: type[Client] | None = None) -> None:
        self.name = name
        self.act = act
        self.client = client or Client
        self.nonces = uuid.uuid5(uuid.NAMESPACE_OID, name).int


class _Process(greenlet):
    """One run of a program; its nonces are its own, and the same each time."""

    def __init__(self, program: Program) -> None:
        super().__init__(self._live)
        self._program = program
        self._nonces = 0
        self.left = False

    def _live(self) -> object:
        try:
            return "ended", self._program.act(self._program.client())
        except Exception as error:  # noqa: BLE001 - told to whoever schedules
            return "ended", error

    def nonce(self) -> uuid.UUID:
        self._nonces += 1
        return uuid.UUID(int=self._program.nonces ^ self._nonces)

    def ask(self, request: Request) -> Hashable:
        if self.left:
            raise GreenletExit
        try:
            return self.parent.switch(request)  # type: ignore[union-attr,no-any-return]
        except GreenletExit:  # nobody will answer any more; what is tried on the way out does not reach the store
            self.left = True
            raise


class Caller:
    """Where a program stands after the answers that it was given: what it asks for, or how it has ended.

    A program knows nothing but these answers. So to go on from here in a second way, a new run of it is given them
    again: this is how every schedule can be tried, and each way to a place is run only once.
    """

    def __init__(self, program: Program, answers: tuple[Hashable, ...] = ()) -> None:
        self.program = program
        self._answers = answers
        self._next: dict[Hashable, Caller] = {}
        self._process: _Process | None = None
        self.asks: Request | None = None
        self.end: object = None

    @classmethod
    def start(cls, program: Program) -> Caller:
        """A program at its first request."""
        process = _Process(program)
        return cls(program)._stands(process, process.switch())

    def _stands(self, process: _Process, stop: Any) -> Caller:
        if isinstance(stop, Request):
            self.asks, self._process = stop, process
        else:
            self.end = stop[1]
        return self

    def answer(self, given: Hashable) -> Caller:
        """Where the program stands next."""
        if given not in self._next:
            process = self._process or self._again()
            self._process = None
            after = Caller(self.program, (*self._answers, given))
            self._next[given] = after._stands(process, process.switch(given))
        return self._next[given]

    def close(self) -> None:
        """End the program where it stands."""
        if self._process:
            self._process.throw()
        for after in self._next.values():
            after.close()

    def _again(self) -> _Process:
        process = _Process(self.program)
        process.switch()
        for answer in self._answers:
            process.switch(answer)
        return process


def _ask(kind: str, key: str, data: Hashable = None) -> Any:
    answer = getcurrent().ask(Request(kind, key, data))  # type: ignore[attr-defined]
    if isinstance(answer, Error):
        raise ERRORS[answer](f"{kind} {key}")
    return answer


ERRORS: dict[Error, Callable[[str], OSError]] = {
    Error.UNANSWERED: lambda what: ConnectionResetError(errno.ECONNRESET, f"no answer to {what}"),
    Error.EXISTS: lambda what: FileExistsError(what),
    Error.CONFLICT: lambda what: OSError(errno.EIO, f"409: {what}"),
}
"""What fsspec's clients raise."""


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
    """The real store of object storage, on a file system that asks for the answer of each request."""

    def __init__(self) -> None:
        super().__init__("simulation://", {})

    @property
    def _fs(self) -> Any:
        return _FileSystem()

    def _path(self, key: str) -> str:
        return key

    # What a caller does on its own disk, and what only a test can know

    def scan(self, directory: str) -> Payload:
        """What ``payload.scan`` finds in a directory of the caller's."""
        return _payload(directory, _ask("scan", directory))

    def save(self, directory: str, files: Mapping[str, bytes]) -> Payload:
        """A training writes *files*."""
        return _payload(directory, _ask("save", directory, tuple(files.items())))

    def now(self, prefix: str) -> frozenset[str]:
        """The keys of the records below *prefix* at this moment, without tombstones; no real caller could know."""
        return _ask("now", prefix)  # type: ignore[no-any-return]


def chunks(source: Path) -> Iterator[bytes]:
    """The bytes of a file on the caller's disk."""
    yield _ask("file", str(source))


def _payload(directory: str, files: tuple[tuple[str, bytes], ...]) -> Payload:
    entries = (FileEntry(path=name, size=len(data), digest=entry_digest(data)) for name, data in files)
    return Payload(Path(directory), tuple(entries))


class _Inline:
    """An executor that runs everything in the calling thread, at once and in order."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, function: Callable[[Any], object], items: Any) -> Iterator[Any]:
        done: list[tuple[object, Exception | None]] = []
        for item in items:  # as in an executor's threads, one failure does not keep the others from being tried
            try:
                done.append((function(item), None))
            except Exception as error:  # noqa: BLE001 - raised when its turn comes, as by an executor
                done.append((None, error))

        def results() -> Iterator[object]:
            for result, error in done:
                if error:
                    raise error
                yield result

        return results()


class _NoTime(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime(2026, 1, 1, tzinfo=UTC)


_uuid4 = uuid.uuid4


def _nonce() -> uuid.UUID:
    process = getcurrent()
    return process.nonce() if isinstance(process, _Process) else _uuid4()


@contextmanager
def deterministic() -> Iterator[None]:
    """No threads, no clock, no chance: a program does the same for the same answers."""
    for model in (record.Claim, record.Record, Attempt):
        model.model_rebuild()  # while their modules' datetime is the real one
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("cellar_core.") and hasattr(module, "ThreadPoolExecutor"):
                stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", _Inline))
        stack.enter_context(mock.patch.object(base, "chunks", chunks))
        stack.enter_context(mock.patch("time.sleep", lambda seconds: None))
        for module in (record, log):
            stack.enter_context(mock.patch.object(module, "datetime", _NoTime))
        # The order of a set of models is that of their hashes, and a class's own hash is another in each process.
        stack.enter_context(mock.patch.object(Parsed, "__hash__", lambda self: crc32(str(self).encode())))
        stack.enter_context(mock.patch("getpass.getuser", lambda: "somebody"))
        stack.enter_context(mock.patch("uuid.uuid4", _nonce))
        yield
