"""Collecting what was abandoned: what is guessed, what is deleted, and that nothing committed ever is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cellar_core import Cellar, Model, Ref, layout
from cellar_core.digest import digest_json
from cellar_core.gc import PATIENCE, NotAbandoned, Sight, abandoned, sights
from cellar_core.line import Line
from cellar_core.names import NoSuchRack
from cellar_core.payload import TEMPORARY, scan
from cellar_core.record import Claim, Parent
from cellar_core.register import Draft, Registrar, Spot, Superseded
from cellar_core.store import Store
from cellar_core.version import Bump
from tests.core.helpers import (
    WAIT,
    Bench,
    Crash,
    Watched,
    caller,
    interleave,
    snapshot,
    threads,
)
from tests.core.helpers import bench as made_bench

RACK = "vit/vit-l"
BASE = Model(f"{RACK}/base")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "disk"])
def cellar(request: pytest.FixtureRequest, bench: Bench, disk: Cellar) -> Cellar:
    """A cellar with base 1.0."""
    found = bench.cellar if request.param == "memory" else disk
    found.register_base(RACK, bench.files("one"), version="1.0")
    return found


def abandon(cellar: Cellar, path: Path, before: tuple[str, str] = ("create", "/records/")) -> Ref:
    """Register a base and die before some request; returns the number that was taken."""
    known = set(cellar.store.find(layout.claims(BASE)))
    with pytest.raises(Crash):
        caller(cellar, Watched(cellar.store, before)).register_base(RACK, path, bump="minor")
    [key] = set(cellar.store.find(layout.claims(BASE))) - known
    ref = layout.parse_claim(key)
    assert ref
    return ref


def files(cellar: Cellar, ref: Ref) -> list[str]:
    """What lies at a number."""
    return sorted(key.removeprefix(layout.payload(ref)) for key in cellar.store.find(layout.payload(ref)))


def looks(cellar: Cellar) -> int:
    """How many looks were written down."""
    return len(list(cellar.store.find(layout.LOOKS)))


def sound(cellar: Cellar) -> None:
    """Each version is whole."""
    for rack in cellar.racks():
        for model in cellar.models(rack):
            for ref in cellar.versions(model):
                cellar.verify(ref)


# The decision

names = st.sampled_from(["a/base/1.0", "a/base/1.1", "a/b/1.0.1"])
holdings = st.dictionaries(names, st.sampled_from(["nothing", "1 file", "2 files"]))
times = st.integers(0, 72).map(lambda hours: NOON + hours * HOUR)
patiences = st.integers(0, 48).map(lambda hours: hours * HOUR)
histories = st.lists(st.tuples(times, holdings), max_size=5)


def fold(history: list[tuple[datetime, dict[str, str]]]) -> dict[str, Sight]:
    """What the last of several looks says."""
    seen: dict[str, Sight] = {}
    for at, holds in history:
        seen = sights(seen, holds, at)
    return seen


class TestDecision:
    """`cellar gc` voids what was abandoned: "two looks with no change between them, 24 h apart by default"."""

    @given(histories, holdings, times, patiences)
    def test_two_looks_with_no_change_between_them(
        self,
        history: list[tuple[datetime, dict[str, str]]],
        holds: dict[str, str],
        now: datetime,
        patience: timedelta,
    ) -> None:
        """The newest look alone decides, and it decides as all of them would."""
        history = sorted(history, key=lambda look: look[0])
        assume(not history or history[-1][0] <= now)

        def is_abandoned(name: str) -> bool:
            for index, (at, _) in enumerate(history):
                if now - at >= patience and all(then.get(name) == holds[name] for _, then in history[index:]):
                    return True
            return False

        assert abandoned(fold(history), holds, now, patience) == {
            name for name in holds if is_abandoned(name)
        }

    @given(holdings, times, patiences)
    def test_one_look_is_not_enough(self, holds: dict[str, str], now: datetime, patience: timedelta) -> None:
        """What no look has seen before is never abandoned, however small the patience."""
        assert not abandoned({}, holds, now, patience)

    @given(histories, holdings, st.tuples(times, times), st.tuples(patiences, patiences))
    def test_patience_and_time(
        self,
        history: list[tuple[datetime, dict[str, str]]],
        holds: dict[str, str],
        moments: tuple[datetime, datetime],
        limits: tuple[timedelta, timedelta],
    ) -> None:
        """What is abandoned is so later too, and for whoever has less patience."""
        seen = fold(history)
        asked = abandoned(seen, holds, min(moments), max(limits))
        assert asked <= abandoned(seen, holds, max(moments), min(limits))

    @given(histories, holdings, times)
    def test_clocks_that_differ(
        self, history: list[tuple[datetime, dict[str, str]]], holds: dict[str, str], now: datetime
    ) -> None:
        """Machines whose clocks differ look in any order; a look from the future does not put anything off for ever."""
        seen = sights(fold(history), holds, now)
        assert seen.keys() == holds.keys()
        assert all(sight.holds == holds[name] and sight.since <= now for name, sight in seen.items())
        assert abandoned(seen, holds, now + PATIENCE, PATIENCE) == holds.keys()


# A run


class TestAbandoned:
    """What somebody took and gave up."""

    def test_waits_and_then_voids(self, cellar: Cellar, bench: Bench) -> None:
        """The first run looks, those that come too early wait, the one after a day voids and frees."""
        ref = abandon(cellar, bench.files("half", notes__txt="x"))
        [waiting] = cellar.gc(now=NOON).waiting
        assert (waiting.ref, waiting.since, waiting.due) == (ref, NOON, NOON + PATIENCE)
        assert not cellar.gc(now=NOON + PATIENCE - HOUR / 60).voided
        assert files(cellar, ref) == ["model.bin", "notes.txt"]
        done = cellar.gc(now=NOON + PATIENCE)
        assert (done.voided, done.waiting, done.freed) == ((ref,), (), len("half") + 1)
        assert files(cellar, ref) == []
        assert not cellar.exists(ref)
        assert str(cellar.register_base(RACK, bench.files("next"), bump="minor").ref) == f"{BASE}/1.2"
        sound(cellar)

    def test_says_who_took_it(self, cellar: Cellar, bench: Bench) -> None:
        """Whom to ask before voiding by hand."""
        ref = abandon(cellar, bench.files("half"))
        key = layout.claim(ref)
        claim = Claim.from_bytes(cellar.store.read(key) or b"", key)
        [waiting] = cellar.gc(now=NOON).waiting
        assert (waiting.by, waiting.taken) == (claim.by, claim.at)

    def test_whatever_was_sent(self, cellar: Cellar, bench: Bench) -> None:
        """A caller who died before it sent anything has given up too."""
        ref = abandon(cellar, bench.files("half"), ("put", ""))
        cellar.gc(now=NOON)
        done = cellar.gc(now=NOON + PATIENCE)
        assert (done.voided, done.freed) == ((ref,), 0)

    def test_what_moves_is_not_abandoned(self, cellar: Cellar, bench: Bench) -> None:
        """A file that arrived between two looks starts the wait anew."""
        path = bench.files("half", notes__txt="x")
        ref = abandon(cellar, path, ("put", ""))
        cellar.gc(now=NOON)
        payload = scan(path)
        cellar.store.upload(path / "model.bin", f"{ref}/model.bin", payload.files[0], lambda count: None)
        [waiting] = cellar.gc(now=NOON + PATIENCE).waiting
        assert waiting.since == NOON + PATIENCE
        assert cellar.gc(now=NOON + 2 * PATIENCE).voided == (ref,)

    def test_skipped_numbers_wait_for_nobody(self, cellar: Cellar, bench: Bench) -> None:
        """Numbers that version= passed over are left as they are."""
        cellar.register_base(RACK, bench.files("two"), version="1.3")
        before = snapshot(cellar)
        assert cellar.gc(now=NOON).waiting == ()
        assert cellar.gc(now=NOON + PATIENCE).voided == ()
        assert snapshot(cellar) == before

    def test_one_rack(self, cellar: Cellar, bench: Bench) -> None:
        """A run for one rack leaves what waits elsewhere, and how long it has waited."""
        ref = abandon(cellar, bench.files("half"))
        other = cellar.register_base("resnet", bench.files("other"), version="1.0").ref.model
        with pytest.raises(Crash):
            caller(cellar, Watched(cellar.store, ("create", "/records/"))).register_base(
                "resnet", bench.files("half"), bump="minor"
            )
        cellar.gc(now=NOON)
        assert cellar.gc(RACK, now=NOON + PATIENCE).voided == (ref,)
        abandon(cellar, bench.files("another half"))
        assert [one.ref.model for one in cellar.gc(RACK, now=NOON + PATIENCE).waiting] == [BASE]
        assert cellar.gc(now=NOON + PATIENCE).voided == (other.at("1.1"),)
        with pytest.raises(NoSuchRack, match="vit/vit-m"):
            cellar.gc("vit/vit-m", now=NOON)

    def test_the_log_grows_only_when_something_changed(self, cellar: Cellar, bench: Bench) -> None:
        """Nothing open: nothing is written. Nothing changed: neither."""
        for _ in range(3):
            cellar.gc(now=NOON)
        assert looks(cellar) == 0
        abandon(cellar, bench.files("half"))
        for hours in range(24):
            cellar.gc(now=NOON + hours * HOUR)
        assert looks(cellar) == 1
        for hours in range(24, 30):
            cellar.gc(now=NOON + hours * HOUR)
        assert looks(cellar) == 1

    def test_two_at_once(self, cellar: Cellar, bench: Bench) -> None:
        """Several runs at the same moment do what one does."""
        ref = abandon(cellar, bench.files("half"))
        threads(4, lambda index: caller(cellar).gc(now=NOON))
        assert 1 <= looks(cellar) <= 4  # more than one where a run has seen another's look half-written
        done = threads(4, lambda index: caller(cellar).gc(now=NOON + PATIENCE))
        assert {one for run in done for one in (*run.voided, *run.emptied)} == {ref}
        assert files(cellar, ref) == []

    def test_dry_run(self, cellar: Cellar, bench: Bench) -> None:
        """It tells what a run would do, and does nothing."""
        ref = abandon(cellar, bench.files("half"))
        before = snapshot(cellar)
        cellar.gc(now=NOON, dry_run=True)
        assert snapshot(cellar) == before
        cellar.gc(now=NOON)
        before = snapshot(cellar)
        told = cellar.gc(now=NOON + PATIENCE, dry_run=True)
        assert told.voided == (ref,)
        assert snapshot(cellar) == before
        assert cellar.gc(now=NOON + PATIENCE) == told.model_copy(update={"dry_run": False})

    @pytest.mark.parametrize("versions", [3, 30])
    def test_requests(self, bench: Bench, versions: int) -> None:
        """However many versions there are: a listing of claims, of records, and of looks."""
        for index in range(versions):
            bench.base(str(index))
        watched = Watched(bench.cellar.store)
        caller(bench.cellar, watched).gc(now=NOON)
        prefixes = [layout.FORMAT, layout.claims(None), layout.records(None), layout.LOOKS]
        assert [prefix for method, prefix in watched.asked if method == "find"] == prefixes
        assert len(watched.asked) == len(prefixes) + 1  # the format


class TestNeverAVersion:
    """It never touches a committed version."""

    def test_a_commit_that_is_faster(self, cellar: Cellar, bench: Bench) -> None:
        """V7: committed after gc looked and before it voids: the record is read back, and stays, with its files."""
        path = bench.files("half")
        ref = abandon(cellar, path)
        cellar.gc(now=NOON)
        late = Watched(
            cellar.store,
            ("create", layout.record(ref)),
            lambda: caller(cellar).register_base(RACK, path, bump="minor"),
        )
        done = caller(cellar, late).gc(now=NOON + PATIENCE)
        assert (done.committed, done.voided, done.freed) == ((ref,), (), 0)
        cellar.verify(ref)

    def test_at_each_request(self) -> None:
        """The same at each request of gc; whichever comes first, the content ends as a whole version."""
        ends = set()
        for at in range(1, 40):
            with made_bench() as bench:
                bench.base("one", version="1.0")
                path = bench.files("half")
                abandon(bench.cellar, path)
                bench.cellar.gc(now=NOON)

                def finish(bench: Bench = bench, path: Path = path) -> None:
                    caller(bench.cellar).register_base(RACK, path, bump="minor")

                watched = Watched(bench.cellar.store, at, finish)
                caller(bench.cellar, watched).gc(now=NOON + PATIENCE)
                done = len(watched.asked) < at
                finish()
                [version] = bench.cellar.versions(BASE)[1:]
                ends.add(str(version.version))
                sound(bench.cellar)
                if done:
                    break
        else:
            pytest.fail("gc asks for more than was expected")
        assert ends == {"1.1", "1.2"}

    @pytest.mark.parametrize("length", [0, 10, 64, 65, 255])
    def test_a_record_that_was_cut_short(self, cellar: Cellar, bench: Bench, length: int) -> None:
        """Damage is told, and never taken for a tombstone, whatever its size says."""
        ref = cellar.versions(BASE)[0]
        key = layout.record(ref)
        data = (cellar.store.read(key) or b"")[:length]
        cellar.store.delete(key)
        cellar.store.create(key, data)
        done = cellar.gc(now=NOON)
        assert (done.emptied, done.freed) == ((), 0)
        assert files(cellar, ref) == ["model.bin"]
        assert all(key in problem for problem in done.problems)
        assert len(done.problems) == (length <= 64)  # one that is longer is not looked at
        with pytest.raises(Exception, match=f"{key}.*backup"):
            cellar.gc(now=NOON, void=[ref])

    def test_a_claim_that_cannot_be_read(self, cellar: Cellar, bench: Bench) -> None:
        """Damage of one number is told, and the others are taken care of."""
        ref, broken = abandon(cellar, bench.files("half")), BASE.at("1.2")
        cellar.store.create(layout.claim(broken), b"{}")
        cellar.gc(now=NOON)
        done = cellar.gc(now=NOON + PATIENCE)
        assert done.voided == (ref,)
        assert [layout.claim(broken) in problem for problem in done.problems] == [True]

    @settings(max_examples=30)
    @given(st.data())
    def test_any_schedule(self, data: st.DataObject) -> None:
        """Two who register, and two who void whatever is open, in any order of their requests."""
        with made_bench() as bench:
            bench.base("one", version="1.0")
            paths = [bench.files(content) for content in ("A", "B")]

            def register(path: Path) -> Callable[[Store], str]:
                return lambda store: str(
                    caller(bench.cellar, store).register_base(RACK, path, bump="minor").ref
                )

            def collect(store: Store) -> str:
                other = caller(bench.cellar, store)
                return str([other.gc(patience=timedelta(0), now=NOON) for _ in range(2)])

            answers = interleave(
                bench.cellar.store,
                lambda count: data.draw(st.integers(0, count - 1)),
                *(register(paths[0]), register(paths[1]), collect, collect),
            )
            versions = {
                str(ref): bench.cellar.store.read(f"{ref}/model.bin") for ref in bench.cellar.versions(BASE)
            }
            assert versions[str(answers[0])] == b"A"
            assert versions[str(answers[1])] == b"B"
            assert len(versions) == 3
            sound(bench.cellar)


class TestLeftovers:
    """Bytes that belong to no version."""

    def test_gc_dies_at_each_request(self) -> None:
        """Whenever a run dies, the next one frees the rest."""
        for at in range(1, 40):
            with made_bench() as bench:
                bench.base("one", version="1.0")
                ref = abandon(bench.cellar, bench.files("half", notes__txt="x"))
                bench.cellar.gc(now=NOON)
                dying = Watched(bench.cellar.store, at)
                try:
                    caller(bench.cellar, dying).gc(now=NOON + PATIENCE)
                except Crash:
                    done = bench.cellar.gc(now=NOON + PATIENCE)
                    assert not done.waiting
                    assert files(bench.cellar, ref) == []
                    sound(bench.cellar)
                else:
                    break
        else:
            pytest.fail("gc asks for more than was expected")
        assert at > 10

    def test_a_late_upload(self, cellar: Cellar, bench: Bench) -> None:
        """What arrives at a void number is freed by the next run, at once."""
        path = bench.files("late")
        ref = abandon(cellar, path)
        cellar.gc(now=NOON, void=[ref])
        cellar.store.upload(path / "model.bin", f"{ref}/model.bin", scan(path).files[0], lambda count: None)
        done = cellar.gc(now=NOON)
        assert (done.voided, done.emptied, done.freed) == ((), (ref,), 4)
        assert files(cellar, ref) == []

    def test_half_written_files(self, disk: Cellar, bench: Bench, tmp_path: Path) -> None:
        """Wherever they lie, they are deleted once two looks have seen them unchanged; nothing younger is."""
        ref = disk.register_base(RACK, bench.files("one"), version="1.0").ref
        root = tmp_path / "cellar"
        places = [root / str(ref), root / ".cellar/records/vit/vit-l/base", root / RACK]
        old = [place / f"{TEMPORARY}old" for place in places]
        for path in old:
            path.write_bytes(b"12345")
        grows = root / RACK / f"{TEMPORARY}grows"
        grows.write_bytes(b"1")
        disk.gc(now=NOON)
        grows.write_bytes(b"12")
        young = root / RACK / f"{TEMPORARY}young"
        young.write_bytes(b"1")
        done = disk.gc(now=NOON + PATIENCE)
        assert {root / name for name in done.discarded} == set(old)
        assert done.freed == 15
        assert [path.exists() for path in (*old, grows, young)] == [False, False, False, True, True]
        assert len(disk.gc(now=NOON + 2 * PATIENCE).discarded) == 2
        sound(disk)

    def test_half_written_files_of_a_voided_number(self, disk: Cellar, bench: Bench, tmp_path: Path) -> None:
        """They go with it, however young."""
        disk.register_base(RACK, bench.files("one"), version="1.0")
        ref = abandon(disk, bench.files("half"))
        partial = tmp_path / "cellar" / str(ref) / f"{TEMPORARY}x"
        partial.write_bytes(b"123")
        assert disk.gc(now=NOON, void=[ref]).freed == 7
        assert not partial.parent.exists()
        partial.parent.mkdir()
        partial.write_bytes(b"123")  # a zombie's
        assert disk.gc(now=NOON).emptied == (ref,)
        assert not partial.parent.exists()


class TestByHand:
    """``--now REF`` by a person."""

    def test_at_once(self, cellar: Cellar, bench: Bench) -> None:
        """Several numbers may be named; what else waits goes on waiting."""
        refs = [abandon(cellar, bench.files(content)) for content in ("one half", "other half", "third half")]
        done = cellar.gc(now=NOON, void=refs[:2])
        assert done.voided == tuple(refs[:2])
        assert [one.ref for one in done.waiting] == refs[2:]

    def test_a_dead_major_bump(self, cellar: Cellar, bench: Bench) -> None:
        """A dead 2.0 blocks until it is voided, as its error says; then the line begins at 2.1."""
        with pytest.raises(Crash):
            caller(cellar, Watched(cellar.store, ("create", "/records/"))).register_base(
                RACK, bench.files("half"), bump="major"
            )
        with pytest.raises(Exception, match=r"cellar gc --now vit/vit-l/base/2\.0"):
            cellar.register_base(RACK, bench.files("two"), bump="major")
        cellar.gc(void=["vit/vit-l/base/2.0"])
        assert str(cellar.register_base(RACK, bench.files("two"), bump="major").ref) == "vit/vit-l/base/2.1"

    def test_void_already(self, cellar: Cellar, bench: Bench) -> None:
        """It says so, and frees what lies there."""
        ref = abandon(cellar, bench.files("half"))
        assert Registrar(cellar.store).void(ref) is None
        done = cellar.gc(now=NOON, void=[ref])
        assert (done.voided, done.emptied, done.freed) == ((), (ref,), 4)
        assert cellar.gc(now=NOON, void=[ref]).emptied == (ref,)

    @pytest.mark.parametrize(
        ("ref", "told"),
        [
            (f"{BASE}/1.0", r"is a version, and no version is ever voided; yank it"),
            (f"{BASE}/1.1", r"was passed over by an exact version="),
            (f"{BASE}/1.7", r"nobody took .*/1\.7; taken of vit/vit-l/base: 1\.0, 1\.1, 1\.2, 1\.3"),
        ],
    )
    def test_refused(self, cellar: Cellar, bench: Bench, ref: str, told: str) -> None:
        """What is no abandoned number is refused, and nothing is done for the others either."""
        cellar.register_base(RACK, bench.files("two"), version="1.2")
        half = abandon(cellar, bench.files("half"))
        before = snapshot(cellar)
        with pytest.raises(NotAbandoned, match=told):
            cellar.gc(void=[half, ref])
        assert snapshot(cellar) == before


# An upload that is voided while it lives


def draft(path: Path) -> Draft:
    """What registering a base makes of a directory."""
    return Draft(BASE, scan(path), bump=Bump.MINOR)


def spot() -> Spot:
    """The line of 1.0."""
    return Spot(Line(BASE, (1,)))


class TestLiving:
    """It fails cleanly, and starts again at a new number."""

    @pytest.mark.parametrize(
        "before",
        [("put", "model.bin"), ("put", "notes.txt"), ("create", "/records/"), ("find", f"{BASE}/1.1/")],
        ids=["first file", "last file", "commit", "look"],
    )
    def test_between_two_requests(self, cellar: Cellar, bench: Bench, before: tuple[str, str]) -> None:
        """Voided before any request: the content ends whole, under the next number."""
        path = bench.files("alive", notes__txt="x")
        ref = BASE.at("1.1")

        def void() -> None:
            if cellar.store.read(layout.claim(ref)):
                assert cellar.gc(void=[ref]).voided == (ref,)

        living = caller(cellar, Watched(cellar.store, before, void))
        done = living.register_base(RACK, path, bump="minor")
        assert str(done.ref.version) == ("1.1" if before[0] == "find" else "1.2")
        cellar.gc()
        sound(cellar)
        assert not cellar.exists(ref) or files(cellar, ref)

    def test_in_the_middle_of_a_file(self, cellar: Cellar, bench: Bench) -> None:
        """Voided while a file is half sent, by a run in the same process."""
        path = bench.files("alive")
        with (path / "large.bin").open("wb") as file:
            file.truncate(20 * 2**20)
        turn = count()
        voided: list[Ref] = []

        def on_bytes(sent: int) -> None:
            if sent and next(turn) == 0:
                voided.extend(cellar.gc(void=[BASE.at("1.1")]).voided)

        record, created = Registrar(cellar.store).register(draft(path), spot, on_bytes)
        assert (voided, str(record.ref.version), created) == ([BASE.at("1.1")], "1.2", True)
        cellar.gc()
        assert files(cellar, BASE.at("1.1")) == []
        assert not [*cellar.store.partials("")]
        sound(cellar)

    def test_of_another_process(self, disk: Cellar, bench: Bench) -> None:
        """A process is stopped with half a file sent, is voided, and goes on."""
        disk.register_base(RACK, bench.files("one"), version="1.0")
        path = bench.files("alive")
        with (path / "large.bin").open("wb") as file:
            file.truncate(20 * 2**20)
        receiving, sending = multiprocessing.Pipe(duplex=False)
        turn = count()

        def stop(sent: int) -> None:
            if sent and next(turn) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)

        def act() -> None:
            record, created = Registrar(disk.store).register(draft(path), spot, stop)
            sending.send((str(record.ref), created))

        process = multiprocessing.get_context("fork").Process(target=act, daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads, which have ended
            process.start()
        assert process.pid
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            ref = BASE.at("1.1")
            assert [*disk.store.partials(layout.payload(ref))]
            done = disk.gc(now=NOON, void=[ref])
            assert done.voided == (ref,)
            assert not [*disk.store.partials("")]
            os.kill(process.pid, signal.SIGCONT)
            assert receiving.poll(WAIT)
            assert receiving.recv() == (f"{BASE}/1.2", True)
            process.join(WAIT)
        finally:
            process.kill()
        disk.gc(now=NOON)
        assert files(disk, ref) == []
        sound(disk)

    def test_of_a_rebuild(self, bench: Bench) -> None:
        """A run of a rebuild gives up instead: two finishers would void each other for ever."""
        base = bench.cellar.resolve(bench.base("one", version="1.0"))
        project = Model(f"{RACK}/projectA")
        tried = Draft(
            project,
            scan(bench.files("tuned")),
            parent=Parent(ref=base.ref, tree=base.tree),
            request=digest_json("a request"),
        )
        ref = project.at("1.0.1")
        store = Watched(bench.cellar.store, ("put", ""), lambda: bench.cellar.gc(void=[ref]))
        with pytest.raises(Superseded, match=f"{ref} was voided"):
            Registrar(store).register(tried, lambda: Spot(Line(project, (1, 0))))
        assert files(bench.cellar, ref) == ["model.bin"]  # what was sent after gc looked
        assert bench.cellar.gc().emptied == (ref,)
