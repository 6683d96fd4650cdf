"""A real Prefect server, a process that serves the flow, and bases that other processes bump."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from cellar_core import Cellar, Reason
from example_flows.demo.prefect_server import PrefectServer, ServedFlow, until
from tests.e2e.prefect_rack import PROJECTS, RACK, RackOnPrefect
from tests.prefect.helpers import pause_heartbeats

EXAMPLES = Path(__file__).parents[2] / "example_flows"
RETUNE = """
from cellar_prefect import NO_OVERLAP, base_bumped, rebuild_projects

if __name__ == "__main__":
    rebuild_projects.serve(
        "{name}",
        parameters={{"rack": "vit/vit-l", "train": {train!r}}},
        triggers=[base_bumped("vit/vit-l", debounce={debounce})],
        interval={interval},
        global_limit={global_limit},
    )
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with PrefectServer(tmp_path_factory.mktemp("prefect")) as server:
        with server.client() as client:
            pause_heartbeats(client)
        yield server


@pytest.fixture
def rack(server: PrefectServer, tmp_path: Path) -> RackOnPrefect:
    return RackOnPrefect(tmp_path / "rack", server)


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


@contextmanager
def retuning(
    rack: RackOnPrefect,
    name: str,
    *,
    train: str | list[str] = "train:train",
    interval: float = 3600,
    debounce: float = 0,
    global_limit: str = "None",
) -> Iterator[ServedFlow]:
    """Serve the script that a user writes, with a deployment name of its own."""
    script = rack.directory / "retune.py"
    script.write_text(
        RETUNE.format(name=name, train=train, interval=interval, debounce=debounce, global_limit=global_limit)
    )
    with serving(rack.server, script, rack.cellar, name) as served:
        yield served


def creators(rack: RackOnPrefect, version: str) -> set[str]:
    """Who created the flow runs that made the version of each project."""
    with rack.server.client() as client:
        records = [rack.cellar.resolve(f"{RACK}/{project}/{version}") for project in PROJECTS]
        runs = [client.read_flow_run(UUID(record.origin.run["run"])) for record in records]
    return {run.created_by.type for run in runs if run.created_by}


def ended(served: ServedFlow) -> list[FlowRun]:
    """The flow runs, once none of them is under way."""
    runs = served.flow_runs()
    return runs if all(run.state and run.state.is_final() for run in runs) else []


def states(served: ServedFlow) -> Counter[StateType]:
    """How many flow runs there are in each state, those too that were never started."""
    name = DeploymentFilterName(any_=[served.deployment.partition("/")[2]])
    with served.server.client() as client:
        runs = client.read_flow_runs(deployment_filter=DeploymentFilter(name=name))
    return Counter(run.state.type for run in runs if run.state and not run.state.is_scheduled())


def test_a_base_that_another_process_registers_rebuilds_the_projects_at_once(rack: RackOnPrefect) -> None:
    with retuning(rack, "by-event") as served:
        rack.bump("base two")
        rack.wait()
        print(f"\nregistered to training: {rack.reaction('1.1'):.1f} s")
        (run,) = until(lambda: ended(served), timeout=180, what="the flow run to end")
        (automation,) = served.automations()
        assert run.created_by is not None
        assert (run.created_by.type, run.created_by.id) == ("AUTOMATION", automation.id)
        assert run.created_by.display_value == f"cellar: a base of {RACK} was registered"
        assert run.state is not None
        assert run.state.type is StateType.COMPLETED
        assert creators(rack, "1.1.1") == {"AUTOMATION"}
        assert [rack.versions(project) for project in PROJECTS] == [["1.0.1", "1.1.1"]] * 2
    log = served.output()
    assert f"rebuild {RACK}/projectA onto {RACK}/base/1.1: 1.0.1 stands on base 1.0; base 1.1 is newer" in log


def test_a_base_that_nobody_announced_is_found_by_the_schedule(rack: RackOnPrefect) -> None:
    with retuning(rack, "by-schedule", interval=20):  # a look is a process: they must not pile up
        rack.cellar.register_base(RACK, rack.payload("base two"), bump="minor")
        rack.wait()
        print(f"\nregistered to training: {rack.reaction('1.1'):.1f} s")
        assert creators(rack, "1.1.1") == {"SCHEDULE"}


def test_a_burst_of_bumps_is_one_run_when_debounced(rack: RackOnPrefect) -> None:
    with retuning(rack, "debounced", debounce=8) as served:
        rack.bump("base two", "base three", "base four")
        rack.wait()
        assert len(until(lambda: ended(served), timeout=180, what="the flow run to end")) == 1
        assert [rack.versions(project) for project in PROJECTS] == [["1.0.1", "1.3.1"]] * 2


def test_a_second_run_is_cancelled_and_the_first_one_sees_what_it_was_started_for(
    rack: RackOnPrefect,
) -> None:
    with retuning(rack, "alone", global_limit="NO_OVERLAP") as served:
        rack.hold()
        rack.bump("base two")
        rack.wait_for_trainings(len(PROJECTS))
        rack.bump("base three")
        until(lambda: states(served).get(StateType.CANCELLED), timeout=180, what="the second run")
        rack.release()
        rack.wait()
        until(lambda: ended(served), timeout=180, what="the first run to end")
        assert states(served) == {StateType.COMPLETED: 1, StateType.CANCELLED: 1}
        assert [rack.versions(project) for project in PROJECTS] == [["1.0.1", "1.1.1", "1.2.1"]] * 2
        assert rack.trainings("1.1") == rack.trainings("1.2") == dict.fromkeys(PROJECTS, 1)


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
            lambda: len(cellar.versions(f"{RACK}/projectA")) > 1, timeout=240, what="projectA to be rebuilt"
        )
        served.run(tmp_path / "prefect_resolve.py", f"{RACK}/projectA@latest")
    deployed = (tmp_path / "deployed" / "weights.txt").read_text()
    assert deployed == "weights after 20 epochs, tuned for projectA"


def test_a_cancelled_run_ends_its_commands_and_the_next_one_rebuilds(rack: RackOnPrefect) -> None:
    pids, free = rack.directory / "pids", rack.directory / "free"
    pids.mkdir()
    wait = f"echo $$ > {pids}/$$; sleep 600 & until [ -e {free} ]; do sleep 0.2; done"
    command = f'{wait}; echo x > "$CELLAR_OUTPUT_DIR/w"'
    with retuning(rack, "cancelled", train=["sh", "-c", command]) as served:
        rack.bump("base two")
        until(lambda: len(list(pids.iterdir())) == len(PROJECTS), timeout=240, what="the commands to run")
        groups = [int(pid.name) for pid in pids.iterdir()]
        (run,) = served.flow_runs()
        with rack.server.client() as client:
            client.set_flow_run_state(run.id, Cancelling(), force=True)
        until(lambda: not any(map(alive, groups)), timeout=180, what="the commands to end")
        (run,) = until(lambda: ended(served), timeout=180, what="the run to end")
        assert run.state is not None
        assert run.state.type is StateType.CANCELLED
        plan = rack.cellar.plan(RACK)
        assert [rebuild.reason for rebuild in plan.rebuilds] == [Reason.WAS_LOST] * 2, plan
        free.touch()
        rack.bump("base three")
        rack.wait()


def alive(group: int) -> bool:
    """Whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
