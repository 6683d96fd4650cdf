"""A caller: real code that stops at each of its requests, and goes on with whatever answer it is given."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.world import Request

__all__ = ["Caller", "Program", "ask", "nonce"]


class Program:
    """What a caller does.

    Attributes:
        name: Who it is, in traces.
        act: The real code; what it returns is how the caller ended.
    """

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        self.name = name
        self.act = act
        self.nonces = uuid.uuid5(uuid.NAMESPACE_OID, name).int


class _Process(greenlet):
    """One run of a program, which waits where it asks for something."""

    def __init__(self, program: Program) -> None:
        super().__init__(self._live)
        self._program = program
        self._nonces = 0
        self._left = False

    def _live(self) -> object:
        try:
            return "ended", self._program.act()
        except Exception as error:  # noqa: BLE001 - told to whoever schedules
            return "ended", error

    def nonce(self) -> uuid.UUID:
        self._nonces += 1
        return uuid.UUID(int=self._program.nonces ^ self._nonces)

    def ask(self, request: Request) -> Any:
        if self._left:
            raise GreenletExit
        assert self.parent
        try:
            return self.parent.switch(request)
        except GreenletExit:  # nobody answers any more, whatever is tried on the way out
            self._left = True
            raise


def ask(kind: str, key: str, data: Hashable = None) -> Any:
    """Ask for something, and wait for the answer; for the code of programs."""
    process = getcurrent()
    assert isinstance(process, _Process)
    return process.ask(Request(kind, key, data))


_uuid4 = uuid.uuid4


def nonce() -> uuid.UUID:
    """Another one each time for each program, and the same ones each time that it runs."""
    process = getcurrent()
    return process.nonce() if isinstance(process, _Process) else _uuid4()


class Caller:
    """Where a program stands after the answers that it was given: what it asks for, or how it has ended.

    A program knows nothing but these answers. So to go on from here in a second way, a new run of it is given them
    again: this is how every schedule can be tried, and no way to a place is run twice.

    Attributes:
        asks: What it waits for; None if it has ended.
        end: How it has ended.
    """

    def __init__(self, program: Program) -> None:
        self.asks: Request | None = None
        self.end: object = None
        self._program = program
        self._answers: tuple[Hashable, ...] = ()
        self._next: dict[Hashable, Caller] = {}
        self._process: _Process | None = None

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
            after = Caller(self._program)
            after._answers = (*self._answers, given)
            self._next[given] = after._stands(process, process.switch(given))
        return self._next[given]

    def _again(self) -> _Process:
        process = _Process(self._program)
        process.switch()
        for answer in self._answers:
            process.switch(answer)
        return process

    def close(self) -> None:
        """End the program, wherever its runs stand."""
        if self._process:
            self._process.throw()
        for after in self._next.values():
            after.close()
