"""What the benchmarks share: a fresh place for a cellar on each kind of store, and the facts of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tests.contract.servers import Azurite, FakeGCS, Moto, Rclone, SeaweedFS, Server

SERVERS: dict[str, type[Server]] = {
    "s3": Moto,
    "moto": Moto,
    "seaweedfs": SeaweedFS,
    "rclone": Rclone,
    "gcs": FakeGCS,
    "azure": Azurite,
}
STORES = f"local, {', '.join(SERVERS)}, or a URL of your own, such as s3://bucket/scratch"


@dataclass(frozen=True)
class Place:
    """Where a cellar can be made.

    Attributes:
        name: What it is, for people.
        url: Nobody else uses it.
        options: fsspec's ``storage_options`` for it.
        scratch: A directory of this machine, for what is registered and pulled.
    """

    name: str
    url: str
    scratch: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def place(store: str, directory: str | None = None) -> Iterator[Place]:
    """A place on *store* (see STORES), with its server on 127.0.0.1 for as long as this lasts.

    Args:
        store: The kind of store, or the URL of one that exists.
        directory: Where all files go; where temporary files go if None.
    """
    os.environ["CELLAR_CACHE_SIZE"] = "0"  # what is looked at is the store
    with TemporaryDirectory(prefix="cellar-benchmark-", dir=directory) as made:
        scratch = Path(made)
        if store == "local":
            yield Place("local", str(scratch / "cellar"), scratch)
        elif "://" in store:
            yield Place(store, f"{store.rstrip('/')}/{uuid4().hex}", scratch)
        elif store in SERVERS:
            with SERVERS[store]() as server:
                yield Place(type(server).__name__, server.url(), scratch, server.options())
        else:
            raise SystemExit(f"no store {store!r}; choose {STORES}")


def machine(directory: Path) -> str:
    """The facts that figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"{_file_system(directory)}, Python {platform.python_version()}, "
        f"blake3 {version('blake3')}, fsspec {version('fsspec')}"
    )


def _file_system(directory: Path) -> str:
    """The kind of file system that *directory* is on, from the longest mount point above it."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown file system"
    found = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    return max((len(point), kind) for point, kind in found if directory.resolve().is_relative_to(point))[1]


def boto3_client(where: Place, threads: int) -> Any:
    """A client of boto3, the bare client that each place which speaks S3 can be asked by."""
    import boto3
    from botocore.config import Config

    options = where.options
    return boto3.client(
        "s3",
        aws_access_key_id=options.get("key"),
        aws_secret_access_key=options.get("secret"),
        config=Config(max_pool_connections=threads, s3={"addressing_style": "path"}),
        region_name="us-east-1",
        **options.get("client_kwargs", {}),
    )
