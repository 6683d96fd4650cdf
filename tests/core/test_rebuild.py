"""The log of a rebuild's attempts: one run has the work, failures are remembered, a request has one version."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cellar_core import Cellar, Reason, Rebuild, Rebuilt, RetrainJob, Skip, layout
from cellar_core.attempt import Attempt, Event
from cellar_core.log import ChangedMeanwhile
from cellar_core.lookup import Yanked
from cellar_core.rebuild import NotAskable
from cellar_core.ref import Model
from cellar_core.register import Registrar
from cellar_core.trainer import TrainerFailed
from cellar_core.version import BaseVersion
from tests.core.helpers import WAIT, Bench, Watched, caller, processes, threads, train, write

A = Model("vit/vit-l/projectA")
ONE, TWO = "airflow:http://one:retune:1", "prefect:http://two:retune:2"


@pytest.fixture
def behind(bench: Bench) -> Bench:
    """A registry with a project that is one bump behind."""
    bench.project(bench.base(version="1.0"))
    bench.base()
    return bench


def todo(bench: Bench) -> Rebuild:
    """The one rebuild that a plan asks for."""
    [rebuild] = bench.cellar.plan("vit/vit-l").rebuilds
    return rebuild


def skipped(bench: Bench) -> Skip:
    """The one project that a plan skips."""
    [skip] = bench.cellar.plan("vit/vit-l").skips
    return skip


def log(cellar: Cellar, base: str = "1.1") -> list[Attempt]:
    """Everything in the log of the rebuild onto *base*."""
    prefix = layout.rebuild_log(A, BaseVersion(base))
    return [
        Attempt.from_bytes(cellar.store.read(key) or b"", key) for key in sorted(cellar.store.find(prefix))
    ]


def events(cellar: Cellar, base: str = "1.1") -> str:
    """What happened, in a few words."""
    return " ".join(entry.event for entry in log(cellar, base))


def built(bench: Bench) -> list[str]:
    """The versions that stand on base 1.1."""
    return [str(ref.version) for ref in bench.cellar.versions(A) if str(ref.version).startswith("1.1.")]


def never(job: RetrainJob) -> None:
    """A training that must not be started."""
    pytest.fail("there was nothing to train")


def breaks(job: RetrainJob) -> None:
    """A training that fails."""
    raise ValueError("no data\nand more of it")


class TestOneRun:
    """One run has the work."""

    def test_built(self, behind: Bench) -> None:
        """A run leaves the version, with the request and the recipe of the plan in its record, and who had the work."""
        rebuild = todo(behind)
        done = behind.cellar.rebuild(rebuild, train, holder=ONE)
        assert (done.outcome, str(done.ref)) == ("built", "vit/vit-l/projectA/1.1.1")
        assert done.detail == "vit/vit-l/projectA/1.1.1 was built"
        assert done.record is not None
        assert done.record == behind.cellar.resolve(A)
        assert (done.record.request, done.record.recipe) == (rebuild.request, rebuild.recipe)
        assert str(done.record.parent and done.record.parent.ref) == "vit/vit-l/base/1.1"
        [started] = log(behind.cellar)
        assert (started.event, started.holder, started.request) == (Event.STARTED, ONE, rebuild.request)

    def test_from_json(self, behind: Bench) -> None:
        """A rebuild may go through JSON, as between the tasks of an orchestrator; so may its outcome."""
        done = behind.cellar.rebuild(todo(behind).model_dump(mode="json"), train, holder=ONE)
        assert Rebuilt.model_validate_json(done.model_dump_json()) == done
        assert built(behind) == ["1.1.1"]

    def test_start_is_written_before_the_training(self, behind: Bench) -> None:
        """The work is taken before anything is trained, so that nobody else pays for it too."""

        def look(job: RetrainJob) -> None:
            skip = skipped(behind)
            assert (skip.reason, skip.holder, skip.attempt) == (Reason.IN_PROGRESS, ONE, 1)
            assert skip.since is not None
            assert abs((datetime.now(UTC) - skip.since).total_seconds()) < WAIT
            train(job)

        assert behind.cellar.rebuild(todo(behind), look, holder=ONE).outcome == "built"

    def test_another_run_is_skipped(self, behind: Bench) -> None:
        """R1: a second run of the same attempt ends without training, and says who has the work."""
        rebuild = todo(behind)

        def meanwhile(job: RetrainJob) -> None:
            second = caller(behind.cellar).rebuild(rebuild, never, holder=TWO)
            assert (second.outcome, second.ref) == ("skipped", None)
            assert second.detail.startswith(f"{ONE} has the work since 20")
            train(job)

        assert behind.cellar.rebuild(rebuild, meanwhile, holder=ONE).outcome == "built"
        assert events(behind.cellar) == "started"

    def test_own_retry_resumes(self, behind: Bench) -> None:
        """R5: an orchestrator's retry does not lock itself out: the same holder goes on in its own attempt."""
        rebuild = todo(behind)
        for _ in range(2):
            with pytest.raises(TrainerFailed):
                behind.cellar.rebuild(rebuild, breaks, holder=ONE, last_try=False)
        assert skipped(behind).reason is Reason.IN_PROGRESS
        assert behind.cellar.rebuild(rebuild, train, holder=ONE).outcome == "built"
        assert events(behind.cellar) == "started"

    def test_cleared_run_returns_the_version(self, behind: Bench) -> None:
        """A run that a person clears after it has built returns its version without training."""
        rebuild = todo(behind)
        first = behind.cellar.rebuild(rebuild, train, holder=ONE)
        again = behind.cellar.rebuild(rebuild, never, holder=ONE)
        other = behind.cellar.rebuild(rebuild, never, holder=TWO)
        assert [again.outcome, other.outcome] == ["already", "already"]
        assert again.record == other.record == first.record
        assert events(behind.cellar) == "started"

    def test_cleared_run_after_its_failure_starts_anew(self, behind: Bench) -> None:
        """A run that a person clears after it has failed is on purpose: it starts again."""
        rebuild = todo(behind)
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(rebuild, breaks, holder=ONE)
        assert behind.cellar.rebuild(rebuild, train, holder=ONE).outcome == "built"
        assert events(behind.cellar) == "started failed started"

    def test_late_run_of_a_failed_attempt(self, behind: Bench) -> None:
        """R3, R5: a doubled run that comes after the failure of the other is skipped: nobody asked for a second try."""
        rebuild = todo(behind)
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(rebuild, breaks, holder=ONE)
        late = behind.cellar.rebuild(rebuild, never, holder=TWO)
        assert late.outcome == "skipped"
        assert late.detail.startswith(f"{ONE} wrote failed at 20")

    def test_threads(self, behind: Bench) -> None:
        """Of many runs of one attempt at the same moment, one trains."""
        rebuild = todo(behind)
        done = threads(5, lambda index: caller(behind.cellar).rebuild(rebuild, train, holder=f"run {index}"))
        assert [one.outcome for one in done].count("built") == 1
        assert built(behind) == ["1.1.1"]
        assert events(behind.cellar) == "started"

    def test_processes(self, disk: Cellar, bench: Bench) -> None:
        """The same, by processes on a disk."""
        base = disk.register_base("vit/vit-l", bench.files(), version="1.0").ref
        disk.register_project(A, bench.files(), base=base)
        disk.register_base("vit/vit-l", bench.files("newer"), bump="minor")
        [rebuild] = disk.plan("vit/vit-l").rebuilds
        outcomes = processes(4, lambda index: disk.rebuild(rebuild, train, holder=f"run {index}").outcome)
        assert outcomes.count("built") == 1
        assert [str(ref.version) for ref in disk.versions(A)] == ["1.0.1", "1.1.1"]
        assert events(disk) == "started"


