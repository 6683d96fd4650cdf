"""The register protocol: one content is one version, one number has one content, whoever races, dies or comes late.

``notes/protocol.md`` names the traces that break a registry V1-V12, R1-R6, H1 and H2; so do these tests.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellar_core import Bump, Cellar, CellarError, Record, Registered, layout
from cellar_core.bump import spot
from cellar_core.digest import digest_json
from cellar_core.fetch import PayloadCorrupt, PayloadMissing
from cellar_core.line import Line
from cellar_core.lookup import Yanked
from cellar_core.payload import SourceChanged, scan
from cellar_core.record import SKIPPED, TOMBSTONE_MOST, Claim, Parent
from cellar_core.ref import Model, Ref
from cellar_core.register import BumpConflict, Draft, ForeignFiles, Registrar, Spot, Superseded, VersionTaken
from cellar_core.store import Store, open_store
from cellar_core.version import BaseVersion
from tests.core.helpers import (
    WAIT,
    Bench,
    Crash,
    Watched,
    blank,
    caller,
    interleave,
    processes,
    snapshot,
    threads,
    train,
    write,
)
from tests.core.helpers import bench as made_bench

BASE = Model("vit/vit-l/base")
PROJECT = Model("vit/vit-l/projectA")


def numbers(cellar: Cellar, model: Model | str = BASE) -> list[str]:
    """The versions of a model."""
    return [str(ref.version) for ref in cellar.versions(model)]


def sound(cellar: Cellar) -> None:
    """Every version of the cellar is whole, and no identity has two of them."""
    for rack in cellar.racks():
        for model in cellar.models(rack):
            records = cellar.records(model)
            for record in records:
                cellar.verify(record.ref)
            assert max(Counter(record.identity for record in records).values()) == 1


def content(cellar: Cellar, ref: Ref | str) -> str:
    """What the ``model.bin`` of a version holds."""
    return (cellar.store.read(f"{ref}/model.bin") or b"").decode()


class TestNumbers:
    """One number, one winner."""

    def test_threads(self, bench: Bench, disk: Cellar) -> None:
        """N threads with N contents get N consecutive versions, each with its own content."""
        for cellar in (bench.cellar, disk):
            paths = [bench.files(str(index)) for index in range(6)]
            done = threads(
                6,
                lambda index, cellar=cellar, paths=paths: caller(cellar).register_base(  # type: ignore[misc]
                    "vit/vit-l", paths[index], bump="minor"
                ),
            )
            assert numbers(cellar) == [f"0.{number}" for number in range(1, 7)]
            assert all(
                one.created and content(cellar, one.ref) == str(index) for index, one in enumerate(done)
            )
            assert sum(bool(one.notices) for one in done) == 1  # of those who made the rack at once, one did
            sound(cellar)

    def test_processes(self, bench: Bench, disk: Cellar) -> None:
        """N processes with N contents get N consecutive versions, each with its own content."""
        base = disk.register_base("vit/vit-l", bench.files(), version="1.2").ref
        paths = [bench.files(str(index)) for index in range(6)]
        refs = processes(6, lambda index: str(disk.register_project(PROJECT, paths[index], base=base).ref))
        assert numbers(disk, PROJECT) == [f"1.2.{number}" for number in range(1, 7)]
        assert [content(disk, ref) for ref in refs] == [str(index) for index in range(6)]
        sound(disk)

    def test_same_content_by_threads(self, bench: Bench, disk: Cellar) -> None:
        """The same content registered by all becomes one version, returned to all; one of them made it."""
        for cellar in (bench.cellar, disk):
            path = bench.files()
            done = threads(
                6,
                lambda index, cellar=cellar, path=path: caller(cellar).register_base(  # type: ignore[misc]
                    "vit/vit-l", path, bump="minor"
                ),
            )
            assert numbers(cellar) == ["0.1"]
            assert {str(one.ref) for one in done} == {"vit/vit-l/base/0.1"}
            assert [one.created for one in done].count(True) == 1
            sound(cellar)

    def test_same_content_by_processes(self, bench: Bench, disk: Cellar) -> None:
        """The same, by processes, two contents three times each."""
        base = disk.register_base("vit/vit-l", bench.files(), version="1.2").ref
        paths = [bench.files("one"), bench.files("two")]

        def act(index: int) -> tuple[str, bool]:
            done = disk.register_project(PROJECT, paths[index % 2], base=base)
            return str(done.ref), done.created

        answers = processes(6, act)
        assert sorted(numbers(disk, PROJECT)) == ["1.2.1", "1.2.2"]
        for first in (0, 1):
            assert len({ref for ref, _ in answers[first::2]}) == 1
            assert [created for _, created in answers[first::2]].count(True) == 1
        sound(disk)

    def test_lines_do_not_disturb_each_other(self, bench: Bench) -> None:
        """Projects, and the lines of one project, count by themselves; 1.2 is no prefix of 1.20."""
        bases = [bench.base(version=version) for version in ("1.2", "1.20")]
        made = [bench.project(base, name=name) for name in ("projectA", "projectB") for base in bases * 2]
        assert made == [
            f"vit/vit-l/{name}/{version}"
            for name in ("projectA", "projectB")
            for version in ("1.2.1", "1.20.1", "1.2.2", "1.20.2")
        ]


class TestIdentity:
    """The same bytes from the same recipe are the same version; new data, parameters or recipe are a new one."""

    def test_again_is_the_same(self, bench: Bench) -> None:
        """A retry returns what its first try made."""
        first = bench.cellar.register_base("vit/vit-l", bench.files(), bump="minor", notes="first")
        again = bench.cellar.register_base("vit/vit-l", bench.files(), bump="minor", notes="second")
        assert (again.ref, again.created, again.record) == (first.ref, False, first.record)
        assert again.notices == ("the same content and recipe were already vit/vit-l/base/0.1",)

    def test_a_b_a(self, bench: Bench) -> None:
        """V4: A, B, A returns the first A: idempotency is not only against the newest."""
        made = [bench.base(content) for content in ("A", "B", "A", "B")]
        assert made == [f"vit/vit-l/base/{version}" for version in ("0.1", "0.2", "0.1", "0.2")]

    def test_of_another_caller(self, bench: Bench) -> None:
        """Whoever comes with nothing cached finds the version too."""
        bench.base("A")
        bench.base("B")
        assert not caller(bench.cellar).register_base("vit/vit-l", bench.files("A"), bump="minor").created

    def test_recipe_is_part_of_it(self, bench: Bench) -> None:
        """The same bytes from another recipe are another version."""
        base = bench.base(version="1.2")
        recipes = [{"seed": 1}, {"seed": 2}, {"seed": 1}, {}, {"seed": 1, "data": ()}]
        made = [bench.project(base, "A", recipe=recipe) for recipe in recipes]
        assert [ref.rpartition(".")[2] for ref in made] == ["1", "2", "1", "3", "1"]

    def test_what_is_told_besides_is_not(self, bench: Bench) -> None:
        """Metrics, notes and the working directory do not make another version; the first's are kept."""
        first = bench.cellar.register_base(
            "vit/vit-l", bench.files(), bump="minor", metrics={"accuracy": 0.9}
        )
        again = bench.cellar.register_base(
            "vit/vit-l", bench.files(), bump="minor", metrics={"accuracy": 0.8}, notes="x"
        )
        assert again.ref == first.ref
        assert bench.cellar.resolve(first.ref).metrics == {"accuracy": 0.9}

    def test_again_gives_a_new_number(self, bench: Bench) -> None:
        """``again`` asks for a new number on purpose; its own retry does not make a third."""
        made = [bench.base("A", again=why) for why in ("", "rehearsal", "rehearsal", "")]
        assert made == [f"vit/vit-l/base/{version}" for version in ("0.1", "0.2", "0.2", "0.1")]

    def test_names_and_places_count(self, bench: Bench, tmp_path: Path) -> None:
        """The tree is paths and bytes: times and modes do not count, a renamed file does."""
        first, same, other = (write(tmp_path / name, a="1", b="2") for name in ("first", "same", "other"))
        os.utime(same / "a", (1, 1))
        (same / "b").chmod(0o755)
        (other / "b").rename(other / "c")
        trees = [scan(path).tree for path in (first, same, other)]
        assert trees[0] == trees[1] != trees[2]

    def test_on_another_base_it_is_another(self, bench: Bench) -> None:
        """A project's same bytes from another base are another version."""
        for base in (bench.base(version="1.2"), bench.base(version="1.3")):
            assert bench.project(base, "A") == base.replace("base", "projectA") + ".1"

    def test_yanked_match_is_refused(self, bench: Bench) -> None:
        """A match that is yanked is refused, never returned in silence."""
        ref = bench.base("A")
        bench.cellar.yank(ref, "bad labels")
        with pytest.raises(
            Yanked, match=r"vit/vit-l/base/0\.1 was yanked; .*give again= to number it once more"
        ):
            bench.base("A")
        assert bench.base("A", again="labels were right") == "vit/vit-l/base/0.2"
        bench.cellar.unyank(ref, "they were right")
        assert bench.base("A") == ref

    def test_other_kind_of_bump_is_refused(self, bench: Bench) -> None:
        """A match that was registered as another kind of bump is refused, on whatever line it is."""
        bench.base("A", bump="major")
        bench.base("B", bump="major")
        with pytest.raises(BumpConflict, match=r"already vit/vit-l/base/1\.0, a major bump; give again="):
            bench.base("A", bump="minor")
        assert bench.base("A", bump="major") == "vit/vit-l/base/1.0"
        assert numbers(bench.cellar) == ["1.0", "2.0"]


