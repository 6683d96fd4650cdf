from __future__ import annotations

import logging
import socket
import time

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from cellar_core import Cellar
from cellar_prefect import announce
from cellar_prefect.events import registered_event
from cellar_prefect.run import flow_run_id
from example_flows.demo.prefect_server import until
from tests.prefect.helpers import RACK, Payload, events_about


class TestAnnounce:
    def test_the_server_has_it_and_only_once(self, api: str, cellar: Cellar, payload: Payload) -> None:
        record = cellar.register_base(RACK, payload("one"), bump="major").record
        assert announce(cellar, record)
        assert announce(cellar, record)
        until(lambda: events_about(cellar, str(record.ref)), timeout=120, what="the event to be stored")
        time.sleep(1)  # a second one would be stored with the same batch, or the next
        (event,) = events_about(cellar, str(record.ref))
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
        record = cellar.register_base(RACK, payload("one"), bump="major").record
        with socket.socket() as bound_but_deaf:
            bound_but_deaf.bind(("127.0.0.1", 0))
            port = bound_but_deaf.getsockname()[1]
            with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
                assert announce(cellar, record) is False
        assert f"{record.ref} is registered, but could not be announced" in caplog.text

    def test_a_version_with_more_to_tell_than_fits_is_announced_all_the_same(
        self, api: str, cellar: Cellar, payload: Payload
    ) -> None:
        """Prefect drops an event of more than 1.5 MB, and answers as if it had taken it."""
        record = cellar.register_base(RACK, payload("one"), bump="major", notes="x" * 2_000_000).record
        assert len(registered_event(cellar.id, record).model_dump_json()) < 10_000
        assert announce(cellar, record)


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