class TestOutcome:
    """What is remembered."""

    def test_failure_on_the_last_try(self, behind: Bench) -> None:
        """A failure is written down, with its error in one line, and polls do not try it again."""
        with pytest.raises(TrainerFailed) as caught:
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE)
        assert isinstance(caught.value.__cause__, ValueError)
        assert events(behind.cellar) == "started failed"
        failed = log(behind.cellar)[-1]
        assert failed.why == "ValueError: no data"  # the trainer's own error, in one line
        assert failed.policy == behind.cellar.config("vit/vit-l").digest(A)
        assert skipped(behind).reason is Reason.FAILED_BEFORE
        assert "no data" in skipped(behind).sentence

    def test_failure_before_the_last_try(self, behind: Bench) -> None:
        """Scheduled retries stay inside their attempt: nothing is written before the last."""
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE, last_try=False)
        assert events(behind.cellar) == "started"

    @pytest.mark.parametrize(("last_try", "expected"), [(True, "started lost"), (False, "started")])
    def test_interrupted(self, behind: Bench, last_try: bool, expected: str) -> None:
        """A run that is cancelled has not failed: it is lost, and the next plan has the work again."""

        def cancelled(job: RetrainJob) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            behind.cellar.rebuild(todo(behind), cancelled, holder=ONE, last_try=last_try)
        assert events(behind.cellar) == expected
        if last_try:
            assert todo(behind).reason is Reason.WAS_LOST

    def test_what_was_written_by_another_counts(self, behind: Bench) -> None:
        """Somebody who thought the run lost has written first: then theirs counts."""

        def given_up(job: RetrainJob) -> None:
            behind.cellar.take_over(A, "its scheduler is gone")
            raise ValueError

        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), given_up, holder=ONE)
        assert events(behind.cellar) == "started lost"
        assert todo(behind).reason is Reason.WAS_LOST

    def test_ask(self, behind: Bench) -> None:
        """R3: whoever asks after a failure gets a new attempt, of a new request, under a new run key."""
        first = todo(behind)
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(first, breaks, holder=ONE)
        entry = behind.cellar.ask(A, "data is there now")
        assert (entry.event, entry.why) == (Event.ASKED, "data is there now")
        second = todo(behind)
        assert second.reason is Reason.ASKED_AGAIN
        assert second.run_key != first.run_key
        assert second.request != first.request
        assert behind.cellar.rebuild(second, train, holder=ONE).outcome == "built"
        assert events(behind.cellar) == "started failed asked started"

    def test_changed_recipe(self, behind: Bench) -> None:
        """A mended recipe lifts a failure by itself."""
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE)
        behind.configure("[projects.projectA.recipe]\nseed = 2")
        assert todo(behind).reason is Reason.CHANGED_SINCE_FAILURE
        done = behind.cellar.rebuild(todo(behind), train, holder=TWO)
        assert done.record is not None
        assert done.record.recipe.seed == 2

    def test_nothing_to_ask_for(self, behind: Bench) -> None:
        """Asking, or taking over, without a failed or a started attempt says what to do instead."""
        cellar = behind.cellar
        for act in (cellar.ask, cellar.take_over):
            with pytest.raises(
                NotAskable, match=r"projectA will be rebuilt as it is; see: cellar plan vit/vit-l"
            ):
                act(A, "why not")
            with pytest.raises(NotAskable, match="is no project of the rack that a plan knows"):
                act("vit/vit-l/unknown", "why not")
        cellar.rebuild(todo(behind), train, holder=ONE)
        with pytest.raises(
            NotAskable,
            match=r"nothing failed, it stands on base 1\.1.*use: cellar retrain vit/vit-l/projectA",
        ):
            cellar.ask(A, "why not")
        with pytest.raises(NotAskable, match=r"is not in progress: it stands on base 1\.1"):
            cellar.take_over(A, "why not")

    def test_ask_while_it_goes_on(self, behind: Bench) -> None:
        """A question while somebody is at it points to the take-over."""

        def ask(job: RetrainJob) -> None:
            with pytest.raises(NotAskable, match=r"has been at it since .*cellar rebuild --take-over"):
                behind.cellar.ask(A, "impatient")
            train(job)

        behind.cellar.rebuild(todo(behind), ask, holder=ONE)


