"""What several of these tests need: trainings, and looking at a cellar or an API afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact

from cellar_core import Cellar, RetrainJob
from cellar_prefect import missing_heartbeat

RACK = "vit/vit-l"
Payload: TypeAlias = Callable[[str], Path]


def pause_heartbeats(client: SyncPrefectClient) -> None:
    """Have `missing_heartbeat` there, but paused: what nobody waits for must not make every other test wait.

    A server on SQLite answers nothing for a minute now and then while it counts the events of runs (docs/prefect.md).
    """
    automation = missing_heartbeat()
    automation.enabled = False
    client.create_automation(automation)


def train(job: RetrainJob) -> None:
    """Train: what comes out tells which base and which project went in."""
    base = (job.base_dir / "weights.txt").read_text()
    (job.output_dir / "weights.txt").write_text(f"{base}, tuned for {job.model.project}")


def versions(cellar: Cellar, project: str) -> list[str]:
    """The versions of a project."""
    return [str(ref.version) for ref in cellar.versions(f"{RACK}/{project}")]


def events_about(cellar: Cellar, version: str) -> list[dict[str, Any]]:
    """What the server has stored about a version."""
    return [
        one for one in events_of(f"cellar.version.{version}") if one["resource"]["cellar.id"] == cellar.id
    ]


def events_of(resource: str) -> list[dict[str, Any]]:
    """The events whose own resource this is, as the server has stored them."""
    wanted = {"filter": {"resource": {"id": [resource]}}}
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client.request("POST", "/events/filter", json=wanted).json()["events"]
    return found


def artifacts(key: str) -> list[Artifact]:
    """The history of an artifact, oldest first."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        return sorted(client.read_artifacts(artifact_filter=wanted), key=lambda one: str(one.created))
