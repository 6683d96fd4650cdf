"""Bad input gets a clear error, which names the thing and the next step, and the registry stays as it was."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest

from cellar_core import Cellar, CellarError
from cellar_core import payload as payloads
from cellar_core.admit import BaseMismatch, InvalidMetrics, InvalidRecipe
from cellar_core.bump import ContractChanged
from cellar_core.cellar import NoBumpGiven, NoCellarGiven, NotACellar
from cellar_core.choose import NoSuchVersion
from cellar_core.fetch import PayloadCorrupt, PayloadMissing, TargetExists
from cellar_core.layout import FORMAT, claim, config, entry, name, record
from cellar_core.lookup import Yanked
from cellar_core.names import NameTaken, NoSuchRack
from cellar_core.payload import InvalidPayload, SourceChanged, scan
from cellar_core.rack import BrokenRules, InvalidConfig
from cellar_core.record import NewerSchema, Record, Unreadable
from cellar_core.ref import InvalidRef, Model, Rack, Ref
from cellar_core.register import ForeignFiles
from cellar_core.store import UnknownStore
from cellar_core.version import InvalidVersion
from tests.core.helpers import Bench, as_nobody, snapshot, train, write

Acts: TypeAlias = list[Callable[[], object]]

RACK = "vit/vit-l"
BASE = "vit/vit-l/base/1.2"
A = "vit/vit-l/projectA"


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """A registry with a base and a project."""
    bench.project(bench.base(version="1.2"))
    return bench


@contextmanager
def refused(bench: Bench, kind: type[CellarError], *words: str) -> Iterator[None]:
    """Expect an error of that very kind whose message has all *words* in it, and a registry that stays as it was."""
    before = snapshot(bench.cellar)
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)
    assert snapshot(bench.cellar) == before


def overwrite(bench: Bench, key: str, data: bytes) -> None:
    """Write over an object, as only a person or a broken disk does."""
    store = bench.cellar.store
    store._fs.pipe_file(store._path(key), data)  # type: ignore[attr-defined]


BAD_NAMES = {
    "..": "must be 1-100 ASCII letters",
    "../secrets": "must be 1-100 ASCII letters",
    "a@b": "must be 1-100 ASCII letters",
    ".hidden": "must be 1-100 ASCII letters",
    "a\x07b": "must be 1-100 ASCII letters",
    "a\nb": "must be 1-100 ASCII letters",
    "x" * 101: "must be 1-100 ASCII letters",
    "modèle": "must be 1-100 ASCII letters",
    "BASE": "is a spelling of the reserved name 'base'",
    "1.2": "looks like a version",
    "aux": "is a device name on Windows",
    "": "is empty",
}


class TestNames:
    """Names."""

    @pytest.mark.parametrize("bad", BAD_NAMES)
    def test_rack(self, ready: Bench, bad: str) -> None:
        """A rack's name: whoever uses it, and wherever."""
        cellar = ready.cellar
        acts: Acts = [
            lambda: cellar.create_rack(bad),
            lambda: cellar.create_rack(f"vit/{bad}"),
            lambda: cellar.register_base(bad, ready.files(), bump="minor"),
            lambda: cellar.plan(bad),
            lambda: cellar.models(bad),
            lambda: cellar.config(bad),
        ]
        for act in acts:
            with refused(ready, InvalidRef, BAD_NAMES[bad], "Write it like 'vit/vit-l'"):
                act()

    @pytest.mark.parametrize("bad", [bad for bad in BAD_NAMES if "@" not in bad and bad != "1.2"])
    def test_project(self, ready: Bench, bad: str) -> None:
        """A project's name."""
        cellar = ready.cellar
        model = f"{RACK}/{bad}"
        acts: Acts = [
            lambda: cellar.register_project(model, ready.files(), base=BASE),
            lambda: cellar.retrain(model, train),
            lambda: cellar.resolve(model),
            lambda: cellar.resolve(f"{model}@latest"),
            lambda: cellar.versions(model),
            lambda: cellar.aliases(model),
            lambda: cellar.ask(model, "why"),
            lambda: cellar.approve(BASE, project=bad or " "),
        ]
        for act in acts:
            with refused(ready, InvalidRef, "Write it like 'vit/vit-l"):
                act()

    def test_project_with_an_at_sign(self, ready: Bench) -> None:
        """An @ in a project's name."""
        with refused(ready, InvalidRef, "'a@b' must be 1-100 ASCII letters", "Write it like"):
            ready.cellar.register_project(f"{RACK}/a@b", ready.files(), base=BASE)

    def test_case_twins_of_a_project(self, ready: Bench) -> None:
        """Two spellings of one project, which some stores take for one."""
        with refused(
            ready, NameTaken, "vit/vit-l/PROJECTA is already spelled vit/vit-l/projectA", "write it like that"
        ):
            ready.project(BASE, name="PROJECTA")

    def test_case_twins_of_a_rack(self, ready: Bench) -> None:
        """Two spellings of one rack."""
        with refused(
            ready, NameTaken, "VIT/vit-l/base is already spelled vit/vit-l/base", "write it like that"
        ):
            ready.base(rack="VIT/vit-l")

    @pytest.mark.parametrize(
        ("rack", "words"),
        [
            ("vit", "vit would lie above rack vit/vit-l"),
            ("vit/vit-l/deeper", "vit/vit-l/deeper would lie below rack vit/vit-l"),
        ],
    )
    def test_rack_in_a_rack(self, ready: Bench, rack: str, words: str) -> None:
        """A rack above or below another."""
        for act in (lambda: ready.base(rack=rack), lambda: ready.cellar.create_rack(rack)):
            with refused(ready, NameTaken, words, "choose another name"):
                act()

    def test_unknown_rack(self, ready: Bench) -> None:
        """A rack that is not there: the message lists those that are."""
        cellar = ready.cellar
        acts: Acts = [
            lambda: cellar.resolve("vit/vit-x/base"),
            lambda: cellar.resolve("vit/vit-x/base/1.2"),
            lambda: cellar.plan("vit/vit-x"),
            lambda: cellar.models("vit/vit-x"),
            lambda: cellar.retrain("vit/vit-x/projectA", train),
            lambda: cellar.register_project("vit/vit-x/projectA", ready.files(), base="vit/vit-x/base/1.2"),
        ]
        for act in acts:
            with refused(
                ready, NoSuchRack, "there is no rack vit/vit-x; racks here: vit/vit-l", "cellar register"
            ):
                act()

    @pytest.mark.parametrize("alias", ["latest", "1.2", "Prod", "../x", ""])
    def test_alias(self, ready: Bench, alias: str) -> None:
        """The name of an alias."""
        with refused(ready, InvalidRef, f"{alias!r} is no alias: write lower-case letters"):
            ready.cellar.alias(A, alias, "1.2.1")


