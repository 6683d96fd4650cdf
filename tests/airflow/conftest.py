"""One real Airflow for all tests of the adapter that need a run: the DAGs of `dags/`, and the examples."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cellar_core import Cellar
from example_flows.demo.airflow_server import AirflowServer
from tests.pages import write_script

# What is about another package has no place where that is not installed, as with the orchestrators themselves.
NEEDED = {
    "test_openlineage.py": ["airflow.providers.openlineage"],
    "test_pages.py": ["airflow.providers.cncf"],
    "test_storage_conn.py": ["airflow.providers.amazon", "s3fs", "moto"],
}
collect_ignore = [file for file, modules in NEEDED.items() if not all(map(find_spec, modules))]

HERE = Path(__file__).parent
SECRETS = ("hidden-endpoint", "hidden-key", "hidden-secret", "hidden-password")
"""Values in the options of the connection `cellar_secret`."""
EXAMPLES = HERE.parents[1] / "example_flows"


@dataclass(frozen=True)
class World:
    """A running Airflow, and the cellar that its default connection means."""

    airflow: AirflowServer
    cellar: Cellar
    directory: Path

    # The cellar

    def files(self, weights: str) -> Path:
        """A directory to register."""
        path = self.directory / "files" / weights.replace(" ", "-").replace("/", "-")
        path.mkdir(parents=True, exist_ok=True)
        (path / "weights.txt").write_text(weights)
        return path

    def base(self, rack: str, weights: str = "first", bump: str = "minor") -> str:
        return str(self.cellar.register_base(rack, self.files(weights), bump=bump).ref)

    def rack(self, rack: str, *projects: str) -> None:
        """A rack with a base 1.0, and a version of each project on it."""
        base = self.base(rack, bump="major")
        for project in projects:
            self.cellar.register_project(f"{rack}/{project}", self.files(f"old {project}"), base=base)

    def versions(self, rack: str) -> dict[str, list[str]]:
        """The versions of each model of a rack."""
        models = self.cellar.models(rack)
        return {model.project: [str(ref.version) for ref in self.cellar.versions(model)] for model in models}

    def switch(self, project: str, what: str) -> None:
        """Tell the trainer of `dags/rebuilds.py` what to do for a project: `fail`, `die` or `work`."""
        (self.directory / "switches" / project).write_text(what)

    # Airflow

    def start(self, dag_id: str, **conf: Any) -> str:
        """Start a run as a person would; returns its name."""
        self.airflow.wait_for_dag(dag_id)
        run_id: str = self.airflow.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})[
            "dag_run_id"
        ]
        return run_id

    def finished(
        self, dag_id: str, run_id: str, timeout: float = 120
    ) -> tuple[str, dict[str, dict[str, Any]]]:
        """Wait for the end of a run; returns its state and its tasks by name (`name[map_index]`)."""

        def state() -> str | None:
            found = self.airflow.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in {"success", "failed"} else None

        try:
            ended = self.airflow.wait_for(state, timeout, f"the end of {dag_id} {run_id}")
        except RuntimeError as error:
            for name, task in self.tasks(dag_id, run_id).items():
                error.add_note(f"{name}: {task['state']}, try {task['try_number']}")
            raise
        return ended, self.tasks(dag_id, run_id)

    def run(self, dag_id: str, **conf: Any) -> tuple[str, dict[str, dict[str, Any]]]:
        """`start` a run and wait until it is `finished`."""
        return self.finished(dag_id, self.start(dag_id, **conf))

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        return {name(task): task for task in self.airflow.tasks(dag_id, run_id)}

    def rendered(self, task: dict[str, Any]) -> dict[str, Any]:
        """The templated fields of a task as Airflow shows them."""
        path = f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        fields: dict[str, Any] = self.airflow.get(path)["rendered_fields"]
        return fields

    def xcom(self, task: dict[str, Any]) -> Any:
        """What a task returned."""
        path = f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        entry = self.airflow.get(
            f"{path}/xcomEntries/return_value", map_index=task["map_index"], stringify=False
        )
        return entry["value"]

    def log(self, task: dict[str, Any]) -> str:
        return "\n".join(self.airflow.task_log(task))


def name(task: dict[str, Any]) -> str:
    task_id: str = task["task_id"]
    return task_id if task["map_index"] < 0 else f"{task_id}[{task['map_index']}]"


def secret_connection() -> dict[str, Any]:
    """A bucket at an address where nobody listens, so that errors speak of it."""
    endpoint, key, secret, password = SECRETS
    storage = {"client_kwargs": {"endpoint_url": f"http://127.0.0.1:1/{endpoint}"}}
    secrets = {"key": key, "secret": secret, "config_kwargs": {"proxies_config": {"password": password}}}
    extra = {"storage_options": storage, "secret_storage_options": json.dumps(secrets)}
    return {"conn_type": "cellar", "host": "s3://cellars/secret", "extra": extra}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("airflow")
    (directory / "switches").mkdir()
    dags = directory / "dags"
    shutil.copytree(HERE / "dags", dags)
    shortest = write_script("dags/retune.py", directory)  # with a rack of its own
    shortest.write_text(shortest.read_text().replace("vit/vit-l", "shortest/one"))
    write_script("train.py", dags)
    for example in EXAMPLES.glob("airflow_*.py"):
        shutil.copy(example, dags)
    cellar = Cellar.init(directory / "cellar")
    env = {
        "AIRFLOW__CELLAR__POLL_INTERVAL": "1",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_CELLAR_DEFAULT": json.dumps({"conn_type": "cellar", "host": cellar.url}),
        "AIRFLOW_CONN_CELLAR_SECRET": json.dumps(secret_connection()),
        "CELLAR_URL": cellar.url,  # for what the examples do on the command line
        "CELLAR_SWITCHES": str(directory / "switches"),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(directory / "lineage.jsonl"), "append": True}
        ),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    with AirflowServer(directory / "home", dags, env=env) as airflow:
        yield World(airflow, cellar, directory)
