"""Plain directories that keep ml-cellar's rules or do not, and the documents that are made from its templates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cellar_core.check import NoRackHere, Problem, check
from cellar_core.cli import app
from cellar_core.document import NoDocument, document, fill
from tests.core.helpers import blank

CONFIG = """
[rack]
name = "vit-l"
[artifact]
required_files = ["config.yaml", "*.pth", "logs/"]
optional_files = ["result.json"]
[project]
version_x_y = ["base"]
version_yyyymmdd = ["nightly"]
[document]
template_file = "template.md"
[rebuild]
on_minor = "auto"
"""
WHOLE = ("config.yaml", "a.pth", "logs/1.txt")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one rack, whose one version keeps every rule."""
    (tmp_path / ".git").mkdir()
    rack = tmp_path / "vit/vit-l"
    put(rack, "config.toml", CONFIG)
    put(rack, "README.md")
    put(rack, "template.md", "# {{version}}\nDevice: {device}, {metrics.accuracy}\n")
    version(tmp_path, "base/1.2")
    return tmp_path


def put(place: Path, name: str, text: str = "x") -> None:
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)


def version(tree: Path, name: str, *files: str) -> Path:
    place = tree / "vit/vit-l" / name
    for file in files or WHOLE:
        put(place, file)
    return place


def found(path: Path) -> list[tuple[str, str]]:
    return [(one.path, one.rule) for one in check(path)]


def test_a_tree_that_keeps_the_rules(tree: Path) -> None:
    version(tree, "projectA/1.2.1", *WHOLE, "result.json")
    version(tree, "nightly/20260124")
    assert [one for one in check(tree) if not one.advice] == []


def test_every_problem_is_told_at_once(tree: Path) -> None:
    version(tree, "base/1.3", "a.pth", "b.txt")
    version(tree, "base/v2")
    version(tree, "nightly/1.2")
    put(tree / "vit/vit-l/projectA", "weights.pth")
    assert found(tree) == [
        ("vit/vit-l/base/1.3", "required_files"),
        ("vit/vit-l/base/1.3", "required_files"),
        ("vit/vit-l/base/1.3", "optional_files"),
        ("vit/vit-l/base/v2", "version"),
        ("vit/vit-l/nightly/1.2", "version"),
        ("vit/vit-l/projectA/weights.pth", "structure"),
    ]


def test_a_date_is_one_of_the_calendar(tree: Path) -> None:
    """As in ml-cellar, which reads it as a day."""
    version(tree, "nightly/20260230")
    version(tree, "nightly/2026")
    assert found(tree) == [("vit/vit-l/nightly/2026", "version"), ("vit/vit-l/nightly/20260230", "version")]


def test_a_version_may_hold_a_config_too(tree: Path) -> None:
    """A config.toml below a rack is a file of a version, and makes no rack."""
    put(tree / "vit/vit-l", "config.toml", CONFIG.replace('"result.json"', '"config.toml"'))
    put(tree / "vit/vit-l/base/1.2", "config.toml", "not even TOML")
    assert found(tree) == []
    assert found(tree / "vit/vit-l/base/1.2") == []


def test_a_name_that_is_no_custom_is_advice(tree: Path) -> None:
    """SPEC: "You can use more deep directory architecture or less one"."""
    for name in ("yolox", "models/vit/vit-s", "vit/large"):
        put(tree / name, "config.toml", "")
    told = [one for one in check(tree) if one.rule == "SPEC"]
    assert [(one.path, one.advice) for one in told] == [("vit/large", True), ("yolox", True)]
    assert "this one is yolox" in told[1].sentence


def test_a_project_that_no_list_names_may_have_any_version(tree: Path) -> None:
    """As in ml-cellar; that it cannot be imported is advice."""
    version(tree, "projectA/20260124")
    version(tree, "projectB/1.9.1")
    assert [(one.path, one.rule, one.advice) for one in check(tree)] == [
        ("vit/vit-l/projectA/20260124", "SPEC", True),
        ("vit/vit-l/projectB/1.9.1", "SPEC", True),
    ]


