"""The flow that rebuilds every project of a rack that is behind its base, and the one that rebuilds one project."""

# No `from __future__ import annotations` here: `serve` sends a flow to its process by value, without what only its
# annotations name, and Prefect could not check the parameters there.
import re
from collections.abc import Callable
from typing import cast

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from cellar_core import CellarError, Plan, Reason, Rebuild, Rebuilt, Skip
from cellar_core.trainer import Train
from cellar_prefect.block import Where, open_cellar
from cellar_prefect.events import announce
from cellar_prefect.holders import mark_lost
from cellar_prefect.run import holder, last_try, log_progress, origin, run_logger
from cellar_prefect.tasks import may_help, plan_rebuilds
from cellar_prefect.trainer import ending_commands, trainer

TRIES = 3
"""So many runs of a deployment may end before their flow has begun; then the rebuild needs a person."""


@flow(flow_run_name="rebuild {rack}")
def rebuild_projects(
    rack: str,
    train: Train | None = None,
    *,
    deployment: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    cellar: Where = None,
) -> list[Rebuilt]:
    """Rebuild all projects of a rack that are behind their base; start it by `base_bumped`, a schedule, or by hand.

    What is behind is read from the cellar, so it does not matter what started the run, nor how often: a rebuild that
    another run has in hand is left to it. A project that fails stops no other; the run ends as Failed then. The cellar
    is looked at once more before the run ends, so that a base that was bumped meanwhile is not missed.

    Args:
        rack: The rack, such as `vit/vit-l`.
        train: What trains: `"pkg.mod:train"`, a command as a list of words, or (called directly) a function of a
            `RetrainJob`. The rebuilds run in this flow run, as many at once as the rack's `max_parallel` says.
        deployment: Instead of `train`: a deployment of `rebuild_project`, such as `rebuild-project/gpu`. Each rebuild
            becomes a run of it, and this run does not wait for them.
        timeout: Seconds that a command may take to train one project.
        retries: How often a failed training is tried again within the run.
        cellar: A `CellarBlock`, a URL, the name of a saved block, or None for CELLAR_URL.

    Returns:
        What became of each rebuild; nothing for runs of a deployment.
    """
    if flow_run.run_count > 1:
        opened = open_cellar(cellar)
        mark_lost(opened, opened.plan(rack), restarted=True)
    if train is not None and deployment is None:
        one = rebuild_from_base.with_options(retries=retries)
        ended = _rebuild_here(
            rack, cellar, lambda todo: one.submit(todo, train, timeout=timeout, cellar=cellar)
        )
    elif deployment is not None and train is None:
        ended = _dispatch(plan_rebuilds(rack, cellar=cellar), deployment)
    else:
        raise CellarError(
            "give train to rebuild in this flow run, or deployment to make each rebuild a run of it"
        )
    return cast(list[Rebuilt], ended)  # Prefect makes the flow's result of a state that it returns


@flow(flow_run_name="rebuild {rebuild.model} onto {rebuild.base.version}")
def rebuild_project(
    rebuild: Rebuild, train: Train, timeout: float | None = None, retries: int = 0, cellar: Where = None
) -> Rebuilt:
    """Do one rebuild of a plan: deploy it on a work pool, and give its name to `rebuild_projects(deployment=…)`.

    It lies in an installed package, so deploy it by its module:

        rebuild_project.deploy(
            "gpu", work_pool_name="gpu", entrypoint_type=EntrypointType.MODULE_PATH, parameters={"train": "train:train"}
        )

    Args:
        rebuild: The rebuild, as a plan has it; `rebuild_projects` gives it.
        train: As for `rebuild_projects`; it belongs to the deployment's parameters, as do the following.
        timeout: Seconds that a command may take.
        retries: How often a failed training is tried again within the run.
        cellar: A `CellarBlock`, a URL, the name of a saved block, or None for CELLAR_URL.
    """
    with ending_commands():
        return rebuild_from_base.with_options(retries=retries)(rebuild, train, timeout=timeout, cellar=cellar)


