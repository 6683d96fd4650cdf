"""Which cellar a connection means, and that its secrets stay secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from cellar_airflow import CellarHook
from cellar_airflow.errors import no_vain_retries
from cellar_airflow.hook import _storage_options, _url, airflow_filesystem
from cellar_core import Cellar
from cellar_core.store import UnknownStore

if TYPE_CHECKING:
    from tests.airflow.conftest import World


@pytest.fixture
def cellar(tmp_path: Path) -> Cellar:
    return Cellar.init(tmp_path / "cellar")


def connection(monkeypatch: pytest.MonkeyPatch, conn_id: str = "cellar_default", **fields: Any) -> None:
    value = json.dumps({"conn_type": "cellar", **fields})
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)


def test_connection_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, cellar: Cellar) -> None:
    monkeypatch.setenv("CELLAR_URL", "memory://another")
    connection(monkeypatch, host=cellar.url)
    assert CellarHook().cellar.id == CellarHook().get_conn().id == cellar.id


def test_environment_names_the_default_cellar_only(monkeypatch: pytest.MonkeyPatch, cellar: Cellar) -> None:
    """A mistyped connection must not write into another cellar."""
    monkeypatch.setenv("CELLAR_URL", cellar.url)
    assert CellarHook().cellar.id == cellar.id
    with pytest.raises(AirflowNotFoundException, match="no connection 'cellar_prod': create it"):
        _ = CellarHook("cellar_prod").cellar


def test_neither_is_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLAR_URL", raising=False)
    with pytest.raises(AirflowNotFoundException, match=r"'cellar_default': create it .* or set CELLAR_URL"):
        _ = CellarHook().cellar


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("cellar://s3://models/cellar", "s3://models/cellar"),
        ("cellar://file:///srv/cellar", "/srv/cellar"),
        ("cellar://?__extra__=%7B%7D", None),
    ],
)
def test_airflows_uri_form(uri: str, url: str | None) -> None:
    found = Connection.from_uri(uri, conn_id="c")
    if url is None:
        with pytest.raises(ValueError, match="'c' names no cellar: set its host"):
            _url(found)
    else:
        assert _url(found) == url


def test_storage_options_as_object_or_text_and_every_value_is_masked() -> None:
    from airflow.sdk.log import redact

    extra = {
        "storage_options": {
            "endpoint_url": "https://here.example",
            "client_kwargs": {"verify": False, "list": ["hidden-1"]},
        },
        "secret_storage_options": json.dumps({"key": "hidden-2", "account_key": "hidden-3", "pin": 424242}),
    }
    options = _storage_options(Connection(conn_id="c", conn_type="cellar", extra=json.dumps(extra)))
    assert options == {
        **extra["storage_options"],
        "key": "hidden-2",
        "account_key": "hidden-3",
        "pin": 424242,
    }
    assert (
        redact("at https://here.example with hidden-1 hidden-2 hidden-3 424242, False")
        == "at *** with *** *** *** ***, False"
    )


@pytest.mark.parametrize("value", ["{no json", '["a", "list"]', "3"])
def test_options_that_are_none_are_named_but_not_shown(value: str) -> None:
    extra = json.dumps({"secret_storage_options": value})
    with pytest.raises(
        ValueError, match="secret_storage_options of connection 'c' must be a JSON object"
    ) as error:
        _storage_options(Connection(conn_id="c", conn_type="cellar", extra=extra))
    assert value not in str(error.value)


@pytest.mark.parametrize("value", [True, "true", "1", "yes please"])
def test_read_only_refuses_to_write_and_is_permanent(
    monkeypatch: pytest.MonkeyPatch, cellar: Cellar, value: object
) -> None:
    connection(monkeypatch, host=cellar.url, extra={"read_only": value})
    reader = CellarHook().cellar
    assert reader.racks() == []
    with pytest.raises(AirflowFailException, match="was opened read-only"), no_vain_retries():
        reader.create_rack("vit/vit-l")
    assert cellar.racks() == []


def test_looks_share_one_cellar_until_the_connection_is_changed(
    monkeypatch: pytest.MonkeyPatch, cellar: Cellar, tmp_path: Path
) -> None:
    """A watcher asks for it at each look, for months; what is mended is seen without a restart."""
    connection(monkeypatch, host=cellar.url)
    first = CellarHook().cellar
    assert CellarHook().cellar is first
    for change in ({"extra": {"read_only": True}}, {"host": str(tmp_path / "another")}):
        connection(monkeypatch, **{"host": cellar.url, **change})
        assert CellarHook().cellar is not first


@pytest.mark.parametrize("value", [False, None, "false", "0", ""])
def test_not_read_only(monkeypatch: pytest.MonkeyPatch, cellar: Cellar, value: object) -> None:
    connection(monkeypatch, host=cellar.url, extra={"read_only": value})
    assert CellarHook().cellar.create_rack("vit/vit-l")


def test_a_storage_connection_needs_a_provider_that_has_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"no file system for there://.*'aws_default' needs: install"):
        airflow_filesystem("there", "aws_default")


def test_a_directory_takes_no_storage_connection(monkeypatch: pytest.MonkeyPatch, cellar: Cellar) -> None:
    connection(monkeypatch, host=cellar.url, extra={"storage_conn_id": "aws_default"})
    connection(monkeypatch, "aws_default", conn_type="aws")
    with pytest.raises(UnknownStore, match="only buckets do"):
        _ = CellarHook().cellar


def test_test_connection_says_what_is_there(
    monkeypatch: pytest.MonkeyPatch, cellar: Cellar, tmp_path: Path
) -> None:
    connection(monkeypatch, host=cellar.url)
    assert CellarHook().test_connection() == (True, f"{cellar.url} is cellar {cellar.id} with 0 racks.")
    connection(monkeypatch, host=str(tmp_path / "nothing"))
    works, message = CellarHook().test_connection()
    assert not works
    assert "there is no cellar at" in message


def test_form_and_button_in_airflow(world: World) -> None:
    body = {"connection_id": "tried", "conn_type": "cellar", "host": world.cellar.url}
    assert world.airflow.post("connections/test", body)["status"] is True
    body["host"] = str(world.directory)
    assert world.airflow.post("connections/test", body)["status"] is False


def test_airflow_shows_no_secret_of_a_connection_that_it_keeps(world: World) -> None:
    """Not even to an admin, who edits it in the form."""
    extra = {"storage_options": {"anon": False}, "secret_storage_options": '{"secret": "hidden-kept"}'}
    body = {"connection_id": "kept", "conn_type": "cellar", "host": "s3://models/cellar"}
    world.airflow.post("connections", {**body, "extra": json.dumps(extra)})
    shown = world.airflow.get("connections/kept")
    assert json.loads(shown["extra"]) == {**extra, "secret_storage_options": "***"}


def test_repr_of_a_hook_shows_no_option(monkeypatch: pytest.MonkeyPatch, cellar: Cellar) -> None:
    connection(monkeypatch, host=cellar.url)
    hook = CellarHook()
    assert repr(hook.cellar) == f"Cellar('{cellar.url}')"
    assert os.fspath(cellar.url.removeprefix("file://")) in hook.cellar.url
