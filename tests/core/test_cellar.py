"""What a user holds: made of a URL, good in threads, forks, pickles and event loops; and how it looks things up."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cellar_core import Cellar, layout
from cellar_core.bump import ContractChanged
from cellar_core.choose import NoSuchVersion
from cellar_core.fetch import TargetExists
from cellar_core.log import ChangedMeanwhile
from cellar_core.lookup import Yanked
from cellar_core.ref import Model, Rack, Ref, Selector
from tests.core.helpers import WAIT, Bench, Watched, caller, processes, snapshot, threads, train, write

A = "vit/vit-l/projectA"


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """A registry with bases 1.0 and 1.1, and a project with two versions on the one and one on the other."""
    first, second = bench.base(version="1.0"), bench.base(version="1.1")
    for base in (first, first, second):
        bench.project(base)
    return bench


def on_disk(disk: Cellar, bench: Bench) -> Cellar:
    """A registry on disk, with a base and a project."""
    base = disk.register_base("vit/vit-l", bench.files("base"), version="1.0").ref
    disk.register_project(A, bench.files("tuned"), base=base)
    return disk


class TestObject:
    """The object itself."""

    def test_making_it_touches_nothing(self, tmp_path: Path) -> None:
        """A module-level Cellar costs nothing where a DAG file is parsed."""
        cellar = Cellar(tmp_path / "nowhere")
        assert repr(cellar) == f"Cellar('file://{tmp_path}/nowhere')"
        assert not (tmp_path / "nowhere").exists()

    def test_pickles(self, disk: Cellar, bench: Bench) -> None:
        """It is its URL: a copy or a pickle of it, used before or not, is at the same place."""
        for cellar in (Cellar(disk.url), on_disk(disk, bench)):
            for twin in (pickle.loads(pickle.dumps(cellar)), copy.copy(cellar), copy.deepcopy(cellar)):
                assert (twin.url, twin.id) == (cellar.url, cellar.id)
                assert twin.resolve(A) == cellar.resolve(A)

    def test_pickle_holds_the_url_and_nothing_that_was_read(self, disk: Cellar, bench: Bench) -> None:
        """A pickle in a queue stays small, however much was looked up."""
        small = len(pickle.dumps(Cellar(disk.url)))
        assert len(pickle.dumps(on_disk(disk, bench))) == small

    def test_pickle_in_another_process(self, disk: Cellar, bench: Bench) -> None:
        """A worker that is started afresh opens it from its pickle."""
        on_disk(disk, bench)
        program = f"import pickle; print(pickle.loads({pickle.dumps(disk)!r}).resolve({A!r}).ref)"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        answer = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=True,
            env=environment,
        )
        assert answer.stdout.strip() == f"{A}/1.0.1"

    def test_fork(self, disk: Cellar, bench: Bench) -> None:
        """It was used before the fork, and goes on in all children and in the parent."""
        on_disk(disk, bench)
        paths = [bench.files(f"by child {index}") for index in range(3)]

        def child(index: int) -> tuple[str, str]:
            done = disk.register_project(A, paths[index], base="vit/vit-l/base/1.0")
            return str(disk.resolve("vit/vit-l/base").ref), str(done.ref)

        answers = processes(3, child)
        assert {base for base, _ in answers} == {"vit/vit-l/base/1.0"}
        assert {ref for _, ref in answers} == {f"{A}/1.0.{number}" for number in (2, 3, 4)}
        assert len(disk.versions(A)) == 4

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_fork_while_a_thread_waits_for_a_store(self, disk: Cellar, bench: Bench) -> None:
        """A fork in the middle of another thread's request leaves no lock behind that the child would wait for."""
        on_disk(disk, bench)
        waits, goes_on = threading.Event(), threading.Event()

        def wait() -> None:
            waits.set()
            goes_on.wait(WAIT)

        slow = caller(disk, Watched(disk.store, 1, wait))
        thread = threading.Thread(target=slow.resolve, args=(A,), daemon=True)
        thread.start()
        assert waits.wait(WAIT)
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            try:
                os._exit(0 if str(Cellar(disk.url).resolve(A).ref) == f"{A}/1.0.1" else 1)
            finally:
                os._exit(2)
        until = time.monotonic() + 20
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
            time.sleep(0.02)
        if ended == (0, 0):
            os.kill(child, 9)
            os.waitpid(child, 0)
        goes_on.set()
        thread.join(WAIT)
        assert ended == (child, 0)

    def test_slow_cellar_does_not_stop_another(self, disk: Cellar, bench: Bench) -> None:
        """While one Cellar waits for its store, others of the same process go on."""
        on_disk(disk, bench)
        answers: list[str] = []

        def meanwhile() -> None:
            thread = threading.Thread(target=lambda: answers.append(Cellar(disk.url).id), daemon=True)
            thread.start()
            thread.join(10)

        assert caller(disk, Watched(disk.store, 1, meanwhile)).id == disk.id
        assert answers == [disk.id]

    def test_in_an_event_loop(self, bench: Bench) -> None:
        """Calls from a running loop work, and in threads beside it they do not hold it up."""
        paths = [bench.files(str(index)) for index in range(4)]

        async def act() -> list[str]:
            bench.cellar.register_base("vit/vit-l", paths[0], bump="minor")  # blocks the loop, but works
            calls = [
                asyncio.to_thread(bench.cellar.register_base, "vit/vit-l", path, bump="minor")
                for path in paths
            ]
            return [str(done.ref.version) for done in await asyncio.gather(*calls)]

        assert sorted(asyncio.run(act())) == ["0.1", "0.2", "0.3", "0.4"]


