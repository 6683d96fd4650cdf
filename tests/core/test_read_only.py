"""A cellar that is opened read-only: everything reads, and nothing writes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from cellar_core import Cellar
from cellar_core.store import ReadOnly

RACK = "vit/vit-l"
PROJECT = f"{RACK}/projectA"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    (made / "weights.txt").write_text("weights")
    return made


@pytest.fixture
def reader(tmp_path: Path, directory: Path) -> Cellar:
    """A cellar with a stale project, read-only, after it was pickled."""
    cellar = Cellar.init(tmp_path / "cellar")
    base = cellar.register_base(RACK, directory, bump="minor").ref
    cellar.register_project(PROJECT, directory, base=base)
    (directory / "weights.txt").write_text("better weights")
    cellar.register_base(RACK, directory, bump="minor")
    return pickle.loads(pickle.dumps(Cellar(cellar.url, read_only=True)))  # type: ignore[no-any-return]


def test_everything_reads(reader: Cellar, tmp_path: Path) -> None:
    assert [str(rack) for rack in reader.racks()] == [RACK]
    assert str(reader.resolve(PROJECT).ref) == f"{PROJECT}/0.1.1"
    assert (reader.pull(PROJECT, tmp_path / "model") / "weights.txt").read_text() == "weights"
    assert reader.verify(PROJECT).ref
    assert [str(rebuild.model) for rebuild in reader.plan(RACK).rebuilds] == [PROJECT]


def train(job: object) -> None:
    pytest.fail("a training was begun whose result could not be registered")


@pytest.mark.parametrize(
    "write",
    [
        lambda cellar, files: cellar.register_base(RACK, files, bump="minor", again="once more"),
        lambda cellar, files: cellar.register_project(PROJECT, files, base=f"{RACK}/base/0.2"),
        lambda cellar, files: cellar.create_rack("vit/another"),
        lambda cellar, files: cellar.alias(PROJECT, "production", "0.1.1"),
        lambda cellar, files: cellar.yank(f"{PROJECT}/0.1.1", "bad"),
        lambda cellar, files: cellar.approve(f"{RACK}/base/0.2"),
        lambda cellar, files: cellar.retrain(PROJECT, train),
        lambda cellar, files: cellar.rebuild(cellar.plan(RACK).rebuilds[0], train, holder="somebody"),
        lambda cellar, files: cellar.store.probe(),
    ],
)
def test_nothing_writes(
    reader: Cellar, directory: Path, tmp_path: Path, write: Callable[[Cellar, Path], object]
) -> None:
    before = sorted(path for path in (tmp_path / "cellar").rglob("*") if path.is_file())
    with pytest.raises(ReadOnly, match=r"was opened read-only, so nothing can be written") as error:
        write(reader, directory)
    assert error.value.retryable is False
    assert sorted(path for path in (tmp_path / "cellar").rglob("*") if path.is_file()) == before
