"""What a shell completes, asked as shells ask: bash for real, the others by what they set."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cellar_core import Cellar
from tests.core.helpers import WAIT, snapshot
from tests.core.terminal import RACK, A, B, Terminal

BASE = f"{RACK}/base"


@pytest.fixture
def shell(stale: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and ``cellar`` on the path; the cellar has two projects and an alias."""
    stale("alias", A, "production", "1.0.1")
    program = tmp_path / "bin" / "cellar"
    program.parent.mkdir()
    run = f"{shlex.quote(sys.executable)} -P -c 'from cellar_core.cli import main; main()'"
    program.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def ask(line: str, *settings: str) -> list[str]:
    """What is offered for the last word of *line*, as the script of bash asks for it."""
    words = line.split(" ")
    asked = {
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_CELLAR_COMPLETE": "complete_bash",
    }
    environment = {**os.environ, **asked, **dict(setting.split("=") for setting in settings)}
    done = subprocess.run(
        ["cellar"], capture_output=True, text=True, env=environment, timeout=WAIT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def offers(ask: Callable[[], object], offered: object) -> bool:
    """Whether that is offered: on a busy machine it may take longer than a shell waits, but not always."""
    return any(ask() == offered for _ in range(4))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cellar re", ["register", "report", "resolve", "retrain", "rebuild"]),
        ("cellar register x y --b", ["--bump", "--base"]),
        ("cellar register x y --bump ", ["minor", "major"]),
        ("cellar plan ", [RACK]),
        ("cellar ls vit/", [RACK, A, B, BASE]),
        ("cellar ls nothing", []),
        ("cellar explain vit/vit-l/pr", [A, B]),
        ("cellar yank vit/vit-l/b", [BASE]),
        (f"cellar yank {BASE}", [BASE, f"{BASE}/1.0", f"{BASE}/1.1"]),
        (f"cellar show {A}", [A, f"{A}/1.0.1", f"{A}@latest", f"{A}@production"]),
        (f"cellar pull {A}/", [f"{A}/1.0.1"]),
        (f"cellar pull {A}/1.0.1", [f"{A}/1.0.1"]),
        (f"cellar show {A}@p", [f"{A}@production"]),
        ("cellar --cellar nowhere ls v", []),
        ("cellar ls --cellar nowhere v", []),
    ],
)
def test_what_is_offered(shell: Path, line: str, offered: list[str]) -> None:
    assert offers(lambda: sorted(ask(line)), sorted(offered))


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_are_offered_the_same(shell: Path, name: str) -> None:
    asked = {
        "_CELLAR_COMPLETE": f"complete_{name}",
        "_TYPER_COMPLETE_ARGS": "cellar plan v",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }

    def completed() -> bool:
        run = subprocess.run(
            ["cellar"], capture_output=True, text=True, env={**os.environ, **asked}, timeout=WAIT, check=True
        )
        return RACK in run.stdout

    assert offers(completed, True)


def test_a_store_that_gives_no_answer_keeps_no_shell_waiting(shell: Path) -> None:
    """Here it is a pipe in place of the first object that is read, which nobody writes to."""
    [place] = Path("cellar/.cellar/format").glob("*.json")
    place.unlink()
    os.mkfifo(place)
    assert ask("cellar plan ") == []


def test_completing_changes_nothing_and_tells_no_errors(shell: Path) -> None:
    before = snapshot(Cellar())
    ask(f"cellar show {A}")
    assert snapshot(Cellar()) == before
    assert ask("cellar plan ", "CELLAR_URL=ftp://nowhere") == []
    Path(f"cellar/{RACK}/config.toml").write_text("[rebuild")
    assert ask("cellar plan ") == [RACK]


def test_bash_completes_once_it_is_installed(shell: Path) -> None:
    bash = ["bash", "--norc", "-c"]
    done = subprocess.run(
        [*bash, "cellar --install-completion; echo"],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert "bash completion installed in" in done.stdout, done.stderr
    script = f"source ~/.bashrc; COMP_WORDS=(cellar show {A}); COMP_CWORD=2; "
    script += (
        '$(complete -p cellar | sed "s/.*-F \\([^ ]*\\).*/\\1/") cellar; printf "%s\\n" "${COMPREPLY[@]}"'
    )

    def completed() -> list[str]:
        run = subprocess.run([*bash, script], capture_output=True, text=True, timeout=WAIT, check=True)
        return run.stdout.split()

    assert offers(completed, [A, f"{A}/1.0.1", f"{A}@latest", f"{A}@production"])