class TestVersions:
    """Versions."""

    @pytest.mark.parametrize("bad", ["1", "01.2", "v1.2", "1.2.3", "", "1.2\n", "latest", "1.-2"])
    def test_base(self, ready: Bench, bad: str) -> None:
        """A base's version, as ``version=``, as ``after=`` and in a ref."""
        acts: Acts = [
            lambda: ready.base(version=bad),
            lambda: ready.base(after=bad),
            lambda: ready.base(rack="new/rack", version=bad),
            lambda: ready.project(f"{RACK}/base/{bad}"),
        ]
        for act in acts:
            with refused(ready, InvalidVersion, repr(bad), "write X.Y, such as 1.2"):
                act()

    @pytest.mark.parametrize("bad", ["1.2.0", "1", "1.2", "01.2.3", "1.2.3.4"])
    def test_project(self, ready: Bench, bad: str) -> None:
        """A project's version: Z starts at 1."""
        acts: Acts = [
            lambda: ready.project(BASE, version=bad),
            lambda: ready.cellar.resolve(f"{A}/{bad}"),
            lambda: ready.cellar.alias(A, "production", bad),
            lambda: ready.cellar.yank(f"{A}/{bad}", "why"),
        ]
        for act in acts:
            with refused(ready, InvalidVersion, repr(bad), "write X.Y.Z with Z from 1, such as 1.2.3"):
                act()

    def test_unknown_version(self, ready: Bench) -> None:
        """A version that is not there: the message lists those that are."""
        acts: Acts = [
            lambda: ready.cellar.resolve(f"{A}/1.2.9"),
            lambda: ready.cellar.pull(f"{A}/1.2.9", "somewhere"),
            lambda: ready.cellar.alias(A, "production", "1.2.9"),
            lambda: ready.cellar.yank(f"{A}/1.2.9", "why"),
        ]
        for act in acts:
            with refused(
                ready,
                NoSuchVersion,
                "there is no vit/vit-l/projectA/1.2.9; versions of vit/vit-l/projectA: 1.2.1",
            ):
                act()
        assert not Path("somewhere").exists()

    def test_bump(self, ready: Bench) -> None:
        """A kind of bump that there is not, none, or a bump and a version at once."""
        with refused(ready, NoBumpGiven, "'huge'", "minor or major"):
            ready.base(bump="huge")
        for keywords in (dict[str, Any](), {"bump": "minor", "version": "1.5"}):
            with refused(
                ready, NoBumpGiven, "give either bump= (minor or major) or an exact version=, such as 1.0"
            ):
                ready.cellar.register_base(RACK, ready.files(), **keywords)

    def test_after_and_version(self, ready: Bench) -> None:
        """A compare-and-set beside an exact number would be passed over in silence."""
        with refused(
            ready, NoBumpGiven, "after=1.2 goes with a bump=; version=1.5 says exactly which number"
        ):
            ready.base(version="1.5", after="1.2")

    def test_refused_first_base_makes_no_rack(self, ready: Bench) -> None:
        """What is refused leaves no rack behind."""
        with refused(ready, InvalidPayload, "result.json is no JSON"):
            ready.cellar.register_base("new/rack", ready.files(result__json="{"), bump="minor")
        with refused(ready, NoSuchRack, "there is no rack new/rack; racks here: vit/vit-l"):
            ready.base(rack="new/rack", after="1.0")

    def test_refused_project_takes_no_name(self, ready: Bench) -> None:
        """What is refused leaves no spelling behind, which a right one would then be measured by."""
        ready.configure('[artifact]\nrequired_files = ["*.safetensors"]')
        with refused(ready, BrokenRules, "*.safetensors"):
            ready.project(BASE, name="projectb")
        ready.configure("")
        assert ready.project(BASE, name="projectB") == "vit/vit-l/projectB/1.2.1"


