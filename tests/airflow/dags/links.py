"""One task for each kind of place that a task's link leads to; `test_page.py` runs them on a real Airflow."""

from __future__ import annotations

from airflow.sdk import Param, dag

from cellar_airflow import PlanRebuilds, RegisterModel, ResolveModel, RetrainFromBase

RACK = "links/one"


def train(job):
    (job.output_dir / "weights.txt").write_text(f"{job.model} on {job.base}")


@dag(
    schedule=None,
    params={"old": Param("", type="string"), "new": Param("", type="string"), "conn_id": "cellar_default"},
)
def links():
    old = RegisterModel(task_id="old", rack=RACK, path="{{ params.old }}", bump="major")
    project = RegisterModel(
        task_id="project", model=f"{RACK}/projectA", path="{{ params.old }}", base=f"{RACK}/base/1.0"
    )
    new = RegisterModel(task_id="new", rack=RACK, path="{{ params.new }}", bump="minor")
    plan = PlanRebuilds(task_id="plan", rack=RACK)
    rebuild = RetrainFromBase.partial(task_id="rebuild", train=train).expand(rebuild=plan.output)
    found = ResolveModel(task_id="found", selector=f"{RACK}/projectA@latest", conn_id="{{ params.conn_id }}")
    old >> project >> new >> plan >> rebuild >> found
    found >> ResolveModel(task_id="nothing", selector=f"{RACK}/projectB@latest")


links()
