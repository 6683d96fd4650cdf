"""Planning is a pure function of what a rack holds, its policy and the time."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cellar_core import Plan, Reason, Rebuild, Recipe, Skip
from cellar_core.attempt import LOST_MOST, Attempt, Event, follow
from cellar_core.digest import digest_json
from cellar_core.layout import record
from cellar_core.plan import plan as made_plan
from cellar_core.rack import Hold, OnBump, RackConfig
from cellar_core.ref import Ref
from cellar_core.version import BaseVersion, Bump, ProjectVersion
from cellar_core.versions import Versions
from cellar_core.want import ProjectState, RackState, Want, want, wants
from tests.core.helpers import Bench, train
from tests.core.helpers import bench as made_bench
from tests.core.strategies import NOW, RACK, attempts, few_bases, holds, policies, rack_states, recipes

CONFIG = RackConfig()
A = RACK.project("projectA")


def plan(state: RackState, policy: RackConfig, now: datetime) -> Plan:
    """What is to be rebuilt at *now*."""
    return made_plan(state, policy, wants(state, policy, now))


def config(text: str) -> RackConfig:
    """A rack's ``config.toml``."""
    return RackConfig.parse(text.encode(), "config.toml", RACK)


def project(*versions: str, name: str = "projectA", yanked: str = "", **facts: object) -> ProjectState:
    """A project with these versions."""
    return ProjectState(
        RACK.project(name),
        Versions(map(ProjectVersion, versions)),
        frozenset(map(ProjectVersion, yanked.split())),
        **facts,  # type: ignore[arg-type]
    )


def rack(
    bases: str, *projects: ProjectState, yanked: str = "", approved: tuple[tuple[str, str], ...] = ()
) -> RackState:
    """A rack with these bases and projects."""
    return RackState(
        "a cellar",
        RACK,
        Versions(map(BaseVersion, bases.split())),
        frozenset(map(BaseVersion, yanked.split())),
        projects,
        frozenset((name, BaseVersion(base)) for name, base in approved),
        {BaseVersion(base): digest_json(base) for base in bases.split()},
    )


def log(base: str, *events: Event, **facts: str) -> dict[BaseVersion, Attempt]:
    """The last entry of the log of a rebuild onto *base*, after *events*."""
    last: Attempt | None = None
    for event in events:
        request = facts.get("request", "of another recipe")
        last = follow(last, event, **{"request": request, "holder": "airflow:retune:1", **facts})
    assert last is not None
    return {BaseVersion(base): last}


def request(state: RackState, policy: RackConfig = CONFIG) -> str:
    """The request that a plan of *state* would make, were there no log."""
    fresh = replace(state, projects=tuple(replace(one, last={}) for one in state.projects))
    return plan(fresh, policy, NOW).rebuilds[0].request


def only(
    state: RackState, policy: RackConfig = CONFIG, now: datetime = NOW
) -> tuple[Reason, str, str | None]:
    """The one decision of a plan: its reason, its sentence, and the base it is about."""
    made = plan(state, policy, now)
    decisions: list[Rebuild | Skip] = [*made.rebuilds, *made.skips]
    [decision] = decisions
    assert bool(made) is isinstance(decision, Rebuild)
    return decision.reason, decision.sentence, str(decision.base.version) if decision.base else None


BEHIND = rack("1.0 1.1", project("1.0.1"))
Q = request(BEHIND)


def after(*events: Event, done: bool = False, **facts: str) -> RackState:
    """BEHIND, after these events of the rebuild of its only request."""
    last = log("1.1", *events, request=Q, **facts)
    return rack("1.0 1.1", project("1.0.1", last=last, done=frozenset({Q}) if done else frozenset()))


