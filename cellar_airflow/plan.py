"""Decide what has to be rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from airflow.sdk import Context, conf

from cellar_airflow.errors import no_vain_retries
from cellar_airflow.holder import ended
from cellar_airflow.operator import CellarOperator
from cellar_core import Plan
from cellar_core.log import ChangedMeanwhile
from cellar_core.narrate import plan_lines


class PlanRebuilds(CellarOperator):
    """Computes from the registry what has to be rebuilt, and returns it as a list of dicts to map over.

    Rebuilds of this Airflow whose task has ended without a word (its worker died) are marked as lost first, so that
    they are planned again.

    Args:
        rack: such as `vit/vit-l` (templated).

    Example:
        wanted = PlanRebuilds(task_id="plan", rack="vit/vit-l")
        RetrainFromBase.partial(task_id="rebuild", train=train).expand(rebuild=wanted.output)
    """

    template_fields: Sequence[str] = ("rack", "conn_id")

    def __init__(self, *, rack: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rack = rack

    @no_vain_retries()
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Plan; the log has one line for each project that is to be rebuilt, or is not as far as its base."""
        plan = self.cellar.plan(self.rack)
        if self._mark_lost(plan, context):
            plan = self.cellar.plan(self.rack)
        for line in plan_lines(plan):
            self.log.info("%s", line)
        rebuilds: list[dict[str, Any]] = plan.model_dump(mode="json")["rebuilds"]
        most = conf.getint("core", "max_map_length", fallback=1024)
        if len(rebuilds) > most:
            self.log.info("The first %d of %d are for this run ([core] max_map_length).", most, len(rebuilds))
        return rebuilds[:most]

    def _mark_lost(self, plan: Plan, context: Context) -> bool:
        lost = False
        for skip in plan.in_progress:
            if state := ended(skip.holder or "", context["ti"]):
                self.log.warning("%s: its rebuild is lost, %s ended as %s.", skip.model, skip.holder, state)
                with suppress(ChangedMeanwhile):  # then somebody else has looked after it
                    self.cellar.mark_lost(skip, f"its task ended as {state}")
                lost = True
        return lost
