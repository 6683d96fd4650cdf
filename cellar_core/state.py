"""Reading what a plan needs: two listings, and then only what is wanted is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from cellar_core import layout
from cellar_core.attempt import Attempt
from cellar_core.catalog import Catalog
from cellar_core.rack import RackConfig
from cellar_core.record import Record, Unreadable
from cellar_core.ref import Model, Rack, Ref
from cellar_core.store import Store
from cellar_core.version import BaseVersion
from cellar_core.want import ProjectState, RackState, Skip, Want, wants

__all__ = ["load", "outline", "read_attempt", "unknown"]

Numbers = Mapping[BaseVersion, int]


def outline(store: Store, rack: Rack, config: RackConfig) -> RackState:
    """What names and sizes tell of *rack*: enough to know what is wanted, not enough for a plan."""
    return _outline(
        rack, config, Catalog(store.find(layout.records(rack))), store.find(layout.rebuild_logs(rack))
    )


def unknown(model: Model) -> ProjectState:
    """The state of a project that the rack has not heard of."""
    return ProjectState(model)


def load(
    store: Store, identify: Callable[[], str], rack: Rack, config: RackConfig, now: datetime
) -> tuple[RackState, Mapping[Model, Want | Skip]]:
    """The state of *rack* as a plan needs it, and what its projects want.

    Args:
        store: Where to read.
        identify: Gives the cellar's id; asked only if something is wanted.
        rack: The rack.
        config: Its policy, which decides what is wanted and so what has to be read.
        now: The time.
    """
    records, rebuilds = store.each(store.find, (layout.records(rack), layout.rebuild_logs(rack)))
    state = _outline(rack, config, Catalog(records), rebuilds)
    wanted = wants(state, config, now)
    bases = {one.base for one in wanted.values() if isinstance(one, Want)}
    if not bases:
        return state, wanted
    numbers = _numbers(rebuilds)
    projects = store.each(
        lambda project: _details(
            store, project, wanted[project.model], config, numbers.get(project.model, {})
        ),
        state.projects,
    )
    trees = dict(zip(bases, store.each(lambda base: _tree(store, state.ref(base)), bases), strict=True))
    known = {base: tree for base, tree in trees.items() if isinstance(tree, str)}
    broken = {base: str(tree) for base, tree in trees.items() if isinstance(tree, Unreadable)}
    state = replace(state, cellar=identify(), trees=known, projects=tuple(projects), unreadable=broken)
    return state, wanted


def _outline(rack: Rack, config: RackConfig, catalog: Catalog, rebuilds: Mapping[str, int]) -> RackState:
    bases = catalog.bases(rack.base)
    models = {model for model in catalog.models if not model.is_base} | {
        rack.project(name) for name in config.projects
    }
    projects = []
    for model in sorted(models):
        versions = catalog.builds(model)
        yanked = frozenset(filter(versions.__contains__, catalog.yanked_of(model)))
        projects.append(ProjectState(model, versions, yanked))
    return RackState(
        cellar="",
        rack=rack,
        bases=bases,
        yanked=frozenset(filter(bases.__contains__, catalog.yanked_of(rack.base))),
        projects=tuple(projects),
        approved=frozenset(filter(None, (layout.parse_approval(key, rack) for key in rebuilds))),
    )


def _numbers(rebuilds: Mapping[str, int]) -> Mapping[Model, Numbers]:
    """By project and base, the number of the last entry of the log of that rebuild."""
    numbers: dict[Model, dict[BaseVersion, int]] = {}
    for model, base, number in filter(None, map(layout.parse_rebuild, rebuilds)):
        last = numbers.setdefault(model, {})
        last[base] = max(number, last.get(base, 0))
    return numbers


def _details(
    store: Store, project: ProjectState, wanted: Want | Skip, config: RackConfig, numbers: Numbers
) -> ProjectState:
    """The last attempts of a project; its recipe and what was built already, if it is wanted."""
    project = replace(project, last=_going(store, project, numbers))
    if not isinstance(wanted, Want):
        return project
    try:
        recipe = None
        newest = project.versions.newest()
        if newest and config.project(project.model).recipe is None:
            recipe = _record(store, project.model.at(newest)).recipe
        here = project.versions.on(*wanted.base.numbers)
        done = frozenset(
            filter(None, (_record(store, project.model.at(version)).request for version in here))
        )
        last = dict(project.last)
        if wanted.base in numbers and wanted.base not in last:
            last[wanted.base] = read_attempt(store, project.model, wanted.base, numbers[wanted.base])
    except Unreadable as error:
        return replace(project, unreadable=str(error))
    return replace(project, recipe=recipe, done=done, last=last)


def _going(store: Store, project: ProjectState, numbers: Numbers) -> dict[BaseVersion, Attempt]:
    """The last attempts onto bases newer than any that the project has a version on: they may still be going on."""
    newest = project.versions.newest()
    going = {}
    for base, number in numbers.items():
        if newest is None or base > newest.base:
            with suppress(Unreadable):  # it is told if that base is the wanted one
                going[base] = read_attempt(store, project.model, base, number)
    return going


def read_attempt(store: Store, model: Model, base: BaseVersion, number: int) -> Attempt:
    """Entry *number* of the log of a rebuild; raises Unreadable."""
    key = layout.entry(layout.rebuild_log(model, base), number)
    attempt = Attempt.from_bytes(store.read(key) or b"", key)
    return attempt.model_copy(update={"number": number})


def _tree(store: Store, base: Ref) -> str | Unreadable:
    try:
        return _record(store, base).tree
    except Unreadable as error:
        return error


def _record(store: Store, ref: Ref) -> Record:
    key = layout.record(ref)
    return Record.from_bytes(store.read(key) or b"", key)
