"""Pulls of one base by many processes of a machine: what a real server is asked, counted by a proxy before it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellar_core import Cellar
from cellar_core.payload import CHUNK
from tests.contract.proxy import Proxy
from tests.contract.servers import Moto, running
from tests.core.helpers import blank, processes

server = running(Moto)

BASE = "vit/vit-l/base"
FILES = {name: os.urandom(size) for name, size in (("small", 100), ("one", 2**20), ("two", CHUNK + 2**20))}


@pytest.fixture
def url(server: Moto, tmp_path: Path) -> str:
    """Where a cellar is with one base, of files in one request and in several."""
    path = tmp_path / "base"
    path.mkdir()
    for name, data in FILES.items():
        (path / name).write_bytes(data)
    cellar = blank(server.url(), server.options())
    cellar.register_base("vit/vit-l", path, version="1.0")
    return cellar.url


@pytest.fixture
def proxy(server: Moto) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def test_each_file_is_downloaded_once(
    url: str, server: Moto, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight processes pull at once: the server is asked for each piece of each file once, and all have every byte."""
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CELLAR_CACHE_SIZE", "1GB")

    def pull(index: int) -> bool:
        path = Cellar(url, server.options(proxy.port)).pull(BASE, tmp_path / str(index))
        return {file.name: file.read_bytes() for file in path.iterdir()} == FILES

    assert processes(8, pull) == [True] * 8
    asked = {name: proxy.count("GET", f"{BASE}/1.0/{name}") for name in FILES}
    assert asked == {name: -(-len(data) // CHUNK) for name, data in FILES.items()}
