"""The commands that train: ``retrain`` and ``rebuild``. They are what a container runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar_core.cli.app import Answer, as_json, command, open_cellar
from cellar_core.cli.keep import NotesOption, RecipeOption, read_table

if TYPE_CHECKING:
    from cellar_core.cellar import Cellar
    from cellar_core.plan import Rebuild
    from cellar_core.ref import Model, Rack
    from cellar_core.trainer import Train

PANEL = "Train"

CommandArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND...]",
        help="A command that trains. It finds {base_dir}, {output_dir}, {model}, {base}, {recipe} and {progress} "
        "in its words, and CELLAR_BASE_DIR… in its environment.",
        show_default=False,
    ),
]
TrainOption = Annotated[
    str | None,
    typer.Option("--train", metavar="PKG.MOD:NAME", help="A function that trains; it takes a RetrainJob."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0.001, help="How long COMMAND may take."),
]
WorkdirOption = Annotated[
    Path | None,
    typer.Option(
        "--workdir",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Where base and result lie meanwhile; else where the system keeps temporary files.",
    ),
]


@command(
    PANEL,
    "cellar retrain vit/vit-l/projectA -- python train.py --init {base_dir} --out {output_dir}",
    "cellar retrain vit/vit-l/projectA --train pkg.train:main --base vit/vit-l/base@^1",
)
def retrain(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Such as vit/vit-l/projectA.", show_default=False)
    ],
    words: CommandArgument = None,
    *,
    train: TrainOption = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="REF", help="From this base (or @…); else the newest it follows."),
    ] = None,
    recipe: RecipeOption = None,
    notes: NotesOption = "",
    timeout: TimeoutOption = None,
    workdir: WorkdirOption = None,
    json: Annotated[bool, as_json("ref, record, created, notices")] = False,
) -> Answer:
    """Train a project's model from its base, and register it.

    From scratch, from nothing but the base. Whatever fails leaves no version behind. What the training prints goes
    to stdout, with --json to stderr.
    """
    from cellar_core.cli.watch import watch

    cellar, trainer = open_cellar(ctx), _trainer(train, words, timeout)
    facts = {
        "base": base,
        "recipe": read_table(recipe),
        "notes": notes,
        "timeout": timeout,
        "workdir": workdir,
    }
    with watch(model, machine=json) as hooks:
        done = cellar.retrain(model, trainer, **facts, **hooks)
    first = [f"registered {done.ref}, made from {done.ref.base}"] if done.created else []
    return Answer(done, lambda: [*first, *done.notices])


@command(
    PANEL,
    "cellar rebuild vit/vit-l --train pkg.train:main",
    "cellar rebuild vit/vit-l/projectA --again 'the data is back' -- python train.py {base_dir} {output_dir}",
)
def rebuild(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="RACK|MODEL", help="All of a rack's projects, or one.", show_default=False),
    ],
    words: CommandArgument = None,
    *,
    train: TrainOption = None,
    again: Annotated[
        str, typer.Option("--again", metavar="WHY", help="Ask anew for a rebuild of MODEL that failed.")
    ] = "",
    take_over: Annotated[
        str, typer.Option("--take-over", metavar="WHY", help="Do MODEL anew, as whoever rebuilds it is gone.")
    ] = "",
    timeout: TimeoutOption = None,
    workdir: WorkdirOption = None,
    json: Annotated[bool, as_json("rebuilt, failed (model, error, message, retryable), skips")] = False,
) -> Answer:
    """Rebuild here what the plan wants, one after the other.

    A project that fails does not stop the others (the exit code is 1 in the end), and plans leave it out until
    somebody asks with --again, or its recipe or the rack's rules change.
    """
    from cellar_core.ref import Model, Rack

    cellar = open_cellar(ctx)
    if Rack(name) in cellar.racks():
        rack, only = Rack(name), None
    else:
        only = Model(name)
        rack = only.rack
    if again or take_over:
        if not only:
            raise typer.BadParameter(f"{name} is a rack; --again and --take-over are for one project's model")
        if again:
            cellar.ask(only, again)
        else:
            cellar.take_over(only, take_over)
        if not (train or words):
            return Answer(cellar.plan(rack), lambda: [f"the next rebuild of {rack} has {only} again"])
    trainer = _trainer(train, words, timeout)
    return _rebuild_all(cellar, rack, only, trainer, {"timeout": timeout, "workdir": workdir}, machine=json)


def _trainer(train: str | None, words: list[str] | None, timeout: float | None) -> Train:
    if words and not train:
        return words
    if not train or words:
        raise typer.BadParameter("say how to train, in one way: --train PKG.MOD:NAME, or a command after --")
    if timeout:
        raise typer.BadParameter("--timeout ends a command; a function of this process it cannot")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    return train


def _rebuild_all(
    cellar: Cellar, rack: Rack, only: Model | None, train: Train, options: dict[str, Any], *, machine: bool
) -> Answer:
    from cellar_core.cli.output import complain, facts_of
    from cellar_core.cli.watch import watch
    from cellar_core.errors import CellarError
    from cellar_core.record import who

    rebuilt, failed = [], []
    for planned in _wanted(cellar, rack, only):
        try:
            with watch(str(planned.model), machine=machine) as hooks:
                holder = f"cli:{who()}:{os.getpid()}"
                rebuilt.append(cellar.rebuild(planned, train, holder=holder, **options, **hooks))
        except CellarError as error:
            complain(error, machine=machine)
            failed.append({"model": planned.model, **facts_of(error)})
    skips = [skip for skip in cellar.plan(rack).skips if only in (None, skip.model)]
    lines = [
        *(one.detail for one in rebuilt),
        *(f"{skip.model.project}: {skip.sentence}" for skip in skips),
    ]
    return Answer({"rebuilt": rebuilt, "failed": failed, "skips": skips}, lambda: lines, failed=bool(failed))


def _wanted(cellar: Cellar, rack: Rack, only: Model | None) -> Iterator[Rebuild]:
    """What the plan wants, planned anew each time: so what was queued comes up, and a base that is newer still."""
    tried: set[str] = set()
    while True:
        for planned in cellar.plan(rack).rebuilds:
            if planned.run_key not in tried and only in (None, planned.model):
                tried.add(planned.run_key)
                yield planned
                break
        else:
            return
