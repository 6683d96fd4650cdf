"""Each page that needs no orchestrator, worked through from its top to its end as a reader would do it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cellar_core import Cellar
from tests.docs.conftest import Bucket
from tests.docs.registry import make_registry
from tests.pages import Reader, blocks, environment, pages, script

WITH_A_BUCKET = ["docs/how-to/s3.md", "docs/operations.md"]
PREPARED = ["docs/how-to/from-ml-cellar.md", "docs/how-to/from-mlflow.md", "docs/how-to/plain-tools.md"]
ALONE = [
    page
    for page in pages()
    if page.startswith("docs/") and environment(page) == "core" and page not in (*WITH_A_BUCKET, *PREPARED)
]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ALONE)
def test_page(page: str, tmp_path: Path) -> None:
    """The simulation, which one page starts, is found from the top of the repository."""
    Reader(tmp_path, {"PYTHONPATH": str(ROOT)}).read(page)


@pytest.mark.parametrize("page", WITH_A_BUCKET)
def test_page_with_a_bucket(page: str, tmp_path: Path, bucket: Bucket) -> None:
    env, places = bucket
    Reader(tmp_path, env, places).read(page)


def test_moving_from_ml_cellar(tmp_path: Path) -> None:
    """The repository is one that ml-cellar would accept, but for one file that is missing."""
    models = tmp_path / "models"
    for ref in ("base/1.0", "projectA/1.0.1", "projectA/1.0.2"):
        version = models / "vit/vit-l" / ref
        version.mkdir(parents=True)
        (version / "model.pth").write_text(f"weights of {ref}")
        if ref != "projectA/1.0.2":
            (version / "config.yaml").write_text("layers: 24")
    (models / "vit/vit-l/config.toml").write_text('[artifact]\nrequired_files = ["config.yaml", "*.pth"]\n')
    author = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    subprocess.run(["git", "init", "--quiet", models], check=True)
    before = {path: path.read_bytes() for path in models.rglob("*.pth")}
    Reader(models, dict.fromkeys(author, "kim@example.com")).read("docs/how-to/from-ml-cellar.md")
    assert {path: path.read_bytes() for path in models.rglob("*.pth") if "srv" not in path.parts} == before


def test_moving_from_mlflow(tmp_path: Path) -> None:
    """From a registry of MLflow's own, in a SQLite file."""
    uri = make_registry(tmp_path / "mlflow")
    Reader(tmp_path, {"MLFLOW_TRACKING_URI": uri}).read("docs/how-to/from-mlflow.md")
    cellar = Cellar(tmp_path / "srv/cellar")
    record = cellar.resolve("vit/vit-l/factory@champion")
    assert (record.metrics, record.recipe.parameters) == ({"accuracy": 0.92}, {"epochs": "2"})
    assert record.parent
    assert str(record.parent.ref) == "vit/vit-l/base/1.1"
    assert [one.model.project for one in cellar.plan("vit/vit-l").rebuilds] == ["clinic"]


def test_reading_without_our_software(tmp_path: Path, bucket: Bucket) -> None:
    """A cellar on a disk, and the same in a bucket."""
    env, places = bucket
    url = f"s3://{places['models/cellar']}"
    endpoint = {"client_kwargs": {"endpoint_url": env["AWS_ENDPOINT_URL"]}}
    options = {"key": env["AWS_ACCESS_KEY_ID"], "secret": env["AWS_SECRET_ACCESS_KEY"], **endpoint}
    for cellar in (Cellar.init(tmp_path / "srv/cellar"), Cellar.init(url, options)):
        for base in ("1.0", "1.1"):
            files = tmp_path / "files"
            files.mkdir(exist_ok=True)
            (files / "weights.txt").write_text(f"base {base}\n")
            cellar.register_base("vit/vit-l", files, version=base)
            (files / "weights.txt").write_text(f"A on {base}\n")
            (files / "result.json").write_text('{"accuracy": 0.9}')
            cellar.register_project("vit/vit-l/projectA", files, base=f"vit/vit-l/base/{base}")
        cellar.alias("vit/vit-l/projectA", "production", "1.0.1")
        cellar.yank("vit/vit-l/base/1.1", "half of the labels are wrong")
    Reader(tmp_path, env, places).read("docs/how-to/plain-tools.md")