class TestBase:
    """The base of a project's version."""

    def test_does_not_exist(self, ready: Bench) -> None:
        """A base that does not exist: the message lists those that do."""
        acts: Acts = [
            lambda: ready.project(f"{RACK}/base/1.3"),
            lambda: ready.cellar.retrain(A, train, base=f"{RACK}/base/1.3"),
            lambda: ready.cellar.approve(f"{RACK}/base/1.3"),
            lambda: ready.base(recipe={"pretrained": f"{RACK}/base/1.3"}),
        ]
        for act in acts:
            with refused(
                ready, NoSuchVersion, "there is no vit/vit-l/base/1.3; versions of vit/vit-l/base: 1.2"
            ):
                act()

    def test_of_another_rack(self, ready: Bench) -> None:
        """A base of another rack."""
        other = ready.base(rack="vit/vit-s", version="1.2")
        acts: Acts = [
            lambda: ready.cellar.register_project(A, ready.files(), base=other),
            lambda: ready.cellar.retrain(A, train, base=other),
        ]
        for act in acts:
            with refused(
                ready,
                BaseMismatch,
                "vit/vit-s/base/1.2 is of rack vit/vit-s, but vit/vit-l/projectA is of vit/vit-l",
            ):
                act()

    def test_does_not_match(self, ready: Bench) -> None:
        """A base that is not the one that the version names."""
        with refused(
            ready,
            BaseMismatch,
            "version 1.3.1 says that it was made from base 1.3, not from vit/vit-l/base/1.2",
        ):
            ready.project(BASE, version="1.3.1")

    def test_is_a_tuned_model(self, ready: Bench) -> None:
        """A project's model in the place of a base."""
        acts: Acts = [
            lambda: ready.project(f"{A}/1.2.1", name="projectB"),
            lambda: ready.cellar.retrain(A, train, base=A),
        ]
        for act in acts:
            with refused(
                ready,
                BaseMismatch,
                "projectA/1.2.1 is a project's model: nothing is tuned from",
                "name a base",
            ):
                act()
        with refused(
            ready, BaseMismatch, "projectA/1.2.1 is no base; approve the base that projects are to move to"
        ):
            ready.cellar.approve(f"{A}/1.2.1")
        with refused(ready, InvalidRecipe, "the recipe is not valid: pretrained: ", "name a base"):
            ready.base(recipe={"pretrained": f"{A}/1.2.1"})

    def test_was_yanked(self, ready: Bench) -> None:
        """A base that was yanked."""
        ready.cellar.yank(BASE, "bad labels")
        with refused(ready, Yanked, f"{BASE} was yanked; make {A} from another base: cellar ls vit/vit-l"):
            ready.project(BASE)

    def test_is_the_model(self, ready: Bench) -> None:
        """The base in the place of a project."""
        acts: Acts = [
            lambda: ready.cellar.register_project(f"{RACK}/base", ready.files(), base=BASE),
            lambda: ready.cellar.retrain(f"{RACK}/base", train),
            lambda: ready.cellar.ask(f"{RACK}/base", "why"),
        ]
        for act in acts:
            with refused(
                ready,
                BaseMismatch,
                "vit/vit-l/base is a base; name a project's model, such as vit/vit-l/projectA",
            ):
                act()


