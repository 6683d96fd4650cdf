"""Hypothesis strategies for what the core speaks of: versions, names, recipes, and what a plan is made from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from cellar_core.attempt import Attempt, Event
from cellar_core.digest import digest_json
from cellar_core.rack import Hold, OnBump, ProjectPolicy, RackConfig, RebuildPolicy
from cellar_core.record import Recipe
from cellar_core.ref import InvalidRef, Model, Rack
from cellar_core.version import BaseVersion, ProjectVersion
from cellar_core.versions import Versions
from cellar_core.want import ProjectState, RackState

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RACK = Rack("vit/vit-l")

numbers = st.integers(0, 999_999_999)
small = st.integers(0, 12)


def base_versions(numbers: st.SearchStrategy[int] = numbers) -> st.SearchStrategy[BaseVersion]:
    """Versions ``X.Y``."""
    return st.builds(lambda x, y: BaseVersion(f"{x}.{y}"), numbers, numbers)


def project_versions(numbers: st.SearchStrategy[int] = numbers) -> st.SearchStrategy[ProjectVersion]:
    """Versions ``X.Y.Z``."""
    updates = numbers.map(lambda number: max(number, 1))
    return st.builds(lambda base, z: ProjectVersion(f"{base}.{z}"), base_versions(numbers), updates)


versions = st.one_of(base_versions(), project_versions())
nearby = st.one_of(base_versions(small), project_versions(small))
"""Versions that are often equal, or differ in one part only."""


def _is_name(text: str) -> bool:
    try:
        Model(f"rack/{text}")
    except InvalidRef:
        return False
    return text != "base"


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(_is_name)
racks = st.lists(names, min_size=1, max_size=4).map("/".join).map(Rack)
models = st.builds(lambda rack, name: rack.project(name), racks, names | st.just("base"))

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
recipes = st.builds(
    Recipe,
    code=st.none() | st.text(max_size=8),
    data=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    parameters=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    seed=st.none() | st.integers(0, 2**32),
)

# What a plan is made from. Few and small numbers, so that the cases that matter are met often.

PROJECTS = ("projectA", "projectB", "projectC")
few_bases = st.sampled_from([BaseVersion(text) for text in ("0.1", "0.2", "1.0", "1.1", "1.2", "2.0", "2.1")])
holders = st.sampled_from(["airflow:retune:1", "prefect:retune:2"])
tracks = st.sampled_from(["latest", "^1", "^2", "^0.2", ">=1.1,<2", "~=1.0"])
holds = st.none() | st.builds(
    Hold,
    reason=st.just("audit"),
    owner=st.just("kim"),
    until=st.sampled_from([None, NOW - timedelta(1), NOW + timedelta(1)]),
)


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    """The last entry of a rebuild's log."""
    event = draw(st.sampled_from(Event))
    number = draw(st.integers(1, 5))
    return Attempt(
        event=event,
        number=number,
        request=draw(st.sampled_from([digest_json("one"), digest_json("two")])),
        holder=draw(holders),
        policy=digest_json("some rules") if event is Event.FAILED else None,
        asked=number if event is Event.ASKED else draw(st.integers(0, number - 1)),
        lost=draw(st.integers(1, 4)) if event is Event.LOST else 0,
        at=NOW,
    )


@st.composite
def projects(draw: st.DrawFn, name: str, bases: list[BaseVersion]) -> ProjectState:
    """One project with versions on some of *bases*, and the logs of its rebuilds."""
    on = draw(st.lists(st.sampled_from(bases), max_size=3)) if bases else []
    versions = Versions({ProjectVersion(f"{base}.{draw(st.integers(1, 3))}") for base in on})
    return ProjectState(
        model=RACK.project(name),
        versions=versions,
        yanked=frozenset(draw(st.sets(st.sampled_from(sorted(versions)))) if versions else ()),
        recipe=draw(recipes) if versions else None,
        last=draw(st.dictionaries(st.sampled_from(bases), attempts(), max_size=2)) if bases else {},
        unreadable=draw(st.sampled_from(["", "", "", "…/1.0.1.json is not JSON"])),
    )


@st.composite
def rack_states(draw: st.DrawFn) -> RackState:
    """A rack with bases, yanks, approvals and up to three projects."""
    bases = sorted(draw(st.sets(few_bases)))
    some = st.sets(st.sampled_from(bases)) if bases else st.just(set[BaseVersion]())
    names = draw(st.sets(st.sampled_from(PROJECTS)))
    return RackState(
        cellar="a cellar",
        rack=RACK,
        bases=Versions(bases),
        trees={base: digest_json(str(base)) for base in bases},
        yanked=frozenset(draw(some)),
        projects=tuple(draw(projects(name, bases)) for name in sorted(names)),
        approved=frozenset(
            (name, base)
            for base in draw(some)
            for name in draw(st.sets(st.sampled_from(("base", *PROJECTS)), max_size=2))
        ),
    )


policies = st.builds(
    RackConfig,
    rebuild=st.builds(
        RebuildPolicy,
        on_minor=st.sampled_from(OnBump),
        on_major=st.sampled_from(OnBump),
        max_parallel=st.integers(1, 3),
    ),
    projects=st.dictionaries(
        st.sampled_from(PROJECTS),
        st.builds(ProjectPolicy, hold=holds, track=tracks, recipe=st.none() | recipes),
        max_size=2,
    ),
)
