"""What is asked of a bucket is what the pages say: the permissions of a role, and what a policy may forbid."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import sync

from cellar_core import Cellar
from tests.docs.conftest import Models, a_place
from tests.pages import blocks

NEEDS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
}
"""The permission that each request needs, as AWS documents it."""


Asked = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture(scope="module")
def asked(_server: Models, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """What is asked for by everything that writes: the operation, the key, the headers."""
    env, places = a_place(_server)
    options = {
        "key": env["AWS_ACCESS_KEY_ID"],
        "secret": env["AWS_SECRET_ACCESS_KEY"],
        "client_kwargs": {"endpoint_url": env["AWS_ENDPOINT_URL"]},
    }
    seen: Asked = []

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        seen.append((model.name, params["url_path"].partition("/")[2] or "", params["headers"]))

    cellar = Cellar(f"s3://{places['models/cellar']}", options)
    fs = cellar._store._fs  # type: ignore[attr-defined]
    sync(fs.loop, fs.set_session)
    fs.s3.meta.events.register("before-call.s3", note)
    work(Cellar.init(cellar.url, options), tmp_path_factory.mktemp("work"))
    return seen


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
    writes = [
        (name, headers)
        for name, key, headers in asked
        if "/.cellar/" in f"/{key}" and not name.startswith(("Get", "Head", "List"))
    ]
    assert len(writes) > 20
    assert {name for name, _ in writes} == {"PutObject"}
    assert all(headers.get("If-None-Match") == "*" for _, headers in writes)
    deleted = {key.rpartition("/vit/")[2] for name, key, _ in asked if name == "DeleteObject"}
    assert deleted == {"vit-l/base/3.0/left"}


def test_a_role_has_what_is_needed(asked: Asked) -> None:
    """The page's policy of a writer allows each request but those that delete, which it says are gc's alone."""
    [policy] = [json.loads(block.text) for block in blocks("docs/how-to/s3.md", "json")]
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    needed = {NEEDS[name] for name, _, _ in asked}
    assert needed - allowed == {"s3:DeleteObject"}
    assert any(fnmatchcase("s3:PutObject", action) for action in allowed)
