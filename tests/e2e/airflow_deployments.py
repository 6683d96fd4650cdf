"""What an Airflow can run on: SQLite; PostgreSQL, for two schedulers; and that with Celery and Redis, for two workers.

The programs must be on the PATH, or where Debian's packages `postgresql` and `redis-server` have them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from example_flows.demo.airflow_server import COMPONENTS, free_port


@dataclass(frozen=True)
class Deployment:
    """How an Airflow differs from the demo's.

    Attributes:
        settings: Its environment.
        components: Further processes, by name: the arguments of the command ``airflow``.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@contextmanager
def on_sqlite() -> Iterator[Deployment]:
    yield Deployment()


@contextmanager
def with_two_schedulers() -> Iterator[Deployment]:
    with postgresql() as address:
        settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}"}
        yield Deployment(settings, {"scheduler-two": COMPONENTS["scheduler"]})


@contextmanager
def with_celery() -> Iterator[Deployment]:
    """Two workers that take two tasks each."""
    with postgresql() as address, redis() as broker, TemporaryDirectory() as directory:
        settings = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{address}",
        }
        worker = ("celery", "worker", "--skip-serve-logs", "--concurrency", "2")
        yield Deployment(
            settings,
            {
                f"worker-{name}": (*worker, "--celery-hostname", name, "--pid", f"{directory}/{name}.pid")
                for name in ("one", "two")
            },
        )


DEPLOYMENTS: dict[str, Callable[[], AbstractContextManager[Deployment]]] = {
    "sqlite": on_sqlite,
    "two-schedulers": with_two_schedulers,
    "celery": with_celery,
}


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of its own on loopback: ``user@host:port/database``. As root it runs as `postgres`: it insists."""
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with TemporaryDirectory() as directory:
        if user:
            shutil.chown(directory, *user.values())
        port = free_port()
        here: dict[str, Any] = {"cwd": directory, "stdout": subprocess.DEVNULL, **user}
        data = f"{directory}/data"
        subprocess.run(
            [program("initdb"), "-D", data, "-U", "airflow", "-A", "trust", "--no-sync"],
            check=True,
            timeout=120,
            **here,
        )
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with running([program("postgres"), "-D", data, "-p", str(port), *options], port, **here):
            yield f"airflow@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """The address of a Redis of its own on loopback, which keeps nothing."""
    port = free_port()
    command = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with TemporaryDirectory() as directory, running(command, port, cwd=directory, stdout=subprocess.DEVNULL):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def running(command: list[str], port: int, **how: Any) -> Iterator[None]:
    """Run a server from the moment that it listens, and stop it."""
    server = subprocess.Popen(command, stderr=subprocess.STDOUT, **how)
    try:
        deadline = time.monotonic() + 60
        while not listens(port):
            assert server.poll() is None, f"{command} ended with {server.returncode}"
            assert time.monotonic() < deadline, f"{command} does not listen"
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def program(name: str) -> str:
    """Where a program is; Debian keeps those of PostgreSQL off the PATH."""
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    assert found, f"{name} is not here; on Debian: apt install postgresql redis-server"
    return found
