"""Racks as HTML: pages that hold all they need, work without a script, and read on a phone, in the dark and on paper.

Jinja2 makes them, since it escapes whatever a template does not spell out: every string in a registry is untrusted.
Besides, each page carries a policy by which a browser runs no script but our own, which filters, and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellar_core.plan import Rebuild
from cellar_core.ref import Model, Rack, Ref
from cellar_core.report import RackReport, RackSummary, VersionReport, decisions, facts, headline
from cellar_core.want import Reason, Skip
from cellar_core.words import METRICS_MOST, changes, figure, numbers, printable

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["RECORDS_MOST", "Links", "anchor", "problem", "rack", "racks"]

Links = Callable[[Rack | None], str]
"""Gives the address of a rack's page, and of the page of all racks for None."""

RECORDS_MOST = 2000
"""What to give as ``report.read(most=…)``: a page tells all of so many versions, and of the others that they exist."""
FILES_MOST = 20
"""So many files are listed with a version; ``cellar show`` has them all."""
OPEN_MOST = 12
"""So many bases, versions of a model, and versions on a base are in sight; earlier ones are one click away."""
PLOTTED_MOST = 60
"""A plot shows so many values at most, the newest."""
TONES = {
    Reason.UP_TO_DATE: "good",
    Reason.IN_PROGRESS: "busy",
    Reason.QUEUED: "busy",
    Reason.FAILED_BEFORE: "bad",
    Reason.YANKED_BEFORE: "bad",
    Reason.UNREADABLE: "bad",
}
"""The colour of a project that is not rebuilt now; its words say the same. Without one, it waits for a person."""
ORDER = ("bad", "waits", "todo", "busy", "good")
"""First what needs a look."""


