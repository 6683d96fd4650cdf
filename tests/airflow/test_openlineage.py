"""What OpenLineage's own provider sends of a run, with its file transport."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.airflow.conftest import World


def models(world: World, datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and version of each dataset, all of which are models of this cellar."""
    assert {dataset["namespace"] for dataset in datasets} <= {world.cellar.url}
    assert {dataset["facets"]["datasetType"]["datasetType"] for dataset in datasets} <= {"MODEL"}
    return [(dataset["name"], dataset["facets"]["version"]["datasetVersion"]) for dataset in datasets]


def test_register_resolve_and_retrain_tell_which_versions_they_read_and_wrote(world: World) -> None:
    """A version is a version of its model, and what it was made from is the base that went in."""
    state, _ = world.run("lineage", path=str(world.files("lineage")))
    assert state == "success"
    base, project = "ops/lineage/base", "ops/lineage/projectA"
    expected = {
        "lineage.base": ([], [(base, "0.1")]),
        "lineage.project": ([(base, "0.1")], [(project, "0.1.1")]),
        "lineage.retrain": ([(base, "0.1")], [(project, "0.1.2")]),
        "lineage.resolve": ([(project, "0.1.2")], []),
    }
    sent = world.directory / "lineage.jsonl"

    def completed() -> dict[str, Any] | None:
        events = [json.loads(line) for line in sent.read_text().splitlines()] if sent.exists() else []
        found = {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}
        return found if expected.keys() <= found.keys() else None

    events = world.airflow.wait_for(completed, 180, "OpenLineage's events")
    told = {name: events[name] for name in expected}
    assert {
        name: (models(world, event["inputs"]), models(world, event["outputs"]))
        for name, event in told.items()
    } == expected
    (output,) = told["lineage.base"]["outputs"]
    size = output["outputFacets"]["outputStatistics"]
    assert (size["fileCount"], size["size"]) == (1, len("lineage"))