CASES: dict[Reason, tuple[RackState, str, str, str | None]] = {
    Reason.BASE_MINOR: (BEHIND, "", "1.0.1 stands on base 1.0; base 1.1 is newer", "1.1"),
    Reason.BASE_MAJOR: (
        rack("1.0 2.0", project("1.0.1"), approved=(("base", "2.0"),)),
        "",
        "1.0.1 stands on base 1.0; base 2.0 is newer",
        "2.0",
    ),
    Reason.BASE_YANKED: (
        rack("1.0 1.1", project("1.1.1"), yanked="1.1"),
        "",
        "1.1.1 does not count, as base 1.1 is yanked; stands on no base that it follows; base 1.0 is the newest",
        "1.0",
    ),
    Reason.NEVER_BUILT: (
        rack("1.0", project()),
        "",
        "has no version yet; base 1.0 is the newest it follows",
        "1.0",
    ),
    Reason.ASKED_AGAIN: (
        after(Event.STARTED, Event.FAILED, Event.ASKED, why="data mended"),
        "",
        "asked for it (data mended)",
        "1.1",
    ),
    Reason.WAS_LOST: (after(Event.STARTED, Event.LOST), "", "; the last attempt ended without a word", "1.1"),
    Reason.CHANGED_SINCE_FAILURE: (
        after(Event.STARTED, Event.FAILED),
        "[projects.projectA.recipe]\nseed = 2",
        "its recipe or the rack's rules changed since the last attempt",
        "1.1",
    ),
    Reason.UP_TO_DATE: (
        rack("1.0", project("1.0.1")),
        "",
        "stands on base 1.0, the newest it follows",
        "1.0",
    ),
    Reason.HELD: (
        rack("1.0 1.1 1.2", project("1.0.1")),
        '[projects.projectA]\nhold = { reason = "audit", owner = "kim", until = 2027-01-31 }',
        "is held (audit, by kim, until 2027-01-31); 2 bumps behind",
        "1.2",
    ),
    Reason.AWAITING_APPROVAL: (
        rack("1.0 2.0", project("1.0.1")),
        "",
        "base 2.0 is newer, but a new X needs integration tests: cellar approve vit/vit-l/base/2.0",
        "1.0",
    ),
    Reason.TURNED_OFF: (
        BEHIND,
        '[rebuild]\non_minor = "never"',
        'base 1.1 is newer, but on_minor = "never"',
        "1.0",
    ),
    Reason.NO_BASE: (
        rack("1.0", project("1.0.1"), yanked="1.0"),
        "",
        "the rack has no base that it follows",
        None,
    ),
    Reason.IN_PROGRESS: (after(Event.STARTED), "", "airflow:retune:1 has been at it since ", "1.1"),
    Reason.FAILED_BEFORE: (
        after(Event.STARTED, Event.FAILED, why="ValueError: no data"),
        "",
        "failed on base 1.1 (ValueError: no data): mend it, then ask with: cellar rebuild vit/vit-l/projectA --again",
        "1.1",
    ),
    Reason.YANKED_BEFORE: (
        after(Event.STARTED, done=True),
        "",
        "was built on base 1.1, and that was yanked: mend it, then ask with",
        "1.1",
    ),
    Reason.UNREADABLE: (
        rack("1.0 1.1", project("1.0.1", unreadable="…/1.0.1.json is not JSON")),
        "",
        "…/1.0.1.json is not JSON",
        "1.1",
    ),
}


class TestReasons:
    """Each reason, and its sentence."""

    @pytest.mark.parametrize("reason", CASES)
    def test_reason(self, reason: Reason) -> None:
        """A project whose state is this has this reason, a sentence that says it, and this base."""
        state, policy, sentence, base = CASES[reason]
        found = only(state, config(policy))
        assert found[0] is reason
        assert sentence in found[1]
        assert found[2] == base

    def test_queued(self) -> None:
        """What exceeds max_parallel waits for a free place."""
        state = rack(
            "1.0 1.1", *(project("1.0.1", name=name) for name in ("projectB", "projectA", "projectC"))
        )
        made = plan(state, config("[rebuild]\nmax_parallel = 2"), NOW)
        assert [one.model.project for one in made.rebuilds] == ["projectA", "projectB"]
        [waiting] = made.skips
        assert (waiting.model.project, waiting.reason, str(waiting.base)) == (
            "projectC",
            Reason.QUEUED,
            "vit/vit-l/base/1.1",
        )
        assert waiting.sentence.endswith("base 1.1 is newer; waits for a free place, 2 at once")

    def test_every_reason_is_reached(self) -> None:
        """No reason is without a test."""
        assert {*CASES, Reason.QUEUED} == set(Reason)

    def test_head(self) -> None:
        """A plan names the newest base that is not yanked, if there is one."""
        assert str(plan(rack("1.0 1.1 1.2", yanked="1.2"), CONFIG, NOW).head) == "vit/vit-l/base/1.1"
        assert plan(rack("1.0", yanked="1.0"), CONFIG, NOW).head is None
        assert plan(rack(""), CONFIG, NOW).head is None


