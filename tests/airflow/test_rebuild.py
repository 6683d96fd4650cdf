"""`rebuild_projects` on a real Airflow, with trainers that fail and die."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cellar_core import RetrainJob

if TYPE_CHECKING:
    from tests.airflow.conftest import World


def stale(world: World, rack: str, *projects: str) -> None:
    """A rack whose base was bumped after each project was built."""
    world.rack(rack, *projects)
    world.base(rack, "second")


def test_one_failing_project_stops_no_other_and_the_run_ends_red(world: World) -> None:
    stale(world, "reb/mixed", "good", "bad", "deadly")
    braces = {"prompt": "{{ 1/0 }} {% no template"}  # what the registry holds is data, and never rendered
    config = world.directory / "cellar/reb/mixed/config.toml"
    config.write_text(f"[projects.good.recipe.parameters]\nprompt = {json.dumps(braces['prompt'])}\n")
    world.switch("bad", "fail")
    world.switch("deadly", "die")
    state, tasks = world.run("mixed")
    assert state == "failed"
    models = [rebuild["model"] for rebuild in world.xcom(tasks["rebuild_projects.plan"])]
    ends = {model: tasks[f"rebuild_projects.rebuild[{index}]"]["state"] for index, model in enumerate(models)}
    assert ends == {"reb/mixed/good": "success", "reb/mixed/bad": "failed", "reb/mixed/deadly": "failed"}
    shown = {task["rendered_map_index"] for task in tasks.values() if task["state"] != "skipped"}
    assert {"reb/mixed/good", "reb/mixed/bad"} <= shown
    report = world.log(tasks["rebuild_projects.report"])
    assert "reb/mixed/good: reb/mixed/good/1.1.1 was built" in report
    assert "2 of 3 rebuilds failed: reb/mixed/bad, reb/mixed/deadly" in report
    old = ["1.0.1"]
    assert world.versions("reb/mixed") == {
        "base": ["1.0", "1.1"],
        "good": [*old, "1.1.1"],
        "bad": old,
        "deadly": old,
    }

    assert world.cellar.resolve("reb/mixed/good").recipe.parameters == braces

    # A failure is remembered, a worker that died without a word is found by the next run.
    world.switch("deadly", "work")
    world.switch("bad", "work")
    state, tasks = world.run("mixed")
    assert state == "success"
    plan = world.log(tasks["rebuild_projects.plan"])
    assert "leave reb/mixed/bad (failed_before)" in plan
    assert "the data has a hole" in plan
    assert "reb/mixed/deadly: its rebuild is lost" in plan
    assert world.xcom(tasks["rebuild_projects.report"]) == ["reb/mixed/deadly/1.1.1"]

    # Somebody asks for the failed one; then nothing is left, and the run is green and skipped.
    world.cellar.ask("reb/mixed/bad", "the hole is mended")
    state, tasks = world.run("mixed")
    assert state == "success"
    assert world.xcom(tasks["rebuild_projects.report"]) == ["reb/mixed/bad/1.1.1"]
    state, tasks = world.run("mixed")
    assert state == "success"
    assert {name: task["state"] for name, task in tasks.items()} == {
        "rebuild_projects.plan": "success",
        "rebuild_projects.rebuild": "skipped",
        "rebuild_projects.report": "skipped",
    }


def test_a_dead_workers_place_is_free_again_after_the_next_bump(world: World) -> None:
    """Nobody wants that base any more, but its rebuild is still written down as going on."""
    stale(world, "reb/overtaken", "hasty")
    config = world.directory / "cellar/reb/overtaken/config.toml"
    config.write_text("[rebuild]\nmax_parallel = 1\n")
    world.switch("hasty", "die")
    state, _ = world.run("overtaken")
    assert state == "failed"
    world.base("reb/overtaken", "third")
    assert not world.cellar.plan("reb/overtaken")

    world.switch("hasty", "work")
    state, tasks = world.run("overtaken")
    assert state == "success"
    assert "reb/overtaken/hasty: its rebuild is lost" in world.log(tasks["rebuild_projects.plan"])
    assert world.xcom(tasks["rebuild_projects.report"]) == ["reb/overtaken/hasty/1.2.1"]


def test_another_run_has_the_work(world: World) -> None:
    """It took the work after the plan: the task is skipped, trains nothing, and the run is green."""
    stale(world, "reb/gated", "first", "second")
    world.airflow.post("pools", {"name": "gate", "slots": 0})
    run_id = world.start("gated")
    plan = "rebuild_projects.plan"
    world.airflow.wait_for(lambda: world.tasks("gated", run_id)[plan]["state"] == "success", 90, "the plan")
    for todo in world.cellar.plan("reb/gated").rebuilds:
        with pytest.raises(KeyboardInterrupt):
            world.cellar.rebuild(todo, interrupted, holder="another Airflow", last_try=False)
    world.airflow.patch("pools/gate", {"pool": "gate", "slots": 2, "include_deferred": False})
    state, tasks = world.finished("gated", run_id)
    assert state == "success"
    assert {task["pool"] for name, task in tasks.items() if "rebuild[" in name} == {"gate"}
    assert {name: task["state"] for name, task in tasks.items()} == {
        plan: "success",
        "rebuild_projects.rebuild[0]": "skipped",
        "rebuild_projects.rebuild[1]": "skipped",
        "rebuild_projects.report": "skipped",
    }
    assert "another Airflow has the work since" in world.log(tasks["rebuild_projects.rebuild[0]"])
    assert world.versions("reb/gated") == {"base": ["1.0", "1.1"], "first": ["1.0.1"], "second": ["1.0.1"]}


def interrupted(job: RetrainJob) -> None:
    """A training that somebody is at, as far as anybody can tell."""
    raise KeyboardInterrupt


def test_airflows_own_retry_goes_on_with_the_same_attempt(world: World) -> None:
    """Only the last try's failure is written down; and whoever clears the failed task has asked for one more."""
    stale(world, "reb/retried", "unlucky")
    world.switch("unlucky", "fail")
    run_id = world.start("retried")
    state, tasks = world.finished("retried", run_id)
    assert state == "failed"
    assert tasks["rebuild_projects.rebuild[0]"]["try_number"] == 2
    (skip,) = world.cellar.plan("reb/retried").skips
    assert (skip.reason, skip.attempt) == ("failed_before", 2)  # started, failed

    world.switch("unlucky", "work")
    clear = {"dry_run": False, "dag_run_id": run_id, "only_failed": True, "include_downstream": True}
    world.airflow.post("dags/retried/clearTaskInstances", clear)
    state, tasks = world.finished("retried", run_id)
    assert state == "success"
    assert world.xcom(tasks["rebuild_projects.report"]) == ["reb/retried/unlucky/1.1.1"]


