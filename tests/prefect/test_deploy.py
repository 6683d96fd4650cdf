"""What the command understands, and what it makes; tests/e2e/test_prefect_deploy.py lets it make rebuilds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from typer.testing import CliRunner

from cellar_prefect import CellarBlock, rebuild_project
from cellar_prefect.__main__ import app
from tests.prefect.helpers import RACK


@pytest.fixture
def pool(api: str) -> str:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="gpu", type="process"), overwrite=True)
    return "gpu"


def deploy(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["deploy", *arguments])
    return done.exit_code, done.output


def deployment(name: str) -> DeploymentResponse:
    with get_client(sync_client=True) as client:
        return client.read_deployment_by_name(name)


class TestCommand:
    @pytest.mark.parametrize("arguments", [[], ["--train", "a:b", "--", "python", "train.py"]])
    def test_either_train_or_a_command(self, arguments: list[str]) -> None:
        code, output = deploy(RACK, "--work-pool", "gpu", *arguments)
        assert code == 2
        assert "give --train, or a command" in output

    def test_a_job_variable_has_a_name_and_a_value(self) -> None:
        code, output = deploy(RACK, "--work-pool", "gpu", "--train", "a:b", "-jv", "working_dir")
        assert code == 2
        assert "KEY=VALUE" in output

    def test_no_such_pool(self, api: str) -> None:
        code, output = deploy(RACK, "--work-pool", "none", "--train", "a:b")
        assert code == 1
        assert "nothing was deployed" in output

    def test_a_command_that_trains_and_the_variables_of_the_pool(self, pool: str) -> None:
        options = ["-jv", "working_dir=/srv", "-jv", 'env={"A": "b"}', "--limit", "two-gpus"]
        code, output = deploy(
            RACK, "--work-pool", pool, "--name", "words", *options, "--", "python", "train.py"
        )
        assert code == 0, output
        one, every = deployment("rebuild-project/words"), deployment("rebuild-projects/words")
        assert (one.parameters["train"], one.parameters["limit"]) == (["python", "train.py"], "two-gpus")
        assert one.job_variables == every.job_variables == {"working_dir": "/srv", "env": {"A": "b"}}
        assert every.parameters == {"rack": RACK, "deployment": "rebuild-project/words"} | where(one)
        assert every.concurrency_options
        assert every.concurrency_options.collision_strategy.value == "CANCEL_NEW"


def where(one: DeploymentResponse) -> dict[str, Any]:
    return {name: value for name, value in one.parameters.items() if name == "cellar"}


class TestWhere:
    def test_a_path_of_the_environment_is_made_absolute(
        self, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CELLAR_URL", "cellar")
        deploy(RACK, "--work-pool", pool, "--train", "a:b", "--name", "path")
        assert where(deployment("rebuild-project/path")) == {"cellar": f"file://{tmp_path}/cellar"}

    def test_a_block_goes_in_by_reference(self, pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CELLAR_URL", raising=False)
        CellarBlock(url="memory://deployed").save("deployed", overwrite=True)
        deploy(RACK, "--work-pool", pool, "--train", "a:b", "--name", "block", "--cellar", "deployed")
        found = where(deployment("rebuild-project/block"))
        assert found == {"cellar": {"$ref": {"block_document_slug": "cellar/deployed"}}}
        rebuild = {"model": f"{RACK}/a", "base": f"{RACK}/base/1.0", "current": None, "reason": "never_built"}
        more = {"sentence": "", "request": "", "attempt": 1, "recipe": {}}
        checked = rebuild_project.validate_parameters({"rebuild": rebuild | more, "train": "a:b", **found})
        assert checked["cellar"].url == "memory://deployed"

    def test_nothing_says_where(self, pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CELLAR_URL", raising=False)
        deploy(RACK, "--work-pool", pool, "--train", "a:b", "--name", "nowhere")
        assert where(deployment("rebuild-project/nowhere")) == {}
