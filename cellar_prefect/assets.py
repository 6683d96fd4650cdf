"""A model as one of Prefect's assets, `cellar://{cellar's id}/{model}`: what is made from it downstream names it."""

from __future__ import annotations

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect.assets import Asset, AssetProperties
from prefect.context import AssetContext
from prefect.events import Event

from cellar_core import Cellar, Model, Record

LONGEST = 100_000
"""Prefect's server drops an event of more than 1.5 MB, and says all the same that it took it."""


def model_asset(cellar: Cellar, model: Model) -> Asset:
    """The asset that a model is; its key holds the cellar's id, so it is the same from wherever it is reached."""
    properties = AssetProperties(name=str(model), url=f"{cellar.url}/{model}")
    return Asset(key=f"cellar://{cellar.id}/{model}", properties=properties)


def refer(cellar: Cellar, model: Model) -> None:
    """Let whatever asset is made downstream from the result of this task name the model as what it was made from.

    Which model it is turns out in the middle of the task, so it cannot be among its `asset_deps`.
    """
    if context := AssetContext.get():
        context.direct_asset_dependencies.add(model_asset(cellar, model))
        context.update_tracked_assets()


def materialized(cellar: Cellar, record: Record) -> Event:
    """The event by which Prefect knows that an asset was made: a new version of a model, from its base.

    It is sent with the announcement, and not by `@materialize`: that can name no asset that is known only at the end,
    and its events are lost if the process ends too soon.
    """
    asset = model_asset(cellar, record.model)
    related = [{"prefect.resource.id": "cellar", "prefect.resource.role": "asset-materialized-by"}]
    if record.parent:
        related.append(AssetContext.asset_as_related(model_asset(cellar, record.parent.ref.model)))
    return Event.model_validate(
        {
            "event": "prefect.asset.materialization.succeeded",
            "resource": AssetContext.asset_as_resource(asset),
            "related": related,
            "payload": metadata(record),
            "id": uuid5(NAMESPACE_URL, f"{asset.key}/{record.ref.version}#materialized"),
        }
    )


def metadata(record: Record) -> dict[str, Any]:
    """What is worth knowing of a version, as plain JSON; less of it if it is too long for an event."""
    small = {
        "ref": str(record.ref),
        "version": str(record.ref.version),
        "base": str(record.parent.ref) if record.parent else None,
        "bump": record.bump,
        "files": len(record.files),
        "size": record.size,
    }
    known = record.model_dump(mode="json", include={"recipe", "metrics", "notes", "created_at", "created_by"})
    return {**small, **known} if len(json.dumps(known)) < LONGEST else small
