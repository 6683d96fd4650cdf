"""The long form of test_prefect_deploy.py: whatever is lost, each project ends on the newest base exactly once.

It takes many minutes, most of them waiting for a heartbeat that does not come, so the normal suite leaves it out:

    pytest -s tests/e2e/prefect_faults.py

On PostgreSQL two workers on two process pools have the same rack at once; `initdb` and `postgres` must be on the PATH
or below /usr/lib/postgresql (Debian's package `postgresql`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType

from cellar_core import Reason
from cellar_prefect import missing_heartbeat
from cellar_prefect.events import registered_event
from example_flows.demo.prefect_server import PrefectServer, until
from tests.e2e.databases import postgresql
from tests.e2e.prefect_rack import PROJECTS, RACK, RackOnPrefect

pytestmark = pytest.mark.timeout(900)

SERVE = """
from cellar_prefect import NO_OVERLAP, base_bumped, rebuild_projects

if __name__ == "__main__":
    rebuild_projects.serve(
        parameters={"rack": "vit/vit-l", "train": "train:train"},
        triggers=[base_bumped("vit/vit-l")],
        interval=15,
        global_limit=NO_OVERLAP,
    )
"""
BEAT = 30  # seconds; Prefect allows no faster heartbeat
SILENCE = 75


class Server(PrefectServer):
    """A server whose runs say often that they live."""

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(BEAT)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        url = None
        if request.param == "postgresql":
            url = f"postgresql+asyncpg://{stack.enter_context(postgresql())}"
        server = Server(directory / "prefect", database=url)
        stack.callback(server.stop)
        yield server.start(timeout=300)


@pytest.fixture(scope="module")
def pools(server: Server) -> list[str]:
    """On PostgreSQL two pools, which get the same rack: each bump starts both, and a rebuild is done by one of them."""
    return ["one", "two"] if server.database.startswith("post") else ["one"]


@pytest.fixture
def rack(server: Server, pools: list[str], tmp_path: Path) -> Iterator[RackOnPrefect]:
    rack = RackOnPrefect(tmp_path / "rack", server)
    try:
        for pool in pools:
            rack.start_worker(pool)
            rack.deploy(pool, "--name", pool, "--interval", "15", "--silence", str(SILENCE), "--retries", "2")
        yield rack
    finally:
        rack.stop_workers()
        with server.client() as client:  # so that the next test's workers get no runs of this one
            for pool in pools:
                for flow in ("rebuild-projects", "rebuild-project"):
                    client.delete_deployment(client.read_deployment_by_name(f"{flow}/{pool}").id)


def trained_once(rack: RackOnPrefect, base: str) -> bool:
    return rack.trainings(base) == dict.fromkeys(PROJECTS, 1)


def test_a_bump_in_another_process(rack: RackOnPrefect) -> None:
    rack.bump("base two")
    rack.wait()
    print(f"\nregistered to training: {rack.reaction('1.1'):.1f} s")
    assert trained_once(rack, "1.1")


def test_a_bump_while_the_server_is_stopped(rack: RackOnPrefect, server: Server) -> None:
    server.stop()
    rack.cellar.register_base(RACK, rack.directory / "payload", bump="minor", again="nobody can be told")
    server.start(timeout=300)
    rack.wait()
    print(f"\nregistered to training, with the server down in between: {rack.reaction('1.1'):.1f} s")
    assert trained_once(rack, "1.1")


def test_workers_and_trainings_are_killed_in_the_middle(
    rack: RackOnPrefect, server: Server, pools: list[str]
) -> None:
    """Their runs stay Running until the heartbeat is missed; then they have crashed, and are lost, and rebuilt."""
    rack.hold()
    rack.bump("base two")
    begun = rack.wait_for_trainings(len(PROJECTS))
    killed = time.monotonic()
    rack.stop_workers(kill=True)
    rack.kill_trainings(begun)
    rack.release()
    for pool in pools:
        rack.start_worker(pool)
    holders = [one.holder for one in rack.cellar.plan(RACK).skips if one.reason is Reason.IN_PROGRESS]
    dead = [UUID(str(holder).partition("/flow_runs/")[2].partition("#")[0]) for holder in holders]
    assert len(dead) == len(PROJECTS)
    rack.wait(timeout=400)
    print(f"\nkilled to rebuilt: {time.monotonic() - killed:.0f} s")
    assert rack.trainings("1.1") == dict.fromkeys(PROJECTS, 2)
    with server.client() as client:
        states = [client.read_flow_run(one).state for one in dead]
    assert [one.type for one in states if one] == [StateType.CRASHED] * len(PROJECTS)


def test_an_event_that_comes_twice(rack: RackOnPrefect) -> None:
    """Once more with the same id, and once more with another."""
    rack.bump("base two")
    record = rack.cellar.resolve(f"{RACK}/base/1.1")
    event = registered_event(rack.cellar.id, record).model_dump(mode="json")
    with rack.server.client() as client:
        for one in (event, {**event, "id": "00000000-0000-4000-8000-000000000007"}):
            client.request("POST", "/events", json=[one])
    rack.wait()
    assert trained_once(rack, "1.1")


def test_a_trainer_that_fails_twice(rack: RackOnPrefect) -> None:
    (rack.directory / "fails-projectB").touch()
    rack.bump("base two")
    rack.wait()
    assert rack.trainings("1.1") == {"projectA": 1, "projectB": 3}


def test_a_burst_of_five(rack: RackOnPrefect) -> None:
    rack.hold()
    rack.bump("base two", "base three", "base four", "base five", "base six")
    until(rack.begun, timeout=180, what="a training")
    rack.release()
    rack.wait()
    for project in PROJECTS:
        assert len(rack.begun(project)) <= 2
        assert rack.trainings("1.5")[project] == 1


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_what_serves_the_flow_is_killed_with_its_trainings(server: Server, tmp_path: Path) -> None:
    """Its one run holds the slot of the deployment's limit, until the heartbeat is missed."""
    rack = RackOnPrefect(tmp_path / "rack", server)
    script = rack.directory / "retune.py"
    script.write_text(SERVE)
    with server.client() as client:
        client.create_automation(missing_heartbeat(SILENCE))
    rack.hold()
    with server.serve(script, env=rack.env) as served:
        rack.bump("base two")
        begun = rack.wait_for_trainings(len(PROJECTS))
        killed = time.monotonic()
        served.child.kill()
        rack.kill_trainings(begun)
    rack.release()
    with server.serve(script, env=rack.env):
        rack.wait(timeout=400)
    print(f"\nkilled to rebuilt: {time.monotonic() - killed:.0f} s")
    assert rack.trainings("1.1") == dict.fromkeys(PROJECTS, 2)
