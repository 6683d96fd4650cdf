"""The flow that rebuilds every project of a rack that is behind its base, and the one that rebuilds one project."""

# No `from __future__ import annotations` here: `serve` sends a flow to its process by value, without what only its
# annotations name, and Prefect could not check the parameters there.
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from queue import Empty, SimpleQueue
from typing import cast

from prefect import flow, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.deployments import run_deployment
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from cellar_core import CellarError, Model, Plan, Rack, Rebuild, Rebuilt
from cellar_core.trainer import Train
from cellar_prefect.artifacts import show_bytes, show_lineage, show_plan, show_progress
from cellar_prefect.automations import watch_heartbeats
from cellar_prefect.block import Where, open_cellar
from cellar_prefect.commit import publish
from cellar_prefect.holders import mark_lost
from cellar_prefect.run import holder, last_try, origin, run_logger
from cellar_prefect.tasks import may_help, plan_rebuilds
from cellar_prefect.trainer import ending_commands, trainer

TRIES = 3
"""So many runs of a deployment may end before their flow has begun; then the rebuild needs a person."""

LOOK_AGAIN = 30.0
"""So many seconds after a look at the cellar it is looked at again while trainings are under way."""


@flow(flow_run_name="rebuild {rack}")
def rebuild_projects(
    rack: str,
    train: Train | None = None,
    *,
    deployment: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    limit: str | None = None,
    report: str | None = None,
    cellar: Where = None,
) -> list[Rebuilt]:
    """Rebuild all projects of a rack that are behind their base; start it by `base_bumped`, a schedule, or by hand.

    What is behind is read from the cellar, so it does not matter what started the run, nor how often: a rebuild that
    another run has in hand is left to it. A project that fails stops no other; the run ends as Failed then. The cellar
    is looked at again while trainings are under way, and once more before the run ends, so that a base that was bumped
    meanwhile is not missed; a project begins to move to it when its own training has ended.

    Args:
        rack: The rack, such as `vit/vit-l`.
        train: What trains: `"pkg.mod:train"`, a command as a list of words, or (called directly) a function of a
            `RetrainJob`. The rebuilds run in this flow run, as many at once as the rack's `max_parallel` says.
        deployment: Instead of `train`: a deployment of `rebuild_project`, such as `rebuild-project/gpu`. Each rebuild
            becomes a run of it, and this run does not wait for them.
        timeout: Seconds that a command may take to train one project.
        retries: How often a failed training is tried again within the run.
        limit: A global concurrency limit, such as `gpu`, of which each training takes a slot, on whichever machine;
            `prefect gcl create gpu --limit 2` makes it.
        report: Where the rack's page is written after a rebuild, as an fsspec URL; the lineage artifact links to it.
        cellar: A `CellarBlock`, a URL, the name of a saved block, or None for CELLAR_URL.

    Returns:
        What became of each rebuild; nothing for runs of a deployment.
    """
    watch_heartbeats()
    if flow_run.run_count > 1:
        opened = open_cellar(cellar)
        mark_lost(opened, opened.plan(rack), restarted=True)
    if train is not None and deployment is None:
        one = rebuild_from_base.with_options(retries=retries)
        ended = _RebuildsHere(
            rack,
            cellar,
            # A command is a list of words, and a block can be iterated too: neither is to be taken apart.
            lambda todo: one.map(
                todo, unmapped(train), timeout=timeout, limit=limit, cellar=unmapped(cellar)
            ),
            report,
        ).run()
    elif deployment is not None and train is None:
        ended = _dispatch(rack, deployment, cellar)
    else:
        raise CellarError(
            "give train to rebuild in this flow run, or deployment to make each rebuild a run of it"
        )
    return cast(list[Rebuilt], ended)  # Prefect makes the flow's result of a state that it returns


