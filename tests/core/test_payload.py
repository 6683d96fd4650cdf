"""Scanning a directory: every file, several at once, in constant memory."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

from cellar_core.digest import digest_stream
from cellar_core.payload import CHUNK, scan
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
