"""The whole job on Airflow's four real components: a base is bumped elsewhere, and nobody but Airflow acts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from tests.airflow.conftest import World

BUMP = """\
import sys
from cellar_core import Cellar
print(Cellar().register_base(sys.argv[1], sys.argv[2], bump="minor").ref)
"""


def bump(world: World, rack: str) -> str:
    """Bump the base from another process, which knows nothing of Airflow; returns the new base."""
    files = world.files(f"{rack} base {len(world.versions(rack)['base'])}")
    command = [sys.executable, "-c", BUMP, rack, str(files)]
    env = {**os.environ, "CELLAR_URL": world.cellar.url}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=180)
    return done.stdout.strip()


def test_a_bump_rebuilds_all_projects_and_only_airflow_acts(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    """The DAG is the one that README and DESIGN show, but for the name of the rack."""
    world.airflow.wait_for_dag("retune")
    world.rack("shortest/one", "projectA", "projectB", "projectC")
    time.sleep(3)
    assert world.airflow.runs("retune") == []  # nothing is stale, so nothing is said

    assert bump(world, "shortest/one") == "shortest/one/base/1.1"
    bumped = time.monotonic()
    run = world.airflow.wait_for_run("retune", finished=False, timeout=180)
    created = time.monotonic() - bumped
    assert (run["run_type"], run["triggered_by"], run["triggering_user_name"]) == (
        "asset_triggered",
        "asset",
        None,
    )
    state, tasks = world.finished("retune", run["dag_run_id"])
    ended = time.monotonic() - bumped
    print(f"run created {created:.1f} s after the bump, all rebuilt after {ended:.1f} s")
    record_property("reaction_seconds", created)
    assert state == "success"

    built = ["1.0.1", "1.1.1"]
    expected = {"base": ["1.0", "1.1"], "projectA": built, "projectB": built, "projectC": built}
    assert world.versions("shortest/one") == expected
    for model in world.cellar.models("shortest/one")[1:]:
        record = world.cellar.resolve(model)
        assert record.parent
        assert str(record.parent.ref) == "shortest/one/base/1.1"
        assert quote(run["dag_run_id"]) in record.origin.run["run"]
    shown = {task["rendered_map_index"] for name, task in tasks.items() if "rebuild[" in name}
    assert shown == {f"shortest/one/project{letter}" for letter in "ABC"}

    path = f"dags/retune/dagRuns/{run['dag_run_id']}/upstreamAssetEvents"
    (event,) = world.airflow.get(path)["asset_events"]
    assert event["extra"]["from_trigger"] is True
    assert event["extra"]["payload"]["rebuild"] == [f"shortest/one/project{letter}" for letter in "ABC"]
    time.sleep(3)
    assert len(world.airflow.runs("retune")) == 1


def test_what_waits_for_a_free_place_comes_up_by_itself(world: World) -> None:
    """A run takes what the rack allows at once; the watcher says the rest as soon as there is a place for it."""
    world.rack("shortest/one", "projectA", "projectB", "projectC")
    config = world.directory / "cellar/shortest/one/config.toml"
    config.write_text("[rebuild]\nmax_parallel = 1\n")
    before = len(world.airflow.runs("retune"))
    newest = bump(world, "shortest/one")
    built = f"{newest.rpartition('/')[2]}.1"

    def all_built() -> bool:
        return all(
            versions[-1] == built
            for name, versions in world.versions("shortest/one").items()
            if name != "base"
        )

    world.airflow.wait_for(all_built, 180, f"three projects to stand on {newest}")
    runs = world.airflow.runs("retune")[before:]
    assert len(runs) >= 3
    for run in runs[:3]:
        _, tasks = world.finished("retune", run["dag_run_id"])
        assert len(world.xcom(tasks["rebuild_projects.plan"])) == 1


def test_a_burst_of_bumps_ends_on_the_newest_base(world: World) -> None:
    """At most the training that was under way, one that was planned meanwhile, and one onto the newest."""
    world.rack("vit/vit-l", "projectA")
    dag_id = "retrain_on_base_bump"
    world.airflow.wait_for_dag(dag_id)
    for _ in range(5):
        newest = bump(world, "vit/vit-l").rpartition("/")[2]

    def built() -> bool:
        return world.versions("vit/vit-l")["projectA"][-1] == f"{newest}.1"

    def idle() -> bool:
        return all(run["state"] in {"success", "failed"} for run in world.airflow.runs(dag_id))

    world.airflow.wait_for(built, 180, "the newest base to be used")
    world.airflow.wait_for(idle, 180, "Airflow to be idle")
    versions = world.versions("vit/vit-l")["projectA"]
    assert versions[-1] == f"{newest}.1"
    assert len(versions) <= 1 + 3
    assert {run["state"] for run in world.airflow.runs(dag_id)} == {"success"}


def test_examples_train_elsewhere(world: World) -> None:
    """Both ways: one command that does it all, and the training alone between resolving and registering."""
    world.rack("else/where", "projectA", "projectB")
    newest = bump(world, "else/where")
    model = "else/where/projectA"
    state, tasks = world.run("elsewhere_in_a_pod", model=model)
    assert state == "success", world.log(tasks["retrain"])
    assert f"registered {model}/1.1.1, made from {newest}" in world.log(tasks["retrain"])
    assert world.xcom(tasks["result"])["ref"] == f"{model}/1.1.1"

    model = "else/where/projectB"
    (world.directory / "files/else").mkdir()
    state, tasks = world.run("elsewhere_in_steps", model=model, shared=str(world.directory / "files/else"))
    assert state == "success", world.log(tasks["train"])
    registered = world.xcom(tasks["register"])
    assert (registered["ref"], registered["created"]) == (f"{model}/1.1.1", True)
    assert registered["record"]["parent"]["ref"] == newest
    assert registered["record"]["notes"] == "trained elsewhere"


@pytest.mark.parametrize("project", ["projectA", "projectB"])
def test_examples_register_retrain_and_resolve(world: World, project: str) -> None:
    """Each example file is copied as it is, and does what it says."""
    if "vit/vit-l" not in map(str, world.cellar.racks()):
        world.rack("vit/vit-l", "projectA")
    if project not in world.versions("vit/vit-l"):
        base = world.cellar.resolve("vit/vit-l/base").ref
        world.cellar.register_project(f"vit/vit-l/{project}", world.files(f"old {project}"), base=base)
    state, tasks = world.run(
        "register_base", path=str(world.files(f"from the example {project}")), bump="minor"
    )
    assert state == "success"
    base = world.xcom(tasks["register"])["ref"]
    wanted = f"{base.rpartition('/')[2]}.1"
    world.airflow.wait_for(
        lambda: wanted in world.versions("vit/vit-l")[project], 120, "the example to rebuild"
    )
    state, tasks = world.run("deploy", model=f"vit/vit-l/{project}")
    assert state == "success", world.log(tasks["fetch"])
    assert "weights.txt" in world.log(tasks["fetch"])