def test_a_training_that_is_too_slow_has_failed(world: World) -> None:
    """Airflow's timeout is no Exception in Python; without care it would count as the death of a worker."""
    stale(world, "reb/slow", "sloth")
    world.switch("sloth", "sleep")
    state, _ = world.run("too_slow")
    assert state == "failed"
    (skip,) = world.cellar.plan("reb/slow").skips
    assert skip.reason == "failed_before"
    assert "execution_timeout ended the training" in skip.sentence


def test_a_run_without_a_plan_is_red(world: World) -> None:
    state, tasks = world.run("no_plan")
    assert state == "failed"
    assert "there is no rack reb/nowhere" in world.log(tasks["rebuild_projects.plan"])
    assert "There is no plan" in world.log(tasks["rebuild_projects.report"])


def test_a_broken_rule_is_a_failure_at_once(world: World) -> None:
    """It is not retried, and it is remembered although Airflow had tries left."""
    stale(world, "reb/rules", "empty")
    world.switch("empty", "write nothing")
    state, tasks = world.run("rules")
    assert state == "failed"
    assert tasks["rebuild_projects.rebuild[0]"]["try_number"] == 1
    (skip,) = world.cellar.plan("reb/rules").skips
    assert (skip.reason, skip.attempt) == ("failed_before", 2)
