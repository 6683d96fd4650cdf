"""Prefect's server starts with the collection and with what the extra resolved to."""

from __future__ import annotations

from pathlib import Path

from example_flows.demo.prefect_server import PrefectServer


def test_prefect_server_starts_and_answers(tmp_path: Path) -> None:
    """A FastAPI that is too new stops the server, or (0.154) makes it refuse what Prefect's own client sends."""
    with PrefectServer(tmp_path / "prefect") as server, server.client() as client:
        assert client.read_automations() == []
