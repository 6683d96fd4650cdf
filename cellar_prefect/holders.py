"""Rebuilds that this Prefect's own runs have begun and not finished."""

from __future__ import annotations

import re
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from cellar_core import Cellar, Plan
from cellar_prefect.run import flow_run_id, run_logger

_FLOW_RUN = re.compile(r"/flow_runs/([0-9a-f-]{36})#")


def mark_lost(cellar: Cellar, plan: Plan, *, restarted: bool = False) -> bool:
    """Mark the rebuilds in progress as lost whose flow run has ended without a word, so that they are planned again.

    Runs of another Prefect are left alone: nobody here can tell whether they live.

    Args:
        cellar: Where the plan is from.
        plan: What says which rebuilds are in progress, and by whom.
        restarted: This flow run has just been started again: what it had begun before is lost too.

    Returns:
        Whether there were any: plan again.
    """
    lost = False
    for skip in plan.in_progress:
        found = _FLOW_RUN.search(skip.holder or "")
        if found and (ended := _ended(found[1], restarted=restarted)):
            why = f"flow run {found[1]} {ended}"
            run_logger().warning("the rebuild of %s is lost: %s", skip.model, why)
            cellar.mark_lost(skip, why)
            lost = True
    return lost


def _ended(run: str, *, restarted: bool) -> str | None:
    """How a flow run ended; None if it has not, or if this Prefect does not know it."""
    if run == flow_run_id():
        return "was started again" if restarted else None
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return None
    return f"ended as {state.name}" if state and state.is_final() else None
