"""What mkdocs asks while it builds the pages: the help of each command, and the examples in docstrings."""

from __future__ import annotations

import os
import re
from typing import Any

import griffe

MARK = "<!-- the help of each command -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of each command where a page asks for it."""
    return markdown.replace(MARK, _commands()) if MARK in markdown else markdown


class Examples(griffe.Extension):
    """Lets what a docstring shows after ``>>>`` be an example, as its style wants it to be told."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Put it below a heading of its own."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"(?:^>>> .*\n?(?:^\S.*\n?)*)+",
                lambda found: "Examples:\n" + re.sub("^(?=.)", "    ", found[0], flags=re.MULTILINE),
                obj.docstring.value,
                flags=re.MULTILINE,
            )


def _commands() -> str:
    os.environ |= {"NO_COLOR": "1", "COLUMNS": "80", "TERM": "dumb"}
    import typer
    from typer.testing import CliRunner

    from cellar_core.cli import app

    def help_of(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="cellar", terminal_width=80)
        return f"```text\n{result.output.strip()}\n```\n"

    names = typer.main.get_command(app).list_commands(None)  # type: ignore[attr-defined]
    return "\n".join([help_of(), *(f"## cellar {name}\n\n{help_of(name)}" for name in names)])
