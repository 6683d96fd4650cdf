"""`rebuild_projects` with trainers that fail, die and are late; `test_rebuild.py` runs them on a real Airflow."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

from cellar_airflow import base_bumped, rebuild_projects

SWITCHES = Path(os.environ.get("CELLAR_SWITCHES", "/nowhere"))
"""A directory in which a test puts files to tell a trainer what to do."""


def train(job):
    switch = SWITCHES / job.model.project
    if switch.exists() and switch.read_text() == "fail":
        raise RuntimeError("the data has a hole")
    if switch.exists() and switch.read_text() == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if switch.exists() and switch.read_text() == "sleep":
        time.sleep(60)
    if switch.exists() and switch.read_text() == "write nothing":
        return
    (job.output_dir / "weights.txt").write_text(f"{job.model} from {job.base}")


@dag(schedule=None)
def mixed():
    rebuild_projects("reb/mixed", train=train)


@dag(schedule=None)
def overtaken():
    rebuild_projects("reb/overtaken", train=train)


@dag(schedule=None)
def gated():
    rebuild_projects("reb/gated", train=train, pool="gate")


@dag(schedule=None)
def retried():
    rebuild_projects("reb/retried", train=train, retries=1, retry_delay=timedelta(seconds=1))


@dag(schedule=None)
def rules():
    rebuild_projects("reb/rules", train=train, retries=3, retry_delay=timedelta(minutes=20))


@dag(schedule=None)
def too_slow():
    rebuild_projects("reb/slow", train=train, execution_timeout=timedelta(seconds=3))


@dag(schedule=None)
def no_plan():
    rebuild_projects("reb/nowhere", train=train)


@dag(schedule=base_bumped("ops/known"))
def also_told_of_known():
    """Another file than the other DAGs that wait for this base."""

    @task
    def nothing():
        pass

    nothing()


also_told_of_known()
gated()
mixed()
overtaken()
retried()
rules()
too_slow()
no_plan()
