"""Real processes register into one cellar while a killer sends SIGKILL, and readers look at what is visible.

Run it as `python -P benchmarks/chaos.py [--store local|s3|gcs|azure] [--writers 16] [--registers 100] [--seed N]`.

The registers are a mix: bases and projects, new content and content that several have, rebuilds of one request with
results that differ, small files and some of several parts. A register that is killed is asked for again, or given up
for another. Meanwhile readers resolve, list, pull and verify, and `gc` voids whatever does not move for a second, also
what is alive. What was pulled is compared with what was registered, byte by byte. The seed settles who asks for what
and how often the killer strikes; at which instants, no seed settles.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any
from uuid import uuid4

from benchmarks.places import STORES, Place, place
from cellar_core import Cellar, CellarError, layout
from cellar_core.digest import digest_json
from cellar_core.record import Claim, Record
from cellar_core.ref import Model, Ref
from cellar_core.register import Superseded

RACK = "chaos/chaos-l"
BASE = f"{RACK}/base"
BASES = (f"{BASE}/1.0", f"{BASE}/1.1")
MODELS = (BASE, *(f"{RACK}/{name}" for name in ("projectA", "projectB", "projectC")))
READERS = 2
TRIES = 4
"""So often one register is killed at most: so the end comes."""
AGAIN = 20
"""So often a register may be told to try again."""
PATIENCE = timedelta(seconds=1)

# From one server without threads: a child starts in milliseconds, and shares no lock with one that is killed.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["cellar_core.cellar", "cellar_core.cli", "s3fs", "gcsfs", "adlfs"])


@dataclass(frozen=True)
class Job:
    """One register that is asked for.

    Attributes:
        model: Of what.
        content: The directory.
        base: What it was made from, for a project.
        request: The rebuild that it is of: of several, the first to finish wins.
        tries: How often it was begun.
    """

    model: str
    content: str
    base: str | None = None
    request: str | None = None
    tries: int = 0


@dataclass(frozen=True)
class Answer:
    """What a register returned; *ref* is None if it was refused, *problem* says why it should not have been."""

    job: Job
    began: datetime
    ref: str | None = None
    created: bool = False
    problem: str = ""


@dataclass
class Seen:
    """What a reader saw."""

    looks: int = 0
    pulls: int = 0
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


# Processes


def write(where: Place, pipe: Connection) -> None:
    """Register one job after another."""
    cellar = Cellar(where.url, where.options)
    while job := pipe.recv():
        pipe.send(register(cellar, job))


def register(cellar: Cellar, job: Job) -> Answer:
    """One register, tried again as often as its error says that this helps."""
    began, problem = datetime.now(UTC), ""
    for _ in range(AGAIN):
        try:
            if job.base:
                done = cellar.register_project(job.model, job.content, base=job.base, request=job.request)
            else:
                done = cellar.register_base(RACK, job.content, bump="minor")
        except Superseded:
            return Answer(job, began)
        except CellarError as error:
            problem = f"{type(error).__name__}: {error}"
            if not error.retryable:
                break
        except Exception as error:  # noqa: BLE001 - an error that is not ours is a bug, and told as one
            problem = repr(error)
            break
        else:
            return Answer(job, began, str(done.ref), done.created)
    return Answer(job, began, problem=f"{job}: {problem}")


def read(where: Place, seed: str, pipe: Connection) -> None:
    """Look at whatever is visible, until told to stop."""
    cellar, rng, seen = Cellar(where.url, where.options), random.Random(seed), Seen()
    known: dict[Ref, str] = {}
    while not pipe.poll():
        try:
            look(cellar, rng, where.scratch, known, seen)
        except CellarError as error:
            if not error.retryable:
                seen.torn.append(f"{type(error).__name__}: {error}")
    pipe.send(seen)


def look(cellar: Cellar, rng: random.Random, scratch: Path, known: dict[Ref, str], seen: Seen) -> None:
    """List one model, and pull or verify one of its versions."""
    seen.looks += 1
    model = Model(rng.choice(MODELS))
    there = cellar.versions(model)
    seen.lost += [f"{ref} was there and is not" for ref in known if ref.model == model and ref not in there]
    if not there:
        return
    record = cellar.resolve(rng.choice([f"{model}@latest", f"{model}@^1", str(rng.choice(there))]))
    if known.setdefault(record.ref, record.tree) != record.tree:
        seen.torn.append(f"{record.ref} changed")
    if rng.random() < 0.5:
        cellar.verify(record.ref)
        return
    seen.pulls += 1
    seen.torn += differences(cellar, record.ref, scratch)


def collect(where: Place, pipe: Connection) -> None:
    """Run ``gc`` now and then, until told to stop; what it voided."""
    cellar, voided = Cellar(where.url, where.options), 0
    while not pipe.poll(PATIENCE.total_seconds() / 2):
        with suppress(CellarError):
            voided += len(cellar.gc(patience=PATIENCE).voided)
    pipe.send(voided)


@dataclass(frozen=True)
class Child:
    """A process, and the pipe to it."""

    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls, act: Any, *arguments: object) -> Child:
        """Let *act* run in a process of its own, with the other end of the pipe as its last argument."""
        ours, its = PROCESSES.Pipe()
        process = PROCESSES.Process(target=act, args=(*arguments, its), daemon=True)
        process.start()
        its.close()
        return cls(process, ours)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def last_word(self, seconds: float) -> Any:
        """Tell it to stop, and hear what it has to say; None if it says nothing in time."""
        try:
            self.pipe.send(None)
            return self.pipe.recv() if self.pipe.poll(seconds) else None
        finally:
            self.kill()


# What is asked for


class Jobs:
    """Makes up registers.

    Args:
        rng: What decides.
        directory: Where contents lie.
    """

    def __init__(self, rng: random.Random, directory: Path) -> None:
        self._rng = rng
        self._directory = directory
        self._made: list[Job] = []

    def next(self) -> Job:
        """Something new, the same as an earlier one, or another result of an earlier one's rebuild."""
        kind = self._rng.random()
        if self._made and kind < 0.25:
            return self._rng.choice(self._made)
        if (rebuilds := [job for job in self._made if job.request]) and kind < 0.4:
            job = replace(self._rng.choice(rebuilds), content=self.content())
        elif kind < 0.5:
            job = Job(BASE, self.content())
        else:
            request = digest_json(str(len(self._made))) if kind < 0.6 else None
            job = Job(self._rng.choice(MODELS[1:]), self.content(), self._rng.choice(BASES), request)
        self._made.append(job)
        return job

    def content(self) -> str:
        """A directory; those of one kind differ in bytes only, since equal sizes hide what was overwritten."""
        path = self._directory / uuid4().hex
        files = {"config.json": 40, "model/weights.bin": 300 * 2**10, "model/empty": 0}
        if self._rng.random() < 0.2:
            files["model/large.bin"] = 20 * 2**20
        for name, size in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(self._rng.randbytes(size))
        (path / "content").write_text(path.name)
        return str(path)


