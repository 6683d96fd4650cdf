"""What each store promises. A back end's test class subclasses one of these and says where such a store is."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec import AbstractFileSystem

from cellar_core import Cellar
from cellar_core.digest import digest_stream
from cellar_core.layout import FORMAT, ROOT
from cellar_core.payload import CHUNK, SourceChanged, chunks
from cellar_core.record import FileEntry
from cellar_core.store import NotExclusive, Store, open_store
from tests.contract.servers import Server
from tests.core.helpers import WAIT, processes, threads, until

RACERS = 6
LARGE = 2 * CHUNK + 2**20
"""The size of a file that is sent in several parts, the last of them short."""


def described(path: Path, name: str = "blake3") -> FileEntry:
    """The entry that a scan would give for *path*."""
    return FileEntry(path=path.name, size=path.stat().st_size, digest=digest_stream(chunks(path), name))


def send(store: Store, source: Path, key: str, expected: FileEntry | None = None) -> None:
    """Upload a file as it is, or as it is *expected* to be."""
    store.upload(source, key, expected or described(source), lambda count: None)


def body(store: Store, key: str) -> bytes:
    """All bytes of a payload file."""
    return b"".join(store.chunks(key, store.find(key).get(key, 1)))


class Stop(Exception):
    """What a test raises."""


def forked(act: Callable[[], object]) -> ForkProcess:
    """A process that has begun to *act*; somebody will kill it."""
    process = get_context("fork").Process(target=act, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, for a fork beside threads
        process.start()
    return process


class Placed:
    """What a back end's test class gives to each contract."""

    @pytest.fixture
    def url(self) -> str:
        """Where a store is that nobody else uses."""
        raise NotImplementedError

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """The ``storage_options`` for it."""
        return {}


