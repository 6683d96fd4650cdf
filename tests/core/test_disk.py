"""On one disk: what is trained moves into its place if that is safe, and nothing else is written twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from cellar_core import Cellar, RetrainJob, disk
from cellar_core.payload import Output, SourceChanged, scan
from cellar_core.record import FileEntry
from cellar_core.ref import Ref
from cellar_core.store import LocalStore
from tests.core.helpers import WAIT, Bench, until, write

A = "vit/vit-l/projectA"
MIB = 2**20


@pytest.fixture(autouse=True)
def _no_tmpdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)


@pytest.fixture
def cellar(disk: Cellar, bench: Bench) -> Cellar:
    """A cellar on disk, with a base."""
    disk.register_base("vit/vit-l", bench.files("base"), version="1.0")
    return disk


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on another disk."""
    with TemporaryDirectory(dir="/dev/shm") as directory:
        if Path(directory).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second disk")
        yield Path(directory)


def place(cellar: Cellar, ref: Ref, name: str = "model.bin") -> Path:
    """Where a file of a version lies."""
    return Path(cellar.url.removeprefix("file://"), str(ref), name)


class Trainer:
    """Writes a file of its own, does *then* with it, and remembers its inode."""

    def __init__(self, then: Callable[[Path], object] = lambda path: None) -> None:
        self._then = then
        self.inode = 0

    def __call__(self, job: RetrainJob) -> None:
        path = write(job.output_dir, "tuned") / "model.bin"
        self.inode = path.stat().st_ino
        self._then(path)


