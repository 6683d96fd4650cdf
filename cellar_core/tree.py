"""A rack as a tree for the terminal: bases with their metrics, and on each the projects' models made from it."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from cellar_core.plan import Rebuild
from cellar_core.report import RackReport, VersionReport, decisions, headline
from cellar_core.want import Reason, Skip
from cellar_core.words import changes, printable

__all__ = ["draw"]


def draw(report: RackReport) -> Tree:
    """What a rack holds, as a tree."""
    root = Tree(Text.assemble((str(report.rack), "bold"), "  ", headline(report.plan)))
    decided = {decision.model: decision for decision in decisions(report.plan)}
    bases = {version.ref: root.add(_label(version)) for version in report.of(report.rack.base)}
    for version in report.versions:
        if version.base:
            bases.get(version.base, root).add(_label(version, decided.get(version.ref.model)))
    for decision in decided.values():
        if decision.current is None:
            root.add(Text.assemble((decision.model.project, "bold"), "  ", _mark(decision)))
    return root


def _label(version: VersionReport, decision: Rebuild | Skip | None = None) -> Text:
    current = decision is None or decision.current == version.ref
    name = (f"{version.ref.project} {version.ref.version}", "bold" if current else "")
    marks = [
        changes(version.metrics_before, version.metrics),
        (", ".join(version.aliases), "cyan"),
        ("yanked" if version.yanked else "", "red"),
        (printable(version.unreadable), "red"),
        _mark(decision) if decision and current and decision.reason is not Reason.UP_TO_DATE else "",
    ]
    words = [Text.assemble(one) for one in (name, *marks)]
    return Text("  ", style="" if current else "dim").join(word for word in words if word)


def _mark(decision: Rebuild | Skip) -> Text:
    wanted = isinstance(decision, Rebuild)
    words = ["stale"] * bool(decision.current) + ["to be rebuilt"] * wanted
    start = (f"{', '.join(words)}: " if words else "", "yellow" if wanted else "magenta")
    return Text.assemble(start, printable(decision.sentence))
