"""The demo: one story, on whichever orchestrators are installed here, and always with the same end."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.console import Console

from cellar_core import Bump, Cellar, Reason, Recipe, RetrainJob
from example_flows.demo import digits
from example_flows.demo.story import BETTER, PROJECTS, RACK, RECIPES, Run, Story, lineage

ORCHESTRATORS = [name for name in ("airflow", "prefect") if find_spec(name)]
CREATORS = {
    "airflow": "the scheduler (asset_triggered, told by the triggerer's watcher of"
    " cellar://cellar_default/digits/digits-mlp/base)",
    "prefect": "the automation 'cellar: a base of digits/digits-mlp was registered'",
}
PARENTS = {
    "digits/digits-mlp/base/1.0": None,
    "digits/digits-mlp/base/1.1": None,
    "digits/digits-mlp/exam-sheets/1.0.1": "digits/digits-mlp/base/1.0",
    "digits/digits-mlp/exam-sheets/1.1.1": "digits/digits-mlp/base/1.1",
    "digits/digits-mlp/meter-reading/1.0.1": "digits/digits-mlp/base/1.0",
    "digits/digits-mlp/meter-reading/1.1.1": "digits/digits-mlp/base/1.1",
    "digits/digits-mlp/postal/1.0.1": "digits/digits-mlp/base/1.0",
    "digits/digits-mlp/postal/1.1.1": "digits/digits-mlp/base/1.1",
}


@dataclass
class ByHand:
    """Stands where the orchestrator does: a person who asks the core for each rebuild."""

    cellar: Cellar
    url: str = "the core alone"

    def register_base(self, model_dir: Path, recipe: Recipe) -> None:
        self.cellar.register_base(RACK, model_dir, bump=Bump.MINOR, recipe=recipe)

    def runs(self) -> list[Run]:
        for rebuild in self.cellar.plan(RACK).rebuilds:
            self.cellar.rebuild(rebuild, digits.train, holder="a person")
        return [Run("by hand", "a person", "success")]


def tell(place: Path) -> Story:
    """Tell the story, or the rest of it, with the core alone."""
    story = Story(place, Console(quiet=True))
    story.begin()
    if not story.finished:
        story.give_back()
        by_hand = ByHand(story.cellar)
        story.bump(by_hand)
        story.watch(by_hand)
    return story


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Cellar:
    """What every orchestrator has to leave behind."""
    return tell(tmp_path_factory.mktemp("by-hand") / "cellar").cellar


# --- the story itself -------------------------------------------------------------------------------------


def test_every_project_stands_on_the_better_base_and_none_on_its_own_older_model(by_hand: Cellar) -> None:
    assert {ref: parent for ref, (parent, _) in lineage(by_hand).items()} == PARENTS


def test_the_better_base_makes_every_project_better(by_hand: Cellar) -> None:
    old, new = (record.metrics for record in by_hand.records(RACK.base))
    assert new["accuracy"] > old["accuracy"] + 0.05
    for project in PROJECTS:
        old, new = (record.metrics for record in by_hand.records(project))
        assert old["base_accuracy"] < old["accuracy"] < new["accuracy"]
        assert new["base_accuracy"] < new["accuracy"]
        assert old["n_test"] == new["n_test"] > 400


def test_a_model_is_three_files_and_nothing_is_pickled(by_hand: Cellar, tmp_path: Path) -> None:
    for model in by_hand.models(RACK):
        model_dir = by_hand.pull(model, tmp_path / model.project)
        assert {path.name for path in model_dir.iterdir()} == {
            "config.yaml",
            "result.json",
            "weights.safetensors",
        }


def test_what_is_told_twice_is_done_once(by_hand: Cellar, tmp_path: Path) -> None:
    before = lineage(tell(tmp_path / "cellar").cellar)
    kept = files(tmp_path / "cellar")
    assert lineage(tell(tmp_path / "cellar").cellar) == before == lineage(by_hand)
    assert files(tmp_path / "cellar") == kept


@pytest.mark.parametrize("trainings", range(6))
def test_a_story_that_was_cut_off_goes_on(
    trainings: int, by_hand: Cellar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three trainings are those of the story's begin, three those of the rebuilds."""
    train, left = digits.train, iter(range(trainings))

    def cut_off(job: RetrainJob) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        train(job)

    monkeypatch.setattr(digits, "train", cut_off)
    with pytest.raises(KeyboardInterrupt):
        tell(tmp_path / "cellar")
    monkeypatch.undo()
    assert lineage(tell(tmp_path / "cellar").cellar) == lineage(by_hand)


