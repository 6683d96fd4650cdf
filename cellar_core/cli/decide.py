# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that decide: ``plan``, ``approve``, ``alias``, ``yank``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar
from cellar_core.cli.names import model_argument, rack_argument, ref_argument
from cellar_core.words import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from cellar_core.cellar import Cellar
    from cellar_core.plan import Plan, Rebuild
    from cellar_core.ref import Model, Ref
    from cellar_core.want import Skip

PANEL = "Decide"


@command(PANEL, "cellar plan vit/vit-l")
def plan(
    ctx: typer.Context,
    rack: Annotated[str, rack_argument()],
    *,
    json: Annotated[bool, as_json("rack, head, rebuilds, skips, overtaken")] = False,
) -> Answer:
    """Tell what to rebuild.

    And what is not, each with its reason. Changes nothing: what is wanted is computed from what the cellar holds,
    each time.
    """
    found = open_cellar(ctx).plan(rack)
    return Answer(found, lambda: _table(found))


def _table(plan: Plan) -> Iterable[RenderableType]:
    from rich.table import Table

    if not plan.rebuilds and not plan.skips:
        make = f"cellar retrain {plan.rack}/PROJECT"
        return [f"{plan.rack} has no projects yet; the first version of one makes it: {make}"]
    table = Table("project", "from", "to", "why", box=None, pad_edge=False)
    rows: list[Rebuild | Skip] = [*plan.rebuilds, *plan.skips, *plan.overtaken]
    for one in rows:
        table.add_row(one.model.project, _number(one.current), _goal(one), printable(one.sentence))
    return [table]


def _number(ref: Ref | None) -> str:
    return str(ref.version) if ref else "-"


def _goal(one: Rebuild | Skip) -> Text:
    """The base that a project is rebuilt onto now."""
    from rich.text import Text

    from cellar_core.plan import Rebuild

    return Text(f"base {one.base.version}", "yellow") if isinstance(one, Rebuild) else Text("-")


@command(PANEL, "cellar approve vit/vit-l/base/2.0 --why 'integration tests passed'")
def approve(
    ctx: typer.Context,
    base: Annotated[str, ref_argument("The base, such as vit/vit-l/base/2.0.")],
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


@command(
    PANEL,
    "cellar alias vit/vit-l/projectA",
    "cellar alias vit/vit-l/projectA production 1.2.3 --why 'A/B test won'",
    "cellar alias vit/vit-l/projectA production --undo",
)
def alias(
    ctx: typer.Context,
    model: Annotated[str, model_argument()],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The alias.", show_default=False)] = None,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="What it is to mean.", show_default=False)
    ] = None,
    *,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept beside the new meaning.")] = "",
    undo: Annotated[
        bool, typer.Option("--undo", metavar="", help="Let NAME mean again what it meant before.")
    ] = False,
    json: Annotated[
        bool, as_json("refs by alias; with NAME alone its moves, the oldest first: at, by, ref, why")
    ] = False,
) -> Answer:
    """Name a version.

    MODEL alone lists its aliases. With a NAME, such as production, it tells what that has meant, and since when. With
    a VERSION too, NAME means that version from now on, as MODEL@NAME.
    """
    cellar = open_cellar(ctx)
    if (undo or why) and (name is None or undo is (version is not None)):
        raise BadUsage("--undo goes with MODEL NAME, and --why with MODEL NAME VERSION")
    if name is None:
        return _aliases(model, cellar.aliases(model))
    if undo:
        return _take_back(cellar, model, name)
    if version is None:
        return _moves(cellar, model, name)
    ref = cellar.alias(model, name, version, why)
    return Answer({name: ref}, lambda: [f"{model}@{name} is {ref} from now on"])


def _aliases(model: str, found: dict[str, Ref]) -> Answer:
    none = f"{model} has no aliases; set one: cellar alias {model} NAME VERSION"
    return Answer(found, lambda: [f"{name}: {ref}" for name, ref in found.items()] or [none])


