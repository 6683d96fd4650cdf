# ruff: noqa: ARG001 - `json` is read by Command
"""The commands that put models into a cellar: ``init``, ``rack``, ``register``, ``copy``."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar
from cellar_core.cli.names import place_argument, rack_argument
from cellar_core.version import Bump

if TYPE_CHECKING:
    from cellar_core.copy import Copied

PANEL = "Keep"

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The directory that training wrote.", show_default=False)
]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A .json or .toml file that says what it was trained with: code, data, parameters, seed, environment.",
    ),
]
NotesOption = Annotated[str, typer.Option("--notes", metavar="TEXT", help="Free text for the record.")]


@command(PANEL, "cellar init /srv/cellar", "CELLAR_URL=/srv/cellar cellar init")
def init(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="Where; that of --cellar or CELLAR_URL if left out.")
    ] = None,
    *,
    json: Annotated[bool, as_json("url and id of the cellar")] = False,
) -> Answer:
    """Make a cellar.

    Or find the one that is there. First it is tried whether the store keeps the promises that a registry stands on.
    """
    from cellar_core.cellar import Cellar

    ctx.obj = url or ctx.obj
    cellar = Cellar.init(open_cellar(ctx).url)
    lines = [f"a cellar is at {cellar.url}"]
    if url:
        lines.append(f"to mean it from now on: export CELLAR_URL={shlex.quote(cellar.url)}")
    lines.append("next, register a base model: cellar register vit/vit-l DIR --bump minor")
    return Answer({"url": cellar.url, "id": cellar.id}, lambda: lines)


@command(PANEL, "cellar rack vit/vit-l")
def rack(
    ctx: typer.Context,
    rack: Annotated[str, rack_argument()],
    *,
    json: Annotated[bool, as_json("rack, created, and config: where its rules and policy lie")] = False,
) -> Answer:
    """Make a rack and its rules.

    Rules and policy are in its config.toml; README.md and template.md beside it are for people, and for cellar docs.
    Files that are there stay as they are. The first base that is registered makes its rack too.
    """
    from cellar_core.layout import config
    from cellar_core.ref import Rack

    cellar = open_cellar(ctx)
    created = cellar.create_rack(rack)
    place = f"{cellar.url}/{config(Rack(rack))}"
    verb = "made" if created else "there already:"
    lines = (f"{verb} rack {rack}", f"its rules and policy: {place}")
    return Answer({"rack": rack, "created": created, "config": place}, lambda: lines)


@command(
    PANEL,
    "cellar register vit/vit-l runs/17 --bump minor",
    "cellar register vit/vit-l/projectA out --base vit/vit-l/base/1.2 --recipe recipe.toml",
)
def register(
    ctx: typer.Context,
    name: Annotated[
        str,
        place_argument("For a base: its rack. For a project: its model."),
    ],
    directory: DirectoryArgument,
    *,
    bump: Annotated[
        Bump | None,
        typer.Option(
            "--bump", help="A base: minor, or major if applications must change.", show_default=False
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="REF", help="A project: the base that it was tuned from.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="X.Y[.Z]", help="This number and no other.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="X.Y", help="A base: only if this is still the newest of its X."),
    ] = None,
    again: Annotated[
        str, typer.Option("--again", metavar="WHY", help="Give the same content a new number, and say why.")
    ] = "",
    recipe: RecipeOption = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A .json or .toml file, instead of the result.json in the directory.",
        ),
    ] = None,
    notes: NotesOption = "",
    json: Annotated[bool, as_json("ref, record, created, notices")] = False,
) -> Answer:
    """Register a new version.

    What lies in the directory becomes a version of a base, if no --base is given; else of a project's model that
    was tuned from that base.

    The same content from the same recipe is the same version, however often it is registered.
    """
    from cellar_core.cli.watch import transfer

    cellar = open_cellar(ctx)
    facts: dict[str, Any] = {"version": version, "again": again, "notes": notes}
    facts |= {"recipe": read_table(recipe), "metrics": read_table(metrics)}
    if base:
        if bump or after:
            raise BadUsage("--bump and --after are for a base; a project's version follows from --base")
        with transfer() as callback:
            done = cellar.register_project(name, directory, base=base, callback=callback, **facts)
    else:
        rack = name.removesuffix("/base")
        if rack.rpartition("/")[0] in map(str, cellar.racks()):
            raise BadUsage(f"{rack} is a project's model: say which base it was tuned from, with --base")
        if not bump and not version:
            raise BadUsage(
                "say which number rises: --bump minor, or --bump major if applications must change"
            )
        with transfer() as callback:
            done = cellar.register_base(rack, directory, bump=bump, after=after, callback=callback, **facts)
    first = [f"registered {done.ref}"] if done.created else []
    return Answer(done, lambda: [*first, *done.notices])


@command(
    PANEL,
    "CELLAR_URL=/srv/cellar cellar copy s3://models/cellar",
    "cellar copy /backup/cellar vit/vit-l vit/vit-s",
)
def copy(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="The other cellar; it is made if none is there.", show_default=False
        ),
    ],
    racks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RACK]...", help="All racks if left out.", show_default=False),
    ] = None,
    *,
    json: Annotated[
        bool, as_json("copied, already, voided: refs; kept: what differs there, and was left")
    ] = False,
) -> Answer:
    """Copy racks elsewhere.

    Into another cellar, on whichever store. Versions keep their numbers, digests and lineage, and who made them
    and when. What is there is skipped: run it again after it was killed, or daily for a backup.

    If the target has another version at the same number, nothing is copied. Files are verified on their way: a
    version with a damaged one is left out, all others are copied, and the exit code is 1.
    """
    from cellar_core.cli.watch import transfer

    cellar = open_cellar(ctx)
    with transfer() as callback:
        done = cellar.copy(target, racks or None, callback=callback)
    return Answer(done, lambda: _copied(done))


def _copied(done: Copied) -> Iterator[str]:
    yield from (f"copied {ref}" for ref in done.copied)
    yield from (f"voided {ref}, as it is here" for ref in done.voided)
    for key in done.kept:
        yield f"left {key} as it is there: it differs from what is here"
    yield f"{len(done.copied)} copied, {len(done.already)} were there already"


def read_table(path: Path | None) -> dict[str, Any] | None:
    """The table in a .json or .toml file; a usage error if it holds something else."""
    if path is None:
        return None
    try:
        text = path.read_text()
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise BadUsage(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise BadUsage(f"{path} holds no table: write names and values")
    return found