class TestLost:
    """Holders that end without a word, or seem to."""

    def test_adapter_marks_its_own(self, behind: Bench) -> None:
        """R4: a holder that ended without a word is marked, and the next plan has the work again for anybody."""
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE, last_try=False)
        entry = behind.cellar.mark_lost(skipped(behind), "the run has ended")
        assert (entry.event, entry.holder, entry.lost) == (Event.LOST, ONE, 1)
        rebuild = todo(behind)
        assert (rebuild.reason, rebuild.attempt) == (Reason.WAS_LOST, 3)
        assert behind.cellar.rebuild(rebuild, train, holder=TWO).outcome == "built"

    def test_three_in_a_row(self, behind: Bench) -> None:
        """Three attempts that were lost in a row count as failed, until somebody asks."""
        for index in range(3):
            with pytest.raises(TrainerFailed):
                behind.cellar.rebuild(todo(behind), breaks, holder=f"run {index}", last_try=False)
            behind.cellar.mark_lost(skipped(behind), "killed")
        assert skipped(behind).reason is Reason.FAILED_BEFORE
        behind.cellar.ask(A, "more memory")
        assert todo(behind).reason is Reason.ASKED_AGAIN

    def test_mark_of_an_old_look(self, behind: Bench) -> None:
        """Marking what was seen in an old plan, after the log has grown, is refused."""
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE, last_try=False)
        old = skipped(behind)
        behind.cellar.mark_lost(old, "ended")
        behind.cellar.rebuild(todo(behind), train, holder=TWO)
        with pytest.raises(ChangedMeanwhile, match="was written by somebody else meanwhile"):
            behind.cellar.mark_lost(old, "ended")

    def test_mark_of_what_is_not_in_progress(self, behind: Bench) -> None:
        """Only what is in progress can be lost."""
        behind.cellar.rebuild(todo(behind), train, holder=ONE)
        with pytest.raises(NotAskable, match="is not in progress"):
            behind.cellar.mark_lost(skipped(behind), "ended")

    def test_what_a_bump_has_overtaken_keeps_its_place_until_it_ends(self, behind: Bench) -> None:
        """A burst trains no more at once than the rules say, and a dead holder's place can be freed, as any."""
        behind.configure("[rebuild]\nmax_parallel = 1")
        cellar = behind.cellar

        def bumped(job: RetrainJob) -> None:
            behind.base()
            plan = cellar.plan("vit/vit-l")
            assert (plan.rebuilds, [one.reason for one in plan.skips]) == ((), [Reason.QUEUED])
            assert [str(one.base) for one in plan.in_progress] == ["vit/vit-l/base/1.1"]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cellar.rebuild(todo(behind), bumped, holder=ONE, last_try=False)
        assert not cellar.plan("vit/vit-l")
        cellar.take_over(A, "its scheduler is gone")
        assert events(cellar) == "started lost"
        assert cellar.rebuild(todo(behind), train, holder=TWO).detail.endswith("1.2.1 was built")

    def test_what_ended_onto_an_older_base_costs_no_look_once_there_is_a_newer_version(
        self, behind: Bench
    ) -> None:
        """Each failure would cost every later plan a request, for ever."""
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE)
        behind.base()
        behind.cellar.rebuild(todo(behind), train, holder=ONE)
        behind.base()
        watched = Watched(behind.cellar._store)
        assert caller(behind.cellar, watched).plan("vit/vit-l").rebuilds
        assert not [key for method, key in watched.asked if method == "read" and "/rebuilds/" in key]

    def test_a_log_of_an_older_base_that_cannot_be_read_is_in_nobodys_way(self, behind: Bench) -> None:
        """A newer release may have written it; what it is about is over, as far as this one can tell."""
        with pytest.raises(TrainerFailed):
            behind.cellar.rebuild(todo(behind), breaks, holder=ONE)
        [key] = [
            key for key in behind.cellar.store.find(layout.rebuild_log(A, BaseVersion("1.1"))) if "2" in key
        ]
        behind.cellar._store.delete(key)
        behind.cellar._store.create(key, b"{")
        assert skipped(behind).reason is Reason.UNREADABLE
        behind.base()
        assert str(todo(behind).base.version) == "1.2"

    def test_take_over_of_a_living_holder(self, behind: Bench) -> None:
        """R2: a holder that was declared gone and lives makes no second version: the first finisher wins."""
        rebuild = todo(behind)
        goes_on, is_at_it = threading.Event(), threading.Event()
        outcomes: list[Rebuilt] = []

        def slow(job: RetrainJob) -> None:
            is_at_it.set()
            assert goes_on.wait(WAIT)
            write(job.output_dir, "trained by the one who was thought gone")

        zombie = threading.Thread(
            target=lambda: outcomes.append(caller(behind.cellar).rebuild(rebuild, slow, holder=ONE)),
            daemon=True,
        )
        zombie.start()
        assert is_at_it.wait(WAIT)
        assert behind.cellar.take_over(A, "its scheduler is gone").why == "its scheduler is gone"
        second = behind.cellar.rebuild(todo(behind), train, holder=TWO)
        goes_on.set()
        zombie.join(WAIT)
        [first] = outcomes
        assert (second.outcome, first.outcome) == ("built", "already")
        assert first.record == second.record
        assert built(behind) == ["1.1.1"]

    def test_take_over_at_each_request(self, behind: Bench, tmp_path: Path) -> None:
        """R2: whenever it is taken over, just before each of its requests, one version comes of both."""
        rebuild = todo(behind)
        undisturbed = Watched(behind.cellar.store)
        caller(behind.cellar, undisturbed).rebuild(todo(behind), train, holder=ONE)
        outcomes: dict[str, int] = {}
        for at in range(1, len(undisturbed.asked) + 1):
            each = Bench(tmp_path)
            each.project(each.base(version="1.0"))
            each.base()
            rebuild = todo(each)

            def meanwhile(each: Bench = each) -> None:
                if [skip.reason for skip in each.cellar.plan("vit/vit-l").skips] == [Reason.IN_PROGRESS]:
                    each.cellar.take_over(A, "gone")
                for again in each.cellar.plan("vit/vit-l").rebuilds:
                    each.cellar.rebuild(again, lambda job: write(job.output_dir, "other bytes"), holder=TWO)

            done = caller(each.cellar, Watched(each.cellar.store, at, meanwhile)).rebuild(
                rebuild, train, holder=ONE
            )
            outcomes[done.outcome] = outcomes.get(done.outcome, 0) + 1
            assert built(each) == [str(each.cellar.resolve(A).ref.version)]
            if done.ref:
                assert done.ref == each.cellar.resolve(A).ref
            each.cellar.verify(A)
            assert not each.cellar.plan("vit/vit-l")
        assert outcomes.keys() == {"already", "skipped"}  # the one who came between was always faster

    def test_superseded(self, behind: Bench) -> None:
        """A run whose number was voided by its successor gives up, and returns what that has made."""

        def meanwhile() -> None:
            behind.cellar.take_over(A, "gone")
            other = behind.cellar.rebuild(
                todo(behind), lambda job: write(job.output_dir, "other"), holder=TWO
            )
            assert str(other.ref) == "vit/vit-l/projectA/1.1.2"

        late = Watched(behind.cellar.store, ("create", "/records/"), meanwhile)
        done = caller(behind.cellar, late).rebuild(todo(behind), train, holder=ONE)
        assert (done.outcome, str(done.ref)) == ("already", "vit/vit-l/projectA/1.1.2")
        assert built(behind) == ["1.1.2"]

    def test_superseded_by_a_void(self, behind: Bench) -> None:
        """A run whose number was voided by gc ends without a version; the next plan has the work again."""

        def meanwhile() -> None:
            Registrar(behind.cellar.store).void(A.at("1.1.1"))

        late = Watched(behind.cellar.store, ("create", "/records/"), meanwhile)
        done = caller(behind.cellar, late).rebuild(todo(behind), train, holder=ONE)
        assert done.outcome == "skipped"
        assert "was voided by another run" in done.detail
        rebuild = todo(behind)
        assert rebuild.reason is Reason.WAS_LOST
        assert str(behind.cellar.rebuild(rebuild, train, holder=TWO).ref) == "vit/vit-l/projectA/1.1.2"

    def test_same_holder_twice(self, behind: Bench) -> None:
        """R2: a try whose heartbeat was lost lives on beside its own retry: both train, one version comes of it."""
        rebuild = todo(behind)
        done = threads(
            2,
            lambda index: caller(behind.cellar).rebuild(
                rebuild, lambda job: write(job.output_dir, f"try {index}"), holder=ONE
            ),
        )
        assert len(built(behind)) == 1
        assert {str(one.ref.version) for one in done if one.ref} == set(built(behind))


