"""A real Prefect server, a process that serves the flow, and bases that other processes bump."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from cellar_core import Cellar, Reason
from example_flows.demo.prefect_server import PrefectServer, ServedFlow, until

EXAMPLES = Path(__file__).parents[2] / "example_flows"
RACK = "vit/vit-l"
PROJECTS = ("projectA", "projectB")

TRAIN = """
from cellar_core import RetrainJob

def train(job: RetrainJob) -> None:
    base = (job.base_dir / "weights.txt").read_text()
    (job.output_dir / "weights.txt").write_text(f"{base}, tuned for {job.model.project}")
"""
RETUNE = """
from cellar_prefect import base_bumped, rebuild_projects

if __name__ == "__main__":
    rebuild_projects.serve(
        "{name}",
        parameters={{"rack": "vit/vit-l", "train": {train!r}}},
        triggers=[base_bumped("vit/vit-l", debounce={debounce})],
        interval={interval},
    )
"""
PUBLISH = """
import sys
from cellar_prefect import register_model

if __name__ == "__main__":
    register_model("vit/vit-l/base", sys.argv[1], bump="minor")
"""
BURST = """
from pathlib import Path
from cellar_prefect import register_model

if __name__ == "__main__":
    for text in ("base two", "base three", "base four"):
        Path("payload/weights.txt").write_text(text)
        register_model("vit/vit-l/base", "payload", bump="minor")
"""


def retune(
    name: str, *, train: str | list[str] = "train:train", interval: float = 3600, debounce: float = 0
) -> str:
    """The script that a user writes, with a deployment name of its own."""
    return RETUNE.format(name=name, train=train, interval=interval, debounce=debounce)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with PrefectServer(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@contextmanager
def serving(
    server: PrefectServer, script: Path, cellar: Cellar, name: str = "rebuild-projects"
) -> Iterator[ServedFlow]:
    """Serve a script for one test: its automations would go on making runs that nobody is there to execute."""
    with server.serve(
        script, env={"CELLAR_URL": cellar.url}, deployment=f"rebuild-projects/{name}"
    ) as served:
        yield served
        with server.client() as client:
            for automation in served.automations():
                client.delete_automation(automation.id)


class Place:
    """A directory with the user's files, and a cellar in which two projects stand on the newest base."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cellar = Cellar.init(str(directory / "cellar"))
        (directory / "train.py").write_text(TRAIN)
        (directory / "publish.py").write_text(PUBLISH)
        self.cellar.register_base(RACK, self.payload("base one"), bump="major")
        for project in PROJECTS:
            self.cellar.register_project(f"{RACK}/{project}", self.payload(project), base=f"{RACK}/base/1.0")

    def payload(self, text: str) -> Path:
        directory = self.directory / "payload"
        directory.mkdir(exist_ok=True)
        (directory / "weights.txt").write_text(text)
        return directory

    def script(self, text: str) -> Path:
        path = self.directory / "retune.py"
        path.write_text(text)
        return path

    def bump(self, served: ServedFlow, text: str) -> None:
        """Register a base in a process of its own, by the task that announces it."""
        served.run(self.directory / "publish.py", str(self.payload(text)))

    def versions(self, project: str) -> list[str]:
        return [str(ref.version) for ref in self.cellar.versions(f"{RACK}/{project}")]

    def rebuilt(self, version: str) -> bool:
        return all(version in self.versions(project) for project in PROJECTS)

    def made_by(self, served: ServedFlow, version: str) -> set[str]:
        """Who created the flow runs that made the version of each project."""
        with served.server.client() as client:
            records = [self.cellar.resolve(f"{RACK}/{project}/{version}") for project in PROJECTS]
            runs = [client.read_flow_run(UUID(record.origin.run["run"])) for record in records]
        return {run.created_by.type for run in runs if run.created_by}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def ended(served: ServedFlow) -> list[FlowRun]:
    """The flow runs, once none of them is under way."""
    runs = served.flow_runs()
    return runs if all(run.state and run.state.is_final() for run in runs) else []


