"""Which base each project should stand on, and why: a pure function of what a rack holds, its policy and the time."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from itertools import takewhile

from cellar_core.attempt import Attempt, Event
from cellar_core.choose import takes
from cellar_core.rack import Hold, OnBump, RackConfig
from cellar_core.record import Recipe
from cellar_core.ref import Caret, Model, Rack, Ref, Selector, Version
from cellar_core.value import Value
from cellar_core.version import BaseVersion, Bump, ProjectVersion
from cellar_core.versions import Versions

__all__ = ["ProjectState", "RackState", "Reason", "Skip", "Want", "skip", "want", "wants"]


class Reason(enum.StrEnum):
    """Why a project is rebuilt, or why it is not."""

    BASE_MINOR = "base_minor"
    BASE_MAJOR = "base_major"
    BASE_YANKED = "base_yanked"
    NEVER_BUILT = "never_built"
    ASKED_AGAIN = "asked_again"
    WAS_LOST = "was_lost"
    CHANGED_SINCE_FAILURE = "changed_since_failure"

    UP_TO_DATE = "up_to_date"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    TURNED_OFF = "turned_off"
    NO_BASE = "no_base"
    IN_PROGRESS = "in_progress"
    FAILED_BEFORE = "failed_before"
    YANKED_BEFORE = "yanked_before"
    UNREADABLE = "unreadable"
    QUEUED = "queued"


class Skip(Value):
    """A project that is not rebuilt now.

    Attributes:
        model: The project's model.
        base: The base it would be built from, if there is one.
        current: The version it has now, if any.
        reason: Why not.
        sentence: The same for people.
        holder: Who has the work, if it is in progress.
        attempt: The number of the last entry of its log, if it was read.
        since: When that entry was written.
    """

    model: Model
    base: Ref | None
    current: Ref | None
    reason: Reason
    sentence: str
    holder: str | None = None
    attempt: int = 0
    since: datetime | None = None


@dataclass(frozen=True)
class ProjectState:
    """What is known of one project.

    Attributes:
        model: Its model.
        versions: Its committed versions.
        yanked: Those of them that are yanked.
        recipe: The recipe of its newest version; None if it has none, or if it was not needed.
        last: By base, the last entry of the log of the rebuild onto it: of the base it wants, and of those newer than
            its versions.
        done: The requests that made those of its versions that stand on the base it wants.
        unreadable: What is wrong with the objects that a plan must read, if something is.
    """

    model: Model
    versions: Versions[ProjectVersion] = field(default_factory=Versions)
    yanked: frozenset[Version] = frozenset()
    recipe: Recipe | None = None
    last: Mapping[BaseVersion, Attempt] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    unreadable: str = ""

    def busy(self, base: BaseVersion) -> bool:
        """Whether somebody is at the rebuild onto *base*, as far as its log tells."""
        last = self.last.get(base)
        return last is not None and last.event is Event.STARTED and last.request not in self.done


@dataclass(frozen=True)
class RackState:
    """What is known of a rack.

    Attributes:
        cellar: The cellar's id, which is in the request of each rebuild; empty if nothing is wanted.
        rack: The rack.
        bases: Its committed bases.
        yanked: Those of them that are yanked.
        projects: Its projects.
        approved: What may be built from: pairs of project (``base`` for all of them) and base.
        trees: The digest of the files of each base that is wanted.
        unreadable: What is wrong with the record of a base, if something is.
    """

    cellar: str
    rack: Rack
    bases: Versions[BaseVersion]
    yanked: frozenset[Version] = frozenset()
    projects: tuple[ProjectState, ...] = ()
    approved: frozenset[tuple[str, BaseVersion]] = frozenset()
    trees: Mapping[BaseVersion, str] = field(default_factory=dict)
    unreadable: Mapping[BaseVersion, str] = field(default_factory=dict)

    @cached_property
    def good(self) -> Versions[BaseVersion]:
        """The bases that may be built from."""
        return self.bases.where(lambda base: base not in self.yanked)

    @cached_property
    def _followed(self) -> dict[str, Versions[BaseVersion]]:
        return {}

    def followed(self, track: str) -> Versions[BaseVersion]:
        """Those of the good bases that *track* follows; found once for many projects."""
        if track not in self._followed:
            self._followed[track] = self.good.where(_follows(track))
        return self._followed[track]

    def ref(self, base: BaseVersion) -> Ref:
        """The ref of a base of this rack."""
        return self.rack.base.at(base)


@dataclass(frozen=True)
class Want:
    """A project stands on another base than it should: the base it should stand on, and why."""

    base: BaseVersion
    reason: Reason
    sentence: str
    current: ProjectVersion | None = None


def want(state: RackState, policy: RackConfig, project: ProjectState, now: datetime) -> Want | Skip:
    """Whether *project* should be rebuilt, and onto which base; its log is not asked.

    Wanted: the base of its newest eligible version is not the newest eligible base. Not *older than*: a base that
    was yanked sends its projects back to the one before, and the sentence names the version that does not count.
    """
    found = _want(state, policy, project, now)
    if passed := _passed_over(state, project, found.current):
        sentence = f"{passed}; {found.sentence}"
        if isinstance(found, Skip):
            return found.model_copy(update={"sentence": sentence})
        return replace(found, sentence=sentence)
    return found


def wants(state: RackState, policy: RackConfig, now: datetime) -> dict[Model, Want | Skip]:
    """What ``want`` tells of each project."""
    return {project.model: want(state, policy, project, now) for project in state.projects}


def skip(
    state: RackState,
    project: ProjectState,
    current: ProjectVersion | None,
    base: BaseVersion | None,
    why: tuple[Reason, str],
) -> Skip:
    """That *project* is not rebuilt onto *base*, and why."""
    return Skip(
        model=project.model,
        base=state.ref(base) if base else None,
        current=project.model.at(current) if current else None,
        reason=why[0],
        sentence=why[1],
    )


def _want(state: RackState, policy: RackConfig, project: ProjectState, now: datetime) -> Want | Skip:
    rules = policy.project(project.model)
    followed = state.followed(rules.track)
    if (newest := followed.newest()) is None:
        return skip(state, project, None, None, (Reason.NO_BASE, "the rack has no base that it follows"))
    current = project.versions.newest(lambda one: one not in project.yanked and one.base in followed)
    target = followed.newest(_may(state, policy, project))
    if target is None or (current and current.base == target < newest):
        return skip(state, project, current, target, _waits(state, policy, project, newest))
    if current and current.base == target:
        there = f"stands on base {target}, the newest it follows"
        return skip(state, project, current, target, (Reason.UP_TO_DATE, there))
    wanted = _move(project, current, target)
    if rules.hold and rules.hold.holds(now):
        behind = sum(current.base < base <= target for base in followed) if current else 0
        return skip(state, project, current, target, (Reason.HELD, _held(rules.hold, wanted, behind)))
    return wanted


def _follows(track: str) -> Callable[[BaseVersion], bool]:
    """Which bases *track* lets a project follow."""
    if track == "latest":
        return lambda base: True
    choice = Selector(f"rack/base@{track}").choice
    if isinstance(choice, Caret):
        return partial(takes, choice)
    from packaging.specifiers import SpecifierSet

    specifiers = SpecifierSet(track)
    return lambda base: specifiers.contains(str(base))


def _may(state: RackState, policy: RackConfig, project: ProjectState) -> Callable[[BaseVersion], bool]:
    """Which bases the project may move to without asking anybody (any more)."""
    versions = project.versions
    approved = {one.numbers for name, one in state.approved if name in ("base", project.model.project)}
    tested = {x for x, _ in approved}
    minor = policy.rebuild.on_minor is OnBump.AUTO
    major = policy.rebuild.on_major is OnBump.AUTO or not versions
    known = dict[int, bool]()

    def may(base: BaseVersion) -> bool:
        x = base.numbers[0]
        if x not in known:
            known[x] = _knows(project, x)
        if known[x]:
            return minor or base.numbers in approved or bool(versions.on(*base.numbers))
        return major or x in tested

    return may


def _knows(project: ProjectState, x: int) -> bool:
    """Whether the project has ever stood on this ``X``, so that moving to a base of it is a minor bump for it."""
    return bool(project.versions.on(x))


def _passed_over(state: RackState, project: ProjectState, current: ProjectVersion | Ref | None) -> str:
    """Which version would be the project's newest, had nobody yanked it or its base."""
    number = current.version if isinstance(current, Ref) else current
    for newer in takewhile(lambda one: one != number, reversed(project.versions)):
        if newer in project.yanked or newer.base in state.yanked:
            cause = "it" if newer in project.yanked else f"base {newer.base}"
            return f"{newer} does not count, as {cause} is yanked"
    return ""