@flow(flow_run_name="rebuild {rebuild.model} onto {rebuild.base.version}")
def rebuild_project(
    rebuild: Rebuild,
    train: Train,
    *,
    timeout: float | None = None,
    retries: int = 0,
    limit: str | None = None,
    report: str | None = None,
    cellar: Where = None,
) -> Rebuilt:
    """Do one rebuild of a plan: deploy it on a work pool, and give its name to `rebuild_projects(deployment=…)`.

    It looks at the cellar once more before it ends: if its project should move to a newer base by then, it does that
    too. It lies in an installed package, so deploy it by its module, or by `python -m cellar_prefect deploy`:

        rebuild_project.deploy(
            "gpu", work_pool_name="gpu", entrypoint_type=EntrypointType.MODULE_PATH, parameters={"train": "train:train"}
        )

    Args:
        rebuild: The rebuild, as a plan has it; `rebuild_projects` gives it.
        train: As for `rebuild_projects`; it belongs to the deployment's parameters, as do the following.
        timeout: Seconds that a command may take.
        retries: How often a failed training is tried again within the run.
        limit: A global concurrency limit of which the training takes a slot.
        report: Where the rack's page is written, as an fsspec URL.
        cellar: A `CellarBlock`, a URL, the name of a saved block, or None for CELLAR_URL.

    Returns:
        What became of the rebuild, or of the last one if there were more.
    """
    one = rebuild_from_base.with_options(retries=retries)
    done = set[str]()
    todo: Rebuild | None = rebuild
    with ending_commands():
        while todo:
            rebuilt = one(todo, train, timeout=timeout, limit=limit, cellar=cellar)
            done.add(todo.run_key)
            plan = plan_rebuilds(str(rebuild.model.rack), cellar=cellar)
            mine = (new for new in plan.rebuilds if new.model == rebuild.model and new.run_key not in done)
            todo = next(mine, None)
    show_lineage(open_cellar(cellar), rebuild.model.rack, report)
    return rebuilt


@task(
    task_run_name="rebuild {rebuild.model} onto {rebuild.base.version}",
    log_prints=True,
    cache_policy=NO_CACHE,
    retry_condition_fn=may_help,
)
def rebuild_from_base(
    rebuild: Rebuild, train: Train, *, timeout: float | None, limit: str | None, cellar: Where
) -> Rebuilt:
    """Do one rebuild, unless another run has it in hand or has done it."""
    opened, logger = open_cellar(cellar), run_logger()
    logger.info("%s onto %s: %s", rebuild.model, rebuild.base, rebuild.sentence)
    with concurrency(limit, strict=True) if limit else nullcontext():
        rebuilt = opened.rebuild(
            rebuild,
            trainer(train, timeout),
            holder=holder(rebuild.model) or "",
            last_try=last_try(),
            origin=origin(),
            on_progress=show_progress(rebuild.model),
            callback=show_bytes(rebuild.model),
        )
    logger.info("%s: %s", rebuilt.outcome, rebuilt.detail)
    if rebuilt.record:
        publish(opened, rebuilt.record)
    return rebuilt


