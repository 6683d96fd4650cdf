"""The only place that touches storage: exclusive create, list, read, and transfer with digest.

``base`` says what a store promises, ``tests/contract/`` holds each back end to it, and the rest of this package
keeps the promise: ``local`` on a disk or a share, ``memory`` in one process, ``objects`` on Azure Blob Storage and
Google Cloud Storage, ``s3`` on what speaks S3.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from cellar_core.store.base import NotExclusive, Store, StoreRefused, StoreUnavailable, UnknownStore
from cellar_core.store.local import LocalStore
from cellar_core.store.memory import MemoryStore
from cellar_core.store.objects import FileSystem, ObjectStore
from cellar_core.store.readonly import ReadOnly, ReadOnlyStore
from cellar_core.store.s3 import S3Store

__all__ = [
    "FileSystem",
    "LocalStore",
    "MemoryStore",
    "NotExclusive",
    "ObjectStore",
    "ReadOnly",
    "ReadOnlyStore",
    "S3Store",
    "Store",
    "StoreRefused",
    "StoreUnavailable",
    "UnknownStore",
    "open_store",
]

_HERE: dict[str, type[LocalStore | MemoryStore]] = {
    "file": LocalStore,
    "local": LocalStore,
    "memory": MemoryStore,
}
# Only back ends of which the exclusive create was tried: any other file system of fsspec looks first and writes then.
_THERE: dict[str, tuple[type[ObjectStore], str, str]] = {
    "s3": (S3Store, "s3fs", "s3"),
    "s3a": (S3Store, "s3fs", "s3"),
    "gs": (ObjectStore, "gcsfs", "gcs"),
    "gcs": (ObjectStore, "gcsfs", "gcs"),
    "abfs": (ObjectStore, "adlfs", "azure"),
    "abfss": (ObjectStore, "adlfs", "azure"),
    "az": (ObjectStore, "adlfs", "azure"),
}


def open_store(
    url: str, options: Mapping[str, Any] | None = None, filesystem: FileSystem | None = None
) -> Store:
    """The store at *url*; nothing is connected to yet.

    Args:
        url: A path, ``file://``, ``memory://``, ``s3://``, ``gs://`` or ``abfs://``.
        options: fsspec's ``storage_options``, such as credentials and an endpoint.
        filesystem: What makes a bucket's file system out of them, instead of fsspec itself.

    Raises:
        UnknownStore: There is no way to create exclusively at such a URL, the package for it is not installed, or
            it takes no options.

    >>> open_store("memory://doc").create("a", b"data")
    True
    """
    scheme = urlsplit(url).scheme if "://" in url else "file"
    if here := _HERE.get(scheme):
        if options:
            raise UnknownStore(f"{url} takes no storage options; leave out: {', '.join(options)}")
        if filesystem:
            raise UnknownStore(f"{url} takes no file system of another's making; only buckets do")
        return here(url)
    if scheme not in _THERE:
        known = ", ".join(f"{name}://" for name in (*_HERE, *_THERE))
        raise UnknownStore(f"{url}: a cellar can be on a path, {known}; not on {scheme}://")
    kind, package, extra = _THERE[scheme]
    if find_spec(package) is None:
        raise UnknownStore(f"{url} needs the package {package}: pip install 'cellar-flows[{extra}]'")
    return kind(url, options or {}, filesystem)
