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
    json: Annotated[
        bool, as_json("a list of plans; of a rack: rack, plan, versions; of a model: a list of versions")
    ] = False,
) -> Answer:
    """List the racks, the versions of a rack as a tree with what is stale, or the versions of a model."""
    from cellar_core import report
    from cellar_core.ref import Rack

    cellar = open_cellar(ctx)
    if name is None:
        return _racks(cellar)
    if Rack(name) not in cellar.racks() and "/" in name:
        return _versions(cellar, name)
    found = report.read(cellar, name)
    return Answer(found, lambda: [report.tree(found)])
