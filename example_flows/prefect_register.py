"""Train, then register what came out: a base, and a project's model that was tuned from it.

    cellar init /srv/cellar
    CELLAR_URL=/srv/cellar python example_flows/prefect_register.py

With PREFECT_API_URL set, Prefect is told of each new version, and `prefect_retrain.py` reacts to a new base.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow, task

from cellar_core import Bump, Registered
from cellar_prefect import register_model


@task
def train_base(directory: Path, epochs: int) -> Path:
    """Stands for a training: writes weights, and the metrics that the record of the version will have."""
    (directory / "weights.txt").write_text(f"weights after {epochs} epochs")
    (directory / "result.json").write_text(json.dumps({"accuracy": 1 - 1 / epochs}))
    return directory


@flow
def publish_base(rack: str = "vit/vit-l", bump: Bump = Bump.MINOR, epochs: int = 10) -> Registered:
    """Register the next base: 1.2 becomes 1.3, or 2.0 if its application has to be changed for it."""
    with TemporaryDirectory() as directory:
        trained = train_base(Path(directory), epochs)
        # Retries are safe: the same files from the same recipe are the same version, however often they come.
        patient = register_model.with_options(retries=3, retry_delay_seconds=10)
        return patient(f"{rack}/base", trained, bump=bump, recipe={"parameters": {"epochs": epochs}})


@flow
def publish_project(model: str, base: str) -> Registered:
    """Register a project's model that was tuned elsewhere; from now on each new base rebuilds it."""
    with TemporaryDirectory() as directory:
        tuned = train_base(Path(directory), epochs=3)
        return register_model(model, tuned, base=base, notes="tuned by hand")


if __name__ == "__main__":
    published = publish_base()
    publish_project("vit/vit-l/projectA", base=str(published.ref))
