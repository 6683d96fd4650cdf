"""The cache of what was pulled: one download for many pulls, and never a reason for a pull to fail or to be wrong."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellar_core import Cellar, cache
from cellar_core.cache import Cache, UnknownSize
from cellar_core.digest import digest_stream
from cellar_core.fetch import PayloadCorrupt
from cellar_core.record import FileEntry
from cellar_core.store import LocalStore, Store
from tests.core.helpers import WAIT, Bench, caller, processes, threads, until, write

BASE = "vit/vit-l/base"


class Far(LocalStore):
    """A store that counts as far away, and notes in a file each object that is got from it, by whichever process."""

    near = False

    def __init__(self, url: str, log: Path, pause: float = 0) -> None:
        super().__init__(url)
        self._log = log
        self._pause = pause

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        with self._log.open("a") as log:
            log.write(f"{key}\n")
        time.sleep(self._pause)
        return super().chunks(key, size)

    copy = Store.copy


class Place:
    """A cellar far away with one base, and the cache of this machine."""

    def __init__(self, disk: Cellar, home: Path) -> None:
        self._disk = disk
        self._home = home
        self._log = home / "got"
        self.directory = home / "cache"

    def cellar(self, pause: float = 0) -> Cellar:
        """As a process that has just started."""
        return caller(self._disk, Far(self._disk.url, self._log, pause))

    def got(self) -> list[str]:
        """The files that were downloaded, in order."""
        return self._log.read_text().split() if self._log.exists() else []

    def kept(self) -> set[str]:
        """What the cache's files hold."""
        return {file.read_text() for file in self.entries()}

    def entries(self) -> list[Path]:
        return [file for file in self.directory.iterdir() if file.name.startswith("blake3-")]

    def pull(self, name: str, ref: str = BASE) -> dict[str, str]:
        """Pull to a fresh directory; its files."""
        path = self.cellar().pull(ref, self._home / "pulled" / name)
        return {file.name: file.read_text() for file in path.iterdir()}