class StoreContract(Placed):
    """What holds for every store, also for one that only this process sees.

    Attributes:
        rounds: How many races are run.
    """

    rounds: ClassVar[int] = 15

    @pytest.fixture
    def store(self, url: str, options: dict[str, Any]) -> Store:
        """The store that is tested."""
        return open_store(url, options)

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A file to upload."""
        path = tmp_path / "source.bin"
        path.write_bytes(b"payload " * 1000)
        return path

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """A file that is sent in several parts, no two of them alike."""
        path = tmp_path / "large.bin"
        path.write_bytes(random.Random(1).randbytes(LARGE))
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
        for turn in range(self.rounds):
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

    def test_listings_are_not_cached(self, store: Store, url: str, options: dict[str, Any]) -> None:
        """What one caller creates or deletes, another sees at its next call."""
        other = open_store(url, options)
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

    def test_large_file(self, store: Store, large: Path) -> None:
        """A file that takes several parts arrives whole, in order, and each of its bytes was counted."""
        counted: list[int] = []
        store.upload(large, "v/large.bin", described(large), counted.append)
        assert sum(counted) == LARGE
        assert dict(store.find("v/")) == {"v/large.bin": LARGE}
        assert body(store, "v/large.bin") == large.read_bytes()

    @pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
    def test_sizes_at_the_seam(self, store: Store, tmp_path: Path, size: int) -> None:
        """A file of one part, or of just more, or of exactly two, has all of its bytes."""
        source = tmp_path / "seam.bin"
        source.write_bytes(random.Random(size).randbytes(size))
        send(store, source, "v/seam.bin")
        assert body(store, "v/seam.bin") == source.read_bytes()

    @pytest.mark.parametrize("stands", [b"", b"short", b"x" * (CHUNK + 7)])
    @pytest.mark.parametrize("size", [0, 9, CHUNK])
    def test_another_size_shows(self, store: Store, tmp_path: Path, stands: bytes, size: int) -> None:
        """An object that is shorter or longer than it should be never reads as one that is not."""
        (tmp_path / "stands").write_bytes(stands)
        send(store, tmp_path / "stands", "v/file")
        assert sum(map(len, store.chunks("v/file", size))) != size or len(stands) == size

    @pytest.mark.parametrize("sizes", [[], [0, 5, 0], [2**20] * 17 + [3], [CHUNK - 1, CHUNK + 1, 1]])
    def test_pieces_of_any_size(self, store: Store, sizes: list[int]) -> None:
        """An object may come in pieces from elsewhere, and ends up in one."""
        pieces = [random.Random(index).randbytes(size) for index, size in enumerate(sizes)]
        store.put("v/model.bin", sum(sizes), iter(pieces))
        assert body(store, "v/model.bin") == b"".join(pieces)

    @pytest.mark.parametrize("count", [1, 17])
    def test_pieces_that_break_off(self, store: Store, count: int) -> None:
        """If the last piece brings an error, nothing is there, however much has arrived."""

        def pieces() -> Iterator[bytes]:
            yield from (b"x" * 2**20 for _ in range(count))
            raise Stop

        with pytest.raises(Stop):
            store.put("v/model.bin", count * 2**20, pieces())
        assert not store.find("v/")
        assert not store.partials("v/")

    def test_empty_file(self, store: Store, tmp_path: Path) -> None:
        """An empty payload file is a file."""
        (tmp_path / "empty").touch()
        send(store, tmp_path / "empty", "v/empty")
        assert body(store, "v/empty") == b""
        assert dict(store.find("v/")) == {"v/empty": 0}

    @pytest.mark.parametrize("change", ["its last byte", "longer", "shorter"])
    @pytest.mark.parametrize("kind", ["source", "large"])
    def test_changed_source_never_appears(
        self, store: Store, kind: str, change: str, request: pytest.FixtureRequest
    ) -> None:
        """Bytes that differ from the scan never become visible, not even where their size is the same."""
        source: Path = request.getfixturevalue(kind)
        expected, data = described(source), source.read_bytes()
        changed = {"its last byte": data[:-1] + b"!", "longer": data + b"!", "shorter": data[:-1]}
        source.write_bytes(changed[change])
        with pytest.raises(SourceChanged, match=rf"{source.name} changed while it was registered"):
            send(store, source, "v/model.bin", expected)
        assert not store.find("v/")
        assert not store.partials("v/")
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
            raise Stop

        with pytest.raises(Stop):
            store.upload(source, "v/model.bin", described(source), breaks)
        assert not store.find("v/")
        assert store.read("v/model.bin") is None

    @pytest.mark.parametrize("kind", ["source", "large"])
    def test_what_its_caller_raises_is_not_its_own(
        self, store: Store, kind: str, request: pytest.FixtureRequest
    ) -> None:
        """Who is told of the bytes may fail, as a full disk's log does: that is no word of the store."""
        source: Path = request.getfixturevalue(kind)
        for failure in (OSError("no space left"), PermissionError("no log"), TimeoutError("no answer")):

            def fails(count: int, failure: OSError = failure) -> None:
                raise failure

            with pytest.raises(OSError, match=r"^no ") as caught:
                store.upload(source, "v/model.bin", described(source), fails)
            assert caught.value is failure
        assert not store.find("v/")
        assert not store.partials("v/")

    def test_never_overwritten_in_place(self, store: Store, tmp_path: Path) -> None:
        """Whoever reads a file while a late twin sends it again reads whole, right bytes to the end."""
        source = tmp_path / "big.bin"
        source.write_bytes(b"x" * (CHUNK + 1))
        send(store, source, "v/model.bin")
        reading = store.chunks("v/model.bin", CHUNK + 1)
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
        with pytest.raises(SourceChanged, match=r"source\.bin went away while it was registered"):
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

    def test_upload_all(self, store: Store, tmp_path: Path) -> None:
        """Many files that are sent in one call are all there, each byte was counted, and nothing else is."""
        entries = {}
        for index in range(40):
            path = tmp_path / f"{index}.bin"
            path.write_bytes(f"{index}".encode() * (200 + index))
            entries[f"v/{index % 3}/{index}.bin"] = described(path)
        counted: list[int] = []
        store.upload_all(tmp_path, entries, counted.append)
        assert dict(store.find("v/")) == {key: entry.size for key, entry in entries.items()}
        assert sum(counted) == sum(entry.size for entry in entries.values())
        assert all(body(store, key) == (tmp_path / entry.path).read_bytes() for key, entry in entries.items())
        assert not store.partials("v/")

    def test_upload_all_but_one_that_changed(self, store: Store, tmp_path: Path) -> None:
        """Of many files, whatever became of the others: one that changed is not there, and nothing half is."""
        entries = {}
        for index in range(40):
            path = tmp_path / f"{index}.bin"
            path.write_bytes(b"scanned")
            entries[f"v/{index}.bin"] = described(path)
        (tmp_path / "17.bin").write_bytes(b"changed")
        with pytest.raises(SourceChanged, match=r"17\.bin changed while it was registered"):
            store.upload_all(tmp_path, entries, lambda count: None)
        there = store.find("v/")
        assert "v/17.bin" not in there
        assert set(there.values()) <= {7}
        assert not store.partials("v/")

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

    def test_leaves_nothing_behind(self, url: str, options: dict[str, Any], large: Path) -> None:
        """Whoever watches a cellar opens it anew for each look: what its store had opened goes with the store."""

        def look() -> None:
            store = open_store(url, options)
            send(store, large, "v/large.bin")
            assert body(store, "v/large.bin") == large.read_bytes()

        def left() -> int:
            gc.collect()
            return sum(isinstance(one, AbstractFileSystem) for one in gc.get_objects())

        look()
        before = left()
        look()
        assert left() <= before
        until(lambda: not any(one.name.startswith("cellar-") for one in threading.enumerate()))

    def test_serves_many_threads(self, store: Store, large: Path) -> None:
        """Threads that share one store and read, list and send at once do not disturb each other, nor wait for ever."""
        expected, data = described(large), large.read_bytes()

        def work(index: int) -> bool:
            key = f"t{index}/large.bin"
            store.upload(large, key, expected, lambda count: None)
            created = store.create(f"t{index}/a.json", str(index).encode())
            return (
                created
                and body(store, key) == data
                and store.read(f"t{index}/a.json") == str(index).encode()
                and set(store.find(f"t{index}/")) == {key, f"t{index}/a.json"}
            )

        assert threads(RACERS, work) == [True] * RACERS

    def test_readers_that_stop_in_the_middle(self, store: Store, large: Path, tmp_path: Path) -> None:
        """Whoever stops reading a file halfway takes nothing from those who read on, and leaves nothing to them."""
        data = large.read_bytes()
        for name, content in (("v/large.bin", data), ("v/other.bin", data[::-1])):
            large.write_bytes(content)
            send(store, large, name)
        for _ in range(2 * RACERS):
            reading = store.chunks("v/other.bin", LARGE)
            next(reading)
            reading.close()  # type: ignore[attr-defined]
            with (tmp_path / "copy.bin").open("w+b") as file:
                copied = b"".join(map(bytes, store.copy("v/large.bin", LARGE, file)))
            assert copied == (tmp_path / "copy.bin").read_bytes() == data
        assert threads(1, lambda _: body(store, "v/large.bin") == data) == [True]

    def test_beside_a_running_loop(self, store: Store, large: Path) -> None:
        """``asyncio.to_thread`` makes a store usable in a coroutine: the loop goes on while a file is sent."""
        went_on = threading.Event()

        def wait(count: int) -> None:
            assert went_on.wait(WAIT), "the loop stood still"

        async def main() -> bytes:
            sending = asyncio.create_task(
                asyncio.to_thread(store.upload, large, "v/large.bin", described(large), wait)
            )
            await asyncio.sleep(0)
            went_on.set()
            await sending
            return await asyncio.to_thread(body, store, "v/large.bin")

        assert asyncio.run(main()) == large.read_bytes()

    def test_inside_a_running_loop(self, store: Store) -> None:
        """A plain call in a coroutine works too, though it holds the loop up."""

        async def main() -> tuple[bool, bytes | None, set[str]]:
            return store.create("m/a.json", b"data"), store.read("m/a.json"), set(store.find("m/"))

        assert asyncio.run(main()) == (True, b"data", {"m/a.json"})

    # the probe

    def test_probe_passes(self, store: Store) -> None:
        """A store that keeps the promise is let through; only the probe's own objects stay behind."""
        store.probe()
        assert all(key.startswith(f"{ROOT}/probe/") for key in store.find(""))

    @pytest.mark.parametrize("careless", ["ignores the condition", "looks, then writes"])
    def test_probe_refuses(
        self,
        url: str,
        options: dict[str, Any],
        careless: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """A store that lets two callers create one object is refused, and no cellar is made in it."""
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

        monkeypatch.setattr(type(open_store(url, options)), "create", create)
        with pytest.raises(
            NotExclusive, match=r"lets [2-8] of 8 callers create one object .* Use a store with conditional"
        ):
            Cellar.init(url, options)
        assert not open_store(url, options).find(FORMAT)


class SharedStoreContract(StoreContract):
    """What holds besides for a store that other processes see: every one that a registry may really live in."""

    def test_create_has_one_winner_among_processes(self, store: Store) -> None:
        """Of processes that create one object at the same moment, one wins, and its bytes stand."""

        def race(racer: int) -> list[bool]:
            return [
                store.create(f"race/{turn}.json", f"racer {racer}".encode()) for turn in range(self.rounds)
            ]

        for turn, won in enumerate(zip(*processes(4, race), strict=True)):
            assert won.count(True) == 1
            assert store.read(f"race/{turn}.json") == f"racer {won.index(True)}".encode()

    def test_what_a_process_does_another_sees(self, store: Store, source: Path) -> None:
        """What one process has looked for in vain is there at its next look, once another has made it."""
        assert (store.read("v/a.json"), dict(store.find("v/"))) == (None, {})

        def make(_: int) -> None:
            assert store.create("v/a.json", b"data")
            send(store, source, "v/model.bin")

        processes(1, make)
        assert store.read("v/a.json") == b"data"
        assert body(store, "v/model.bin") == source.read_bytes()
        assert set(store.find("v/")) == {"v/a.json", "v/model.bin"}
        processes(1, lambda _: store.delete("v/model.bin"))
        assert set(store.find("v/")) == {"v/a.json"}
        with pytest.raises(FileNotFoundError):
            body(store, "v/model.bin")

    def test_long_listings(self, store: Store) -> None:
        """A listing that takes several pages is whole."""
        keys = {f"m/{number}.json" for number in range(1005)}
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda key: store.create(key, b"x"), keys))
        assert set(store.find("m/")) == keys

    def test_a_killed_upload(self, store: Store, large: Path) -> None:
        """What a killed process leaves of an upload is no object; it can be freed, and the file can be sent again."""
        expected = described(large)

        def die(count: int) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        process = forked(lambda: store.upload(large, "v/large.bin", expected, die))
        process.join(WAIT)
        assert process.exitcode == -signal.SIGKILL
        assert not store.find("v/")
        for partial in store.partials("v/"):
            store.discard(partial)
        assert not store.partials("v/")
        send(store, large, "v/large.bin")
        assert body(store, "v/large.bin") == large.read_bytes()

    def test_constant_memory(self, store: Store, tmp_path: Path) -> None:
        """Sending and reading a file takes memory for a few pieces of it, less than 128 MiB however large it is."""
        import tracemalloc

        size = 20 * CHUNK
        source = tmp_path / "large.bin"
        with source.open("wb") as file:
            file.truncate(size)
        expected = described(source)

        def pieces() -> Iterator[int]:
            store.upload(source, "v/large.bin", expected, lambda count: None)
            for piece in store.chunks("v/large.bin", store.find("v/")["v/large.bin"]):
                yield len(piece)

        tracemalloc.start()
        try:
            assert sum(pieces()) == size
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 128 * 2**20


class OnServer:
    """Where a contract finds its store if the test file has a fixture ``server``."""

    @pytest.fixture
    def url(self, server: Server) -> str:
        return server.url()

    @pytest.fixture
    def options(self, server: Server) -> dict[str, Any]:
        return server.options()
