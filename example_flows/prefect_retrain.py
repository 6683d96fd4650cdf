"""Rebuild every project when its base is bumped: serve this file beside a Prefect server.

    prefect server start
    export PREFECT_API_URL=http://127.0.0.1:4200/api CELLAR_URL=/srv/cellar
    python example_flows/prefect_retrain.py

Then register a new base, by `prefect_register.py` or by any other tool.
"""

from __future__ import annotations

import json

from cellar_core import RetrainJob
from cellar_prefect import base_bumped, rebuild_projects


def train(job: RetrainJob) -> None:
    """Tune the base for one project: read from `base_dir`, write to `output_dir`, and nowhere else."""
    weights = (job.base_dir / "weights.txt").read_text()
    for epoch in range(1, 4):
        job.progress(epoch / 3, loss=1 / epoch)
    (job.output_dir / "weights.txt").write_text(f"{weights}, tuned for {job.model.project}")
    (job.output_dir / "result.json").write_text(json.dumps({"accuracy": 0.9}))


if __name__ == "__main__":  # the process of each run imports this file again
    rebuild_projects.serve(
        parameters={"rack": "vit/vit-l", "train": "prefect_retrain:train"},
        triggers=[base_bumped("vit/vit-l")],  # at once
        interval=60,  # heals what an event missed, or another tool registered
    )
