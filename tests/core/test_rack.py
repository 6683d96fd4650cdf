"""A rack's ``config.toml``: artifact rules, and what of it a failed rebuild depends on."""

from __future__ import annotations

import pytest

from cellar_core.digest import digest_json
from cellar_core.rack import TEMPLATE, ArtifactRules, OnBump, RackConfig
from cellar_core.record import FileEntry
from cellar_core.ref import Rack

RACK = Rack("vit/vit-l")
A = RACK.project("projectA")


def config(text: str) -> RackConfig:
    """A rack's ``config.toml``."""
    return RackConfig.parse(text.encode(), "config.toml", RACK)


def test_everything_has_a_default() -> None:
    """An empty file, and the one that a new rack gets, mean the same."""
    assert config("") == config(TEMPLATE.format(rack=RACK)) == RackConfig()
    rebuild = config("").rebuild
    assert (rebuild.on_minor, rebuild.on_major, rebuild.max_parallel) == (OnBump.AUTO, OnBump.APPROVE, 4)


def test_template_shows_what_works() -> None:
    """The lines that the template has as comments are valid when they are taken in."""
    lines = TEMPLATE.format(rack=RACK).splitlines()
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
        ([], ["*.bin", "logs/"], ["a.bin", "logs/x"], 0),
        ([], [], ["a.bin", "b.bin"], 2),
        (["a?", "[bc]"], [], ["a1", "b"], 0),
    ],
)
def test_rules(required: list[str], optional: list[str], paths: list[str], broken: int) -> None:
    """Globs over whole paths; a pattern that ends in a slash means any file below."""
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
