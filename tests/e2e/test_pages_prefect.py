"""The README's shortest flow and the five-minute start for Prefect, as they stand there, beside a real server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cellar_core import Cellar
from example_flows.demo.prefect_server import PrefectServer, until
from tests.pages import Reader, write_script
from tests.prefect.helpers import pause_heartbeats

PUBLISH = """
from cellar_prefect import register_model

if __name__ == "__main__":
    register_model("vit/vit-l/base", "runs/1", bump="minor")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with PrefectServer(tmp_path_factory.mktemp("prefect")) as server:
        with server.client() as client:
            pause_heartbeats(client)
        yield server


def test_the_shortest_flow_does_the_whole_job(server: PrefectServer, tmp_path: Path) -> None:
    """A base that the README's reader bumps rebuilds the project that they registered, from that base."""
    for name in ("train.py", "register.py", "retune.py"):
        script = write_script(name, tmp_path)
    (tmp_path / "publish.py").write_text(PUBLISH)
    cellar = Cellar.init(tmp_path / "cellar")
    with server.serve(script, env={"CELLAR_URL": cellar.url}) as served:
        served.run(tmp_path / "register.py")
        served.run(tmp_path / "publish.py")
        project = "vit/vit-l/projectA"
        until(lambda: len(cellar.versions(project)) > 1, timeout=240, what="projectA to be rebuilt")
    record = cellar.resolve(project)
    assert (str(record.ref), str(record.ref.base)) == (f"{project}/1.1.1", "vit/vit-l/base/1.1")
    assert record.metrics == {"accuracy": 0.9}


def test_five_minutes(server: PrefectServer, tmp_path: Path) -> None:
    """The start, from its top to its end; what it serves is ended by its own process."""
    try:
        Reader(tmp_path, server.env).read("docs/start-prefect.md")
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((tmp_path / "retune.pid").read_text()), signal.SIGINT)
