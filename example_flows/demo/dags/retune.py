"""The demo on Airflow: whenever the base is bumped, rebuild every project from it."""

from __future__ import annotations

from airflow.sdk import dag

from cellar_airflow import base_bumped, rebuild_projects


@dag(schedule=base_bumped("digits/digits-mlp"))
def retune() -> None:
    """Nobody starts this DAG: its asset's watcher sees that there is something to rebuild."""
    rebuild_projects("digits/digits-mlp", train="example_flows.demo.digits:train")


retune()
