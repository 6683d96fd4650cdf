"""The asset that is a rack's base: what a DAG is scheduled by."""

from __future__ import annotations

from urllib.parse import SplitResult, quote

from airflow.sdk import Asset, AssetWatcher

from cellar_airflow.hook import DEFAULT_CONN_ID
from cellar_airflow.trigger import BaseBumpedTrigger
from cellar_core import Rack


def base_bumped(rack: str, *, conn_id: str = DEFAULT_CONN_ID) -> Asset:
    """The base of a rack as an asset, with the watcher that sees its bumps: `@dag(schedule=base_bumped("vit/vit-l"))`.

    Use this function wherever the asset is named, for a schedule as for an outlet. Airflow keeps one watcher for each
    asset, however many DAGs use it, as long as all of them declare the same one; an `Asset` of the same URI that
    was made in another way takes the watcher away. For that reason all that distinguishes two watchers is in the URI,
    and how often they look is set in `[cellar]` of `airflow.cfg`.

    An event says "look now", no more: let the DAG begin with a plan, as `rebuild_projects` does.

    Args:
        rack: such as `vit/vit-l`.
        conn_id: connection of type `cellar`.

    Raises:
        InvalidRef: *rack* is no name of a rack.

    >>> base_bumped("vit/vit-l").uri
    'cellar://cellar_default/vit/vit-l/base'
    """
    rack = str(Rack(rack))
    watcher = AssetWatcher(name="base_bumped", trigger=BaseBumpedTrigger(rack=rack, conn_id=conn_id))
    return Asset(uri=f"cellar://{quote(conn_id, safe='')}/{rack}/base", watchers=[watcher])


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an asset's URI for Airflow, which refuses the DAG if it is not `cellar://{conn_id}/{rack}/base`.

    Raises:
        ValueError: it is not.
    """
    rack, _, model = uri.path.removeprefix("/").rpartition("/")
    if not uri.netloc or model != "base":
        raise ValueError(
            f"{uri.geturl()!r} must be cellar://{{conn_id}}/{{rack}}/base: use cellar_airflow.base_bumped(rack)"
        )
    Rack(rack)
    return uri
