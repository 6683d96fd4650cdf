from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.states import Failed
from pydantic import BaseModel

import cellar_prefect
from cellar_core import Cellar, CellarError, RetrainJob
from cellar_core.choose import NoSuchVersion
from cellar_core.progress import lines
from cellar_core.trainer import TrainerFailed
from cellar_prefect import (
    CellarBlock,
    aplan_rebuilds,
    aregister_model,
    aresolve_model,
    aretrain_from_base,
    artifacts,
    plan_rebuilds,
    register_model,
    resolve_model,
    retrain_from_base,
)
from cellar_prefect.run import holder, last_try
from cellar_prefect.tasks import may_help
from tests.prefect.helpers import RACK, Payload, train, versions

TASKS: list[Task[Any, Any]] = [one for one in vars(cellar_prefect).values() if isinstance(one, Task)]


class TestEachTask:
    """What holds for all of them, synchronous or not."""

    def test_there_are_two_of_each_verb(self) -> None:
        names = {name for name, one in vars(cellar_prefect).items() if isinstance(one, Task)}
        plain = {"register_model", "resolve_model", "retrain_from_base", "plan_rebuilds"}
        assert names == plain | {f"a{name}" for name in plain}
        for name in plain:
            one, twin = getattr(cellar_prefect, name), getattr(cellar_prefect, f"a{name}")
            assert inspect.signature(one.fn) == inspect.signature(twin.fn)
            assert twin.isasync
            assert not one.isasync

    @pytest.mark.parametrize("one", TASKS)
    def test_it_is_never_cached(self, one: Task[Any, Any]) -> None:
        assert one.cache_policy == NO_CACHE

    @pytest.mark.parametrize("one", TASKS)
    def test_its_result_is_an_object_of_its_own(self, one: Task[Any, Any]) -> None:
        """Prefect knows results by identity: two tasks that return `"base"` look like they depend on one another."""
        from typing import get_type_hints

        assert issubclass(get_type_hints(inspect.unwrap(one.fn))["return"], BaseModel)

    @pytest.mark.parametrize("one", TASKS)
    def test_it_spends_no_retry_on_a_broken_rule(self, one: Task[Any, Any]) -> None:
        assert one.retry_condition_fn is may_help


class TestMayHelp:
    @pytest.mark.parametrize(
        ("error", "helps"),
        [(NoSuchVersion("no"), False), (TrainerFailed("out of memory"), True), (OSError("network"), True)],
    )
    def test_as_the_core_says(self, error: Exception, helps: bool) -> None:
        assert may_help(resolve_model, None, Failed(data=error)) is helps  # type: ignore[arg-type]

    def test_a_vain_retry_is_not_made(self, api: str, cellar: Cellar) -> None:
        cellar.create_rack(RACK)
        patient = resolve_model.with_options(retries=3, retry_delay_seconds=30)
        with pytest.raises(NoSuchVersion):
            patient(f"{RACK}/base")


class TestRegister:
    def test_a_base_and_a_project(self, no_api: None, cellar: Cellar, payload: Payload) -> None:
        base = register_model.fn(f"{RACK}/base", payload("one"), bump="major")
        tuned = register_model.fn(f"{RACK}/a", payload("a"), base=str(base.ref), metrics={"accuracy": 0.5})
        assert [str(base.ref), str(tuned.ref)] == [f"{RACK}/base/1.0", f"{RACK}/a/1.0.1"]
        assert cellar.resolve(f"{RACK}/a").metrics == {"accuracy": 0.5}

    def test_again_is_the_same_version(self, no_api: None, cellar: Cellar, payload: Payload) -> None:
        first = register_model.fn(f"{RACK}/base", payload("one"), bump="major")
        again = register_model.fn(f"{RACK}/base", payload("one"), bump="major")
        assert (again.ref, first.created, again.created) == (first.ref, True, False)

    @pytest.mark.parametrize(
        ("model", "options"),
        [
            ("base", {"bump": "minor", "base": f"{RACK}/base/1.0"}),
            ("a", {"bump": "minor"}),
            ("a", {}),
            ("base", {}),
        ],
    )
    def test_what_does_not_fit_together_is_refused(
        self, no_api: None, cellar: Cellar, payload: Payload, model: str, options: dict[str, str]
    ) -> None:
        with pytest.raises(CellarError, match="give"):
            register_model.fn(f"{RACK}/{model}", payload("one"), **options)
        assert cellar.racks() == []

    def test_where_a_version_comes_from_is_in_its_record(
        self, api: str, cellar: Cellar, payload: Payload
    ) -> None:
        @flow
        def publish() -> None:
            register_model(f"{RACK}/base", payload("one"), bump="major", cellar=CellarBlock(url=cellar.url))

        state = publish(return_state=True)
        run = cellar.resolve(f"{RACK}/base").origin.run["run"]
        assert run == str(state.state_details.flow_run_id)


