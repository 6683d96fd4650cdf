"""What the README tells a reader to type, typed in its order."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cellar_core import Cellar, Rack
from cellar_core.rack import RackConfig
from tests.pages import Reader, blocks, script


def test_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    """Its blocks, from its top to its end, but for those of the orchestrators: their own tests run these."""
    Reader(tmp_path).read("README.md")
    refs = [str(ref) for ref in Cellar(tmp_path / "srv/cellar").versions("vit/vit-l/projectA")]
    assert refs == ["vit/vit-l/projectA/1.0.1", "vit/vit-l/projectA/1.0.2"]  # registered, and retrained


@pytest.mark.parametrize("page", ["README.md", "docs/reference/config.md"])
def test_the_policy_is_a_valid_one(page: str) -> None:
    """A page's ``config.toml`` says what its comments say, in keys that exist."""
    [policy] = [block.text for block in blocks(page, "toml")]
    config = RackConfig.parse(policy.encode(), page, Rack("vit/vit-l"))
    assert set(config.projects) == set(tomllib.loads(policy)["projects"])
    assert config.projects["projectB"].track == "^1"


@pytest.mark.parametrize("name", ["dags/retune.py", "retune.py"])
def test_the_shortest_programs_are_short(name: str) -> None:
    """The shortest DAG and the shortest flow that do the whole job have fewer than 25 lines."""
    assert len(script(name).splitlines()) < 25
