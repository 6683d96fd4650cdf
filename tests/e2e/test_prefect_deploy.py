"""`python -m cellar_prefect deploy`, and what it deploys: rebuilds on a work pool, beside a real server and worker.

The short form of prefect_faults.py, which loses the server, the worker and the trainings as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.events.schemas.automations import Automation

from example_flows.demo.prefect_server import PrefectServer
from tests.e2e.prefect_rack import PROJECTS, RACK, RackOnPrefect
from tests.prefect.helpers import pause_heartbeats

NAME = "vit-vit-l"
SAVE = "import os; from cellar_prefect import CellarBlock; CellarBlock(url=os.environ['CELLAR_URL']).save('prod')"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RackOnPrefect]:
    directory = tmp_path_factory.mktemp("deployed")
    server = PrefectServer(directory / "prefect")
    rack = RackOnPrefect(directory / "rack", server)
    try:
        server.start(timeout=240)
        with server.client() as client:
            pause_heartbeats(client)
        rack.start_worker("gpu")
        yield rack
    finally:
        rack.stop_workers()
        server.stop()


def automations(rack: RackOnPrefect) -> list[Automation]:
    with rack.server.client() as client:
        return sorted(client.read_automations(), key=lambda one: one.name)


def runs(rack: RackOnPrefect, project: str) -> list[FlowRun]:
    tags = FlowRunFilterTags(any_=[f"{RACK}/{project}"])
    with rack.server.client() as client:
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))


def test_the_command_can_be_repeated(rack: RackOnPrefect) -> None:
    """Once more, with other options: nothing is doubled, no automation has a new id, and the options count."""
    rack.run("-c", SAVE)
    printed = rack.deploy("gpu")
    assert f"rebuild-projects/{NAME} looks at {RACK} each 60 s" in printed
    before = automations(rack)
    assert [one.name for one in before] == [
        f"cellar: a base of {RACK} was registered, run rebuild-projects/{NAME}",
        "cellar: a run without a heartbeat has crashed",
    ]
    with rack.server.client() as client:
        one = client.read_deployment_by_name(f"rebuild-project/{NAME}")
    assert one.parameters["cellar"] == rack.cellar.url
    rack.deploy("gpu", "--interval", "900", "--retries", "2", "--cellar", "prod")
    assert [one.id for one in automations(rack)] == [one.id for one in before]
    with rack.server.client() as client:
        every = client.read_deployment_by_name(f"rebuild-projects/{NAME}")
        one = client.read_deployment_by_name(f"rebuild-project/{NAME}")
    assert [schedule.schedule.interval.total_seconds() for schedule in every.schedules] == [900]
    assert one.parameters["retries"] == 2
    block = {"$ref": {"block_document_slug": "cellar/prod"}}
    assert one.parameters["cellar"] == every.parameters["cellar"] == block


def test_a_bump_is_rebuilt_by_the_workers_and_a_training_is_tried_again(rack: RackOnPrefect) -> None:
    (rack.directory / "fails-projectB").touch()
    rack.bump("base two")
    rack.wait()
    print(f"\nregistered to training: {rack.reaction('1.1'):.1f} s")
    assert rack.trainings("1.1") == {"projectA": 1, "projectB": 3}
    for project in PROJECTS:
        (run,) = runs(rack, project)
        assert run.name == f"rebuild {RACK}/{project} onto 1.1"
        assert str(run.id) == rack.cellar.resolve(f"{RACK}/{project}").origin.run["run"]


def test_of_a_burst_a_project_gets_the_training_under_way_and_one_onto_the_newest(
    rack: RackOnPrefect,
) -> None:
    rack.hold()
    rack.bump("base three")
    rack.wait_for_trainings(len(PROJECTS))
    rack.bump("base four", "base five", "base six", "base seven")
    rack.release()
    rack.wait()
    assert [rack.versions(project) for project in PROJECTS] == [["1.0.1", "1.1.1", "1.2.1", "1.6.1"]] * 2
    assert rack.trainings("1.6") == {"projectA": 1, "projectB": 3}
