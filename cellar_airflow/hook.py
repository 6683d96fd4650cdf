"""The hook: which cellar a connection means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from cellar_core import Cellar

DEFAULT_CONN_ID = "cellar_default"
OPTION_FIELDS = ("storage_options", "secret_storage_options")


class CellarHook(BaseHook):
    """Gives the cellar of a connection of type `cellar`.

    The connection's host is the cellar's URL. Its extra may hold `storage_options` and `secret_storage_options`, each
    a JSON object (or its text); both are given to fsspec, and every string in them is masked in the logs.

    Without a connection `cellar_default` the environment variable `CELLAR_URL` names the default cellar; do not let the
    two name different ones, since Airflow also says that there is no connection when it cannot read it just now. Any
    other connection must exist: a mistyped name is not to end up in the wrong cellar.

    Args:
        conn_id: the connection.
    """

    conn_name_attr = "conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "cellar"
    hook_name = "Cellar"

    def __init__(self, conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.conn_id = conn_id

    @cached_property
    def cellar(self) -> Cellar:
        """The cellar; nothing is read from its store yet.

        Raises:
            AirflowNotFoundException: there is no such connection. A retry may help: Airflow says the same when it
                could not reach the backend that keeps its connections.
            ValueError: the connection names no URL, or its storage options are not JSON objects.
        """
        try:
            connection = self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            if self.conn_id == DEFAULT_CONN_ID and os.environ.get("CELLAR_URL"):
                return Cellar()
            hint = " or set CELLAR_URL" if self.conn_id == DEFAULT_CONN_ID else ""
            raise AirflowNotFoundException(
                f"There is no connection {self.conn_id!r}: create it with connection type 'cellar' and the cellar's "
                f"URL as host{hint}."
            ) from None
        return Cellar(_url(connection), _storage_options(connection))

    def get_conn(self) -> Cellar:
        """The cellar, under the name that Airflow's hooks share."""
        return self.cellar

    def test_connection(self) -> tuple[bool, str]:
        """Whether the cellar answers, and what it says; for the button in Airflow's connection form."""
        try:
            racks = self.cellar.racks()
            return True, f"{self.cellar.url} is cellar {self.cellar.id} with {len(racks)} racks."
        except Exception as error:  # noqa: BLE001  whatever it is, it is the answer to the question
            return False, str(error)


def _url(connection: Connection) -> str:
    """The URL; of `cellar://s3://models/cellar`, Airflow's URI form of a connection, the path has become the schema."""
    url = connection.host or ""
    if connection.schema:
        url = f"{url}/{connection.schema}"
    if not url:
        raise ValueError(
            f"Connection {connection.conn_id!r} names no cellar: set its host to a URL such as s3://models/cellar."
        )
    return url


def _storage_options(connection: Connection) -> dict[str, Any]:
    extra: Mapping[str, Any] = connection.extra_dejson
    options: dict[str, Any] = {}
    for field in OPTION_FIELDS:
        options |= _json_object(extra.get(field) or {}, f"{field} of connection {connection.conn_id!r}")
    for text in _strings(options):
        mask_secret(text)
    return options


def _json_object(value: Any, what: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        # The text may be a secret, so it is not quoted.
        raise ValueError(f'{what} must be a JSON object such as {{"anon": true}}.')
    return parsed


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
