"""A registry of MLflow's, with a base and two projects, as somebody may have it who moves to a cellar."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MAKE = """
from pathlib import Path
from mlflow import MlflowClient
import mlflow

client = MlflowClient()
mlflow.set_experiment("fine-tuning")

def version(name, weights, accuracy, epochs, **tags):
    with mlflow.start_run() as run:
        Path("model").mkdir(exist_ok=True)
        Path("model/weights.txt").write_text(weights)
        mlflow.log_artifacts("model", "model")
        mlflow.log_metric("accuracy", accuracy)
        mlflow.log_param("epochs", epochs)
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id, tags=tags)

for name in ("vit-l", "vit-l-factory", "vit-l-clinic"):
    client.create_registered_model(name)
version("vit-l", "first base", 0.7, 10)
version("vit-l", "second base", 0.8, 20)
version("vit-l-factory", "factory 1", 0.91, 1, base_version="1")
version("vit-l-factory", "factory 2", 0.92, 2, base_version="2")
version("vit-l-clinic", "clinic 1", 0.93, 1, base_version="1")
client.set_registered_model_alias("vit-l-factory", "champion", "2")
"""


def make_registry(directory: Path) -> str:
    """Make it in *directory*; returns its tracking URI."""
    directory.mkdir()
    uri = f"sqlite:///{directory}/mlflow.db"
    env = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    subprocess.run([sys.executable, "-c", MAKE], cwd=directory, env=env, check=True, timeout=120)
    return uri
