"""A Prefect API for the tests that need one, and a cellar with a base and projects on it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
    temporary_settings,
)

from cellar_core import Cellar
from example_flows.demo.prefect_server import PrefectServer
from tests.e2e.databases import installed, postgresql, program
from tests.prefect.helpers import RACK, Payload


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prefect's clients leave sockets to the garbage collector, which reports them in whichever test comes next."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


class Server(PrefectServer):
    """A server that stores what it is told at once: by default it does each five seconds."""

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.2"}


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """On PostgreSQL where that is installed: on SQLite it stops answering now and then (docs/prefect.md)."""
    with ExitStack() as stack:
        address = stack.enter_context(postgresql()) if installed("postgres") else None
        database = f"postgresql+asyncpg://{address}" if address else None
        yield stack.enter_context(Server(tmp_path_factory.mktemp("prefect"), database=database))


@pytest.fixture(scope="session")
def api(_server: Server) -> Iterator[str]:
    """The address of a Prefect API that this process uses."""
    told = {PREFECT_API_URL: _server.api_url, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}
    with temporary_settings(told):
        yield _server.api_url


@pytest.fixture
def written(_server: Server) -> Callable[[], bytes]:
    """All that the server has kept until then."""

    def read() -> bytes:
        if _server.database.startswith("sqlite"):
            return b"".join(one.read_bytes() for one in _server.home.glob("prefect.db*"))
        dump = [program("pg_dump"), _server.database.replace("+asyncpg", "")]
        return subprocess.run(dump, stdout=subprocess.PIPE, check=True, timeout=120).stdout

    return read


@pytest.fixture
def no_api() -> Iterator[None]:
    """As if nobody had told this process of a Prefect API."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def cellar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cellar:
    """An empty cellar, which CELLAR_URL names."""
    url = str(tmp_path / "cellar")
    monkeypatch.setenv("CELLAR_URL", url)
    return Cellar.init(url)


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    """Makes a directory with one file of that text."""

    def make(text: str) -> Path:
        directory = tmp_path / "payload"
        directory.mkdir(exist_ok=True)
        (directory / "weights.txt").write_text(text)
        return directory

    return make


@pytest.fixture
def behind(cellar: Cellar, payload: Payload) -> Cellar:
    """A cellar whose projects a, b and c stand on base 1.0, while the newest is 1.1."""
    cellar.register_base(RACK, payload("base one"), bump="major")
    for name in "abc":
        cellar.register_project(f"{RACK}/{name}", payload(name), base=f"{RACK}/base/1.0")
    cellar.register_base(RACK, payload("base two"), bump="minor")
    return cellar
