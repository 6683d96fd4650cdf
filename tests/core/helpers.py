"""What several of the core's tests need: directories to register, blank cellars, and many callers at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from cellar_core import Cellar
from cellar_core.layout import FORMAT, entry
from cellar_core.ref import Ref
from cellar_core.store import Store

T = TypeVar("T")

WAIT = 120.0
"""How many seconds a test waits for what takes one at most."""


def until(true: Callable[[], object]) -> None:
    """Wait until something is so; a bounded time."""
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def write(directory: Path, content: str = "weights", **files: str) -> Path:
    """A directory as training leaves it: a ``model.bin`` and further *files* (``a__b`` is ``a.b``)."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.bin").write_text(content)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return directory


def blank(url: str | Path, options: Mapping[str, Any] | None = None) -> Cellar:
    """A cellar that was made without racing its store first; the race has tests of its own."""
    cellar = Cellar(url, options)
    facts = {"schema": 1, "layout": 1, "cellar": uuid.uuid4().hex, "by": "a test"}
    cellar._store.create(entry(FORMAT, 1), json.dumps(facts).encode())
    return cellar


class Bench:
    """A blank cellar in memory, and a directory for what is registered in it."""

    def __init__(self, directory: Path) -> None:
        self.cellar = blank(f"memory://{uuid.uuid4().hex}")
        self._directory = directory

    def files(self, content: str = "weights", **files: str) -> Path:
        """A fresh directory with that content."""
        return write(self._directory / uuid.uuid4().hex, content, **files)

    def base(self, content: str | None = None, rack: str = "vit/vit-l", **keywords: Any) -> str:
        """Register a base, of new content unless it is given; returns its ref."""
        if "version" not in keywords:
            keywords.setdefault("bump", "minor")
        done = self.cellar.register_base(rack, self.files(content or uuid.uuid4().hex), **keywords)
        return str(done.ref)

    def project(self, base: str, content: str | None = None, name: str = "projectA", **keywords: Any) -> str:
        """Register a project's model made from *base*, of new content unless it is given; returns its ref."""
        rack = Ref(base).rack
        content = content or uuid.uuid4().hex
        return str(
            self.cellar.register_project(f"{rack}/{name}", self.files(content), base=base, **keywords).ref
        )

    def configure(self, text: str, rack: str = "vit/vit-l") -> None:
        """Replace the rack's ``config.toml``, as a person would."""
        store = self.cellar.store
        store._fs.pipe_file(store._path(f"{rack}/config.toml"), text.encode())  # type: ignore[attr-defined]


@contextmanager
def bench() -> Iterator[Bench]:
    """A Bench for one Hypothesis example; the fixture of the same name is for plain tests."""
    with TemporaryDirectory() as directory:
        made = Bench(Path(directory))
        yield made
        forget(made.cellar)


def forget(cellar: Cellar) -> None:
    """Drop the objects of a cellar in memory, which would stay until the process ends."""
    store = cellar._store
    for key in [*store.find("")]:
        store.delete(key)


def snapshot(cellar: Cellar) -> dict[str, bytes | None]:
    """Every object of a cellar, to see whether something changed."""
    return {key: cellar._store.read(key) for key in cellar._store.find("")}


def train(job: Any) -> None:
    """A training that says what it was given, so that two bases give two contents."""
    text = json.dumps(
        [str(job.model), str(job.base), job.recipe.facts(), job.base_dir.joinpath("model.bin").read_text()]
    )
    (job.output_dir / "model.bin").write_text(text)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, for as long as it lasts."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


# Many callers at once


def threads(count: int, act: Callable[[int], T]) -> list[T]:
    """Call ``act(0)``, ``act(1)``… at the same moment, each in a thread; their answers, or the first error."""
    barrier = threading.Barrier(count)
    answers: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            barrier.wait(WAIT)
            answers[index] = act(index)
        except BaseException as error:  # noqa: BLE001 - told to the caller
            errors.append(error)

    racers = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(WAIT)
    if errors:
        raise errors[0]
    return [answers[index] for index in range(count)]