class TestHolder:
    """The name that a run's work is known by."""

    def test_is_the_same_for_each_try_of_task_and_flow(self, api: str) -> None:
        seen: list[str | None] = []
        lasts: list[bool] = []

        @task(retries=1)
        def work() -> None:
            seen.append(holder("model"))
            lasts.append(last_try())
            if len(seen) < 3:
                raise OSError("network")

        @flow(retries=1)
        def publish() -> None:
            work()

        state = publish(return_state=True)
        assert len(seen) == 3
        assert len(set(seen)) == 1
        assert lasts == [False, True, False]
        with get_client(sync_client=True) as client:  # it is the address of the run
            path = str(seen[0]).removeprefix(api).partition("#")[0]
            assert client.request("GET", path).json()["id"] == str(state.state_details.flow_run_id)

    def test_of_a_task_outside_of_any_flow(self, api: str) -> None:
        seen: list[str | None] = []

        @task(retries=1)
        def work() -> None:
            seen.append(holder("model"))
            if len(seen) == 1:
                raise OSError("network")

        work()
        assert len(seen) == 2
        assert len(set(seen)) == 1

    def test_there_is_none_outside_of_a_run(self) -> None:
        assert holder("model") is None


def test_a_bump_stays_on_its_line_when_it_is_tried_again_later(
    api: str, cellar: Cellar, payload: Payload, tmp_path: Path
) -> None:
    """The first try found that the base is at 1.0, and failed; before the second one, 2.0 was registered."""
    cellar.register_base(RACK, payload("one"), bump="major")
    in_the_way = tmp_path / "cellar" / RACK / "base" / "1.1" / "notes.txt"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    tries: list[int] = []

    @flow(retries=1)
    def publish() -> None:
        tries.append(1)
        if len(tries) > 1:
            in_the_way.unlink()
            cellar.register_base(RACK, payload("two"), bump="major")
        register_model(f"{RACK}/base", payload("another"), bump="minor")

    publish()
    assert len(tries) == 2
    assert versions(cellar, "base") == ["1.0", "1.1", "2.0"]


class TestResolve:
    def test_the_record(self, no_api: None, behind: Cellar) -> None:
        assert str(resolve_model.fn(f"{RACK}/base@^1").ref) == f"{RACK}/base/1.1"

    def test_nothing_fits(self, no_api: None, behind: Cellar) -> None:
        with pytest.raises(NoSuchVersion, match=r"1\.0"):
            resolve_model.fn(f"{RACK}/base@^7")