def test_a_base_that_another_process_registers_rebuilds_the_projects_at_once(
    server: PrefectServer, place: Place
) -> None:
    script = place.script(retune("by-event"))
    with serving(server, script, place.cellar, "by-event") as served:
        place.bump(served, "base two")
        begun = time.monotonic()
        until(lambda: place.rebuilt("1.1.1"), timeout=120, what="the projects to be rebuilt")
        print(f"\nbumped to rebuilt: {time.monotonic() - begun:.1f} s")
        (run,) = until(lambda: ended(served), timeout=60, what="the flow run to end")
        (automation,) = served.automations()
        assert run.created_by is not None
        assert (run.created_by.type, run.created_by.id) == ("AUTOMATION", automation.id)
        assert run.created_by.display_value == f"cellar: a base of {RACK} was registered"
        assert run.state is not None
        assert run.state.type is StateType.COMPLETED
        assert place.made_by(served, "1.1.1") == {"AUTOMATION"}
        assert [place.versions(project) for project in PROJECTS] == [["1.0.1", "1.1.1"]] * 2
    log = served.output()
    assert f"rebuild {RACK}/projectA onto {RACK}/base/1.1: 1.0.1 stands on base 1.0; base 1.1 is newer" in log


def test_a_base_that_nobody_announced_is_found_by_the_schedule(server: PrefectServer, place: Place) -> None:
    script = place.script(retune("by-schedule", interval=5))
    with serving(server, script, place.cellar, "by-schedule") as served:
        place.cellar.register_base(RACK, place.payload("base two"), bump="minor")
        begun = time.monotonic()
        until(lambda: place.rebuilt("1.1.1"), timeout=120, what="a scheduled run to rebuild the projects")
        print(f"\nregistered to rebuilt: {time.monotonic() - begun:.1f} s")
        assert place.made_by(served, "1.1.1") == {"SCHEDULE"}


def test_a_burst_of_bumps_is_one_run_when_debounced(server: PrefectServer, place: Place) -> None:
    script = place.script(retune("debounced", debounce=8))
    (place.directory / "burst.py").write_text(BURST)
    with serving(server, script, place.cellar, "debounced") as served:
        served.run(place.directory / "burst.py")
        until(
            lambda: place.rebuilt("1.3.1"), timeout=120, what="the projects to be rebuilt onto the last base"
        )
        assert len(until(lambda: ended(served), timeout=60, what="the flow run to end")) == 1
        assert [place.versions(project) for project in PROJECTS] == [["1.0.1", "1.3.1"]] * 2


def test_the_examples_tell_one_story(server: PrefectServer, tmp_path: Path) -> None:
    cellar = Cellar.init(str(tmp_path / "cellar"))
    for name in ("register", "retrain", "resolve"):
        shutil.copy(EXAMPLES / f"prefect_{name}.py", tmp_path)
    (tmp_path / "again.py").write_text(
        "from prefect_register import publish_base\n\npublish_base(epochs=20)\n"
    )
    with serving(server, tmp_path / "prefect_retrain.py", cellar) as served:
        served.run(tmp_path / "prefect_register.py")
        served.run(tmp_path / "again.py")
        until(
            lambda: len(cellar.versions(f"{RACK}/projectA")) > 1, timeout=120, what="projectA to be rebuilt"
        )
        served.run(tmp_path / "prefect_resolve.py", f"{RACK}/projectA@latest")
    deployed = (tmp_path / "deployed" / "weights.txt").read_text()
    assert deployed == "weights after 20 epochs, tuned for projectA"


def test_a_cancelled_run_ends_its_commands_and_the_next_one_rebuilds(
    server: PrefectServer, place: Place
) -> None:
    pids, free = place.directory / "pids", place.directory / "free"
    pids.mkdir()
    wait = f"echo $$ > {pids}/$$; sleep 600 & until [ -e {free} ]; do sleep 0.2; done"
    command = f'{wait}; echo x > "$CELLAR_OUTPUT_DIR/w"'
    script = place.script(retune("cancelled", train=["sh", "-c", command]))
    with serving(server, script, place.cellar, "cancelled") as served:
        place.bump(served, "base two")
        until(lambda: len(list(pids.iterdir())) == len(PROJECTS), timeout=120, what="the commands to run")
        groups = [int(pid.name) for pid in pids.iterdir()]
        (run,) = served.flow_runs()
        with server.client() as client:
            client.set_flow_run_state(run.id, Cancelling(), force=True)
        until(lambda: not any(map(alive, groups)), timeout=60, what="the commands to end")
        (run,) = until(lambda: ended(served), timeout=60, what="the run to end")
        assert run.state is not None
        assert run.state.type is StateType.CANCELLED
        plan = place.cellar.plan(RACK)
        assert [rebuild.reason for rebuild in plan.rebuilds] == [Reason.WAS_LOST] * 2, plan
        free.touch()
        place.bump(served, "base three")
        until(lambda: place.rebuilt("1.2.1"), timeout=120, what="the next run to rebuild the projects")


def alive(group: int) -> bool:
    """Whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
