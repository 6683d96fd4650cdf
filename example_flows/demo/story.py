"""The story of the demo: a base is bumped, and the orchestrator rebuilds every project's model from it.

Each step looks into the cellar first and does only what is missing there. So the story can be told again, and it
goes on after a crash: all there is to know is in the registry.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rich.text import Text

from cellar_core import Bump, Cellar, Rack, Reason, Recipe, Ref
from cellar_core.report import read
from cellar_core.tree import draw
from example_flows.demo import digits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from cellar_core import Record

RACK = Rack("digits/digits-mlp")
PROJECTS = [RACK.project(name) for name in ("exam-sheets", "meter-reading", "postal")]
RULES = Path(__file__).with_name("rack.toml")  # with the recipe of each project
FIRST, BETTER = Ref(f"{RACK}/base/1.0"), Ref(f"{RACK}/base/1.1")
HELD_OUT = "digits[1300:1797]"
TRAINING = {"epochs": 60, "learning_rate": 0.05}
RECIPES = {
    FIRST: Recipe(data=("digits[0:150]", HELD_OUT), parameters=TRAINING, seed=0),
    BETTER: Recipe(data=("digits[0:1000]", HELD_OUT), parameters=TRAINING, seed=0),
}
PATIENCE = 240
"""Seconds that the orchestrator has to rebuild the three projects."""


class NotRebuilt(RuntimeError):
    """The orchestrator did not do its part; the message says what is known."""


class Run(NamedTuple):
    """A run of the orchestrator: its name, who created it by the orchestrator's own word, and how it ended."""

    name: str
    created_by: str
    ended: str | None


class Orchestrator(Protocol):
    """What the story needs of a running Prefect or Airflow."""

    url: str

    def register_base(self, model_dir: Path, recipe: Recipe) -> None:
        """Register a minor bump of the base, as a user of this orchestrator does."""

    def runs(self) -> list[Run]:
        """The runs of the flow or DAG that rebuilds the projects, oldest first."""


