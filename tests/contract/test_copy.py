"""Copies between a disk and a bucket of a real server, by processes that are killed at any instant."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cellar_core import Cellar, layout
from cellar_core.copy import CopyIncomplete
from cellar_core.payload import CHUNK
from tests.contract.servers import Moto, running
from tests.contract.store import forked
from tests.core.helpers import WAIT, blank
from tests.core.test_copy import same, sound

server = running(Moto)
other = running(Moto)

RACK = "vit/vit-l"
KILLS = 6


def open_cellar(kind: str, name: str, server: Moto, directory: Path) -> Cellar:
    """A cellar that an earlier line of the test has made, as another process would open it."""
    if kind == "disk":
        return Cellar(directory / name)
    return Cellar(f"s3://{server.bucket}/{directory.name}/{name}", server.options())


def fill(cellar: Cellar, directory: Path, draw: random.Random) -> None:
    """A base and its project, with one file in several parts, one in one piece, and small ones; and a yanked base."""
    base = cellar.register_base(RACK, payload(directory / "a", draw, 2 * CHUNK + 7), bump="minor").ref
    bad = cellar.register_base(RACK, payload(directory / "b", draw, 100), bump="minor").ref
    cellar.yank(bad, "bad")
    tuned = cellar.register_project(f"{RACK}/projectA", payload(directory / "c", draw, CHUNK), base=base).ref
    cellar.alias(tuned.model, "production", str(tuned.version))


def payload(directory: Path, draw: random.Random, size: int) -> Path:
    directory.mkdir()
    (directory / "model.bin").write_bytes(draw.randbytes(size))
    for number in range(4):
        (directory / f"{number}.txt").write_bytes(draw.randbytes(50))
    return directory


def killed(act: Callable[[], object], after: float) -> bool:
    """Act in a process that is killed after so many seconds; whether it had not ended by itself."""
    process = forked(act)
    process.join(after)
    if process.is_alive():
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
    process.join(WAIT)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


PAIRS = [("disk", "s3"), ("s3", "disk"), ("s3", "s3")]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_killed_at_any_instant(server: Moto, tmp_path: Path, source: str, target: str) -> None:
    """Whenever its process dies, the target is sound; another run finishes, and one more finds nothing to do."""
    draw = random.Random(f"{source} {target}")

    def here() -> Cellar:
        return open_cellar(source, "source", server, tmp_path)

    def there(name: str) -> Cellar:
        return open_cellar(target, name, server, tmp_path)

    for cellar in (here(), there("whole"), there("target")):
        blank(cellar.url, cellar._options)
    fill(here(), tmp_path, draw)
    began = time.monotonic()
    here().copy(there("whole"))
    whole = time.monotonic() - began
    same(here(), there("whole"))
    kills = sum(
        killed(lambda: here().copy(there("target")), draw.uniform(0, whole)) and not sound(there("target"))
        for _ in range(KILLS)
    )
    assert kills, "no copy was slow enough to be killed"
    here().copy(there("target"))
    same(here(), there("target"))
    sound(there("target"))
    assert not here().copy(there("target")).copied
    assert there("target").resolve(f"{RACK}/base@latest").ref == here().resolve(f"{RACK}/base@latest").ref
    assert there("target").doctor().ok
    assert Cellar(there("target").url, there("target")._options).plan(RACK).skips


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_damaged_file_never_appears(server: Moto, tmp_path: Path, source: str, target: str) -> None:
    """Neither a small one nor one that is sent in several parts, which are complete but for the last step."""
    here, there = (
        open_cellar(kind, name, server, tmp_path) for kind, name in ((source, "source"), (target, "target"))
    )
    for cellar in (here, there):
        blank(cellar.url, cellar._options)
    fill(here, tmp_path, random.Random(0))
    size = here.store.find(f"{RACK}/base/0.1/")[f"{RACK}/base/0.1/model.bin"]
    here.store.put(f"{RACK}/base/0.1/model.bin", size, iter([b"\0" * size]))
    with pytest.raises(CopyIncomplete, match=r"base/0\.1/model\.bin is blake3:"):
        here.copy(there)
    assert f"{RACK}/base/0.1/model.bin" not in there.store.find(f"{RACK}/")
    assert not there.store.partials(f"{RACK}/")
    assert layout.record(there.resolve(f"{RACK}/base/0.2").ref) in there.store.find(layout.records(None))
    sound(there)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_constant_memory(server: Moto, other: Moto, tmp_path: Path, source: str, target: str) -> None:
    """Two large files at once take memory for a few pieces: less than 160 MiB, however large they are.

    Each bucket is on a server of its own: one that answers one request after the other would wait for itself.
    """
    import tracemalloc

    here = open_cellar(source, "source", server, tmp_path)
    there = open_cellar(target, "target", other, tmp_path)
    for cellar in (here, there):
        blank(cellar.url, cellar._options)
    (tmp_path / "out").mkdir()
    for name in ("one", "two"):
        with (tmp_path / "out" / name).open("wb") as file:
            file.truncate(15 * CHUNK)
    here.register_base(RACK, tmp_path / "out", bump="minor")
    tracemalloc.start()
    try:
        here.copy(there)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 160 * 2**20
    sound(there)
