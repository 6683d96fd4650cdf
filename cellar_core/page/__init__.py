"""Racks as HTML: pages that hold all they need, work without a script, and read on a phone, in the dark and on paper.

Jinja2 makes them, since it escapes whatever a template does not spell out: every string in a registry is untrusted.
Besides, each page carries a policy by which a browser runs no script in it, and loads nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellar_core.plan import Reason, Rebuild, Skip
from cellar_core.ref import Model, Rack, Ref
from cellar_core.report import (
    RackReport,
    RackSummary,
    VersionReport,
    changes,
    decisions,
    facts,
    headline,
    numbers,
    printable,
)

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Links", "anchor", "problem", "rack", "racks"]

Links = Callable[[Rack | None], str]
"""Gives the address of a rack's page, and of the page of all racks for None."""

FILES_MOST = 50
"""So many files are listed with a version; ``cellar show`` has them all."""
TONES = {
    Reason.UP_TO_DATE: "good",
    Reason.IN_PROGRESS: "busy",
    Reason.QUEUED: "busy",
    Reason.FAILED_BEFORE: "bad",
    Reason.YANKED_BEFORE: "bad",
    Reason.UNREADABLE: "bad",
}
"""The colour of a project that is not rebuilt now; its words say the same. Without one, it waits for a person."""


def rack(report: RackReport, *, links: Links | None = None, now: datetime | None = None) -> str:
    """The page of one rack: what is stale and why, which version stands on which base, and all about each version.

    Args:
        report: What ``report.read`` found.
        links: Where the other pages are, if there are some.
        now: When it was read; now if None.
    """
    of: dict[Model, list[VersionReport]] = defaultdict(list)
    on: dict[Ref, list[VersionReport]] = defaultdict(list)
    for version in report.versions:
        of[version.ref.model].append(version)
        if version.base:
            on[version.base].append(version)
    projects = [Project(decision, of[decision.model]) for decision in decisions(report.plan)]
    return _render(
        "rack.html",
        now,
        title=report.rack,
        headline=_sentence(headline(report.plan)),
        head=report.plan.head,
        bases=of[report.rack.base][::-1],
        children=on,
        projects=sorted(projects, key=lambda project: project.tone == "good"),  # first what needs a look
        links=links,
    )


def racks(
    summaries: Sequence[RackSummary],
    *,
    links: Links,
    where: str = "",
    others: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> str:
    """The page of all racks of a cellar, each in one line.

    Args:
        summaries: What ``report.overview`` found.
        links: Where the page of each rack is.
        where: What the cellar is known by.
        others: Of other cellars, what they are known by and where their pages are.
        now: When it was read; now if None.
    """
    return _render("racks.html", now, title="Racks", racks=summaries, links=links, where=where, others=others)


def problem(title: str, message: str, *, links: Links | None = None, now: datetime | None = None) -> str:
    """A page that says what is wrong, and what to do."""
    return _render("problem.html", now, title=title, message=message, links=links)


def anchor(ref: Ref) -> str:
    """Where a version is on the page of its rack.

    >>> anchor(Ref("vit/vit-l/projectA/1.2.3"))
    'projectA/1.2.3'
    """
    return f"{ref.project}/{ref.version}"


@dataclass(frozen=True)
class Project:
    """A project: what is decided for it, and its versions, ascending."""

    decision: Rebuild | Skip
    versions: Sequence[VersionReport]

    @property
    def name(self) -> str:
        """Its name in the rack."""
        return self.decision.model.project

    @property
    def state(self) -> str:
        """What is decided, in a few words; the decision's sentence has more."""
        if isinstance(self.decision, Rebuild):
            return "to be rebuilt"
        return self.decision.reason.replace("_", " ")

    @property
    def tone(self) -> str:
        """The colour of that."""
        if isinstance(self.decision, Rebuild):
            return "todo"
        return TONES.get(self.decision.reason, "waits")

    @property
    def current(self) -> VersionReport | None:
        """The version that it has now."""
        return next((one for one in self.versions if one.ref == self.decision.current), None)

    def on(self, base: Ref) -> list[VersionReport]:
        """Its versions made from *base*."""
        return [version for version in self.versions if version.base == base]

    def wanted_on(self, base: Ref) -> bool:
        """Whether it should stand on *base*, and does not."""
        standing = self.decision.current and self.decision.current.base
        return self.decision.base == base != standing


@dataclass(frozen=True)
class Trend:
    """How a metric went from version to version."""

    name: str
    values: Sequence[float]

    @classmethod
    def of(cls, versions: Sequence[VersionReport]) -> Trend | None:
        """That of the newest version's first metric; None if fewer than two versions have it."""
        found = [dict(numbers(version.metrics)) for version in versions]
        name = next(iter(found[-1]), None) if found else None
        values = [one[name] for one in found if name in one and math.isfinite(one[name])] if name else []
        return cls(name, values) if name and len(values) > 1 else None

    def points(self, width: float, height: float) -> list[tuple[float, float]]:
        """A line through the values, in a box; the last point is the newest value.

        >>> Trend("loss", [2, 1, 1.5]).points(10, 4)
        [(0.0, 0.0), (5.0, 4.0), (10.0, 2.0)]
        """
        low, high = min(self.values), max(self.values)
        step, scale = width / (len(self.values) - 1), height / ((high - low) or 1)
        return [
            (round(index * step, 1), round(height - (value - low) * scale, 1))
            for index, value in enumerate(self.values)
        ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _compared(version: VersionReport) -> list[tuple[str, float, float | None]]:
    """Each metric of a version, with what it was in the version before."""
    before = dict(numbers(version.metrics_before))
    return [(name, value, before.get(name)) for name, value in numbers(version.metrics)]


def _shown(value: object) -> object:
    """What a template prints of a value: text in which control characters are seen; markup of its own as it is."""
    return value if hasattr(value, "__html__") else printable(value)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    style = files(__name__).joinpath("style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    made = Environment(
        autoescape=True,
        finalize=_shown,
        loader=PackageLoader("cellar_core", "page"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals.update(
        FILES_MOST=FILES_MOST,
        anchor=anchor,
        changes=changes,
        compared=_compared,
        facts=facts,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 - a file of this package
        trend=Trend.of,
    )
    return made


def _render(template: str, now: datetime | None, **facts: Any) -> str:
    return _environment().get_template(template).render(now=now or datetime.now(UTC), **facts)
