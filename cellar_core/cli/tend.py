# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that tend a cellar: ``gc``, ``doctor``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar
from cellar_core.cli.names import rack_argument
from cellar_core.words import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cellar_core.doctor import Diagnosis
    from cellar_core.gc import Collected

PANEL = "Tend"
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@command(
    PANEL,
    "cellar gc",
    "cellar gc vit/vit-l --older-than 7d --dry-run",
    "cellar gc --now vit/vit-l/base/2.0",
)
def gc(
    ctx: typer.Context,
    rack: Annotated[str | None, rack_argument("All racks if left out.")] = None,
    *,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="How long nothing may have moved: 30m, 24h, 7d."),
    ] = "24h",
    now: Annotated[
        list[str] | None,
        typer.Option("--now", metavar="REF", help="Void this number at once too; may be given again."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Tell what would be done, and do nothing.")
    ] = False,
    json: Annotated[
        bool,
        as_json("voided, emptied, committed, discarded, waiting, freed (bytes), problems, dry_run"),
    ] = False,
) -> Answer:
    """Clear what was given up.

    Numbers that were given up are voided, and their bytes freed. A number was given up if two looks found no
    change under it; each run is a look, so run it daily.

    No version is ever touched, and an upload that goes on all the same starts again at a new number.
    """
    patience = _age(older_than)
    done = open_cellar(ctx).gc(rack, patience=patience, void=now or (), dry_run=dry_run)
    return Answer(done, lambda: _told(done), failed=bool(done.problems))


def _age(text: str) -> timedelta:
    if match := re.fullmatch(r"([0-9]{1,6})([mhd])", text):
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    raise BadUsage(f"--older-than {text} is no age: write minutes, hours or days, such as 30m, 24h or 7d")


def _told(done: Collected) -> Iterator[str]:
    from rich.filesize import decimal

    def did(what: str) -> str:
        return f"would have {what}" if done.dry_run else what

    for ref in done.voided:
        yield f"{did('voided')} {ref}: its number is not given again"
    for ref in done.emptied:
        yield f"{did('emptied')} {ref}, which was void before"
    for ref in done.committed:
        yield f"left {ref} alone: it was committed meanwhile"
    for name in done.discarded:
        yield f"{did('discarded')} {printable(name)}, half-written"
    for one in done.waiting:
        taken = f"{one.ref} is open: taken by {printable(one.by)} on {one.taken:%Y-%m-%d %H:%M} UTC"
        yield f"{taken}; if nothing moves, a run from {one.due:%Y-%m-%d %H:%M} UTC on voids it"
    yield from map(printable, done.problems)
    if done.voided or done.emptied or done.discarded:
        yield f"{did('freed')} {decimal(done.freed)}"
    elif not done.waiting:
        yield "nothing is open, and nothing was left behind"


@command(PANEL, "cellar doctor", "cellar doctor --json")
def doctor(
    ctx: typer.Context,
    *,
    json: Annotated[bool, as_json("url, and findings: check, ok, detail")] = False,
) -> Answer:
    """Check the store.

    Whether it keeps its promises, and what there is to do. It races the exclusive create for real, lists what
    another client has just written, reads the rules of each rack, and looks for damaged records, for abandoned
    uploads and for what they left behind.

    It ends with exit code 1 if there is a problem.
    """
    found = open_cellar(ctx).doctor()
    return Answer(found, lambda: _findings(found), failed=not found.ok)


def _findings(found: Diagnosis) -> Iterable[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for one in found.findings:
        mark = Text("ok", "green") if one.ok else Text("problem", "bold red")
        table.add_row(mark, one.check, printable(one.detail))
    return [table]
