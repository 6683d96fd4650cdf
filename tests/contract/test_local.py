"""The contract on a disk, and what only a disk has."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cellar_core.payload import TEMPORARY
from cellar_core.store import LocalStore, StoreRefused
from tests.contract.registry import RegistryContract
from tests.contract.store import SharedStoreContract, body, send
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

    def test_a_file_is_replaced_not_rewritten(self, store: LocalStore, tmp_path: Path) -> None:
        """V3: sending a file again puts a new one in its place: the old one stays whole for whoever has it open."""
        (tmp_path / "source").write_bytes(b"x")
        send(store, tmp_path / "source", "v/model.bin")
        with (tmp_path / "cellar/v/model.bin").open("rb") as reader:
            send(store, tmp_path / "source", "v/model.bin")
            assert os.fstat(reader.fileno()).st_nlink == 0

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
