"""Register and pull of large and of many files, against the bare copy, and against the best bare client of S3.

Run it as `python -P benchmarks/transfer.py [--store local|s3] [--case 1x4GiB --case 2000x100KiB] [--rounds N]`.

The floor is what anybody must do. On a disk: copy and digest in one pass, and sync what is registered. On S3: digest
the files and send them, or fetch and digest them, by whichever of boto3, s3fs and obstore (if it is installed) is the
fastest here; and beside it by the fastest that works in a forked process, as Airflow's and Celery's workers are, which
obstore does not. Ours and the floors run in turns, each in a fresh process that is connected before the clock starts;
the ratio is that of their medians. Peak RSS is how far the process grew from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeAlias

import fsspec
from blake3 import blake3

from benchmarks.places import STORES, Place, boto3_client, machine, place
from cellar_core import Cellar
from cellar_core.layout import FORMAT, entry
from cellar_core.store import open_store

MIB = 2**20
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
PART, PARTS, THREADS = 8 * MIB, 8, 8
BARS = {"local": 1.25, "s3": 1.15}
SERVERS = {"s3": "seaweedfs"}
"""moto is slower than any client; rclone, which is fast, loses a part now and then when the machine is busy."""
GROWTH = 128
"""MiB."""
RACK = "bench/bench-l"
HANGS_AFTER_FORK = {"obstore"}

Run: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """So many files of one size."""

    count: int
    size: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """From ``1x4GiB``."""
        if not (match := re.fullmatch(r"(\d+)x(\d+)(KiB|MiB|GiB)", text)):
            raise argparse.ArgumentTypeError(f"{text} is no case: write it like 2000x100KiB")
        return cls(int(match[1]), int(match[2]) * UNITS[match[3]])

    def write(self, directory: Path) -> Path:
        """A directory with such files, of random bytes."""
        directory.mkdir(parents=True)
        for number in range(self.count):
            with (directory / f"{number:05}.bin").open("wb") as file:
                for start in range(0, self.size, MIB):
                    file.write(os.urandom(min(MIB, self.size - start)))
        return directory


@dataclass(frozen=True)
class Sample:
    """How long one run took, and by how many MiB its process grew."""

    seconds: float
    growth: float


def sampled(make: Callable[..., Run], *arguments: object) -> Sample:
    """Run what *make* gives, in a fresh process: making it may import and connect, and does not count."""
    os.sync()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_sample, make, *arguments).result()


def _sample(make: Callable[..., Run], *arguments: object) -> Sample:
    run = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    start = perf_counter()
    run()
    return Sample(perf_counter() - start, (_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1])


# Ours


def cellar_of(where: Place) -> Cellar:
    """A cellar that is connected."""
    cellar = Cellar(where.url, where.options)
    cellar.racks()
    return cellar


def register(where: Place, source: Path, turn: str) -> Run:
    """Register *source*; *turn* makes it a version of its own."""
    cellar = cellar_of(where)
    return lambda: cellar.register_base(RACK, source, bump="minor", again=turn)


def pull(where: Place, ref: str, target: Path) -> Run:
    """Pull *ref*."""
    cellar = cellar_of(where)
    return lambda: cellar.pull(ref, target)


# The floor on a disk


def copy(source: Path, target: Path, *, sync: bool) -> Run:
    """Copy and digest in one pass."""
    target.mkdir(parents=True)

    def one(file: Path) -> str:
        state, buffer = blake3(), memoryview(bytearray(MIB))
        with file.open("rb", buffering=0) as read, (target / file.name).open("xb", buffering=0) as write:
            while count := read.readinto(buffer):
                state.update(buffer[:count])
                write.write(buffer[:count])
            if sync:
                os.fsync(write.fileno())
        return state.hexdigest()

    return lambda: in_threads(one, source.iterdir())


def in_threads(act: Callable[[Any], object], items: Any, threads: int = THREADS) -> None:
    """Call *act* with each of *items*, several at once."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(act, items):
            pass


def digest(file: Path) -> str:
    """The digest of a file, in constant memory."""
    state, buffer = blake3(), memoryview(bytearray(MIB))
    with file.open("rb", buffering=0) as read:
        while count := read.readinto(buffer):
            state.update(buffer[:count])
    return state.hexdigest()


# Bare clients of S3: each sends or fetches every file, and digests it


