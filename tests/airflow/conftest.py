"""One real Airflow for all tests of the adapter that need a run, with the DAGs of `dags/`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cellar_core import Cellar
from example_flows.demo.airflow_server import AirflowServer

DAGS = Path(__file__).parent / "dags"


@dataclass(frozen=True)
class World:
    """A running Airflow, and the cellar that its default connection means."""

    airflow: AirflowServer
    cellar: Cellar
    directory: Path

    def files(self, weights: str) -> Path:
        """A directory to register."""
        path = self.directory / "files" / weights.replace(" ", "-")
        path.mkdir(parents=True, exist_ok=True)
        (path / "weights.txt").write_text(weights)
        return path

    def base(self, rack: str, weights: str = "first", bump: str = "minor") -> str:
        return str(self.cellar.register_base(rack, self.files(weights), bump=bump).ref)

    def project(self, model: str, base: str, weights: str = "tuned") -> str:
        return str(self.cellar.register_project(model, self.files(weights), base=base).ref)

    def switch(self, project: str, what: str) -> None:
        """Tell the trainer of `dags/rebuilds.py` what to do for a project."""
        (self.directory / "switches" / project).write_text(what)

    def run(self, dag_id: str, timeout: float = 120, **conf: Any) -> tuple[str, dict[str, dict[str, Any]]]:
        """Start a run as a person would; returns its final state and its tasks by name (`name[map_index]`)."""
        self.airflow.wait_for_dag(dag_id)
        run = self.airflow.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return self.finished(dag_id, run["dag_run_id"], timeout)

    def finished(
        self, dag_id: str, run_id: str, timeout: float = 120
    ) -> tuple[str, dict[str, dict[str, Any]]]:
        """Wait for the end of a run."""

        def state() -> str | None:
            found = self.airflow.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in {"success", "failed"} else None

        ended = self.airflow.wait_for(state, timeout, f"the end of {dag_id} {run_id}")
        return ended, self.tasks(dag_id, run_id)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        return {name(task): task for task in self.airflow.tasks(dag_id, run_id)}

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


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("airflow")
    (directory / "switches").mkdir()
    cellar = Cellar.init(directory / "cellar")
    env = {
        # A watcher looks once, when it starts: whatever happens later was caused by something else.
        "AIRFLOW__CELLAR__POLL_INTERVAL": "3600",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_CELLAR_DEFAULT": json.dumps({"conn_type": "cellar", "host": cellar.url}),
        "CELLAR_SWITCHES": str(directory / "switches"),
    }
    with AirflowServer(directory / "home", DAGS, env=env) as airflow:
        yield World(airflow, cellar, directory)