class TestNotWanted:
    """What is not wanted any more is not trained."""

    def refuses(self, bench: Bench, rebuild: Rebuild, why: str) -> None:
        before = dict(bench.cellar.store.find(""))
        done = bench.cellar.rebuild(rebuild, never, holder=ONE)
        assert (done.outcome, done.ref) == ("skipped", None)
        assert done.detail.startswith("not wanted any more: ")
        assert why in done.detail
        assert dict(bench.cellar.store.find("")) == before

    def test_newer_base(self, behind: Bench) -> None:
        """A burst costs one: a plan that is out of date when its run begins costs nothing."""
        rebuild = todo(behind)
        behind.base()
        self.refuses(behind, rebuild, "base 1.2 is wanted by now")

    def test_yanked_base(self, behind: Bench) -> None:
        """A base that was yanked meanwhile is not built from."""
        rebuild = todo(behind)
        behind.cellar.yank("vit/vit-l/base/1.1", "bad labels")
        self.refuses(behind, rebuild, "stands on base 1.0, the newest it follows")

    def test_built_by_hand(self, behind: Bench) -> None:
        """A project that somebody brought up to date by hand is."""
        rebuild = todo(behind)
        behind.project("vit/vit-l/base/1.1")
        self.refuses(behind, rebuild, "stands on base 1.1")

    def test_held(self, behind: Bench) -> None:
        """A project that is held meanwhile waits."""
        rebuild = todo(behind)
        behind.configure('[projects.projectA]\nhold = { reason = "audit" }')
        self.refuses(behind, rebuild, "is held (audit)")