def processes(count: int, act: Callable[[int], T]) -> list[T]:
    """The same, each in a process of its own."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(count)
    pipes = [context.Pipe(duplex=False) for _ in range(count)]

    def run(index: int) -> None:
        barrier.wait(WAIT)
        try:
            pipes[index][1].send(act(index))
        except Exception as error:  # noqa: BLE001 - told to the caller
            pipes[index][1].send(error)

    racers = [context.Process(target=run, args=(index,), daemon=True) for index in range(count)]
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads; those of earlier tests have ended or wait for nothing.
        warnings.simplefilter("ignore", DeprecationWarning)
        for racer in racers:
            racer.start()
    answers = []
    for racer, (receiving, _) in zip(racers, pipes, strict=True):
        assert receiving.poll(WAIT), "a process did not answer"
        answers.append(receiving.recv())
        racer.join(WAIT)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


# Callers that are interrupted, or die


class Crash(BaseException):
    """The caller is dead: nothing that it does afterwards reaches the store."""


def die() -> None:
    """What a killed process does."""
    raise Crash


class Watched(Store):
    """A store that counts its requests, and calls *then* just before one of them.

    Args:
        inner: The store that answers.
        at: Before which request: its number, from 1, or its method and a part of its key (the first such).
        then: What is called; by default the caller dies.

    Attributes:
        asked: The requests so far: the method, and the key or prefix.
    """

    def __init__(
        self, inner: Store, at: int | tuple[str, str] | None = None, then: Callable[[], object] = die
    ) -> None:
        self.url = inner.url
        self.asked: list[tuple[str, str]] = []
        self._inner = inner
        self._at = at
        self._then = then
        self._dead = False
        self._lock = threading.RLock()

    def _ask(self, method: str, key: str) -> None:
        with self._lock:
            if self._dead:
                raise Crash
            self.asked.append((method, key))
            if self._at == len(self.asked) or (
                isinstance(self._at, tuple) and method == self._at[0] and self._at[1] in key
            ):
                self._at = None
                try:
                    self._then()
                except Crash:
                    self._dead = True
                    raise

    def create(self, key: str, data: bytes) -> bool:
        self._ask("create", key)
        return self._inner.create(key, data)

    def read(self, key: str) -> bytes | None:
        self._ask("read", key)
        return self._inner.read(key)

    def find(self, prefix: str) -> Mapping[str, int]:
        self._ask("find", prefix)
        return self._inner.find(prefix)

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        self._ask("chunks", key)
        return self._inner.chunks(key, size)

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        self._ask("put", key)
        self._inner.put(key, size, pieces)

    def settle(self, keys: Iterable[str]) -> None:
        self._inner.settle(keys)

    def delete(self, key: str) -> None:
        self._ask("delete", key)
        self._inner.delete(key)


class _Turns:
    """Gives one of several callers its turn, request by request."""

    def __init__(self, count: int) -> None:
        self.changed = threading.Condition()
        self.waiting: set[int] = set()
        self.running: set[int] = set(range(count))
        self.turn: int | None = None

    def take(self, caller: int) -> None:
        with self.changed:
            self.waiting.add(caller)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.turn == caller, WAIT)
            self.turn = None
            self.waiting.discard(caller)

    def leave(self, caller: int) -> None:
        with self.changed:
            self.running.discard(caller)
            self.changed.notify_all()

    def give(self, choose: Callable[[int], int]) -> bool:
        """Let one caller make its next request, once all wait for theirs; False if all have ended."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.turn is None and self.waiting >= self.running, WAIT)
            if not self.running:
                return False
            able = sorted(self.running)
            self.turn = able[choose(len(able))]
            self.changed.notify_all()
            return True


def interleave(
    store: Store, choose: Callable[[int], int], *acts: Callable[[Store], T]
) -> list[T | BaseException]:
    """Run *acts* at once on one store, one request at a time, in the order that *choose* draws; answers or errors."""
    turns = _Turns(len(acts))
    answers: list[T | BaseException] = [Crash()] * len(acts)

    def run(index: int) -> None:
        gate = _Gate(store, turns, index)
        try:
            answers[index] = acts[index](gate)
        except BaseException as error:  # noqa: BLE001 - told to the caller
            answers[index] = error
        finally:
            turns.leave(index)

    callers = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(acts))]
    for one in callers:
        one.start()
    while turns.give(choose):
        pass
    for one in callers:
        one.join(WAIT)
    return answers


class _Gate(Watched):
    def __init__(self, inner: Store, turns: _Turns, index: int) -> None:
        super().__init__(inner)
        self._turns = turns
        self._index = index

    def _ask(self, method: str, key: str) -> None:
        with self._lock:  # a caller's own threads come one after the other
            self._turns.take(self._index)


def caller(cellar: Cellar, store: Store | None = None) -> Cellar:
    """Another caller of the same cellar, with nothing cached; through *store*, if it is given."""
    other = Cellar(cellar.url)
    other._store = store or cellar._store
    return other


__all__ = [
    "WAIT",
    "Bench",
    "Crash",
    "Watched",
    "as_nobody",
    "bench",
    "blank",
    "caller",
    "die",
    "forget",
    "interleave",
    "processes",
    "snapshot",
    "threads",
    "train",
    "write",
]