def _moves(cellar: Cellar, model: str, name: str) -> Answer:
    moves = cellar.alias_history(model, name)
    if not moves:
        cellar.resolve(f"{model}@{name}")  # raises what says how to set it

    def lines() -> Iterable[RenderableType]:
        from rich.table import Table

        table = Table("since (UTC)", "meant", "by", "why", box=None, pad_edge=False)
        for one in moves:
            table.add_row(f"{one.at:%Y-%m-%d %H:%M}", str(one), printable(one.by), printable(one.why))
        return [table]

    data = [
        {"at": one.at, "by": one.by, "ref": one.record and one.record.ref, "why": one.why} for one in moves
    ]
    return Answer(data, lines)


def _take_back(cellar: Cellar, model: str, name: str) -> Answer:
    from cellar_core.choose import NoSuchVersion

    if (meant := cellar.aliases(model).get(name)) is None:
        raise NoSuchVersion(
            f"{model}@{name} means nothing, so there is nothing to take back: cellar alias {model}"
        )
    ref = cellar.withdraw(meant, name)
    lines = [f"{model}@{name} means {ref or 'nothing'} again, not {meant}"]
    lines += [f"but {yank}" for yank in (cellar.yanks(ref) if ref else ())]
    return Answer({name: ref}, lambda: lines)


@command(
    PANEL,
    "cellar yank vit/vit-l/base/1.3 --why 'trained on the test set'",
    "cellar yank vit/vit-l/base/1.3 --undo --why 'it was another data set'",
)
def yank(
    ctx: typer.Context,
    ref: Annotated[
        str,
        ref_argument("The version, such as vit/vit-l/base/1.3."),
    ],
    *,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="What is wrong with it.", show_default=False)
    ],
    undo: Annotated[bool, typer.Option("--undo", metavar="", help="Take a yank back.")] = False,
    json: Annotated[
        bool,
        as_json("ref, yanked, changed; projects: before and decision of each; aliases: dead refs by name"),
    ] = False,
) -> Answer:
    """Withdraw a bad version.

    Its exact ref still reads, but no selector chooses it, and nothing is built from it. Projects that stand on a
    yanked base go back to their version on the base before, or are rebuilt there: what follows is told.
    """
    from cellar_core.ref import Ref

    cellar, version = open_cellar(ctx), Ref(ref)
    before = _decisions(cellar, version)
    changed = (cellar.unyank if undo else cellar.yank)(version, why)
    after = _decisions(cellar, version)
    moved = [
        {"before": old.current if old else None, "decision": now}
        for model, now in after.items()
        if (old := before.get(model)) != now
    ]
    dead = {} if undo else _dead_aliases(cellar, version)
    data = {"ref": version, "yanked": not undo, "changed": changed, "projects": moved, "aliases": dead}
    return Answer(data, lambda: _yanked(data))


def _decisions(cellar: Cellar, ref: Ref) -> dict[Model, Rebuild | Skip]:
    """What the plan says of each project; nothing if there is no plan, since a bad version is yanked all the same."""
    from cellar_core.errors import CellarError
    from cellar_core.report import decisions

    try:
        return {one.model: one for one in decisions(cellar.plan(ref.rack))}
    except CellarError:
        return {}


def _dead_aliases(cellar: Cellar, yanked: Ref) -> dict[str, Ref]:
    """The aliases that mean what nothing chooses any more, since *yanked* was."""
    models = cellar.models(yanked.rack) if yanked.model.is_base else [yanked.model]
    return {
        f"{model}@{name}": ref
        for model in models
        for name, ref in cellar.aliases(model).items()
        if yanked in (ref, ref.base)
    }


def _yanked(data: dict[str, Any]) -> Iterable[RenderableType]:
    from rich.table import Table

    ref, yanked = data["ref"], data["yanked"]
    already = "" if data["changed"] else " already" if yanked else ", and was not yanked before either"
    if yanked:
        yield f"{ref} is yanked{already}: no selector chooses it, and its exact ref still reads"
    else:
        yield f"{ref} may be chosen again{already}"
    if data["projects"]:
        table = Table("project", "stood as", "stands as", "goes onto", "why", box=None, pad_edge=False)
        for move in data["projects"]:
            now = move["decision"]
            table.add_row(
                now.model.project,
                _number(move["before"]),
                _number(now.current),
                _goal(now),
                printable(now.sentence),
            )
        yield table
    for name, dead in data["aliases"].items():
        model, _, alias = name.partition("@")
        yield f"{name} means {dead.version} and so finds nothing: cellar alias {model} {alias} VERSION, or --undo"