class TestDirectory:
    """The directory that is registered."""

    def refuse(
        self, bench: Bench, path: Path | str, *words: str, kind: type[CellarError] = InvalidPayload
    ) -> None:
        acts: Acts = [
            lambda: bench.cellar.register_base(RACK, path, bump="minor"),
            lambda: bench.cellar.register_base("new/rack", path, bump="minor"),
            lambda: bench.cellar.register_project(f"{RACK}/new", path, base=BASE),
        ]
        for act in acts:
            with refused(bench, kind, *words):
                act()

    def test_missing(self, ready: Bench, tmp_path: Path) -> None:
        """A directory that is not there."""
        self.refuse(
            ready, tmp_path / "nowhere", "nowhere is not there; give the directory that training wrote"
        )

    def test_a_file(self, ready: Bench, tmp_path: Path) -> None:
        """A file in the place of a directory."""
        (tmp_path / "model.bin").touch()
        self.refuse(
            ready, tmp_path / "model.bin", "model.bin is no directory; give the directory that training wrote"
        )

    @pytest.mark.parametrize("below", [False, True])
    def test_empty(self, ready: Bench, tmp_path: Path, below: bool) -> None:
        """A directory without a file, or with nothing but empty directories."""
        path = tmp_path / "out"
        (path / "logs" / "deeper" if below else path).mkdir(parents=True)
        self.refuse(ready, path, "out is empty; give the directory that training wrote")

    @pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "inside/../../secret"])
    def test_link_that_leads_out(self, ready: Bench, tmp_path: Path, target: str) -> None:
        """A link that leads out of the directory."""
        (tmp_path / "secret").touch()
        path = write(tmp_path / "out")
        (path / "inside").mkdir()
        (path / "link").symlink_to(target)
        self.refuse(ready, path, "link is a link that leads out of the directory, to /", "copy the file in")

    def test_other_links(self, ready: Bench, tmp_path: Path) -> None:
        """A link to nowhere, to a directory, to itself."""
        for target, words in (
            ("nowhere", "which is not there; remove it or copy the file in"),
            ("inside", "is a link to a directory; copy its files in"),
            ("link", "link is a link"),
        ):
            path = write(tmp_path / f"to {target}")
            (path / "inside").mkdir()
            (path / "link").symlink_to(target)
            self.refuse(ready, path, "link", words)

    def test_link_to_a_file_inside(self, ready: Bench, tmp_path: Path) -> None:
        """A link to a file of the same directory is that file."""
        path = write(tmp_path / "out", "weights")
        (path / "last.bin").symlink_to("model.bin")
        done = ready.cellar.register_base(RACK, path, bump="minor")
        pulled = ready.cellar.pull(done.ref, tmp_path / "pulled")
        assert (pulled / "last.bin").read_text() == "weights"
        assert not (pulled / "last.bin").is_symlink()

    def test_directory_that_is_a_link(self, ready: Bench, tmp_path: Path) -> None:
        """The directory itself may be a link, such as ``latest``."""
        write(tmp_path / "runs" / "17")
        (tmp_path / "latest").symlink_to("runs/17")
        assert ready.cellar.register_base(RACK, tmp_path / "latest", bump="minor").created

    def test_socket(self, ready: Bench, tmp_path: Path) -> None:
        """A socket."""
        path = write(tmp_path / "out")
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(path)
            server.bind("sock")
            self.refuse(ready, path, "sock is no regular file (a socket, pipe or device); remove it")

    def test_pipe(self, ready: Bench, tmp_path: Path) -> None:
        """A named pipe, which would otherwise be waited for."""
        path = write(tmp_path / "out")
        os.mkfifo(path / "pipe")
        (path / "link").symlink_to("pipe")
        self.refuse(ready, path, "is no regular file (a socket, pipe or device); remove it")

    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_unreadable(self, ready: Bench, what: str) -> None:
        """A file or a directory that may not be read."""
        with TemporaryDirectory() as parent:
            Path(parent).chmod(0o755)
            path = write(Path(parent) / "out")
            (path / "inside").mkdir()
            (path / ("model.bin" if what == "file" else "inside")).chmod(0)
            name = "model.bin" if what == "file" else "inside"
            with as_nobody():
                self.refuse(ready, path, f"{name} cannot be read (Permission denied); change its permissions")

    @pytest.mark.parametrize("how", ["grows", "shrinks", "same size", "goes away"])
    def test_changes_while_it_is_read(
        self, ready: Bench, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that changes while it is read: trying again helps once it is at rest."""
        monkeypatch.setattr(payloads, "PIECE", 4)
        path = write(tmp_path / "out", "0123456789")
        file = path / "model.bin"

        def change(count: int) -> None:
            if how == "grows":
                file.write_text("0123456789 and more")
            elif how == "shrinks":
                file.write_text("0")
            elif how == "same size":
                file.write_text("9876543210")
            else:
                file.unlink(missing_ok=True)

        once = threading.Lock()
        with pytest.raises(
            SourceChanged, match=r"changed while it was read; register once training has ended|went away"
        ) as caught:
            scan(path, lambda count: change(count) if once.acquire(blocking=False) else None)
        assert caught.value.retryable
        if how != "goes away":
            assert scan(path).files[0].size == file.stat().st_size

    @pytest.mark.parametrize(
        ("twins", "words"),
        [
            (("Model.bin", "model.bin"), "has both"),
            (("é.bin", "e\u0301.bin"), "has both"),
            (("logs/A", "LOGS/a"), "has both"),
        ],
    )
    def test_case_twins(self, ready: Bench, tmp_path: Path, twins: tuple[str, str], words: str) -> None:
        """Two files whose names some file systems take for one."""
        path = tmp_path / "out"
        for twin in twins:
            (path / twin).parent.mkdir(parents=True, exist_ok=True)
            (path / twin).touch()
        self.refuse(ready, path, words, "one file on macOS and Windows; rename one")

    @pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\x7f", "a\\b", "a\u200eb", "a\udcffb"])
    def test_file_names(self, ready: Bench, tmp_path: Path, name: str) -> None:
        """A file name with a control character, a backslash, or bytes that are no text; it is shown visibly."""
        path = write(tmp_path / "out")
        (path / os.fsdecode(os.fsencode(name))).touch()
        self.refuse(ready, path, repr(name), "has a control character or a backslash in its name; rename it")

    def test_name_that_is_kept(self, ready: Bench, tmp_path: Path) -> None:
        """A name that half-written files have."""
        path = write(tmp_path / "out", **{".cellar-tmp-1": "x"})
        self.refuse(
            ready, path, "begins with '.cellar-tmp-', which is kept for half-written files; rename it"
        )


class TestRules:
    """The rack's ``config.toml``."""

    KEY = config(Rack(RACK))

    def test_missing_required_files(self, ready: Bench) -> None:
        """Files that the rack asks for, and files that it does not know: each is named."""
        ready.configure(
            '[artifact]\nrequired_files = ["config.yaml", "logs/", "*.bin"]\noptional_files = ["*.md"]'
        )
        acts: Acts = [
            lambda: ready.cellar.register_base(RACK, ready.files(extra="x", README__md="x"), bump="minor"),
            lambda: ready.cellar.register_project(f"{RACK}/new", ready.files(extra="x"), base=BASE),
        ]
        for act in acts:
            with refused(
                ready,
                BrokenRules,
                "the rack's rules (config.toml)",
                'no file matches required_files pattern "config.yaml"',
                'no file matches required_files pattern "logs/"',
                "extra matches no pattern of required_files or optional_files",
            ):
                act()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[artifact\n", "is no TOML: "),
            ("a = 1\na = 2\n", "is no TOML: "),
            ("[artifact]\nrequired_files = 3", "artifact.required_files: "),
            ('[artifact]\nrequired_files = ["a", 3]', "artifact.required_files.1: "),
            ('[rebuild]\non_minor = "sometimes"', "rebuild.on_minor: "),
            ("[rebuild]\nmax_parallel = 0", "rebuild.max_parallel: "),
            ("[rebuild]\nmax_paralel = 2", "rebuild.max_paralel: "),
            ('[projects.projectA]\ntrack = "production"', "projects.projectA.track: "),
            ('[projects.projectA]\ntrack = "1.2"', "projects.projectA.track: "),
            ('[projects.projectA]\ntrack = ">>1"', "projects.projectA.track: "),
            ("[projects.projectA]\nhold = true", "projects.projectA.hold: "),
            ('[projects.projectA]\nhold = { until = "someday" }', "projects.projectA.hold.until: "),
            ("[projects.projectA]\nhold = { until = 20270131 }", "projects.projectA.hold.until: "),
            ('[projects.projectA]\nhold = { untill = "x" }', "projects.projectA.hold.untill: "),
            ('[projects.projectA.recipe]\nseed = "x"', "projects.projectA.recipe.seed: "),
            (
                '[projects.projectA.recipe]\npretrained = "vit/vit-l/projectA/1.2.1"',
                "projects.projectA.recipe.pretrained: ",
            ),
            ('[projects."../x"]', "projects: "),
            ("[projects.base]", "projects: "),
            ("[projects.Base]", "projects: "),
            ("projects = 3", "projects: "),
        ],
    )
    def test_malformed(self, ready: Bench, text: str, words: str) -> None:
        """A malformed file: the error names the file and the key in it, whoever reads it."""
        ready.configure(text)
        acts: Acts = [
            lambda: ready.cellar.config(RACK),
            lambda: ready.cellar.plan(RACK),
            lambda: ready.cellar.register_base(RACK, ready.files("new"), bump="minor"),
            lambda: ready.cellar.register_project(f"{RACK}/new", ready.files(), base=BASE),
            lambda: ready.cellar.retrain(A, train),
        ]
        for act in acts:
            with refused(ready, InvalidConfig, self.KEY, words):
                act()

    def test_no_text(self, ready: Bench) -> None:
        """A file that is no text."""
        overwrite(ready, self.KEY, b"\xff\xfe")
        with refused(ready, InvalidConfig, self.KEY, "is no TOML"):
            ready.cellar.plan(RACK)

    def test_what_others_write_is_let_be(self, ready: Bench) -> None:
        """ml-cellar's own tables, and tables of a later release, are no error."""
        ready.configure(
            '[rack]\nname = "vit"\n[project]\nlist = ["a"]\n[artifact]\nnew_rule = 1\n[later]\nx = 1'
        )
        assert ready.cellar.config(RACK).artifact.required_files == ()

    def test_resolve_does_not_need_it(self, ready: Bench) -> None:
        """Who only reads is not stopped by a mistake in it."""
        ready.configure("[artifact\n")
        assert str(ready.cellar.resolve(A).ref) == f"{A}/1.2.1"

    def test_contract(self, ready: Bench) -> None:
        """A minor bump that changes what the application relies on."""
        ready.configure('[artifact]\ncontract_files = ["signature.json"]')
        with refused(
            ready,
            ContractChanged,
            "signature.json is not as in vit/vit-l/base/1.2",
            "register with bump=major",
        ):
            ready.cellar.register_base(RACK, ready.files(signature__json="{}"), bump="minor")

    def test_result_file(self, ready: Bench) -> None:
        """A result file that is no JSON."""
        with refused(
            ready,
            InvalidPayload,
            "result.json is no JSON",
            "metrics are read from it (config.toml: document.result_file)",
        ):
            ready.cellar.register_base(RACK, ready.files(result__json="{'a': 1}"), bump="minor")

    @pytest.mark.parametrize("metrics", [{"loss": object()}, {"path": {Path}}, {"text": "\ud800"}])
    def test_metrics(self, ready: Bench, metrics: Any) -> None:
        """Metrics that JSON cannot hold are told before anything is sent."""
        acts: Acts = [
            lambda: ready.base(metrics=metrics),
            lambda: ready.base(rack="new/rack", metrics=metrics),
            lambda: ready.project(BASE, metrics=metrics),
        ]
        for act in acts:
            with refused(
                ready, InvalidMetrics, "the metrics cannot be written as JSON (", "such as by float()"
            ):
                act()