class TestInit:
    """Making a cellar."""

    def test_again(self, tmp_path: Path) -> None:
        """Making it again finds it; its store is not raced once more."""
        first = Cellar.init(tmp_path / "cellar")
        before = snapshot(first)
        again = Cellar.init(tmp_path / "cellar")
        assert (again.id, again.url) == (first.id, first.url)
        assert snapshot(again) == before

    def test_at_once(self, tmp_path: Path) -> None:
        """Many who make it at once have made one."""
        ids = processes(3, lambda index: Cellar.init(tmp_path / "cellar").id)
        assert len(set(ids)) == 1

    def test_two_cellars_have_two_ids(self, tmp_path: Path) -> None:
        """No two cellars are taken for one."""
        assert Cellar.init(tmp_path / "one").id != Cellar.init(tmp_path / "two").id

    def test_in_a_directory_with_files(self, tmp_path: Path, bench: Bench) -> None:
        """A cellar may be made around what is there, such as a config.toml of ml-cellar's."""
        (tmp_path / "vit/vit-l").mkdir(parents=True)
        (tmp_path / "vit/vit-l/config.toml").write_text('[document]\nresult_file = "metrics.json"')
        cellar = Cellar.init(tmp_path)
        done = cellar.register_base("vit/vit-l", bench.files(metrics__json='{"a": 1}'), bump="minor")
        assert done.record.metrics == {"a": 1}


