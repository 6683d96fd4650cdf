"""A rack for people: its bases, the projects' models that hang from them, what is stale and why.

Every string in it is untrusted, as whoever registers a version writes it: control characters are shown, not obeyed,
and Markdown is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from cellar_core import layout
from cellar_core.catalog import Catalog
from cellar_core.payload import WORKERS
from cellar_core.plan import Plan, Reason, Rebuild, Skip
from cellar_core.record import Record, Unreadable
from cellar_core.ref import Model, Rack, Ref
from cellar_core.version import Bump

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from cellar_core.cellar import Cellar

__all__ = ["RackReport", "VersionReport", "changes", "markdown", "numbers", "printable", "read", "tree"]

METRICS_MOST = 3
"""So many metrics are shown beside a version; ``cellar show`` has them all."""


class VersionReport(BaseModel):
    """One version.

    Attributes:
        ref: The version.
        base: The base that it was made from; None for a base.
        before: The version of the same model before it, which its metrics are compared with.
        bump: Which number rose, for a base.
        metrics: What its record says.
        aliases: The aliases that mean it.
        yanked: Whether it was yanked.
        files: How many files it has.
        size: Their size in bytes.
        created_at: When it was registered.
        created_by: By whom.
        notes: Free text.
        unreadable: What is wrong with its record, if something is; all from *bump* on is empty then.
    """

    model_config = ConfigDict(frozen=True)

    ref: Ref
    base: Ref | None
    before: Ref | None
    aliases: tuple[str, ...] = ()
    yanked: bool = False
    bump: Bump | None = None
    metrics: Mapping[str, Any] = Field(default_factory=dict)
    files: int = 0
    size: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    notes: str = ""
    unreadable: str = ""


class RackReport(BaseModel):
    """A rack: what is planned for it, and its versions, base first, each model's ascending."""

    model_config = ConfigDict(frozen=True)

    rack: Rack
    plan: Plan
    versions: tuple[VersionReport, ...]

    def of(self, model: Model) -> list[VersionReport]:
        """The versions of *model*, ascending."""
        return [version for version in self.versions if version.ref.model == model]

    @property
    def decisions(self) -> list[Rebuild | Skip]:
        """What the plan says of each project, by name."""
        return sorted([*self.plan.rebuilds, *self.plan.skips], key=lambda decision: str(decision.model))


def read(cellar: Cellar, rack: Rack | str) -> RackReport:
    """Look at a rack; reads the record of each version, and raises what ``Cellar.plan`` raises."""
    rack = Rack(rack)
    planned = cellar.plan(rack)
    catalog = Catalog(cellar.store.find(layout.records(rack)))
    with ThreadPoolExecutor(WORKERS) as pool:
        aliases = dict(zip(catalog.models, pool.map(cellar.aliases, catalog.models), strict=True))
        refs = [model.at(version) for model in catalog.models for version in catalog.versions(model)]
        records = pool.map(lambda ref: _record(cellar, ref), refs)
        versions = [
            _version(
                ref,
                record,
                before=before if before and before.model == ref.model else None,
                aliases=tuple(name for name, meant in aliases[ref.model].items() if meant == ref),
                yanked=catalog.yanked(ref),
            )
            for before, ref, record in zip([None, *refs], refs, records, strict=False)
        ]
    return RackReport(rack=rack, plan=planned, versions=tuple(versions))


def _record(cellar: Cellar, ref: Ref) -> Record | Unreadable:
    try:
        return cellar.resolve(ref)
    except Unreadable as error:
        return error


def _version(ref: Ref, record: Record | Unreadable, **facts: Any) -> VersionReport:
    facts |= {"ref": ref, "base": None if ref.model.is_base else ref.base}
    if isinstance(record, Unreadable):
        return VersionReport(**facts, unreadable=str(record))
    return VersionReport(
        **facts,
        bump=record.bump,
        metrics=record.metrics,
        files=len(record.files),
        size=record.size,
        created_at=record.created_at,
        created_by=record.created_by,
        notes=record.notes,
    )


# What numbers say