class TestWanted:
    """Which base a project should stand on."""

    def test_yank_moves_back(self) -> None:
        """``!=``, not ``<``: a yanked base sends a project back to its version on the base before, untrained."""
        state = rack("1.3 1.4", project("1.3.2", "1.4.1"), yanked="1.4")
        assert only(state)[0] is Reason.UP_TO_DATE
        [skip] = plan(state, CONFIG, NOW).skips
        assert str(skip.current) == "vit/vit-l/projectA/1.3.2"
        there = "stands on base 1.3, the newest it follows"
        assert skip.sentence == f"1.4.1 does not count, as base 1.4 is yanked; {there}"

    def test_a_yank_is_told_until_a_newer_version_counts(self) -> None:
        """What is older than the version that counts is of no interest any more."""
        told = "1.4.1 does not count, as base 1.4 is yanked; 1.3.2 stands on base 1.3; base 1.5 is newer"
        before = rack("1.3 1.4 1.5", project("1.3.2", "1.4.1"), yanked="1.4")
        assert plan(before, CONFIG, NOW).rebuilds[0].sentence == told
        after = rack("1.3 1.4 1.5", project("1.3.2", "1.4.1", "1.5.1"), yanked="1.4")
        assert plan(after, CONFIG, NOW).skips[0].sentence == "stands on base 1.5, the newest it follows"
        waits = rack("1.3 1.4 2.0", project("1.3.2", "1.4.1"), yanked="1.4")
        assert plan(waits, CONFIG, NOW).skips[0].sentence.startswith("1.4.1 does not count")

    def test_yank_rebuilds_where_there_is_nothing_to_go_back_to(self) -> None:
        """A project that has no version on the base before is built there."""
        assert only(rack("1.3 1.4", project("1.4.1"), yanked="1.4"))[::2] == (Reason.BASE_YANKED, "1.3")
        assert only(rack("1.2 1.3 1.4", project("1.2.1", "1.4.1"), yanked="1.4"))[::2] == (
            Reason.BASE_MINOR,
            "1.3",
        )

    def test_burst_costs_one(self) -> None:
        """However many bases came at once, a project is built on the newest alone."""
        made = plan(rack("1.0 1.1 1.2 1.3 1.4", project("1.0.1")), CONFIG, NOW)
        assert [str(one.base.version) for one in made.rebuilds] == ["1.4"]

    def test_burst_during_a_training(self) -> None:
        """A base that comes while a project is built on another costs one more training, not a third."""
        state = rack("1.0 1.1 1.2", project("1.0.1", last=log("1.1", Event.STARTED)))
        assert only(state)[::2] == (Reason.BASE_MINOR, "1.2")

    def test_own_yank(self) -> None:
        """A version that is yanked itself does not count."""
        state = rack("1.0 1.1", project("1.0.1", "1.1.1", yanked="1.1.1"))
        assert only(state)[::2] == (Reason.BASE_MINOR, "1.1")
        assert only(state)[1].startswith("1.1.1 does not count, as it is yanked; ")

    def test_hotfix_is_still_behind(self) -> None:
        """A new Z on an older base does not make a project up to date, nor behind."""
        assert only(rack("1.0 1.1", project("1.0.1", "1.0.2")))[0] is Reason.BASE_MINOR
        assert only(rack("1.0 1.1", project("1.0.2", "1.1.1")))[0] is Reason.UP_TO_DATE

    @pytest.mark.parametrize(
        ("track", "reason", "base"),
        [
            ("latest", Reason.AWAITING_APPROVAL, "1.2"),
            ("^1", Reason.UP_TO_DATE, "1.2"),
            ("<1.2", Reason.BASE_MINOR, "1.1"),
            ("~=1.0", Reason.UP_TO_DATE, "1.2"),
            ("^2", Reason.AWAITING_APPROVAL, None),
            (">=3", Reason.NO_BASE, None),
            ("==1.0", Reason.BASE_YANKED, "1.0"),
        ],
    )
    def test_track(self, track: str, reason: Reason, base: str | None) -> None:
        """A project follows the bases that ``track`` takes, and no other."""
        policy = config(f'[projects.projectA]\ntrack = "{track}"')
        versions = ("1.0.1", "1.2.1") if track == "<1.2" else ("1.2.1",)
        assert only(rack("1.0 1.1 1.2 2.0", project(*versions)), policy)[::2] == (reason, base)

    def test_track_in_early_development(self) -> None:
        """``^0.2`` stays on 0.2, for in 0.Y every Y may break."""
        policy = config('[projects.projectA]\ntrack = "^0.2"')
        assert only(rack("0.2 0.3 1.0", project("0.2.1")), policy)[0] is Reason.UP_TO_DATE


