"""What mkdocs asks while it builds the pages: the help of each command, as the command line itself prints it."""

from __future__ import annotations

import os
from typing import Any

MARK = "<!-- the help of each command -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of each command where a page asks for it."""
    return markdown.replace(MARK, _commands()) if MARK in markdown else markdown


def _commands() -> str:
    os.environ |= {"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"}
    import typer
    from typer.testing import CliRunner

    from cellar_core.cli import app

    def help_of(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="cellar", terminal_width=100)
        return f"```text\n{result.output.strip()}\n```\n"

    names = typer.main.get_command(app).list_commands(None)  # type: ignore[attr-defined]
    return "\n".join([help_of(), *(f"## cellar {name}\n\n{help_of(name)}" for name in names)])
