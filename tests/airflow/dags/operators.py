"""One DAG for each thing that an operator promises; `test_operators.py` runs them on a real Airflow."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk import Param, dag, task

from cellar_airflow import AliasNotifier, RegisterModel, ResolveModel, RetrainFromBase, base_bumped

# Started by the command below, so that there is a process group to end, and not just a process.
FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
print("child is", child.pid, flush=True)
time.sleep(600)
"""

BY_COMMAND = """
import os, pathlib, sys
print('{{ dag.dag_id }} trains', os.environ['CELLAR_MODEL'])
print('and warns', file=sys.stderr)
open(os.environ['CELLAR_PROGRESS'], 'a').write('{"progress": 0.5, "loss": 0.25}\\n')
pathlib.Path('{output_dir}', 'weights.txt').write_text('by command')
"""


def write(directory: Path, weights: str) -> None:
    (directory / "weights.txt").write_text(weights)
    (directory / "result.json").write_text(json.dumps({"accuracy": len(weights) / 100}))


@dag(schedule=None, params={"path": Param("", type="string"), "rack": "ops/known", "bump": "major"})
def register_bases():
    RegisterModel(task_id="known", rack="ops/known", path="{{ params.path }}", bump="{{ params.bump }}")
    RegisterModel(task_id="templated", rack="{{ params.rack }}", path="{{ params.path }}", bump="minor")


@dag(schedule=base_bumped("ops/known"))
def told_of_known():
    @task
    def look(triggering_asset_events):
        (events,) = triggering_asset_events.values()
        return [event.extra for event in events]

    look()


@dag(schedule=base_bumped("ops/templated"))
def told_of_templated():
    @task
    def look(triggering_asset_events):
        (events,) = triggering_asset_events.values()
        return [event.extra for event in events]

    look()


@dag(schedule=None, params={"path": Param("", type="string")})
def chain_of_verbs():
    base = RegisterModel(task_id="base", rack="ops/chain", path="{{ params.path }}", bump="minor")
    ref = "{{ ti.xcom_pull('base')['ref'] }}"
    project = RegisterModel(
        task_id="project",
        model="ops/chain/projectA",
        base=ref,
        path="{{ params.path }}",
        recipe={"seed": 7},
        notes="by {{ dag.dag_id }}",
    )
    by_command = RetrainFromBase(
        task_id="by_command",
        model="ops/chain/projectA",
        train=[
            sys.executable,
            "-c",
            BY_COMMAND,
        ],
    )

    @task.retrain_from_base(model="ops/chain/projectA", recipe={"parameters": {"epochs": 3}})
    def by_function(job, epochs, *, factor=1):
        write(job.output_dir, f"{(job.base_dir / 'weights.txt').read_text()} x {epochs * factor}")
        job.progress(1.0, epochs=epochs)

    resolve = ResolveModel(task_id="resolve", selector="ops/chain/projectA@latest")
    base >> project >> by_command >> by_function(3, factor=2) >> resolve


@dag(schedule=None)
def refusals():
    """Each of these has retries that would take an hour: they must not be used."""
    patience = {"retries": 3, "retry_delay": timedelta(minutes=20)}
    ResolveModel(task_id="no_such_rack", selector="ops/nowhere/projectA", **patience)
    RetrainFromBase(task_id="of_a_base", model="ops/chain/base", train=print, **patience)


@dag(schedule=None, params={"path": Param("", type="string")})
def lineage():
    """Each verb once; `test_openlineage.py` reads what was sent of it."""
    base = RegisterModel(task_id="base", rack="ops/lineage", path="{{ params.path }}", bump="minor")
    ref = "{{ ti.xcom_pull('base')['ref'] }}"
    model = "ops/lineage/projectA"
    project = RegisterModel(task_id="project", model=model, base=ref, path="{{ params.path }}")
    command = ["cp", "{base_dir}/weights.txt", "{output_dir}/tuned.txt"]
    retrain = RetrainFromBase(task_id="retrain", model=model, train=command)
    base >> project >> retrain >> ResolveModel(task_id="resolve", selector=f"{model}@latest")


def promote(name: str) -> AliasNotifier:
    return AliasNotifier(ref="{{ params.ref }}", alias=name)


@dag(
    schedule=None,
    params={"ref": Param("", type="string"), "good": True},
    on_success_callback=promote("released"),
)
def promoting():
    @task(on_success_callback=promote("production"))
    def integration_tests(params):
        if not params["good"]:
            raise RuntimeError("the application does not start")

    integration_tests()


@dag(schedule=None, params={"pid_file": Param("", type="string")})
def long_training():
    RetrainFromBase(
        task_id="train",
        model="ops/kill/projectA",
        train=[sys.executable, "-c", FAMILY, "{{ params.pid_file }}"],
    )


@dag(schedule=None, params={"pid_file": Param("", type="string")})
def too_long_training():
    RetrainFromBase(
        task_id="train",
        model="ops/kill/projectA",
        train=[sys.executable, "-c", FAMILY, "{{ params.pid_file }}"],
        execution_timeout=timedelta(seconds=6),
    )


register_bases()
told_of_known()
told_of_templated()
chain_of_verbs()
refusals()
lineage()
promoting()
long_training()
too_long_training()