class TestPolicy:
    """on_minor, on_major, approvals and holds."""

    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            (OnBump.AUTO, Reason.BASE_MAJOR),
            (OnBump.APPROVE, Reason.AWAITING_APPROVAL),
            (OnBump.NEVER, Reason.TURNED_OFF),
        ],
    )
    def test_on_major(self, rule: OnBump, reason: Reason) -> None:
        """A new X: rebuilt, waits, or never; the sentence names the key and the base."""
        found = only(rack("1.0 2.0", project("1.0.1")), config(f'[rebuild]\non_major = "{rule}"'))
        assert found[0] is reason
        assert "2.0" in found[1]

    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            (OnBump.AUTO, Reason.BASE_MINOR),
            (OnBump.APPROVE, Reason.AWAITING_APPROVAL),
            (OnBump.NEVER, Reason.TURNED_OFF),
        ],
    )
    def test_on_minor(self, rule: OnBump, reason: Reason) -> None:
        """A new Y: rebuilt, waits, or never."""
        policy = config(f'[rebuild]\non_minor = "{rule}"')
        found = only(BEHIND, policy)
        assert found[0] is reason
        if rule is OnBump.APPROVE:
            assert (
                found[1] == 'base 1.1 is newer, but on_minor = "approve": cellar approve vit/vit-l/base/1.1'
            )
        # The same words where nothing of the project stands any more, so that no version tells which X it is on.
        found = only(rack("1.0 1.1 1.2", project("1.1.1"), yanked="1.1"), policy)
        if rule is not OnBump.AUTO:
            assert found[0] is reason
            assert "on_minor" in found[1]

    def test_minor_goes_on_while_a_major_waits(self) -> None:
        """A base 1.1 is followed, though 2.0 waits for approval."""
        assert only(rack("1.0 1.1 2.0", project("1.0.1")))[::2] == (Reason.BASE_MINOR, "1.1")

    @pytest.mark.parametrize(
        ("approved", "reason"),
        [
            (("base", "2.0"), Reason.BASE_MAJOR),
            (("projectA", "2.0"), Reason.BASE_MAJOR),
            (("projectB", "2.0"), Reason.AWAITING_APPROVAL),
            (("base", "1.0"), Reason.AWAITING_APPROVAL),
        ],
    )
    def test_approval(self, approved: tuple[str, str], reason: Reason) -> None:
        """An approval is for all projects or for one, and for the base that it names."""
        assert only(rack("1.0 2.0", project("1.0.1"), approved=(approved,)))[0] is reason

    def test_approval_of_an_x_is_for_all_of_it(self) -> None:
        """Whoever approved 2.0 has tested the new X: 2.1 is a minor bump of it."""
        state = rack("1.0 2.0 2.1", project("1.0.1"), approved=(("base", "2.0"),))
        assert only(state)[::2] == (Reason.BASE_MAJOR, "2.1")
        assert only(rack("1.0 2.0 2.1 3.0", project("2.0.1")))[::2] == (Reason.BASE_MINOR, "2.1")

    def test_approval_of_a_minor_bump(self) -> None:
        """Where minor bumps wait too, each base is approved by itself."""
        policy = config('[rebuild]\non_minor = "approve"')
        state = rack("1.0 1.1 1.2", project("1.0.1"), approved=(("base", "1.1"),))
        assert only(state, policy)[::2] == (Reason.BASE_MINOR, "1.1")

    def test_never_can_be_approved(self) -> None:
        """What policy turned off is done all the same when somebody approves it."""
        policy = config('[rebuild]\non_minor = "never"')
        state = rack("1.0 1.1", project("1.0.1"), approved=(("projectA", "1.1"),))
        assert only(state, policy)[0] is Reason.BASE_MINOR

    @pytest.mark.parametrize(
        ("until", "now", "held"),
        [
            ("2027-01-31", datetime(2027, 1, 31, 23, 59, tzinfo=UTC), True),
            ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC), False),
            ('"2027-01-31"', datetime(2027, 1, 31, 23, 59, tzinfo=UTC), True),
            ('"2027-01-31"', datetime(2027, 2, 1, tzinfo=UTC), False),
            ("2027-01-31T08:00:00", datetime(2027, 1, 31, 8, tzinfo=UTC), True),
            ("2027-01-31T08:00:00", datetime(2027, 1, 31, 8, 1, tzinfo=UTC), False),
            ('"2027-01-31T08:00:00"', datetime(2027, 1, 31, 8, 1, tzinfo=UTC), False),
            ("2027-01-31T08:00:00+09:00", datetime(2027, 1, 31, 8, tzinfo=UTC), False),
        ],
    )
    def test_hold_expires(self, until: str, now: datetime, held: bool) -> None:
        """A hold ends by itself: a date with its day, a time at that time, UTC if it names no zone; quoted or not."""
        policy = config(f"[projects.projectA]\nhold = {{ until = {until} }}")
        assert only(BEHIND, policy, now)[0] is (Reason.HELD if held else Reason.BASE_MINOR)

    def test_hold_without_end(self) -> None:
        """A hold that says nothing holds for ever; it says that no reason was given."""
        found = only(BEHIND, config("[projects.projectA]\nhold = {}"), NOW + timedelta(10_000))
        assert found == (Reason.HELD, "is held (no reason given); 1 bump behind", "1.1")

    def test_hold_of_what_is_up_to_date(self) -> None:
        """A held project that is up to date is up to date."""
        policy = config("[projects.projectA]\nhold = {}")
        assert only(rack("1.0", project("1.0.1")), policy)[0] is Reason.UP_TO_DATE

    def test_max_parallel_counts_what_is_in_progress(self) -> None:
        """Places that are taken by rebuilds in progress are not given twice."""
        names = ("projectA", "projectB", "projectC", "projectD")
        projects = [project("1.0.1", name=name) for name in names]
        projects[1] = replace(projects[1], last=log("1.1", Event.STARTED))
        made = plan(rack("1.0 1.1", *projects), config("[rebuild]\nmax_parallel = 2"), NOW)
        assert [one.model.project for one in made.rebuilds] == ["projectA"]
        assert {one.model.project: one.reason for one in made.skips} == {
            "projectB": Reason.IN_PROGRESS,
            "projectC": Reason.QUEUED,
            "projectD": Reason.QUEUED,
        }

    def test_max_parallel_counts_what_a_bump_has_overtaken(self) -> None:
        """A rebuild onto a base that is no longer the newest goes on, and keeps its place; then it is told apart."""
        names = ("projectA", "projectB", "projectC")
        projects = [project("1.0.1", name=name) for name in names]
        projects[1] = replace(projects[1], last=log("1.1", Event.STARTED))
        made = plan(rack("1.0 1.1 1.2", *projects), config("[rebuild]\nmax_parallel = 2"), NOW)
        assert [(one.model.project, str(one.base.version)) for one in made.rebuilds] == [("projectA", "1.2")]
        assert [(one.model.project, one.reason) for one in made.skips] == [
            ("projectB", Reason.QUEUED),
            ("projectC", Reason.QUEUED),
        ]
        assert made.skips[1].sentence.endswith(
            "waits for a free place, 2 at once (1 taken by other bases still)"
        )
        [overtaken] = made.in_progress
        assert (str(overtaken.model), str(overtaken.base)) == (f"{RACK}/projectB", f"{RACK}/base/1.1")
        assert (overtaken.holder, overtaken.attempt) == ("airflow:retune:1", 1)
        assert overtaken.sentence.endswith("onto base 1.1, which is not the wanted one any more")

    @pytest.mark.parametrize("event", [Event.FAILED, Event.LOST, Event.ASKED])
    def test_an_attempt_that_has_ended_takes_no_place(self, event: Event) -> None:
        """Nor does it keep the project from its next base."""
        behind = replace(BEHIND.projects[0], last=log("1.1", Event.STARTED, event))
        made = plan(rack("1.0 1.1 1.2", behind), config("[rebuild]\nmax_parallel = 1"), NOW)
        assert [str(one.base.version) for one in made.rebuilds] == ["1.2"]
        assert made.in_progress == ()

    @pytest.mark.parametrize("rule", ["hold = {}", 'track = "^1.0"'])
    def test_what_a_rule_has_stopped_goes_on_until_it_ends(self, rule: str) -> None:
        """A hold, or another track, keeps a project from being begun, and not from taking the place it has."""
        held = replace(project("1.0.1"), last=log("2.0", Event.STARTED))
        state = rack("1.0 1.1 2.0", held, project("1.0.1", name="projectB"), approved=(("base", "2.0"),))
        policy = config(f"[rebuild]\nmax_parallel = 1\n[projects.projectA]\n{rule}")
        made = plan(state, policy, NOW)
        assert not made.rebuilds
        assert [str(one.base) for one in made.in_progress] == [f"{RACK}/base/2.0"]

    def test_recipe(self) -> None:
        """The recipe is that of ``config.toml``, else that of the project's last record."""
        state = rack("1.0 1.1", project("1.0.1", recipe=Recipe(seed=1)))
        assert plan(state, CONFIG, NOW).rebuilds[0].recipe == Recipe(seed=1)
        policy = config("[projects.projectA.recipe]\nseed = 2\nparameters = { epochs = 3 }")
        assert plan(state, policy, NOW).rebuilds[0].recipe == Recipe(seed=2, parameters={"epochs": 3})