class TestMove:
    """The result of a training."""

    def retrain(self, cellar: Cellar, train: Trainer, workdir: Path | None = None) -> bool:
        """Train, check the result; whether it was moved."""
        done = cellar.retrain(A, train, workdir=workdir)
        assert place(cellar, done.ref).read_text() == "tuned"
        cellar.verify(done.ref)
        assert not list(Path(cellar.url.removeprefix("file://")).rglob(".cellar-tmp-*"))
        return place(cellar, done.ref).stat().st_ino == train.inode

    def test_moved(self, cellar: Cellar) -> None:
        """It is the very file that the training wrote."""
        assert self.retrain(cellar, Trainer())

    def test_command(self, cellar: Cellar) -> None:
        """So it is after a command, whose process group has ended."""
        inode = 'import os, pathlib; d = pathlib.Path(os.environ["CELLAR_OUTPUT_DIR"]); (d / "a").touch(); '
        inode += '(d / "inode").write_text(str((d / "a").stat().st_ino))'
        done = cellar.retrain(A, [sys.executable, "-S", "-c", inode])
        assert place(cellar, done.ref, "a").stat().st_ino == int(place(cellar, done.ref, "inode").read_text())

    def test_from_another_disk(self, cellar: Cellar, other_disk: Path) -> None:
        """It is copied, if somebody wants it to lie on another disk meanwhile."""
        assert not self.retrain(cellar, Trainer(), other_disk)

    def test_tmpdir(self, cellar: Cellar, other_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who sets TMPDIR has said where temporary files go."""
        monkeypatch.setenv("TMPDIR", str(other_disk))
        trainer = Trainer(lambda path: self.assert_below(path, other_disk))
        assert not self.retrain(cellar, trainer)

    def assert_below(self, path: Path, directory: Path) -> None:
        assert path.is_relative_to(directory)

    def test_still_open_for_writing(self, cellar: Cellar) -> None:
        """A thread or process that a training leaves behind cannot write to what is registered."""
        left: list[IO[str]] = []
        assert not self.retrain(cellar, Trainer(lambda path: left.append(path.open("r+"))))
        left[0].write("late!")
        left[0].close()
        cellar.verify(A)

    def test_still_mapped(self, cellar: Cellar) -> None:
        """Nor through memory that is mapped to it."""
        import mmap

        left: list[mmap.mmap] = []

        def map_it(path: Path) -> None:
            with path.open("r+b") as file:
                left.append(mmap.mmap(file.fileno(), 0))

        assert not self.retrain(cellar, Trainer(map_it))
        left[0][:5] = b"late!"
        left[0].close()
        cellar.verify(A)

    def test_other_names(self, cellar: Cellar, tmp_path: Path) -> None:
        """Nor by another name that the file has."""
        assert not self.retrain(cellar, Trainer((tmp_path / "mine").hardlink_to))
        (tmp_path / "mine").write_text("late!")
        cellar.verify(A)

    def test_links(self, cellar: Cellar) -> None:
        """A link and the file that it leads to both arrive, whichever comes first."""

        def link(path: Path) -> None:
            for name in ("a.bin", "z.bin"):
                path.with_name(name).symlink_to("model.bin")

        done = cellar.retrain(A, Trainer(link))
        for name in ("a.bin", "model.bin", "z.bin"):
            assert not place(cellar, done.ref, name).is_symlink()
            assert place(cellar, done.ref, name).read_text() == "tuned"

    def test_who_may_read_it(self, cellar: Cellar) -> None:
        """A file that only its trainer could read is one that who reads the cellar can read."""
        assert self.retrain(cellar, Trainer(lambda path: path.chmod(0o600)))
        path = place(cellar, cellar.resolve(A).ref)
        assert path.stat().st_mode & 0o777 == path.parent.stat().st_mode & 0o666

    def test_what_changed_since_the_scan(self, cellar: Cellar, tmp_path: Path) -> None:
        """Bytes that are not what was scanned never become visible."""
        path = write(tmp_path / "output", "tuned")
        payload = Output.of(scan(path))
        (path / "model.bin").write_text("other")
        with pytest.raises(SourceChanged, match=r"output/model\.bin changed while it was registered"):
            payload.send(cellar.store, {"x/model.bin": payload.files[0]}, lambda count: None)
        assert not cellar.store.find("x/")
        assert not cellar.store.partials("x/")

    def test_register_leaves_the_directory_alone(self, cellar: Cellar, tmp_path: Path) -> None:
        """Only a training's own directory is emptied, never one that a user registers."""
        path = write(tmp_path / "mine", "tuned")
        done = cellar.register_project(A, path, base="vit/vit-l/base/1.0")
        assert (path / "model.bin").stat().st_ino != place(cellar, done.ref).stat().st_ino

    def test_how_much_is_read_and_written(self, cellar: Cellar, tmp_path: Path) -> None:
        """The kernel counts: a base is read and written once, a result is digested twice and never written again."""
        size = 32 * MIB
        base = tmp_path / "large"
        base.mkdir()
        (base / "model.bin").write_bytes(os.urandom(size))
        cellar.register_base("vit/vit-l", base, bump="minor")
        program = textwrap.dedent(f"""
            import pathlib, sys
            from cellar_core import Cellar

            def counts():
                lines = pathlib.Path("/proc/self/io").read_text().splitlines()
                return [int(line.split()[1]) for line in lines[:2]]

            def train(job):
                (job.output_dir / "model.bin").write_bytes(bytes({size}))

            cellar, before = Cellar(sys.argv[1]), counts()
            cellar.retrain({A!r}, train)
            print(*[after - then for after, then in zip(counts(), before)])
        """)
        answer = subprocess.run(
            [sys.executable, "-c", program, cellar.url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=True,
        )
        read, written = map(int, answer.stdout.split())
        # The base is read once to be copied, or as a clone once to be digested; modules are read as well.
        assert read < 3 * size + 24 * MIB
        # The training itself has written its result; the base is written unless it is a clone.
        assert written < 2 * size + MIB


class TestScratch:
    """Where a training's files lie meanwhile."""

    def test_is_no_part_of_the_cellar(self, cellar: Cellar) -> None:
        """While a training goes on, nobody sees its files in the cellar, and gc does not either."""

        def look(path: Path) -> None:
            assert path.is_relative_to(Path(cellar.url.removeprefix("file://")))
            assert not [key for key in cellar.store.find("") if "cellar-tmp" in key]
            assert not cellar.store.partials("")

        cellar.retrain(A, Trainer(look))

    def test_of_a_killed_training(self, cellar: Cellar) -> None:
        """What a killed training leaves is seen once it is dead, and can be freed, read-only base and all."""
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            cellar.retrain(A, Trainer(lambda path: time.sleep(WAIT)))
            os._exit(1)
        root = Path(cellar.url.removeprefix("file://"))
        until(lambda: list(root.glob(".cellar-tmp-*/output/model.bin")))
        [found] = root.glob(".cellar-tmp-*/output/model.bin")
        directory = found.parents[1]
        assert not disk.is_abandoned(directory)
        cellar.store.discard(directory.name)
        assert found.exists()  # it lives
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert dict(cellar.store.partials("")) == {directory.name: pytest.approx(9, abs=10**6)}
        cellar.store.discard(directory.name)
        assert not directory.exists()
        assert not cellar.store.partials("")

    def test_where_the_root_is_not_ours(self, cellar: Cellar, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who may not write to the root of a cellar trains where the system keeps temporary files."""
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert cellar.store.workplace is None

    def test_elsewhere(self, bench: Bench) -> None:
        """So does who trains for a cellar that is not on a disk here."""
        assert bench.cellar.store.workplace is None


class TestCopy:
    """Copies that share their blocks where the disk can; this needs no such disk."""

    def test_copy(self, tmp_path: Path) -> None:
        """A copy's bytes are what is given, and what is there."""
        (tmp_path / "a").write_bytes(b"abc" * 5 * MIB)
        with (tmp_path / "b").open("x+b") as target:
            pieces = list(disk.copy(tmp_path / "a", target))
        assert b"".join(pieces) == (tmp_path / "b").read_bytes() == b"abc" * 5 * MIB
        assert max(map(len, pieces)) <= 8 * MIB

    def test_take_gives_back(self, tmp_path: Path) -> None:
        """What cannot be taken is where it was."""
        (tmp_path / "a").write_text("x")
        with (tmp_path / "a").open("a"):
            assert not disk.take(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "a").read_text() == "x"
        assert not (tmp_path / "b").exists()
        assert disk.take(tmp_path / "a", tmp_path / "b")

    def test_move_of_what_went_away(self, tmp_path: Path) -> None:
        """A file that is not there any more is told as such."""
        entry = FileEntry(path="a", size=1, digest="blake3:" + "0" * 64)
        with pytest.raises(SourceChanged, match="went away while it was registered"):
            LocalStore(str(tmp_path)).move(tmp_path / "gone", "x/a", entry, lambda count: None)
