"""Plan and resolve at 100, 1,000 and 10,000 versions, against the bare listing of the same keys plus parsing them.

Run it as `python -P benchmarks/listing.py [--store local|s3] [--versions N …] [--rounds N]`.

A third of the versions are the base's, the others those of three projects; their records are written straight into the
store. The floor lists the prefixes that must be listed and makes a ref of each key. Ours and the floor run in turns;
the ratio is that of their medians. What reads one known object (an exact ref, an alias) lists nothing of the versions:
its time must not grow with them, and is measured in turns with that of the fewest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.places import STORES, Place, boto3_client, machine, place
from cellar_core import Cellar, layout
from cellar_core.record import FileEntry, Parent, Record
from cellar_core.ref import Rack, Ref
from cellar_core.store import Store

BAR = 1.3
THREADS = 8
FLAT = 1.5
"""So much longer an exact ref may take with the most versions than with the fewest: the noise of one request."""
LEAST = 1.0
"""For so many seconds at least each is measured."""
RACK = Rack("list/list-l")
PROJECTS = [RACK.project(name) for name in ("projectA", "projectB", "projectC")]
DIGEST = f"blake3:{'0' * 64}"


def refs(versions: int) -> Iterator[Ref]:
    """A third bases, on two lines; the others on the last bases of the first line."""
    bases = max(versions // 3, 2)
    for number in range(bases):
        yield RACK.base.at(f"{1 + number % 2}.{number // 2}")
    for number in range(versions - bases):
        model = PROJECTS[number % len(PROJECTS)]
        yield model.at(f"1.{(bases - 1) // 2 - number // 3 % 3}.{number // 9 + 1}")


def fill(store: Store, versions: int) -> None:
    """Write records, as register would."""

    def write(ref: Ref) -> None:
        base = None if ref.model.is_base else Parent(ref=ref.base, tree=DIGEST)
        kind = "base" if base is None else "project"
        file = FileEntry(path="model.bin", size=1, digest=DIGEST)
        record = Record(ref=ref, kind=kind, identity=DIGEST, tree=DIGEST, files=(file,), parent=base)
        store.create(layout.record(ref), record.to_bytes())

    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(write, refs(versions)):
            pass


class DiskFloor:
    """A directory, by the calls of the operating system."""

    def __init__(self, where: Place) -> None:
        self._root = where.url

    def lists(self, prefixes: Iterable[str]) -> Iterator[list[str]]:
        """All keys below each prefix, one after the other: a disk answers at once."""
        return map(self._list, prefixes)

    def _list(self, prefix: str) -> list[str]:
        found, todo = [], [f"{self._root}/{prefix}"]
        while todo:
            try:
                items = os.scandir(todo.pop())
            except FileNotFoundError:
                continue
            with items:
                for item in items:
                    if item.is_dir():
                        todo.append(item.path)
                    else:
                        item.stat()  # what a listing of S3 tells too
                        found.append(item.path)
        return [path[len(self._root) + 1 :] for path in found]

    def read(self, key: str) -> bytes:
        """One object."""
        return Path(self._root, key).read_bytes()


class S3Floor:
    """A bucket, by boto3."""

    def __init__(self, where: Place, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._client = boto3_client(where, THREADS)
        self._bucket, _, root = where.url.partition("://")[2].partition("/")
        self._root = f"{root}/"

    def lists(self, prefixes: Iterable[str]) -> Iterator[list[str]]:
        """All keys below each prefix, several at once."""
        return self._pool.map(self._list, prefixes)

    def _list(self, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._root + prefix
        )
        return [one["Key"][len(self._root) :] for page in pages for one in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        """One object."""
        data: bytes = self._client.get_object(Bucket=self._bucket, Key=self._root + key)["Body"].read()
        return data


@dataclass(frozen=True)
class Call:
    """What is measured: a call of ours, what it lists, and what it reads."""

    name: str
    ours: Callable[[], object]
    lists: tuple[str, ...]
    reads: tuple[str, ...]

    def floor(self, bare: DiskFloor | S3Floor) -> None:
        """The same requests bare, and parsing."""
        for key in self.reads:
            bare.read(key)
        for keys in bare.lists(self.lists):
            for key in keys:
                layout.parse_record(key)


def calls(cellar: Cellar, last: Ref) -> Iterator[Call]:
    """What is measured."""
    model = last.model
    of_model = (layout.records(model), layout.records(RACK.base))
    newest = layout.record(last)
    yield Call(
        "plan",
        lambda: cellar.plan(RACK),
        (layout.records(RACK), layout.rebuild_logs(RACK)),
        (layout.config(RACK),),
    )
    for choice in ("latest", "^1"):
        yield Call(f"@{choice}", partial(cellar.resolve, f"{model}@{choice}"), of_model, (newest,))


def flat(cellar: Cellar, last: Ref) -> dict[str, Callable[[], object]]:
    """What must not grow with the versions."""
    return {
        "exact ref": lambda: cellar.resolve(last),
        "alias": lambda: cellar.resolve(f"{last.model}@production"),
    }


def in_turns(acts: list[Callable[[], object]], rounds: int) -> list[float]:
    """The median seconds of each, of at least so many *rounds*; the first one warms all caches."""
    times: list[list[float]] = []
    begun = perf_counter()
    while len(times) <= rounds or perf_counter() - begun < LEAST:
        row = []
        for act in acts:
            start = perf_counter()
            act()
            row.append(perf_counter() - start)
        times.append(row)
    return [median(column) for column in zip(*times[1:], strict=True)]


@contextmanager
def filled(store: str, versions: int, directory: str | None) -> Iterator[tuple[Place, Cellar, Ref]]:
    """A cellar with so many versions, and the last one of a project."""
    with place(store, directory) as where:
        cellar = Cellar.init(where.url, where.options)
        cellar.create_rack(RACK)
        fill(cellar.store, versions)
        last = max((ref for ref in refs(versions) if ref.model == PROJECTS[0]), key=lambda ref: ref.version)
        cellar.alias(last.model, "production", last.version)
        yield where, cellar, last


def main() -> int:
    """Measure and print; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="local", help=STORES)
    parser.add_argument("--versions", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dir", help="where all files go")
    asked = parser.parse_args()
    here = machine(Path(asked.dir or tempfile.gettempdir()))
    print(
        f"{asked.store}; {here}; medians of {asked.rounds} runs in turns, and of more where one takes milliseconds"
    )
    passed = True

    def compare(what: str, bar: float, ours: Callable[[], object], other: Callable[[], object]) -> None:
        nonlocal passed
        mine, its = in_turns([ours, other], asked.rounds)
        passed = passed and mine <= bar * its
        verdict = "PASS" if mine <= bar * its else "FAIL"
        print(f"{verdict}  {what}: {mine / its:.2f} times (bar {bar}), {mine * 1000:.1f} ms", flush=True)

    with ThreadPoolExecutor(THREADS) as pool, ExitStack() as stack:
        fewest: dict[str, Callable[[], object]] = {}
        for versions in asked.versions:
            where, cellar, last = stack.enter_context(filled(asked.store, versions, asked.dir))
            bare = S3Floor(where, pool) if where.url.startswith("s3://") else DiskFloor(where)
            for call in calls(cellar, last):
                compare(
                    f"{call.name}, {versions:,} versions, beside the floor",
                    BAR,
                    call.ours,
                    partial(call.floor, bare),
                )
            for name, act in flat(cellar, last).items():
                if (first := fewest.setdefault(name, act)) is not act:
                    compare(f"{name}, {versions:,} versions, beside {asked.versions[0]:,}", FLAT, act, first)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
