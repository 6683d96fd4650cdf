"""The run that we are in: its logger, and the name that the cellar knows it by."""

from __future__ import annotations

import logging
from typing import TypeAlias

from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger
from prefect.settings import get_current_settings

from cellar_core import Origin

Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[logging.Logger]"


def run_logger() -> Logger:
    """The logger of the run, or an ordinary one outside of any."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("cellar_prefect")


def api_url() -> str | None:
    """The address of the Prefect API that this process was told to use; None if it was told none."""
    return get_current_settings().api.url


def flow_run_id() -> str | None:
    """The id of the flow run that we are in, if we are in one."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    run = task.task_run.flow_run_id if task else flow.flow_run.id if flow and flow.flow_run else None
    return str(run) if run else None


def task_run_id() -> str | None:
    """The id of the task run that we are in, if we are in one."""
    task = TaskRunContext.get()
    return str(task.task_run.id) if task else None


def holder(what: object) -> str | None:
    """A name for the work that this run does on `what`: the same for each of its tries; None outside of a run.

    It is the run's own address in Prefect's API, so that whoever finds it can look whether the run still lives.
    """
    flow, task = flow_run_id(), task_run_id()
    if not (flow or task):
        return None
    return f"{api_url() or 'prefect'}/{f'flow_runs/{flow}' if flow else f'task_runs/{task}'}#{what}"


def last_try() -> bool:
    """Whether the task that we are in is not tried again if it fails now."""
    task = TaskRunContext.get()
    return task is None or task.task_run.run_count > (task.task.retries or 0)


def origin() -> Origin:
    """Where a version that is registered now comes from."""
    run = flow_run_id()
    return Origin(run={"orchestrator": "prefect", "run": run} if run else {})