class TestMeanwhile:
    """What happens to the base while a project is trained."""

    def test_base_is_yanked(self, behind: Bench) -> None:
        """A base that is yanked during the training: nothing is registered."""

        def yanks(job: RetrainJob) -> None:
            behind.cellar.yank(job.base, "bad labels")
            train(job)

        with pytest.raises(
            Yanked, match=r"vit/vit-l/base/1\.1 was yanked; make vit/vit-l/projectA from another base"
        ) as caught:
            behind.cellar.rebuild(todo(behind), yanks, holder=ONE)
        assert not caught.value.retryable
        assert built(behind) == []
        assert events(behind.cellar) == "started failed"

    def test_newer_base_appears(self, behind: Bench) -> None:
        """A newer base appears during the training: it is registered all the same, and the plan asks for the newer."""

        def bumps(job: RetrainJob) -> None:
            behind.base()
            train(job)

        assert behind.cellar.rebuild(todo(behind), bumps, holder=ONE).outcome == "built"
        assert built(behind) == ["1.1.1"]
        assert str(todo(behind).base) == "vit/vit-l/base/1.2"

    def test_project_is_held(self, behind: Bench) -> None:
        """A hold that is set during the training does not throw the training away."""

        def holds(job: RetrainJob) -> None:
            behind.configure("[projects.projectA]\nhold = {}")
            train(job)

        assert behind.cellar.rebuild(todo(behind), holds, holder=ONE).outcome == "built"


