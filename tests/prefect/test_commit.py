"""What is said of a version when the transaction around its task ends: an event, an asset, a link, an alias."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from prefect import State, flow, task
from prefect.assets import materialize
from prefect.transactions import transaction

from cellar_core import Cellar, Registered
from cellar_core.choose import NoSuchVersion
from cellar_prefect import aregister_model, register_model, resolve_model, retrain_from_base
from example_flows.demo.prefect_server import until
from tests.prefect.helpers import RACK, Payload, artifacts, events_about, events_of, train

pytestmark = pytest.mark.usefixtures("api")
BASE = f"{RACK}/base"


@task
def approve() -> None:
    """Stands for a look at the version that finds nothing wrong."""


@task
def refuse() -> None:
    raise ValueError("it is worse than the one before")


def publish(payload: Payload, gate: Any, text: str = "two", **options: Any) -> State[Any]:
    """Register a base in a transaction that ends well or not, as `gate` decides."""

    @flow
    def publishing() -> None:
        with transaction():
            register_model(BASE, payload(text), bump="minor", **options)
            gate()

    return publishing(return_state=True)


def announced(cellar: Cellar, version: object) -> list[dict[str, Any]]:
    return until(lambda: events_about(cellar, str(version)), timeout=120, what=f"{version} to be announced")


class TestAnnouncing:
    def test_a_task_of_its_own_announces_at_once(self, cellar: Cellar, payload: Payload) -> None:
        registered = register_model(BASE, payload("one"), bump="major")
        (event,) = announced(cellar, registered.ref)
        assert event["event"] == "cellar.base.registered"

    def test_so_does_one_with_other_options(self, cellar: Cellar, payload: Payload) -> None:
        registered = register_model.with_options(retries=2, name="publish")(
            BASE, payload("one"), bump="major"
        )
        assert announced(cellar, registered.ref)

    def test_and_the_asynchronous_one(self, cellar: Cellar, payload: Payload) -> None:
        registered = asyncio.run(aregister_model(BASE, payload("one"), bump="major"))
        assert announced(cellar, registered.ref)

    def test_and_one_that_retrains(self, behind: Cellar) -> None:
        (event,) = announced(behind, retrain_from_base(f"{RACK}/a", train).ref)
        assert event["event"] == "cellar.project.registered"

    def test_in_a_transaction_it_is_announced_when_that_commits(
        self, cellar: Cellar, payload: Payload
    ) -> None:
        seen: list[list[dict[str, Any]]] = []

        def look() -> None:
            time.sleep(1)  # longer than the server takes to store an event
            seen.append(events_about(cellar, f"{BASE}/0.1"))

        assert publish(payload, look).is_completed()
        assert announced(cellar, f"{BASE}/0.1")
        assert seen == [[]]

    def test_what_was_rolled_back_is_registered_but_not_announced(
        self, cellar: Cellar, payload: Payload
    ) -> None:
        assert publish(payload, refuse).is_failed()
        assert cellar.exists(f"{BASE}/0.1")
        assert publish(payload, approve, text="three").is_completed()
        announced(cellar, f"{BASE}/0.2")  # the server stores events in their order
        assert events_about(cellar, f"{BASE}/0.1") == []


class TestAlias:
    @pytest.fixture
    def staged(self, cellar: Cellar, payload: Payload) -> Cellar:
        """A cellar in which `staging` means 0.1."""
        assert publish(payload, approve, text="one", alias="staging").is_completed()
        return cellar

    def meaning(self, cellar: Cellar) -> str:
        return str(cellar.resolve(f"{BASE}@staging").ref.version)

    def test_it_means_the_version_already_within_the_transaction(
        self, staged: Cellar, payload: Payload
    ) -> None:
        within: list[str] = []
        publish(payload, lambda: within.append(self.meaning(staged)), alias="staging")
        assert within == ["0.2"] == [self.meaning(staged)]

    def test_a_rollback_gives_it_back_and_leaves_the_version(self, staged: Cellar, payload: Payload) -> None:
        assert publish(payload, refuse, alias="staging").is_failed()
        assert self.meaning(staged) == "0.1"
        assert staged.exists(f"{BASE}/0.2")

    def test_one_that_meant_nothing_means_nothing_again(
        self, cellar: Cellar, payload: Payload, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", logger="prefect"):
            assert publish(payload, refuse, alias="staging").is_failed()
        assert f"{BASE}@staging means nothing; {BASE}/0.1 stays registered" in caplog.text
        assert cellar.aliases(BASE) == {}
        with pytest.raises(NoSuchVersion):
            cellar.resolve(f"{BASE}@staging")

    def test_two_moves_are_taken_back_the_last_one_first(self, staged: Cellar, payload: Payload) -> None:
        def once_more() -> None:
            register_model(BASE, payload("three"), bump="minor", alias="staging")
            refuse()

        assert publish(payload, once_more, alias="staging").is_failed()
        assert self.meaning(staged) == "0.1"
        assert staged.exists(f"{BASE}/0.3")

    def test_but_not_if_somebody_else_has_moved_it_since(self, staged: Cellar, payload: Payload) -> None:
        def moved() -> None:
            staged.register_base(RACK, payload("three"), bump="minor")
            staged.alias(BASE, "staging", "0.3")
            refuse()

        assert publish(payload, moved, alias="staging").is_failed()
        assert self.meaning(staged) == "0.3"

    def test_nor_if_the_task_had_found_it_there(self, staged: Cellar, payload: Payload) -> None:
        assert publish(payload, refuse, text="one", alias="staging").is_failed()
        assert self.meaning(staged) == "0.1"


class TestAssets:
    def test_a_version_is_one_more_of_its_models_asset(self, behind: Cellar, payload: Payload) -> None:
        base = f"{RACK}/base/1.1"
        register_model(f"{RACK}/a", payload("tuned"), base=base, metrics={"accuracy": 0.5})
        key = f"cellar://{behind.id}/{RACK}/a"
        (event,) = until(lambda: events_of(key), timeout=120, what="the materialization")
        assert event["event"] == "prefect.asset.materialization.succeeded"
        assert event["resource"]["prefect.asset.url"] == f"{behind.url}/{RACK}/a"
        assert event["payload"]["metrics"] == {"accuracy": 0.5}
        assert (event["payload"]["version"], event["payload"]["base"]) == ("1.1.1", base)
        assert {
            "prefect.resource.id": f"cellar://{behind.id}/{RACK}/base",
            "prefect.resource.role": "asset",
        } in event["related"]

    def test_an_asset_of_the_user_that_is_made_from_one_names_it(self, behind: Cellar) -> None:
        key = f"s3://deployed/{behind.id}"

        @materialize(key)
        def deploy(what: object) -> None:
            assert what

        @flow
        def deployment() -> None:
            deploy(resolve_model(f"{RACK}/a"))

        deployment()
        (event,) = until(lambda: events_of(key), timeout=120, what="the user's materialization")
        assert [
            one["prefect.resource.id"] for one in event["related"] if one["prefect.resource.role"] == "asset"
        ] == [f"cellar://{behind.id}/{RACK}/a"]

    def test_tasks_that_share_nothing_are_not_linked(self, behind: Cellar) -> None:
        """Prefect takes two results for one that are the same object, as two equal short strings are."""
        key = f"s3://elsewhere/{behind.id}"

        @materialize(key)
        def other(what: str) -> None:
            assert what

        @flow
        def apart() -> None:
            resolve_model(f"{RACK}/a")
            other("a")

        apart()
        (event,) = until(lambda: events_of(key), timeout=120, what="the user's materialization")
        assert not [one for one in event["related"] if one["prefect.resource.role"] == "asset"]


class TestLink:
    def test_each_version_is_in_the_history_of_its_model(self, cellar: Cellar, payload: Payload) -> None:
        model = "links/in-history/base"
        for text in ("one", "two"):
            registered: Registered = register_model(model, payload(text), bump="minor")
        links = [one.data for one in artifacts("cellar-version-links-in-history-base")]
        assert links == [f"[{model}/{version}]({cellar.url}/{model}/{version})" for version in ("0.1", "0.2")]
        assert str(registered.ref) == f"{model}/0.2"
