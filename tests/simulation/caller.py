"""A caller: real code that stops at each of its requests, and goes on with whatever answer it is given."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock
from zlib import crc32

from greenlet import GreenletExit, getcurrent, greenlet

from cellar_core import log, record, register, state
from cellar_core.attempt import Attempt
from cellar_core.errors import CellarError
from cellar_core.parsed import Parsed
from cellar_core.payload import Payload, SourceChanged
from cellar_core.record import FileEntry
from cellar_core.store import Store
from tests.simulation.world import Error, Request, entry_digest

__all__ = ["Caller", "Client", "Program", "Unanswered", "deterministic"]

TRIES = 4
"""How often a client repeats a create whose answer it does not know."""


class Unanswered(CellarError):
    """No answer came. Trying again helps."""

    retryable = True


class _Exists(Exception):
    """What a client raises for a lost race; or for a 409, with nothing there."""


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
    if not isinstance(answer, Error):
        return answer
    if answer.name == "exists":
        raise _Exists(key)
    if answer.name == "changed":
        raise SourceChanged(f"{key} changed while it was registered")
    raise Unanswered(f"no answer for {kind} {key}")


class Client(Store):
    """The store as a caller sees it: each method asks, and repeats and compares as clients of object stores must."""

    url = "simulation://"

    def create(self, key: str, data: bytes) -> bool:
        """Whatever error comes, read back; absent: the same bytes again."""
        for _ in range(TRIES):
            try:
                _ask("create", key, data)
                return True
            except (Unanswered, _Exists):
                found = self.read(key)
            if found is not None:
                return found == data
        raise Unanswered(f"no answer for create {key}")

    def read(self, key: str) -> bytes | None:
        return _ask("get", key)  # type: ignore[no-any-return]

    def find(self, prefix: str) -> Mapping[str, int]:
        return dict(_ask("list", prefix))

    def chunks(self, key: str) -> Iterator[bytes]:
        if (data := self.read(key)) is None:
            raise FileNotFoundError(key)
        yield data

    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        """Bytes that differ from the scan never become visible."""
        _ask("put", key, (str(source), expected.digest, None))

    def delete(self, key: str) -> None:
        _ask("delete", key)

    def scan(self, directory: str) -> Payload:
        """What ``payload.scan`` finds in a directory of the caller's."""
        return _payload(directory, _ask("scan", directory))

    def save(self, directory: str, **files: bytes) -> Payload:
        """A training writes *files*."""
        return _payload(directory, _ask("save", directory, tuple(files.items())))

    def now(self, prefix: str) -> frozenset[str]:
        """The keys of the records below *prefix* at this moment, without tombstones; no real caller could know."""
        return _ask("now", prefix)  # type: ignore[no-any-return]


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
        for module in (register, state):
            stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", _Inline))
        for module in (record, log):
            stack.enter_context(mock.patch.object(module, "datetime", _NoTime))
        # The order of a set of models is that of their hashes, and a class's own hash is another in each process.
        stack.enter_context(mock.patch.object(Parsed, "__hash__", lambda self: crc32(str(self).encode())))
        stack.enter_context(mock.patch("getpass.getuser", lambda: "somebody"))
        stack.enter_context(mock.patch("uuid.uuid4", _nonce))
        yield
