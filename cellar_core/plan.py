"""What must be rebuilt, and why: a pure function of what a rack holds, its policy, and what its projects want."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cellar_core.attempt import LOST_MOST, Attempt, Event
from cellar_core.digest import digest_json
from cellar_core.rack import RackConfig
from cellar_core.record import Parent, Recipe
from cellar_core.ref import Model, Rack, Ref
from cellar_core.value import Value
from cellar_core.version import BaseVersion, ProjectVersion
from cellar_core.want import ProjectState, RackState, Reason, Skip, Want, skip

__all__ = ["Plan", "Rebuild", "plan", "request_digest"]


class Rebuild(Value):
    """A project to rebuild from scratch, from its base.

    Attributes:
        model: The project's model.
        base: The base to build it from.
        current: The version it has now, if any.
        reason: Why.
        sentence: The same for people.
        request: The digest ``Q`` of cellar, project, base and recipe: at most one version is ever made for it.
        attempt: The number of the log entry that a run of it creates first.
        recipe: What to train with.
    """

    model: Model
    base: Ref
    current: Ref | None
    reason: Reason
    sentence: str
    request: str
    attempt: int
    recipe: Recipe

    @property
    def run_key(self) -> str:
        """What an orchestrator's run of this attempt is known by, such as Prefect's idempotency key."""
        return f"{self.request}:{self.attempt}"


class Plan(Value):
    """What is to be rebuilt in a rack, and what is not; it is true when it has rebuilds.

    Attributes:
        rack: The rack.
        head: Its newest base that is not yanked, if it has one.
        rebuilds: What to rebuild now.
        skips: Everything else, each with its reason.
        overtaken: Rebuilds in progress onto bases that are no longer wanted, since a newer one came or a rule changed.
            They take places too; they are looked for only while something is wanted.
    """

    rack: Rack
    head: Ref | None
    rebuilds: tuple[Rebuild, ...]
    skips: tuple[Skip, ...]
    overtaken: tuple[Skip, ...] = ()

    @property
    def in_progress(self) -> tuple[Skip, ...]:
        """Every rebuild in progress, whether its base is still wanted or not."""
        return (*(skip for skip in self.skips if skip.reason is Reason.IN_PROGRESS), *self.overtaken)

    def __bool__(self) -> bool:
        return bool(self.rebuilds)


def plan(state: RackState, policy: RackConfig, wanted: Mapping[Model, Want | Skip]) -> Plan:
    """What is to be rebuilt: the same answer for the same arguments, whoever asks.

    Args:
        state: What the rack holds; of each wanted project, its recipe and the last entry of its log.
        policy: The rack's ``config.toml``.
        wanted: What each project wants, as ``wants`` tells; only by a hold's expiry it depends on the time.
    """
    projects = sorted(state.projects, key=lambda p: str(p.model))
    decisions = [_decide(state, policy, project, wanted[project.model]) for project in projects]
    rebuilds = [decision for decision in decisions if isinstance(decision, Rebuild)]
    overtaken = [
        skip
        for project, decision in zip(projects, decisions, strict=True)
        for skip in _overtaken(state, project, decision)
    ]
    busy = len(overtaken) + sum(decision.reason is Reason.IN_PROGRESS for decision in decisions)
    free = max(policy.rebuild.max_parallel - busy, 0)
    queued = [
        Skip(
            **rebuild.model_dump(include={"model", "base", "current"}),
            reason=Reason.QUEUED,
            sentence=_queued(policy, rebuild, len(overtaken)),
        )
        for rebuild in rebuilds[free:]
    ]
    skips = [decision for decision in decisions if isinstance(decision, Skip)]
    head = state.good.newest()
    return Plan(
        rack=state.rack,
        head=state.ref(head) if head else None,
        rebuilds=tuple(rebuilds[:free]),
        skips=(*skips, *queued),
        overtaken=tuple(overtaken),
    )


def request_digest(cellar: str, model: Model, parent: Parent, recipe: Recipe, asked: int) -> str:
    """The request ``Q``: what is to be built, independent of who builds it and how often it is tried."""
    return digest_json(cellar, str(model), str(parent.ref), parent.tree, recipe.facts(), asked)


def _decide(
    state: RackState, policy: RackConfig, project: ProjectState, wanted: Want | Skip
) -> Rebuild | Skip:
    if isinstance(wanted, Skip):
        return wanted
    if problem := project.unreadable or state.unreadable.get(wanted.base):
        return skip(state, project, wanted.current, wanted.base, (Reason.UNREADABLE, problem))
    last = project.last.get(wanted.base)
    recipe = policy.project(project.model).recipe or project.recipe or Recipe()
    base = state.ref(wanted.base)
    parent = Parent(ref=base, tree=state.trees[wanted.base])
    request = request_digest(state.cellar, project.model, parent, recipe, last.asked if last else 0)
    reason, sentence = _verdict(project, wanted, last, request, policy.digest(project.model))
    if last and reason in (Reason.IN_PROGRESS, Reason.FAILED_BEFORE, Reason.YANKED_BEFORE):
        return _attempted(state, project, wanted.current, wanted.base, (reason, sentence))
    return Rebuild(
        model=project.model,
        base=base,
        current=project.model.at(wanted.current) if wanted.current else None,
        reason=reason,
        sentence=sentence,
        request=request,
        attempt=last.number + 1 if last else 1,
        recipe=recipe,
    )


def _overtaken(state: RackState, project: ProjectState, decision: Rebuild | Skip) -> Iterator[Skip]:
    """The rebuilds of a project that are in progress and that its decision does not tell of."""
    for base in sorted(filter(project.busy, project.last)):
        if decision.reason is not Reason.IN_PROGRESS or decision.base != state.ref(base):
            current = ProjectVersion(str(decision.current.version)) if decision.current else None
            sentence = f"{_at_it(project.last[base])}, onto base {base}, which is not the wanted one any more"
            yield _attempted(state, project, current, base, (Reason.IN_PROGRESS, sentence))


def _attempted(
    state: RackState,
    project: ProjectState,
    current: ProjectVersion | None,
    base: BaseVersion,
    why: tuple[Reason, str],
) -> Skip:
    """A skip that tells of the last attempt as well."""
    last = project.last[base]
    holder = last.holder if why[0] is Reason.IN_PROGRESS else None
    attempt = {"holder": holder, "attempt": last.number, "since": last.at}
    return skip(state, project, current, base, why).model_copy(update=attempt)


def _at_it(last: Attempt) -> str:
    return f"{last.holder} has been at it since {last.at:%Y-%m-%d %H:%M} UTC"


def _verdict(
    project: ProjectState, wanted: Want, last: Attempt | None, request: str, policy: str
) -> tuple[Reason, str]:
    """What the last entry of the log makes of a wanted rebuild."""
    if last is None:
        return wanted.reason, wanted.sentence
    again = f"mend it, then ask with: cellar rebuild {project.model} --again WHY"
    if last.event is Event.ASKED:
        return Reason.ASKED_AGAIN, f"{wanted.sentence}; {last.by} asked for it" + (
            f" ({last.why})" if last.why else ""
        )
    if last.event is Event.LOST and last.lost < LOST_MOST:
        return Reason.WAS_LOST, f"{wanted.sentence}; the last attempt ended without a word"
    if project.busy(wanted.base):
        return Reason.IN_PROGRESS, _at_it(last)
    if last.request != request or (last.policy or policy) != policy:
        return (
            Reason.CHANGED_SINCE_FAILURE,
            f"{wanted.sentence}; its recipe or the rack's rules changed since the last attempt",
        )
    if last.event is Event.STARTED:
        return Reason.YANKED_BEFORE, f"was built on base {wanted.base}, and that was yanked: {again}"
    if last.event is Event.LOST:
        return Reason.FAILED_BEFORE, f"{last.lost} attempts in a row ended without a word: {again}"
    return Reason.FAILED_BEFORE, f"failed on base {wanted.base}" + (
        f" ({last.why})" if last.why else ""
    ) + f": {again}"


def _queued(policy: RackConfig, rebuild: Rebuild, overtaken: int) -> str:
    taken = f" ({overtaken} taken by other bases still)" if overtaken else ""
    return f"{rebuild.sentence}; waits for a free place, {policy.rebuild.max_parallel} at once{taken}"
