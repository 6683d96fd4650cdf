"""What is asked of a bucket is what the pages say: the permissions of a role, and what a policy may forbid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellar_core import Cellar
from tests.docs.conftest import Models, a_place
from tests.pages import blocks

Asked = list[list[str]]


def permission(method: str, path: str, query: str) -> str:
    """The permission that a request needs, as AWS documents it."""
    if method == "GET" and "list-type" in query:
        return "s3:ListBucket"
    if method == "GET" and "uploads" in query.split("&", maxsplit=1)[0]:
        return "s3:ListBucketMultipartUploads"
    if "uploadId" in query and method in ("GET", "DELETE"):
        return "s3:ListMultipartUploadParts" if method == "GET" else "s3:AbortMultipartUpload"
    kinds = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}
    return f"s3:{kinds.get(method, 'DeleteObject')}"


@pytest.fixture(scope="module")
def asked(_server: Models, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """What is asked for by everything that writes."""
    env, places = a_place(_server)
    options = {
        "key": env["AWS_ACCESS_KEY_ID"],
        "secret": env["AWS_SECRET_ACCESS_KEY"],
        "client_kwargs": {"endpoint_url": env["AWS_ENDPOINT_URL"]},
    }
    place = places["models/cellar"]
    work(Cellar.init(f"s3://{place}", options), tmp_path_factory.mktemp("work"))
    return _server.asked(place.partition("/")[2])


def work(cellar: Cellar, directory: Path) -> None:
    """All that writes, a large file and an upload that was given up included."""
    files = directory / "files"
    files.mkdir()

    def write(text: str) -> Path:
        (files / "weights.bin").write_bytes(text.encode().ljust(9 * 2**20))
        return files

    base = cellar.register_base("vit/vit-l", write("base"), bump="major").ref
    cellar.register_project("vit/vit-l/projectA", write("A"), base=base)
    cellar.alias("vit/vit-l/projectA", "production", "1.0.1")
    cellar.register_base("vit/vit-l", write("better"), bump="minor")
    todo = cellar.plan("vit/vit-l").rebuilds[0]
    train: Callable[[Any], object] = lambda job: (job.output_dir / "w.txt").write_text("tuned")  # noqa: E731
    cellar.rebuild(todo, train, holder="test")
    cellar.register_base("vit/vit-l", write("new"), bump="major")
    cellar.approve("vit/vit-l/base/2.0")
    cellar.yank("vit/vit-l/base/2.0", "bad")
    fs, root = cellar.store._fs, cellar.store._path("")  # type: ignore[attr-defined]
    claim = fs.cat_file(f"{root}.cellar/claims/vit/vit-l/base/2.0.json")
    fs.pipe_file(f"{root}.cellar/claims/vit/vit-l/base/3.0.json", claim, mode="create")
    fs.pipe_file(f"{root}vit/vit-l/base/3.0/left", b"behind")
    cellar.gc(void=["vit/vit-l/base/3.0"])
    assert cellar.doctor().ok


def test_records_are_only_created(asked: Asked) -> None:
    """Below ``.cellar/`` there is one kind of request that writes: a PUT that says ``If-None-Match``."""
    changes = [one for one in asked if one[0] not in ("GET", "HEAD")]
    ours = [one for one in changes if "/.cellar/" in one[1]]
    assert len(ours) > 20
    assert {(method, condition) for method, _, _, condition in ours} == {("PUT", "*")}
    deleted = [path for method, path, _, _ in changes if method == "DELETE"]
    assert [path.rpartition("/vit-l/")[2] for path in deleted] == ["base/3.0/left"]


def test_a_role_has_what_is_needed(asked: Asked) -> None:
    """The page's policy of a writer allows each request but the one that deletes, which it says is gc's alone."""
    [policy] = [json.loads(block.text) for block in blocks("docs/how-to/s3.md", "json")]
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    needed = {permission(*one[:3]) for one in asked}
    assert {"s3:ListBucket", "s3:GetObject", "s3:PutObject"} <= needed
    assert needed - allowed == {"s3:DeleteObject"}