class _RebuildsHere:
    """The rebuilds of one run of `rebuild_projects`, in its own process.

    Args:
        rack: The rack.
        cellar: Where it is.
        start: Starts some, and does not wait for them.
        page: Where the rack's page goes at the end, if anywhere.
    """

    def __init__(
        self,
        rack: str,
        cellar: Where,
        start: Callable[[list[Rebuild]], list[PrefectFuture[Rebuilt]]],
        page: str | None,
    ) -> None:
        self._rack = rack
        self._page = page
        self._cellar = cellar
        self._start = start
        self._futures: dict[str, PrefectFuture[Rebuilt]] = {}
        self._running = set[Model]()
        self._ended: SimpleQueue[Model] = SimpleQueue()

    def run(self) -> State[list[Rebuilt]]:
        """Start what the plan asks for, and look again, until there is nothing left and nothing under way."""
        with ending_commands():
            while True:
                plan = plan_rebuilds(self._rack, cellar=self._cellar)
                fresh = self._fresh(plan)
                if not fresh and not self._running:
                    return self._report(plan)
                if fresh:
                    self._begin(fresh)
                    show_plan(plan)
                self._wait()

    def _fresh(self, plan: Plan) -> list[Rebuild]:
        """What can begin now; of a burst of bumps, a project gets the training under way and one onto the newest."""
        return [
            rebuild
            for rebuild in plan.rebuilds
            if rebuild.run_key not in self._futures and rebuild.model not in self._running
        ]

    def _begin(self, fresh: list[Rebuild]) -> None:
        for rebuild, future in zip(fresh, self._start(fresh), strict=True):
            self._running.add(rebuild.model)
            self._futures[rebuild.run_key] = future
            future.add_done_callback(partial(self._end, rebuild.model))

    def _end(self, model: Model, _: object) -> None:
        self._ended.put(model)

    def _wait(self) -> None:
        """Until a training has ended, or one more can begin."""
        while True:
            try:
                self._running.remove(self._ended.get(timeout=LOOK_AGAIN))
                while not self._ended.empty():
                    self._running.remove(self._ended.get())
            except Empty:
                if not self._fresh(self._look()):
                    continue
            return

    def _look(self) -> Plan:
        try:
            return open_cellar(self._cellar).plan(self._rack)
        except Exception as error:  # noqa: BLE001 - the trainings under way must not end for want of a look
            run_logger().warning("the cellar could not be looked at: %s", error)
            return Plan(rack=Rack(self._rack), head=None, rebuilds=(), skips=())

    def _report(self, plan: Plan) -> State[list[Rebuilt]]:
        futures = self._futures.values()
        results: list[object] = [future.result(raise_on_failure=False) for future in futures]
        done = [result for result in results if isinstance(result, Rebuilt)]
        failed = [str(result) for result in results if not isinstance(result, Rebuilt)]
        if futures:
            show_lineage(open_cellar(self._cellar), plan.rack, self._page)
        if failed:
            return Failed(message=f"{len(failed)} of {len(futures)} rebuilds failed: " + "; ".join(failed))
        if not futures:
            return Completed(message=f"nothing to rebuild in {plan.rack}", data=[])
        return Completed(message="; ".join(result.detail for result in done), data=done)


def _dispatch(rack: str, deployment: str, cellar: Where) -> State[list[Rebuilt]]:
    """Make each rebuild a run of its own, and look again until there is nothing new."""
    asked: dict[str, bool] = {}
    while True:
        plan = plan_rebuilds(rack, cellar=cellar)
        busy = _busy(deployment, [rebuild.model for rebuild in plan.rebuilds])
        fresh = [one for one in plan.rebuilds if one.run_key not in asked and one.model not in busy]
        if not fresh:
            break
        asked |= {rebuild.run_key: _ask(rebuild, deployment) for rebuild in fresh}
        show_plan(plan)
    if stuck := [key for key, has_run in asked.items() if not has_run]:
        names = ", ".join(str(one.model) for one in plan.rebuilds if one.run_key in stuck)
        return Failed(
            message=f"{TRIES} runs of {deployment} ended before they had begun, look at them: {names}"
        )
    return Completed(message=f"{len(asked)} new runs of {deployment} for {rack}", data=[])


def _busy(deployment: str, models: list[Model]) -> set[Model]:
    """The models that an unfinished run of the deployment has: it looks for a newer base itself before it ends."""
    if not models:
        return set()
    with get_client(sync_client=True) as client:
        has = client.read_deployment_by_name(deployment)
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[has.id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=list(TERMINAL_STATES))),
                tags=FlowRunFilterTags(any_=[str(model) for model in models]),
            ),
        )
    tags = {tag for run in runs for tag in run.tags}
    return {model for model in models if str(model) in tags}


def _ask(rebuild: Rebuild, deployment: str) -> bool:
    """Whether a run of the deployment has, or will have, the rebuild; its idempotency key makes it one run.

    A run that ended but has left no word in the cellar never got as far as its flow (a pod that did not start, a
    cancelled run). Its key is spent, so the next one gets another.
    """
    keys = [rebuild.run_key, *(f"{rebuild.run_key}:{number}" for number in range(2, TRIES + 1))]
    for key in keys:
        run = cast(
            FlowRun,  # and no coroutine, as long as we are in no event loop
            run_deployment(
                deployment,
                parameters={"rebuild": rebuild.model_dump(mode="json")},
                flow_run_name=f"rebuild {rebuild.model} onto {rebuild.base.version}",
                tags=[str(rebuild.model)],
                idempotency_key=key,
                timeout=0,
                as_subflow=False,
            ),
        )
        if not (run.state and run.state.is_final()):
            run_logger().info("%s: flow run %s of %s has it", rebuild.model, run.id, deployment)
            return True
    return False
