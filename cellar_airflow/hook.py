"""The hook: which cellar a connection means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret, redact  # type: ignore[attr-defined]  # as its own providers do

from cellar_core import Cellar

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem

DEFAULT_CONN_ID = "cellar_default"
OPTION_FIELDS = ("storage_options", "secret_storage_options")


class CellarHook(BaseHook):
    """Gives the cellar of a connection of type `cellar`.

    The connection's host is the cellar's URL. Its extra may hold

    * `storage_options` and `secret_storage_options`, each a JSON object (or its text): both are given to fsspec, and
      every value in them is masked in the logs;
    * `storage_conn_id`, another connection such as `aws_default`: the bucket is then opened by Airflow's own object
      storage with the credentials of that one, as `ObjectStoragePath` does it;
    * `read_only`: true lets every task that would write fail at once.

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
            AirflowNotFoundException: there is no such connection, or not the one that opens its bucket. A retry may
                help: Airflow says the same when it could not reach the backend that keeps its connections.
            ValueError: the connection names no URL, or its storage options are not JSON objects.
            UnknownStore: its URL is of a kind that cannot hold a cellar, or takes no storage options. No retry helps.
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
        return _opened(
            _url(connection),
            json.dumps(_storage_options(connection), sort_keys=True),
            _storage_connection(connection),
            read_only=_is_true(connection.extra_dejson.get("read_only")),
        )

    def get_conn(self) -> Cellar:
        """The cellar, under the name that Airflow's hooks share."""
        return self.cellar

    def test_connection(self) -> tuple[bool, str]:
        """Whether the cellar answers, and what it says; for the button in Airflow's connection form."""
        try:
            racks = self.cellar.racks()
            return True, f"{self.cellar.url} is cellar {self.cellar.id} with {len(racks)} racks."
        except Exception as error:  # noqa: BLE001  whatever it is, it is the answer to the question
            return False, str(redact(str(error)))  # it may quote an option, such as the endpoint


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


def _is_true(value: object) -> bool:
    """In Airflow's URI form of a connection even a boolean is text."""
    return str(value).lower() not in {"false", "0", "no", "none", ""}


class _StorageConnection(NamedTuple):
    """Another connection, by which the bucket is opened, and what it says."""

    conn_id: str
    uri: str


def _storage_connection(connection: Connection) -> _StorageConnection | None:
    if conn_id := connection.extra_dejson.get("storage_conn_id"):
        return _StorageConnection(conn_id, BaseHook.get_connection(conn_id).get_uri())
    return None


@lru_cache(maxsize=16)
def _opened(url: str, options: str, storage: _StorageConnection | None, *, read_only: bool) -> Cellar:
    """One for each state of its connections: a watcher asks for it at each look, and some clients leave much behind."""
    filesystem = partial(airflow_filesystem, urlsplit(url).scheme, storage.conn_id) if storage else None
    return Cellar(url, json.loads(options), filesystem=filesystem, read_only=read_only)


def airflow_filesystem(scheme: str, conn_id: str, /, **options: Any) -> AsyncFileSystem:
    """The file system that Airflow's object storage has for a scheme, with the credentials of a connection.

    Args:
        scheme: such as `s3`.
        conn_id: a connection of the provider that brings the scheme.
        options: storage options, as that provider understands them: for `s3` they configure botocore.

    Raises:
        AirflowNotFoundException: there is no such connection.
        ValueError: no provider that is installed brings the scheme.
    """
    from airflow.sdk.io import get_fs, has_fs

    if not has_fs(scheme):
        raise ValueError(
            f"Airflow has no file system for {scheme}://, which storage_conn_id {conn_id!r} needs: install the "
            "provider that has it, such as apache-airflow-providers-amazon[s3fs]"
        )
    return get_fs(scheme, conn_id, options)


def _storage_options(connection: Connection) -> dict[str, Any]:
    extra: Mapping[str, Any] = connection.extra_dejson
    options: dict[str, Any] = {}
    for field in OPTION_FIELDS:
        options |= _json_object(extra.get(field) or {}, f"{field} of connection {connection.conn_id!r}")
    for text in _shown(options):
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


def _shown(value: Any) -> Iterator[str]:
    """Every value, however deep, as a log would show it; those of yes-or-no options tell nothing."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _shown(item)
    elif isinstance(value, list):
        for item in value:
            yield from _shown(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
