"""Rebuild every project of a rack when its base is bumped, by whatever tool.

The first task plans: it computes from the registry which projects are behind. One mapped task for each of them
trains, from scratch and from the new base; the last one reports, and the run ends red if a project failed.
"""

from __future__ import annotations

import json
from datetime import timedelta

from airflow.sdk import dag

from cellar_airflow import base_bumped, rebuild_projects
from cellar_core import RetrainJob


def train(job: RetrainJob) -> None:
    """Stands for your training: reads `base_dir`, writes `output_dir`, and is told the rest by the recipe."""
    weights = (job.base_dir / "weights.txt").read_text()
    epochs = job.recipe.parameters.get("epochs", 3)
    for epoch in range(epochs):
        weights += f"; {job.model.project}, epoch {epoch + 1}"
        job.progress((epoch + 1) / epochs, loss=1 / (epoch + 1))
    (job.output_dir / "weights.txt").write_text(weights)
    (job.output_dir / "result.json").write_text(json.dumps({"accuracy": 0.9}))


@dag(schedule=base_bumped("vit/vit-l"))
def retrain_on_base_bump() -> None:
    """The options after `train` are for the training tasks: two more tries, and no more than two at once."""
    rebuild_projects(
        "vit/vit-l",
        train=train,
        retries=2,
        retry_delay=timedelta(minutes=5),
        max_active_tis_per_dag=2,
    )


retrain_on_base_bump()
