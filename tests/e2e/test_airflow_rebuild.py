"""The whole job on Airflow's four real components: a base is bumped elsewhere, and nobody but Airflow acts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cellar_core import Cellar
from example_flows.demo.airflow_server import AirflowServer

EXAMPLES = Path(__file__).parents[2] / "example_flows"

DESIGN = """\
from airflow.sdk import dag
from cellar_airflow import base_bumped, rebuild_projects
from train import train

@dag(schedule=base_bumped("shortest/one"))
def retune():
    rebuild_projects("shortest/one", train=train)

retune()
"""
TRAIN = """\
def train(job):
    text = (job.base_dir / "weights.txt").read_text()
    (job.output_dir / "weights.txt").write_text(text + " tuned for " + job.model.project)
"""
BUMP = """\
import sys
from cellar_core import Cellar
print(Cellar().register_base(sys.argv[1], sys.argv[2], bump="minor").ref)
"""


@dataclass(frozen=True)
class Place:
    airflow: AirflowServer
    cellar: Cellar
    directory: Path

    def files(self, weights: str) -> Path:
        path = self.directory / "files" / weights.replace("/", "-")
        path.mkdir(parents=True, exist_ok=True)
        (path / "weights.txt").write_text(weights)
        return path

    def rack(self, rack: str, *projects: str) -> None:
        """A rack with a base 1.0, and a version of each project on it."""
        base = self.cellar.register_base(rack, self.files(f"{rack} base"), bump="major").ref
        for project in projects:
            self.cellar.register_project(f"{rack}/{project}", self.files(f"{rack} {project}"), base=base)

    def bump(self, rack: str) -> str:
        """Bump the base from another process, which knows nothing of Airflow; returns the new base."""
        count = len(self.cellar.versions(f"{rack}/base"))
        files = self.files(f"{rack} base {count}")
        env = {**os.environ, "CELLAR_URL": self.cellar.url}
        command = [sys.executable, "-c", BUMP, rack, str(files)]
        return subprocess.run(
            command, env=env, capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    def versions(self, rack: str) -> dict[str, list[str]]:
        return {
            model.project: [str(ref.version) for ref in self.cellar.versions(model)]
            for model in self.cellar.models(rack)
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("e2e")
    dags = directory / "dags"
    dags.mkdir()
    (dags / "retune.py").write_text(DESIGN)
    (dags / "train.py").write_text(TRAIN)
    for example in EXAMPLES.glob("airflow_*.py"):
        shutil.copy(example, dags)
    cellar = Cellar.init(directory / "cellar")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # where `cellar` is
    env = {"CELLAR_URL": cellar.url, "AIRFLOW__CELLAR__POLL_INTERVAL": "1", "PATH": path}
    with AirflowServer(directory / "home", dags, env=env) as airflow:
        yield Place(airflow, cellar, directory)


def test_a_bump_rebuilds_all_projects_and_only_airflow_acts(
    place: Place, record_property: pytest.RecordProperty
) -> None:
    place.airflow.wait_for_dag("retune")
    place.rack("shortest/one", "projectA", "projectB", "projectC")
    time.sleep(3)
    assert place.airflow.runs("retune") == []  # nothing is stale, so nothing is said

    started = time.monotonic()
    assert place.bump("shortest/one") == "shortest/one/base/1.1"
    bumped = time.monotonic()
    run = place.airflow.wait_for_run("retune", finished=False, timeout=60)
    created = time.monotonic()
    assert (run["run_type"], run["triggered_by"], run["triggering_user_name"]) == (
        "asset_triggered",
        "asset",
        None,
    )
    run = place.airflow.wait_for_run("retune", timeout=120)
    ended = time.monotonic()
    print(
        f"bump {bumped - started:.1f} s, run after {created - bumped:.1f} s, all rebuilt after {ended - bumped:.1f} s"
    )
    record_property("reaction_seconds", created - bumped)
    assert run["state"] == "success"

    assert place.versions("shortest/one") == {
        "base": ["1.0", "1.1"],
        "projectA": ["1.0.1", "1.1.1"],
        "projectB": ["1.0.1", "1.1.1"],
        "projectC": ["1.0.1", "1.1.1"],
    }
    for project in "ABC":
        record = place.cellar.resolve(f"shortest/one/project{project}")
        assert str(record.parent and record.parent.ref) == "shortest/one/base/1.1"
        assert run["dag_run_id"].replace(":", "%3A").replace("+", "%2B") in record.origin.run["task"]
    (event,) = place.airflow.get(f"dags/retune/dagRuns/{run['dag_run_id']}/upstreamAssetEvents")[
        "asset_events"
    ]
    assert event["extra"]["from_trigger"] is True
    assert event["extra"]["payload"]["rebuild"] == [f"shortest/one/project{letter}" for letter in "ABC"]
    time.sleep(3)
    assert len(place.airflow.runs("retune")) == 1


def test_a_burst_of_bumps_ends_on_the_newest_base_exactly_once(place: Place) -> None:
    """At most the training that was under way and one onto the newest."""
    place.rack("vit/vit-l", "projectA")
    place.airflow.wait_for_dag("retrain_on_base_bump")
    for _ in range(5):
        place.bump("vit/vit-l")
    place.airflow.wait_for(
        lambda: "1.5.1" in place.versions("vit/vit-l")["projectA"], 120, "the newest base to be used"
    )

    def idle() -> bool:
        return all(
            run["state"] in {"success", "failed"} for run in place.airflow.runs("retrain_on_base_bump")
        )

    place.airflow.wait_for(idle, 60, "Airflow to be idle")
    built = place.versions("vit/vit-l")["projectA"]
    assert built[-1] == "1.5.1"
    assert len(built) <= 3
    assert {run["state"] for run in place.airflow.runs("retrain_on_base_bump")} == {"success"}


def test_examples_register_and_resolve(place: Place) -> None:
    """After the ones above: the example that rebuilds has something to rebuild, and `deploy` something to deploy."""

    def run(dag_id: str, **conf: str) -> dict[str, dict[str, object]]:
        place.airflow.wait_for_dag(dag_id)
        before = len(place.airflow.runs(dag_id))
        place.airflow.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        ended = place.airflow.wait_for_run(dag_id, after=before)
        tasks = {task["task_id"]: task for task in place.airflow.tasks(dag_id, ended["dag_run_id"])}
        logs = "\n".join(line for task in tasks.values() for line in place.airflow.task_log(task))
        assert ended["state"] == "success", logs
        return tasks

    newest = place.versions("vit/vit-l")["base"][-1]
    minor = int(newest.partition(".")[2]) + 1
    run("register_base", path=str(place.files("from the example")), bump="minor")
    assert place.versions("vit/vit-l")["base"][-1] == f"1.{minor}"
    wanted = f"1.{minor}.1"
    place.airflow.wait_for(
        lambda: wanted in place.versions("vit/vit-l")["projectA"], 120, "the example to rebuild"
    )

    tasks = run("deploy", model="vit/vit-l/projectA")
    assert "weights.txt" in "\n".join(place.airflow.task_log(tasks["fetch"]))
