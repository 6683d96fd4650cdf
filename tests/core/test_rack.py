"""A rack's ``config.toml``: artifact rules, and what of it a failed rebuild depends on."""

from __future__ import annotations

import tomllib

import pytest

from cellar_core.digest import digest_json
from cellar_core.rack import ArtifactRules, OnBump, RackConfig, starters
from cellar_core.record import FileEntry
from cellar_core.ref import Rack

RACK = Rack("vit/vit-l")
A = RACK.project("projectA")


def config(text: str) -> RackConfig:
    """A rack's ``config.toml``."""
    return RackConfig.parse(text.encode(), "config.toml", RACK)


def test_everything_has_a_default() -> None:
    """An empty file, and the one that a new rack gets, mean the same."""
    first = config(starters(RACK)["config.toml"])
    paths = ["model.bin", "logs/1.txt"]
    assert first.artifact.broken(paths) == config("").artifact.broken(paths) == []
    assert config("") == RackConfig() == first.model_copy(update={"artifact": ArtifactRules()})
    rebuild = config("").rebuild
    assert (rebuild.on_minor, rebuild.on_major, rebuild.max_parallel) == (OnBump.AUTO, OnBump.APPROVE, 4)


def test_template_shows_what_works() -> None:
    """The lines that the template has as comments are valid when they are taken in."""
    lines = starters(RACK)["config.toml"].splitlines()
    text = "\n".join(
        line.removeprefix("# ")
        if line.startswith(("# [", "# hold", "# track", "# data", "# param"))
        else line
        for line in lines
    )
    policy = config(text).project(A)
    assert policy.hold is not None
    assert (policy.hold.owner, policy.track) == ("kim", "^1")
    assert policy.recipe is not None
    assert policy.recipe.parameters == {"epochs": 10}


@pytest.mark.parametrize(
    ("required", "optional", "paths", "broken"),
    [
        (["config.yaml"], [], ["config.yaml"], 0),
        (["config.yaml"], [], ["other/config.yaml"], 2),
        (["*.safetensors"], [], ["a.safetensors", "deep/b.safetensors"], 0),
        (["*.safetensors"], [], ["a.SAFETENSORS"], 2),
        (["logs/"], ["*"], ["logs/a/b.txt"], 0),
        (["logs/"], ["*"], ["logs.txt"], 1),
        (["logs/"], ["*"], ["x/logs/a.txt"], 1),
        ([], ["*.bin", "logs/"], ["a.bin", "logs/x"], 1),
        ([], ["*.bin", "logs/*"], ["a.bin", "logs/x"], 0),
        (["logs\\"], [], ["logs/x"], 0),
        (["**/a.bin"], [], ["a.bin", "x/a.bin", "x/y/a.bin"], 0),
        (["**/a.bin"], [], ["ba.bin"], 2),
        (["x/**/y/**/a.bin"], [], ["x/y/a.bin", "x/1/y/a.bin", "x/y/2/a.bin", "x/1/y/2/3/a.bin"], 0),
        (["x/**"], [], ["x/1/2"], 0),
        (["[!a]*"], [], ["b", ".hidden"], 0),
        ([], [], ["a.bin", "b.bin"], 2),
        (["a?", "[bc]"], [], ["a1", "b"], 0),
    ],
)
def test_rules(required: list[str], optional: list[str], paths: list[str], broken: int) -> None:
    """As in ml-cellar: globs over whole paths; a required pattern that ends in a slash means any file below."""
    rules = ArtifactRules(required_files=tuple(required), optional_files=tuple(optional))
    assert len(rules.broken(paths)) == broken


def test_contract() -> None:
    """Only the files that the application relies on are compared."""
    entries = [
        FileEntry(path=path, size=1, digest=digest_json(path))
        for path in ("signature.json", "model.bin", "labels/a.txt")
    ]
    rules = ArtifactRules(contract_files=("signature.json", "labels/"))
    assert set(rules.contract(entries)) == {"signature.json", "labels/a.txt"}
    assert ArtifactRules().contract(entries) == {}


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ('[artifact]\nrequired_files = ["x"]', True),
        ('[document]\nresult_file = "x.json"', True),
        ("[projects.projectA.recipe]\nseed = 1", True),
        ("[projects.projectA]\nhold = {}", False),
        ('[projects.projectA]\ntrack = "^1"', False),
        ("[projects.projectB.recipe]\nseed = 1", False),
        ("[rebuild]\nmax_parallel = 1", False),
        ('[rebuild]\non_minor = "approve"', False),
        ('[rack]\nname = "vit"', False),
    ],
)
def test_digest(text: str, changes: bool) -> None:
    """The digest of what can make a rebuild end differently: rules and the project's recipe, not holds or limits."""
    assert (config(text).digest(A) != config("").digest(A)) is changes


def test_optional_files_that_are_left_out() -> None:
    """As in ml-cellar nothing is optional then; unless no rule is given at all."""
    assert config("").artifact.broken(["a.bin"]) == []
    assert config('[artifact]\nrequired_files = ["a.bin"]').artifact.broken(["a.bin"]) == []
    [sentence] = config('[artifact]\nrequired_files = ["a.bin"]').artifact.broken(["a.bin", "b.bin"])
    assert sentence == "b.bin matches no pattern of required_files or optional_files"


def test_a_directory_among_optional_files_is_explained() -> None:
    [sentence] = ArtifactRules(optional_files=("logs/",)).broken(["logs/x"])
    assert sentence.endswith('; there, write "logs/*" for "logs/"')


def test_the_files_of_a_new_rack_are_read_by_ml_cellar() -> None:
    """Its four tables have the types that it expects; those that only we read are other tables."""
    files = starters(RACK)
    assert set(files) == {"config.toml", "README.md", "template.md"}
    assert "vit/vit-l" in files["README.md"]
    tables = tomllib.loads(files["config.toml"])
    assert tables["rack"] == {"name": "vit-l"}
    assert tables["project"] == {"version_x_y": ["base"], "version_x_y_z": []}
    assert tables["document"] == {"template_file": "template.md", "result_file": "result.json"}
    assert tables["artifact"]["required_files"] == []
    assert tables["artifact"]["optional_files"] == ["*"]
    assert set(tables) - {"rack", "project", "document", "artifact"} == {"rebuild"}
