# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that decide: ``plan``, ``approve``, ``alias``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cellar_core.plan import Plan, Rebuild, Skip

PANEL = "Decide"


@command(PANEL, "cellar plan vit/vit-l")
def plan(
    ctx: typer.Context,
    rack: Annotated[
        str, typer.Argument(metavar="RACK", help="The model family, such as vit/vit-l.", show_default=False)
    ],
    *,
    json: Annotated[bool, as_json("rack, head, rebuilds, skips")] = False,
) -> Answer:
    """Tell what to rebuild.

    And what is not, each with its reason. Changes nothing: what is wanted is computed from what the cellar holds,
    each time.
    """
    found = open_cellar(ctx).plan(rack)
    return Answer(found, lambda: _table(found))


def _table(plan: Plan) -> Iterable[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    from cellar_core.report import printable

    if not plan.rebuilds and not plan.skips:
        make = f"cellar retrain {plan.rack}/PROJECT"
        return [f"{plan.rack} has no projects yet; the first version of one makes it: {make}"]
    table = Table("project", "from", "to", "why", box=None, pad_edge=False)
    for rebuild in plan.rebuilds:
        target = Text(f"base {rebuild.base.version}", "yellow")
        table.add_row(rebuild.model.project, _now(rebuild), target, printable(rebuild.sentence))
    for skip in (*plan.skips, *plan.overtaken):
        table.add_row(skip.model.project, _now(skip), "-", printable(skip.sentence))
    return [table]


def _now(one: Rebuild | Skip) -> str:
    return str(one.current.version) if one.current else "-"


@command(PANEL, "cellar approve vit/vit-l/base/2.0 --why 'integration tests passed'")
def approve(
    ctx: typer.Context,
    base: Annotated[
        str, typer.Argument(metavar="REF", help="The base, such as vit/vit-l/base/2.0.", show_default=False)
    ],
    *,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Only this project may move; else all.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="What makes you sure.")] = "",
    json: Annotated[bool, as_json("base, project (null: all of them), why")] = False,
) -> Answer:
    """Let projects take a base.

    For a base that waits for approval, such as the first of a new X once the integration tests have passed. An
    approval of the first base of a new X holds for each base of that X.
    """
    from cellar_core.ref import Ref

    ref = Ref(base)
    open_cellar(ctx).approve(ref, project, why)
    lines = (f"{project or 'every project'} may move to {ref}", f"what follows: cellar plan {ref.rack}")
    return Answer({"base": ref, "project": project, "why": why}, lambda: lines)


@command(PANEL, "cellar alias vit/vit-l/projectA production 1.2.3", "cellar alias vit/vit-l/projectA")
def alias(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Such as vit/vit-l/projectA.", show_default=False)
    ],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The alias.", show_default=False)] = None,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="What it is to mean.", show_default=False)
    ] = None,
    *,
    json: Annotated[bool, as_json("refs by alias")] = False,
) -> Answer:
    """Name a version.

    Let a name such as production mean a version.
    """
    cellar = open_cellar(ctx)
    if name is None:
        found = cellar.aliases(model)
        lines = [f"{one}: {ref}" for one, ref in found.items()]
        none = f"{model} has no aliases; set one: cellar alias {model} NAME VERSION"
        return Answer(found, lambda: lines or [none])
    if version is None:
        raise BadUsage(f"say which version {name} is to mean: cellar alias {model} {name} VERSION")
    ref = cellar.alias(model, name, version)
    return Answer({name: ref}, lambda: [f"{model}@{name} is {ref} from now on"])