class TestLook:
    """What exists."""

    def test_racks_models_and_versions(self, ready: Bench) -> None:
        """Racks by name, models base first, versions by number."""
        ready.base(rack="a-rack")
        cellar = ready.cellar
        assert cellar.racks() == [Rack("a-rack"), Rack("vit/vit-l")]
        assert cellar.models("vit/vit-l") == [Model("vit/vit-l/base"), Model(A)]
        assert [str(ref.version) for ref in cellar.versions(A)] == ["1.0.1", "1.0.2", "1.1.1"]
        assert [record.ref for record in cellar.records(A)] == cellar.versions(A)
        assert cellar.exists(f"{A}/1.0.2")
        assert not cellar.exists(f"{A}/1.0.3")
        assert cellar.versions("vit/vit-l/unknown") == []

    def test_versions_are_in_the_order_of_their_numbers(self, bench: Bench) -> None:
        """1.10 comes after 1.9, though its key does not."""
        for version in ("1.9", "1.10", "10.0", "2.0"):
            bench.base(version=version)
        assert [str(ref.version) for ref in bench.cellar.versions("vit/vit-l/base")] == [
            "1.9",
            "1.10",
            "2.0",
            "10.0",
        ]
        assert str(bench.cellar.resolve("vit/vit-l/base").ref.version) == "10.0"
        assert str(bench.cellar.resolve("vit/vit-l/base@^1").ref.version) == "1.10"

    @pytest.mark.parametrize(
        ("selector", "version"),
        [
            (A, "1.1.1"),
            (f"{A}@latest", "1.1.1"),
            (f"{A}/1.0.1", "1.0.1"),
            (f"{A}@1.0.1", "1.0.1"),
            (f"{A}@==1.0.*", "1.0.2"),
            (f"{A}@<1.1", "1.0.2"),
            (f"{A}@^1", "1.1.1"),
        ],
    )
    def test_resolve(self, ready: Bench, selector: str, version: str) -> None:
        """A selector, as text or parsed, means a version."""
        for given in (selector, Selector(selector)):
            assert str(ready.cellar.resolve(given).ref.version) == version

    def test_resolve_takes_models_and_refs(self, ready: Bench) -> None:
        """Whatever names a version will do."""
        assert ready.cellar.resolve(Model(A)) == ready.cellar.resolve(Ref(f"{A}/1.1.1"))

    def test_yanked_versions_are_passed_over(self, ready: Bench) -> None:
        """Nothing but its exact ref finds a yanked version, or one on a yanked base."""
        cellar = ready.cellar
        cellar.yank(f"{A}/1.0.2", "bad data")
        cellar.yank("vit/vit-l/base/1.1", "bad labels")
        assert str(cellar.resolve(A).ref) == f"{A}/1.0.1"
        assert str(cellar.resolve("vit/vit-l/base").ref) == "vit/vit-l/base/1.0"
        assert str(cellar.resolve(f"{A}/1.1.1").ref) == f"{A}/1.1.1"
        with pytest.raises(
            NoSuchVersion, match=r"no version of vit/vit-l/projectA is '\^1\.1'; there is: 1\.0\.1"
        ):
            cellar.resolve(f"{A}@^1.1")
        assert len(cellar.versions(A)) == 3

    def test_yank_and_back(self, ready: Bench) -> None:
        """Yanking twice is yanking once, and can be taken back; who did it and why stays."""
        log = layout.yank_log(Ref(f"{A}/1.1.1"))
        for act, entries in (
            (ready.cellar.yank, 1),
            (ready.cellar.yank, 1),
            (ready.cellar.unyank, 2),
            (ready.cellar.unyank, 2),
        ):
            act(f"{A}/1.1.1", "a reason")
            assert len(ready.cellar.store.find(log)) == entries
        assert str(ready.cellar.resolve(A).ref) == f"{A}/1.1.1"
        assert b"a reason" in (ready.cellar.store.read(layout.entry(log, 2)) or b"")


