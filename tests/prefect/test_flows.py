from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import FailedRun
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, Cancelled, Completed, Crashed, Running

from cellar_core import Cellar, CellarError, Reason, RetrainJob
from cellar_prefect import plan_rebuilds, rebuild_project, rebuild_projects
from cellar_prefect.trainer import RunEnded
from tests.prefect.helpers import RACK, Payload, train, versions

pytestmark = pytest.mark.usefixtures("api")


class Died(Exception):
    """Stands for whatever ends a process in the middle of a training."""


def ends(**options: Any) -> State[Any]:
    """Run the flow, and how it ended."""
    return rebuild_projects(RACK, return_state=True, **options)


class TestRebuildProjects:
    def test_every_project_that_is_behind(self, behind: Cellar) -> None:
        built = rebuild_projects(RACK, train)
        assert sorted(str(one.ref) for one in built) == [f"{RACK}/{name}/1.1.1" for name in "abc"]
        state = ends(train=train)
        assert (state.name, state.message) == ("Completed", f"nothing to rebuild in {RACK}")

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
        working, most = 0, 0

        def counting(job: RetrainJob) -> None:
            nonlocal working, most
            working += 1
            most = max(most, working)
            time.sleep(0.2)
            train(job)
            working -= 1

        assert len(rebuild_projects(RACK, counting)) == 3
        assert most == 1

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

    def test_the_plan_is_kept_as_a_table(self, behind: Cellar) -> None:
        rebuild_projects(RACK, train)
        with get_client(sync_client=True) as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["cellar-plan-vit-vit-l"]))
            *_, newest = sorted(
                client.read_artifacts(artifact_filter=wanted), key=lambda one: str(one.created)
            )
        assert '"reason": "base_minor"' in str(newest.data)


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
        for new in (3, 0):
            assert ends(deployment=deployment).message == f"{new} new runs of {deployment} for {RACK}"
        runs = self.runs(deployment)
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
