# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that look up and fetch: ``ls``, ``show``, ``report``, ``resolve``, ``pull``, ``verify``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar
from cellar_core.cli.names import place_argument, rack_argument, selector_argument
from cellar_core.errors import listing
from cellar_core.words import changes, figure, numbers, printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.tree import Tree

    from cellar_core.cellar import Cellar
    from cellar_core.record import Record
    from cellar_core.ref import Model, Rack
    from cellar_core.report import Sheet, VersionReport

PANEL = "Find"

SelectorArgument = Annotated[str, selector_argument()]


@command(PANEL, "cellar ls", "cellar ls vit/vit-l", "cellar ls vit/vit-l/projectA")
def ls(
    ctx: typer.Context,
    name: Annotated[str | None, place_argument("All racks if left out.")] = None,
    *,
    json: Annotated[
        bool,
        as_json(
            "of each rack: rack, base, projects, stale; of one: rack, plan, versions; of a model: versions"
        ),
    ] = False,
) -> Answer:
    """List racks and versions.

    All racks; or the versions in a rack, as a tree that tells what is stale; or those of a model.
    """
    from cellar_core.ref import Model
    from cellar_core.report import read, read_model

    cellar = open_cellar(ctx)
    if name is None:
        return _racks(cellar)
    place = rack_or_model(cellar, name)
    if isinstance(place, Model):
        return _versions(read_model(cellar, place), place)
    found = read(cellar, place)

    def shown() -> list[Tree]:
        from cellar_core.tree import draw

        return [draw(found)]

    return Answer(found, shown)


def rack_or_model(cellar: Cellar, name: str) -> Rack | Model:
    """What *name* is: a rack, or a model in one; raises NoSuchRack."""
    from cellar_core.names import NoSuchRack
    from cellar_core.ref import Model
    from cellar_core.version import looks_like_version

    racks = {str(rack): rack for rack in cellar.racks()}
    if name in racks:
        return racks[name]
    if name.rpartition("/")[0] in racks:
        return Model(name)
    if looks_like_version(name.rpartition("/")[2]):
        raise NoSuchRack(f"{name} is neither rack nor model; to see a version use: cellar show {name}")
    raise NoSuchRack(
        f"there is no rack {name}, and no rack that it is a model of; racks here: {listing(racks)}"
    )


def _racks(cellar: Cellar) -> Answer:
    from cellar_core.report import overview

    rows = overview(cellar)

    def lines() -> Iterable[RenderableType]:
        from rich.table import Table
        from rich.text import Text

        table = Table("rack", "newest base", "projects", "stale", "", box=None, pad_edge=False)
        for row in rows:
            stale = Text(str(row.stale), "yellow" if row.stale else "")
            problem = Text(printable(row.problem), "red")
            table.add_row(str(row.rack), str(row.base or "-"), str(row.projects), stale, problem)
        return [
            table if rows else "no racks yet; the first base makes one: cellar register RACK DIR --bump minor"
        ]

    return Answer(rows, lines)


def _versions(versions: list[VersionReport], model: Model) -> Answer:
    from cellar_core.choose import NoSuchVersion

    if not versions:
        raise NoSuchVersion(f"{model} has no versions; what there is: cellar ls {model.rack}")

    def lines() -> Iterable[RenderableType]:
        from rich.table import Table

        table = Table("version", "registered (UTC)", "by", "metrics", "", box=None, pad_edge=False)
        for one in versions:
            at = f"{one.created_at:%Y-%m-%d %H:%M}" if one.created_at else ""
            marks = [*one.aliases, *["yanked"] * one.yanked, *["base yanked"] * one.base_yanked]
            marks += [one.unreadable] * bool(one.unreadable)
            table.add_row(
                str(one.ref.version),
                at,
                printable(one.created_by),
                changes(one.metrics_before, one.metrics),
                printable(", ".join(marks)),
            )
        return [table]

    return Answer(versions, lines)


@command(PANEL, "cellar show vit/vit-l/projectA/1.2.3", "cellar show vit/vit-l/base")
def show(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("record, aliases, yanked, children: what was made from it")] = False,
) -> Answer:
    """Show all about a version.

    What it was made from and with what, what was made from it, its metrics and files, who registered it and when.
    """
    from cellar_core.report import Sheet

    cellar = open_cellar(ctx)
    sheet = Sheet.of(cellar, cellar.resolve(selector))
    return Answer(sheet, lambda: _sheet(sheet))


