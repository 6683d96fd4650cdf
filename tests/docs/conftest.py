"""A bucket on a real server, for the pages that speak of one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.contract.servers import KEY, SECRET, Moto

Bucket = tuple[dict[str, str], dict[str, str]]
"""What the environment must have to reach a bucket, and which place in it the pages' ``models/cellar`` is."""


class Models(Moto):
    """A server whose bucket is called as on the pages. It notes what it is asked for.

    Of a bucket policy it keeps what forbids without conditions.
    """

    bucket = "models"
    serve = """
import json, sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

app = DomainDispatcherApplication(create_backend_app)

def noting(environ, start_response):
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_IF_NONE_MATCH")
    with open("asked.jsonl", "a") as file:
        print(json.dumps([environ.get(name, "") for name in names]), file=file)
    return app(environ, start_response)

run_simple("127.0.0.1", int(sys.argv[1]), noting, threaded=False)
"""

    def asked(self, place: str) -> list[list[str]]:
        """What was asked for so far below *place*: method, path, query, and ``If-None-Match``."""
        lines = (self.directory / "asked.jsonl").read_text().splitlines()
        return [one for line in lines if place in "".join((one := json.loads(line))[1:3])]


@pytest.fixture(scope="session")
def _server() -> Iterator[Models]:
    with Models() as server:
        yield server


@pytest.fixture
def bucket(_server: Models) -> Bucket:
    """A bucket, and a place in it that no other test uses."""
    return a_place(_server)


def a_place(server: Models) -> Bucket:
    """A place in the bucket that nobody else uses."""
    env = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return env, {"models/cellar": f"models/{uuid.uuid4().hex}"}
