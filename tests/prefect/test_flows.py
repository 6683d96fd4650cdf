from __future__ import annotations

import json
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import FailedRun
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, Cancelled, Completed, Crashed, Failed, Running

from cellar_core import Cellar, CellarError, Reason, RetrainJob
from cellar_core.progress import lines
from cellar_prefect import CellarBlock, flows, plan_rebuilds, rebuild_project, rebuild_projects
from cellar_prefect import artifacts as artifacts_of_runs
from cellar_prefect.trainer import RunEnded
from example_flows.demo.prefect_server import until
from tests.prefect.helpers import RACK, Payload, artifacts, train, versions

pytestmark = pytest.mark.usefixtures("api")


class Died(Exception):
    """Stands for whatever ends a process in the middle of a training."""


def ends(**options: Any) -> State[Any]:
    """Run the flow, and how it ended."""
    return rebuild_projects(RACK, return_state=True, **options)


class Counting:
    """A trainer that counts how many of its trainings go on at once."""

    def __init__(self) -> None:
        self.working = self.most = 0

    def __call__(self, job: RetrainJob) -> None:
        self.working += 1
        self.most = max(self.most, self.working)
        time.sleep(0.2)
        train(job)
        self.working -= 1


class TestRebuildProjects:
    def test_every_project_that_is_behind(self, behind: Cellar) -> None:
        built = rebuild_projects(RACK, train)
        assert sorted(str(one.ref) for one in built) == [f"{RACK}/{name}/1.1.1" for name in "abc"]
        state = ends(train=train)
        assert (state.name, state.message) == ("Completed", f"nothing to rebuild in {RACK}")

    def test_of_the_cellar_that_a_block_names(self, behind: Cellar, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CELLAR_URL")
        assert len(rebuild_projects(RACK, train, cellar=CellarBlock(url=behind.url))) == 3

    def test_from_the_base_and_not_from_its_own_older_version(self, behind: Cellar, tmp_path: Path) -> None:
        rebuild_projects(RACK, train)
        directory = behind.pull(f"{RACK}/a", tmp_path / "pulled")
        assert (directory / "weights.txt").read_text() == "base two, tuned for a"

    def test_one_that_fails_stops_no_other_and_is_not_tried_by_every_run(self, behind: Cellar) -> None:
        def picky(job: RetrainJob) -> None:
            if job.model.project == "b":
                raise ValueError("no data for b")
            train(job)

        state = ends(train=picky)
        assert state.name == "Failed"
        assert state.message is not None
        assert state.message.startswith("1 of 3 rebuilds failed: ")
        assert "no data for b" in state.message
        assert [versions(behind, name) for name in "abc"] == [
            ["1.0.1", "1.1.1"],
            ["1.0.1"],
            ["1.0.1", "1.1.1"],
        ]
        assert ends(train=train).message == f"nothing to rebuild in {RACK}"
        behind.ask(f"{RACK}/b", "the data is there now")
        assert ends(train=train).name == "Completed"
        assert versions(behind, "b") == ["1.0.1", "1.1.1"]

    def test_who_calls_it_gets_the_error(self, behind: Cellar) -> None:
        def broken(job: RetrainJob) -> None:
            raise ValueError("broken")

        with pytest.raises(FailedRun, match="3 of 3 rebuilds failed"):
            rebuild_projects(RACK, broken)

    def test_a_base_bumped_meanwhile_is_not_missed(self, behind: Cellar, payload: Payload) -> None:
        bumped = threading.Lock()

        def bump_once(job: RetrainJob) -> None:
            if bumped.acquire(blocking=False):
                behind.register_base(RACK, payload("base three"), bump="minor")
            train(job)

        assert ends(train=bump_once).name == "Completed"
        assert [versions(behind, name)[-1] for name in "abc"] == ["1.2.1"] * 3

    def test_no_more_at_once_than_the_rack_allows(self, behind: Cellar, tmp_path: Path) -> None:
        config = tmp_path / "cellar" / RACK / "config.toml"
        config.write_text(config.read_text().replace("max_parallel = 4", "max_parallel = 1"))
        counting = Counting()
        assert len(rebuild_projects(RACK, counting)) == 3
        assert counting.most == 1

    def test_a_training_is_tried_again_within_the_run(self, behind: Cellar) -> None:
        tries: list[str] = []

        def shaky(job: RetrainJob) -> None:
            tries.append(job.model.project)
            if tries.count(job.model.project) < 3:
                raise OSError("out of memory")
            train(job)

        assert ends(train=shaky, retries=2).name == "Completed"
        assert sorted(tries) == sorted("abc" * 3)

    def test_a_run_that_died_and_is_retried_takes_up_what_it_had_begun(self, behind: Cellar) -> None:
        died = threading.Lock()

        def die_once(job: RetrainJob) -> None:
            if job.model.project == "a" and died.acquire(blocking=False):
                raise RunEnded
            train(job)

        with get_client(sync_client=True) as client:
            run = client.create_flow_run(rebuild_projects)
            parameters = {"rack": RACK, "train": die_once, "retries": 1}
            with pytest.raises(
                RunEnded
            ):  # with a try left nothing is written down, as when the process is killed
                run_flow(rebuild_projects, flow_run=run, parameters=parameters)
            assert behind.plan(RACK).skips[0].reason is Reason.IN_PROGRESS
            client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
            run_flow(rebuild_projects, flow_run=client.read_flow_run(run.id), parameters=parameters)
        assert [versions(behind, name)[-1] for name in "abc"] == ["1.1.1"] * 3

    @pytest.mark.parametrize("options", [{}, {"train": train, "deployment": "rebuild-project/gpu"}])
    def test_train_or_deployment(self, behind: Cellar, options: dict[str, Any]) -> None:
        with pytest.raises(CellarError, match="give train"):
            rebuild_projects(RACK, **options)

    def test_a_project_need_not_wait_for_another_to_move_on(
        self, behind: Cellar, payload: Payload, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a is trained, a base is bumped: b and c are built from it, and a has it after its training."""
        monkeypatch.setattr(flows, "LOOK_AGAIN", 0.2)
        order: list[str] = []

        def slow_a(job: RetrainJob) -> None:
            if (job.model.project, str(job.base.version)) == ("a", "1.1"):
                until(lambda: len(versions(behind, "b")) == 2, timeout=120, what="b on 1.1")
                behind.register_base(RACK, payload("base three"), bump="minor")
                until(lambda: "1.2.1" in versions(behind, "b"), timeout=120, what="b on 1.2")
            train(job)
            order.append(f"{job.model.project} {job.base.version}")

        assert ends(train=slow_a).name == "Completed"
        assert order.index("b 1.2") < order.index("a 1.1") < order.index("a 1.2")
        assert versions(behind, "a") == ["1.0.1", "1.1.1", "1.2.1"]

    def test_each_training_takes_a_slot_of_the_limit(self, behind: Cellar) -> None:
        counting = Counting()
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name("one-gpu", 1)
        assert len(rebuild_projects(RACK, counting, limit="one-gpu")) == 3
        assert counting.most == 1

    def test_a_limit_that_there_is_not_is_an_error(self, behind: Cellar) -> None:
        """Prefect's own default is to go on without one."""
        assert ends(train=train, limit="no-such-limit").name == "Failed"
        assert versions(behind, "a") == ["1.0.1"]


class TestArtifacts:
    def test_the_plan_with_its_reasons(self, behind: Cellar) -> None:
        rebuild_projects(RACK, train)
        rows = json.loads(str(artifacts("cellar-plan-vit-vit-l")[-1].data))
        assert [
            (row["project"], row["has"], row["base"], row["decision"], row["reason"]) for row in rows
        ] == [(name, "1.0.1", "1.1", "rebuild", "base_minor") for name in "abc"]
        assert rows[0]["why"] == "1.0.1 stands on base 1.0; base 1.1 is newer"

    def test_the_lineage_and_the_page(self, behind: Cellar, tmp_path: Path) -> None:
        page = tmp_path / "pages" / "vit-l.html"
        rebuild_projects(RACK, train, report=str(page))
        lineage = str(artifacts("cellar-lineage-vit-vit-l")[-1].data)
        assert f"[The whole report]({page})" in lineage
        assert "| a | 1.1.1 | 1.1 |" in lineage
        assert "1.1.1" in page.read_text()

    def test_the_progress_of_a_training(self, behind: Cellar) -> None:
        bars: list[object] = []

        def half(job: RetrainJob) -> None:
            if job.model.project == "a":
                for done in (0.25, 0.5):
                    job.progress(done)
                    bars.append(artifacts("cellar-progress-vit-vit-l-a")[-1].data)
            train(job)

        rebuild_projects(RACK, half)
        assert bars == [25, 50]

    def test_the_bytes_of_a_transfer_that_takes_long(
        self, behind: Cellar, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(artifacts_of_runs, "lines", partial(lines, every=0))
        before = len(artifacts("cellar-transfer-vit-vit-l-c"))
        rebuild_projects(RACK, train)
        *_, bar = bars = artifacts("cellar-transfer-vit-vit-l-c")
        assert (len(bars) - before, bar.data) == (1, 100)
        assert "base/1.1: 8 of 8 bytes fetched" in caplog.text

    def test_of_a_command_too(self, behind: Cellar) -> None:
        script = """
import os, pathlib
with open(os.environ["CELLAR_PROGRESS"], "a") as file:
    print('{"progress": 0.75}', file=file)
pathlib.Path(os.environ["CELLAR_OUTPUT_DIR"], "w").touch()
"""
        before = len(artifacts("cellar-progress-vit-vit-l-b"))
        rebuild_projects(RACK, [sys.executable, "-c", script])
        *_, bar = bars = artifacts("cellar-progress-vit-vit-l-b")
        assert (len(bars) - before, bar.data) == (1, 75)
        assert bar.task_run_id

    def test_one_that_cannot_be_made_fails_no_run(
        self, behind: Cellar, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        assert ends(train=train, report=str(tmp_path / "file" / "page.html")).name == "Completed"
        assert "the artifact cellar-lineage-vit-vit-l could not be made" in caplog.text


class TestDeadHolders:
    """A rebuild is in progress, and the log names a flow run of this Prefect as its holder."""

    def begin(self, cellar: Cellar, api: str, state: State[Any] | None) -> UUID:
        """Begin a rebuild of project a as a flow run that is in `state`, and leave it in the middle."""
        run = UUID(int=7)
        if state is not None:
            with get_client(sync_client=True) as client:
                run = client.create_flow_run(rebuild_projects, parameters={"rack": RACK}, state=state).id
        (todo, *_) = cellar.plan(RACK).rebuilds

        def die(job: RetrainJob) -> None:
            raise Died

        with pytest.raises(Exception, match="Died"):
            cellar.rebuild(todo, die, holder=f"{api}/flow_runs/{run}#{todo.model}", last_try=False)
        return run

    @pytest.mark.parametrize("state", [Crashed(), Cancelled(), Completed()])
    def test_one_that_has_ended_is_lost(self, behind: Cellar, api: str, state: State[Any]) -> None:
        run = self.begin(behind, api, state)
        (first, *_) = plan_rebuilds.fn(RACK).rebuilds
        assert (first.model.project, first.reason) == ("a", Reason.WAS_LOST)
        assert str(run) not in first.sentence or state.name in first.sentence

    @pytest.mark.parametrize("state", [Running(), None], ids=["running", "not of this Prefect"])
    def test_any_other_is_left_alone(self, behind: Cellar, api: str, state: State[Any] | None) -> None:
        self.begin(behind, api, state)
        plan = plan_rebuilds.fn(RACK)
        assert [one.model.project for one in plan.rebuilds] == ["b", "c"]
        assert [one.reason for one in plan.skips] == [Reason.IN_PROGRESS]


class TestDeployment:
    @pytest.fixture
    def deployment(self, request: pytest.FixtureRequest) -> str:
        name = request.node.name.replace("_", "-")
        rebuild_project.to_deployment(name, parameters={"train": "tests.prefect.helpers:train"}).apply()
        return f"rebuild-project/{name}"

    def runs(self, deployment: str) -> list[FlowRun]:
        wanted = DeploymentFilter(name=DeploymentFilterName(any_=[deployment.partition("/")[2]]))
        with get_client(sync_client=True) as client:
            return client.read_flow_runs(deployment_filter=wanted)

    def test_each_rebuild_is_one_run_however_often_it_is_asked_for(
        self, behind: Cellar, deployment: str
    ) -> None:
        wanted = behind.plan(RACK).rebuilds
        for new in (3, 0):
            assert ends(deployment=deployment).message == f"{new} new runs of {deployment} for {RACK}"
        runs = self.runs(deployment)
        assert {run.idempotency_key for run in runs} == {f"{one.request}:{one.attempt}" for one in wanted}
        assert sorted(run.parameters["rebuild"]["model"] for run in runs) == [
            f"{RACK}/{name}" for name in "abc"
        ]
        assert {run.parameters["train"] for run in runs} == {"tests.prefect.helpers:train"}

    def test_such_a_run_does_the_work(self, behind: Cellar, deployment: str) -> None:
        ends(deployment=deployment)
        for run in self.runs(deployment):
            rebuild_project(**run.parameters)
        assert [versions(behind, name)[-1] for name in "abc"] == ["1.1.1"] * 3
        assert ends(deployment=deployment).message == f"0 new runs of {deployment} for {RACK}"

    def test_a_run_looks_once_more_before_it_ends(
        self, behind: Cellar, deployment: str, payload: Payload
    ) -> None:
        """So a project that an unfinished run has is left to it, whatever was bumped meanwhile."""
        ends(deployment=deployment)
        behind.register_base(RACK, payload("base three"), bump="minor")
        assert ends(deployment=deployment).message == f"0 new runs of {deployment} for {RACK}"
        (mine,) = [run for run in self.runs(deployment) if run.parameters["rebuild"]["model"] == f"{RACK}/a"]
        assert mine.name == f"rebuild {RACK}/a onto 1.1"
        assert str(rebuild_project(**mine.parameters).ref) == f"{RACK}/a/1.2.1"
        assert versions(behind, "a") == ["1.0.1", "1.2.1"]

    def test_a_failed_rebuild_can_be_asked_for_again_and_a_succeeded_one_runs_once(
        self, behind: Cellar, deployment: str
    ) -> None:
        def broken(job: RetrainJob) -> None:
            raise ValueError("no data")

        ends(deployment=deployment)
        (run,) = [run for run in self.runs(deployment) if run.parameters["rebuild"]["model"] == f"{RACK}/a"]
        with pytest.raises(CellarError, match="no data"):
            rebuild_project(**{**run.parameters, "train": broken})
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Failed(), force=True)
        assert ends(deployment=deployment).message == f"0 new runs of {deployment} for {RACK}"
        behind.ask(f"{RACK}/a", "the data is there now")
        assert ends(deployment=deployment).message == f"1 new runs of {deployment} for {RACK}"
        again = [run for run in self.runs(deployment) if run.parameters["rebuild"]["model"] == f"{RACK}/a"]
        (new,) = [one for one in again if one.id != run.id]
        assert rebuild_project(**new.parameters).outcome == "built"
        assert rebuild_project(**new.parameters).outcome == "already"
        assert versions(behind, "a") == ["1.0.1", "1.1.1"]

    def test_a_run_that_ended_before_it_began_is_replaced_but_not_for_ever(
        self, behind: Cellar, deployment: str
    ) -> None:
        for made in (3, 6, 9):
            assert ends(deployment=deployment).name == "Completed"
            runs = self.runs(deployment)
            assert len(runs) == made
            with get_client(sync_client=True) as client:
                for run in runs:
                    client.set_flow_run_state(run.id, Crashed(message="the pod did not start"), force=True)
        state = ends(deployment=deployment)
        assert state.name == "Failed"
        assert len(self.runs(deployment)) == 9
