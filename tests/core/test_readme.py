"""What the README tells a reader to type, typed in its order, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cellar_core import Cellar, Rack
from cellar_core.rack import RackConfig
from tests.readme import blocks, script, write_script

# What every environment's tests run; the blocks for Airflow and Prefect are run by tests/e2e.
HERE = ("train.py", "register.py")


def type_in(words: list[str], directory: Path) -> str:
    """What a command prints, run in *directory* with the README's settings and the scripts of this environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "CELLAR_URL": str(directory / "cellar"), "NO_COLOR": "1"}
    done = subprocess.run(
        words, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a reader has put the README's files, and made a cellar."""
    for name in HERE:
        write_script(name, tmp_path)
    type_in(["cellar", "init"], tmp_path)
    return tmp_path


def test_register_prints_what_its_comments_say(directory: Path) -> None:
    """The README's first registrations get the refs that it says they get."""
    said = [line.split("# ")[1] for line in script("register.py").splitlines() if line.startswith("print(")]
    assert type_in([sys.executable, "register.py"], directory).splitlines() == said


def test_the_commands_work_as_they_stand(directory: Path) -> None:
    """Each command of "At the terminal" ends well on what was registered before."""
    type_in([sys.executable, "register.py"], directory)
    [terminal] = [block for block in blocks("sh") if "cellar ls" in block]
    for line in terminal.splitlines():
        type_in(["bash", "-ec", line], directory)
    refs = [str(ref) for ref in Cellar(directory / "cellar").versions("vit/vit-l/projectA")]
    assert refs == ["vit/vit-l/projectA/1.0.1", "vit/vit-l/projectA/1.0.2"]  # registered, and retrained


def test_the_policy_is_a_valid_one() -> None:
    """The README's ``config.toml`` says what its comments say, in keys that exist."""
    [policy] = blocks("toml")
    config = RackConfig.parse(policy.encode(), "README.md", Rack("vit/vit-l"))
    assert set(config.projects) == set(tomllib.loads(policy)["projects"])
    assert config.projects["projectB"].track == "^1"


@pytest.mark.parametrize("name", ["dags/retune.py", "retune.py"])
def test_the_shortest_programs_are_short(name: str) -> None:
    """The shortest DAG and the shortest flow that do the whole job have fewer than 25 lines."""
    assert len(script(name).splitlines()) < 25