class TestRecipe:
    """A recipe."""

    @pytest.mark.parametrize(
        ("recipe", "words"),
        [
            ({"seed": "x"}, "seed: "),
            ({"data": 3}, "data: "),
            ({"parameters": [1]}, "parameters: "),
            ({"pretrained": "vit"}, "pretrained: "),
            ({"parameters": {"lr": float("nan")}}, "parameters"),
            ({"parameters": {"lr": float("inf")}}, "parameters"),
            ({"parameters": {"model": object()}}, "parameters"),
            ({"anything": object()}, "anything"),
            ([1], ""),
        ],
    )
    def test_not_valid(self, ready: Bench, recipe: Any, words: str) -> None:
        """A recipe that is none, or that JSON cannot hold: the field is named."""
        acts: Acts = [
            lambda: ready.base(recipe=recipe),
            lambda: ready.base(rack="new/rack", recipe=recipe),
            lambda: ready.project(BASE, recipe=recipe),
            lambda: ready.cellar.retrain(A, train, recipe=recipe),
        ]
        for act in acts:
            with refused(ready, InvalidRecipe, "the recipe is not valid: ", words):
                act()


class TestStored:
    """What lies in the cellar."""

    KEY = record(Ref(f"{A}/1.2.1"))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (b"{" + b" " * 300, "is not JSON"),
            (b"\xff" * 300, "is not JSON"),
            (b"[]" + b" " * 300, "is no record: "),
            (b'"text"' + b" " * 300, "is no record: "),
            (b"{}" + b" " * 300, "is no record: ref: "),
            ({"ref": "../x"}, "is no record: ref: "),
            ({"tree": "md5:0"}, "is no record: tree: "),
            (
                {"files": [{"path": "a", "size": -1, "digest": "blake3:" + "0" * 64}]},
                "is no record: files.0.size: ",
            ),
            (
                {"files": [{"path": "../../evil", "size": 1, "digest": "blake3:" + "0" * 64}]},
                "is no record: files.0.path: ",
            ),
            (
                {"files": [{"path": "/etc/evil", "size": 1, "digest": "blake3:" + "0" * 64}]},
                "is no record: files.0.path: ",
            ),
            (
                {"files": [{"path": "a/../../b", "size": 1, "digest": "blake3:" + "0" * 64}]},
                "is no record: files.0.path: ",
            ),
            ({"schema": 0}, "is no record: schema: "),
        ],
    )
    def test_malformed_record(self, ready: Bench, tmp_path: Path, change: Any, words: str) -> None:
        """A malformed record: the error names the object and the key in it; other versions are not concerned."""
        other = ready.project(BASE)
        facts = ready.cellar.resolve(f"{A}/1.2.1").model_dump(mode="json", by_alias=True)
        data = change if isinstance(change, bytes) else json.dumps({**facts, **change}).encode()
        overwrite(ready, self.KEY, data)
        acts: Acts = [
            lambda: ready.cellar.resolve(f"{A}/1.2.1"),
            lambda: ready.cellar.pull(f"{A}/1.2.1", tmp_path / "pulled"),
            lambda: ready.cellar.records(A),
        ]
        for act in acts:
            with refused(ready, Unreadable, self.KEY, words, "restore it from a backup"):
                act()
        assert not (tmp_path / "pulled").exists()
        assert str(ready.cellar.resolve(A).ref) == other
        assert ready.project(BASE) == f"{A}/1.2.3"

    def test_newer_record(self, ready: Bench) -> None:
        """A record of a newer schema: only what needs it is refused, and the message says to upgrade."""
        other = ready.project(BASE)
        facts = ready.cellar.resolve(f"{A}/1.2.1").to_bytes().replace(b'"schema": 1', b'"schema": 2')
        overwrite(ready, self.KEY, facts.replace(b'"schema":1', b'"schema":2'))
        with refused(
            ready, NewerSchema, f"{self.KEY} has schema 2, this release reads up to 1; upgrade cellar-flows"
        ):
            ready.cellar.resolve(f"{A}/1.2.1")
        assert str(ready.cellar.resolve(A).ref) == other
        assert [str(ref) for ref in ready.cellar.versions(A)] == [f"{A}/1.2.1", other]
        assert not ready.cellar.plan(RACK)

    def test_unknown_fields_are_kept(self, ready: Bench) -> None:
        """Fields of a later release of the same schema are kept, at every depth."""
        stored = ready.cellar.resolve(f"{A}/1.2.1")
        later = (
            stored.to_bytes()
            .replace(b'"notes"', b'"later": {"x": 1}, "notes"', 1)
            .replace(b'"size"', b'"mode": 420, "size"', 1)
        )
        overwrite(ready, self.KEY, later)
        again = Record.from_bytes(ready.cellar.resolve(f"{A}/1.2.1").to_bytes(), self.KEY)
        assert (again.model_extra or {})["later"] == {"x": 1}
        assert (again.files[0].model_extra or {})["mode"] == 420

    @pytest.mark.parametrize("data", [b"{not json", b"[]", b'{"schema": 2, "identity": "x"}'])
    def test_malformed_claim(self, ready: Bench, data: bytes) -> None:
        """A claim that cannot be read stops the line it is on, by name, and no other line."""
        key = claim(Ref(f"{A}/1.2.2"))
        overwrite(ready, key, data)
        with refused(ready, NewerSchema if b"2" in data else Unreadable, key):
            ready.project(BASE)
        assert ready.project(BASE, name="projectB") == f"{RACK}/projectB/1.2.1"

    def test_malformed_name(self, ready: Bench) -> None:
        """A spelling that cannot be read is named."""
        key = name(Model(A))
        overwrite(ready, key, b"{}")
        with refused(ready, Unreadable, f"{key} names no model; restore it from a backup"):
            ready.project(BASE)

    @pytest.mark.parametrize("data", [b"{not json", b"{}", b'{"layout": "x", "cellar": "y"}', b"[]"])
    def test_malformed_format(self, ready: Bench, data: bytes) -> None:
        """A format that cannot be read is named, before anything is written."""
        overwrite(ready, entry(FORMAT, 1), data)
        with pytest.raises(
            Unreadable, match=r"\.cellar/format/000001\.json in memory://.* is no format of a cellar"
        ):
            Cellar(ready.cellar.url).register_base(RACK, ready.files(), bump="minor")

    def test_newer_layout(self, ready: Bench) -> None:
        """A cellar of a newer layout is not written to, and what is not found in it may be elsewhere."""
        overwrite(ready, entry(FORMAT, 2), b'{"layout": 2, "cellar": "ignored"}')
        cellar = Cellar(ready.cellar.url)
        acts: Acts = [
            lambda: cellar.resolve(f"{RACK}/projectX@latest"),
            lambda: cellar.plan("vit/vit-x"),
            lambda: cellar.register_base(RACK, ready.files(), bump="minor"),
        ]
        for act in acts:
            with refused(ready, NewerSchema, "has layout 2, this release knows 1; upgrade cellar-flows"):
                act()

    def test_files_of_other_tools(self, ready: Bench) -> None:
        """Files that a person or a file manager left under ``.cellar/`` disturb nobody."""
        for place in (
            "format",
            "racks",
            "racks/vit",
            "records/vit/vit-l/projectA",
            "claims/vit/vit-l/projectA",
            "rebuilds/vit/vit-l/projectA",
        ):
            for file in (".DS_Store", "notes.txt", "1.2.3.json.bak"):
                overwrite(ready, f".cellar/{place}/{file}", b"x" * 300)
        assert Cellar.init(ready.cellar.url).id == ready.cellar.id
        assert [str(rack) for rack in ready.cellar.racks()] == [RACK]
        assert ready.project(BASE) == f"{A}/1.2.2"
        assert [str(ref.version) for ref in ready.cellar.versions(A)] == ["1.2.1", "1.2.2"]
        assert not ready.cellar.plan(RACK)
        with refused(ready, NameTaken, "vit would lie above rack vit/vit-l"):
            ready.cellar.create_rack("vit")

    def test_foreign_files(self, ready: Bench) -> None:
        """Foreign files at the place of the next version."""
        overwrite(ready, f"{A}/1.2.2/model.bin", b"theirs")
        with refused(
            ready,
            ForeignFiles,
            f"{A}/1.2.2/ holds files that nobody registered; move them away",
            "cellar import",
        ):
            ready.project(BASE)

    def test_payload_is_gone(self, ready: Bench, tmp_path: Path) -> None:
        """A payload that somebody deleted: nothing half is left where it was to be pulled to."""
        ready.cellar.store.delete(f"{A}/1.2.1/model.bin")
        for act in (lambda: ready.cellar.pull(A, tmp_path / "pulled"), lambda: ready.cellar.verify(A)):
            with refused(
                ready, PayloadMissing, f"{A}/1.2.1/model.bin is not in the cellar any more", "yank it"
            ):
                act()
        assert not list(tmp_path.glob("*pulled*"))
        assert not list(tmp_path.glob(".cellar-tmp-*"))

    def test_payload_is_corrupt(self, ready: Bench, tmp_path: Path) -> None:
        """A payload that is not what was registered: nothing of it is left where it was to be pulled to."""
        overwrite(ready, f"{A}/1.2.1/model.bin", b"x")
        with refused(ready, PayloadCorrupt, f"{A}/1.2.1/model.bin is blake3:", "cellar verify"):
            ready.cellar.pull(A, tmp_path / "pulled")
        assert not list(tmp_path.glob("*pulled*"))
        assert not list(tmp_path.glob(".cellar-tmp-*"))

    def test_all_bad_files_are_named(self, ready: Bench) -> None:
        """Verifying names every bad file, not the first."""
        ref = ready.cellar.register_base(RACK, ready.files("a", one="1", two="2"), bump="minor").ref
        overwrite(ready, f"{ref}/one", b"x")
        ready.cellar.store.delete(f"{ref}/two")
        with refused(
            ready,
            PayloadCorrupt,
            f"2 files of {ref}: ",
            f"{ref}/one is blake3:",
            f"{ref}/two is not in the cellar",
        ):
            ready.cellar.verify(ref)

    @pytest.mark.parametrize("what", ["file", "full"])
    def test_pull_onto_something(self, ready: Bench, tmp_path: Path, what: str) -> None:
        """A place that is taken is left as it is."""
        target = tmp_path / "target"
        if what == "file":
            target.write_text("mine")
        else:
            write(target, "mine")
        before = {path: path.read_text() for path in (target, *target.rglob("*")) if path.is_file()}
        with refused(
            ready, TargetExists, "target exists and is not empty; name a new directory, or remove it"
        ):
            ready.cellar.pull(A, target)
        assert {path: path.read_text() for path in before} == before

    def test_pull_into_an_empty_directory(self, ready: Bench, tmp_path: Path) -> None:
        """An empty directory is as good as none."""
        (tmp_path / "target").mkdir()
        assert (ready.cellar.pull(A, tmp_path / "target") / "model.bin").exists()