class TestAliases:
    """Aliases."""

    def test_move(self, ready: Bench) -> None:
        """An alias means what it was last pointed to; what it meant before stays in its log."""
        cellar = ready.cellar
        for version in ("1.0.1", "1.1.1", "1.0.2"):
            assert str(cellar.alias(A, "production", version)) == f"{A}/{version}"
            assert str(cellar.resolve(f"{A}@production").ref.version) == version
        cellar.alias(A, "staging", "1.1.1")
        assert {name: str(ref.version) for name, ref in cellar.aliases(A).items()} == {
            "production": "1.0.2",
            "staging": "1.1.1",
        }
        log = layout.alias_log(Model(A), "production")
        assert len(cellar.store.find(log)) == 3
        entries = cellar.alias_history(A, "production")
        assert list(map(str, entries)) == ["1.0.1", "1.1.1", "1.0.2"]
        assert all("@" in entry.by for entry in entries)

    def test_one_that_is_withdrawn_means_what_it_meant_before(self, ready: Bench) -> None:
        """And what was withdrawn before is not what comes back; every move stays in the log."""
        cellar = ready.cellar

        def withdraw(version: str) -> str | None:
            ref = cellar.withdraw(f"{A}/{version}", "staging")
            assert cellar.aliases(A).get("staging") == ref
            return str(ref.version) if ref else None

        assert withdraw("1.0.1") is None  # it never meant anything
        cellar.alias(A, "staging", "1.0.1")
        cellar.alias(A, "staging", "1.1.1")
        assert withdraw("1.0.1") == "1.1.1"
        assert withdraw("1.1.1") == "1.0.1"
        assert withdraw("1.0.1") is None
        assert withdraw("1.0.1") is None
        with pytest.raises(NoSuchVersion, match="has no alias 'staging'"):
            cellar.resolve(f"{A}@staging")
        cellar.alias(A, "staging", "1.0.2")
        assert withdraw("1.0.2") is None
        assert list(map(str, cellar.alias_history(A, "staging"))) == [
            *("1.0.1", "1.1.1", "1.0.1", "nothing", "1.0.2", "nothing")
        ]
        assert cellar.exists(f"{A}/1.1.1")

    def test_of_each_model(self, ready: Bench) -> None:
        """Each model has its own."""
        ready.cellar.alias(A, "production", "1.0.1")
        assert ready.cellar.aliases("vit/vit-l/base") == {}
        with pytest.raises(
            NoSuchVersion, match="has no alias 'production'; set it with: cellar alias vit/vit-l/base"
        ):
            ready.cellar.resolve("vit/vit-l/base@production")

    @pytest.mark.parametrize("yanked", [f"{A}/1.1.1", "vit/vit-l/base/1.1"])
    def test_of_a_yanked_version(self, ready: Bench, yanked: str) -> None:
        """An alias does not mean a yanked version in silence, nor another one instead."""
        ready.cellar.alias(A, "production", "1.1.1")
        ready.cellar.yank(yanked, "bad")
        with pytest.raises(
            Yanked, match=r"projectA@production means 1\.1\.1, which was yanked or .*; move the alias"
        ):
            ready.cellar.resolve(f"{A}@production")

    def test_to_a_yanked_version(self, ready: Bench) -> None:
        """Nor can it be pointed to one."""
        ready.cellar.yank(f"{A}/1.1.1", "bad")
        with pytest.raises(
            Yanked, match=r"1\.1\.1 was yanked; no alias can mean it; choose another: cellar ls"
        ):
            ready.cellar.alias(A, "production", "1.1.1")

    def test_moved_by_two_at_once(self, ready: Bench) -> None:
        """Of two who move an alias at the same moment one is told, and may try again."""

        def meanwhile() -> None:
            ready.cellar.alias(A, "production", "1.0.1")

        late = caller(ready.cellar, Watched(ready.cellar.store, ("create", "/aliases/"), meanwhile))
        with pytest.raises(
            ChangedMeanwhile, match="was written by somebody else meanwhile; look, then decide"
        ) as caught:
            late.alias(A, "production", "1.1.1")
        assert caught.value.retryable
        assert str(ready.cellar.aliases(A)["production"].version) == "1.0.1"


