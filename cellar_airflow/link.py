"""The button on a task that leads to what it made, or found, in the cellar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink, conf
from airflow.sdk.execution_time.xcom import XCom

from cellar_airflow.settings import PAGES
from cellar_core import Rack, Ref
from cellar_core.page import anchor

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class CellarLink(BaseOperatorLink):
    """Leads to the version that a task returned, else to the rack it is about, else to all racks of its cellar."""

    name = "Cellar"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The address; Airflow asks for it in the worker when the task has ended, and keeps it."""
        returned = XCom.get_value(ti_key=ti_key, key=XCom.XCOM_RETURN_KEY)
        if isinstance(returned, dict) and returned.get("ref"):
            return address(operator.conn_id, Ref(returned["ref"]))
        rack = getattr(operator, "rack", None)
        return address(operator.conn_id, Rack(rack) if rack else None)


def address(conn_id: str, place: Rack | Ref | None = None) -> str:
    """The address of a page: of a version's place on it, of a rack, or of all racks."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    if isinstance(place, Ref):
        return f"{base}/{PAGES}/{query(conn_id, place.rack)}#{anchor(place)}"
    return f"{base}/{PAGES}/{query(conn_id, place)}"


def query(conn_id: str, rack: Rack | None = None) -> str:
    """What of the address says which page is meant.

    >>> query("cellar_default", Rack("vit/vit-l"))
    '?conn_id=cellar_default&rack=vit/vit-l'
    """
    return "?" + urlencode({"conn_id": conn_id} | ({"rack": rack} if rack else {}), safe="/")
