"""What the operators share: they find their cellar by its connection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from cellar_airflow.hook import DEFAULT_CONN_ID, CellarHook
from cellar_airflow.link import CellarLink
from cellar_core import Cellar, Record

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


class CellarOperator(BaseOperator):
    """An operator that works on a cellar.

    Args:
        conn_id: connection of type `cellar`; without a connection `cellar_default`, `CELLAR_URL` names the cellar.
    """

    ui_color = "#f3e5e9"
    operator_extra_links = (CellarLink(),)
    _found: Record | None = None
    _made: Record | None = None

    def __init__(self, *, conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id

    @cached_property
    def cellar(self) -> Cellar:
        """The cellar of the connection, when the task runs."""
        return CellarHook(self.conn_id).cellar

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """The versions that the task found and made; OpenLineage's provider asks for them, if it is installed."""
        from cellar_airflow.lineage import lineage

        return lineage(self.cellar.url, found=self._found, made=self._made)
