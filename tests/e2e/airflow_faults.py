"""The long form of test_airflow_faults.py: whatever is lost, each project ends on the newest base exactly once.

Everything happens on three Airflows: on SQLite; on PostgreSQL with two schedulers; and on both with Celery and two
workers.
That takes many minutes, and what `airflow_deployments.py` names, so the normal suite leaves it out:

    make test-airflow-e2e
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from example_flows.demo.airflow_server import COMPONENTS, AirflowServer
from tests.e2e.airflow_deployments import DEPLOYMENTS, Deployment
from tests.e2e.airflow_rack import (
    ONCE,
    RackOnAirflow,
    airflow,
    component_of,
    kill_with_all_that_it_runs,
    make_racks,
)
from tests.e2e.test_airflow_faults import (
    test_a_bump_in_another_process,
    test_a_burst_of_five_bumps,
    test_a_worker_and_its_training_are_killed_in_the_middle,
)

__all__ = [
    "test_a_bump_in_another_process",
    "test_a_burst_of_five_bumps",
    "test_a_worker_and_its_training_are_killed_in_the_middle",
]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=DEPLOYMENTS)
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    with DEPLOYMENTS[request.param]() as deployment:
        yield deployment


@pytest.fixture(scope="module")
def directory(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def racks(directory: Path) -> dict[str, RackOnAirflow]:
    return make_racks(
        directory, "bumped", "killed", "burst", "unwatched", "paused", "failing", "orphaned", "celery"
    )


@pytest.fixture(scope="module")
def server(
    deployment: Deployment, directory: Path, racks: dict[str, RackOnAirflow]
) -> Iterator[AirflowServer]:
    with patch.dict(COMPONENTS, deployment.components), airflow(directory, **deployment.settings) as running:
        running.wait_for_dag("faults-celery")
        yield running


def test_the_triggerer_is_killed_between_the_bump_and_its_event(
    server: AirflowServer, racks: dict[str, RackOnAirflow]
) -> None:
    rack = racks["unwatched"]
    os.killpg(server.processes["triggerer"].pid, signal.SIGSTOP)  # so that the bump is before any event
    rack.bump("base two")
    server.kill("triggerer")
    assert server.runs(rack.dag_id) == []
    server.spawn("triggerer")
    rack.wait(server)
    assert rack.trainings() == {"1.1": ONCE}


def test_the_dag_is_paused_around_the_bump(server: AirflowServer, racks: dict[str, RackOnAirflow]) -> None:
    """Airflow drops what the watcher may still say of it; after the pause a new one looks."""
    rack = racks["paused"]
    server.patch(f"dags/{rack.dag_id}", {"is_paused": True})
    rack.bump("base two")
    time.sleep(15)
    assert server.runs(rack.dag_id) == []
    server.patch(f"dags/{rack.dag_id}", {"is_paused": False})
    rack.wait(server)
    assert rack.trainings() == {"1.1": ONCE}


def test_a_trainer_fails_twice_and_then_works(server: AirflowServer, racks: dict[str, RackOnAirflow]) -> None:
    """Airflow's own retries; they stay inside one attempt."""
    rack = racks["failing"]
    (rack.directory / "fails-projectB").touch()
    rack.bump("base two")
    rack.wait(server)
    assert rack.trainings() == {"1.1": {"projectA": 1, "projectB": 3}}
    assert rack.attempts("projectB", "1.1") == ["started"]


def test_a_scheduler_is_killed_while_it_trains(
    server: AirflowServer, racks: dict[str, RackOnAirflow]
) -> None:
    """With the LocalExecutor its tasks lose their supervisor, but may live on, and finish beside their successors.

    With Celery they are not the scheduler's, and nothing is trained twice.
    """
    rack = racks["orphaned"]
    rack.hold()
    rack.bump("base two")
    rack.wait_for_trainings(server, "1.1")
    server.kill("scheduler")
    server.spawn("scheduler")
    rack.release()
    rack.wait(server)
    most = 1 if server.env["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor" else 2
    assert set(rack.trainings()) == {"1.1"}
    assert max(rack.trainings()["1.1"].values()) <= most


@pytest.mark.parametrize("deployment", ["celery"], indirect=True)
def test_a_celery_worker_is_lost_with_all_that_it_runs(
    server: AirflowServer, racks: dict[str, RackOnAirflow]
) -> None:
    """The other one takes its work."""
    rack = racks["celery"]
    rack.hold()
    rack.bump("base two")
    began = rack.wait_for_trainings(server, "1.1")
    workers = {one.name.partition("@")[0]: component_of(server, one) for one in began}
    lost = workers["projectA"]
    assert lost.startswith("worker-")
    kill_with_all_that_it_runs(server, lost)
    rack.release()
    rack.wait(server)
    assert rack.trainings() == {
        "1.1": {project: 2 if worker == lost else 1 for project, worker in workers.items()}
    }
    server.spawn(lost)