def rack(report: RackReport, *, links: Links | None = None, now: datetime | None = None) -> str:
    """The page of one rack: what is stale and why, which version stands on which base, and all about each version.

    Args:
        report: What ``report.read`` found.
        links: Where the other pages are, if there are some.
        now: When it was read; now if None.
    """
    of: dict[Model, list[VersionReport]] = defaultdict(list)
    for version in report.versions:
        of[version.ref.model].append(version)
    decided = decisions(report.plan)
    projects = [Project(one, of[one.model], report.holds.get(one.model, "")) for one in decided]
    projects.sort(key=lambda project: ORDER.index(project.tone))
    return _render(
        "rack.html",
        now,
        title=report.rack,
        headline=_sentence(headline(report.plan)),
        versions=report.versions,
        spine=_spine(of[report.rack.base][::-1], projects, report.plan.head),
        projects=projects,
        states=sorted({state for project in projects for state in project.states}),
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
    """A project: what is decided for it, its versions, ascending, and the hold on it, if there is one."""

    decision: Rebuild | Skip
    versions: Sequence[VersionReport]
    hold: str = ""

    @property
    def name(self) -> str:
        """Its name in the rack."""
        return self.decision.model.project

    @property
    def stale(self) -> bool:
        """Whether it does not stand on the newest base that it follows."""
        return self.decision.reason is not Reason.UP_TO_DATE

    @property
    def state(self) -> str:
        """What is decided, in a few words; the decision's sentence has more."""
        if isinstance(self.decision, Rebuild):
            return "to be rebuilt"
        return self.decision.reason.replace("_", " ")

    @property
    def states(self) -> list[str]:
        """All that it can be looked for by."""
        held = self.hold and self.decision.reason is not Reason.HELD
        return [self.state, *["stale"] * self.stale, *["held"] * bool(held)]

    @property
    def tone(self) -> str:
        """The colour of that."""
        if isinstance(self.decision, Rebuild):
            return "todo"
        return TONES.get(self.decision.reason, "waits")

    @cached_property
    def current(self) -> VersionReport | None:
        """The version that it has now."""
        return next((one for one in self.versions if one.ref == self.decision.current), None)

    @property
    def history(self) -> Sequence[VersionReport]:
        """Its versions up to that."""
        known = [one.ref for one in self.versions]
        return (
            self.versions[: known.index(self.decision.current) + 1] if self.decision.current in known else []
        )

    @property
    def wanted(self) -> Ref | None:
        """The base that it should stand on, if it does not."""
        standing = self.decision.current and self.decision.current.base
        return None if self.decision.base == standing else self.decision.base


@dataclass(frozen=True)
class Branch:
    """What hangs from a base: the versions of a project that were made from it, the newest first."""

    project: Project
    base: Ref
    versions: Sequence[VersionReport]

    @property
    def wanted(self) -> bool:
        """Whether the project should have a version here, and has none that stands."""
        return self.project.wanted == self.base

    @property
    def lags(self) -> bool:
        """Whether the project stands here, should not, and this is where to say why: it is wanted on no other base."""
        project = self.project
        standing = project.decision.current and project.decision.current.base
        return project.stale and standing == self.base and not project.wanted


@dataclass(frozen=True)
class Vertebra:
    """A base, and what hangs from it."""

    base: VersionReport
    head: bool
    branches: Sequence[Branch]


def _spine(bases: Sequence[VersionReport], projects: Sequence[Project], head: Ref | None) -> list[Vertebra]:
    """The bases of a rack, each with the projects that have a version made from it, or should have one."""
    hanging: dict[Ref, dict[str, list[VersionReport]]] = defaultdict(dict)
    for project in projects:
        for version in reversed(project.versions):
            hanging[version.ref.base].setdefault(project.name, []).append(version)
        if project.wanted:
            hanging[project.wanted].setdefault(project.name, [])
    named = {project.name: project for project in projects}
    return [
        Vertebra(
            base,
            base.ref == head,
            [Branch(named[name], base.ref, versions) for name, versions in hanging[base.ref].items()],
        )
        for base in bases
    ]


@dataclass(frozen=True)
class Trend:
    """How a metric went from version to version.

    Attributes:
        name: The metric.
        value: What it is now.
        before: What it was in the version before, if that had it.
        values: What it was in the newest versions, as far as a plot can show it.
    """

    name: str
    value: float
    before: float | None
    values: Sequence[float]

    @classmethod
    def of(cls, versions: Sequence[VersionReport]) -> list[Trend]:
        """Those of the first metrics of the last of *versions*."""
        found = [dict(numbers(version.metrics)) for version in versions[-PLOTTED_MOST:]]
        before = dict(numbers(versions[-1].metrics_before)) if versions else {}
        return [
            cls(name, value, before.get(name), [*_drawable(one[name] for one in found if name in one)])
            for name, value in list(found[-1].items() if found else ())[:METRICS_MOST]
        ]

    @property
    def change(self) -> str:
        """How it changed, if it did.

        >>> Trend("loss", 1.5, 1, []).change
        '+0.5'
        """
        if self.before is None or not all(map(math.isfinite, _floats((self.value, self.before)))):
            return ""
        by = self.value - self.before
        return f"{'+' * (by > 0)}{figure(by, 2)}" if by else ""

    @property
    def title(self) -> str:
        """What its plot shows, in words.

        >>> Trend("loss", 1.5, 1, [2, 1, 1.5]).title
        'loss over 3 versions: from 2 to 1.5, lowest 1, highest 2'
        """
        first, last, low, high = map(
            figure, (self.values[0], self.values[-1], min(self.values), max(self.values))
        )
        return f"{self.name} over {len(self.values)} versions: from {first} to {last}, lowest {low}, highest {high}"

    def points(self, width: float, height: float) -> list[tuple[float, float]]:
        """A line through the values, in a box; the last point is the newest value.

        >>> Trend("loss", 1.5, 1, [2, 1, 1.5]).points(10, 4)
        [(0.0, 0.0), (5.0, 4.0), (10.0, 2.0)]
        """
        # Halves, because the difference of two floats may be more than a float can be.
        low, high = min(self.values) / 2, max(self.values) / 2
        step, span = width / (len(self.values) - 1), (high - low) or 1
        return [
            (round(index * step, 1), round(height - (value / 2 - low) / span * height, 1))
            for index, value in enumerate(self.values)
        ]


def _floats(values: Iterable[float]) -> Iterator[float]:
    """The same; infinite where an integer is larger than any float."""
    for value in values:
        try:
            yield float(value)
        except OverflowError:
            yield math.inf


def _drawable(values: Iterable[float]) -> Iterator[float]:
    return filter(math.isfinite, _floats(values))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _words(version: VersionReport, current: bool, project: Project | None = None) -> str:  # noqa: FBT001
    """What a version can be looked for by; what is said of a project is said of the version that it has now."""
    words = {
        "current": current,
        "yanked": version.yanked or version.base_yanked,
        "with an alias": version.aliases,
        "unreadable": version.unreadable,
    }
    states = project.states if project and current else []
    return ",".join([*states, *(word for word, holds in words.items() if holds)])


def _compared(version: VersionReport) -> list[Trend]:
    """Each metric of a version, with what it was in the version before."""
    before = dict(numbers(version.metrics_before))
    return [Trend(name, value, before.get(name), ()) for name, value in numbers(version.metrics)]


def _shown(value: object) -> object:
    """What a template prints of a value: text in which control characters are seen; markup of its own as it is."""
    return value if hasattr(value, "__html__") else printable(value)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        autoescape=True,
        finalize=_shown,
        loader=PackageLoader("cellar_core", "page"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    style, script = (files(__name__).joinpath(name).read_text("utf-8") for name in ("style.css", "filter.js"))
    made.globals.update(
        FILES_MOST=FILES_MOST,
        OPEN_MOST=OPEN_MOST,
        anchor=anchor,
        changes=changes,
        compared=_compared,
        facts=facts,
        figure=figure,
        policy="; ".join(
            (
                "default-src 'none'",
                f"style-src {_hash(style)}",
                f"script-src {_hash(script)}",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        script=Markup(script),  # noqa: S704 - a file of this package, as the next
        style=Markup(style),  # noqa: S704
        trends=Trend.of,
        words=_words,
    )
    return made


def _hash(text: str) -> str:
    """What a policy calls the one script or style that may be in a page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _render(template: str, now: datetime | None, **facts: Any) -> str:
    return _environment().get_template(template).render(now=now or datetime.now(UTC), **facts)
