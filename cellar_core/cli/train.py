"""The commands that train: ``retrain`` and ``rebuild``. They are what a container runs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar_core.cli.app import Answer, BadUsage, as_json, command, open_cellar
from cellar_core.cli.find import rack_or_model
from cellar_core.cli.keep import NotesOption, RecipeOption, read_table
from cellar_core.cli.names import model_argument, place_argument

if TYPE_CHECKING:
    from cellar_core.cellar import Cellar
    from cellar_core.plan import Rebuild
    from cellar_core.ref import Model, Rack
    from cellar_core.trainer import Train

PANEL = "Train"

CommandArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- COMMAND",
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
        help="Where base and result lie meanwhile; else in $TMPDIR, or on the disk of a cellar that is on one here.",
    ),
]


@command(
    PANEL,
    "cellar retrain vit/vit-l/projectA -- python train.py --init {base_dir} --out {output_dir}",
    "cellar retrain vit/vit-l/projectA --train pkg.train:main --base vit/vit-l/base@^1",
)
def retrain(
    ctx: typer.Context,
    model: Annotated[str, model_argument()],
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
    """Train one project's model.

    And register it. From scratch, from nothing but the base. Whatever fails leaves no version behind. What the
    training prints goes to stdout, with --json to stderr.
    """
    from cellar_core.cli.watch import watch

    cellar, trainer = open_cellar(ctx), _trainer(train, words, timeout)
    with watch(model, machine=json) as seen:
        done = cellar.retrain(
            model,
            trainer,
            base=base,
            recipe=read_table(recipe),
            notes=notes,
            timeout=timeout,
            workdir=workdir,
            on_output=seen.line,
            on_progress=seen.progress,
            callback=seen.callback,
        )
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
        place_argument("All of a rack's projects, or one."),
    ],
    words: CommandArgument = None,
    *,
    train: TrainOption = None,
    again: Annotated[
        str | None,
        typer.Option("--again", metavar="WHY", help="Ask anew for a rebuild of MODEL that failed."),
    ] = None,
    take_over: Annotated[
        str | None,
        typer.Option("--take-over", metavar="WHY", help="Do MODEL anew, as whoever rebuilds it is gone."),
    ] = None,
    timeout: TimeoutOption = None,
    workdir: WorkdirOption = None,
    json: Annotated[bool, as_json("rebuilt; failed: model, error, message, retryable; skips")] = False,
) -> Answer:
    """Do what the plan wants.

    Here and now, one project after the other. A project that fails does not stop the others (the exit code is 1 in
    the end), and plans leave it out until somebody asks with --again, or its recipe or the rack's rules change.
    """
    from cellar_core.ref import Model

    cellar = open_cellar(ctx)
    place = rack_or_model(cellar, name)
    only, rack = (place, place.rack) if isinstance(place, Model) else (None, place)
    if again is not None or take_over is not None:
        _ask(cellar, only, again, take_over)
        if not (train or words):
            skips = [skip for skip in cellar.plan(rack).skips if skip.model == only]
            line = f"{only} is in the plan again; rebuild it with: cellar rebuild {only} --train PKG.MOD:NAME"
            return Answer({"rebuilt": [], "failed": [], "skips": skips}, lambda: [line])
    trainer = _trainer(train, words, timeout)
    return _rebuild(cellar, rack, only, trainer, {"timeout": timeout, "workdir": workdir}, machine=json)


def _trainer(train: str | None, words: list[str] | None, timeout: float | None) -> Train:
    """What is to train; it is looked at before anything is begun, so that a mistyped one makes no rebuild fail."""
    from cellar_core.trainer import as_trainer

    if bool(train) is bool(words):
        raise BadUsage("say how to train, in one way: --train PKG.MOD:NAME, or a command after --")
    if words:
        as_trainer(words)
        return words
    if timeout:
        raise BadUsage("--timeout ends a command; a function runs in this process, and nothing can end it")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    return as_trainer(str(train))


def _ask(cellar: Cellar, model: Model | None, again: str | None, take_over: str | None) -> None:
    if model is None:
        raise BadUsage("--again and --take-over are for one project: cellar rebuild RACK/PROJECT --again WHY")
    if None not in (again, take_over):
        raise BadUsage("give either --again, after a failure, or --take-over, if whoever rebuilds it is gone")
    if again is not None:
        cellar.ask(model, again)
    if take_over is not None:
        cellar.take_over(model, take_over)


def _rebuild(
    cellar: Cellar, rack: Rack, only: Model | None, train: Train, options: dict[str, Any], *, machine: bool
) -> Answer:
    from cellar_core.cli.output import complain, facts_of
    from cellar_core.cli.watch import watch
    from cellar_core.errors import CellarError

    holder = f"{_host()}{os.getpid()}"
    rebuilt, failed = [], []
    for planned in _wanted(cellar, rack, only):
        try:
            with watch(str(planned.model), machine=machine) as seen:
                hooks: dict[str, Any] = {"on_output": seen.line, "on_progress": seen.progress}
                hooks |= {"callback": seen.callback, **options}
                rebuilt.append(cellar.rebuild(planned, train, holder=holder, **hooks))
        except CellarError as error:
            complain(error, machine=machine)
            failed.append({"model": planned.model, **facts_of(error)})
    skips = [skip for skip in cellar.plan(rack).skips if only in (None, skip.model)]
    lines = [*(one.detail for one in rebuilt), *(f"{skip.model} {skip.sentence}" for skip in skips)]
    return Answer({"rebuilt": rebuilt, "failed": failed, "skips": skips}, lambda: lines, failed=bool(failed))


def _wanted(cellar: Cellar, rack: Rack, only: Model | None) -> Iterator[Rebuild]:
    """What the plan wants, planned anew each time: so what was queued comes up, and a base that is newer still."""
    from cellar_core.choose import NoSuchVersion
    from cellar_core.report import decisions

    plan = cellar.plan(rack)
    if only and only not in {one.model for one in decisions(plan)}:
        raise NoSuchVersion(f"{only} has no version to rebuild; make the first with: cellar retrain {only}")
    for skip in plan.in_progress:
        if _ended(skip.holder):
            cellar.mark_lost(skip, "its process has ended")
    tried: set[str] = set()
    while wanted := [
        one for one in cellar.plan(rack).rebuilds if one.run_key not in tried and only in (None, one.model)
    ]:
        tried.add(wanted[0].run_key)
        yield wanted[0]


def _host() -> str:
    """What the holders begin with that are processes of this user on this machine."""
    from cellar_core.record import who

    return f"cli:{who()}:"


def _ended(holder: str | None) -> bool:
    """Whether *holder* was a process of this machine and has ended: then nobody will ever say how it went."""
    process = re.fullmatch(rf"{re.escape(_host())}([0-9]{{1,9}})", holder or "")
    try:
        if process:
            os.kill(int(process[1]), 0)
    except OSError as error:  # another error than this one says that it lives
        return isinstance(error, ProcessLookupError)
    return False