class TestExact:
    """``version=``: this number and no other."""

    def claims(self, cellar: Cellar, model: Model = BASE) -> dict[str, str]:
        """Who has which number: the identity in each claim, or ``skipped``."""
        found = {}
        for key in cellar.store.find(layout.claims(model)):
            claim = Claim.from_bytes(cellar.store.read(key) or b"", key)
            found[key.removeprefix(layout.claims(model)).removesuffix(".json")] = claim.identity
        return found

    def test_passes_over_lower_numbers(self, bench: Bench) -> None:
        """The free numbers below are taken as skipped, so that no later walk ever fills them."""
        bench.base("A", version="1.3")
        claims = self.claims(bench.cellar)
        assert {version for version, identity in claims.items() if identity == SKIPPED} == {
            "1.0",
            "1.1",
            "1.2",
        }
        assert bench.base("B") == "vit/vit-l/base/1.4"
        for version in ("1.0", "1.2"):
            with pytest.raises(VersionTaken, match="is taken by other content"):
                bench.base("C", version=version)
        assert numbers(bench.cellar) == ["1.3", "1.4"]

    def test_same_content_is_returned(self, bench: Bench) -> None:
        """H1: content that got an exact number is found by a twin, and by a caller who gives no number."""
        ref = bench.base("A", version="1.3")
        assert bench.base("A", version="1.3") == ref
        assert bench.base("A", bump="minor") == ref
        assert numbers(bench.cellar) == ["1.3"]

    def test_content_has_another_number(self, bench: Bench) -> None:
        """H1: content that has a lower number does not get a second one."""
        ref = bench.base("A", bump="major")
        with pytest.raises(VersionTaken, match=f"this content is already {ref}; give again= .* as 1.5"):
            bench.base("A", version="1.5")
        assert self.claims(bench.cellar).keys() == {"1.0"}
        assert bench.base("A", version="1.5", again="on purpose") == "vit/vit-l/base/1.5"

    def test_taken(self, bench: Bench) -> None:
        """Another's number is refused, and says by whom it is taken."""
        bench.base("A", version="1.3")
        with pytest.raises(VersionTaken, match=r"vit/vit-l/base/1\.3 is taken by other content \(by .+@.+\)"):
            bench.base("B", version="1.3")

    def test_of_a_project(self, bench: Bench) -> None:
        """A project's exact version takes the lower updates of its base."""
        base = bench.base(version="1.2")
        assert bench.project(base, "A", version="1.2.3") == "vit/vit-l/projectA/1.2.3"
        assert set(self.claims(bench.cellar, PROJECT)) == {"1.2.1", "1.2.2", "1.2.3"}
        assert bench.project(base, "B") == "vit/vit-l/projectA/1.2.4"

    def test_voided(self, bench: Bench) -> None:
        """A number that was voided is never given again."""
        Registrar(bench.cellar.store).void(Ref("vit/vit-l/base/1.0"))
        with pytest.raises(VersionTaken, match="was voided"):
            bench.base("A", version="1.0")

    @pytest.mark.parametrize("version", ["1.1001", "0.0"])
    def test_out_of_reach(self, bench: Bench, version: str) -> None:
        """A number too far ahead, and 0.0, which no walk begins at, are refused before any number is taken."""
        bench.cellar.create_rack("vit/vit-l")
        before = snapshot(bench.cellar)
        with pytest.raises(VersionTaken, match=f"vit/vit-l/base/{version} "):
            bench.base("A", version=version)
        assert snapshot(bench.cellar) == before

    def test_as_far_as_it_goes(self, bench: Bench) -> None:
        """A thousand numbers may be passed over."""
        assert bench.base("A", version="1.1000") == "vit/vit-l/base/1.1000"
        assert len(self.claims(bench.cellar)) == 1001


