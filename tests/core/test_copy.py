"""Copying a cellar: whenever it dies, and whatever the source does meanwhile, the target shows whole versions only."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fsspec.callbacks import Callback
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cellar_core import Cellar, Model, Rack, Ref, layout
from cellar_core.catalog import Catalog
from cellar_core.choose import NoSuchVersion
from cellar_core.cli import app
from cellar_core.copy import CopyConflict, CopyIncomplete
from cellar_core.line import Line
from cellar_core.names import NoSuchRack
from cellar_core.record import TOMBSTONE_MOST, Claim
from cellar_core.register import Registrar
from cellar_core.store import ReadOnly
from cellar_core.want import Reason
from tests.core.helpers import Bench, Crash, Watched, bench, blank, caller, forget, snapshot, train

RACK = Rack("vit/vit-l")
BASE, PROJECT = RACK.base, RACK.project("projectA")


@pytest.fixture
def target(bench: Bench) -> Iterator[Cellar]:
    """Another blank cellar in memory."""
    made = blank(f"memory://{uuid.uuid4().hex}")
    yield made
    forget(made)


def fill(bench: Bench) -> None:
    """A rack with everything that can be in one: versions, a void number, yanks, an alias, an approval."""
    first = bench.base("one", version="0.1")
    bench.base("two", bump="minor")
    bench.base("three", version="1.0")
    bench.project(first, "A1")
    bench.project(first, "A2")
    bench.project("vit/vit-l/base/1.0", "B", name="projectB")
    void(bench.cellar, abandon(bench))
    bench.cellar.yank("vit/vit-l/base/0.2", "bad")
    bench.cellar.yank("vit/vit-l/projectA/0.1.1", "oops")
    bench.cellar.unyank("vit/vit-l/projectA/0.1.1", "no, it is good")
    bench.cellar.alias(PROJECT, "production", "0.1.1")
    bench.cellar.alias(PROJECT, "production", "0.1.2")
    bench.cellar.approve("vit/vit-l/base/1.0", why="tested")
    write_beside(bench.cellar, "README.md", b"# vit-l")


def abandon(bench: Bench, model: Model = BASE, base: str = "") -> Ref:
    """Take a number, and die before a file is sent; returns the number."""
    known = set(bench.cellar.store.find(layout.claims(model)))
    dying = caller(bench.cellar, Watched(bench.cellar.store, ("put", "")))
    path = bench.files(f"open {model}")
    with pytest.raises(Crash):
        dying.register_project(model, path, base=base) if base else dying.register_base(
            RACK, path, bump="minor"
        )
    [key] = set(bench.cellar.store.find(layout.claims(model))) - known
    ref = layout.parse_claim(key)
    assert ref
    return ref


def void(cellar: Cellar, ref: Ref) -> None:
    assert Registrar(cellar.store).void(ref) is None


def write_beside(cellar: Cellar, name: str, data: bytes) -> None:
    cellar.store.put(layout.rack_file(RACK, name), len(data), iter([data]))


def settled(cellar: Cellar) -> dict[Ref, bool]:
    """Each number with a record (true) or a tombstone (false)."""
    found = Catalog(cellar.store.find(layout.records(None))).settled
    return {ref: size > TOMBSTONE_MOST for ref, size in found.items()}


def sound(cellar: Cellar) -> None:
    """What holds of each cellar at each moment."""
    taken = {layout.parse_claim(key) for key in cellar.store.find(layout.claims(None))}
    for ref, is_version in settled(cellar).items():
        line = Line.of(ref)
        number = line.number(ref.version)
        assert number is not None
        assert {line.at(lower) for lower in range(line.first, number + 1)} <= taken
        if is_version:
            assert settled(cellar)[ref.base], "a version without its base"
            cellar.verify(ref)  # nothing of it is missing
    for rack in cellar.racks():
        for model in cellar.models(rack):
            assert all(settled(cellar)[ref] for ref in cellar.aliases(model).values())


def is_copied(key: str) -> bool:
    """Whether a key is of what goes over into another cellar."""
    work = (layout.FORMAT, layout.LOOKS, f"{layout.ROOT}/probe/", f"{layout.ROOT}/lines/")
    of_rebuild = key.startswith(layout.rebuild_logs(RACK)) and not layout.parse_approval(key, RACK)
    return not key.startswith(work) and not of_rebuild


def same(source: Cellar, target: Cellar) -> None:
    """The target has all that the source has, byte by byte, but for what tells of work in the source."""

    def objects(cellar: Cellar) -> dict[str, object]:
        found: dict[str, object] = {key: data for key, data in snapshot(cellar).items() if is_copied(key)}
        for key in cellar.store.find(layout.claims(None)):
            claim = Claim.from_bytes(cellar.store.read(key) or b"", key)
            found[key] = claim.model_copy(update={"copied_from": None})
        return found

    assert objects(target) == objects(source)


# What a copy is


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_everything_comes_across(bench: Bench, disk: Cellar, target: Cellar, place: str) -> None:
    """Versions keep their numbers, digests, lineage, and who made them and when; decisions come too."""
    fill(bench)
    other = disk if place == "disk" else target
    done = bench.cellar.copy(other)
    same(bench.cellar, other)
    sound(other)
    bases, projects = (
        ["base/0.1", "base/0.2", "base/1.0"],
        ["projectA/0.1.1", "projectA/0.1.2", "projectB/1.0.1"],
    )
    assert [str(ref) for ref in done.copied] == [f"{RACK}/{name}" for name in (*bases, *projects)]
    assert [str(ref) for ref in done.voided] == ["vit/vit-l/base/1.1"]
    assert (done.already, done.kept) == ((), ())
    for selector in ("vit/vit-l/base@latest", "vit/vit-l/projectA@production", "vit/vit-l/projectA@<1"):
        assert other.resolve(selector) == bench.cellar.resolve(selector)
    assert other.doctor().ok
    assert other.plan(RACK).skips == bench.cellar.plan(RACK).skips
    assert [str(one.base) for one in other.plan(RACK).rebuilds] == [
        str(one.base) for one in bench.cellar.plan(RACK).rebuilds
    ]


def test_a_copy_is_a_cellar_of_its_own(bench: Bench, target: Cellar) -> None:
    """Its requests of rebuilds are not those of the source, whose runs an orchestrator may know already."""
    fill(bench)
    bench.base("four")
    bench.cellar.copy(target)
    assert target.id != bench.cellar.id
    ours, theirs = ({one.request for one in cellar.plan(RACK).rebuilds} for cellar in (bench.cellar, target))
    assert ours
    assert not ours & theirs


def test_twice_does_nothing(bench: Bench, target: Cellar) -> None:
    fill(bench)
    first = bench.cellar.copy(target)
    before = snapshot(target)
    watched = Watched(target.store)
    again = bench.cellar.copy(caller(target, watched))
    assert (again.copied, again.voided, again.already) == ((), (), first.copied)
    assert not [one for one in watched.asked if one[0] in ("create", "put", "delete")]
    assert snapshot(target) == before


def test_registering_goes_on_in_the_copy(bench: Bench, target: Cellar) -> None:
    """The same content is the same version there, and the next number is the next one."""
    fill(bench)
    bench.cellar.copy(target)
    same_again = target.register_base(RACK, bench.files("three"), version="1.0")
    assert (str(same_again.ref), same_again.created) == ("vit/vit-l/base/1.0", False)
    assert str(target.register_base(RACK, bench.files("new"), bump="minor").ref) == "vit/vit-l/base/1.2"
    base = "vit/vit-l/base/0.1"
    assert str(target.register_project(PROJECT, bench.files("new"), base=base).ref).endswith("/0.1.3")
    assert bench.cellar.copy(target).already


def test_only_the_racks_that_are_named(bench: Bench, target: Cellar) -> None:
    fill(bench)
    bench.base(rack="vit/vit-s")
    bench.cellar.copy(target, ["vit/vit-s"])
    assert target.racks() == [Rack("vit/vit-s")]
    with pytest.raises(NoSuchRack, match="vit/vit-x"):
        bench.cellar.copy(target, ["vit/vit-x"])
    bench.cellar.copy(target)
    assert target.racks() == bench.cellar.racks()


def test_a_cellar_is_made_where_none_is(bench: Bench, tmp_path: Path) -> None:
    fill(bench)
    bench.cellar.copy(tmp_path / "other")
    same(bench.cellar, Cellar(tmp_path / "other"))


def test_a_read_only_cellar_can_be_copied_and_not_be_copied_to(bench: Bench, target: Cellar) -> None:
    fill(bench)
    with pytest.raises(ReadOnly):
        bench.cellar.copy(Cellar(target.url, read_only=True))
    Cellar(bench.cellar.url, read_only=True).copy(target)
    same(bench.cellar, target)


def test_bytes_are_counted(bench: Bench, target: Cellar) -> None:
    """Of each rack the bytes of all its files, those too that were there already."""

    fill(bench)
    with pytest.raises(Crash):
        bench.cellar.copy(caller(target, Watched(target.store, ("create", "/records/"))))
    callback = Callback()
    bench.cellar.copy(target, callback=callback)
    size = sum(
        bench.cellar.resolve(ref).size for ref, is_version in settled(bench.cellar).items() if is_version
    )
    assert (callback.value, callback.size) == (size, size)


# Killed


def moments(source: Cellar) -> int:
    """How many requests to the target a copy makes."""
    other = blank(f"memory://{uuid.uuid4().hex}")
    watched = Watched(other.store)
    source.copy(caller(other, watched))
    forget(other)
    return len(watched.asked)


def test_killed_before_any_request(bench: Bench) -> None:
    """The target is sound whenever the copy dies, and the next run finishes it, sending only what is missing."""
    fill(bench)
    files = {key for key in bench.cellar.store.find("vit/") if not key.endswith((".toml", ".md"))}
    for moment in range(1, moments(bench.cellar) + 1):
        other = blank(f"memory://{uuid.uuid4().hex}")
        with pytest.raises(Crash):
            bench.cellar.copy(caller(other, Watched(other.store, moment)))
        sound(other)
        choosable(bench.cellar, other)
        assert other.doctor().ok
        there = files & set(other.store.find("vit/"))
        watched = Watched(other.store)
        bench.cellar.copy(caller(other, watched))
        same(bench.cellar, other)
        sound(other)
        # The files of the number that is void are not copied.
        sent = {key for method, key in watched.asked if method == "put"}
        assert sent == {key for key in files - there if "base/1.1/" not in key}
        forget(other)


def choosable(source: Cellar, target: Cellar) -> None:
    """What a selector chooses was never yanked."""
    for model in (BASE, PROJECT):
        try:
            found = target.resolve(f"{model}@latest").ref
        except (NoSuchVersion, NoSuchRack):
            continue
        listed = Catalog(source.store.find(layout.records(RACK)))
        assert not listed.yanked(found)


def test_two_copies_at_once(bench: Bench, target: Cellar) -> None:
    """The other one may do everything just before a request of ours."""
    fill(bench)
    for moment in range(1, moments(bench.cellar) + 1, 3):
        other = blank(f"memory://{uuid.uuid4().hex}")
        twin = Watched(other.store, moment, lambda other=other: bench.cellar.copy(caller(other)))  # type: ignore[misc]
        bench.cellar.copy(caller(other, twin))
        same(bench.cellar, other)
        forget(other)


# The source grows


def test_the_source_grows_between_any_two_looks(bench: Bench) -> None:
    """What comes later is copied whole, or by the next run."""
    fill(bench)
    for moment in range(1, 12):

        def grow() -> None:
            base = bench.base(bump="minor")
            project = bench.project(base)
            bench.cellar.alias(PROJECT, "newest", str(Ref(project).version))
            bench.cellar.yank(base, "already")
            bench.cellar.unyank(base, "good again")

        other = blank(f"memory://{uuid.uuid4().hex}")
        watched = Watched(bench.cellar.store, moment, grow)
        caller(bench.cellar, watched).copy(other)
        sound(other)
        bench.cellar.copy(other)
        same(bench.cellar, other)
        forget(other)


def test_the_source_grows_while_files_are_sent(bench: Bench, target: Cellar) -> None:
    fill(bench)
    listed = {ref for ref, is_version in settled(bench.cellar).items() if is_version}
    watched = Watched(target.store, ("put", ""), lambda: bench.project(bench.base(bump="major")))
    done = bench.cellar.copy(caller(target, watched))
    assert set(done.copied) == listed
    sound(target)
    assert len(bench.cellar.copy(target).copied) == 2
    same(bench.cellar, target)


# Numbers that are taken, and are no versions yet


def test_an_open_number_is_kept_and_is_nobodys_work(bench: Bench, target: Cellar) -> None:
    fill(bench)
    taken = abandon(bench)
    later = bench.base(version="1.3")
    bench.cellar.copy(target)
    assert target.resolve(later).ref == Ref(later)
    assert taken not in settled(target)
    now = datetime.now(UTC)
    for days in (0, 2, 4):
        assert not target.gc(now=now + timedelta(days=days)).waiting
    assert taken not in settled(target)
    assert target.doctor().ok
    assert str(target.register_base(RACK, bench.files("elsewhere"), bump="minor").ref).endswith("/1.4")


def test_an_open_number_becomes_a_version_later(bench: Bench, target: Cellar) -> None:
    fill(bench)
    taken = abandon(bench)
    bench.cellar.copy(target)
    bench.cellar.register_base(RACK, bench.files(f"open {BASE}"), bump="minor")
    assert bench.cellar.copy(target).copied == (taken,)
    same(bench.cellar, target)
    sound(target)


def test_an_open_number_is_voided_later(bench: Bench, target: Cellar) -> None:
    fill(bench)
    taken = abandon(bench)
    bench.cellar.copy(target)
    void(bench.cellar, taken)
    assert bench.cellar.copy(target).voided == (taken,)
    same(bench.cellar, target)


def test_a_person_may_void_it_in_the_target(bench: Bench, target: Cellar) -> None:
    fill(bench)
    taken = abandon(bench)
    bench.cellar.copy(target)
    assert target.gc(void=[taken]).voided == (taken,)
    bench.cellar.copy(target)  # nothing has become of it here: nothing contradicts
    bench.cellar.register_base(RACK, bench.files(f"open {BASE}"), bump="minor")
    with pytest.raises(CopyConflict, match=rf"{taken} is void there, and of blake3:.* here"):
        bench.cellar.copy(target)


def test_a_rebuild_that_goes_on_does_not_go_on_in_the_copy(bench: Bench, target: Cellar) -> None:
    """Nor does the number that it has taken."""
    bench.project(bench.base("one"), "A")
    newer = bench.base("two")
    [planned] = bench.cellar.plan(RACK).rebuilds
    with pytest.raises(Crash):
        caller(bench.cellar, Watched(bench.cellar.store, ("put", ""))).rebuild(planned, train, holder="a run")
    [going] = [one for one in bench.cellar.plan(RACK).skips if one.model == PROJECT]
    assert going.reason is Reason.IN_PROGRESS
    assert layout.claim(PROJECT.at(f"{Ref(newer).version}.1")) in bench.cellar.store.find(
        layout.claims(PROJECT)
    )
    bench.cellar.copy(target)
    assert [str(one.model) for one in target.plan(RACK).rebuilds] == [str(PROJECT)]
    assert target.doctor().ok
    assert not target.gc(now=datetime.now(UTC)).waiting


# Conflicts


def other_version(bench: Bench, target: Cellar) -> None:
    target.register_base(RACK, bench.files("another"), version="0.2")


def taken_there(bench: Bench, target: Cellar) -> None:
    with pytest.raises(Crash):
        caller(target, Watched(target.store, ("put", ""))).register_base(
            RACK, bench.files("x"), version="0.1"
        )


def void_there(bench: Bench, target: Cellar) -> None:
    taken_there(bench, target)
    void(target, BASE.at("0.1"))


def version_where_a_number_is_void(bench: Bench, target: Cellar) -> None:
    target.register_base(RACK, bench.files("x"), version="1.1")


def foreign_files(bench: Bench, target: Cellar) -> None:
    target.store.put("vit/vit-l/projectA/0.1.2/model.bin", 1, iter([b"x"]))


def another_spelling(bench: Bench, target: Cellar) -> None:
    base = target.register_base(RACK, bench.files("one"), version="0.1").ref
    target.register_project(RACK.project("PROJECTA"), bench.files("A1"), base=base)


def rack_above(bench: Bench, target: Cellar) -> None:
    target.create_rack("vit")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (other_version, r"vit/vit-l/base/0\.2 is of blake3:\w+ by .* there, and of blake3:"),
        (void_there, r"vit/vit-l/base/0\.1 is void there, and of blake3:"),
        (version_where_a_number_is_void, r"vit/vit-l/base/1\.1 is of blake3:.* there, and void here"),
        (taken_there, r"vit/vit-l/base/0\.1 is taken there by .*, for something else"),
        (foreign_files, r"vit/vit-l/projectA/0\.1\.2/ holds files there that nobody registered"),
        (another_spelling, r"projectA is already spelled vit/vit-l/PROJECTA"),
        (rack_above, r"vit/vit-l would lie below rack vit"),
    ],
)
def test_a_conflict_is_told_before_anything_is_written(
    bench: Bench, target: Cellar, prepare: Callable[[Bench, Cellar], None], message: str
) -> None:
    fill(bench)
    bench.base(rack="a/first")  # which could be copied
    prepare(bench, target)
    before = snapshot(target)
    with pytest.raises(CopyConflict, match=message) as caught:
        bench.cellar.copy(target)
    assert "nothing was copied" in str(caught.value)
    assert snapshot(target) == before
    bench.cellar.copy(target, ["a/first"])


def test_the_same_content_that_was_registered_there_too(bench: Bench, target: Cellar) -> None:
    """It is the same version, and keeps the record that it has there."""
    fill(bench)
    target.register_base(RACK, bench.files("one"), version="0.1")
    before = target.resolve("vit/vit-l/base/0.1")
    done = bench.cellar.copy(target)
    assert [str(ref) for ref in done.already] == ["vit/vit-l/base/0.1"]
    assert target.resolve("vit/vit-l/base/0.1") == before
    sound(target)


def test_somebody_registers_there_meanwhile(bench: Bench, target: Cellar) -> None:
    """Whoever takes the number first has it; the copy stops, and both can go on."""
    bench.base("one", version="0.1")
    watched = Watched(
        target.store,
        ("create", "/claims/"),
        lambda: target.register_base(RACK, bench.files("x"), version="0.1"),
    )
    with pytest.raises(CopyConflict, match=r"base/0\.1 is taken there by .*, since this copy began"):
        bench.cellar.copy(caller(target, watched))
    target.verify("vit/vit-l/base/0.1")


# Damage


def test_a_damaged_file(bench: Bench, target: Cellar) -> None:
    """Its version is left out, and what was made from it; all else is copied. Once it is mended, the rest comes."""
    fill(bench)
    key = "vit/vit-l/base/0.1/model.bin"
    bench.cellar.store.put(key, 3, iter([b"onf"]))
    with pytest.raises(CopyIncomplete) as caught:
        bench.cellar.copy(target)
    assert "vit/vit-l/base/0.1/model.bin is blake3:" in str(caught.value)
    assert "vit/vit-l/projectA/0.1.1, vit/vit-l/projectA/0.1.2: their bases are not there" in str(
        caught.value
    )
    assert not target.store.find(key)
    assert {str(ref) for ref, is_version in settled(target).items() if is_version} == {
        "vit/vit-l/base/0.2",
        "vit/vit-l/base/1.0",
        "vit/vit-l/projectB/1.0.1",
    }
    sound(target)
    bench.cellar.store.put(key, 3, iter([b"one"]))
    bench.cellar.copy(target)
    same(bench.cellar, target)


@pytest.mark.parametrize("damage", ["missing", "longer", "a record"])
def test_other_damage(bench: Bench, target: Cellar, damage: str) -> None:
    fill(bench)
    store = bench.cellar.store
    ref = PROJECT.at("0.1.1")
    key = layout.record(ref) if damage == "a record" else f"{ref}/model.bin"
    if damage == "missing":
        store.delete(key)
    else:
        store.put(key, 1000, iter([b"A1" * 500]))
    with pytest.raises(CopyIncomplete, match=f"all but this was copied: {key}"):
        bench.cellar.copy(target)
    assert ref not in settled(target)
    assert len([ref for ref, is_version in settled(target).items() if is_version]) == 5
    sound(target)


def test_a_record_without_a_claim(bench: Bench, target: Cellar) -> None:
    """As in a copy that another tool made of a part: it is told, since the number could be given again."""
    fill(bench)
    bench.cellar.store.delete(layout.claim(BASE.at("0.2")))
    with pytest.raises(CopyConflict, match=r"base/0\.2 has no claim here: cellar doctor"):
        bench.cellar.copy(target)


# What both have written on


def test_what_was_decided_differently_stays(bench: Bench, target: Cellar) -> None:
    """Rules, aliases and yanks of the target are its own, once somebody has written on them there."""
    fill(bench)
    bench.cellar.copy(target)
    write_beside(target, "config.toml", b"# theirs")
    target.alias(PROJECT, "production", "0.1.1")
    bench.cellar.alias(PROJECT, "production", "0.1.1")
    bench.cellar.alias(PROJECT, "staging", "0.1.1")
    done = bench.cellar.copy(target)
    assert done.kept == ("vit/vit-l/config.toml", layout.alias_log(PROJECT, "production"))
    assert target.store.read("vit/vit-l/config.toml") == b"# theirs"
    assert str(target.aliases(PROJECT)["staging"].version) == "0.1.1"


def test_what_the_target_alone_has_decided_stays(bench: Bench, target: Cellar) -> None:
    """A longer log there is no contradiction."""
    fill(bench)
    bench.cellar.copy(target)
    target.alias(PROJECT, "production", "0.1.1")
    assert bench.cellar.copy(target).kept == ()
    assert str(target.aliases(PROJECT)["production"].version) == "0.1.1"


# At the terminal


def test_at_the_terminal(bench: Bench, tmp_path: Path) -> None:
    fill(bench)
    words = ["--cellar", bench.cellar.url, "copy", str(tmp_path / "other")]
    first = CliRunner().invoke(app, words)
    assert (first.exit_code, first.stdout.splitlines()[-1]) == (0, "6 copied, 0 were there already")
    assert "copied vit/vit-l/projectA/0.1.2" in first.stdout
    assert "voided vit/vit-l/base/1.1, as it is here" in first.stdout
    again = json.loads(CliRunner().invoke(app, [*words, "vit/vit-l", "--json"]).stdout)
    assert (again["copied"], len(again["already"])) == ([], 6)
    other = CliRunner().invoke(
        app, ["--cellar", str(tmp_path / "other"), "verify", "vit/vit-l/projectA/0.1.2"]
    )
    assert other.exit_code == 0


def test_a_failure_at_the_terminal(bench: Bench, tmp_path: Path) -> None:
    fill(bench)
    bench.cellar.store.delete("vit/vit-l/base/1.0/model.bin")
    done = CliRunner().invoke(app, ["--cellar", bench.cellar.url, "copy", str(tmp_path / "other"), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stderr)["error"] == "CopyIncomplete"
    assert "vit/vit-l/base/1.0/model.bin" in json.loads(done.stderr)["message"]


# Any history


ACTS = ("minor", "major", "project", "project", "open", "void", "yank", "unyank", "alias", "copy", "copy")
histories = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 60)), max_size=14)
"""What was done in the source, and copies that may die at any request."""


@settings(max_examples=60)
@given(histories)
def test_any_history(acts: list[tuple[str, int]]) -> None:
    """SPEC's numbers mean the same in both: whatever happened, the target is a whole part of the source."""
    with bench() as made:
        source, target = made.cellar, blank(f"memory://{uuid.uuid4().hex}")
        made.base("first")
        for what, draw in acts:
            act(made, target, what, draw)
            sound(target)
            part_of(source, target)
        source.copy(target)
        same(source, target)
        sound(target)
        assert target.doctor().ok
        forget(target)


