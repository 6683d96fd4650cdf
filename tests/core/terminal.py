"""A terminal to type commands of ``cellar`` at, and what trains when they are given."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from cellar_core.cli import app

RACK = "vit/vit-l"
A, B = f"{RACK}/projectA", f"{RACK}/projectB"
TRAINERS = """
import json, sys

def good(job):
    print("training", job.model.project)
    job.progress(1, loss=0.25)
    (job.output_dir / "model.bin").write_text(f"{job.model} {job.base} {job.recipe.facts()}")
    (job.output_dir / "result.json").write_text(json.dumps({"accuracy": 0.5 + 0.1 * job.base.version.minor}))

def a_fails(job):
    if job.model.project == "projectA":
        raise ValueError("no data for [red]A[/red]")
    good(job)

def leaves(job):
    sys.exit(0)
"""


class Terminal:
    """Types commands, and checks their exit codes."""

    def __init__(self) -> None:
        self.err = ""

    def __call__(self, *words: object, code: int = 0) -> str:
        """What the command prints; its errors are in ``err``."""
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.err = result.stderr
        assert result.exit_code == code, result.output
        return result.stdout

    def json(self, *words: object, code: int = 0) -> Any:
        """What it prints with ``--json``."""
        return json.loads(self(*words, "--json", code=code))