def _move(project: ProjectState, current: ProjectVersion | None, target: BaseVersion) -> Want:
    if not project.versions:
        return Want(target, Reason.NEVER_BUILT, f"has no version yet; base {target} is the newest it follows")
    if current is None:
        sentence = f"stands on no base that it follows; base {target} is the newest"
        return Want(target, Reason.BASE_YANKED, sentence)
    major = Bump.between(current.base, target) is Bump.MAJOR
    reason = Reason.BASE_MAJOR if major else Reason.BASE_MINOR
    return Want(target, reason, f"{current} stands on base {current.base}; base {target} is newer", current)


def _waits(
    state: RackState, policy: RackConfig, project: ProjectState, newer: BaseVersion
) -> tuple[Reason, str]:
    major = not _knows(project, newer.major)
    key, rule = ("on_major", policy.rebuild.on_major) if major else ("on_minor", policy.rebuild.on_minor)
    if rule is OnBump.NEVER:
        return Reason.TURNED_OFF, f'base {newer} is newer, but {key} = "never"'
    tests = "a new X needs integration tests" if major else f'{key} = "approve"'
    return Reason.AWAITING_APPROVAL, f"base {newer} is newer, but {tests}: cellar approve {state.ref(newer)}"


def _held(hold: Hold, wanted: Want, behind: int) -> str:
    lag = f"{behind} bump{'s' * (behind > 1)} behind" if behind else wanted.sentence
    return f"is held ({hold}); {lag}"
