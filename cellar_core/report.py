"""What a rack holds, for people: its bases, the projects' models that hang from them, what is stale and why.

``tree``, ``markdown`` and ``page`` show it. Every string in it is untrusted: whoever registers a version writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cellar_core import layout, lookup
from cellar_core.alias import meanings
from cellar_core.catalog import Catalog
from cellar_core.errors import CellarError
from cellar_core.plan import Plan, Rebuild
from cellar_core.record import Record, Unreadable
from cellar_core.ref import Model, Rack, Ref
from cellar_core.value import Value
from cellar_core.version import BaseVersion, Bump
from cellar_core.want import Reason, Skip
from cellar_core.yank import Yank

if TYPE_CHECKING:
    from cellar_core.cellar import Cellar

__all__ = [
    "RackReport",
    "RackSummary",
    "Sheet",
    "VersionReport",
    "decisions",
    "facts",
    "headline",
    "overview",
    "read",
    "read_current",
    "read_model",
    "stale",
]


class VersionReport(Value):
    """One version.

    Attributes:
        ref: The version.
        base: The base that it was made from; None for a base.
        aliases: The aliases that mean it.
        yanked: Whether it was yanked.
        base_yanked: Whether the base that it was made from was; no selector chooses it then either.
        bump: Which number rose, for a base.
        metrics: What its record says.
        metrics_before: The same of the version before it, of the same model.
        files: How many files it has.
        size: Their size in bytes.
        created_at: When it was registered.
        created_by: By whom.
        notes: Free text.
        unreadable: What is wrong with its record, if something is; all that is read from it is empty then.
        record: The whole record; not in JSON, where ``cellar show`` has it. None if it was not read, and what is read
            from it is empty then.
    """

    ref: Ref
    base: Ref | None
    aliases: tuple[str, ...]
    yanked: bool
    base_yanked: bool = False
    bump: Bump | None = None
    metrics: Mapping[str, Any] = Field(default_factory=dict)
    metrics_before: Mapping[str, Any] = Field(default_factory=dict)
    files: int = 0
    size: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    notes: str = ""
    unreadable: str = ""
    record: Record | None = Field(default=None, exclude=True, repr=False)


class RackReport(Value):
    """A rack.

    Attributes:
        rack: Which one.
        plan: What is planned for it.
        versions: Its versions, those of the base first, each model's ascending.
        holds: By project, the hold on it, also while it keeps nothing back; not in JSON, where the plan tells of it.
    """

    rack: Rack
    plan: Plan
    versions: tuple[VersionReport, ...]
    holds: Mapping[Model, str] = Field(default_factory=dict, exclude=True)

    def of(self, model: Model) -> list[VersionReport]:
        """The versions of *model*, ascending."""
        return [version for version in self.versions if version.ref.model == model]


class RackSummary(Value):
    """A rack in one line: its newest base, how many projects it has, and how many of them are stale.

    Attributes:
        rack: The rack.
        base: The version of its newest base, if it has one.
        projects: How many projects it has.
        stale: How many of them do not stand on the newest base that they follow.
        problem: Why nothing is known of it, if that is so.
    """

    rack: Rack
    base: BaseVersion | None = None
    projects: int = 0
    stale: int = 0
    problem: str = ""


class Sheet(Value):
    """All about one version.

    Attributes:
        record: Its record.
        aliases: The aliases that mean it.
        yanked: Whether it was yanked.
        yanks: Why no selector chooses it: its own yank, and that of the base it stands on.
        children: What was made from it.
    """

    record: Record
    aliases: tuple[str, ...]
    yanked: bool
    yanks: tuple[Yank, ...]
    children: tuple[Ref, ...]

    @classmethod
    def of(cls, cellar: Cellar, record: Record) -> Sheet:
        """The sheet of the version that *record* is of."""
        catalog = Catalog(cellar.store.find(layout.records(record.ref.rack)))
        refs = [model.at(version) for model in catalog.models for version in catalog.versions(model)]
        return cls(
            record=record,
            aliases=_aliases(cellar, record.model).get(record.ref, ()),
            yanked=catalog.yanked(record.ref),
            yanks=cellar.yanks(record.ref),
            children=tuple(ref for ref in refs if ref.base == record.ref != ref),
        )


def read(cellar: Cellar, rack: Rack | str, *, most: int | None = None) -> RackReport:
    """Look at a rack; raises what ``Cellar.plan`` raises.

    Args:
        cellar: Where the rack is.
        rack: The rack.
        most: How many records to read, of which each is a request; all if None. First come those of the versions that
            are current or that an alias means, then the newest of each model in turn. Of any other version only
            what a listing tells is known: that it is there, and whether it was yanked.
    """
    return _read(cellar, Rack(rack), partial(_newest, most=most))


def read_current(cellar: Cellar, rack: Rack | str) -> RackReport:
    """Like ``read``, but of the projects, only what is current or has an alias is read, and the version before it."""
    return _read(cellar, Rack(rack), _bases_and_current)


def read_model(cellar: Cellar, model: Model) -> list[VersionReport]:
    """The versions of one model, ascending; reads the record of each."""
    catalog = lookup.catalog(cellar.store, model)
    refs = [model.at(version) for version in catalog.versions(model)]
    return _versions(cellar, catalog, refs, refs, _aliases(cellar, model))


_Choose = Callable[[Catalog, Collection[Ref]], Iterable[Ref]]
"""Chooses which records are read, from what there is, and the versions that are current or that an alias means."""


def _read(cellar: Cellar, rack: Rack, choose: _Choose) -> RackReport:
    planned, policy, now = cellar.plan(rack), cellar.config(rack), datetime.now(UTC)
    catalog = Catalog(cellar.store.find(layout.records(rack)))
    refs = [model.at(version) for model in catalog.models for version in catalog.versions(model)]
    aliases = _aliases(cellar, rack)
    decided = decisions(planned)
    matter = {*aliases, *(decision.current for decision in decided if decision.current)}
    holds = {decision.model: policy.project(decision.model).hold for decision in decided}
    return RackReport(
        rack=rack,
        plan=planned,
        versions=tuple(_versions(cellar, catalog, refs, choose(catalog, matter), aliases)),
        holds={model: str(hold) for model, hold in holds.items() if hold and hold.holds(now)},
    )


def _newest(catalog: Catalog, matter: Collection[Ref], most: int | None) -> list[Ref]:
    ranks = {
        model.at(version): rank
        for model in catalog.models
        for rank, version in enumerate(catalog.descending(model))
    }
    return sorted(ranks, key=lambda ref: (ref not in matter, ranks[ref]))[:most]


def _bases_and_current(catalog: Catalog, matter: Collection[Ref]) -> Iterator[Ref]:
    """The bases, and what matters, each with the version before it."""
    for model in catalog.models:
        refs = [model.at(version) for version in catalog.versions(model)]
        for before, ref in zip([None, *refs], refs, strict=False):
            if model.is_base or ref in matter:
                yield from filter(None, (before, ref))


def overview(cellar: Cellar) -> list[RackSummary]:
    """All racks, by name, each planned; what is wrong with one of them hides none of the others."""
    return cellar.store.each(partial(_summary, cellar), cellar.racks())


def _summary(cellar: Cellar, rack: Rack) -> RackSummary:
    try:
        planned = cellar.plan(rack)
    except CellarError as error:
        return RackSummary(rack=rack, problem=str(error))
    base = BaseVersion(str(planned.head.version)) if planned.head else None
    return RackSummary(rack=rack, base=base, projects=len(decisions(planned)), stale=len(stale(planned)))


def _versions(
    cellar: Cellar,
    catalog: Catalog,
    refs: Iterable[Ref],
    chosen: Iterable[Ref],
    aliases: Mapping[Ref, tuple[str, ...]],
) -> list[VersionReport]:
    """Look at *refs*, which are in order; the records of those that are *chosen* are read."""
    chosen = list(dict.fromkeys(chosen))
    recorded = dict(zip(chosen, cellar.store.each(partial(_recorded, cellar), chosen), strict=True))
    found: list[VersionReport] = []
    for ref in refs:
        before = found[-1] if found and found[-1].ref.model == ref.model else None
        found.append(
            VersionReport(
                ref=ref,
                base=None if ref.model.is_base else ref.base,
                aliases=aliases.get(ref, ()),
                yanked=catalog.yanked(ref),
                base_yanked=not ref.model.is_base and catalog.yanked(ref.base),
                metrics_before=before.metrics if before else {},
                **recorded.get(ref, {}),
            )
        )
    return found


def _recorded(cellar: Cellar, ref: Ref) -> dict[str, Any]:
    try:
        record = lookup.record(cellar.store, ref)
    except Unreadable as error:  # an error of this version only
        return {"unreadable": str(error)}
    same = {name: getattr(record, name) for name in ("bump", "metrics", "created_at", "created_by", "notes")}
    return {**same, "files": len(record.files), "size": record.size, "record": record}


def _aliases(cellar: Cellar, of: Model | Rack) -> dict[Ref, tuple[str, ...]]:
    found: dict[Ref, tuple[str, ...]] = {}
    for (_, name), ref in meanings(cellar.store, of).items():
        found[ref] = (*found.get(ref, ()), name)
    return found


def decisions(plan: Plan) -> list[Rebuild | Skip]:
    """What a plan says of each project, by name."""
    return sorted([*plan.rebuilds, *plan.skips], key=lambda decision: str(decision.model))


def stale(plan: Plan) -> list[Rebuild | Skip]:
    """The decisions on what does not stand on the newest base that it follows."""
    return [decision for decision in decisions(plan) if decision.reason is not Reason.UP_TO_DATE]


def facts(record: Record) -> dict[str, str]:
    """What a record says of how its version came to be, and its digests; a value that is no text is JSON."""
    origin = record.origin.model_dump(mode="json", exclude_defaults=True)
    found: dict[str, Any] = {
        "again": record.again,
        **{f"recipe {name}": value for name, value in record.recipe.facts().items()},
        **{f"origin {name}": value for name, value in origin.items()},
        "request": record.request or "",
        "identity": record.identity,
        "tree": record.tree,
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in found.items()
        if value != ""
    }


def headline(plan: Plan) -> str:
    """A rack in a few words."""
    head = f"newest base {plan.head.version}" if plan.head else "no base yet"
    count, late = len(decisions(plan)), len(stale(plan))
    return f"{head}, {count} project{'s' * (count != 1)}{f', {late} stale' if late else ''}"