def boto3_in_parts(where: Place) -> tuple[Any, Any]:
    """A client, and how it transfers: in parts of 8 MiB."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    config.max_concurrency = PARTS
    return boto3_client(where, THREADS), config


def boto3_up(where: Place, source: Path, prefix: str) -> Run:
    """``upload_file`` with parts of 8 MiB."""
    client, config = boto3_in_parts(where)
    bucket, _, root = prefix.partition("/")
    client.list_objects_v2(Bucket=bucket, MaxKeys=1)

    def one(file: Path) -> None:
        digest(file)
        client.upload_file(str(file), bucket, f"{root}/{file.name}", Config=config)

    return lambda: in_threads(one, source.iterdir())


def boto3_down(where: Place, prefix: str, target: Path, names: list[str]) -> Run:
    """``download_file`` with ranges of 8 MiB."""
    client, config = boto3_in_parts(where)
    bucket, _, root = prefix.partition("/")
    client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    target.mkdir()

    def one(name: str) -> None:
        client.download_file(bucket, f"{root}/{name}", str(target / name), Config=config)
        digest(target / name)

    return lambda: in_threads(one, names)


def s3fs_up(where: Place, source: Path, prefix: str) -> Run:
    """``put_file`` with parts of 8 MiB."""
    fs = fsspec.filesystem("s3", **where.options)
    fs.exists(prefix)

    def one(file: Path) -> None:
        digest(file)
        fs.put_file(str(file), f"{prefix}/{file.name}", chunksize=PART, max_concurrency=PARTS)

    return lambda: in_threads(one, source.iterdir())


def s3fs_down(where: Place, prefix: str, target: Path, names: list[str]) -> Run:
    """``open`` with read-ahead, which is its fastest for a large file."""
    fs = fsspec.filesystem("s3", **where.options)
    fs.exists(prefix)
    target.mkdir()

    def one(name: str) -> None:
        state = blake3()
        with (
            fs.open(f"{prefix}/{name}", "rb", block_size=PART, cache_type="readahead") as read,
            (target / name).open("xb") as write,
        ):
            while piece := read.read(PART):
                state.update(piece)
                write.write(piece)

    return lambda: in_threads(one, names)


def obstore_store(where: Place, bucket: str) -> Any:
    """A store of obstore."""
    from obstore.store import S3Store

    options = where.options
    return S3Store(
        bucket,
        endpoint=options.get("client_kwargs", {}).get("endpoint_url"),
        access_key_id=options.get("key"),
        secret_access_key=options.get("secret"),
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def obstore_up(where: Place, source: Path, prefix: str) -> Run:
    """``put`` of a file, in parts of 8 MiB."""
    import obstore

    bucket, _, root = prefix.partition("/")
    store = obstore_store(where, bucket)
    obstore.list_with_delimiter(store, root)

    def one(file: Path) -> None:
        digest(file)
        obstore.put(store, f"{root}/{file.name}", file, chunk_size=PART, max_concurrency=PARTS)

    return lambda: in_threads(one, source.iterdir())


def obstore_down(where: Place, prefix: str, target: Path, names: list[str]) -> Run:
    """``get`` as a stream."""
    import obstore

    bucket, _, root = prefix.partition("/")
    store = obstore_store(where, bucket)
    obstore.list_with_delimiter(store, root)
    target.mkdir()

    def one(name: str) -> None:
        state = blake3()
        with (target / name).open("xb") as write:
            for piece in obstore.get(store, f"{root}/{name}").stream(min_chunk_size=MIB):
                state.update(piece)
                write.write(piece)

    return lambda: in_threads(one, names)


UP = {"boto3": boto3_up, "s3fs": s3fs_up, "obstore": obstore_up}
DOWN = {"boto3": boto3_down, "s3fs": s3fs_down, "obstore": obstore_down}


# Ours against the floor


class Bench:
    """One case on one place."""

    def __init__(self, where: Place, case: Case) -> None:
        self._where = where
        self._case = case
        self.source = case.write(where.scratch / f"source-{case.count}")
        self._target = where.scratch / "target"
        self._turn = 0
        self._fs, self._root = fsspec.url_to_fs(where.url, **where.options)

    def clean(self) -> None:
        """Free what was sent."""
        for path in (f"{self._root}/floor", f"{self._root}/{RACK}/base"):
            if self._fs.exists(path):
                self._fs.rm(path, recursive=True)
        self._fs.invalidate_cache()

    def register(self) -> Sample:
        """Ours: register under a new number."""
        self._turn += 1
        sample = sampled(register, self._where, self.source, str(self._turn))
        self.clean()
        return sample

    def registers(self) -> dict[str, Callable[[], Sample]]:
        """The floors of it."""

        def floor(make: Callable[..., Run], *arguments: object) -> Sample:
            sample = sampled(make, *arguments)
            self.clean()
            return sample

        if not self._where.options and "://" not in self._where.url:
            return {"copy": lambda: floor(partial(copy, sync=True), self.source, Path(self._root, "floor"))}
        prefix = f"{self._root}/floor"
        return {name: partial(floor, up, self._where, self.source, prefix) for name, up in _installed(UP)}

    def publish(self) -> None:
        """Register what is pulled from now on."""
        done = cellar_of(self._where).register_base(RACK, self.source, bump="minor", again="to pull")
        self._ref = str(done.ref)

    def pull(self) -> Sample:
        """Ours: pull, verified."""
        return self._pulled(pull, self._where, self._ref, self._target)

    def pulls(self) -> dict[str, Callable[[], Sample]]:
        """The floors of it."""
        stored = f"{self._root}/{self._ref}"
        if not self._where.options and "://" not in self._where.url:
            return {"copy": lambda: self._pulled(partial(copy, sync=False), Path(stored), self._target)}
        names = sorted(file.name for file in self.source.iterdir())
        return {
            name: partial(self._pulled, down, self._where, stored, self._target, names)
            for name, down in _installed(DOWN)
        }

    def _pulled(self, make: Callable[..., Run], *arguments: object) -> Sample:
        sample = sampled(make, *arguments)
        shutil.rmtree(self._target)
        return sample


def _installed(clients: Mapping[str, Callable[..., Run]]) -> Iterator[tuple[str, Callable[..., Run]]]:
    return ((name, client) for name, client in clients.items() if find_spec(name))


def compare(
    ours: Callable[[], Sample], floors: Mapping[str, Callable[[], Sample]], rounds: int
) -> dict[str, Any]:
    """Ours and the fastest of *floors* in turns; the first round is to choose it, and warms all caches.

    The bar is for the fastest of all, also if that is of no use in a forked process; the fastest that is comes too.
    """
    ours()
    first = {name: floor().seconds for name, floor in floors.items()}
    best = min(first, key=first.__getitem__)
    forks = min(first.keys() - HANGS_AFTER_FORK, key=first.__getitem__)
    turns = [(ours(), {name: floors[name]() for name in {best, forks}}) for _ in range(rounds)]
    mine = median(own.seconds for own, _ in turns)
    its = {name: median(others[name].seconds for _, others in turns) for name in (best, forks)}
    return {
        "ours": mine,
        "floor": its[best],
        "floor_is": best,
        "ratio": mine / its[best],
        "forks": its[forks],
        "forks_is": forks,
        "ratio_forks": mine / its[forks],
        "growth": max(own.growth for own, _ in turns),
        "floor_growth": max(others[best].growth for _, others in turns),
        "others": {name: seconds / first[best] for name, seconds in first.items() if name not in its},
    }


def main() -> int:
    """Measure and print; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="local", help=STORES)
    parser.add_argument("--case", type=Case.parse, action="append", help="such as 1x4GiB; may be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help="where all files go; its disk is what is measured")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    bar = BARS.get(asked.store, BARS["s3"])
    found, passed = [], True
    with place(SERVERS.get(asked.store, asked.store), asked.dir) as where:
        if not asked.json:
            print(f"{where.name}; {machine(where.scratch)}; medians of {asked.rounds} runs in turns")
        cellar = Cellar(where.url, where.options)
        made = {"schema": 1, "layout": 1, "cellar": "benchmark", "by": "benchmark"}
        # Not Cellar.init: some servers that are fast enough to be measured on would be refused.
        open_store(where.url, where.options).create(entry(FORMAT, 1), json.dumps(made).encode())
        cellar.create_rack(RACK)
        for case in asked.case or [Case(1, 4 * 2**30), Case(2000, 100 * 2**10)]:
            bench = Bench(where, case)
            for verb in ("register", "pull"):
                if verb == "pull":
                    bench.publish()
                facts = compare(getattr(bench, verb), getattr(bench, f"{verb}s")(), asked.rounds)
                facts["passed"] = facts["ratio"] <= bar and facts["growth"] < GROWTH
                passed = passed and facts["passed"]
                found.append({"case": f"{case.count}x{case.size}", "verb": verb, **facts})
                if not asked.json:
                    print(told(case, verb, facts, bar), flush=True)
            bench.clean()
            shutil.rmtree(bench.source)
    if asked.json:
        print(json.dumps(found, indent=1))
    return 0 if passed else 1


def told(case: Case, verb: str, facts: Mapping[str, Any], bar: float) -> str:
    """One figure as a line."""
    verdict = "PASS" if facts["passed"] else "FAIL"
    speed = case.count * case.size / MIB / facts["ours"]
    others = "".join(f"; {name} {ratio:.2f}" for name, ratio in facts["others"].items())
    if facts["forks_is"] != facts["floor_is"]:
        others = (
            f"; {facts['ratio_forks']:.2f} times {facts['forks_is']}, the best that survives a fork{others}"
        )
    return (
        f"{verdict}  {verb} {case.count} x {case.size / MIB:.3g} MiB: {facts['ratio']:.2f} times {facts['floor_is']} "
        f"(bar {bar}{others}), {speed:.0f} MiB/s, peak RSS {facts['growth']:+.0f} MiB "
        f"(bar {GROWTH}; {facts['floor_is']} {facts['floor_growth']:+.0f})"
    )


if __name__ == "__main__":
    sys.exit(main())