# The run


class Chaos:
    """One run on one place.

    Args:
        where: The place.
        writers: How many register at once.
        registers: How many are to be answered.
        seed: What they are.
        kills: The share of tries that are killed.
        limit: Seconds after which the run is stuck.
    """

    def __init__(
        self, where: Place, *, writers: int, registers: int, seed: int, kills: float, limit: float
    ) -> None:
        self._where = where
        self._rng = random.Random(seed)
        self._jobs = Jobs(self._rng, where.scratch / "contents")
        self._todo = [self._jobs.next() for _ in range(registers)]
        self._writers, self._kills, self._until = writers, kills, monotonic() + limit
        self._took: list[float] = [0.5]
        self._answers: list[Answer] = []
        self._facts: Counter[str] = Counter(asked=registers)
        self.problems: list[str] = []

    def run(self) -> dict[str, Any]:
        """Let everything happen, then count."""
        cellar = Cellar.init(self._where.url, self._where.options)
        for base in BASES:
            cellar.register_base(RACK, self._jobs.content(), version=base.rpartition("/")[2])
        readers = [Child.start(read, self._where, str(self._rng.random())) for _ in range(READERS)]
        collector = Child.start(collect, self._where)
        try:
            self._register_all()
        finally:
            seen = [reader.last_word(60) for reader in readers]
            self._facts["voided"] = collector.last_word(60) or 0
        self._count(cellar, [one or Seen(torn=["a reader does not answer"]) for one in seen])
        return dict(self._facts)

    def _register_all(self) -> None:
        free = [Child.start(write, self._where) for _ in range(self._writers)]
        busy: dict[Child, tuple[Job, float, float]] = {}
        try:
            while (self._todo or busy) and monotonic() < self._until:
                while self._todo and free:
                    child, job, now = free.pop(), self._todo.pop(), monotonic()
                    child.pipe.send(job)
                    busy[child] = (job, now, now + self._strike(job))
                next_kill = min(strike for _, _, strike in busy.values())
                wait([child.pipe for child in busy], min(max(next_kill - monotonic(), 0), 1))
                for child, (job, began, strike) in list(busy.items()):
                    if child.pipe.poll():
                        self._hear(child.pipe.recv(), monotonic() - began)
                        del busy[child]
                        free.append(child)
                    elif monotonic() >= strike:
                        child.kill()
                        del busy[child]
                        free.append(Child.start(write, self._where))
                        self._todo.insert(self._rng.randrange(len(self._todo) + 1), self._after_kill(job))
            if busy or self._todo:
                self.problems.append(f"stuck: {len(busy)} at work and {len(self._todo)} waiting at the limit")
        finally:
            for child in (*free, *busy):
                child.kill()

    def _strike(self, job: Job) -> float:
        """In how many seconds this try is killed."""
        doomed = job.tries < TRIES and self._rng.random() < self._kills
        return self._rng.uniform(0, 1.2 * median(self._took)) if doomed else float("inf")

    def _after_kill(self, job: Job) -> Job:
        self._facts["killed"] += 1
        if self._rng.random() < 0.7:
            return replace(job, tries=job.tries + 1)
        self._facts["asked"] += 1
        return replace(self._jobs.next(), tries=job.tries + 1)

    def _hear(self, answer: Answer, seconds: float) -> None:
        self._took.append(seconds)
        self._answers.append(answer)
        if answer.problem:
            self.problems.append(answer.problem)

    # The account

    def _count(self, cellar: Cellar, seen: list[Seen]) -> None:
        records = {record.ref: record for model in MODELS for record in cellar.records(model)}
        claims = dict(claimed(cellar))
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda answer: lost(cellar, answer, records, self._where.scratch), self._answers)
            missing = [problem for problems in found for problem in problems]
        twins = [
            *same(one.identity for one in records.values()),
            *same(one.request for one in records.values()),
        ]
        torn = [problem for one in seen for problem in one.torn]
        missing += [problem for one in seen for problem in one.lost]
        self.problems += torn + missing + [f"duplicate: {twin}" for twin in twins]
        self._facts.update(
            committed=len(records) - len(BASES),
            adopted=sum(adopted(answer, claims) for answer in self._answers),
            superseded=sum(answer.ref is None for answer in self._answers),
            abandoned=len(set(claims) - set(records)),
            looks=sum(one.looks for one in seen),
            pulls=sum(one.pulls for one in seen),
            duplicates=len(twins),
            torn=len(torn),
            lost=len(missing),
        )


