# ruff: noqa: ARG001 - `json` is read by Command
"""The commands for plain files, such as a git repository of models: ``check``, ``docs``, ``import``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellar_core.cli.app import Answer, as_json, command, open_cellar
from cellar_core.words import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cellar_core.cellar import Cellar
    from cellar_core.check import Problem
    from cellar_core.imports import Imported
    from cellar_core.ref import Model, Rack

PANEL = "Files"


@command(PANEL, "cellar check", "cellar check vit/vit-l/projectA/1.2.3")
def check(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="[DIR]",
            exists=True,
            file_okay=False,
            help="Racks, or something in one; here if left out.",
        ),
    ] = Path(),
    *,
    json: Annotated[bool, as_json("path, rule, sentence, advice of each problem")] = False,
) -> Answer:
    """Check plain directories.

    Directories of versions, against their racks' rules. Needs no cellar, and works in a git repository, as a check
    of a pull request: every problem is told at once, and the exit code is 1 if there is one. What only SPEC asks
    for, and ml-cellar does not, is advice.
    """
    from cellar_core.check import check

    found = check(path)
    return Answer(found, lambda: _problems(found), failed=any(not one.advice for one in found))


def _problems(found: list[Problem]) -> Iterable[RenderableType]:
    from rich.text import Text

    for one in found:
        style = "yellow" if one.advice else "red"
        yield Text.assemble((f"{one.rule}: ", style), printable(f"{one.path}: {one.sentence}"))
    count = sum(not one.advice for one in found)
    advice = len(found) - count
    yield f"{count} problem{'s' * (count != 1)}{f', and advice: {advice}' if advice else ''}"


@command(PANEL, "cellar docs vit/vit-l/projectA/1.2.3")
def docs(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", exists=True, file_okay=False, help="A version's directory.", show_default=False
        ),
    ],
    *,
    json: Annotated[bool, as_json("document")] = False,
) -> Answer:
    """Fill in a rack's template.

    With a version's results. The template is that of the rack's config.toml: {path.in.results} is replaced, and
    {{version}}.
    """
    from cellar_core.document import document

    text = document(path)
    return Answer({"document": text}, lambda: [text])


@command(PANEL, "cellar import vit/vit-l", "cellar --cellar . import vit/vit-l/projectA")
def import_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RACK|MODEL", help="Such as vit/vit-l.", show_default=False)],
    *,
    json: Annotated[bool, as_json("imported, already: refs; problems: path, rule, sentence of each")] = False,
) -> Answer:
    """Take files where they lie.

    Files that lie in their places become versions, such as those of an ml-cellar repository: not a byte of them is
    moved. Each is digested, and checked against the rack's rules; what cannot be a version is told, and the exit
    code is 1 then.
    """
    from cellar_core.imports import import_versions
    from cellar_core.ref import Model

    cellar = open_cellar(ctx)
    place = _place(cellar, name)
    rack = place.rack if isinstance(place, Model) else place
    done = import_versions(cellar.store, place, cellar.config(rack))
    return Answer(done, lambda: _imported(done), failed=any(not one.advice for one in done.problems))


def _place(cellar: Cellar, name: str) -> Rack | Model:
    """What *name* is, also before its rack is one."""
    from cellar_core.layout import config
    from cellar_core.ref import Model, Rack

    above = name.rpartition("/")[0]
    known = {str(rack) for rack in cellar.racks()}
    if name in known or not above or cellar.store.read(config(Rack(name))) is not None:
        return Rack(name)
    is_model = above in known or cellar.store.read(config(Rack(above))) is not None
    return Model(name) if is_model else Rack(name)


def _imported(done: Imported) -> Iterable[RenderableType]:
    yield from (f"imported {ref}" for ref in done.imported)
    yield from _problems(list(done.problems))
    yield f"{len(done.imported)} imported, {len(done.already)} were versions already"
