"""What an import loads, by the names of the modules: each runs in a fresh interpreter, and asks for every name."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

CLOUD_SDKS = {
    "s3fs",
    "gcsfs",
    "adlfs",
    "aiobotocore",
    "boto3",
    "botocore",
    "azure",
    "google.cloud",
    "google.auth",
}
WEB = {"fastapi", "starlette", "uvicorn"}
COMMAND_LINE = {"click", "rich", "typer"}
ORCHESTRATORS = {"airflow", "prefect"}
TRAINING = {"numpy", "safetensors", "sklearn", "torch"}


def modules(*statements: str) -> set[str]:
    """Everything that is loaded after `statements`, a package for each of its modules too."""
    program = "; ".join([*statements, "import sys", "print('modules:', *sys.modules)"])
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return set(run.stdout.rpartition("modules:")[2].split())


def test_core_loads_no_orchestrator_no_cloud_sdk_and_no_command_line_library() -> None:
    unwanted = (
        CLOUD_SDKS | WEB | COMMAND_LINE | ORCHESTRATORS | TRAINING | {"cellar_airflow", "cellar_prefect"}
    )
    assert modules("from cellar_core import *") & unwanted == set()


def test_command_line_loads_no_orchestrator_and_no_cloud_sdk() -> None:
    assert modules("import cellar_core.cli") & (CLOUD_SDKS | WEB | ORCHESTRATORS | TRAINING) == set()


@pytest.mark.parametrize("orchestrator", [name for name in sorted(ORCHESTRATORS) if find_spec(name)])
def test_adapter_adds_no_web_framework_and_no_cloud_sdk_to_its_orchestrator(orchestrator: str) -> None:
    """Every process that parses a DAG imports the adapter, and so does Prefect's server when it starts."""
    user_api = {"airflow": "import airflow.sdk", "prefect": "import prefect"}[orchestrator]
    added = modules(user_api, f"from cellar_{orchestrator} import *") - modules(user_api)
    assert added & (CLOUD_SDKS | WEB | TRAINING) == set()
    assert {name.partition(".")[0] for name in added} & (ORCHESTRATORS - {orchestrator}) == set()