def test_the_command_of_the_job_trains(tmp_path: Path) -> None:
    """What a pod would run, run here: the command and the arguments of the page's Job, with the page's training."""
    page = "docs/how-to/kubernetes.md"
    cellar = Cellar.init(tmp_path / "cellar")
    (tmp_path / "train.py").write_text(script("train.py", page))
    (tmp_path / "files").mkdir()
    (tmp_path / "files/weights.txt").write_text("a base")
    cellar.register_base("vit/vit-l", tmp_path / "files", bump="major")
    [pod] = yaml.safe_load(script("job.yaml", page))["spec"]["template"]["spec"]["containers"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "CELLAR_URL": cellar.url}
    assert {one["name"] for one in pod["env"]} == {"CELLAR_URL", "TMPDIR"}
    subprocess.run([*pod["command"], *pod["args"]], cwd=tmp_path, env=env, check=True, timeout=120)
    assert str(cellar.resolve("vit/vit-l/projectA").ref) == "vit/vit-l/projectA/1.0.1"


def test_what_is_not_run_says_why_and_is_counted() -> None:
    """A block that nothing runs is an exception: a new one has to be written down here, too."""
    left_out = [block for page in pages() for block in blocks(page) if block.not_run]
    assert all(len(block.not_run.split()) > 3 for block in left_out)
    count = {page: sum(block.page == page for block in left_out) for page in pages()}
    assert {page: number for page, number in count.items() if number} == NOT_RUN


NOT_RUN = {
    "CONTRIBUTING.md": 1,
    "README.md": 3,
    "docs/airflow.md": 1,
    "docs/how-to/from-ml-cellar.md": 1,
    "docs/how-to/kubernetes.md": 3,
    "docs/how-to/s3.md": 1,
    "docs/prefect.md": 1,
    "docs/start-airflow.md": 1,
    "docs/start-prefect.md": 2,
}
"""By page, how many blocks no test runs: they install, build an image, or need a cluster or a fixed port."""


def test_a_file_of_a_page_is_used() -> None:
    """A block that is put into a file is run or imported by another one of its page, or by the page's test."""
    for page in pages():
        all_of_it = blocks(page)
        for block in all_of_it:
            if block.name and block.language == "python":
                stem = Path(block.name).stem
                used = any(stem in other.text.replace(f"# {block.name}", "") for other in all_of_it)
                assert used or block.run_in != "core", f"{block}: nothing runs {block.name}"


def test_each_error_is_in_the_table() -> None:
    """The table of errors has each class of the core, and no other; what it says of trying again is what it is."""
    import cellar_core.cellar
    import cellar_core.cli.files
    import cellar_core.doctor
    import cellar_core.document
    import cellar_core.store.readonly  # noqa: F401 - each brings its errors
    from cellar_core.errors import CellarError

    def below(kind: type[CellarError]) -> set[type[CellarError]]:
        return {kind}.union(*map(below, kind.__subclasses__())) if kind.__subclasses__() else {kind}

    known = {
        kind.__name__: kind.retryable
        for kind in below(CellarError)
        if kind.__module__.startswith("cellar_core") and not kind.__name__.startswith("_")
    }
    for internal in ("CellarError", "BadUsage"):
        known.pop(internal, None)
    said: dict[str, bool] = {}
    for line in (ROOT / "docs/operations.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[1] in ("yes", "no"):
            said |= {name.strip(" `"): cells[1] == "yes" for name in cells[0].split(",")}
    assert said == known


def test_tools_are_here() -> None:
    """What the pages use beside our own commands."""
    assert all(map(shutil.which, shlex.split("bash git jq")))