@task(
    task_run_name="rebuild {rebuild.model} onto {rebuild.base.version}",
    log_prints=True,
    cache_policy=NO_CACHE,
    retry_condition_fn=may_help,
)
def rebuild_from_base(rebuild: Rebuild, train: Train, *, timeout: float | None, cellar: Where) -> Rebuilt:
    """Do one rebuild, unless another run has it in hand or has done it."""
    opened, logger = open_cellar(cellar), run_logger()
    logger.info("%s onto %s: %s", rebuild.model, rebuild.base, rebuild.sentence)
    rebuilt = opened.rebuild(
        rebuild,
        trainer(train, timeout),
        holder=holder(rebuild.model) or "",
        last_try=last_try(),
        origin=origin(),
        on_progress=log_progress(rebuild.model),
    )
    logger.info("%s: %s", rebuilt.outcome, rebuilt.detail)
    if rebuilt.record:
        announce(opened, rebuilt.record)
    return rebuilt


def _rebuild_here(
    rack: str, cellar: Where, start: Callable[[Rebuild], PrefectFuture[Rebuilt]]
) -> State[list[Rebuilt]]:
    """Start what the plan asks for, wait, and look again, until there is nothing left."""
    futures: dict[str, PrefectFuture[Rebuilt]] = {}
    with ending_commands():
        while True:
            # Looked at before the plan is made: what ends in between is planned once more.
            running = [future for future in futures.values() if not future.state.is_final()]
            plan = plan_rebuilds(rack, cellar=cellar)
            fresh = [rebuild for rebuild in plan.rebuilds if rebuild.run_key not in futures]
            if not fresh and not running:
                return _report(plan, list(futures.values()))
            if fresh:
                _show(plan)
            for rebuild in fresh:
                futures[rebuild.run_key] = start(rebuild)
                running.append(futures[rebuild.run_key])
            if any(skip.reason is Reason.QUEUED for skip in plan.skips):
                next(as_completed(running))  # a place is free for the next one
            else:
                wait(running)


def _report(plan: Plan, futures: list[PrefectFuture[Rebuilt]]) -> State[list[Rebuilt]]:
    results: list[object] = [future.result(raise_on_failure=False) for future in futures]
    done = [result for result in results if isinstance(result, Rebuilt)]
    failed = [str(result) for result in results if not isinstance(result, Rebuilt)]
    if failed:
        return Failed(message=f"{len(failed)} of {len(futures)} rebuilds failed: " + "; ".join(failed))
    if not futures:
        return Completed(message=f"nothing to rebuild in {plan.rack}", data=[])
    return Completed(message="; ".join(result.detail for result in done), data=done)


def _dispatch(plan: Plan, deployment: str) -> State[list[Rebuilt]]:
    """Make each rebuild a run of its own; the idempotency key makes it one run, however often it is asked for."""
    if plan.rebuilds:
        _show(plan)
    stuck = [rebuild for rebuild in plan.rebuilds if not _run(rebuild, deployment)]
    if stuck:
        names = ", ".join(str(rebuild.model) for rebuild in stuck)
        return Failed(
            message=f"{TRIES} runs of {deployment} ended before they had begun, look at them: {names}"
        )
    return Completed(message=f"{len(plan.rebuilds)} runs of {deployment} for {plan.rack}", data=[])


def _run(rebuild: Rebuild, deployment: str) -> bool:
    """Whether a run of the deployment has, or will have, the rebuild.

    A run that ended but has left no word in the cellar never got as far as its flow (a pod that did not start, a
    cancelled run). Its key is spent, so the next one gets another.
    """
    for number in range(TRIES):
        run = cast(
            FlowRun,  # and no coroutine, as long as we are in no event loop
            run_deployment(
                deployment,
                parameters={"rebuild": rebuild.model_dump(mode="json")},
                idempotency_key=f"{rebuild.run_key}:{number}",
                timeout=0,
                as_subflow=False,
            ),
        )
        if not (run.state and run.state.is_final()):
            run_logger().info("%s: flow run %s of %s has it", rebuild.model, run.name, deployment)
            return True
    return False


def _show(plan: Plan) -> None:
    """Keep the plan as a table artifact, one history for each rack."""
    decisions: tuple[Rebuild | Skip, ...] = (*plan.rebuilds, *plan.skips)
    create_table_artifact(
        key="cellar-plan-" + re.sub("[^a-z0-9]+", "-", str(plan.rack).lower()),
        table=[
            {
                "project": one.model.project,
                "has": str(one.current.version) if one.current else "",
                "base": str(one.base.version) if one.base else "",
                "decision": "rebuild" if isinstance(one, Rebuild) else "leave",
                "reason": one.reason.value,
                "why": one.sentence,
            }
            for one in decisions
        ],
        description=f"What was to be rebuilt in {plan.rack}, whose newest base is {plan.head}.",
    )
