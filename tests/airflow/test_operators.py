"""Register, resolve and retrain, as tasks of a real Airflow."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cellar_airflow import RegisterModel, RetrainFromBase
from cellar_core.payload import TEMPORARY

if TYPE_CHECKING:
    from tests.airflow.conftest import World


def events(world: World, uri: str) -> list[dict[str, Any]]:
    return [e["extra"] for e in world.airflow.get("assets/events")["asset_events"] if e["uri"] == uri]


def test_registering_a_base_starts_the_dags_that_wait_for_it_at_once(world: World) -> None:
    """No project has to be rebuilt here, so the watcher says nothing: it is the task's own event that starts them."""
    path = str(world.files("a base"))
    state, tasks = world.run("register_bases", path=path, rack="ops/templated")
    assert state == "success"
    known = world.xcom(tasks["known"])
    assert (known["ref"], known["created"], known["record"]["bump"]) == ("ops/known/base/1.0", True, "major")
    rules = f"{world.cellar.url}/ops/known/config.toml"
    assert known["notices"] == [f"created rack ops/known; its rules and policy: {rules}"]
    assert f"{path} registered as ops/known/base/1.0" in world.log(tasks["known"])
    for rack, ref, bump in (
        ("known", "ops/known/base/1.0", "major"),
        ("templated", "ops/templated/base/0.1", "minor"),
    ):
        run = world.airflow.wait_for_run(f"told_of_{rack}", timeout=180)
        assert run["run_type"] == "asset_triggered"
        (extra,) = world.xcom(world.tasks(f"told_of_{rack}", run["dag_run_id"])["look"])
        assert extra == {"ref": ref, "digest": known["record"]["tree"], "bump": bump}


def test_an_outlet_leaves_the_watcher_where_it_is(world: World) -> None:
    """Airflow removes the watcher of an asset when a DAG names the same asset without it."""
    world.airflow.wait_for_dag("register_bases")
    (asset,) = world.airflow.get("assets", uri_pattern="ops/known/base")["assets"]
    assert [watcher["name"] for watcher in asset["watchers"]] == ["base_bumped"]
    assert [task["dag_id"] for task in asset["producing_tasks"]] == ["register_bases"]


def test_however_many_dags_watch_a_rack_one_trigger_looks(world: World) -> None:
    """Two files have a DAG with this schedule, and one of them registers it as well."""
    for dag_id in ("told_of_known", "also_told_of_known", "register_bases"):
        world.airflow.wait_for_dag(dag_id)
    triggers = """
        SELECT trigger_id FROM asset_watcher JOIN asset ON asset.id = asset_watcher.asset_id
        WHERE asset.uri LIKE '%/ops/known/base'
    """
    with closing(sqlite3.connect(f"file:{world.airflow.home / 'airflow.db'}?mode=ro", uri=True)) as database:
        assert len(database.execute(triggers).fetchall()) == 1
    log = world.airflow.log_file("triggerer")
    assert log.read_text().count("Looking at ops/known every") == 1


def test_registering_the_same_again_is_the_same_version(world: World) -> None:
    first = world.base("ops/known", "the same")
    state, tasks = world.run(
        "register_bases", path=str(world.files("the same")), rack="ops/other", bump="minor"
    )
    assert state == "success"
    known = world.xcom(tasks["known"])
    assert (known["ref"], known["created"]) == (first, False)
    assert "was registered before, and is" in world.log(tasks["known"])


def test_the_verbs_one_after_the_other(world: World) -> None:
    state, tasks = world.run("chain_of_verbs", path=str(world.files("chain")))
    assert state == "success", world.log(next(t for t in tasks.values() if t["state"] == "failed"))
    base, project = world.xcom(tasks["base"]), world.xcom(tasks["project"])
    assert (base["ref"], project["ref"]) == ("ops/chain/base/0.1", "ops/chain/projectA/0.1.1")
    assert project["record"]["recipe"] == {**project["record"]["recipe"], "seed": 7}
    assert project["record"]["notes"] == "by chain_of_verbs"

    shown = world.rendered(tasks["project"])
    assert (shown["base"], shown["recipe"]) == ("ops/chain/base/0.1", {"seed": 7})
    assert "chain_of_verbs trains" in world.rendered(tasks["by_command"])["command"][2]

    by_command = world.xcom(tasks["by_command"])
    assert by_command["record"]["parent"] == {"ref": "ops/chain/base/0.1", "tree": base["record"]["tree"]}
    log = world.log(tasks["by_command"])
    for line in (
        "chain_of_verbs trains ops/chain/projectA",
        "and warns",
        "50 % done, loss 0.25",
        "0.1.2 is registered",
    ):
        assert line in log

    by_function = world.xcom(tasks["by_function"])["record"]
    assert by_function["metrics"] == {"accuracy": len("chain x 6") / 100}
    assert by_function["recipe"]["parameters"] == {"epochs": 3}
    run = by_function["origin"]["run"]
    assert run["run"].startswith(f"{world.airflow.url}/dags/chain_of_verbs/runs/")
    assert by_function["origin"]["python"]

    assert world.xcom(tasks["resolve"]) == by_function


