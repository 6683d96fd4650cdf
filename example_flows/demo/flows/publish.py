"""Register a freshly trained base in a flow: `python publish.py MODEL_DIR RECIPE`."""

from __future__ import annotations

import json
import sys
from typing import Any

from prefect import flow

from cellar_prefect import register_model


@flow
def publish(model_dir: str, recipe: dict[str, Any]) -> None:
    """Register a minor bump; `register_model` sends the event that the automation of `retune.py` waits for."""
    register_model("digits/digits-mlp/base", model_dir, bump="minor", recipe=recipe)


if __name__ == "__main__":
    publish(sys.argv[1], json.loads(sys.argv[2]))