def test_only_what_lies_below_is_checked(tree: Path) -> None:
    version(tree, "base/1.3", "a.pth")
    good, bad = tree / "vit/vit-l/base/1.2", tree / "vit/vit-l/base/1.3"
    assert found(good) == []
    assert found(bad) == [(".", "required_files"), (".", "required_files")]
    assert {path for path, _ in found(tree / "vit/vit-l/base")} == {"1.3"}


def test_a_config_that_is_none(tree: Path) -> None:
    put(tree / "vit/vit-l", "config.toml", "[artifact]\nrequired_files = 1")
    assert found(tree) == [("vit/vit-l/config.toml", "config")]


def test_no_rack(tmp_path: Path) -> None:
    with pytest.raises(NoRackHere, match=r"a rack has a config\.toml"):
        check(tmp_path)


def test_as_a_check_of_a_pull_request(tree: Path) -> None:
    """The exit code decides, and advice is no problem."""
    version(tree, "projectB/1.9.1")
    good = CliRunner().invoke(app, ["check", str(tree)])
    assert (good.exit_code, good.stdout.splitlines()[-1]) == (0, "0 problems, and advice: 1")
    version(tree, "base/1.3", "a.pth")
    bad = CliRunner().invoke(app, ["check", str(tree)])
    assert bad.exit_code == 1
    assert (
        'required_files: vit/vit-l/base/1.3: no file matches required_files pattern "config.yaml"'
        in bad.stdout
    )
    told = json.loads(CliRunner().invoke(app, ["check", str(tree), "--json"]).stdout)
    assert [Problem.model_validate(one) for one in told] == check(tree)


def test_documents(tree: Path) -> None:
    place = version(tree, "base/1.4")
    put(place, "result.json", '{"device": "RTX4090", "metrics": {"accuracy": 0.9}}')
    text = "# 1.4\nDevice: RTX4090, 0.9\n"
    assert document(place) == text
    assert CliRunner().invoke(app, ["docs", str(place)]).stdout == text + "\n"


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (None, "there is no .*result.json"),
        ("{", "is no JSON"),
        ("{}", "lack what the template names: device, metrics.accuracy"),
    ],
)
def test_documents_that_cannot_be_made(tree: Path, results: str | None, message: str) -> None:
    place = version(tree, "base/1.4")
    if results:
        put(place, "result.json", results)
    with pytest.raises(NoDocument, match=message):
        document(place)


def test_no_template(tree: Path) -> None:
    (tree / "vit/vit-l/template.md").unlink()
    with pytest.raises(NoDocument, match=r"there is no .*template\.md, where the template of"):
        document(tree / "vit/vit-l/base/1.2")


def test_other_braces_stay() -> None:
    assert fill("a {b c} { } {{other}} {}", {}, "1.0") == "a {b c} { } {{other}} {}"


def test_a_new_rack_has_the_files_that_ml_cellar_gives_one(tmp_path: Path) -> None:
    """And with them a document can be made at once; those that are there stay as they are."""
    cellar = blank(tmp_path / "cellar")
    put(tmp_path / "cellar/vit/vit-l", "README.md", "ours")
    out = CliRunner().invoke(app, ["--cellar", cellar.url, "rack", "vit/vit-l"])
    assert out.exit_code == 0
    rack = tmp_path / "cellar/vit/vit-l"
    assert sorted(one.name for one in rack.iterdir()) == ["README.md", "config.toml", "template.md"]
    assert (rack / "README.md").read_text() == "ours"
    put(rack / "base/1.2", "result.json", "{}")
    assert document(rack / "base/1.2").startswith("# vit/vit-l 1.2\n")
    assert [one for one in check(tmp_path / "cellar") if not one.advice] == []
