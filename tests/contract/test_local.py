"""The contract on a disk, and what only a disk has."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory

import pytest

from cellar_core import Cellar, disk, layout
from cellar_core.payload import TEMPORARY, scan
from cellar_core.register import Registrar
from cellar_core.store import LocalStore, StoreRefused
from tests.contract.registry import RegistryContract
from tests.contract.store import WAIT, SharedStoreContract, body, forked, send
from tests.core.helpers import as_nobody


class OnDisk:
    """Where the contract finds its store."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return (tmp_path / "cellar").as_uri()


class TestStore(OnDisk, SharedStoreContract):
    """A directory of a disk."""


class TestRegistry(OnDisk, RegistryContract):
    """A cellar in a directory of a disk."""


class TestDisk:
    """What a disk has and other stores have not."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "cellar"))

    def test_half_written_files_are_no_objects(self, store: LocalStore, tmp_path: Path) -> None:
        """What a killed process left behind of a create or an upload is not listed."""
        store.create("m/a.json", b"data")
        (tmp_path / "cellar" / "m" / f"{TEMPORARY}{uuid.uuid4().hex}").write_bytes(b"ha")
        assert set(store.find("m/")) == {"m/a.json"}

    def test_nothing_temporary_stays(self, store: LocalStore, tmp_path: Path) -> None:
        """After creates that won and lost, and after uploads, only the objects are on disk."""
        for data in (b"one", b"two"):
            store.create("m/a.json", data)
        (tmp_path / "source").write_bytes(b"x")
        send(store, tmp_path / "source", "v/model.bin")
        assert sorted(path.name for path in (tmp_path / "cellar").rglob("*") if path.is_file()) == [
            "a.json",
            "model.bin",
        ]

    def test_many_small_files(
        self, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a killed process leaves of them can be freed, even on a share without locks, and sent again."""
        for number in range(200):
            path = tmp_path / f"source/{number % 7}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(number))
        payload = scan(tmp_path / "source")
        files = {f"v/{file.path}": file for file in payload.files}
        process = forked(
            lambda: store.upload_all(payload.root, files, lambda _: os.kill(os.getpid(), SIGKILL))
        )
        process.join(WAIT)
        assert process.exitcode == -SIGKILL
        assert not store.find("v/")
        monkeypatch.setattr(disk, "is_abandoned", lambda directory: False)
        left = store.partials("v/")
        assert left
        for partial in left:
            store.discard(partial)
        assert not list((tmp_path / "cellar").rglob(f"{TEMPORARY}*"))
        store.upload_all(payload.root, files, lambda _: None)
        assert dict(store.find("v/")) == {key: file.size for key, file in files.items()}
        assert all(body(store, key).decode() == file.path[2:] for key, file in files.items())
        assert not list((tmp_path / "cellar").rglob(f"{TEMPORARY}*"))

    def test_a_file_is_replaced_not_rewritten(self, store: LocalStore, tmp_path: Path) -> None:
        """V3: sending a file again puts a new one in its place: the old one stays whole for whoever has it open."""
        (tmp_path / "source").write_bytes(b"x")
        send(store, tmp_path / "source", "v/model.bin")
        with (tmp_path / "cellar/v/model.bin").open("rb") as reader:
            send(store, tmp_path / "source", "v/model.bin")
            assert os.fstat(reader.fileno()).st_nlink == 0

    def test_empty_directories_go(self, store: LocalStore, tmp_path: Path) -> None:
        """What is deleted leaves no empty directory, and takes none that is not empty, nor the root."""
        (tmp_path / "source").write_bytes(b"x")
        for key in ("m/1.0/deep/er/a", "m/1.0/b", "m/1.1/a"):
            send(store, tmp_path / "source", key)
        store.delete("m/1.0/deep/er/a")
        assert sorted(path.name for path in (tmp_path / "cellar/m/1.0").iterdir()) == ["b"]
        store.delete("m/1.0/b")
        assert [path.name for path in (tmp_path / "cellar/m").iterdir()] == ["1.1"]
        store.delete("m/1.1/a")
        store.delete("m/1.1/a")
        assert not list((tmp_path / "cellar").iterdir())

    def test_a_directory_goes_just_when_it_is_needed(
        self, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever deletes the last file below a directory does not harm those who are about to send one there."""
        (tmp_path / "source").write_bytes(b"x")
        send(store, tmp_path / "source", "m/1.0/a")
        store.delete("m/1.0/a")
        real, turns = os.mkdir, iter(range(5))

        def mkdir(path: Path, mode: int = 0o777) -> None:
            if path.name == "1.1" and next(turns, None) is not None:
                with suppress(OSError):
                    path.parent.rmdir()  # as another's delete
            real(path, mode)

        monkeypatch.setattr(os, "mkdir", mkdir)
        send(store, tmp_path / "source", "m/1.1/a")
        assert body(store, "m/1.1/a") == b"x"
        assert next(turns, None) is None

    @pytest.mark.parametrize("killed", [False, True], ids=["at once", "after a kill"])
    def test_nothing_lasts_less_than_the_record(
        self, tmp_path: Path, killed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the power fails once a record is there, so are its files: their bytes, their names, their directories.

        So it is if another process, which was killed, had sent them: it may not have come to sync their names.
        """
        source = tmp_path / "source"
        for number in range(40):
            path = source / f"{number % 3}" / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{number}".encode())
        done: list[tuple[str, Path]] = []
        real = {name: getattr(os, name) for name in ("fsync", "replace", "link")}

        def fsync(file: int) -> None:
            real["fsync"](file)
            done.append(("synced", Path(f"/proc/self/fd/{file}").readlink()))

        def named(how: str) -> Callable[[Path, Path], None]:
            def name(temporary: Path, path: Path) -> None:
                assert ("synced", temporary) in done
                real[how](temporary, path)
                done.append(("named", path))

            return name

        cellar = Cellar.init(str(tmp_path / "cellar"))
        cellar.create_rack("vit/vit-l")
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", named("replace"))
        monkeypatch.setattr(os, "link", named("link"))
        if killed:
            with monkeypatch.context() as patch:
                patch.setattr(LocalStore, "settle", lambda store, keys: None)
                patch.setattr(Registrar, "_commit", lambda *args: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    cellar.register_base("vit/vit-l", source, bump="minor")
        ref = cellar.register_base("vit/vit-l", source, bump="minor").ref
        place = tmp_path / "cellar" / str(ref)
        record = done.index(("named", tmp_path / "cellar" / layout.record(ref)))
        files = [path for path in place.rglob("*") if path.is_file()]
        assert len(files) == 40
        for path in files:
            assert done.count(("named", path)) == 1
            since = done[done.index(("named", path)) : record]
            inside = path.relative_to(tmp_path).parents  # the last of them is tmp_path itself
            assert {("synced", tmp_path / directory) for directory in list(inside)[:-1]} <= set(since)

    def test_sizes_are_looked_up_when_asked(self, store: LocalStore, tmp_path: Path) -> None:
        """A listing on disk costs no ``stat`` of each file: a size is looked up only when somebody asks."""
        store.create("m/a.json", b"data")
        found = store.find("m/")
        (tmp_path / "cellar/m/a.json").unlink()
        assert list(found) == ["m/a.json"]
        with pytest.raises(FileNotFoundError):
            _ = found["m/a.json"]
        with pytest.raises(KeyError):
            _ = found["m/b.json"]

    @pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
    def test_no_hard_links(
        self, store: LocalStore, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a file system has no hard links, create says so and leaves nothing."""

        def link(source: object, target: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "link", link)
        with pytest.raises(StoreRefused, match=r"a\.json: .*; a cellar needs hard links"):
            store.create("m/a.json", b"data")
        assert not [path for path in (tmp_path / "cellar").rglob("*") if path.is_file()]

    def test_no_permission(self) -> None:
        """What the operating system refuses names the path, and is not retried."""
        with TemporaryDirectory() as directory:
            root = Path(directory)
            root.chmod(0o555)
            with as_nobody(), pytest.raises(StoreRefused, match=r"cellar.*: Permission denied") as caught:
                LocalStore(str(root / "cellar")).create("m/a.json", b"data")
            root.chmod(0o755)
        assert not caught.value.retryable

    def test_no_permission_to_read(self) -> None:
        """Nor is a directory that may not be listed taken for an empty one."""
        with TemporaryDirectory() as directory:
            Path(directory).chmod(0o755)
            store = LocalStore(str(Path(directory) / "cellar"))
            store.create("m/a.json", b"data")
            (Path(directory) / "cellar/m").chmod(0)
            with as_nobody():
                for ask in (
                    lambda: store.find("m/"),
                    lambda: store.read("m/a.json"),
                    lambda: body(store, "m/a.json"),
                ):
                    with pytest.raises(StoreRefused, match="Permission denied"):
                        ask()
