"""The short form of airflow_faults.py: a bump, a lost worker, and a burst, on Airflow's four real components."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from example_flows.demo.airflow_server import AirflowServer
from tests.e2e.airflow_rack import ONCE, RackOnAirflow, airflow, kill_worker, make_racks

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def racks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RackOnAirflow]:
    return make_racks(tmp_path_factory.mktemp("airflow"), "bumped", "killed", "burst")


@pytest.fixture(scope="module")
def server(racks: dict[str, RackOnAirflow]) -> Iterator[AirflowServer]:
    directory = racks["bumped"].directory.parents[1]
    with airflow(directory) as running:
        running.wait_for_dag("faults-burst")
        yield running


def test_a_bump_in_another_process(
    server: AirflowServer,
    racks: dict[str, RackOnAirflow],
    record_property: Callable[[str, object], None],
) -> None:
    rack = racks["bumped"]
    rack.bump("base two")
    rack.wait(server)
    assert rack.trainings() == {"1.1": ONCE}
    record_property("reaction_seconds", rack.reaction("1.1"))


def test_a_worker_and_its_training_are_killed_in_the_middle(
    server: AirflowServer, racks: dict[str, RackOnAirflow]
) -> None:
    """Airflow misses its heartbeat; then the next plan marks the rebuild as lost, and asks for it anew."""
    rack = racks["killed"]
    rack.hold()
    rack.bump("base two")
    rack.wait_for_trainings(server, "1.1")
    (lost,) = rack.begun("1.1", "projectA")
    killed = time.monotonic()
    kill_worker(lost)
    rack.release()
    rack.wait(server)
    print(f"\nkilled to rebuilt: {time.monotonic() - killed:.0f} s")
    assert rack.trainings() == {"1.1": {"projectA": 2, "projectB": 1}}
    assert rack.attempts("projectA", "1.1") == ["started", "lost", "started"]


def test_a_burst_of_five_bumps(server: AirflowServer, racks: dict[str, RackOnAirflow]) -> None:
    """It costs the training that was under way, and one onto the newest."""
    rack = racks["burst"]
    rack.hold()
    rack.bump("base two")
    rack.wait_for_trainings(server, "1.1")
    rack.bump("base three", "base four", "base five", "base six", "base seven")
    rack.wait_for_trainings(server, "1.6")
    rack.release()
    rack.wait(server)
    assert rack.trainings() == {"1.1": ONCE, "1.6": ONCE}
