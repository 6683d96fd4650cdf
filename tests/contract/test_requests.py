"""How many requests a call costs, counted by a proxy before a real server; a listing's further pages are extra."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cellar_core import Cellar, layout
from cellar_core.digest import digest_json
from cellar_core.record import Claim, Record
from cellar_core.ref import Model, Ref
from tests.contract.proxy import Proxy
from tests.contract.servers import Moto
from tests.core.helpers import blank, write

A = "vit/vit-l/projectA"
BASE = "vit/vit-l/base"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with Moto() as server:
        yield server


@pytest.fixture(scope="module", params=[10, 1100])
def place(moto: Moto, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a cellar in which projectA has so many versions on base 1.0."""
    url, files = moto.url(), tmp_path_factory.mktemp("files")
    cellar = blank(url, moto.options())
    base = str(cellar.register_base("vit/vit-l", write(files / "base"), bump="major").ref)
    first = cellar.register_project(A, write(files / "a"), base=base).record
    rest = [Ref(f"{A}/1.0.{number}") for number in range(2, request.param + 1)]
    fs, root = cellar.store._fs, cellar.store._path("")  # type: ignore[attr-defined]
    fs.pipe({f"{root}{layout.claim(ref)}": Claim(identity=digest_json(str(ref))).to_bytes() for ref in rest})
    fs.pipe({f"{root}{layout.record(ref)}": moved(first, ref).to_bytes() for ref in rest})
    cellar.alias(A, "production", "1.0.3")
    return url


def moved(record: Record, ref: Ref) -> Record:
    return record.model_copy(update={"ref": ref, "identity": digest_json(str(ref))})


class Counted:
    """A cellar behind a proxy, opened afresh by each process that asks."""

    def __init__(self, url: str, moto: Moto, proxy: Proxy) -> None:
        self._url, self._options, self._proxy = url, moto.options(proxy.port), proxy

    def open(self) -> Cellar:
        """As a process that has just started."""
        return Cellar(self._url, self._options)

    def cost(self, act: Callable[[], object]) -> int:
        """How many requests *act* makes, without the further pages of its listings."""
        self._proxy.reset()
        act()
        return len(self._proxy.asked) - self._proxy.count("GET", "continuation-token")


@pytest.fixture
def counted(place: str, moto: Moto) -> Iterator[Counted]:
    with Proxy(moto.port) as proxy:
        yield Counted(place, moto, proxy)


@pytest.mark.parametrize(
    "selector", [f"{A}/1.0.2", f"{A}@latest", f"{A}@^1.0", f"{A}@~=1.0", BASE, f"{BASE}/1.0"]
)
def test_resolve(counted: Counted, selector: str) -> None:
    """The model, its base, and the one record that is returned; an exact ref is that record alone."""
    assert counted.cost(lambda: counted.open().resolve(selector)) <= (
        1 if "@" not in selector and selector != BASE else 3
    )


def test_resolve_an_alias(counted: Counted) -> None:
    """The log's newest entry, which has the record, and whether that or its base was yanked; nothing grows."""
    assert counted.cost(lambda: counted.open().resolve(f"{A}@production")) <= 3
    assert counted._proxy.count("GET", "continuation-token") == 0


def test_poll(counted: Counted) -> None:
    """A plan that finds nothing to do, as a sensor makes it every few seconds: the policy and two listings."""
    cost = counted.cost(lambda: assert_idle(counted.open()))
    assert cost <= 3


def assert_idle(cellar: Cellar) -> None:
    assert not cellar.plan("vit/vit-l").rebuilds


def test_plan_and_register(counted: Counted, tmp_path: Path) -> None:
    """A plan reads one thing more for each project that needs it; a register what the protocol needs."""
    cellar = counted.open()
    claims = len(cellar.versions(A))
    assert (
        counted.cost(lambda: cellar.register_project(A, write(tmp_path / "1", "1"), base=f"{BASE}/1.0"))
        <= 17 + claims
    )
    files = write(tmp_path / "2", "2", config__yaml="a", notes__md="b")
    assert counted.cost(lambda: cellar.register_project(A, files, base=f"{BASE}/1.0")) <= 16 + 3
    assert counted.cost(lambda: counted.open().register_base("bert/bert-l", files, bump="minor")) <= 16 + 3
    cellar.register_project("vit/vit-l/projectB", files, base=f"{BASE}/1.0")
    cellar.register_base("vit/vit-l", write(tmp_path / "3", "3"), bump="minor")
    cost = counted.cost(lambda: assert_needed(counted.open(), 2))
    assert cost <= 6 + 2


def assert_needed(cellar: Cellar, count: int) -> None:
    assert len(cellar.plan("vit/vit-l").rebuilds) == count


def test_libcurl_lists_what_s3fs_does(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, however many pages it has, each by one request."""
    store, records = counted.open().store, layout.records(Model(A))
    assert store.read(layout.record(Ref(f"{A}/1.0.1")))  # a call of s3fs, by which libcurl knows how to ask
    counted._proxy.reset()
    listed = store.find(records)
    assert counted._proxy.count("GET", "libcurl/") == len(counted._proxy.asked) == -(-len(listed) // 1000)
    monkeypatch.setitem(sys.modules, "pycurl", None)
    assert counted.open().store.find(records) == listed


def test_models_are_listed_by_one_look(counted: Counted) -> None:
    """Which models and versions exist is in names and sizes."""
    cellar = counted.open()
    assert cellar.id
    assert counted.cost(lambda: cellar.versions(A)) <= 2
    assert Model(A) in cellar.models("vit/vit-l")