def test_yanked_version_is_not_returned(behind: Bench) -> None:
    """A run that is cleared after its version was yanked is refused: that is never returned in silence."""
    rebuild = todo(behind)
    ref = behind.cellar.rebuild(rebuild, train, holder=ONE).ref
    assert ref is not None
    behind.cellar.yank(ref, "bad data")
    with pytest.raises(
        Yanked, match=r"projectA/1\.1\.1 was yanked; .*cellar rebuild vit/vit-l/projectA --again"
    ):
        behind.cellar.rebuild(rebuild, never, holder=ONE)
    assert skipped(behind).reason is Reason.YANKED_BEFORE
    behind.cellar.ask(A, "data mended")
    assert str(behind.cellar.rebuild(todo(behind), train, holder=ONE).ref) == "vit/vit-l/projectA/1.1.2"


def test_never_built_project(bench: Bench) -> None:
    """A project that only ``config.toml`` names is built, with the recipe that stands there."""
    bench.base(version="1.0")
    bench.configure('[projects.projectA.recipe]\ndata = ["s3://data/1"]')
    assert todo(bench).reason is Reason.NEVER_BUILT
    done = bench.cellar.rebuild(todo(bench), train, holder=ONE)
    assert done.record is not None
    assert (str(done.ref), done.record.recipe.data) == ("vit/vit-l/projectA/1.0.1", ("s3://data/1",))


def test_log_of_a_project_that_is_busy_does_not_end_others(behind: Bench) -> None:
    """A log entry that cannot be read stops its own project only."""
    behind.project("vit/vit-l/base/1.0", name="projectB")
    store = behind.cellar.store
    store.create(layout.entry(layout.rebuild_log(A, BaseVersion("1.1")), 1), b"{not json")
    plan = behind.cellar.plan("vit/vit-l")
    assert [one.model.project for one in plan.rebuilds] == ["projectB"]
    assert [(one.model.project, one.reason) for one in plan.skips] == [("projectA", Reason.UNREADABLE)]
