"""What happened to a rack or a model, and what differs between two versions."""

from __future__ import annotations

from cellar_core.compare import compare
from cellar_core.history import history
from cellar_core.layout import record
from cellar_core.ref import Model, Rack, Ref
from tests.core.helpers import Bench, train

RACK = Rack("vit/vit-l")
A, B = RACK.project("projectA"), RACK.project("projectB")


def told(bench: Bench, place: Rack | Model) -> list[tuple[str, str, str]]:
    return [(one.name, one.what, one.why) for one in history(bench.cellar.store, place)]


def test_everything_that_was_decided_is_told_in_order(bench: Bench) -> None:
    base = bench.base(bump="major", notes="the first")
    bench.project(base)
    bench.project(base, name="projectB")
    bench.cellar.alias(A, "production", "1.0.1")
    newer = bench.base(bump="major")
    bench.cellar.approve(newer, "projectA", why="tests passed")
    (rebuild,) = bench.cellar.plan(RACK).rebuilds
    bench.cellar.rebuild(rebuild, train, holder="airflow/dags/retune")
    bench.cellar.yank(newer, why="bad labels")
    bench.cellar.unyank(newer, why="they were good")
    whole = told(bench, RACK)
    assert whole == [
        (base, "registered, a major bump", "the first"),
        (f"{A}/1.0.1", "registered, made from base 1.0", ""),
        (f"{B}/1.0.1", "registered, made from base 1.0", ""),
        (f"{A}@production", "means 1.0.1", ""),
        (newer, "registered, a major bump", ""),
        (newer, "approved for projectA", "tests passed"),
        (f"{A} onto 2.0", "rebuild started", ""),
        (f"{A}/2.0.1", "registered, made from base 2.0", ""),
        (newer, "yanked", "bad labels"),
        (newer, "yank taken back", "they were good"),
    ]
    assert told(bench, A) == [
        one for one in whole if one[0].startswith(str(A)) or one[1] == "approved for projectA"
    ]
    assert told(bench, B) == [one for one in whole if one[0].startswith(str(B))]
    (started,) = [one for one in history(bench.cellar.store, A) if one.what == "rebuild started"]
    assert started.by == "airflow/dags/retune"


def test_an_entry_that_cannot_be_read_hides_no_other(bench: Bench) -> None:
    base = bench.base(bump="major")
    bench.project(base)
    store = bench.cellar.store
    store._fs.pipe_file(store._path(record(Ref(base))), b"x" * 300)  # type: ignore[attr-defined]
    first, second = told(bench, RACK)
    assert first[:2] == (base, "cannot be read")
    assert second[1] == "registered, made from base 1.0"


def test_a_voided_number_is_no_version(bench: Bench) -> None:
    base = Ref(bench.base(bump="major"))
    bench.cellar._registrar.void(base.model.at(base.version.bumped("minor")))  # type: ignore[union-attr]
    assert [name for name, _, _ in told(bench, RACK)] == [str(base)]


def test_what_differs(bench: Bench) -> None:
    base, newer = bench.base(bump="major"), bench.base(bump="minor")
    old = bench.project(base, "one", recipe={"seed": 1, "code": "abc"}, metrics={"accuracy": 0.5})
    new = bench.project(newer, "two", recipe={"seed": 2, "code": "abc"}, metrics={"accuracy": 0.5, "loss": 1})
    found = compare(bench.cellar.resolve(old), bench.cellar.resolve(new))
    assert found
    assert [(one.before, one.after) for one in found.parent.values()] == [(Ref(base), Ref(newer))]
    assert {name: (one.before, one.after) for name, one in found.recipe.items()} == {"seed": (1, 2)}
    assert {name: (one.before, one.after) for name, one in found.metrics.items()} == {"loss": (None, 1)}
    (change,) = found.files.values()
    assert change.before
    assert change.after
    assert change.before.digest != change.after.digest
    assert not compare(bench.cellar.resolve(new), bench.cellar.resolve(new))