class TestLog:
    """What the last entry of a rebuild's log makes of it."""

    def test_in_progress_says_who_and_since_when(self) -> None:
        """Somebody else who plans sees who has the work, since when, and in which entry."""
        [skip] = plan(after(Event.STARTED), CONFIG, NOW).skips
        assert (skip.holder, skip.attempt) == ("airflow:retune:1", 1)
        assert skip.since is not None

    def test_attempt_is_the_next_entry(self) -> None:
        """A rebuild names the entry that its run creates first, so that two runs of it cannot both."""
        assert plan(BEHIND, CONFIG, NOW).rebuilds[0].attempt == 1
        [rebuild] = plan(after(Event.STARTED, Event.LOST), CONFIG, NOW).rebuilds
        assert rebuild.attempt == 3
        assert rebuild.run_key == f"{rebuild.request}:3"

    @pytest.mark.parametrize("lost", range(1, LOST_MOST + 2))
    def test_three_lost_in_a_row_count_as_failed(self, lost: int) -> None:
        """An attempt that was lost is made again, but not for ever: something kills them."""
        found = only(after(*[Event.STARTED, Event.LOST] * lost))
        assert found[0] is (Reason.WAS_LOST if lost < LOST_MOST else Reason.FAILED_BEFORE)
        if lost >= LOST_MOST:
            assert f"{lost} attempts in a row ended without a word" in found[1]

    @pytest.mark.parametrize("between", [Event.ASKED, Event.FAILED])
    def test_not_in_a_row(self, between: Event) -> None:
        """Losses are counted from the last failure or question on."""
        events = [*[Event.STARTED, Event.LOST] * 3, between, Event.STARTED, Event.LOST]
        assert only(after(*events))[0] is Reason.WAS_LOST

    def test_losses_of_another_recipe_do_not_count(self) -> None:
        """A changed recipe is another request: its losses are counted anew."""
        last = log("1.1", *[Event.STARTED, Event.LOST] * 3, request="of the old recipe")[BaseVersion("1.1")]
        for event in (Event.STARTED, Event.LOST):
            last = follow(last, event, request=Q, holder="airflow:retune:1")
        assert only(rack("1.0 1.1", project("1.0.1", last={BaseVersion("1.1"): last})))[0] is Reason.WAS_LOST

    @pytest.mark.parametrize(
        "events", [[Event.STARTED, Event.FAILED], [Event.STARTED, Event.LOST] * LOST_MOST]
    )
    def test_failure_lasts_until_something_changes(self, events: list[Event]) -> None:
        """Recipe, base or artifact rules make a failed rebuild new; a hold or a limit does not."""
        state = after(*events, policy=CONFIG.digest(A))
        assert only(state)[0] is Reason.FAILED_BEFORE
        for changed in (
            "[rebuild]\nmax_parallel = 1",
            '[projects.projectA]\ntrack = "^1"',
            "[projects.projectB.recipe]\nseed = 1",
        ):
            assert only(state, config(changed))[0] is Reason.FAILED_BEFORE
        for changed in ("[projects.projectA.recipe]\nseed = 1", '[artifact]\nrequired_files = ["x"]'):
            assert only(state, config(changed))[0] is Reason.CHANGED_SINCE_FAILURE
        other = replace(state, trees={BaseVersion("1.1"): digest_json("other bytes")})
        assert only(other)[0] is Reason.CHANGED_SINCE_FAILURE

    def test_asked(self) -> None:
        """Whoever asks gets another attempt, of a new request; the ones after it are still of that request."""
        asked = after(Event.STARTED, Event.FAILED, Event.ASKED)
        [rebuild] = plan(asked, CONFIG, NOW).rebuilds
        assert (rebuild.reason, rebuild.attempt) == (Reason.ASKED_AGAIN, 4)
        assert rebuild.request != Q
        [base] = asked.projects[0].last
        last = asked.projects[0].last[base]
        for event in (Event.STARTED, Event.LOST):
            last = follow(last, event, request=rebuild.request, holder="x")
        later = rack("1.0 1.1", project("1.0.1", last={base: last}))
        assert plan(later, CONFIG, NOW).rebuilds[0].request == rebuild.request

    def test_log_of_another_base_does_not_count(self) -> None:
        """A failure on 1.1 says nothing of 1.2."""
        state = rack("1.0 1.1 1.2", project("1.0.1", last=log("1.1", Event.STARTED, Event.FAILED)))
        assert only(state)[::2] == (Reason.BASE_MINOR, "1.2")


