"""What a registry promises behind a network that fails: a proxy before a real server loses answers, or says no."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest

from cellar_core import Cellar, layout
from cellar_core.record import FileEntry
from cellar_core.store import Store, StoreRefused, StoreUnavailable, open_store
from tests.contract.proxy import Proxy
from tests.contract.servers import Server
from tests.contract.store import body, described, send
from tests.core.helpers import blank, write

WRITES = "PUT|POST"
PARTS = "PUT|POST|PATCH"
BASE = "vit/vit-l/base"


class FaultContract:
    """What holds for every store behind a network. The test file has a fixture ``server``.

    Attributes:
        busy: The statuses with which it says that it cannot answer now.
        resumes: Whether it takes a part that is sent twice for one.
    """

    busy: ClassVar[tuple[int, ...]] = (500, 503)
    resumes: ClassVar[bool] = True

    @pytest.fixture
    def proxy(self, server: Server) -> Iterator[Proxy]:
        with Proxy(server.port) as proxy:
            yield proxy

    @pytest.fixture
    def url(self, server: Server) -> str:
        return server.url()

    @pytest.fixture
    def options(self, server: Server, proxy: Proxy) -> dict[str, Any]:
        return server.options(proxy.port)

    @pytest.fixture
    def store(self, url: str, options: dict[str, Any]) -> Store:
        return open_store(url, options)

    @pytest.fixture
    def direct(self, url: str, server: Server) -> Store:
        """The same store, with nothing between."""
        return open_store(url, server.options())

    def test_its_file_system_is_its_own(self, store: Store, url: str, options: dict[str, Any]) -> None:
        """Nobody else has its connections, with the same options neither: not another cellar, nor what a user opens."""
        others = [open_store(url, options)._fs, fsspec.url_to_fs(url, **options)[0]]  # type: ignore[attr-defined]
        assert all(other is not store._fs for other in others)  # type: ignore[attr-defined]
        assert store.create("m/a.json", b"data")

    # create

    @pytest.mark.parametrize("times", [1, 2])
    def test_lost_answer(self, store: Store, direct: Store, proxy: Proxy, times: int) -> None:
        """A create that was done though its answer was lost is recognised as our own, also the client's own retries."""
        proxy.lose(WRITES, "a.json", times)
        assert store.create("m/a.json", b"ours")
        assert proxy.count(WRITES, "a.json") > 1
        assert direct.read("m/a.json") == b"ours"
        assert not direct.create("m/a.json", b"theirs")

    def test_lost_answer_of_a_lost_race(self, store: Store, direct: Store, proxy: Proxy) -> None:
        """A create that lost does not win by losing its answer."""
        direct.create("m/a.json", b"theirs")
        proxy.lose(WRITES, "a.json")
        assert not store.create("m/a.json", b"ours")
        assert direct.read("m/a.json") == b"theirs"

    def test_busy(self, store: Store, direct: Store, proxy: Proxy) -> None:
        """A store that cannot answer now is asked again."""
        for status in self.busy:
            proxy.refuse(status, WRITES, f"{status}.json")
            assert store.create(f"m/{status}.json", b"ours")
            assert direct.read(f"m/{status}.json") == b"ours"

    @pytest.mark.parametrize("status", [409, 412])
    def test_conflict_with_nothing_there(
        self, store: Store, direct: Store, proxy: Proxy, status: int
    ) -> None:
        """A conflict does not mean that anything was written: nobody's object stands there, so we try again."""
        proxy.refuse(status, WRITES, "a.json")
        assert store.create("m/a.json", b"ours")
        assert direct.read("m/a.json") == b"ours"

    @pytest.mark.parametrize("status", [409, 412])
    def test_conflict_with_our_own(self, store: Store, proxy: Proxy, status: int) -> None:
        """Nor that it is somebody else's."""
        proxy.refuse(status, WRITES, "a.json", done=True)
        assert store.create("m/a.json", b"ours")

    def test_the_answer_to_the_look_is_lost_too(self, store: Store, direct: Store, proxy: Proxy) -> None:
        """Reading back may fail as well."""
        proxy.refuse(409, WRITES, "a.json", done=True)
        proxy.lose("GET|HEAD", "a.json")
        assert store.create("m/a.json", b"ours")
        assert proxy.count("GET", "a.json") > 1
        assert direct.read("m/a.json") == b"ours"

    # what stays

    def test_forbidden(self, store: Store, url: str, proxy: Proxy, tmp_path: Path) -> None:
        """What is forbidden is told at once, with the place, and is not tried again."""
        (tmp_path / "file").write_bytes(b"data")
        for method, act in {
            WRITES: lambda: store.create("m/a.json", b"data"),
            PARTS: lambda: send(store, tmp_path / "file", "m/file"),
            "GET|HEAD": lambda: store.read("m/a.json"),
            "HEAD|GET": lambda: store.find("m/"),
        }.items():
            proxy.reset()
            proxy.refuse(403, method, times=9)
            with pytest.raises(StoreRefused, match=url) as caught:
                act()
            assert not caught.value.retryable
            assert len(proxy.asked) <= 2
        proxy.reset()
        assert not store.find("")

    def test_no_such_bucket(self, server: Server) -> None:
        """A bucket that is not there is told, not taken for an empty one."""
        url = server.url().replace(server.bucket, "nobodys")
        with pytest.raises(StoreRefused, match="make the bucket"):
            open_store(url, server.options()).create("m/a.json", b"data")

    def test_nobody_there(self, server: Server, url: str) -> None:
        """Where nobody answers, that is told within a bounded time, and a retry may help."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and does not listen
            with pytest.raises(StoreUnavailable, match=url) as caught:
                open_store(url, server.options(closed.getsockname()[1])).read("m/a.json")
        assert caught.value.retryable

    # uploads

    @pytest.mark.parametrize("kind", ["small", "large"])
    def test_lost_answers_of_an_upload(
        self, store: Store, direct: Store, proxy: Proxy, kind: str, tmp_path: Path
    ) -> None:
        """Whichever answer of an upload is lost, the file is there, whole."""
        source = tmp_path / "file.bin"
        source.write_bytes(kind.encode() * (3_000_000 if kind == "large" else 10))
        expected = described(source)
        proxy.reset()
        send(store, source, "v/0.bin")
        asked = proxy.count(PARTS)
        for number in range(asked):
            key = f"v/{number + 1}.bin"
            proxy.reset()
            proxy.lose(PARTS, after=number)
            if not self.resumes:
                self._fails_or_shows(lambda key=key: send(store, source, key), direct, key, expected)  # type: ignore[misc]
            store.upload(source, key, expected, lambda count: None)
            assert proxy.count(PARTS) > asked
            assert body(direct, key) == source.read_bytes()

    def _fails_or_shows(self, act: Callable[[], None], direct: Store, key: str, expected: FileEntry) -> None:
        """An upload that went wrong can be tried again, and says so, or the object's size tells."""
        try:
            act()
        except StoreUnavailable:
            return
        assert direct.find(key)[key] >= expected.size

    # the registry

    def test_lost_answers_of_a_register(
        self, server: Server, options: dict[str, Any], proxy: Proxy, tmp_path: Path
    ) -> None:
        """Whichever answer to a write of a register is lost, it ends with one version, which it has made itself."""
        path = write(tmp_path / "model", a__txt="a")

        def register(cellar: Cellar) -> None:
            done = cellar.register_base("vit/vit-l", path, bump="minor")
            assert done.created
            assert [str(ref) for ref in cellar.versions(BASE)] == [f"{BASE}/0.1"]
            assert len(cellar.store.find(layout.claims(None))) == 1
            cellar.verify(done.ref)

        cellar = blank(server.url(), options)
        proxy.reset()
        register(cellar)
        asked = proxy.count(WRITES)
        assert asked >= 6
        for number in range(asked):
            cellar = blank(server.url(), options)
            proxy.reset()
            proxy.lose(WRITES, after=number)
            register(cellar)
            assert proxy.count(WRITES) > asked
