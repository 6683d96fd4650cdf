"""The verbs of a cellar as tasks. Each has an asynchronous twin that does the same work in a thread.

Every `cellar` argument is a `CellarBlock`, a URL, the name of a saved block, or None for CELLAR_URL.
No task is cached, because what is newest changes. All return typed objects: Prefect takes results that are the same
object for one result, equal short strings among them, and would draw lineage between tasks that share nothing.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Mapping
from os import PathLike
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from cellar_core import Bump, CellarError, Model, Plan, Recipe, Record, Registered
from cellar_core.narrate import plan_lines
from cellar_core.trainer import Train
from cellar_prefect.artifacts import show_bytes, show_progress
from cellar_prefect.assets import refer
from cellar_prefect.block import Where, open_cellar
from cellar_prefect.commit import point, publish
from cellar_prefect.holders import mark_lost
from cellar_prefect.run import holder, origin, run_logger
from cellar_prefect.trainer import ending_commands, trainer

P = ParamSpec("P")
R = TypeVar("R")


def may_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect's signature
    """Whether a retry may help: a broken rule stays broken however often it is tried."""
    error: object = state.data
    return error.retryable if isinstance(error, CellarError) else True


def _twin(of: Task[P, R]) -> Task[P, Coroutine[Any, Any, R]]:
    """The asynchronous form of a task: the same work in a thread, so that the event loop is never held up."""

    @functools.wraps(of.fn)
    async def work(*args: P.args, **kwargs: P.kwargs) -> R:
        with ending_commands():
            return await asyncio.to_thread(of.fn, *args, **kwargs)

    return Task(
        work,
        name=of.name,
        task_run_name=of.task_run_name,
        log_prints=of.log_prints,
        cache_policy=NO_CACHE,
        retry_condition_fn=may_help,
    )


@task(task_run_name="register {model}", cache_policy=NO_CACHE, retry_condition_fn=may_help)
def register_model(
    model: str | Model,
    path: str | PathLike[str],
    *,
    bump: Bump | str | None = None,
    base: str | None = None,
    version: str | None = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    notes: str = "",
    alias: str | None = None,
    cellar: Where = None,
) -> Registered:
    """Register a directory as the next version of a model, and announce it to Prefect.

    The same content is registered once: a retry, or another run, gets the version that is there. Within a Prefect
    transaction it is announced when that commits. If that is rolled back, the alias means what it meant before; the
    version stays.

    Args:
        model: `vit/vit-l/base`, with `bump`; or a project such as `vit/vit-l/projectA`, with `base`.
        path: The directory.
        bump: For a base: `minor` or `major`. The line it counts on is chosen once a run, not once a try.
        base: For a project: the base that it was tuned from, such as `vit/vit-l/base/1.2`.
        version: An exact version, instead of the next one.
        recipe: What training needed besides the base: data, parameters, seed, …
        metrics: Results; by default they are read from the rack's result file.
        notes: Free text.
        alias: A name that means this version from now on, such as `staging`.
        cellar: Where the cellar is.
    """
    opened, model, logger = open_cellar(cellar), Model(str(model)), run_logger()
    common: dict[str, Any] = {
        "version": version,
        "recipe": recipe,
        "metrics": metrics,
        "notes": notes,
        "origin": origin(),
        "callback": show_bytes(model),
    }
    if model.is_base and base is None:
        registered = opened.register_base(model.rack, path, bump=bump, holder=holder(model), **common)
    elif not model.is_base and base is not None and bump is None:
        registered = opened.register_project(model, path, base=base, **common)
    else:
        raise CellarError(
            f"{model}: give bump (or version) to register a base, and base to register a project's model"
        )
    for notice in registered.notices:
        logger.info("%s", notice)
    logger.info(
        "%s %s %s",
        path,
        "is registered as" if registered.created else "was registered before, it is",
        registered.ref,
    )
    if alias:
        point(opened, registered.ref, alias)
    publish(opened, registered.record)
    refer(opened, model)
    return registered


@task(task_run_name="resolve {selector}", cache_policy=NO_CACHE, retry_condition_fn=may_help)
def resolve_model(selector: str, *, cellar: Where = None) -> Record:
    """Find the version that a selector means.

    Args:
        selector: Such as `vit/vit-l/projectA@^1`, `…@latest`, `…@production` or `vit/vit-l/projectA/1.2.3`.
        cellar: Where the cellar is.
    """
    opened = open_cellar(cellar)
    record = opened.resolve(selector)
    run_logger().info("%s is %s", selector, record.ref)
    refer(opened, record.model)
    return record


@task(task_run_name="retrain {model}", log_prints=True, cache_policy=NO_CACHE, retry_condition_fn=may_help)
def retrain_from_base(
    model: str | Model,
    train: Train,
    *,
    base: str | None = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
    notes: str = "",
    timeout: float | None = None,
    cellar: Where = None,
) -> Registered:
    """Train a project's model from scratch from a base, register it as the next version, and announce it.

    Args:
        model: The project, such as `vit/vit-l/projectA`.
        train: What trains: a function of a `RetrainJob`, `"pkg.mod:train"`, or a command as a list of words.
        base: Another base than the newest one that the rack's policy allows.
        recipe: What training needs besides the base; by default the project's own.
        notes: Free text.
        timeout: Seconds that a command may take.
        cellar: Where the cellar is.
    """
    opened, model = open_cellar(cellar), Model(str(model))
    registered = opened.retrain(
        model,
        trainer(train, timeout),
        base=base,
        recipe=recipe,
        notes=notes,
        origin=origin(),
        on_progress=show_progress(model),
        callback=show_bytes(model),
    )
    run_logger().info("%s is registered", registered.ref)
    publish(opened, registered.record)
    refer(opened, registered.record.model)
    return registered


@task(task_run_name="plan {rack}", cache_policy=NO_CACHE, retry_condition_fn=may_help)
def plan_rebuilds(rack: str, *, cellar: Where = None) -> Plan:
    """Compute what has to be rebuilt in a rack, and why; rebuilds of dead runs of this Prefect are planned again.

    Args:
        rack: The rack, such as `vit/vit-l`.
        cellar: Where the cellar is.
    """
    opened = open_cellar(cellar)
    plan = opened.plan(rack)
    if mark_lost(opened, plan):
        plan = opened.plan(rack)
    for line in plan_lines(plan):
        run_logger().info("%s", line)
    return plan


aregister_model = _twin(register_model)
aresolve_model = _twin(resolve_model)
aretrain_from_base = _twin(retrain_from_base)
aplan_rebuilds = _twin(plan_rebuilds)
