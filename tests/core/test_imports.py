"""A tree of ml-cellar becomes a cellar: nothing is moved, and what cannot be a version is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cellar_core import Cellar, layout
from cellar_core.cli import app
from cellar_core.imports import Imported, import_versions
from cellar_core.ref import Model, Rack
from cellar_core.store import open_store
from tests.core.helpers import Watched, blank, write
from tests.core.test_check import CONFIG, WHOLE, put, version

RACK = Rack("vit/vit-l")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An ml-cellar repository, in which somebody has made a cellar."""
    place = tmp_path / "repository"
    put(place / "vit/vit-l", "config.toml", CONFIG)
    put(place / "vit/vit-l", "README.md")
    for name in ("base/0.1", "base/1.0", "base/1.2", "projectA/1.0.1", "projectA/1.0.2"):
        put(version(place, name), "config.yaml", name)
    put(version(place, "base/1.2"), "result.json", '{"accuracy": 0.9}')
    blank(place)
    return place


def imported(tree: Path, place: Rack | Model = RACK) -> Imported:
    cellar = Cellar(tree)
    return import_versions(cellar.store, place, cellar.config(RACK))


def files(tree: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of each file that is not ours."""
    found = (path for path in tree.rglob("*") if path.is_file() and ".cellar" not in path.parts)
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def test_a_tree_becomes_a_cellar(tree: Path, tmp_path: Path) -> None:
    before = files(tree)
    done = imported(tree)
    order = ["base/0.1", "base/1.0", "base/1.2", "projectA/1.0.1", "projectA/1.0.2"]
    assert [str(ref) for ref in done.imported] == [f"{RACK}/{name}" for name in order]
    assert not done.problems
    assert files(tree) == before
    cellar = Cellar(tree)
    record = cellar.resolve(f"{RACK}/projectA@latest")
    assert record.parent
    assert str(record.parent.ref) == f"{RACK}/base/1.0"
    assert record.parent.tree == cellar.resolve(f"{RACK}/base/1.0").tree
    assert cellar.resolve(f"{RACK}/base@latest").metrics == {"accuracy": 0.9}
    cellar.verify(f"{RACK}/base/1.2")
    assert [str(one.model) for one in cellar.plan(RACK).rebuilds] == [f"{RACK}/projectA"]


def test_importing_again_changes_nothing(tree: Path) -> None:
    first = imported(tree)
    store = open_store(str(tree))
    before = dict.fromkeys(store.find(""))
    again = imported(tree)
    assert (again.imported, again.already) == ((), tuple(sorted(first.imported)))
    assert dict.fromkeys(store.find("")) == before


def test_registering_goes_on_after_the_imported_numbers(tree: Path, tmp_path: Path) -> None:
    """H1: the numbers that an import leaves out are passed over for good, so the walk stays true."""
    imported(tree)
    cellar = Cellar(tree)
    new = write(tmp_path / "new")
    for name in WHOLE:
        put(new, name, "new")
    (new / "model.bin").unlink()
    assert str(cellar.register_base(RACK, new, bump="minor").ref) == f"{RACK}/base/1.3"
    assert str(cellar.register_project(f"{RACK}/projectA", new, base=f"{RACK}/base/1.0").ref).endswith(
        "1.0.3"
    )


def test_the_same_content_is_the_same_version(tree: Path) -> None:
    imported(tree)
    same = tree / "vit/vit-l/projectA/1.0.1"
    done = Cellar(tree).register_project(f"{RACK}/projectA", same, base=f"{RACK}/base/1.0")
    assert (str(done.ref), done.created) == (f"{RACK}/projectA/1.0.1", False)


def test_a_pointer_of_git_lfs_is_no_file(tree: Path) -> None:
    """And nothing of its line is imported before it is: later numbers would pass it over."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    put(tree / "vit/vit-l/projectA/1.0.1", "a.pth", pointer)
    done = imported(tree)
    assert [ref.project for ref in done.imported] == ["base"] * 3
    assert [(one.path, one.rule) for one in done.problems] == [
        (f"{RACK}/projectA/1.0.1", "git-lfs"),
        (f"{RACK}/projectA", "order"),
    ]
    assert f"git lfs pull --include {RACK}/projectA/1.0.1/a.pth" in done.problems[0].sentence
    put(tree / "vit/vit-l/projectA/1.0.1", "a.pth", "weights")
    assert [str(ref.version) for ref in imported(tree).imported] == ["1.0.1", "1.0.2"]


def test_what_cannot_be_a_version_is_told(tree: Path) -> None:
    version(tree, "nightly/20260124")
    version(tree, "projectB/1.7.1")
    version(tree, "projectC/1.0.0")
    put(tree / "vit/vit-l/projectD/1.0.1", "a.pth")
    done = imported(tree)
    assert {one.path: one.rule for one in done.problems} == {
        f"{RACK}/nightly/20260124": "SPEC",
        f"{RACK}/projectB/1.7.1": "SPEC",
        f"{RACK}/projectC/1.0.0": "SPEC",
        f"{RACK}/projectD/1.0.1": "config.toml",
    }


def test_every_problem_of_a_line_is_told_at_once(tree: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    for name in ("a b.pth", "it's.pth"):
        put(tree / "vit/vit-l/projectA/1.0.1", name, pointer)
    put(tree / "vit/vit-l/projectA/1.0.2", "CONFIG.yaml")
    sentences = [one.sentence for one in imported(tree, RACK.project("projectA")).problems]
    assert any("--include 'vit/vit-l/projectA/1.0.1/a b.pth'" in one for one in sentences)
    assert any("""--include 'vit/vit-l/projectA/1.0.1/it'"'"'s.pth'""" in one for one in sentences)
    assert any("CONFIG.yaml matches no pattern" in one for one in sentences)
    assert any("'CONFIG.yaml' and 'config.yaml', one file on macOS and Windows" in one for one in sentences)


def test_the_base_of_a_version_is_looked_up_once(tree: Path) -> None:
    imported(tree, RACK.base)
    cellar = Cellar(tree)
    watched = Watched(cellar.store)
    import_versions(watched, RACK.project("projectA"), cellar.config(RACK))
    base = layout.record(RACK.base.at("1.0"))
    assert watched.asked.count(("read", base)) == 2  # once for each of the two versions


def test_one_model_alone(tree: Path) -> None:
    done = imported(tree, RACK.base)
    assert {ref.project for ref in done.imported} == {"base"}
    assert [str(ref.version) for ref in imported(tree, RACK.project("projectA")).imported] == [
        "1.0.1",
        "1.0.2",
    ]


def test_at_the_terminal(tree: Path) -> None:
    out = CliRunner().invoke(app, ["--cellar", str(tree), "import", str(RACK)])
    assert out.exit_code == 0
    assert out.stdout.splitlines()[0] == f"imported {RACK}/base/0.1"
    assert out.stdout.splitlines()[-1] == "5 imported, 0 were versions already"
    version(tree, "projectB/1.7.1")
    out = CliRunner().invoke(app, ["--cellar", str(tree), "import", f"{RACK}/projectB", "--json"])
    assert out.exit_code == 1
    assert Imported.model_validate_json(out.stdout).problems[0].path == f"{RACK}/projectB/1.7.1"
