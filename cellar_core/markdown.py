"""A rack as Markdown (GitHub's, as in Prefect's artifacts), in which untrusted text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cellar_core.plan import Rebuild
from cellar_core.report import RackReport, VersionReport, decisions, headline
from cellar_core.want import Skip
from cellar_core.words import changes, printable

__all__ = ["markdown"]


def markdown(report: RackReport) -> str:
    """A table of a rack's projects, and one of its bases; ``read_current`` reads as much as they show."""
    versions = {version.ref: version for version in report.versions}
    projects = [
        _project_row(decision, versions.get(decision.current) if decision.current else None)
        for decision in decisions(report.plan)
    ]
    bases = [_base_row(version) for version in reversed(report.of(report.rack.base))]
    parts = [
        f"# {_escape(report.rack)}",
        f"{headline(report.plan).capitalize()}.",
        _table(("Project", "Version", "From base", "Metrics", "Decision"), projects),
        _table(("Base", "Bump", "Metrics", "Registered (UTC)", "Notes"), bases),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _project_row(decision: Rebuild | Skip, version: VersionReport | None) -> tuple[object, ...]:
    sentence = f"{'to be rebuilt: ' * isinstance(decision, Rebuild)}{decision.sentence}"
    if version is None:
        return decision.model.project, "", "", "", sentence
    metrics = changes(version.metrics_before, version.metrics)
    return decision.model.project, version.ref.version, version.ref.base.version, metrics, sentence


def _base_row(version: VersionReport) -> tuple[object, ...]:
    registered = f"{version.created_at:%Y-%m-%d %H:%M}" if version.created_at else version.unreadable
    name = f"{version.ref.version}{' (yanked)' * version.yanked}"
    metrics = changes(version.metrics_before, version.metrics)
    return name, version.bump or "", metrics, registered, version.notes


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    body = [[_escape(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body] if body else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: object) -> str:
    r"""*text* so that Markdown shows it, and makes neither markup, HTML, nor a link of it.

    >>> _escape("a|b <img> www.example.com 1.5")
    'a\\|b \\<img\\> www\\.example\\.com 1.5'
    """
    return re.sub(r"(?<!\d)\.|\.(?!\d)|[!-&*+:-@\[-`{-~]", r"\\\g<0>", printable(text))
