"""Scanning a directory: every file, several at once, in constant memory; and doing anything with many files."""

from __future__ import annotations

import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from cellar_core.digest import digest_stream
from cellar_core.payload import CHUNK, WORKERS, at_once, scan
from cellar_core.record import tree_digest
from tests.core.helpers import WAIT, write


def test_each_file_is_described(tmp_path: Path) -> None:
    """Every file has its path, size and digest, hidden and empty ones too, in the order of their paths."""
    path = write(tmp_path / "out", "weights", empty="")
    write(path / "b" / "deep", "x", **{".hidden": "y"})
    payload = scan(path)
    assert [file.path for file in payload.files] == [
        "b/deep/.hidden",
        "b/deep/model.bin",
        "empty",
        "model.bin",
    ]
    for file in payload.files:
        data = (path / file.path).read_bytes()
        assert (file.size, file.digest) == (len(data), digest_stream([data]))
    assert payload.tree == tree_digest(payload.files)


def test_every_byte_is_counted(tmp_path: Path) -> None:
    """Whoever shows progress is told of each byte once."""
    path = write(tmp_path / "out", "0123456789", more="01234")
    counted: list[int] = []
    scan(path, counted.append)
    assert sum(counted) == 15


def test_constant_memory(tmp_path: Path) -> None:
    """A file of many pieces takes memory for a few of them."""
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(12 * CHUNK)
    tracemalloc.start()
    try:
        payload = scan(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert payload.files[0].size == 12 * CHUNK
    assert peak < 4 * CHUNK


def test_files_in_parallel(tmp_path: Path) -> None:
    """Files are read several at once: each of two waits for the other."""
    path = write(tmp_path / "out", "one", other="two")
    both = threading.Barrier(2)
    scan(path, lambda count: both.wait(WAIT) and None)


class TestAtOnce:
    """Many files at once, of which one fails."""

    def test_order(self) -> None:
        """The answers are in the order of the items, whichever is done first."""
        counts: list[int] = []

        def act(item: int, told: Callable[[int], object]) -> int:
            time.sleep((5 - item) / 100)
            told(item)
            return item

        assert at_once(act, range(5), counts.append) == list(range(5))
        assert sorted(count for count in counts if count) == [1, 2, 3, 4]

    def test_the_others_end_too(self) -> None:
        """What fails is told, and no other file goes on, however large: also when it is not the first of them."""
        begun = threading.Barrier(4)

        def act(item: int, told: Callable[[int], object]) -> None:
            begun.wait(WAIT)
            if item == 2:
                raise ValueError("the third") from KeyError("why")
            end = time.monotonic() + WAIT
            while time.monotonic() < end:
                told(1)
                time.sleep(0.01)
            pytest.fail("it went on")

        with pytest.raises(ValueError, match="the third") as caught:
            at_once(act, range(4), lambda count: None)
        assert isinstance(caught.value.__cause__, KeyError)

    def test_what_waits_is_not_begun(self) -> None:
        """Nor is another one begun."""
        begun: list[int] = []

        def act(item: int, told: Callable[[int], object]) -> None:
            begun.append(item)
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            at_once(act, range(1000), lambda count: None)
        assert len(begun) <= 2 * WORKERS

    def test_interrupted(self) -> None:
        """An interrupt ends all of them at their next piece."""

        def act(item: int, told: Callable[[int], object]) -> None:
            if item == 0:
                signal.raise_signal(signal.SIGINT)  # Python handles it in the main thread
            end = time.monotonic() + WAIT
            while time.monotonic() < end:
                told(1)
                time.sleep(0.01)
            pytest.fail("it went on")

        with pytest.raises(KeyboardInterrupt):
            at_once(act, range(2), lambda count: None)
