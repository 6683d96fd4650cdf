"""What the server is asked to do by itself; tests/e2e shows that it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Event
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from cellar_core import Cellar
from cellar_core.ref import InvalidRef
from cellar_prefect import base_bumped, ensure_automation, missing_heartbeat, rebuild_projects
from cellar_prefect.automations import watch_heartbeats
from cellar_prefect.events import registered_event
from example_flows.demo.prefect_server import until
from tests.prefect.helpers import RACK, train


class TestBaseBumped:
    def test_it_fires_for_a_base_of_its_rack_and_for_nothing_else(self, behind: Cellar) -> None:
        """As the server decides it, with the trigger that the server makes of it."""
        from prefect.server.events.schemas.automations import EventTrigger
        from prefect.server.events.schemas.events import ReceivedEvent, Resource

        sent = base_bumped(RACK).model_dump(mode="json")
        trigger = EventTrigger.model_validate(
            {name: sent[name] for name in EventTrigger.model_fields if name in sent}
        )

        def fires(selector: str, rack: str = RACK) -> bool:
            event = registered_event(behind.id, behind.resolve(selector)).model_dump(mode="json")
            event["resource"]["cellar.rack"] = rack
            received = ReceivedEvent.model_validate(event)
            assert isinstance(received.resource, Resource)
            return trigger.covers(received)

        assert fires(f"{RACK}/base")
        assert not fires(f"{RACK}/a")
        assert not fires(f"{RACK}/base", rack="vit/vit-l2")

    def test_a_burst_is_one_run_that_begins_when_the_burst_is_over(self) -> None:
        trigger = base_bumped(RACK, debounce=30)
        assert trigger.within == trigger.schedule_after == timedelta(seconds=30)

    def test_at_once_by_default(self) -> None:
        assert base_bumped(RACK).within == base_bumped(RACK).schedule_after == timedelta(0)

    def test_nothing_is_taken_from_the_event(self) -> None:
        """`{{ event.id }}` cannot be rendered, and a number that looks like one is refused by a text parameter."""
        assert base_bumped(RACK).parameters is None

    def test_a_name_that_is_no_rack_is_refused(self) -> None:
        with pytest.raises(InvalidRef):
            base_bumped("vit/*")


@pytest.fixture
def deployment(api: str) -> str:
    rebuild_projects.to_deployment("ensured", parameters={"rack": RACK, "train": "pkg:train"}).apply()
    return "rebuild-projects/ensured"


def automations(ids: list[UUID]) -> list[Automation]:
    with get_client(sync_client=True) as client:
        found = [client.read_automation(one) for one in ids]
    return [one for one in found if one]


class TestEnsureAutomation:
    def test_again_is_the_same_two_with_what_is_asked_for_now(self, deployment: str) -> None:
        ids = ensure_automation(RACK, deployment)
        assert ensure_automation(RACK, deployment, debounce=20, silence=90) == ids
        bumped, silent = automations(ids)
        assert bumped.name == f"cellar: a base of {RACK} was registered, run {deployment}"
        assert bumped.trigger.within == timedelta(seconds=20)
        assert silent.trigger.within == timedelta(seconds=90)

    def test_one_that_somebody_paused_stays_paused(self, deployment: str) -> None:
        bumped, _ = ids = ensure_automation(RACK, deployment)
        with get_client(sync_client=True) as client:
            client.pause_automation(bumped)
            try:
                ensure_automation(RACK, deployment)
                assert [one.enabled for one in automations(ids)] == [False, True]
            finally:
                client.resume_automation(bumped)

    def test_copies_of_the_same_name_go_away(self, deployment: str) -> None:
        ids = ensure_automation(RACK, deployment)
        bumped, _ = automations(ids)
        with get_client(sync_client=True) as client:
            copy = client.create_automation(AutomationCore.model_validate(bumped.model_dump(exclude={"id"})))
            kept = ensure_automation(RACK, deployment)
            assert len(client.read_automations_by_name(bumped.name)) == 1
        assert kept[0] in {ids[0], copy}

    def test_deploying_again_leaves_them_alone(self, deployment: str) -> None:
        """`serve` and `deploy` delete the automations that a deployment owns."""
        ids = ensure_automation(RACK, deployment)
        rebuild_projects.to_deployment("ensured", parameters={"rack": RACK, "train": "pkg:train"}).apply()
        assert len(automations(ids)) == 2

    def test_there_is_no_such_deployment(self, api: str) -> None:
        with pytest.raises(ObjectNotFound):
            ensure_automation(RACK, "rebuild-projects/nobody")


class TestMissingHeartbeat:
    @pytest.mark.parametrize("beats", [0, 1])
    def test_a_run_that_is_not_heard_of_has_crashed(self, api: str, beats: int) -> None:
        """Killed before its first heartbeat was out, or after it."""
        with get_client(sync_client=True) as client:
            watching = client.create_automation(missing_heartbeat(10))  # Prefect takes no less
            try:
                run = client.create_flow_run(rebuild_projects, parameters={"rack": RACK}, state=Running())
                beat = {
                    "event": "prefect.flow-run.heartbeat",
                    "resource": {"prefect.resource.id": f"prefect.flow-run.{run.id}"},
                    "related": [
                        {
                            "prefect.resource.id": f"prefect.flow.{run.flow_id}",
                            "prefect.resource.role": "flow",
                            "prefect.resource.name": "rebuild-projects",
                        }
                    ],
                }
                for _ in range(beats):
                    time.sleep(1)
                    sent = Event.model_validate(beat).model_dump(mode="json")
                    client.request("POST", "/events", json=[sent])

                def crashed() -> bool:
                    state = client.read_flow_run(run.id).state
                    return bool(state and state.is_crashed())

                until(crashed, timeout=120, what="the run to be called Crashed")
            finally:
                client.delete_automation(watching)


class TestWatchHeartbeats:
    """A flow that is served has nobody else who would let the server notice that its run has died."""

    @pytest.fixture
    def none(self, api: str) -> Iterator[SyncPrefectClient]:
        """A server that has no such automation."""
        with get_client(sync_client=True) as client:
            for one in client.read_automations_by_name(missing_heartbeat().name):
                client.delete_automation(one.id)
            yield client

    def test_the_first_run_makes_the_automation_and_the_next_one_leaves_it_alone(
        self, none: SyncPrefectClient, behind: Cellar
    ) -> None:
        rebuild_projects(RACK, train)
        (made,) = none.read_automations_by_name(missing_heartbeat().name)
        none.pause_automation(made.id)
        rebuild_projects(RACK, train)
        (there,) = none.read_automations_by_name(missing_heartbeat().name)
        assert (there.id, there.enabled) == (made.id, False)
        none.resume_automation(made.id)

    def test_a_server_that_cannot_be_asked_fails_no_run(self, caplog: pytest.LogCaptureFixture) -> None:
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            watch_heartbeats()
        assert "runs that die are not noticed" in caplog.text
