from __future__ import annotations

import logging
import socket
import time
from datetime import timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from cellar_core import Cellar
from cellar_core.ref import InvalidRef
from cellar_prefect import announce, base_bumped, register_model
from cellar_prefect.events import registered_event
from cellar_prefect.run import flow_run_id
from example_flows.demo.prefect_server import until
from tests.prefect.helpers import RACK, Payload


def events_of(ref: str) -> list[dict[str, Any]]:
    """What the server has stored about a version."""
    wanted = {"filter": {"any_resource": {"id": [f"cellar.version.{ref}"]}}}
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client.request("POST", "/events/filter", json=wanted).json()["events"]
    return found


class TestAnnounce:
    def test_the_server_has_it_and_only_once(self, api: str, cellar: Cellar, payload: Payload) -> None:
        record = cellar.register_base(RACK, payload("one"), bump="major").record
        assert announce(cellar, record)
        assert announce(cellar, record)
        until(lambda: events_of(str(record.ref)), timeout=30, what="the event to be stored")
        time.sleep(1)  # a second one would be stored with the same batch, or the next
        (event,) = events_of(str(record.ref))
        assert event["event"] == "cellar.base.registered"
        assert event["resource"]["cellar.rack"] == RACK
        assert event["payload"]["bump"] == "major"

    def test_without_an_api_nothing_happens(
        self, no_api: None, cellar: Cellar, payload: Payload, caplog: pytest.LogCaptureFixture
    ) -> None:
        """`emit_event` would start a server of its own here, and wait half a minute for it."""
        caplog.set_level(logging.INFO, logger="prefect")
        record = cellar.register_base(RACK, payload("one"), bump="major").record
        begun = time.monotonic()
        assert announce(cellar, record) is False
        assert time.monotonic() - begun < 1
        assert "PREFECT_API_URL is not set" in caplog.text

    def test_a_server_that_is_down_harms_no_registration(
        self, cellar: Cellar, payload: Payload, caplog: pytest.LogCaptureFixture
    ) -> None:
        with socket.socket() as bound_but_deaf:
            bound_but_deaf.bind(("127.0.0.1", 0))
            port = bound_but_deaf.getsockname()[1]
            with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
                registered = register_model.fn(f"{RACK}/base", payload("one"), bump="major")
        assert cellar.exists(registered.ref)
        assert f"{registered.ref} is registered, but could not be announced" in caplog.text


class TestEvent:
    def test_its_id_is_of_the_version_in_the_cellar(self, cellar: Cellar, payload: Payload) -> None:
        record = cellar.register_base(RACK, payload("one"), bump="major").record
        assert registered_event("a", record).id == registered_event("a", record).id
        assert registered_event("a", record).id != registered_event("b", record).id

    def test_a_projects_event_names_its_base_and_its_run(self, api: str, behind: Cellar) -> None:
        record = behind.resolve(f"{RACK}/a")

        @flow
        def publish() -> tuple[str | None, list[dict[str, str]]]:
            return flow_run_id(), [dict(one) for one in registered_event(behind.id, record).related]

        run, related = publish()
        assert run
        assert related == [
            {"prefect.resource.id": f"cellar.version.{RACK}/base/1.0", "prefect.resource.role": "base"},
            {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"},
        ]


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

    def test_a_name_that_is_no_rack_is_refused(self) -> None:
        with pytest.raises(InvalidRef):
            base_bumped("vit/*")
