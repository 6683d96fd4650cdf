"""A bucket on a real server, for the pages that speak of one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.contract.servers import KEY, SECRET, Moto

Bucket = tuple[dict[str, str], dict[str, str]]
"""What the environment must have to reach a bucket, and which place in it the pages' ``models/cellar`` is."""


class Models(Moto):
    """A server whose bucket is called as on the pages. Of a bucket policy it keeps what forbids without conditions."""

    bucket = "models"


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
