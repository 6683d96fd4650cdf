"""A cellar in a bucket that another Airflow connection opens: the real Amazon provider against a real S3 server."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from cellar_airflow import CellarHook
from cellar_core import Cellar
from cellar_core.store import ReadOnly
from tests.contract.servers import KEY, SECRET, Moto

RACK = "vit/vit-l"


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    with Moto() as started:
        yield started


@pytest.fixture
def url(server: Moto, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new cellar; `aws_default` opens its bucket, and nothing else in this process can."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    aws(monkeypatch, server)
    return server.url()


def aws(monkeypatch: pytest.MonkeyPatch, server: Moto, **extra: Any) -> None:
    endpoint = f"http://127.0.0.1:{server.port}"
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1", **extra}
    connection(monkeypatch, "aws_default", conn_type="aws", login=KEY, password=SECRET, extra=extra)


def connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def cellar(monkeypatch: pytest.MonkeyPatch, url: str, **extra: Any) -> Cellar:
    connection(monkeypatch, "models", conn_type="cellar", host=url, extra=extra)
    return CellarHook("models").cellar


def files(tmp_path: Path, content: str) -> Path:
    path = tmp_path / content
    path.mkdir()
    (path / "weights.txt").write_text(content)
    return path


def made(monkeypatch: pytest.MonkeyPatch, server: Moto, url: str) -> Cellar:
    Cellar.init(url, server.options())
    return cellar(monkeypatch, url, storage_conn_id="aws_default")


def test_the_other_connections_credentials_open_the_bucket(
    monkeypatch: pytest.MonkeyPatch, server: Moto, url: str, tmp_path: Path
) -> None:
    opened = made(monkeypatch, server, url)
    base = opened.register_base(RACK, files(tmp_path, "base"), bump="minor").ref
    (tmp_path / "base" / "weights.txt").write_bytes(b"w" * (20 << 20))  # in parts
    opened.register_project(f"{RACK}/projectA", tmp_path / "base", base=base)
    opened.register_base(RACK, files(tmp_path, "better"), bump="minor")
    assert [str(rebuild.model) for rebuild in opened.plan(RACK).rebuilds] == [f"{RACK}/projectA"]
    pulled = opened.pull(f"{RACK}/projectA", tmp_path / "model")
    assert (pulled / "weights.txt").stat().st_size == 20 << 20
    assert CellarHook("models").test_connection() == (True, f"{url} is cellar {opened.id} with 1 racks.")


def test_it_survives_pickling_and_a_fork(monkeypatch: pytest.MonkeyPatch, server: Moto, url: str) -> None:
    opened = made(monkeypatch, server, url)
    copy = pickle.loads(pickle.dumps(opened))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(opened._read_id) == copy.id == opened.id


def test_looks_share_one_client_until_the_connection_is_changed(
    monkeypatch: pytest.MonkeyPatch, server: Moto, url: str
) -> None:
    """A watcher looks every few seconds for months; and a key that is mended is to be seen without a restart."""
    first = made(monkeypatch, server, url)
    assert first.racks() == []
    assert CellarHook("models").cellar is first
    connection(monkeypatch, "aws_default", conn_type="aws", login="nobody", password=SECRET, extra={})
    assert CellarHook("models").cellar is not first
    aws(monkeypatch, server)
    assert CellarHook("models").cellar is first


def test_read_only(monkeypatch: pytest.MonkeyPatch, server: Moto, url: str, tmp_path: Path) -> None:
    made(monkeypatch, server, url).register_base(RACK, files(tmp_path, "base"), bump="minor")
    reader = cellar(monkeypatch, url, storage_conn_id="aws_default", read_only=True)
    assert str(reader.resolve(f"{RACK}/base").ref) == f"{RACK}/base/0.1"
    with pytest.raises(ReadOnly):
        reader.create_rack("vit/another")


def test_a_storage_connection_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(AirflowNotFoundException, match="nobody"):
        _ = cellar(monkeypatch, url, storage_conn_id="nobody").id