def test_a_rebuild_whose_orchestrator_is_gone_is_taken_over(by_hand: Cellar, tmp_path: Path) -> None:
    """A machine that is lost writes no word: the rebuild stays in progress until somebody gives it back."""
    story = Story(tmp_path / "cellar", Console(quiet=True))
    story.begin()
    story.bump(ByHand(story.cellar))

    def lost(job: RetrainJob) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        story.cellar.rebuild(story.cellar.plan(RACK).rebuilds[0], lost, holder="lost", last_try=False)
    assert [skip.reason for skip in story.cellar.plan(RACK).skips] == [Reason.IN_PROGRESS]

    assert lineage(tell(tmp_path / "cellar").cellar) == lineage(by_hand)


# --- on a real orchestrator -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A demo that has run as `make demo` runs it."""

    orchestrator: str
    directory: Path
    output: str

    @property
    def cellar(self) -> Cellar:
        return Cellar(self.directory / "cellar")


def demo(orchestrator: str, directory: Path) -> str:
    command = [sys.executable, "-P", "-m", "example_flows.demo", "--orchestrator", orchestrator]
    done = subprocess.run(
        [*command, "--cellar", str(directory / "cellar")],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=directory,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module", params=ORCHESTRATORS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp(request.param)
    return Told(request.param, directory, demo(request.param, directory))


@pytest.mark.timeout(450)
def test_each_orchestrator_leaves_the_same_versions_with_the_same_lineage(
    told: Told, by_hand: Cellar
) -> None:
    """The digests are compared too: both have to be those of the core alone, so they are each other's."""
    assert lineage(told.cellar) == lineage(by_hand)


def test_only_the_orchestrator_acts_between_the_bump_and_the_trainings(told: Told) -> None:
    [(run, creator)] = re.findall(r"run (\S+) was created by (.+)", told.output)
    assert creator == CREATORS[told.orchestrator]
    [server] = re.findall(r"ready after \d+ s, at (\S+)", told.output)
    bumped = told.cellar.resolve(str(BETTER)).created_at.isoformat()
    for project in PROJECTS:
        [entry] = (told.directory / f"cellar/.cellar/rebuilds/{project}/1.1").iterdir()
        started = json.loads(entry.read_text())
        assert started["event"] == "started"
        assert started["at"] > bumped.replace("+00:00", "Z")
        assert started["holder"].startswith(server)
        assert f"/{quote(run)}" in started["holder"]


def test_the_base_is_registered_as_a_user_of_each_orchestrator_would(told: Told) -> None:
    """On Airflow by a program that knows nothing of it; on Prefect by a flow, whose run is in the record."""
    record = told.cellar.resolve(str(BETTER))
    assert record.recipe == RECIPES[BETTER]
    assert bool(record.origin.run) is (told.orchestrator == "prefect")


def test_it_tells_what_was_decided_and_why_and_what_came_of_it(told: Told) -> None:
    for project in PROJECTS:
        assert re.search(rf"rebuild {project} +1\.0\.1 stands on base 1\.0; base 1\.1 is newer", told.output)
        assert re.search(rf"now +{project} +stands on base 1\.1, the newest it follows", told.output)
        old, new = (record.metrics["accuracy"] for record in told.cellar.records(project))
        assert f"accuracy {old:.4g} → {new:.4g}" in told.output
    assert "\x1b" not in told.output


def test_the_commands_that_it_ends_with_work(told: Told) -> None:
    commands = told.output.partition("To go on\n")[2].splitlines()
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, check=False, cwd=told.directory
        )
        assert done.returncode == 0, done.stderr
        assert "1.1" in done.stdout


def test_run_again_it_starts_nothing_and_writes_nothing(told: Told) -> None:
    before = files(told.directory)
    output = demo(told.orchestrator, told.directory)
    assert output.count("is already there") == 4
    assert "Every project stands on the better base already" in output
    assert files(told.directory) == before


def test_no_process_of_it_is_left(told: Told) -> None:
    assert not [process for process in Path("/proc").glob("[0-9]*") if is_of(process, told.directory)]
    [port] = re.findall(r"ready after \d+ s, at http://127\.0\.0\.1:(\d+)", told.output)
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.1", int(port))) != 0


def is_of(process: Path, directory: Path) -> bool:
    """Whether a process runs in *directory* or has it in its environment."""
    try:
        return str(directory) in f"{(process / 'cwd').readlink()} {(process / 'environ').read_text()}"
    except (OSError, UnicodeDecodeError):  # another user's process, or one that has just ended
        return False


def files(directory: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in directory.rglob("*") if path.is_file()}