def claimed(cellar: Cellar) -> Iterator[tuple[Ref, Claim]]:
    """Each number that was taken, and its claim."""
    for model in MODELS:
        for key in cellar.store.find(layout.claims(Model(model))):
            if ref := layout.parse_claim(key):
                yield ref, Claim.from_bytes(cellar.store.read(key) or b"", key)


def same(values: Iterable[str | None]) -> list[str]:
    """What comes more than once, as often as it is too many."""
    return [value for value, times in Counter(values).items() if value for _ in range(times - 1)]


def adopted(answer: Answer, claims: dict[Ref, Claim]) -> bool:
    """Whether a register found its version there, or finished what another had begun."""
    return answer.ref is not None and (not answer.created or claims[Ref(answer.ref)].at < answer.began)


def lost(cellar: Cellar, answer: Answer, records: dict[Ref, Record], scratch: Path) -> list[str]:
    """What is wrong with a version that was returned: it is gone, or does not hold the caller's bytes."""
    if answer.ref is None:
        return []
    ref, job = Ref(answer.ref), answer.job
    if ref not in records:
        return [f"{ref} was returned and is not there"]
    if job.request:  # another result of the same rebuild may have won
        return [] if records[ref].request == job.request else [f"{ref} is of another rebuild"]
    try:
        return differences(cellar, ref, scratch, Path(job.content))
    except CellarError as error:
        return [f"{ref} was returned and cannot be pulled: {error}"]


def differences(cellar: Cellar, ref: Ref, scratch: Path, source: Path | None = None) -> list[str]:
    """In what the files of a version differ from *source*, or else from the content that it says it is."""
    target = scratch / uuid4().hex
    try:
        cellar.pull(ref, target)
        source = source or scratch / "contents" / (target / "content").read_text()
        names = {
            path.relative_to(root).as_posix()
            for root in (source, target)
            for path in root.rglob("*")
            if path.is_file()
        }
        _, differ, missing = filecmp.cmpfiles(source, target, names, shallow=False)
        return [f"{ref}/{name} is not what was registered" for name in (*differ, *missing)]
    finally:
        shutil.rmtree(target, ignore_errors=True)


def main() -> int:
    """Run, print, and say by the exit code whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="local", help=STORES)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--registers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--kills", type=float, default=0.5, help="the share of tries that are killed")
    parser.add_argument(
        "--limit", type=float, default=900, help="seconds after which the run counts as stuck"
    )
    parser.add_argument("--dir", help="where all files go")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with place(asked.store, asked.dir) as where:
        chaos = Chaos(
            where,
            writers=asked.writers,
            registers=asked.registers,
            seed=asked.seed,
            kills=asked.kills,
            limit=asked.limit,
        )
        began = monotonic()
        facts = chaos.run()
        seconds = monotonic() - began
    if asked.json:
        print(
            json.dumps(
                {"store": where.name, "seed": asked.seed, **facts, "problems": chaos.problems}, indent=1
            )
        )
    else:
        print(f"{where.name}, seed {asked.seed}: {asked.writers} writers, {seconds:.0f} s")
        print(", ".join(f"{name} {count}" for name, count in facts.items()))
        print(*chaos.problems[:20], sep="\n")
    return 1 if chaos.problems else 0


if __name__ == "__main__":
    sys.exit(main())