class TestRequest:
    """What Q depends on."""

    BASE = rack("1.0 1.1", project("1.0.1", recipe=Recipe(seed=1)))

    @pytest.mark.parametrize(
        ("state", "policy"),
        [
            (replace(BASE, cellar="another cellar"), ""),
            (replace(BASE, trees={BaseVersion("1.1"): digest_json("other bytes")}), ""),
            (rack("1.0 1.2", *BASE.projects), ""),
            (replace(BASE, projects=(project("1.0.1", name="projectB", recipe=Recipe(seed=1)),)), ""),
            (replace(BASE, projects=(project("1.0.1", recipe=Recipe(seed=2)),)), ""),
            (BASE, "[projects.projectA.recipe]\nseed = 3"),
            (
                replace(
                    BASE, projects=(project("1.0.1", recipe=Recipe(seed=1), last=log("1.1", Event.ASKED)),)
                ),
                "",
            ),
        ],
        ids=["cellar", "base tree", "base", "project", "last recipe", "recipe", "asked"],
    )
    def test_changes_with(self, state: RackState, policy: str) -> None:
        """Another cellar, base, project, recipe or question is another request."""
        assert plan(state, config(policy), NOW).rebuilds[0].request != request(self.BASE)

    @pytest.mark.parametrize(
        ("state", "policy"),
        [
            (BASE, "[rebuild]\nmax_parallel = 1"),
            (BASE, "[projects.projectA]\nhold = { until = 2020-01-01 }"),
            (BASE, '[projects.projectA]\ntrack = "^1"'),
            (BASE, '[artifact]\nrequired_files = ["x"]'),
            (BASE, "[projects.projectA.recipe]\nseed = 1"),
            (replace(BASE, projects=(project("1.0.1", "1.0.2", recipe=Recipe(seed=1)),)), ""),
            (
                replace(
                    BASE, projects=(replace(BASE.projects[0], last=log("1.1", Event.STARTED, Event.LOST)),)
                ),
                "",
            ),
            (replace(BASE, approved=frozenset({("base", BaseVersion("1.1"))})), ""),
        ],
        ids=["max_parallel", "hold", "track", "rules", "same recipe", "hotfix", "lost", "approval"],
    )
    def test_does_not_change_with(self, state: RackState, policy: str) -> None:
        """Policy, other versions, lost attempts and approvals do not double running work."""
        assert plan(state, config(policy), NOW).rebuilds[0].request == request(self.BASE)

    @given(recipes, recipes)
    def test_recipe_by_what_it_says(self, one: Recipe, other: Recipe) -> None:
        """Two recipes are one request if and only if they say the same."""
        found = {request(rack("1.0 1.1", project("1.0.1", recipe=recipe))) for recipe in (one, other)}
        assert (len(found) == 1) is (one.facts() == other.facts())


# Whatever the state: laws.


@given(rack_states(), policies, st.randoms())
def test_deterministic_and_independent_of_order(
    state: RackState, policy: RackConfig, random: random.Random
) -> None:
    """The same facts give the same plan, in whatever order they were listed, and also from the plan's own JSON."""
    made = plan(state, policy, NOW)
    bases, projects = list(state.bases), list(state.projects)
    random.shuffle(bases)
    random.shuffle(projects)
    assert plan(replace(state, bases=Versions(bases), projects=tuple(projects)), policy, NOW) == made
    assert Plan.model_validate_json(made.model_dump_json()) == made


@given(rack_states(), policies)
def test_each_project_is_decided_once(state: RackState, policy: RackConfig) -> None:
    """Every project is in the plan, once, with a sentence."""
    made = plan(state, policy, NOW)
    decided: list[Rebuild | Skip] = [*made.rebuilds, *made.skips]
    assert sorted(str(one.model) for one in decided) == sorted(str(one.model) for one in state.projects)
    assert all(one.sentence for one in decided)
    assert bool(made) is bool(made.rebuilds)


@given(rack_states(), policies)
def test_only_ever_from_a_good_base(state: RackState, policy: RackConfig) -> None:
    """A plan never offers a project's model as a base, nor one that is yanked or unknown."""
    for rebuild in plan(state, policy, NOW).rebuilds:
        assert rebuild.base.model == state.rack.base
        assert rebuild.base.version in state.good


@given(rack_states(), policies)
def test_never_what_is_there(state: RackState, policy: RackConfig) -> None:
    """A project that has a good version on the base it should stand on is not rebuilt, and none ever moves back."""
    yanked = {one.model: one.yanked for one in state.projects}
    versions = {one.model: one.versions for one in state.projects}
    for rebuild in plan(state, policy, NOW).rebuilds:
        good = set(versions[rebuild.model]) - yanked[rebuild.model]
        assert rebuild.base.version not in {version.base for version in good}
        if rebuild.current:
            assert rebuild.current.base.version < rebuild.base.version  # type: ignore[operator]