class TestPull:
    """Getting a version out."""

    def test_tree(self, bench: Bench, tmp_path: Path) -> None:
        """What was registered comes out, with its directories; what a user does to it changes nothing in the cellar."""
        path = bench.files("weights", config__yaml="a: 1")
        write(path / "logs" / "deeper", "log")
        ref = bench.cellar.register_base("vit/vit-l", path, bump="minor").ref
        pulled = bench.cellar.pull(ref, tmp_path / "new" / "place")
        assert pulled == tmp_path / "new" / "place"
        files = {file.relative_to(path): file.read_text() for file in path.rglob("*") if file.is_file()}
        assert {
            file.relative_to(pulled): file.read_text() for file in pulled.rglob("*") if file.is_file()
        } == files
        (pulled / "model.bin").write_text("spoiled")
        bench.cellar.verify(ref)

    def test_relative_place(self, ready: Bench, tmp_path: Path) -> None:
        """A relative place is one of the working directory."""
        assert ready.cellar.pull(A, "model") == tmp_path / "model"

    def test_two_into_one_place(self, ready: Bench, tmp_path: Path) -> None:
        """Of two who pull into one place one gets it, whole; the other is told, and leaves nothing behind."""

        def act(index: int) -> bool:
            try:
                caller(ready.cellar).pull(A, tmp_path / "target")
            except TargetExists:
                return False
            return True

        for _ in range(10):
            assert threads(3, act).count(True) == 1
            assert [path.name for path in (tmp_path / "target").iterdir()] == ["model.bin"]
            assert not list(tmp_path.glob(".cellar-tmp-*"))
            shutil.rmtree(tmp_path / "target")


def test_everything_on_disk(disk: Cellar, bench: Bench, tmp_path: Path) -> None:
    """The whole path once on a disk: register, bump, plan, rebuild, alias, yank, pull, verify."""
    on_disk(disk, bench)
    disk.register_base("vit/vit-l", bench.files("better base"), bump="minor")
    [rebuild] = disk.plan("vit/vit-l").rebuilds
    assert disk.rebuild(rebuild, train, holder="a test").outcome == "built"
    disk.alias(A, "production", "1.1.1")
    assert "better base" in (disk.pull(f"{A}@production", tmp_path / "model") / "model.bin").read_text()
    disk.yank("vit/vit-l/base/1.1", "bad labels")
    assert str(disk.verify(A).ref) == f"{A}/1.0.1"
    assert not disk.plan("vit/vit-l")


def test_only_a_project_that_there_is_can_be_approved_for(bench: Bench) -> None:
    """A mistyped project is told, and nothing is written down."""
    bench.project(bench.base(bump="major"))
    with pytest.raises(NoSuchVersion, match=r"has no project 'projectB'; there is: projectA"):
        bench.cellar.approve("vit/vit-l/base/1.0", project="projectB")
    bench.cellar.approve("vit/vit-l/base/1.0", project="projectA")


def test_an_exact_version_keeps_the_contract_of_its_line(bench: Bench) -> None:
    """A contract holds within one X, however the number was chosen."""
    bench.cellar.create_rack("vit/vit-l")
    bench.configure('[artifact]\ncontract_files = ["signature.json"]')
    bench.cellar.register_base("vit/vit-l", bench.files("one", signature__json="a"), version="1.0")
    with pytest.raises(ContractChanged):
        bench.cellar.register_base("vit/vit-l", bench.files("two", signature__json="b"), version="1.1")
    bench.cellar.register_base("vit/vit-l", bench.files("two", signature__json="b"), version="2.0")


def test_yanks_tell_by_whom_and_why(bench: Bench) -> None:
    """A version's own yank and that of its base, as long as each holds."""
    base = bench.base(bump="major")
    model = bench.project(base)
    assert bench.cellar.yanks(model) == ()
    assert bench.cellar.yank(base, "bad labels") is True
    assert bench.cellar.yank(base, "once more") is False
    assert bench.cellar.yank(model, "bad seed") is True
    assert [(str(yank.ref), yank.why) for yank in bench.cellar.yanks(model)] == [
        (model, "bad seed"),
        (base, "bad labels"),
    ]
    assert [str(yank.ref) for yank in bench.cellar.yanks(base)] == [base]
    assert bench.cellar.unyank(base, "they were right") is True
    assert bench.cellar.unyank(base, "") is False
    [own] = bench.cellar.yanks(model)
    assert str(own).startswith(f"{model} was yanked by {own.by} on ")
