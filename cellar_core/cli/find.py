# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that look up and fetch: ``ls``, ``show``, ``resolve``, ``pull``, ``verify``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellar_core.cli.app import Answer, as_json, command, open_cellar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cellar_core.cellar import Cellar
    from cellar_core.record import Record

PANEL = "Find and fetch"

SelectorArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL[@CHOICE]|REF",
        help="An exact ref, or a model and what to choose: @latest, @^1, @~=1.2, @production.",
        show_default=False,
    ),
]


@command(PANEL, "cellar ls", "cellar ls vit/vit-l", "cellar ls vit/vit-l/projectA")
def ls(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[RACK|MODEL]", help="All racks if left out.", show_default=False)
    ] = None,
    *,
    json: Annotated[
        bool, as_json("a list of plans; of a rack: rack, plan, versions; of a model: a list of versions")
    ] = False,
) -> Answer:
    """List racks, a rack's tree with what is stale, or versions."""
    from cellar_core import report
    from cellar_core.ref import Rack

    cellar = open_cellar(ctx)
    if name is None:
        return _racks(cellar)
    if Rack(name) not in cellar.racks() and "/" in name:
        return _versions(cellar, name)
    found = report.read(cellar, name)
    return Answer(found, lambda: [report.draw(found)])


def _racks(cellar: Cellar) -> Answer:
    plans = [cellar.plan(rack) for rack in cellar.racks()]

    def lines() -> Iterable[RenderableType]:
        from rich.table import Table
        from rich.text import Text

        table = Table("rack", "newest base", "projects", "stale", box=None, pad_edge=False)
        for plan in plans:
            stale = len(plan.rebuilds) + sum(skip.reason != "up_to_date" for skip in plan.skips)
            count = len(plan.rebuilds) + len(plan.skips)
            head = str(plan.head.version) if plan.head else ""
            table.add_row(str(plan.rack), head, str(count), Text(str(stale), "yellow" if stale else ""))
        return [
            table
            if plans
            else "no racks yet; the first base makes one: cellar register RACK DIR --bump minor"
        ]

    return Answer(plans, lines)


def _versions(cellar: Cellar, name: str) -> Answer:
    from cellar_core import report
    from cellar_core.choose import NoSuchVersion
    from cellar_core.ref import Model

    model = Model(name)
    found = report.read(cellar, model.rack)
    versions = found.of(model)
    if not versions:
        raise NoSuchVersion(f"{model} has no versions; see: cellar ls {model.rack}")

    def lines() -> Iterable[RenderableType]:
        from rich.table import Table

        table = Table("version", "registered", "by", "metrics", "", box=None, pad_edge=False)
        before: dict[str, object] = {}
        for one in versions:
            at = f"{one.created_at:%Y-%m-%d %H:%M}" if one.created_at else ""
            marks = ", ".join(
                [*one.aliases, *["yanked"] * one.yanked, *[one.unreadable] * bool(one.unreadable)]
            )
            cells = (str(one.ref.version), at, one.created_by, report.changes(before, one.metrics), marks)
            table.add_row(*(report.printable(cell) for cell in cells))
            before = dict(one.metrics)
        return [table]

    return Answer(versions, lines)


@command(PANEL, "cellar show vit/vit-l/projectA/1.2.3", "cellar show vit/vit-l/base")
def show(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("the record")] = False,
) -> Answer:
    """Show all about a version.

    What it was made from and with what, its metrics and files, who registered it and when.
    """
    record = open_cellar(ctx).resolve(selector)
    return Answer(record, lambda: _sheet(record))


def _sheet(record: Record) -> Iterable[RenderableType]:
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    from cellar_core.report import numbers, printable

    facts: list[tuple[str, object]] = [
        ("registered", f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC by {record.created_by}"),
        ("made from", record.parent.ref if record.parent else ""),
        (
            "bump",
            f"{record.bump}{f', after {record.after.version}' if record.after else ''}"
            if record.bump
            else "",
        ),
        ("notes", record.notes),
        ("again", record.again),
        *((f"metric {name}", f"{value:.6g}") for name, value in numbers(record.metrics)),
        *((f"recipe {name}", value) for name, value in record.recipe.facts().items()),
        *(
            (f"origin {name}", value)
            for name, value in record.origin.model_dump(exclude_defaults=True).items()
        ),
        ("request", record.request or ""),
        ("identity", record.identity),
        ("tree", record.tree),
        *((f"file {one.path}", f"{decimal(one.size)}, {one.digest}") for one in record.files),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts:
        if value != "":
            table.add_row(Text(printable(name), "dim"), Text(printable(value)))
    return [Text(str(record.ref), "bold"), table]


@command(PANEL, "cellar resolve vit/vit-l/projectA@^1")
def resolve(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("the record")] = False,
) -> Answer:
    """Print the exact version that a selector means."""
    record = open_cellar(ctx).resolve(selector)
    return Answer(record, lambda: [str(record.ref)])


@command(PANEL, "cellar pull vit/vit-l/projectA@production model")
def pull(
    ctx: typer.Context,
    selector: SelectorArgument,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to; must be new or empty.", show_default=False)
    ],
    *,
    json: Annotated[bool, as_json("ref, and path of the directory")] = False,
) -> Answer:
    """Copy a version's files to a directory, verified.

    Whole or not at all: there is never half a directory.
    """
    cellar = open_cellar(ctx)
    record = cellar.resolve(selector)
    path = cellar.pull(record.ref, directory)
    return Answer({"ref": record.ref, "path": path}, lambda: [f"{record.ref} is in {path}"])


@command(PANEL, "cellar verify vit/vit-l/projectA/1.2.3")
def verify(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("the record")] = False,
) -> Answer:
    """Check that a version's stored files are as registered."""
    record = open_cellar(ctx).verify(selector)
    return Answer(
        record, lambda: [f"{record.ref}: all {len(record.files)} files are as they were registered"]
    )