class TestRetrain:
    def test_from_the_newest_base(self, no_api: None, behind: Cellar) -> None:
        registered = retrain_from_base.fn(f"{RACK}/a", train)
        assert str(registered.ref) == f"{RACK}/a/1.1.1"

    def test_from_another_base(self, no_api: None, behind: Cellar) -> None:
        registered = retrain_from_base.fn(f"{RACK}/a", train, base=f"{RACK}/base/1.0", recipe={"seed": 7})
        assert (str(registered.ref), registered.record.recipe.seed) == (f"{RACK}/a/1.0.2", 7)

    def test_what_a_command_prints_is_in_the_log(
        self, no_api: None, behind: Cellar, caplog: pytest.LogCaptureFixture
    ) -> None:
        script = (
            "import os, sys, pathlib; print('epoch 1'); (pathlib.Path(sys.argv[1]) / 'w').write_text('x')"
        )
        with caplog.at_level("INFO", logger="prefect"):
            retrain_from_base.fn(f"{RACK}/a", [sys.executable, "-c", script, "{output_dir}"])
        assert "epoch 1" in caplog.text

    def test_progress_is_in_the_log_but_not_a_line_for_each_step(
        self, no_api: None, behind: Cellar, caplog: pytest.LogCaptureFixture
    ) -> None:
        def slow(job: RetrainJob) -> None:
            for step in range(1001):
                job.progress(step / 1000, loss=1 - step / 1000)
            train(job)

        with caplog.at_level("INFO", logger="prefect"):
            retrain_from_base.fn(f"{RACK}/a", slow)
        told = [record.getMessage() for record in caplog.records if "% done" in record.getMessage()]
        assert len(told) == 11
        assert told[-1] == f"{RACK}/a: 100 % done, loss 0"

    def test_how_many_bytes_are_done_is_in_the_log(
        self, no_api: None, behind: Cellar, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(artifacts, "lines", lambda say: lines(say, every=1e-9))
        with caplog.at_level("INFO", logger="prefect"):
            retrain_from_base.fn(f"{RACK}/a", train)
        told = [record.getMessage() for record in caplog.records if record.name.startswith("prefect")]
        for verb in (f"{RACK}/base/1.1: .* fetched", f"{RACK}/a: .* digested", f"{RACK}/a: .* sent"):
            assert re.search(verb, "\n".join(told))


class TestPlan:
    def test_what_and_why(self, no_api: None, behind: Cellar, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO", logger="prefect"):
            plan = plan_rebuilds.fn(RACK)
        assert [rebuild.model.project for rebuild in plan.rebuilds] == ["a", "b", "c"]
        assert "1.0.1 stands on base 1.0; base 1.1 is newer" in caplog.text
        json.dumps(plan.model_dump(mode="json"))


class TestTwins:
    def test_the_event_loop_is_not_held_up(self, no_api: None, behind: Cellar) -> None:
        """The training ends when the loop says so: if it held up the loop, neither would ever go on."""
        trained = threading.Event()

        async def main() -> str:
            loop, begun = asyncio.get_running_loop(), asyncio.Event()

            def wait(job: RetrainJob) -> None:
                loop.call_soon_threadsafe(begun.set)
                assert trained.wait(30)
                train(job)

            retraining = asyncio.create_task(aretrain_from_base.fn(f"{RACK}/a", wait))
            await begun.wait()
            trained.set()
            return str((await retraining).ref)

        assert asyncio.run(main()) == f"{RACK}/a/1.1.1"

    def test_in_a_flow(self, api: str, behind: Cellar, payload: Payload) -> None:
        """Each of the four, the last one with options of its own."""
        tries: list[str] = []

        def fails_once(job: RetrainJob) -> None:
            tries.append(job.model.project)
            if len(tries) == 1:
                raise OSError("network")
            train(job)

        @flow
        async def publish() -> str:
            registered = await aregister_model(f"{RACK}/base", payload("base three"), bump="minor")
            record = await aresolve_model(f"{RACK}/base@latest")
            assert record == registered.record
            plan = await aplan_rebuilds(RACK)
            assert [str(one.base.version) for one in plan.rebuilds] == ["1.2"] * 3
            patient = aretrain_from_base.with_options(retries=2, retry_delay_seconds=0)
            return str((await patient(f"{RACK}/a", fails_once)).record.origin.run["run"])

        assert asyncio.run(publish())
        assert (tries, versions(behind, "a")) == (["a", "a"], ["1.0.1", "1.2.1"])