def numbers(metrics: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """The numbers among metrics, however deep.

    >>> dict(numbers({"accuracy": 0.9, "by": {"class": {"a": 1}}, "note": "x"}))
    {'accuracy': 0.9, 'by.class.a': 1}
    """
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{within}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{within}{name}", value


def changes(before: Mapping[str, Any], after: Mapping[str, Any], most: int | None = METRICS_MOST) -> str:
    """The metrics of a version, each with what it was before, if that is known and another.

    >>> changes({"accuracy": 0.9, "loss": 1}, {"accuracy": 0.95, "loss": 1})
    'accuracy 0.9 → 0.95, loss 1'
    """
    old = dict(numbers(before))
    found = list(numbers(after))
    shown = [
        f"{printable(name)} {old[name]:.4g} → {value:.4g}"
        if name in old and old[name] != value
        else f"{printable(name)} {value:.4g}"
        for name, value in found[:most]
    ]
    return ", ".join([*shown, "…"] if len(found) > len(shown) else shown)


def printable(text: object) -> str:
    r"""*text* in one line, with what could steer a terminal or turn the reading direction shown as an escape.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))


def _compared(report: RackReport, version: VersionReport) -> str:
    before = next((one.metrics for one in report.versions if one.ref == version.before), {})
    return changes(before, version.metrics)


# As a tree


def tree(cellar: Cellar, rack: Rack | str) -> Tree:
    """A rack as a tree for the terminal: bases with their metrics, and on each the projects' models made from it."""
    return draw(read(cellar, rack))


def draw(report: RackReport) -> Tree:
    """Like tree, of a report that was read already."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text.assemble((str(report.rack), "bold"), "  ", _headline(report)))
    branches = {
        version.ref: root.add(_label(report, version, None)) for version in report.of(report.rack.base)
    }
    decisions = {decision.model: decision for decision in report.decisions}
    for version in report.versions:
        if version.base:
            branch = branches.get(version.base, root)
            branch.add(_label(report, version, decisions.get(version.ref.model)))
    for decision in report.decisions:
        if decision.current is None:
            root.add(Text.assemble((decision.model.project, "bold"), "  ", *_mark(decision)))
    return root


def _headline(report: RackReport) -> str:
    count = len(report.decisions)
    stale = sum(decision.reason is not Reason.UP_TO_DATE for decision in report.decisions)
    head = f"newest base {report.plan.head.version}" if report.plan.head else "no base yet"
    projects = f"{count} project{'s' * (count != 1)}"
    return f"{head}, {projects}, {stale} stale" if stale else f"{head}, {projects}"


def _label(report: RackReport, version: VersionReport, decision: Rebuild | Skip | None) -> Text:
    from rich.text import Text

    current = decision is None or decision.current == version.ref
    text = Text(style="" if current else "dim")
    text.append(f"{version.ref.project} {version.ref.version}", "bold" if current else "")
    if metrics := _compared(report, version):
        text.append(f"  {metrics}")
    if version.aliases:
        text.append(f"  {', '.join(version.aliases)}", "cyan")
    if version.yanked:
        text.append("  yanked", "red")
    if version.unreadable:
        text.append(f"  {printable(version.unreadable)}", "red")
    if decision and decision.current == version.ref and decision.reason is not Reason.UP_TO_DATE:
        text.append("  ").append_text(Text.assemble(*_mark(decision)))
    return text


def _mark(decision: Rebuild | Skip) -> tuple[tuple[str, str], str]:
    word = f"stale, {_state(decision)}" if decision.current else _state(decision)
    return (f"{word}: ", "yellow" if isinstance(decision, Rebuild) else "magenta"), printable(
        decision.sentence
    )


def _state(decision: Rebuild | Skip) -> str:
    return "to be rebuilt" if isinstance(decision, Rebuild) else decision.reason.replace("_", " ")


# As Markdown


def markdown(cellar: Cellar, rack: Rack | str) -> str:
    """A rack as Markdown (GitHub's, which Prefect's artifacts are too): a table of its projects and one of its bases."""
    report = read(cellar, rack)
    newest = {version.ref: version for version in report.versions}
    projects = [
        (
            decision.model.project,
            decision.current.version if decision.current else "",
            decision.current.base.version if decision.current else "",
            _compared(report, newest[decision.current]) if decision.current in newest else "",
            f"{_state(decision)}: {decision.sentence}",
        )
        for decision in report.decisions
    ]
    bases = [
        (
            f"{version.ref.version}{' (yanked)' * version.yanked}",
            version.bump or "",
            _compared(report, version),
            f"{version.created_at:%Y-%m-%d %H:%M} UTC" if version.created_at else version.unreadable,
            version.notes,
        )
        for version in reversed(report.of(report.rack.base))
    ]
    parts = [
        f"# {_escape(report.rack)}",
        f"{_headline(report).capitalize()}.",
        _table(("Project", "Version", "From base", "Metrics", "Decision"), projects),
        _table(("Base", "Bump", "Metrics", "Registered", "Notes"), bases),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: object) -> str:
    r"""*text* so that Markdown shows it and makes neither markup, HTML, nor a link of it.

    >>> _escape("a|b <img> www.example.com 1.5")
    'a\\|b \\<img\\> www\\.example\\.com 1.5'
    """
    return re.sub(r"(?<!\d)\.|\.(?!\d)|[!-&*+:-@\[-`{-~]", r"\\\g<0>", printable(text))