class TestCellar:
    """Which cellar."""

    def test_never_initialised(self, tmp_path: Path, bench: Bench) -> None:
        """A place where no cellar was made: whatever is asked for, the message says how to make one, and makes none."""
        cellar = Cellar(tmp_path / "nowhere")
        acts: Acts = [
            lambda: cellar.id,
            cellar.racks,
            lambda: cellar.resolve(A),
            lambda: cellar.plan(RACK),
            lambda: cellar.create_rack(RACK),
            lambda: cellar.register_base(RACK, bench.files(), bump="minor"),
            lambda: cellar.register_project(A, bench.files(), base=BASE),
            lambda: cellar.retrain(A, train),
        ]
        for act in acts:
            with pytest.raises(
                NotACellar,
                match=r"there is no cellar at file:///.*/nowhere; make one with: cellar init file:///",
            ):
                act()
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize("url", [None, ""])
    def test_none_given(self, url: str | None) -> None:
        """Neither an argument nor the environment says which."""
        with pytest.raises(NoCellarGiven, match=r"which cellar\? Give its URL, or set CELLAR_URL"):
            Cellar(url)

    def test_from_the_environment(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment says which, if no argument does."""
        monkeypatch.setenv("CELLAR_URL", bench.cellar.url)
        assert Cellar().id == bench.cellar.id

    def test_unknown_url(self) -> None:
        """A URL of a kind that cannot hold a cellar."""
        with pytest.raises(UnknownStore, match="ftp://host/cellar: a cellar can be on"):
            Cellar("ftp://host/cellar")

    def test_no_permanent_error_asks_for_a_retry(self) -> None:
        """Only errors that trying again can help say so."""
        from cellar_core.log import ChangedMeanwhile
        from cellar_core.register import UploadLost
        from cellar_core.store import StoreUnavailable
        from cellar_core.trainer import TrainerFailed, TrainerTimeout

        def below(kind: type[CellarError]) -> set[type[CellarError]]:
            return {kind}.union(*(below(one) for one in kind.__subclasses__()))

        ours = {kind for kind in below(CellarError) if kind.__module__.startswith("cellar_core.")}
        assert {kind for kind in ours if kind.retryable} == {
            ChangedMeanwhile,
            SourceChanged,
            StoreUnavailable,
            TrainerFailed,
            TrainerTimeout,
            UploadLost,
        }
