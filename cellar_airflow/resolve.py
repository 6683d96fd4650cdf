"""Find a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from cellar_airflow.errors import no_vain_retries
from cellar_airflow.operator import CellarOperator


class ResolveModel(CellarOperator):
    """Finds the version that a selector means, and returns its record as a dict of plain JSON.

    Args:
        selector: such as `vit/vit-l/projectA@^1`, `…@latest` or `…/1.2.3` (templated).

    Example:
        found = ResolveModel(task_id="found", selector="vit/vit-l/projectA@production")
        BashOperator(task_id="deploy", bash_command=f"deploy {found.output['ref']}")
    """

    template_fields: Sequence[str] = ("selector", "conn_id")

    def __init__(self, *, selector: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.selector = selector

    @no_vain_retries()
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  Airflow's signature
        """Resolve; an empty or ambiguous choice fails at once, a store that does not answer is retried."""
        record = self._found = self.cellar.resolve(self.selector)
        self.log.info("%s is %s (%s)", self.selector, record.ref, record.tree)
        return record.model_dump(mode="json")
