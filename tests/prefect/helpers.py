"""What several of these tests need: trainings, and looking at a cellar or an API afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from cellar_core import Cellar, RetrainJob

RACK = "vit/vit-l"
Payload: TypeAlias = Callable[[str], Path]


def train(job: RetrainJob) -> None:
    """Train: what comes out tells which base and which project went in."""
    base = (job.base_dir / "weights.txt").read_text()
    (job.output_dir / "weights.txt").write_text(f"{base}, tuned for {job.model.project}")


def versions(cellar: Cellar, project: str) -> list[str]:
    """The versions of a project."""
    return [str(ref.version) for ref in cellar.versions(f"{RACK}/{project}")]