def base_draft(path: Path, bump: Bump) -> Draft:
    """What register_base makes of a directory."""
    return Draft(BASE, scan(path), bump=bump)


class TestBumps:
    """Two people bump."""

    def seen(self, bench: Bench, bump: Bump, after: str | None = None) -> Callable[[], Spot]:
        """Where a bump goes that looks now, and writes later."""
        versions = [BaseVersion(text) for text in numbers(bench.cellar)]
        where = spot(BASE, versions, bump, BaseVersion(after) if after else None)
        return lambda: where

    def test_two_minor_bumps(self, bench: Bench) -> None:
        """Of two concurrent minor bumps both succeed: the second is one higher."""
        bench.base(version="1.0")
        late = self.seen(bench, Bump.MINOR)
        assert bench.base() == "vit/vit-l/base/1.1"
        record, _ = Registrar(bench.cellar.store).register(base_draft(bench.files("late"), Bump.MINOR), late)
        assert str(record.ref) == "vit/vit-l/base/1.2"
        assert str(record.after) == "vit/vit-l/base/1.0"  # what its author had seen

    def test_minor_stays_on_its_x(self, bench: Bench) -> None:
        """A minor bump stays on the X it was asked on, though 2.0 was released a moment earlier."""
        bench.base(version="1.0")
        late = self.seen(bench, Bump.MINOR)
        assert bench.base(bump="major") == "vit/vit-l/base/2.0"
        record, _ = Registrar(bench.cellar.store).register(base_draft(bench.files("late"), Bump.MINOR), late)
        assert str(record.ref) == "vit/vit-l/base/1.1"

    def test_two_major_bumps(self, bench: Bench) -> None:
        """Of two concurrent major bumps one is refused: two contracts are not to be numbered by a race."""
        bench.base(version="1.0")
        late = self.seen(bench, Bump.MAJOR)
        assert bench.base(bump="major") == "vit/vit-l/base/2.0"
        with pytest.raises(
            BumpConflict, match=r"vit/vit-l/base/2\.0 was taken meanwhile \(by .+\): look at it, then"
        ) as caught:
            Registrar(bench.cellar.store).register(base_draft(bench.files("late"), Bump.MAJOR), late)
        assert not caught.value.retryable
        assert numbers(bench.cellar) == ["1.0", "2.0"]

    def test_same_major_bump_twice(self, bench: Bench) -> None:
        """Two concurrent major bumps with the same content are one."""
        bench.base(version="1.0")
        late = self.seen(bench, Bump.MAJOR)
        ref = bench.base("A", bump="major")
        record, created = Registrar(bench.cellar.store).register(
            base_draft(bench.files("A"), Bump.MAJOR), late
        )
        assert (str(record.ref), created) == (ref, False)

    def test_dead_major_blocks_until_it_is_voided(self, bench: Bench) -> None:
        """A dead 2.0 blocks other major bumps; once it is voided the line begins at 2.1."""
        bench.base(version="1.0")
        dead = base_draft(bench.files("dead"), Bump.MAJOR)
        store = bench.cellar.store
        store.create(
            layout.claim(Ref("vit/vit-l/base/2.0")), Claim(identity=dead.identity, bump=Bump.MAJOR).to_bytes()
        )
        with pytest.raises(BumpConflict):
            bench.base("B", bump="major")
        assert Registrar(store).void(Ref("vit/vit-l/base/2.0")) is None
        assert bench.base("B", bump="major") == "vit/vit-l/base/2.1"
        assert bench.base("C") == "vit/vit-l/base/2.2"
        assert bench.base("dead", bump="major") == "vit/vit-l/base/3.0"  # its number is gone: it bumps anew

    def test_after(self, bench: Bench) -> None:
        """``after`` is a compare-and-set on the newest of its line, and the bump is on that line."""
        for version in ("1.4", "2.0"):
            bench.base(version=version)
        assert bench.base(after="1.4") == "vit/vit-l/base/1.5"
        for after, there in (("1.4", "1.4, 1.5"), ("1.9", "1.4, 1.5"), ("3.0", "(none)")):
            with pytest.raises(BumpConflict) as caught:
                bench.base(after=after)
            assert f"{after} is not the newest of its line; there is: {there}. Look, then decide" in str(
                caught.value
            )
        assert bench.base(bump="major", after="2.0") == "vit/vit-l/base/3.0"

    def test_after_in_a_race(self, bench: Bench) -> None:
        """Of two who bump after the same version one is refused, though both saw it as the newest."""
        bench.base(version="1.4")
        late = self.seen(bench, Bump.MINOR, after="1.4")
        bench.base(after="1.4")
        with pytest.raises(BumpConflict, match=r"1\.5 was taken meanwhile"):
            Registrar(bench.cellar.store).register(base_draft(bench.files("late"), Bump.MINOR), late)

    def test_after_is_idempotent(self, bench: Bench) -> None:
        """A retry of a bump with ``after`` returns what it made, though that is the newest now."""
        bench.base(version="1.4")
        assert bench.base("A", after="1.4") == bench.base("A", after="1.4") == "vit/vit-l/base/1.5"

    def test_line_is_pinned_by_the_holder(self, bench: Bench) -> None:
        """A retry next morning stays on the line of its first try, though its training gave other bytes."""
        bench.base(version="1.0")
        assert bench.base("first try", holder="airflow:bump:1") == "vit/vit-l/base/1.1"
        bench.base(bump="major")
        assert bench.base("second try", holder="airflow:bump:1") == "vit/vit-l/base/1.2"
        assert bench.base("another run", holder="airflow:bump:2") == "vit/vit-l/base/2.1"

    def test_major_is_not_made_twice_by_its_holder(self, bench: Bench) -> None:
        """A retry of a major bump whose first try had committed does not release 3.0 as well."""
        bench.base(version="1.0")
        assert bench.base("first try", bump="major", holder="airflow:bump:1") == "vit/vit-l/base/2.0"
        with pytest.raises(BumpConflict, match=r"2\.0 was taken meanwhile"):
            bench.base("second try", bump="major", holder="airflow:bump:1")
        assert numbers(bench.cellar) == ["1.0", "2.0"]