@pytest.fixture
def place(disk: Cellar, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    disk.register_base("vit/vit-l", bench.files("weights", config__yaml="layers: 2"), version="1.0")
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CELLAR_CACHE_SIZE", raising=False)
    return Place(disk, tmp_path)


FILES = {"model.bin": "weights", "config.yaml": "layers: 2"}


class TestPull:
    """What a pull gets from it."""

    def test_once(self, place: Place) -> None:
        """The second pull downloads nothing, nor does that of another version with the same files."""
        assert place.pull("one") == place.pull("two") == FILES
        assert len(place.got()) == 2
        assert place.kept() == set(FILES.values())

    def test_by_content(self, place: Place, bench: Bench) -> None:
        """A file is known by its digest, wherever it is."""
        place.pull("one")
        place.cellar().register_base("bert/bert-l", bench.files("weights", other__txt="new"), version="1.0")
        assert place.pull("two", "bert/bert-l/base") == {"model.bin": "weights", "other.txt": "new"}
        assert place.got()[2:] == ["bert/bert-l/base/1.0/other.txt"]

    def test_two_files_of_one_content(self, place: Place, bench: Bench) -> None:
        """Files that are the same are downloaded once, also within one pull."""
        place.cellar().register_base("bert/bert-l", bench.files("x" * 10, copy__bin="x" * 10), version="1.0")
        place.pull("one", "bert/bert-l/base")
        assert len(place.got()) == 1

    def test_by_many_processes(self, place: Place, tmp_path: Path) -> None:
        """Eight processes that pull one base at the same moment download each file once between them."""

        def act(index: int) -> list[str]:
            path = place.cellar(pause=0.3).pull(BASE, tmp_path / str(index))
            return sorted(file.read_text() for file in path.iterdir())

        assert processes(8, act) == [sorted(FILES.values())] * 8
        assert len(place.got()) == 2
        assert not [file for file in place.directory.iterdir() if file.suffix == ".part"]

    def test_near(self, disk: Cellar, place: Place, tmp_path: Path) -> None:
        """What is on this machine already is not kept twice."""
        disk.pull(BASE, tmp_path / "pulled")
        assert not place.directory.exists()

    def test_verify_looks_at_the_store(self, place: Place, tmp_path: Path) -> None:
        """Verifying is about what is stored; a pull gets right files all the same."""
        place.pull("one")
        (tmp_path / "cellar" / BASE / "1.0/model.bin").write_text("spoiled")
        with pytest.raises(PayloadCorrupt):
            place.cellar().verify(BASE)
        assert place.pull("two") == FILES

    def test_what_is_corrupt_in_the_store_is_not_kept(self, place: Place, tmp_path: Path) -> None:
        """A download that is not what was registered fails, and leaves nothing."""
        (tmp_path / "cellar" / BASE / "1.0/model.bin").write_text("spoiled")
        with pytest.raises(PayloadCorrupt):
            place.pull("one")
        assert "spoiled" not in place.kept()
        assert not (tmp_path / "pulled" / "one").exists()

    def test_retrain(self, place: Place) -> None:
        """Rebuilds get their base through it."""
        for project in "ABC":
            place.cellar().retrain(
                f"vit/vit-l/project{project}", lambda job: write(job.output_dir, str(job.model))
            )
        assert len(place.got()) == 2


class TestDamage:
    """Nothing that happens to a copy or to the cache makes a pull wrong."""

    def test_what_a_user_does_to_a_copy(self, place: Place, tmp_path: Path) -> None:
        """A copy is the user's own: writing to it, in place too, does not change the cache."""
        place.pull("one")
        place.pull("two")
        for name in ("one", "two"):
            for file in (tmp_path / "pulled" / name).iterdir():
                file.chmod(0o600)
                with file.open("r+") as opened:
                    opened.write("spoiled")
        assert place.pull("three") == FILES
        assert len(place.got()) == 2

    def test_copies_are_writable(self, place: Place, tmp_path: Path) -> None:
        """A pulled file is no more read-only when it comes from the cache."""
        place.pull("one")
        place.pull("two")
        modes = {file.stat().st_mode for file in (tmp_path / "pulled").rglob("*") if file.is_file()}
        assert len(modes) == 1
        assert modes.pop() & 0o200
        assert {entry.stat().st_mode & 0o777 for entry in place.entries()} == {0o444}

    @pytest.mark.parametrize("damage", ["WEIGHTS", "", "weights and more"])
    def test_corrupt_entry(self, place: Place, caplog: pytest.LogCaptureFixture, damage: str) -> None:
        """A corrupt entry is seen when it is copied out, and got anew."""
        place.pull("one")
        [entry] = [entry for entry in place.entries() if entry.read_text() == "weights"]
        entry.chmod(0o600)
        entry.write_text(damage)
        assert place.pull("two") == FILES
        assert place.got()[2:] == [f"{BASE}/1.0/model.bin"]
        assert f"{entry} was damaged; getting it anew" in caplog.text
        assert place.kept() == set(FILES.values())

    def test_progress_of_a_corrupt_entry(self, place: Place, tmp_path: Path) -> None:
        """What was counted before the damage was seen is taken back."""
        entry = FileEntry(path="a", size=3, digest=digest_stream([b"abc"]))
        counts: list[int] = []
        kept = Cache(place.directory, 100)
        place.directory.mkdir()
        kept._place(entry).write_text("damaged")
        kept.get(
            lambda file, path, on_bytes: (path.write_text("abc"), on_bytes(3)),
            entry,
            tmp_path / "a",
            counts.append,
        )
        assert sum(counts) == 3
        assert (tmp_path / "a").read_text() == kept._place(entry).read_text() == "abc"

    @pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
    def test_what_is_no_file(self, place: Place, tmp_path: Path, kind: str) -> None:
        """A link, a pipe or a directory where an entry would be is no entry; nobody follows it or waits for it."""
        place.pull("one")
        other = write(tmp_path / "other", "weights") / "model.bin"
        for entry in place.entries():
            entry.unlink()
            if kind == "link":
                entry.symlink_to(other)
            elif kind == "fifo":
                os.mkfifo(entry)
            else:
                entry.mkdir()
        assert place.pull("two") == FILES
        assert len(place.got()) == 4
        assert other.read_text() == "weights"

    def test_foreign_files(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """What others keep in the directory is neither counted nor removed."""
        monkeypatch.setenv("CELLAR_CACHE_SIZE", "20")
        write(place.directory / "theirs", "x" * 1000)
        write(place.directory, "x" * 1000, notes__txt="x")
        place.pull("one")
        assert (place.directory / "notes.txt").exists()
        assert (place.directory / "theirs" / "model.bin").exists()
        assert place.kept() == set(FILES.values())

    @pytest.mark.parametrize("where", ["/proc/nowhere", "file/below"])
    def test_unusable_directory(
        self,
        place: Place,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        where: str,
    ) -> None:
        """Where no cache can be, a pull goes on without it and says so once."""
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CELLAR_CACHE_DIR", str(tmp_path / where))
        assert place.pull("one") == FILES
        assert caplog.text.count("going on without the cache in") == 1

    def test_full_disk(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The disk of the cache is full: /dev/full says so for each byte."""
        place.directory.mkdir()
        monkeypatch.setattr(
            Cache, "_keep", lambda self, file, path, part: Path("/dev/full").write_text("x" * 10)
        )
        assert place.pull("one") == FILES
        assert "No space left on device" in caplog.text
        assert place.entries() == []

    def test_readable_but_not_writable(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cache that somebody else has filled is of use although nothing can be added."""
        place.pull("one")

        def refuse(*arguments: object, **keywords: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "utime", refuse)
        monkeypatch.setattr(Cache, "_wait", refuse)
        assert place.pull("two") == FILES
        assert len(place.got()) == 2


class TestSize:
    """How large it gets."""

    def files(self, count: int) -> list[FileEntry]:
        return [
            FileEntry(path=str(index), size=30, digest=digest_stream([self.content(index)]))
            for index in range(count)
        ]

    def content(self, index: int) -> bytes:
        return f"{index:030}".encode()

    def get(self, kept: Cache, file: FileEntry, directory: Path) -> bool:
        """Get a file; whether it had to be fetched."""
        fetched = []

        def fetch(file: FileEntry, path: Path, on_bytes: Callable[[int], object]) -> None:
            fetched.append(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.content(int(file.path)))
            on_bytes(file.size)

        target = directory / f"{len(list(directory.iterdir()))}"
        kept.get(fetch, file, target, lambda count: None)
        assert target.read_bytes() == self.content(int(file.path))
        return bool(fetched)

    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        (tmp_path / "out").mkdir()
        return tmp_path / "out"

    def held(self, directory: Path) -> set[int]:
        return {int(file.read_text()) for file in directory.iterdir() if file.name.startswith("blake3-")}

    def test_least_recently_used_goes_first(self, out: Path, tmp_path: Path) -> None:
        """When room is needed, what was not used for longest goes; a hit counts as use."""
        directory, files = tmp_path / "cache", self.files(5)
        for index in range(3):
            assert self.get(Cache(directory, 100), files[index], out)
            os.utime(Cache(directory, 100)._place(files[index]), (index, index))
        assert not self.get(Cache(directory, 100), files[0], out)
        assert self.get(Cache(directory, 100), files[3], out)
        assert self.held(directory) == {0, 2, 3}
        assert self.get(Cache(directory, 100), files[4], out)
        assert self.held(directory) == {0, 3, 4}

    def test_bound(self, out: Path, tmp_path: Path) -> None:
        """It never holds more than it may, though it looks at what it holds only now and then."""
        directory = tmp_path / "cache"
        kept = Cache(directory, 1000)
        for file in self.files(100):
            self.get(kept, file, out)
            assert sum(entry.stat().st_size for entry in directory.iterdir()) <= 1000
        assert len(self.held(directory)) >= 30

    def test_bound_with_many_at_once(self, out: Path, tmp_path: Path) -> None:
        """Each of several processes keeps to it; what they do at the same moment is soon put right."""
        directory, files = tmp_path / "cache", self.files(160)

        def act(index: int) -> None:
            mine = tmp_path / f"out{index}"
            mine.mkdir()
            kept = Cache(directory, 1000)
            for file in files[20 * index : 20 * index + 20]:
                self.get(kept, file, mine)

        processes(8, act)
        self.get(Cache(directory, 1000), self.files(161)[-1], out)
        assert sum(entry.stat().st_size for entry in directory.iterdir()) <= 1000

    def test_larger_than_the_cache(self, out: Path, tmp_path: Path) -> None:
        """A file that would not fit passes by, and pushes nothing out."""
        directory, files = tmp_path / "cache", self.files(2)
        self.get(Cache(directory, 30), files[0], out)
        assert self.get(Cache(directory, 29), files[1], out)
        assert self.held(directory) == {0}

    def test_leaves_room_on_the_disk(
        self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It takes half of what is free at most, whatever it is allowed."""

        class Usage:
            free = 59

        directory, files = tmp_path / "cache", self.files(3)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
        self.get(Cache(directory, 10**9), files[0], out)
        assert self.held(directory) == set()
        Usage.free = 60
        self.get(Cache(directory, 10**9), files[1], out)
        assert self.held(directory) == {1}
        Usage.free = 59
        self.get(Cache(directory, 10**9), files[2], out)
        assert self.held(directory) == {2}

    def test_what_would_not_fit_anyway(
        self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is pushed out for what does not fit even then."""

        class Usage:
            free = 100

        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
        directory = tmp_path / "cache"
        self.get(Cache(directory, 10**9), self.files(1)[0], out)
        assert not Cache(directory, 10**9)._make_room(81)
        assert self.held(directory) == {0}
        assert Cache(directory, 10**9)._make_room(80)
        assert self.held(directory) == set()

    def test_off(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """One setting switches it off."""
        monkeypatch.setenv("CELLAR_CACHE_SIZE", "0")
        assert place.pull("one") == place.pull("two") == FILES
        assert len(place.got()) == 4
        assert not place.directory.exists()

    def test_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sizes are written as people write them; without a directory it is where a user's caches are."""
        monkeypatch.setenv("CELLAR_CACHE_SIZE", "1.5 GB")
        monkeypatch.delenv("CELLAR_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        kept = Cache.of_environment()
        assert kept is not None
        assert kept._size == 1_500_000_000
        assert kept._directory.name == "cellar-flows"
        monkeypatch.setenv("CELLAR_CACHE_SIZE", "plenty")
        with pytest.raises(
            UnknownSize, match="CELLAR_CACHE_SIZE is 'plenty'; write a size such as 200GB, or 0"
        ):
            Cache.of_environment()


class TestInterrupted:
    """Pulls that are killed, or stand still."""

    def start(self, act: Callable[[], object]) -> int:
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            try:
                act()
            finally:
                os._exit(1)
        return child

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_killed(self, place: Place, tmp_path: Path) -> None:
        """A process is killed in the middle of its download; one that waited for it gets the file then."""
        child = self.start(lambda: place.cellar(pause=WAIT).pull(BASE, tmp_path / "killed"))
        until(lambda: len(place.got()) == 2)
        waiting = threading.Thread(target=place.pull, args=("one",), daemon=True)
        waiting.start()
        time.sleep(0.3)
        assert len(place.got()) == 2  # it waits
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        waiting.join(WAIT)
        assert not waiting.is_alive()
        assert len(place.got()) == 4
        assert place.pull("two") == FILES
        assert len(place.got()) == 4

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_stopped(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A process that was stopped, as by Ctrl-Z, has the others wait for a while only."""
        child = self.start(lambda: place.cellar(pause=WAIT).pull(BASE, tmp_path / "stopped"))
        try:
            until(lambda: len(place.got()) == 2)
            monkeypatch.setattr(cache, "PATIENCE", 0.1)
            assert place.pull("one") == FILES
            assert "another process is stuck getting" in caplog.text
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_slow(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A download that is slow but comes is waited for, however long it takes."""
        monkeypatch.setattr(cache, "PATIENCE", 2.0)
        caplog.set_level(logging.INFO, logger="cellar_core")
        file, fetched = FileEntry(path="a", size=3, digest=digest_stream([b"abc"])), []

        def fetch(file: FileEntry, path: Path, on_bytes: Callable[[int], object]) -> None:
            fetched.append(file)

            def comes() -> bool:
                on_bytes(0)
                return "waiting for another process, which is getting" in caplog.text

            until(comes)
            path.write_bytes(b"abc")

        def act(index: int) -> bytes:
            path = tmp_path / f"{index}"
            Cache(place.directory, 100).get(fetch, file, path, lambda count: None)
            return path.read_bytes()

        assert threads(2, act) == [b"abc"] * 2
        assert len(fetched) == 1

    def test_what_killed_pulls_leave_goes_away(self, place: Place) -> None:
        """What they had begun counts as held until it is old, and then it goes."""
        place.pull("one")
        left = place.entries()[0].with_name("blake3-" + "0" * 64).with_suffix(".part")
        left.write_text("half")
        left.chmod(0o444)
        os.utime(left, (1, 1))
        Cache(place.directory, 1000)._evict(1)
        assert not left.exists()
        assert place.kept() == set(FILES.values())
