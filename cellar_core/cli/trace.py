# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that tell how things came to be: ``log``, ``explain``, ``lineage``, ``diff``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar
from cellar_core.cli.find import SelectorArgument, fact_table, rack_or_model
from cellar_core.cli.names import model_argument, place_argument
from cellar_core.words import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.tree import Tree

    from cellar_core.cellar import Cellar
    from cellar_core.compare import Change, Comparison
    from cellar_core.history import Happening
    from cellar_core.plan import Rebuild
    from cellar_core.rack import RackConfig
    from cellar_core.record import FileEntry, Record
    from cellar_core.ref import Ref
    from cellar_core.want import Skip

PANEL = "Trace"


@command(PANEL, "cellar log vit/vit-l", "cellar log vit/vit-l/projectA")
def log(
    ctx: typer.Context,
    name: Annotated[str, place_argument("Such as vit/vit-l/projectA.")],
    *,
    json: Annotated[bool, as_json("at, by, name, what, why of each, the oldest first")] = False,
) -> Answer:
    """Tell what happened.

    Who did what, when, and why: versions, rebuilds, yanks, approvals and aliases, the oldest first.
    """
    from cellar_core.history import history

    cellar = open_cellar(ctx)
    found = history(cellar.store, rack_or_model(cellar, name))
    return Answer(found, lambda: [_log(found)] if found else [f"nothing has happened to {name} yet"])


def _log(happenings: Iterable[Happening]) -> Table:
    from rich.table import Table

    table = Table("when (UTC)", "what", "about", "by", "why", box=None, pad_edge=False)
    for one in happenings:
        at = f"{one.at:%Y-%m-%d %H:%M}" if one.at else "?"
        table.add_row(at, *map(printable, (one.what, one.name, one.by, one.why)))
    return table


@command(PANEL, "cellar explain vit/vit-l/projectA")
def explain(
    ctx: typer.Context,
    model: Annotated[str, model_argument()],
    *,
    json: Annotated[
        bool,
        as_json("decision: as in a plan; policy of the project; yanks: of its newest version or base; log"),
    ] = False,
) -> Answer:
    """Explain a decision.

    Why a project is to be rebuilt, or why not: what the plan says of it, the rules that this comes from, and what
    happened to it so far.
    """
    from cellar_core.history import history
    from cellar_core.plan import Rebuild
    from cellar_core.ref import Model

    cellar, name = open_cellar(ctx), Model(model)
    decision = _decision(cellar, name)
    config = cellar.config(name.rack)
    yanks = cellar.yanks(newest[-1]) if (newest := cellar.versions(name)) else ()
    happened = history(cellar.store, name)

    def lines() -> Iterable[RenderableType]:
        verb = "is to be rebuilt" if isinstance(decision, Rebuild) else "is left as it is"
        yield f"{name} {verb}: {printable(decision.sentence)}"
        yield fact_table([*_rules(decision, config).items(), *(("yanked", yank) for yank in yanks)])
        yield _log(happened)

    policy = config.project(name)
    return Answer({"decision": decision, "policy": policy, "yanks": yanks, "log": happened}, lines)


def _decision(cellar: Cellar, model: Any) -> Rebuild | Skip:
    from cellar_core.choose import NoSuchVersion
    from cellar_core.errors import listing
    from cellar_core.report import decisions

    if model.is_base:
        raise BadUsage(
            f"{model} is a base, and no plan rebuilds one; what depends on it: cellar plan {model.rack}"
        )
    found = {one.model: one for one in decisions(cellar.plan(model.rack))}
    if model not in found:
        projects = listing(one.project for one in found)
        raise NoSuchVersion(
            f"the plan of {model.rack} knows no project {model.project}; it knows: {projects}"
        )
    return found[model]


def _rules(decision: Rebuild | Skip, config: RackConfig) -> dict[str, object]:
    policy = config.project(decision.model)
    current, goal = decision.current, decision.base
    return {
        "stands on": f"base {current.base.version}, as {current.version}" if current else "",
        "would go onto": f"base {goal.version}" if goal and not (current and current.base == goal) else "",
        "reason": decision.reason,
        "follows": policy.track,
        "hold": policy.hold or "",
        "on_minor": config.rebuild.on_minor,
        "on_major": config.rebuild.on_major,
        "recipe": "that of config.toml" if policy.recipe else "that of its last version",
    }


@command(PANEL, "cellar lineage vit/vit-l/projectA@production")
def lineage(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("ancestors, the oldest first; record; children")] = False,
) -> Answer:
    """Draw what comes from what.

    What a version was made from, and what was made from it.
    """
    from cellar_core.report import Sheet

    cellar = open_cellar(ctx)
    sheet = Sheet.of(cellar, cellar.resolve(selector))
    above = _ancestors(cellar, sheet.record)
    data = {"ancestors": [one.ref for one in above], "record": sheet.record, "children": sheet.children}
    return Answer(data, lambda: [_drawn([*above, sheet.record], sheet.children)])


def _ancestors(cellar: Cellar, record: Record) -> list[Record]:
    """The base that a project's version was made from, and whatever that base was pre-trained on."""
    parent = record.parent.ref if record.parent else record.recipe.pretrained
    if parent is None:
        return []
    above = cellar.resolve(parent)
    return [*_ancestors(cellar, above), above]


def _drawn(line: list[Record], children: Iterable[Ref]) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    root = node = Tree(Text(str(line[0].ref), "bold" if len(line) == 1 else ""))
    for record in line[1:]:
        node = node.add(Text(str(record.ref), "bold" if record is line[-1] else ""))
    for child in children:
        node.add(str(child))
    return root


@command(PANEL, "cellar diff vit/vit-l/projectA/1.2.1 vit/vit-l/projectA@latest")
def diff(
    ctx: typer.Context,
    before: SelectorArgument,
    after: SelectorArgument,
    *,
    json: Annotated[
        bool, as_json("before, after; parent, recipe, metrics, files: of each what it was and is")
    ] = False,
) -> Answer:
    """Compare two versions.

    Their bases, recipes, metrics and files.
    """
    from cellar_core.compare import compare

    cellar = open_cellar(ctx)
    found = compare(cellar.resolve(before), cellar.resolve(after))
    return Answer(
        found, lambda: [_differences(found)] if found else [f"{found.before} and {found.after} are alike"]
    )


def _differences(found: Comparison) -> Table:
    from rich.table import Table

    table = Table("", str(found.before), str(found.after), box=None, pad_edge=False)
    for kind, changes in (("", found.parent), ("recipe ", found.recipe), ("metric ", found.metrics)):
        for name, change in changes.items():
            table.add_row(
                printable(f"{kind}{name}"),
                *(printable("-" if one is None else one) for one in _sides(change)),
            )
    for path, change in found.files.items():
        table.add_row(printable(f"file {path}"), *map(_file, _sides(change)))
    return table


def _sides(change: Change[Any]) -> tuple[Any, Any]:
    return change.before, change.after


def _file(entry: FileEntry | None) -> str:
    from rich.filesize import decimal

    return f"{decimal(entry.size)}, {entry.digest[:15]}…" if entry else "-"
