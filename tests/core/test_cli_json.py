"""What ``--json`` prints: every command is held against its type, and the page about it against the types."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.main import get_command

from cellar_core.cli import app
from cellar_core.cli.schema import ANSWERS, Error, markdown
from tests.core.helpers import write
from tests.core.terminal import RACK, A, Terminal

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
BASE = f"{RACK}/base"

SESSION = [
    ("init", "init", 0),
    ("rack", "rack other", 0),
    ("register", f"register {RACK} three --bump minor --notes third", 0),
    ("ls", "ls", 0),
    ("ls RACK", f"ls {RACK}", 0),
    ("ls MODEL", f"ls {A}", 0),
    ("report", f"report {RACK} -o rack.md", 0),
    ("resolve", f"resolve {A}@^1", 0),
    ("pull", f"pull {A} model", 0),
    ("verify", f"verify {A}", 0),
    ("lineage", f"lineage {A}", 0),
    ("diff", f"diff {BASE}/1.0 {BASE}/1.1", 0),
    ("diff", f"diff {BASE}/1.0 {A}", 0),
    ("plan", f"plan {RACK}", 0),
    ("retrain", f"retrain {A} --train trainers:good --notes again", 0),
    ("rebuild", f"rebuild {RACK} --train trainers:a_fails", 0),
    ("rebuild", f"rebuild {RACK} --train trainers:good", 0),
    ("approve", f"approve {BASE}/1.2", 0),
    ("approve", f"approve {BASE}/1.2 --project projectA --why tested", 0),
    ("alias MODEL", f"alias {A}", 0),
    ("alias MODEL NAME VERSION", f"alias {A} production 1.0.1 --why first", 0),
    ("alias MODEL NAME", f"alias {A} production", 0),
    ("alias MODEL", f"alias {A}", 0),
    ("yank", f"yank {BASE}/1.2 --why bad", 0),
    ("explain", f"explain {A}", 0),
    ("show", f"show {A}/1.2.1", 0),
    ("ls RACK", f"ls {RACK}", 0),
    ("yank", f"yank {BASE}/1.2 --undo --why good", 0),
    ("alias MODEL NAME --undo", f"alias {A} production --undo", 0),
    ("log", f"log {RACK}", 0),
    ("gc", "gc --dry-run", 0),
    ("check", f"check cellar/{RACK}", 0),
    ("docs", f"docs cellar/{A}/1.0.1", 0),
    ("import", f"import {RACK}", 0),
    ("copy", "copy copied", 0),
    ("doctor", "doctor", 0),
]
"""What is typed, which answer that is, and its exit code."""


def test_every_answer_of_a_session_is_as_documented(stale: Terminal) -> None:
    """Nothing that is not documented, and nothing left out: the type gives back the very JSON that it was made from."""
    write(Path("three"), "three")
    Path(f"cellar/{RACK}/template.md").write_text("# {accuracy}\n")
    for name, words, code in SESSION:
        data = stale.json(*words.split(), code=code)
        adapter = TypeAdapter(ANSWERS[name])
        assert json.loads(adapter.dump_json(adapter.validate_python(data), by_alias=True)) == data, words
    assert {name for name, _, _ in SESSION} == set(ANSWERS)


def test_every_command_is_documented() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert list(dict.fromkeys(name.split()[0] for name in ANSWERS)) == list(commands)


@pytest.mark.parametrize(
    "words", ["plan", "show vit/vit-l/base/9.9", "rebuild vit/vit-l/projectC -- true", "lss"]
)
def test_an_error_is_as_documented(stale: Terminal, words: str) -> None:
    before, dashes, after = words.partition(" -- ")
    code = 1 if " " in words else 2
    assert stale(*before.split(), "--json", *dashes.split(), *after.split(), code=code) == ""
    error = json.loads(stale.err.splitlines()[-1])
    assert Error.model_validate(error).model_dump() == error


def test_the_page_is_that_of_the_types() -> None:
    """If this fails, somebody changed what programs read: is that meant? ``python -m cellar_core.cli.schema``."""
    assert PAGE.read_text() == markdown()


def test_the_page_tells_what_each_field_means() -> None:
    page = markdown()
    assert "|  |" not in page
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= titles
