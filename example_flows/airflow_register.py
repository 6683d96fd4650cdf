"""Register a base that somebody trained: start it by hand, with the directory and the kind of bump.

DAGs that are scheduled by `base_bumped("vit/vit-l")`, such as the one in `airflow_retrain.py`, start as soon as it is
registered. Running it again with the same directory registers nothing twice.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from cellar_airflow import RegisterModel


@dag(
    schedule=None,
    params={
        "path": Param("/data/runs/17", type="string", description="What the training wrote."),
        "bump": Param(
            "minor", enum=["minor", "major"], description="Major if applications must be changed for it."
        ),
    },
)
def register_base() -> None:
    """One task: a directory becomes the next version of the base."""
    RegisterModel(task_id="register", rack="vit/vit-l", path="{{ params.path }}", bump="{{ params.bump }}")


register_base()