class Story:
    """The story of one cellar.

    Args:
        place: directory of the cellar; made if missing.
        console: where the story is told.
    """

    def __init__(self, place: Path, console: Console) -> None:
        self.place = place
        self.console = console
        self.cellar = Cellar.init(place)
        self.decisions: dict[str, str] = {}

    # --- what this process does ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Train and register a first base, and fine-tune three projects from it."""
        self.heading("A base, and three projects that are fine-tuned from it")
        if new := not self.cellar.exists(FIRST):
            self.cellar.create_rack(RACK)
            shutil.copyfile(RULES, self.place / str(RACK) / "config.toml")
            with tempfile.TemporaryDirectory() as model_dir:
                digits.train_base(Path(model_dir), RECIPES[FIRST])
                self.cellar.register_base(RACK, model_dir, bump=Bump.MAJOR, recipe=RECIPES[FIRST])
        self.show(FIRST, new=new)
        for project in PROJECTS:
            if new := not self.cellar.versions(project):
                self.cellar.retrain(project, digits.train)
            self.show(self.cellar.versions(project)[0], new=new)

    def bump(self, orchestrator: Orchestrator) -> None:
        """Train a better base and register it; all that this process does after that is to look."""
        self.heading("A better base")
        if new := not self.cellar.exists(BETTER):
            with tempfile.TemporaryDirectory() as model_dir:
                digits.train_base(Path(model_dir), RECIPES[BETTER])
                orchestrator.register_base(Path(model_dir), RECIPES[BETTER])
        self.show(BETTER, new=new)

    def give_back(self) -> None:
        """Take over what is in progress: no orchestrator of the demo is running, so whoever had begun it is gone."""
        for skip in self.cellar.plan(RACK).skips:
            if skip.reason is Reason.IN_PROGRESS:
                self.cellar.take_over(skip.model, "the demo was cut off")

    # --- what the orchestrator does -----------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the base was bumped and every project stands on the new one, or on one that is newer still."""
        return self.cellar.exists(BETTER) and all(
            record.ref.base.version >= BETTER.version for record in map(self.cellar.resolve, PROJECTS)
        )

    @property
    def rebuilt_by(self) -> str | None:
        """Which orchestrator has rebuilt a project here: `airflow`, `prefect`, or None yet."""
        records = (record for project in PROJECTS for record in self.cellar.records(project))
        return next((record.origin.run["orchestrator"] for record in records if record.request), None)

    def watch(self, orchestrator: Orchestrator) -> None:
        """Tell what the orchestrator does, as it happens, until its run has ended and every project is rebuilt.

        Raises:
            NotRebuilt: a rebuild failed, or PATIENCE is over.
        """
        began = time.monotonic()
        told: set[str] = set()
        while True:
            runs = orchestrator.runs()
            for line in self.happenings(runs):
                if line not in told:
                    told.add(line)
                    self.say(f"  {time.monotonic() - began:5.1f} s  {line}")
            if self.finished and all(run.ended for run in runs):
                return
            if time.monotonic() - began > PATIENCE:
                raise NotRebuilt(f"Not every project is rebuilt after {PATIENCE} s.")
            time.sleep(0.5)

    def happenings(self, runs: list[Run]) -> Iterator[str]:
        """What there is to tell; a line stays the same as long as it is true."""
        plan = self.cellar.plan(RACK)
        for rebuild in plan.rebuilds:
            self.decisions.setdefault(str(rebuild.model), rebuild.sentence)
            yield f"{rebuild.model.project} is to be rebuilt"
        for run in runs:
            yield f"run {run.name} was created by {run.created_by}"
        for skip in plan.skips:
            if skip.reason is Reason.IN_PROGRESS:
                yield f"{skip.model.project} is being rebuilt"
            if skip.reason is Reason.FAILED_BEFORE:
                raise NotRebuilt(f"{skip.model} {skip.sentence}")
        for project in PROJECTS:
            for ref in self.cellar.versions(project)[1:]:
                yield f"{ref} is registered"
        for run in runs:
            if run.ended:
                yield f"run {run.name} ended: {run.ended}"

    # --- what is shown ------------------------------------------------------------------------------------

    def say(self, text: str | Text) -> None:
        """Print a line; a terminal breaks it where it likes, a pipe gets it whole."""
        self.console.print(text, markup=False, soft_wrap=True)

    def heading(self, title: str, more: str = "") -> None:
        """Print what comes next."""
        self.say(Text.assemble((f"\n{title}", "bold"), f" ({more})" if more else ""))

    def show(self, ref: Ref, *, new: bool) -> None:
        """Print a version, how good it is, and whether this process made it."""
        self.say(f"  {ref!s:37}  {describe(self.cellar.resolve(ref))}" + ", is already there" * (not new))

    def end(self) -> None:
        """Print the rack as a tree with its metrics, what was decided about each project, why, and who did it."""
        self.heading("The rack", "a metric with an arrow: in the version before → in this one")
        self.console.print(draw(read(self.cellar, RACK)))
        self.heading("What was decided, and why")
        for model, sentence in self.decisions.items():
            self.say(f"  rebuild {model:31}  {sentence}")
        for skip in self.cellar.plan(RACK).skips:
            self.say(f"  now     {skip.model!s:31}  {skip.sentence}")
        self.heading("Who rebuilt them", "by each version's record")
        for record in map(self.cellar.resolve, PROJECTS):
            run = ", ".join(f"{key} {value}" for key, value in record.origin.run.items())
            self.say(f"  {record.ref!s:39}  {run}")


def describe(record: Record) -> str:
    """How good a version is on its held-out digits, and what it was made from."""
    metrics = record.metrics
    if record.parent is None:
        return f"accuracy {metrics['accuracy']:.3f}, learned from {metrics['n_train']} digits"
    gain = f"{metrics['base_accuracy']:.3f} → {metrics['accuracy']:.3f}"
    return f"accuracy {gain}, fine-tuned from base/{record.parent.ref.version}"


def lineage(cellar: Cellar) -> dict[str, tuple[str | None, str]]:
    """Each version of the rack, with the base that it was made from and the digest of its files."""
    records = [record for model in cellar.models(RACK) for record in cellar.records(model)]
    return {str(one.ref): (str(one.parent.ref) if one.parent else None, one.tree) for one in records}