@given(rack_states(), policies)
def test_new_x_only_with_approval(state: RackState, policy: RackConfig) -> None:
    """No project that has versions moves to an X that is new to it unless policy or an approval says so."""
    for rebuild in plan(state, policy, NOW).rebuilds:
        [project] = [one for one in state.projects if one.model == rebuild.model]
        majors = {version.major for version in project.versions}
        if majors and rebuild.base.version.major not in majors and policy.rebuild.on_major is not OnBump.AUTO:
            names = {"base", project.model.project}
            assert any(
                name in names and base.major == rebuild.base.version.major for name, base in state.approved
            )


@given(rack_states(), policies)
def test_running_all_of_it_ends(state: RackState, policy: RackConfig) -> None:
    """Running every rebuild of a plan, and of those after it, leads to a plan without any."""
    for _ in range(len(state.projects) + 1):
        made = plan(state, policy, NOW)
        if not made:
            break
        assert not made.rebuilds or len(made.rebuilds) + len(made.in_progress) <= policy.rebuild.max_parallel
        built = {rebuild.model: rebuild for rebuild in made.rebuilds}
        state = replace(
            state,
            projects=tuple(
                replace(
                    one,
                    versions=Versions([*one.versions, ProjectVersion(f"{built[one.model].base.version}.9")]),
                )
                if one.model in built
                else one
                for one in state.projects
            ),
        )
    assert not plan(state, policy, NOW)


@given(rack_states(), policies, holds)
def test_hold_only_holds(state: RackState, policy: RackConfig, hold: Hold | None) -> None:
    """A hold turns rebuilds into HELD and back, and nothing else: what is wanted stays the same."""
    for project in state.projects:
        rules = policy.project(project.model)
        free, held = (
            policy.model_copy(
                update={
                    "projects": {
                        **policy.projects,
                        project.model.project: rules.model_copy(update={"hold": one}),
                    }
                }
            )
            for one in (None, hold)
        )
        before, now = want(state, free, project, NOW), want(state, held, project, NOW)
        if hold and hold.holds(NOW) and isinstance(before, Want):
            assert now.reason is Reason.HELD
        else:
            assert now == before


@given(rack_states(), policies)
def test_yank_and_back(state: RackState, policy: RackConfig) -> None:
    """Yanking a base and taking that back leaves the plan as it was."""
    assume(state.good)
    *_, newest = state.good
    without = replace(state, yanked=state.yanked | {newest})
    assert all(one.base.version != newest for one in plan(without, policy, NOW).rebuilds)
    assert plan(replace(without, yanked=without.yanked - {newest}), policy, NOW) == plan(state, policy, NOW)


@given(rack_states(), policies, st.data())
def test_a_void_number_does_not_count(state: RackState, policy: RackConfig, data: st.DataObject) -> None:
    """A number at which no version stands changes nothing, whichever it is."""
    void = data.draw(st.sets(few_bases)) - {*state.bases}
    bases = Versions([*state.bases, *void], lambda base: base not in void)
    updates = {ProjectVersion(f"{base}.4") for base in void | {*state.bases}}
    projects = tuple(
        replace(one, versions=Versions([*one.versions, *updates], lambda version: version not in updates))
        for one in state.projects
    )
    assert plan(replace(state, bases=bases, projects=projects), policy, NOW) == plan(state, policy, NOW)


@pytest.mark.parametrize(
    ("newest", "reason"), [("1.99.1", Reason.AWAITING_APPROVAL), ("1.98.1", Reason.BASE_MINOR)]
)
def test_looks_only_at_what_decides(newest: str, reason: Reason) -> None:
    """However many versions there are, a plan looks at a few: on a disk, each look costs a ``stat``."""
    looks: list[BaseVersion | ProjectVersion] = []

    def look(version: BaseVersion | ProjectVersion) -> bool:
        looks.append(version)
        return True

    versions = [ProjectVersion(f"1.{y}.1") for y in range(98)]
    state = replace(
        rack("1.98 1.99"),
        bases=Versions([BaseVersion(f"{x}.{y}") for x in (1, 2) for y in range(100)], look),
        projects=(ProjectState(A, Versions([*versions, ProjectVersion(newest)], look)),),
    )
    assert only(state)[0] is reason
    assert len(set(looks)) <= 5


@given(st.none() | attempts(), st.sampled_from(Event))
def test_an_entry_tells_everything(last: Attempt | None, event: Event) -> None:
    """Each entry carries forward the last question and the losses in a row, so that the newest alone is read."""
    entry = follow(last, event, request="Q", holder="x")
    assert entry.number == (last.number + 1 if last else 1)
    assert entry.asked == (entry.number if event is Event.ASKED else last.asked if last else 0)
    assert entry.lost <= (last.lost if last else 0) + 1
    assert (entry.lost > 0) <= (event in (Event.LOST, Event.STARTED))


# From a real registry.


