"""Train where Airflow's workers are not: in a pod, on a cluster, on the machine that has the GPU.

Any operator can do the training. `elsewhere_in_a_pod` gives it one command, `cellar retrain`, which fetches the base,
trains and registers; `elsewhere_in_steps` gives it the training alone, and Airflow resolves before it and registers
after it. A `BashOperator` stands for the operator here; docs/airflow.md shows the same with `KubernetesPodOperator`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Param, dag

from cellar_airflow import RegisterModel, ResolveModel

PROJECT = Param("vit/vit-l/projectA", type="string")
BASE = "{{ ti.xcom_pull('base')['ref'] }}"


@dag(schedule=None, params={"model": PROJECT})
def elsewhere_in_a_pod() -> None:
    """One command does it all; it needs the cellar's URL, and a cellar that may be written to, where it runs."""
    base = ResolveModel(task_id="base", selector="{{ params.model.rpartition('/')[0] }}/base@latest")
    retrain = BashOperator(
        task_id="retrain",
        bash_command='cellar retrain "$MODEL" --base "$BASE" -- cp {base_dir}/weights.txt {output_dir}',
        env={"MODEL": "{{ params.model }}", "BASE": BASE},
        append_env=True,
    )
    base >> retrain >> ResolveModel(task_id="result", selector="{{ params.model }}@latest")


@dag(
    schedule=None,
    params={
        "model": PROJECT,
        "shared": Param("/data/runs", type="string", description="Seen by both sides."),
    },
)
def elsewhere_in_steps() -> None:
    """The training only writes a directory; it needs no cellar that may be written to, and may not know of one."""
    output = "{{ params.shared }}/{{ run_id }}"
    base = ResolveModel(task_id="base", selector="{{ params.model.rpartition('/')[0] }}/base@latest")
    train = BashOperator(
        task_id="train",
        bash_command='cellar pull "$BASE" base && mkdir -p "$OUTPUT" && cp base/weights.txt "$OUTPUT"',
        env={"BASE": BASE, "OUTPUT": output},
        append_env=True,
    )
    register = RegisterModel(
        task_id="register", model="{{ params.model }}", base=BASE, path=output, notes="trained elsewhere"
    )
    base >> train >> register


elsewhere_in_a_pod()
elsewhere_in_steps()