def _sheet(sheet: Sheet) -> Iterable[RenderableType]:
    from rich.filesize import decimal
    from rich.text import Text

    from cellar_core.report import facts

    record = sheet.record
    after = f", after {record.after.version}" if record.after else ""
    rows: list[tuple[str, object]] = [
        ("registered", f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC by {record.created_by}"),
        *(("yanked" if yank.ref == record.ref else "base yanked", yank) for yank in sheet.yanks),
        ("aliases", ", ".join(sheet.aliases)),
        ("made from", record.parent.ref if record.parent else ""),
        ("bump", f"{record.bump}{after}" if record.bump else ""),
        ("made from it", ", ".join(f"{child.project} {child.version}" for child in sheet.children)),
        ("notes", record.notes),
        *((f"metric {name}", figure(value, 6)) for name, value in numbers(record.metrics)),
        *facts(record).items(),
        *((f"file {one.path}", f"{decimal(one.size)}, {one.digest}") for one in record.files),
    ]
    return [Text(str(record.ref), "bold"), fact_table(rows)]


def fact_table(rows: Iterable[tuple[str, object]]) -> Table:
    """What is known, a name and a value a line; what is empty is left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        if value != "":
            table.add_row(Text(printable(name), "dim"), printable(value))
    return table


@command(PANEL, "cellar report vit/vit-l -o rack.html", "cellar report vit/vit-l -o rack.md")
def report(
    ctx: typer.Context,
    rack: Annotated[str, rack_argument()],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to: FILE.html or FILE.md.", show_default=False
        ),
    ],
    json: Annotated[bool, as_json("rack, and path of the file")] = False,
) -> Answer:
    """Write a page about a rack.

    A web page that needs no other file, or Markdown.
    """
    from cellar_core import page
    from cellar_core.markdown import markdown
    from cellar_core.report import read, read_current

    cellar = open_cellar(ctx)
    if output.suffix == ".html":
        text = page.rack(read(cellar, rack, most=page.RECORDS_MOST))
    elif output.suffix == ".md":
        text = markdown(read_current(cellar, rack))
    else:
        raise BadUsage(f"{output} must end with .html or .md, which says what it is to hold")
    output.write_text(text, "utf-8")
    return Answer({"rack": rack, "path": output}, lambda: [f"{rack} is in {output}"])


@command(PANEL, "cellar resolve vit/vit-l/projectA@^1")
def resolve(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("the record")] = False,
) -> Answer:
    """Print the exact version.

    The ref of the version that a selector means, and nothing else.
    """
    cellar = open_cellar(ctx)
    record = cellar.resolve(selector)
    _warn(cellar, record)
    return Answer(record, lambda: [str(record.ref)])


def _warn(cellar: Cellar, record: Record) -> None:
    """Say so on stderr if an exact ref was yanked, as PEP 592 asks of whoever uses one all the same."""
    from cellar_core.cli.output import warn

    for yank in cellar.yanks(record.ref):
        warn(str(yank))


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
    """Fetch a version's files.

    Verified, and whole or not at all: there is never half a directory.
    """
    from cellar_core.cli.watch import transfer

    cellar = open_cellar(ctx)
    record = cellar.resolve(selector)
    _warn(cellar, record)
    with transfer() as callback:
        path = cellar.pull(record.ref, directory, callback=callback)
    return Answer({"ref": record.ref, "path": path}, lambda: [f"{record.ref} is in {path}"])


@command(PANEL, "cellar verify vit/vit-l/projectA/1.2.3")
def verify(
    ctx: typer.Context,
    selector: SelectorArgument,
    *,
    json: Annotated[bool, as_json("the record")] = False,
) -> Answer:
    """Check a version's files.

    Each stored file is read, and must be what was registered.
    """
    from cellar_core.cli.watch import transfer

    cellar = open_cellar(ctx)
    with transfer() as callback:
        record = cellar.verify(selector, callback=callback)
    count = len(record.files)
    return Answer(record, lambda: [f"{record.ref} is as it was registered: {count} file{'s' * (count != 1)}"])