# Crashes: the caller dies at each of its requests in turn, and somebody tries again.


def register_first_base(cellar: Cellar, path: Path) -> Registered:
    """Registers the first base of all, which makes its rack too."""
    return cellar.register_base("vit/vit-l", path, bump="minor")


def register_next_project(cellar: Cellar, path: Path) -> Registered:
    """Registers an update of a project."""
    return cellar.register_project(PROJECT, path, base="vit/vit-l/base/1.2")


def register_exactly(cellar: Cellar, path: Path) -> Registered:
    """Registers a base at a number ahead."""
    return cellar.register_base("vit/vit-l", path, version="1.5")


CRASHES = {"first base": register_first_base, "project": register_next_project, "exact": register_exactly}


def prepare(bench: Bench, what: str) -> None:
    """What is there before."""
    if what != "first base":
        base = bench.base(version="1.2")
        bench.project(base)


def request_count(what: str) -> int:
    """How many requests a register makes that nobody disturbs."""
    with made_bench() as bench:
        prepare(bench, what)
        watched = Watched(bench.cellar.store)
        CRASHES[what](caller(bench.cellar, watched), bench.files("A", extra="x"))
        return len(watched.asked)


class TestCrash:
    """All or nothing, at whichever request the caller dies."""

    @pytest.mark.parametrize("what", CRASHES)
    def test_then_the_same_content(self, what: str) -> None:
        """Readers see the version whole or not at all, and the next register of the same content finishes it."""
        act = CRASHES[what]
        for at in range(1, request_count(what) + 1):
            with made_bench() as bench:
                prepare(bench, what)
                before = {
                    ref
                    for rack in bench.cellar.racks()
                    for m in bench.cellar.models(rack)
                    for ref in bench.cellar.versions(m)
                }
                path = bench.files("A", extra="x")
                with pytest.raises(Crash):
                    act(caller(bench.cellar, Watched(bench.cellar.store, at)), path)
                sound(bench.cellar)
                done = act(caller(bench.cellar), path)
                sound(bench.cellar)
                assert content(bench.cellar, done.ref) == "A"
                after = {ref for m in bench.cellar.models("vit/vit-l") for ref in bench.cellar.versions(m)}
                assert after == before | {done.ref}
                expected = {"first base": "base/0.1", "project": "projectA/1.2.2", "exact": "base/1.5"}[what]
                assert str(done.ref) == f"vit/vit-l/{expected}"  # nobody died for good: no number is missing

    @pytest.mark.parametrize("what", ["first base", "project"])
    def test_then_other_content_first(self, what: str) -> None:
        """V4, V8: other content gets another number meanwhile, and the same content still becomes one version."""
        act = CRASHES[what]
        for at in range(1, request_count(what) + 1):
            with made_bench() as bench:
                prepare(bench, what)
                mine, other = bench.files("A", extra="x"), bench.files("B", extra="y")
                with pytest.raises(Crash):
                    act(caller(bench.cellar, Watched(bench.cellar.store, at)), mine)
                theirs = act(caller(bench.cellar), other)
                done = act(caller(bench.cellar), mine)
                sound(bench.cellar)
                assert done.ref != theirs.ref
                assert (content(bench.cellar, done.ref), content(bench.cellar, theirs.ref)) == ("A", "B")
                assert act(caller(bench.cellar), mine).ref == done.ref

    def test_only_missing_files_are_sent_again(self, bench: Bench) -> None:
        """Whoever finishes a dead caller's register sends only the files that are not there yet."""
        path = bench.files("A", one="1", two="2", three="3")
        with pytest.raises(Crash):
            register_first_base(caller(bench.cellar, Watched(bench.cellar.store, ("put", "/two"))), path)
        sent = set(bench.cellar.store.find("vit/vit-l/base/0.1/"))
        finishing = Watched(bench.cellar.store)
        register_first_base(caller(bench.cellar, finishing), path)
        again = {key for method, key in finishing.asked if method == "put"}
        assert "vit/vit-l/base/0.1/two" in again
        assert sent.isdisjoint(again)
        assert sent | again == set(bench.cellar.store.find("vit/vit-l/base/0.1/"))

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 1.0])
    def test_killed_process(self, bench: Bench, disk: Cellar, share: float) -> None:
        """A process that is killed in the middle of a register on disk leaves nothing that is half."""
        path = bench.files("A", extra="x")
        at = round(request_count("first base") * share)
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            killed = Watched(disk.store, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            register_first_base(caller(disk, killed), path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        sound(disk)
        assert str(register_first_base(caller(disk), path).ref) == "vit/vit-l/base/0.1"
        assert numbers(disk) == ["0.1"]
        sound(disk)


class TestInterrupted:
    """Somebody else acts, completely, just before each request of a caller in turn."""

    def each(
        self, what: str, meanwhile: Callable[[Bench], object], check: Callable[[Bench, Registered], None]
    ) -> None:
        for at in range(1, request_count(what) + 1):
            with made_bench() as bench:
                prepare(bench, what)
                interrupted = Watched(bench.cellar.store, at, lambda bench=bench: meanwhile(bench))  # type: ignore[misc]
                done = CRASHES[what](caller(bench.cellar, interrupted), bench.files("A", extra="x"))
                sound(bench.cellar)
                assert content(bench.cellar, done.ref) == "A"
                check(bench, done)

    @pytest.mark.parametrize("what", ["first base", "project"])
    def test_by_a_twin(self, what: str) -> None:
        """V5, V6, V9: the same content registered meanwhile is one version, returned to both."""
        twins: list[Registered] = []

        def meanwhile(bench: Bench) -> None:
            twins.append(CRASHES[what](caller(bench.cellar), bench.files("A", extra="x")))

        def check(bench: Bench, done: Registered) -> None:
            twin = twins.pop()
            assert (twin.ref, twin.record) == (done.ref, done.record)
            assert [twin.created, done.created].count(True) == 1
            assert len(bench.cellar.versions(done.ref.model)) == (1 if what == "first base" else 2)

        self.each(what, meanwhile, check)

    @pytest.mark.parametrize("what", ["first base", "project"])
    def test_by_another(self, what: str) -> None:
        """V1, V3: other content of the same size registered meanwhile gets the other of two consecutive numbers."""
        others: list[Registered] = []

        def meanwhile(bench: Bench) -> None:
            others.append(CRASHES[what](caller(bench.cellar), bench.files("B", extra="y")))

        def check(bench: Bench, done: Registered) -> None:
            other = others.pop()
            assert content(bench.cellar, other.ref) == "B"
            versions = bench.cellar.versions(done.ref.model)[-2:]
            assert set(versions) == {done.ref, other.ref}
            assert Line.of(done.ref).number(versions[1].version) == (2 if what == "first base" else 3)

        self.each(what, meanwhile, check)

    def test_by_an_exact_number(self) -> None:
        """H1: the same content registered meanwhile at an exact number is one version, or one of both is refused."""
        outcomes = Counter[str]()

        def meanwhile(bench: Bench) -> None:
            try:
                bench.cellar.register_project(
                    PROJECT, bench.files("A", extra="x"), base="vit/vit-l/base/1.2", version="1.2.5"
                )
            except VersionTaken:
                outcomes["refused"] += 1

        self.each("project", meanwhile, lambda bench, done: outcomes.update([str(done.ref.version)]))
        assert outcomes["1.2.5"] > 0
        assert outcomes["refused"] == outcomes["1.2.2"] > 0

    def test_by_a_void(self) -> None:
        """V7: a number that is voided while its upload lives costs another number, and never damages anything."""

        def meanwhile(bench: Bench) -> None:
            registrar = Registrar(bench.cellar.store)
            ref = Ref("vit/vit-l/projectA/1.2.2")
            if registrar.void(ref) is None:
                for key in list(bench.cellar.store.find(layout.payload(ref))):
                    bench.cellar.store.delete(key)

        def check(bench: Bench, done: Registered) -> None:
            assert str(done.ref.version) in ("1.2.2", "1.2.3")

        self.each("project", meanwhile, check)

    def test_files_of_a_living_upload_are_not_foreign(self, bench: Bench) -> None:
        """V11: files that appear between the look at the claims and the look at the place are explained."""
        bench.base(version="1.2")
        store = bench.cellar.store

        def meanwhile() -> None:
            living = Watched(store, ("create", "/records/"))
            with pytest.raises(Crash):
                register_next_project(caller(bench.cellar, living), bench.files("A"))

        late = Watched(store, ("find", "vit/vit-l/projectA/1.2.1/"), meanwhile)
        done = register_next_project(caller(bench.cellar, late), bench.files("B"))
        assert str(done.ref) == "vit/vit-l/projectA/1.2.2"


class TestUpload:
    """What is sent is what was scanned."""

    def change(self, bench: Bench, path: Path, text: str) -> Cellar:
        """Somebody whose file changes just before it is sent."""
        changing = Watched(bench.cellar.store, ("put", ""), lambda: (path / "model.bin").write_text(text))
        return caller(bench.cellar, changing)

    @pytest.mark.parametrize("text", ["B", "longer", ""])
    def test_file_changes_between_scan_and_upload(self, bench: Bench, text: str) -> None:
        """V2: a file that changes after the scan is SourceChanged: no version, no bytes, and trying again works."""
        path = bench.files("A")
        with pytest.raises(SourceChanged, match=r"model\.bin changed while it was registered") as caught:
            register_first_base(self.change(bench, path, text), path)
        assert caught.value.retryable
        assert numbers(bench.cellar) == []
        assert not [key for key in bench.cellar.store.find("vit/vit-l/base/") if "/base/" in key]
        done = register_first_base(bench.cellar, path)
        assert content(bench.cellar, done.ref) == text
        assert numbers(bench.cellar) == ["0.2"]  # 0.1 is kept for what was scanned first
        path.joinpath("model.bin").write_text("A")
        assert str(register_first_base(bench.cellar, path).ref) == "vit/vit-l/base/0.1"
        sound(bench.cellar)

    def test_adopter_with_changed_file(self, bench: Bench) -> None:
        """V2: an adopter whose file changes cannot damage a version that is already committed."""
        path = bench.files("A")
        done = register_first_base(bench.cellar, path)
        bench.cellar.store.delete(f"{done.ref}/model.bin")
        with pytest.raises(SourceChanged):
            register_first_base(self.change(bench, path, "B"), path)
        with pytest.raises(PayloadMissing):
            bench.cellar.verify(done.ref)

    @pytest.mark.parametrize("lost", [["model.bin"], ["model.bin", "extra"]])
    def test_healed(self, bench: Bench, lost: list[str]) -> None:
        """A deleted payload leaves its number taken; the same content registered again heals it."""
        ref = register_first_base(bench.cellar, bench.files("A", extra="x")).ref
        for name in lost:
            bench.cellar.store.delete(f"{ref}/{name}")
        with pytest.raises(
            PayloadMissing, match=r"though it was registered; restore it, register the same content again"
        ):
            bench.cellar.verify(ref)
        assert str(register_first_base(bench.cellar, bench.files("B")).ref.version) == "0.2"
        healed = register_first_base(bench.cellar, bench.files("A", extra="x"))
        assert (healed.ref, healed.created) == (ref, False)
        sound(bench.cellar)

    def test_corrupt_payload_is_found(self, bench: Bench) -> None:
        """A payload that somebody wrote over is told by its digest, whatever its size."""
        ref = register_first_base(bench.cellar, bench.files("A")).ref
        store = bench.cellar.store
        store._fs.pipe_file(store._path(f"{ref}/model.bin"), b"B")  # type: ignore[attr-defined]
        with pytest.raises(PayloadCorrupt, match=r"model\.bin is blake3:.* was registered; restore the file"):
            bench.cellar.verify(ref)


class TestForeignFiles:
    """Files that nobody registered are never taken for a version, nor written over."""

    def place(self, cellar: Cellar, key: str, text: str = "theirs") -> None:
        store = cellar.store
        store._fs.pipe_file(store._path(key), text.encode())  # type: ignore[attr-defined]

    @pytest.mark.parametrize("text", ["weights", "other bytes"])
    def test_at_the_next_number(self, bench: Bench, text: str) -> None:
        """V11: files where the next version would go are refused, even if they are the very same; nothing changes."""
        bench.base()
        self.place(bench.cellar, "vit/vit-l/base/0.2/model.bin", text)
        before = snapshot(bench.cellar)
        with pytest.raises(
            ForeignFiles, match=r"vit/vit-l/base/0\.2/ holds files that nobody registered; move them"
        ) as caught:
            bench.base("weights")
        assert "cellar import" in str(caught.value)
        assert snapshot(bench.cellar) == before
        bench.cellar.store.delete("vit/vit-l/base/0.2/model.bin")
        assert bench.base("weights") == "vit/vit-l/base/0.2"

    def test_elsewhere(self, bench: Bench) -> None:
        """Files at a later number, or beside the versions, are in nobody's way."""
        for key in (
            "vit/vit-l/base/0.3/model.bin",
            "vit/vit-l/base/0.1.bak/x",
            "vit/vit-l/base/notes.txt",
            "vit/vit-l/README.md",
        ):
            self.place(bench.cellar, key)
        assert [bench.base(), bench.base()] == ["vit/vit-l/base/0.1", "vit/vit-l/base/0.2"]

    def test_beside_the_own_files(self, bench: Bench) -> None:
        """A file that slipped into the place of an unfinished version is told by name, before the version exists."""
        path = bench.files("A")
        place = "vit/vit-l/base/0.1/theirs.bin"
        slip = Watched(bench.cellar.store, ("put", ""), lambda: self.place(bench.cellar, place))
        with pytest.raises(ForeignFiles, match=r"0\.1/: vit/vit-l/base/0\.1/theirs\.bin; move them away"):
            register_first_base(caller(bench.cellar, slip), path)
        assert numbers(bench.cellar) == []


class TestVoid:
    """Voiding a number."""

    def test_committed_stays(self, bench: Bench) -> None:
        """A commit that was faster stays, and voiding returns its record."""
        ref = Ref(bench.base())
        record = Registrar(bench.cellar.store).void(ref)
        assert record == bench.cellar.resolve(ref)

    def test_tombstone_is_no_version(self, bench: Bench) -> None:
        """V12: a tombstone is told from a record by the size in a listing, and no reader takes it for a version."""
        bench.base()
        ref = Ref("vit/vit-l/base/0.2")
        assert Registrar(bench.cellar.store).void(ref) is None
        sizes = bench.cellar.store.find(layout.records(BASE))
        assert (
            sizes[layout.record(ref)]
            <= TOMBSTONE_MOST
            < 256
            <= sizes[layout.record(Ref("vit/vit-l/base/0.1"))]
        )
        assert numbers(bench.cellar) == ["0.1"]
        assert not bench.cellar.exists(ref)
        assert str(bench.cellar.resolve(BASE).ref.version) == "0.1"
        with pytest.raises(CellarError, match=r"there is no vit/vit-l/base/0\.2; versions of .*: 0\.1"):
            bench.cellar.resolve(ref)

    def test_twice(self, bench: Bench) -> None:
        """Voiding again changes nothing."""
        registrar = Registrar(bench.cellar.store)
        ref = Ref("vit/vit-l/base/0.2")
        registrar.void(ref)
        before = snapshot(bench.cellar)
        assert registrar.void(ref) is None
        assert snapshot(bench.cellar) == before

    def test_a_project_of_tombstones_does_not_exist(self, bench: Bench) -> None:
        """A project whose only number was voided has no version, and a plan does not build it."""
        bench.base()
        Registrar(bench.cellar.store).void(Ref("vit/vit-l/projectA/0.1.1"))
        plan = bench.cellar.plan("vit/vit-l")
        assert (plan.rebuilds, plan.skips) == ((), ())


# Rebuilds: at most one version per request, whatever zombies live.

Q = digest_json("a request")


def tried(bench: Bench, content: str) -> Draft:
    """What a try of the request Q made; tries give different bytes."""
    base = Ref("vit/vit-l/base/1.2")
    parent = Parent(ref=base, tree=bench.cellar.resolve(base).tree)
    return Draft(PROJECT, scan(bench.files(content)), parent=parent, request=Q)


LINE = Line(PROJECT, (1, 2))


def finish(store: Store, draft: Draft) -> Record:
    """Commit a try."""
    return Registrar(store).register(draft, lambda: Spot(LINE))[0]


class TestRequests:
    """Closing: the first finisher of a request wins."""

    def test_second_finisher_gets_the_first(self, bench: Bench) -> None:
        """R1, R2: a second try with other bytes returns the version of the first."""
        bench.base(version="1.2")
        first = finish(bench.cellar.store, tried(bench, "try 1"))
        assert finish(bench.cellar.store, tried(bench, "try 2")) == first
        assert numbers(bench.cellar, PROJECT) == ["1.2.1"]

    def test_interrupted_by_a_sibling(self) -> None:
        """R1, R2: whenever a sibling finishes, just before each request of a try, one version comes of both."""
        with made_bench() as bench:
            bench.base(version="1.2")
            watched = Watched(bench.cellar.store)
            finish(watched, tried(bench, "try 1"))
        superseded = 0
        for at in range(1, len(watched.asked) + 1):
            with made_bench() as bench:
                bench.base(version="1.2")
                siblings: list[Record | None] = []

                def meanwhile(bench: Bench = bench, siblings: list[Record | None] = siblings) -> None:
                    try:
                        siblings.append(finish(bench.cellar.store, tried(bench, "try 2")))
                    except Superseded:
                        siblings.append(None)

                try:
                    mine: Record | None = finish(
                        Watched(bench.cellar.store, at, meanwhile), tried(bench, "try 1")
                    )
                except Superseded:
                    superseded += 1
                    mine = None
                [record] = bench.cellar.records(PROJECT)
                assert {one.ref for one in (mine, *siblings) if one} == {record.ref}
                sound(bench.cellar)
        assert superseded  # at some moment the open number of the first try was voided

    def test_by_hand_is_another_identity(self, bench: Bench) -> None:
        """H2: bytes of a try that somebody registers by hand are not the try: the request has its own version."""
        base = bench.base(version="1.2")
        by_hand = bench.project(base, "try 1")
        record = finish(bench.cellar.store, tried(bench, "try 1"))
        assert str(record.ref) != by_hand
        assert finish(bench.cellar.store, tried(bench, "try 2")) == record
        assert [one.request for one in bench.cellar.records(PROJECT)] == [None, Q]

    def test_found_by_its_request(self, bench: Bench) -> None:
        """The version of a request is found by it, and nothing else is."""
        base = bench.base(version="1.2")
        registrar = Registrar(bench.cellar.store)
        bench.project(base, "by hand")
        assert registrar.find_request(LINE, Q) is None
        record = finish(bench.cellar.store, tried(bench, "try 1"))
        assert registrar.find_request(LINE, Q) == record
        assert registrar.find_request(LINE, digest_json("another")) is None


class TestSchedules:
    """Callers at once, one request at a time, in orders that Hypothesis draws: a small adversary."""

    few = settings(max_examples=40)

    @few
    @given(st.data())
    def test_contents(self, data: st.DataObject) -> None:
        """Three callers with two contents of equal size: two versions, each with its own bytes, numbers 1 and 2."""
        with made_bench() as bench:
            bench.base(version="1.2")
            paths = [bench.files("A"), bench.files("B"), bench.files("A")]
            acts = [
                lambda store, path=path: register_next_project(caller(bench.cellar, store), path)
                for path in paths
            ]
            answers = interleave(bench.cellar.store, lambda n: data.draw(st.integers(0, n - 1)), *acts)
            assert numbers(bench.cellar, PROJECT) == ["1.2.1", "1.2.2"]
            for answer, expected in zip(answers, "ABA", strict=True):
                assert isinstance(answer, Registered)
                assert content(bench.cellar, answer.ref) == expected
            sound(bench.cellar)

    @few
    @given(st.data())
    def test_with_a_dying_caller_and_a_void(self, data: st.DataObject) -> None:
        """One of two callers dies somewhere while somebody voids a number: whoever lives ends with its own content."""
        with made_bench() as bench:
            bench.base(version="1.2")
            dies_at = data.draw(st.integers(1, 12))
            voided = Ref(f"vit/vit-l/projectA/1.2.{data.draw(st.integers(1, 2))}")
            mine, other = bench.files("A"), bench.files("B")
            answers = interleave(
                bench.cellar.store,
                lambda n: data.draw(st.integers(0, n - 1)),
                lambda store: register_next_project(caller(bench.cellar, Watched(store, dies_at)), mine),
                lambda store: register_next_project(caller(bench.cellar, store), other),
                lambda store: Registrar(store).void(voided),
            )
            sound(bench.cellar)
            assert isinstance(answers[0], Registered | Crash)
            assert isinstance(answers[1], Registered)
            assert content(bench.cellar, answers[1].ref) == "B"
            done = register_next_project(caller(bench.cellar), mine)
            sound(bench.cellar)
            assert content(bench.cellar, done.ref) == "A"
            assert len(numbers(bench.cellar, PROJECT)) == 2

    @few
    @given(st.data())
    def test_tries_of_one_request(self, data: st.DataObject) -> None:
        """Two tries of one request with different bytes, and a voider: never two versions; a third try ends it."""
        with made_bench() as bench:
            bench.base(version="1.2")
            drafts = [tried(bench, content) for content in ("A", "B")]
            acts: list[Callable[[Store], Record | None]] = [
                lambda store, draft=draft: finish(store, draft)  # type: ignore[misc]
                for draft in drafts
            ]
            acts.append(lambda store: Registrar(store).void(Ref("vit/vit-l/projectA/1.2.1")))
            answers = interleave(bench.cellar.store, lambda n: data.draw(st.integers(0, n - 1)), *acts)
            records = bench.cellar.records(PROJECT)
            assert len(records) <= 1
            assert {one.ref for one in answers[:2] if isinstance(one, Record)} == {one.ref for one in records}
            assert all(isinstance(one, Record | Superseded) for one in answers[:2])
            last = finish(bench.cellar.store, tried(bench, "C"))
            assert [one.ref for one in bench.cellar.records(PROJECT)] == [last.ref]
            sound(bench.cellar)


def test_rebuild_dies_at_each_request() -> None:
    """A rebuild that dies at whichever request is finished by its own retry, and then nothing more is wanted."""

    def prepared(bench: Bench) -> None:
        bench.project(bench.base(version="1.0"))
        bench.base()

    def run(cellar: Cellar, at: int | None = None) -> Watched:
        [todo] = cellar.plan("vit/vit-l").rebuilds
        watched = Watched(cellar.store, at)
        caller(cellar, watched).rebuild(todo, train, holder="airflow:retune:1", last_try=False)
        return watched

    with made_bench() as bench:
        prepared(bench)
        total = len(run(bench.cellar).asked)
    for at in range(1, total + 1):
        with made_bench() as bench:
            prepared(bench)
            [todo] = bench.cellar.plan("vit/vit-l").rebuilds
            with pytest.raises(Crash):
                run(bench.cellar, at)
            sound(bench.cellar)
            done = caller(bench.cellar).rebuild(todo, train, holder="airflow:retune:1")
            assert done.outcome in ("built", "already")
            assert str(done.ref) == "vit/vit-l/projectA/1.1.1"
            assert numbers(bench.cellar, PROJECT) == ["1.0.1", "1.1.1"]
            assert not bench.cellar.plan("vit/vit-l")
            sound(bench.cellar)


def test_lost_answers(bench: Bench) -> None:
    """V9: creates that happened though their caller was told of an error are recognised as its own by the retry."""

    lost: set[str] = set()

    class Forgetful(Watched):
        """The answer of the first create of each key is lost."""

        def create(self, key: str, data: bytes) -> bool:
            won = super().create(key, data)
            if key not in lost:
                lost.add(key)
                raise ConnectionResetError
            return won

    path = bench.files("A")
    tries = 0
    while True:
        tries += 1
        assert tries < WAIT
        try:
            done = register_first_base(caller(bench.cellar, Forgetful(bench.cellar.store)), path)
        except ConnectionResetError:
            continue
        break
    assert tries > 3
    assert numbers(bench.cellar) == ["0.1"]
    assert str(done.ref.version) == "0.1"
    sound(bench.cellar)


def test_one_cellar_for_threads(bench: Bench) -> None:
    """One Cellar object may be used by several threads at once."""
    paths = [bench.files(str(index % 3)) for index in range(6)]
    threads(6, lambda index: bench.cellar.register_base("vit/vit-l", paths[index], bump="minor"))
    assert numbers(bench.cellar) == ["0.1", "0.2", "0.3"]
    sound(bench.cellar)


def test_payload_lies_where_spec_says(disk: Cellar, bench: Bench) -> None:
    """`{rack_name}/{project}/{version}`: the payload tree on disk is exactly SPEC's, for people and other tools."""
    disk.register_base("vit/vit-l", bench.files("base", config__yaml="a: 1"), version="0.1")
    disk.register_project(PROJECT, bench.files("tuned"), base="vit/vit-l/base/0.1")
    root = Path(disk.url.removeprefix("file://"))
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and ".cellar" not in path.parts
    }
    assert found == {
        "vit/vit-l/config.toml",
        "vit/vit-l/base/0.1/model.bin",
        "vit/vit-l/base/0.1/config.yaml",
        "vit/vit-l/projectA/0.1.1/model.bin",
    }
    assert open_store(disk.url).read("vit/vit-l/projectA/0.1.1/model.bin") == b"tuned"


def test_blank_cellars_are_cellars(tmp_path: Path) -> None:
    """What these tests begin with is what ``Cellar.init`` makes, but for the race."""
    made, initialised = blank(tmp_path / "made"), Cellar.init(tmp_path / "initialised")
    keys = [{key for key in cellar.store.find("") if "/probe/" not in key} for cellar in (made, initialised)]
    assert keys[0] == keys[1]
    assert Cellar.init(made.url).id == made.id