class TestFromTheRegistry:
    """What a plan reads."""

    def test_story(self, bench: Bench) -> None:
        """Bump, rebuild, yank, take back: a plan follows what the registry holds."""
        first = bench.base(version="1.0")
        for name in ("projectA", "projectB"):
            bench.project(first, name=name, recipe={"seed": 7})
        assert not bench.cellar.plan("vit/vit-l")
        second = bench.base()
        made = bench.cellar.plan("vit/vit-l")
        assert str(made.head) == second
        assert [(str(one.model), str(one.base), str(one.current)) for one in made.rebuilds] == [
            (f"vit/vit-l/{name}", second, f"vit/vit-l/{name}/1.0.1") for name in ("projectA", "projectB")
        ]
        assert [one.recipe.seed for one in made.rebuilds] == [7, 7]
        for rebuild in made.rebuilds:
            assert bench.cellar.rebuild(rebuild, train, holder="a test").outcome == "built"
        assert not bench.cellar.plan("vit/vit-l")
        bench.cellar.yank(second, "bad labels")
        assert {one.reason for one in bench.cellar.plan("vit/vit-l").skips} == {Reason.UP_TO_DATE}
        assert str(bench.cellar.resolve("vit/vit-l/projectA").ref) == "vit/vit-l/projectA/1.0.1"
        bench.cellar.unyank(second, "they were right")
        assert str(bench.cellar.resolve("vit/vit-l/projectA").ref) == "vit/vit-l/projectA/1.1.1"
        assert not bench.cellar.plan("vit/vit-l")

    def test_reads_and_changes_nothing(self, bench: Bench) -> None:
        """A plan is a look."""
        bench.project(bench.base(version="1.0"))
        bench.base()
        before = dict(bench.cellar.store.find(""))
        assert bench.cellar.plan("vit/vit-l") == bench.cellar.plan("vit/vit-l")
        assert dict(bench.cellar.store.find("")) == before

    def spoil(self, bench: Bench, ref: str, data: bytes) -> str:
        """Write over a record."""
        key = record(Ref(ref))
        bench.cellar.store._fs.pipe_file(bench.cellar.store._path(key), data)  # type: ignore[attr-defined]
        return key

    @pytest.mark.parametrize(
        "data", [b"{not json" + b" " * 300, b'{"schema": 99}' + b" " * 300, b"[]" + b" " * 300]
    )
    def test_unreadable_record_of_a_project(self, bench: Bench, data: bytes) -> None:
        """A record that cannot be read stops its own project only; the sentence names the object."""
        first = bench.base(version="1.0")
        bench.project(first)
        spoiled = bench.project(first, name="projectB")
        bench.base()
        key = self.spoil(bench, spoiled, data)
        made = bench.cellar.plan("vit/vit-l")
        assert [one.model.project for one in made.rebuilds] == ["projectA"]
        [skip] = made.skips
        assert (skip.model.project, skip.reason) == ("projectB", Reason.UNREADABLE)
        assert key in skip.sentence

    def test_unreadable_record_of_a_base(self, bench: Bench) -> None:
        """A base's record that cannot be read stops the projects that would be built from it, and no other."""
        bench.project(bench.base(version="1.0"))
        bench.project("vit/vit-l/base/1.0", name="projectB")
        bench.base(version="1.1")
        newest = bench.base(version="1.2")
        bench.configure('[projects.projectB]\ntrack = "<1.2"')
        key = self.spoil(bench, newest, b"{not json" + b" " * 300)
        made = bench.cellar.plan("vit/vit-l")
        assert [(one.model.project, str(one.base.version)) for one in made.rebuilds] == [("projectB", "1.1")]
        [skip] = made.skips
        assert (skip.model.project, skip.reason) == ("projectA", Reason.UNREADABLE)
        assert key in skip.sentence

    def test_approve(self, bench: Bench) -> None:
        """An approval in the registry lets projects move, all of them or one."""
        first = bench.base(version="1.0")
        for name in ("projectA", "projectB"):
            bench.project(first, name=name)
        major = bench.base(bump=Bump.MAJOR)
        assert not bench.cellar.plan("vit/vit-l")
        bench.cellar.approve(major, project="projectA", why="tested")
        assert [one.model.project for one in bench.cellar.plan("vit/vit-l").rebuilds] == ["projectA"]
        bench.cellar.approve(major)
        assert len(bench.cellar.plan("vit/vit-l").rebuilds) == 2

    @settings(max_examples=20)
    @given(st.lists(st.sampled_from(["bump", "major", "yank", "unyank", "run"]), max_size=8))
    def test_level_triggered(self, events: list[str]) -> None:
        """Whatever happened, and however seldom somebody looked: running what plans say ends without work."""
        with made_bench() as bench:
            bench.project(bench.base(version="1.0"))
            bench.configure('[rebuild]\non_major = "auto"')
            for event in [*events, "run", "run"]:
                bases = bench.cellar.versions("vit/vit-l/base")
                if event in ("bump", "major"):
                    bench.base(bump="minor" if event == "bump" else "major")
                elif event == "run":
                    for rebuild in bench.cellar.plan("vit/vit-l").rebuilds:
                        bench.cellar.rebuild(rebuild, train, holder="a test")
                elif len(bases) > 1:
                    (bench.cellar.yank if event == "yank" else bench.cellar.unyank)(bases[-1], "a test")
            made = bench.cellar.plan("vit/vit-l")
            assert not made
            [skip] = made.skips
            assert skip.reason is Reason.UP_TO_DATE
            assert skip.current is not None
            assert skip.current.base == skip.base == made.head