def act(made: Bench, target: Cellar, what: str, draw: int) -> None:
    """Do one thing; *draw* chooses to what, or when a copy dies."""
    cellar = made.cellar
    versions = sorted(ref for ref, is_version in settled(cellar).items() if is_version)
    listed = Catalog(cellar.store.find(layout.records(RACK)))
    ref = versions[draw % len(versions)]
    base = str(ref.base)

    def abandon_base() -> None:
        with pytest.raises(Crash):
            caller(cellar, Watched(cellar.store, ("put", ""))).register_base(
                RACK, made.files(uuid.uuid4().hex), bump="minor"
            )

    def void_one() -> None:
        taken = filter(None, map(layout.parse_claim, cellar.store.find(layout.claims(RACK))))
        for one in sorted(set(taken) - settled(cellar).keys())[:1]:
            void(cellar, one)

    def copy() -> None:
        with suppress(Crash):
            cellar.copy(caller(target, Watched(target.store, draw + 1)))

    acts: dict[str, Callable[[], object]] = {
        "minor": lambda: made.base(bump="minor"),
        "major": lambda: made.base(bump="major"),
        "project": lambda: listed.yanked(ref.base) or made.project(base),
        "open": abandon_base,
        "void": void_one,
        "yank": lambda: cellar.yank(ref, "bad"),
        "unyank": lambda: cellar.unyank(ref, "good"),
        "alias": lambda: listed.eligible(ref) and cellar.alias(ref.model, "production", str(ref.version)),
        "copy": copy,
    }
    acts[what]()


def part_of(source: Cellar, target: Cellar) -> None:
    """Each number that is settled in the target is settled in the source, with the same bytes."""
    for ref in settled(target):
        assert target.store.read(layout.record(ref)) == source.store.read(layout.record(ref))


def test_constant_memory(tmp_path: Path) -> None:
    """However large a file is, a few pieces of it are in memory."""
    import tracemalloc

    size = 200 * 2**20
    (tmp_path / "out").mkdir()
    with (tmp_path / "out/large.bin").open("wb") as file:
        file.truncate(size)
    source = blank(tmp_path / "one")
    source.register_base(RACK, tmp_path / "out", bump="minor")
    target = blank(tmp_path / "two")
    tracemalloc.start()
    try:
        source.copy(target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert target.store.find("vit/vit-l/base/0.1/")["vit/vit-l/base/0.1/large.bin"] == size
    assert peak < 32 * 2**20
