"""A PostgreSQL and a Redis for a test: real ones, on loopback, gone afterwards.

The programs must be on the PATH, or where Debian's packages `postgresql` and `redis-server` have them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from example_flows.demo.loopback import free_port


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
            [program("initdb"), "-D", data, "-U", "tests", "-A", "trust", "--no-sync"],
            check=True,
            timeout=120,
            **here,
        )
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with running([program("postgres"), "-D", data, "-p", str(port), *options], port, **here):
            yield f"tests@127.0.0.1:{port}/postgres"


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
    """Where a program is that must be there."""
    found = installed(name)
    assert found, f"{name} is not here; on Debian: apt install postgresql redis-server"
    return found


def installed(name: str) -> str | None:
    """Where a program is, if it is there; Debian keeps those of PostgreSQL off the PATH."""
    return shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
