"""What each store promises. A back end's test class subclasses one of these two and gives a ``url`` fixture."""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellar_core import Cellar
from cellar_core.digest import digest_stream
from cellar_core.layout import FORMAT, ROOT
from cellar_core.payload import CHUNK, SourceChanged, chunks
from cellar_core.record import FileEntry
from cellar_core.store import NotExclusive, Store, open_store
from tests.core.helpers import processes, threads

RACERS = 6
ROUNDS = 15


def described(path: Path, name: str = "blake3") -> FileEntry:
    """The entry that a scan would give for *path*."""
    return FileEntry(path=path.name, size=path.stat().st_size, digest=digest_stream(chunks(path), name))


def send(store: Store, source: Path, key: str, expected: FileEntry | None = None) -> None:
    """Upload a file as it is, or as it is *expected* to be."""
    store.upload(source, key, expected or described(source), lambda count: None)


def body(store: Store, key: str) -> bytes:
    """All bytes of a payload file."""
    return b"".join(store.chunks(key, store.find(key).get(key, 1)))


class StoreContract:
    """What holds for every store, also for one that only this process sees."""

    @pytest.fixture
    def url(self) -> str:
        """Where a store is that nobody else uses."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Store:
        """The store that is tested."""
        return open_store(url)

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A file to upload."""
        path = tmp_path / "source.bin"
        path.write_bytes(b"payload " * 1000)
        return path

    # create

    def test_create_succeeds_once(self, store: Store) -> None:
        """The first create wins, for ever: later ones lose and change nothing."""
        assert store.create("a/b.json", b"first")
        assert not store.create("a/b.json", b"second")
        assert store.read("a/b.json") == b"first"

    def test_create_knows_its_own_bytes(self, store: Store) -> None:
        """Whoever lost the answer to its create makes it again, and is told that it had won."""
        assert store.create("a/b.json", b"nonce 1")
        assert store.create("a/b.json", b"nonce 1")
        assert not store.create("a/b.json", b"nonce 2")
        assert store.create("a/b.json", b"nonce 1")

    def test_create_has_one_winner_among_threads(self, store: Store) -> None:
        """Of threads that create one object at the same moment, one wins, and its bytes stand."""
        for turn in range(ROUNDS):
            key = f"race/{turn}.json"
            won = threads(RACERS, lambda racer, key=key: store.create(key, f"racer {racer}".encode()))  # type: ignore[misc]
            assert won.count(True) == 1
            assert store.read(key) == f"racer {won.index(True)}".encode()

    def test_what_is_created_is_whole_from_the_first_look(self, store: Store) -> None:
        """V3: no reader ever sees an object empty or half, and a listing tells its full size."""
        keys = [f"whole/{number}.json" for number in range(120)]
        data = b"x" * 300_000
        sizes: set[int] = set()

        def look() -> None:
            for key in keys:
                until = time.monotonic() + 10
                while (found := store.read(key)) is None and time.monotonic() < until:
                    pass
                sizes.update((len(found or b""), store.find("whole/")[key]))

        reader = threading.Thread(target=look, daemon=True)
        reader.start()
        for key in keys:
            assert store.create(key, data)
        reader.join(20)
        assert sizes == {len(data)}

    # read and find

    def test_read_of_nothing(self, store: Store) -> None:
        """What is not there is None, also below something that is."""
        assert store.read("a/b.json") is None
        store.create("a/b.json", b"data")
        assert store.read("a") is None
        assert store.read("a/b.json/c") is None
        assert store.read("a/b") is None

    def test_find_goes_by_prefix(self, store: Store) -> None:
        """A prefix is a prefix of the key: ``1.2.`` finds no ``1.20``, and it need not end at a slash."""
        for key in (
            "m/1.2.1.json",
            "m/1.2.10.json",
            "m/1.20.1.json",
            "m/1.2.d/deep.json",
            "mm/1.2.3.json",
            "m.json",
        ):
            store.create(key, key.encode())
        assert set(store.find("m/1.2.")) == {"m/1.2.1.json", "m/1.2.10.json", "m/1.2.d/deep.json"}
        assert set(store.find("m/")) == {
            "m/1.2.1.json",
            "m/1.2.10.json",
            "m/1.2.d/deep.json",
            "m/1.20.1.json",
        }
        assert len(store.find("m")) == 6
        assert len(store.find("")) == 6

    def test_find_tells_sizes(self, store: Store) -> None:
        """A listing tells the size of each object in bytes."""
        store.create("m/a.json", b"12345")
        store.create("m/b.json", b"1")
        assert dict(store.find("m/")) == {"m/a.json": 5, "m/b.json": 1}

    def test_find_of_nothing(self, store: Store) -> None:
        """A prefix that nothing begins with gives an empty listing, not an error."""
        assert dict(store.find("nowhere/")) == {}
        assert dict(store.find("")) == {}

    def test_listings_are_not_cached(self, store: Store, url: str) -> None:
        """What one caller creates or deletes, another sees at its next call."""
        other = open_store(url)
        assert not other.find("m/")
        store.create("m/a.json", b"data")
        assert set(other.find("m/")) == {"m/a.json"}
        assert other.read("m/a.json") == b"data"
        store.delete("m/a.json")
        assert not other.find("m/")
        assert other.read("m/a.json") is None

    # upload and chunks

    @pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
    def test_upload_arrives_whole(self, store: Store, source: Path, algorithm: str) -> None:
        """A file that was sent is there with its bytes, whichever digest is expected, and each byte was counted."""
        counted: list[int] = []
        store.upload(source, "v/model.bin", described(source, algorithm), counted.append)
        assert body(store, "v/model.bin") == source.read_bytes()
        assert sum(counted) == source.stat().st_size
        assert dict(store.find("v/")) == {"v/model.bin": source.stat().st_size}

    @pytest.mark.parametrize(
        "name", ["a b.txt", "ünïcode.bin", "deep/er/file", "100%.bin", "a#b?c.bin", "[x]*.bin", ".hidden"]
    )
    def test_any_file_name(self, store: Store, source: Path, name: str) -> None:
        """A payload file may be called what a user likes."""
        send(store, source, f"v/{name}")
        assert body(store, f"v/{name}") == source.read_bytes()
        assert set(store.find("v/")) == {f"v/{name}"}

    def test_empty_file(self, store: Store, tmp_path: Path) -> None:
        """An empty payload file is a file."""
        (tmp_path / "empty").touch()
        send(store, tmp_path / "empty", "v/empty")
        assert body(store, "v/empty") == b""
        assert dict(store.find("v/")) == {"v/empty": 0}

    def test_changed_source_never_appears(self, store: Store, source: Path) -> None:
        """Bytes that differ from the scan never become visible, not even where their size is the same."""
        expected = described(source)
        source.write_bytes(b"another " * 1000)
        with pytest.raises(SourceChanged, match=r"source\.bin changed while it was registered"):
            send(store, source, "v/model.bin", expected)
        assert not store.find("v/")
        with pytest.raises(FileNotFoundError):
            body(store, "v/model.bin")

    def test_changed_source_does_not_harm_what_is_there(self, store: Store, source: Path) -> None:
        """A file that stands stays as it is when a changed one is sent to its place."""
        expected, right = described(source), source.read_bytes()
        send(store, source, "v/model.bin")
        source.write_bytes(b"another " * 1000)
        with pytest.raises(SourceChanged):
            send(store, source, "v/model.bin", expected)
        assert body(store, "v/model.bin") == right

    def test_half_an_upload_is_not_visible(self, store: Store, tmp_path: Path) -> None:
        """While a file is sent, and when sending it breaks, nothing is there."""
        source = tmp_path / "big.bin"
        source.write_bytes(b"x" * (CHUNK + 1))

        def breaks(count: int) -> None:
            assert not store.find("v/")
            assert store.read("v/model.bin") is None
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            store.upload(source, "v/model.bin", described(source), breaks)
        assert not store.find("v/")
        assert store.read("v/model.bin") is None

    def test_never_overwritten_in_place(self, store: Store, tmp_path: Path) -> None:
        """Whoever reads a file while a late twin sends it again reads whole, right bytes to the end."""
        source = tmp_path / "big.bin"
        source.write_bytes(b"x" * (CHUNK + 1))
        send(store, source, "v/model.bin")
        reading = store.chunks("v/model.bin", 1)
        read = len(next(reading))
        send(store, source, "v/model.bin")
        assert read + sum(map(len, reading)) == CHUNK + 1

    def test_chunks_are_pieces(self, store: Store, tmp_path: Path) -> None:
        """A large object is read in pieces, never whole."""
        source = tmp_path / "big.bin"
        source.write_bytes(b"x" * (2 * CHUNK + 1))
        send(store, source, "v/model.bin")
        sizes = [len(piece) for piece in store.chunks("v/model.bin", store.find("v/")["v/model.bin"])]
        assert sum(sizes) == 2 * CHUNK + 1
        assert max(sizes) <= CHUNK

    def test_missing_source(self, store: Store, source: Path, tmp_path: Path) -> None:
        """A source that went away is no empty file in the cellar."""
        expected = described(source)
        source.unlink()
        with pytest.raises(FileNotFoundError):
            send(store, source, "v/model.bin", expected)
        assert not store.find("v/")

    def test_many_uploads_at_once(self, store: Store, tmp_path: Path) -> None:
        """Threads that send files at once, into directories that are new to all, do not disturb each other."""
        for index in range(RACERS):
            (tmp_path / f"{index}.bin").write_bytes(f"{index}".encode() * 1000)
        threads(RACERS, lambda index: send(store, tmp_path / f"{index}.bin", f"new/v{index % 2}/{index}.bin"))
        found = store.find("new/")
        assert {key: body(store, key)[:1] for key in found} == {
            f"new/v{index % 2}/{index}.bin": f"{index}".encode() for index in range(RACERS)
        }

    def test_delete(self, store: Store, source: Path) -> None:
        """A voided payload goes away alone; deleting what is not there is no error."""
        for key in ("v/a.bin", "v/b.bin"):
            send(store, source, key)
        store.delete("v/a.bin")
        store.delete("v/a.bin")
        assert set(store.find("v/")) == {"v/b.bin"}

    # what a store is

    def test_pickles(self, store: Store) -> None:
        """A store is its URL and its options: a copy from a pickle is at the same place."""
        store.create("m/a.json", b"data")
        copy = pickle.loads(pickle.dumps(store))
        assert copy.url == store.url
        assert copy.read("m/a.json") == b"data"

    def test_works_after_a_fork(self, store: Store) -> None:
        """A store that was used before a fork works in the child and in the parent."""
        store.create("m/a.json", b"data")

        def child(index: int) -> tuple[bytes | None, bool, set[str]]:
            return store.read("m/a.json"), store.create(f"m/child{index}.json", b"x"), set(store.find("m/"))

        [(read, created, found)] = processes(1, child)
        assert (read, created) == (b"data", True)
        assert {"m/a.json", "m/child0.json"} <= found
        assert store.create("m/parent.json", b"x")

    # the probe

    def test_probe_passes(self, store: Store) -> None:
        """A store that keeps the promise is let through; only the probe's own objects stay behind."""
        store.probe()
        assert all(key.startswith(f"{ROOT}/probe/") for key in store.find(""))

    @pytest.mark.parametrize("careless", ["ignores the condition", "looks, then writes"])
    def test_probe_refuses(
        self, url: str, careless: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A store that lets two callers create one object is refused, and no cellar is made in it."""
        honest = type(open_store(url))
        spare = tmp_path / "spare"
        spare.mkdir()

        def create(store: Store, key: str, data: bytes) -> bool:
            if careless == "looks, then writes" and store.read(key) is not None:
                return False
            time.sleep(0.002)  # long enough for somebody else to look, as a network's way is
            source = spare / uuid.uuid4().hex
            source.write_bytes(data)
            send(store, source, key)
            return True

        monkeypatch.setattr(honest, "create", create)
        with pytest.raises(
            NotExclusive, match=r"lets [2-8] of 8 callers create one object .* Use a store with conditional"
        ):
            Cellar.init(url)
        assert not open_store(url).find(FORMAT)


class SharedStoreContract(StoreContract):
    """What holds besides for a store that other processes see: every one that a registry may really live in."""

    def test_create_has_one_winner_among_processes(self, store: Store) -> None:
        """Of processes that create one object at the same moment, one wins, and its bytes stand."""

        def race(racer: int) -> list[bool]:
            return [store.create(f"race/{turn}.json", f"racer {racer}".encode()) for turn in range(ROUNDS)]

        for turn, won in enumerate(zip(*processes(4, race), strict=True)):
            assert won.count(True) == 1
            assert store.read(f"race/{turn}.json") == f"racer {won.index(True)}".encode()

    def test_constant_memory(self, store: Store, tmp_path: Path) -> None:
        """Sending and reading a file takes memory for a few pieces of it, however large it is."""
        import tracemalloc

        source = tmp_path / "large.bin"
        with source.open("wb") as file:
            file.truncate(12 * CHUNK)
        expected = described(source)

        def pieces() -> Iterator[int]:
            store.upload(source, "v/large.bin", expected, lambda count: None)
            for piece in store.chunks("v/large.bin", store.find("v/")["v/large.bin"]):
                yield len(piece)

        tracemalloc.start()
        try:
            assert sum(pieces()) == 12 * CHUNK
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 * CHUNK
