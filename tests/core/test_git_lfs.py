"""A repository of git and git-lfs, as ml-cellar's, is a cellar too: with the real programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cellar_core import Cellar
from tests.core.helpers import blank
from tests.core.terminal import Terminal
from tests.core.test_check import CONFIG, put, version

pytestmark = pytest.mark.skipif(
    not shutil.which("git-lfs"), reason="there is no git-lfs"
)  # on Debian: apt-get install git-lfs

RACK = "vit/vit-l"
ATTRIBUTES = "*.pth filter=lfs diff=lfs merge=lfs -text\n"


def git(place: Path, *words: str, **environment: str) -> str:
    """What git prints."""
    done = subprocess.run(
        ["git", *words],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose large files were not fetched, as a runner of CI has it; nothing of this machine's git counts."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "gitconfig").write_text(
        "[user]\nname = kim\nemail = kim@example.org\n[init]\ndefaultBranch = main\n"
        '[filter "lfs"]\nclean = git-lfs clean -- %f\nsmudge = git-lfs smudge -- %f\n'
        "process = git-lfs filter-process\nrequired = true\n"
    )
    first = tmp_path / "first"
    put(first, ".gitattributes", ATTRIBUTES)
    put(first, ".mlcellar.toml", "[ml_cellar]\nuse_custom_transfer_agent = false\n")
    put(first / RACK, "config.toml", CONFIG)
    for name in ("base/1.0", "projectA/1.0.1"):
        put(version(first, name), "a.pth", f"weights of {name}" * 100)
    git(first, "init", "--quiet")
    git(first, "add", ".")
    git(first, "commit", "--quiet", "--message", "models")
    git(tmp_path, "clone", "--quiet", "first", "clone", GIT_LFS_SKIP_SMUDGE="1")
    return tmp_path / "clone"


def test_what_was_not_fetched_is_fetched_with_the_command_that_is_told(clone: Path) -> None:
    """Then its files become versions where they lie, and another clone of the commit is the same cellar."""
    assert (clone / RACK / "base/1.0/a.pth").read_text().startswith("version https://git-lfs")
    assert Terminal()("check", str(clone))  # names are enough for that
    blank(clone)
    told = Terminal()("--cellar", str(clone), "import", RACK, code=1)
    assert not Cellar(clone).models(RACK)
    commands = re.findall(r"git (lfs pull --include \S+)", " ".join(told.split()))
    assert len(commands) == 2
    for command in commands:
        git(clone, *command.split())
    Terminal()("--cellar", str(clone), "import", RACK)
    assert git(clone, "status", "--porcelain").split("\n") == ["?? .cellar/", ""]
    git(clone, "add", ".cellar")
    git(clone, "commit", "--quiet", "--message", "what is imported")
    git(clone.parent, "clone", "--quiet", "clone", "third")
    git(clone.parent / "third", "lfs", "pull")
    third = Cellar(clone.parent / "third")
    assert str(third.verify(f"{RACK}/projectA@latest").ref) == f"{RACK}/projectA/1.0.1"
    assert third.resolve(f"{RACK}/base/1.0") == Cellar(clone).resolve(f"{RACK}/base/1.0")
