"""Who is at work, as a cellar's logs name it: the address of a task in Airflow's UI, without its try number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from cellar_airflow.settings import setting
from cellar_core import Origin

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as RuntimeTaskInstance

_TASK = re.compile(
    r"/dags/(?P<dag_id>[^/]+)/runs/(?P<run_id>[^/]+)/tasks/(?P<task_id>[^/]+)(/mapped/(?P<index>\d+))?"
)
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States of a task that nothing but a person brings back to life; `up_for_retry` is not one of them."""


def scheduler() -> str:
    """The name of this Airflow: `[cellar] scheduler`, else the address of its API server."""
    from airflow.sdk import conf

    name = setting("scheduler") or conf.get("api", "base_url", fallback="http://localhost:8080")
    return str(name).rstrip("/")


def holder(ti: RuntimeTaskInstance) -> str:
    """The name of a task instance: the same for each of its tries, so that a retry resumes what it had begun."""
    dag_id, run_id, task_id = (quote(part, safe="") for part in (ti.dag_id, ti.run_id, ti.task_id))
    place = f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}"
    mapped = ti.map_index is not None and ti.map_index >= 0
    return f"{scheduler()}{place}/mapped/{ti.map_index}" if mapped else scheduler() + place


def ended(name: str, ti: RuntimeTaskInstance) -> str | None:
    """The state of the holder *name* if it is a task of this Airflow that has ended, else None.

    A holder that Airflow does not know (any more) counts as alive: it may be another Airflow's, so a person decides.

    Args:
        name: what `holder` returned in some earlier run.
        ti: the task instance that asks; a running task can ask for the state of others.
    """
    found = _TASK.fullmatch(name.removeprefix(scheduler()))
    if found is None:
        return None
    dag_id, run_id, task_id = (unquote(found[part]) for part in ("dag_id", "run_id", "task_id"))
    states = ti.get_task_states(dag_id, task_ids=[task_id], run_ids=[run_id])
    key = task_id if found["index"] is None else f"{task_id}_{found['index']}"
    state = states.get(run_id, {}).get(key)
    return state if state in ENDED else None


def origin(ti: RuntimeTaskInstance) -> Origin:
    """Where a version came from, for its record."""
    return Origin(run={"orchestrator": "airflow", "run": holder(ti), "try": str(ti.try_number)})
