"""How many rebuilds one run takes: what the rack's rules and Airflow's mapping allow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from cellar_airflow import PlanRebuilds, rebuild_projects
from cellar_airflow.trigger import Announcer
from cellar_core import Cellar

RACK = "vit/vit-l"
PROJECTS = [f"{RACK}/p{number:04}" for number in range(1100)]


@pytest.fixture
def cellar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cellar:
    """A cellar with more projects that have never been built than Airflow maps by default."""
    made = Cellar.init(tmp_path / "cellar")
    monkeypatch.setenv("AIRFLOW_CONN_CELLAR_DEFAULT", json.dumps({"conn_type": "cellar", "host": made.url}))
    files = tmp_path / "files"
    files.mkdir()
    (files / "weights.txt").write_text("weights")
    made.register_base(RACK, files, bump="minor")
    return made


def allow(cellar: Cellar, at_once: int) -> None:
    projects = "".join(f"[projects.{model.rpartition('/')[2]}]\n" for model in PROJECTS)
    config = Path(cellar.url.removeprefix("file://")) / RACK / "config.toml"
    config.write_text(f"[rebuild]\nmax_parallel = {at_once}\n{projects}")


def planned() -> list[str]:
    rebuilds: list[dict[str, Any]] = PlanRebuilds(task_id="plan", rack=RACK).execute({})
    assert json.dumps(rebuilds)
    return [rebuild["model"] for rebuild in rebuilds]


def test_no_more_than_airflow_maps(
    cellar: Cellar, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One item more, and Airflow fails the task that returns the list."""
    allow(cellar, 2000)
    assert planned() == PROJECTS[:1024]
    assert "The first 1024 of 1100 are for this run ([core] max_map_length)" in capsys.readouterr().out
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2000")
    assert planned() == PROJECTS


def test_no_more_than_the_rack_allows_and_the_rest_comes_up(cellar: Cellar) -> None:
    """The watcher says it anew when the first ones are done: then other projects are in the plan."""
    allow(cellar, 1)
    assert planned() == PROJECTS[:1]
    announcer = Announcer(interval=600)
    assert announcer.event(cellar.plan(RACK), 0)
    assert announcer.event(cellar.plan(RACK), 1) is None
    todo = cellar.plan(RACK).rebuilds[0]
    cellar.rebuild(todo, lambda job: (job.output_dir / "weights.txt").write_text("built"), holder="a run")
    event = announcer.event(cellar.plan(RACK), 2)
    assert event is not None
    assert event["rebuild"] == PROJECTS[1:2]
    assert planned() == PROJECTS[1:2]


def test_options_are_those_of_the_tasks_that_train() -> None:
    options = {
        "pool": "gpu",
        "priority_weight": 7,
        "max_active_tis_per_dagrun": 2,
        "retries": 3,
        "queue": "gpus",
    }
    with DAG("options"):
        group = rebuild_projects(RACK, train=print, **options)
    rebuild = group.children["rebuild_projects.rebuild"]
    assert {name: rebuild.partial_kwargs[name] for name in options} == options
    assert group.children["rebuild_projects.plan"].pool == "default_pool"
