"""What a registry promises on each store: one number has one winner, and a version is there whole or not at all."""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellar_core import Cellar, Registered, layout
from cellar_core.log import ChangedMeanwhile
from cellar_core.payload import CHUNK
from cellar_core.ref import Model
from cellar_core.store import Store
from tests.contract.store import Placed, forked
from tests.core.helpers import WAIT, Watched, blank, processes, write

RACERS = 8
KILLS = 6
BASE = "vit/vit-l/base"
A = "vit/vit-l/projectA"


def another(cellar: Cellar, store: Store | None = None) -> Cellar:
    """The same cellar as another process has it, with nothing cached; through *store*, if it is given."""
    other = copy.copy(cellar)
    other._store = store or other._store
    return other


def numbers(cellar: Cellar, model: str = BASE) -> list[str]:
    """The versions of a model."""
    return [str(ref.version) for ref in cellar.versions(model)]


def content(cellar: Cellar, done: Registered) -> str:
    """What the ``model.bin`` of a version holds."""
    key = layout.payload(done.ref) + "model.bin"
    return b"".join(cellar.store.chunks(key, cellar.store.find(key)[key])).decode()


class RegistryContract(Placed):
    """What holds for a registry on every store that other processes see."""

    @pytest.fixture
    def cellar(self, url: str, options: dict[str, Any]) -> Cellar:
        """A cellar that has been used, as a parent process has one when it forks."""
        return blank(url, options)

    def test_init(self, url: str, options: dict[str, Any]) -> None:
        """A cellar is made once: whoever makes it again finds it."""
        assert Cellar.init(url, options).id == Cellar.init(url, options).id == Cellar(url, options).id

    def test_different_contents_at_once(self, cellar: Cellar, tmp_path: Path) -> None:
        """N processes with N contents get N consecutive versions, each with its own content."""
        paths = [write(tmp_path / str(index), f"content {index}") for index in range(RACERS)]
        done = processes(RACERS, lambda index: cellar.register_base("vit/vit-l", paths[index], bump="minor"))
        assert numbers(cellar) == [f"0.{number}" for number in range(1, RACERS + 1)]
        assert len({one.ref for one in done}) == RACERS
        assert all(one.created for one in done)
        assert [content(cellar, one) for one in done] == [f"content {index}" for index in range(RACERS)]

    def test_the_same_content_at_once(self, cellar: Cellar, tmp_path: Path) -> None:
        """N processes with one content get one version, which one of them made."""
        cellar.register_base("vit/vit-l", write(tmp_path / "base"), version="1.0")
        path = write(tmp_path / "tuned", "tuned", config__yaml="a: 1")
        done = processes(RACERS, lambda _: cellar.register_project(A, path, base=f"{BASE}/1.0"))
        assert numbers(cellar, A) == ["1.0.1"]
        assert {str(one.ref) for one in done} == {f"{A}/1.0.1"}
        assert [one.created for one in done].count(True) == 1
        assert cellar.verify(f"{A}/1.0.1")

    def test_killed_at_any_instant(self, cellar: Cellar, tmp_path: Path) -> None:
        """Readers see the version of a killed register whole or not at all, and the next register finishes it."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        started = time.monotonic()
        self._register(cellar, self._payload(tmp_path, 0))
        whole = time.monotonic() - started
        for number in range(1, KILLS + 1):
            path = self._payload(tmp_path, number)
            process = forked(lambda path=path: self._register(cellar, path))  # type: ignore[misc]
            process.join(chance.uniform(0, 1.2 * whole))
            process.kill()
            process.join(WAIT)
            for ref in another(cellar).versions(BASE):
                cellar.verify(ref)
            there = set(cellar.store.find("vit/"))
            watched = Watched(cellar.store)
            done = self._register(another(cellar, watched), path)
            sent = {key for method, key in watched.asked if method == "put"}
            assert not sent & there
            assert content(cellar, done) == path.joinpath("model.bin").read_text()
            assert numbers(cellar) == [f"0.{version}" for version in range(1, number + 2)]
            cellar.verify(done.ref)

    def _payload(self, directory: Path, number: int) -> Path:
        """A payload of several files, of which one takes several parts."""
        texts = {f"file{index}": f"{number} {index}" for index in range(6)}
        path = write(directory / str(number), f"content {number}", **texts)
        path.joinpath("large.bin").write_bytes(random.Random(number).randbytes(CHUNK + 2**20))
        return path

    def _register(self, cellar: Cellar, path: Path) -> Registered:
        return cellar.register_base("vit/vit-l", path, bump="minor")

    def test_readers_meanwhile(self, cellar: Cellar, tmp_path: Path) -> None:
        """Whoever reads while others register sees whole versions only."""
        paths = [write(tmp_path / str(index), str(index), a__txt="a", b__txt="b") for index in range(4)]
        ended = threading.Event()
        seen: list[int] = []

        def read() -> None:
            other = another(cellar)
            while not ended.is_set():
                refs = other.versions(BASE)
                seen.append(len(refs))
                for ref in refs[-2:]:
                    other.verify(ref)

        def write_all(index: int) -> None:
            for one in (index, index + 2):
                cellar.register_base("vit/vit-l", paths[one], bump="minor")

        errors = self._beside(read, ended, lambda: processes(2, write_all))
        assert not errors
        assert seen == sorted(seen)
        assert len(numbers(cellar)) == 4

    def _beside(
        self, read: Callable[[], None], ended: threading.Event, act: Callable[[], object]
    ) -> list[Exception]:
        """What *read* raised, in a thread, while *act* ran."""
        errors: list[Exception] = []

        def reader() -> None:
            try:
                read()
            except Exception as error:  # noqa: BLE001 - told to the caller
                errors.append(error)

        thread = threading.Thread(target=reader, daemon=True)
        thread.start()
        try:
            act()
        finally:
            ended.set()
            thread.join(WAIT)
        return errors

    def test_round_trip(self, cellar: Cellar, tmp_path: Path) -> None:
        """What is pulled is what was registered, file by file: deep, empty, and large ones of several parts."""
        path = write(tmp_path / "model")
        (path / "deep/er").mkdir(parents=True)
        (path / "deep/er/a b.txt").write_text("deep")
        (path / "empty").touch()
        (path / "large.bin").write_bytes(random.Random(0).randbytes(2 * CHUNK + 5))
        done = self._register(cellar, path)
        cellar.verify(done.ref)
        pulled = another(cellar).pull(f"{BASE}@latest", tmp_path / "pulled")
        assert files(pulled) == files(path)

    def test_lost_files_are_sent_again(self, cellar: Cellar, tmp_path: Path) -> None:
        """The same content heals a version of which a file went away, and only that file is sent."""
        path = write(tmp_path / "model", a__txt="a", b__txt="b")
        ref = self._register(cellar, path).ref
        key = layout.payload(ref) + "a.txt"
        cellar.store.delete(key)
        watched = Watched(cellar.store)
        assert not self._register(another(cellar, watched), path).created
        assert [one for one in watched.asked if one[0] == "put"] == [("put", key)]
        cellar.verify(ref)

    def test_a_log_has_one_entry_a_number(self, cellar: Cellar, tmp_path: Path) -> None:
        """Of processes that move an alias at once, none is lost in silence: each has moved it, or was told."""
        for index in range(4):
            self._register(cellar, write(tmp_path / str(index), str(index)))

        def move(index: int) -> bool:
            try:
                cellar.alias(BASE, "production", f"0.{index + 1}")
            except ChangedMeanwhile:
                return False
            return True

        moved = processes(4, move)
        assert any(moved)
        assert len(cellar.store.find(layout.alias_log(Model(BASE), "production"))) == moved.count(True)
        assert cellar.aliases(BASE)["production"] in cellar.versions(BASE)


def files(directory: Path) -> dict[str, bytes]:
    """The files below a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