def test_what_a_retry_cannot_help_is_not_retried(world: World) -> None:
    state, tasks = world.run("refusals")
    assert state == "failed"
    assert {name: (task["state"], task["try_number"]) for name, task in tasks.items()} == {
        "no_such_rack": ("failed", 1),
        "of_a_base": ("failed", 1),
    }
    assert "there is no rack ops/nowhere" in world.log(tasks["no_such_rack"])


def test_an_alias_follows_what_has_succeeded(world: World) -> None:
    """One callback is a task's, which its worker runs; the other is the whole run's."""
    world.rack("ops/promote", "projectA")
    model, first = "ops/promote/projectA", "ops/promote/projectA/1.0.1"
    _, tasks = world.run("promoting", ref=first, good=True)
    assert f"{model}@production is 1.0.1 from now on" in world.log(tasks["integration_tests"])
    world.airflow.wait_for(lambda: len(world.cellar.aliases(model)) == 2, 180, "the callback of the run")
    aliases = world.cellar.aliases(model)
    assert {name: str(ref) for name, ref in aliases.items()} == {"production": first, "released": first}

    second = world.cellar.register_project(model, world.files("broken"), base="ops/promote/base/1.0").ref
    state, _ = world.run("promoting", ref=str(second), good=False)
    assert state == "failed"
    assert world.cellar.aliases(model) == aliases

    state, tasks = world.run("promoting", ref="ops/promote/projectA/7.7.7", good=True)
    assert state == "success"
    assert "there is no ops/promote/projectA/7.7.7" in world.log(tasks["integration_tests"])
    assert world.cellar.aliases(model) == aliases


@pytest.mark.parametrize("dag_id", ["long_training", "too_long_training"])
def test_the_end_of_a_task_is_the_end_of_all_that_it_started(
    world: World, tmp_path: Path, dag_id: str
) -> None:
    """A person marks it as failed, or its `execution_timeout` is over; what it had fetched and written goes too."""
    world.base("ops/kill")
    before = scratches(world)
    pid_file = tmp_path / "pid"
    run_id = world.start(dag_id, pid_file=str(pid_file))
    world.airflow.wait_for(lambda: pid_file.exists() and pid_file.read_text(), 180, "the training to begin")
    child = int(pid_file.read_text())
    assert len(scratches(world) - before) == 1
    if dag_id == "long_training":
        world.airflow.patch(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/train", {"new_state": "failed"})
    world.airflow.wait_for(lambda: not alive(child), 40, "the training's child to end")
    state, tasks = world.finished(dag_id, run_id)
    assert state == tasks["train"]["state"] == "failed"
    assert world.versions("ops/kill") == {"base": ["0.1"]}
    world.airflow.wait_for(lambda: scratches(world) <= before, 20, "its directories to go")


def scratches(world: World) -> set[Path]:
    """Where trainings take place: on the disk of the cellar."""
    return {*(world.directory / "cellar").rglob(f"{TEMPORARY}*")}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"rack": "a", "model": "a/b", "base": "a/base/1.0"},
        {"model": "a/b"},
        {"rack": "a", "base": "a/base/1.0"},
    ],
)
def test_register_wants_a_base_or_a_project_when_the_dag_is_parsed(arguments: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match="give rack and bump to register a base, or model and base for a project"
    ):
        RegisterModel(task_id="register", path="p", **arguments)


@pytest.mark.parametrize("arguments", [{}, {"model": "a/b", "rebuild": {}}])
def test_retrain_wants_a_model_or_a_rebuild_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give model, or rebuild"):
        RetrainFromBase(task_id="retrain", train=print, **arguments)
