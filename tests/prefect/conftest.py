"""A Prefect API for the tests that need one, and a cellar with a base and projects on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
    temporary_settings,
)

from cellar_core import Cellar
from example_flows.demo.prefect_server import PrefectServer
from tests.e2e.databases import postgresql
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
def database() -> Iterator[str]:
    """The address of the server's PostgreSQL: on SQLite it stops answering now and then (docs/prefect.md)."""
    with postgresql() as address:
        yield address


@pytest.fixture(scope="session")
def api(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect API that this process uses."""
    home = tmp_path_factory.mktemp("prefect")
    with (
        Server(home, database=f"postgresql+asyncpg://{database}") as server,
        temporary_settings(
            {PREFECT_API_URL: server.api_url, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}
        ),
    ):
        yield server.api_url


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
