"""The whole job as a task group: plan, rebuild each project that is behind, report."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import TaskGroup, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from cellar_airflow.hook import DEFAULT_CONN_ID
from cellar_airflow.plan import PlanRebuilds
from cellar_airflow.retrain import RetrainFromBase
from cellar_core.trainer import Train

log = logging.getLogger(__name__)


def rebuild_projects(
    rack: str,
    *,
    train: Train,
    conn_id: str = DEFAULT_CONN_ID,
    group_id: str = "rebuild_projects",
    **kwargs: Any,
) -> TaskGroup:
    """Rebuild all projects of a rack that are behind their base, each in a mapped task of its own.

    A project that fails stops no other; the run ends red then. It ends green, with skipped tasks, if nothing is stale
    or another run has the work. What is stale is computed by its first task, so that the DAG may be started by
    anything: `schedule=base_bumped(rack)`, a timetable, a person.

    Args:
        rack: such as `vit/vit-l`.
        train: what trains a project's model, as for `RetrainFromBase`.
        conn_id: connection of type `cellar`.
        group_id: name of the task group.
        kwargs: for the tasks that train: `retries`, `pool`, `priority_weight`, `execution_timeout`,
            `max_active_tis_per_dag`, `executor_config`, `timeout`, …

    Returns:
        The task group, to put tasks before and after it.
    """
    with TaskGroup(group_id) as group:
        plan = PlanRebuilds(task_id="plan", rack=rack, conn_id=conn_id)
        rebuilds = RetrainFromBase.partial(
            task_id="rebuild",
            train=train,
            conn_id=conn_id,
            map_index_template="{{ task.rebuild['model'] }}",
            **kwargs,
        ).expand(rebuild=plan.output)
        report(plan=plan.output, rebuilt=rebuilds.output)
    return group


@task(trigger_rule="all_done")
def report(plan: Any, rebuilt: Any) -> list[str]:
    """Log what became of each planned rebuild, and end as the run has to end.

    Args:
        plan: the rebuilds that were planned; None if the planning failed.
        rebuilt: what their tasks returned; a failed one returns nothing.

    Raises:
        AirflowFailException: a project failed.
        AirflowSkipException: nothing was to do.
    """
    if plan is None:
        raise AirflowFailException("There is no plan: see the log of the plan task.")
    done = {result["model"]: result for result in rebuilt[:]}
    failed = [rebuild["model"] for rebuild in plan if rebuild["model"] not in done]
    for model, result in done.items():
        log.info("%s: %s", model, result["detail"])
    if failed:
        raise AirflowFailException(f"{len(failed)} of {len(plan)} rebuilds failed: {', '.join(failed)}")
    built = [result["ref"] for result in done.values() if result["outcome"] != "skipped"]
    if not built:
        raise AirflowSkipException("Nothing is stale, or another run has the work.")
    return built
