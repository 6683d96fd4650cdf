"""The code of the README and the other pages, as a reader copies it, and a reader who types it in.

A page is read from its top to its end. What a block is follows from its first line: code that begins with a comment
of a file name (``# train.py``) is put into that file; other Python and all shell is run; TOML, YAML and JSON must be
valid; a block of ``text`` right after one that was run is what that prints, with ``...`` for what differs each time.

A mark before a block says otherwise: ``<!-- not run: REASON -->``; ``<!-- run as: COMMAND -->``, where a test must do
it differently (a port, a bucket, a server of its own); ``<!-- run in: airflow -->``, where not all of a page is of one
environment. No page is left out: each environment's tests read the pages that `environment` gives it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

__all__ = ["ROOT", "Block", "Reader", "blocks", "environment", "pages", "script", "write_script"]

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>not run|run as|run in): (?P<says>[^\n]*?) -->\n\n?)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)
_NAME = re.compile(r"(?:#|//) (?P<name>[\w./-]+\.(?:py|toml|yaml|json))\n")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: The page, from the top of the repository.
        line: Where the block begins there.
        language: The word after its fence.
        text: What is in it.
        not_run: Why it is not run; empty if it is.
        run_as: What is run in its place; empty if it is run itself.
        run_in: Whose environment it is for: ``core``, ``airflow`` or ``prefect``.
        follows: Whether nothing but space is between it and the block before.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""
    run_as: str = ""
    run_in: str = "core"
    follows: bool = False

    @property
    def is_code(self) -> bool:
        """Whether it is something to do: what is printed, and trees of files, are ``text``."""
        return self.language not in ("", "text")

    @property
    def name(self) -> str | None:
        """The file that it is put into, if its first line says one."""
        found = _NAME.match(self.text)
        return found["name"] if found else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """All pages, from the top of the repository."""
    return sorted(
        path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    )


def environment(page: str) -> str:
    """Whose environment a page is for, but for the blocks that say otherwise."""
    words = Path(page).stem.split("-")
    inside = Path(page).parent == Path("docs")
    return next((one for one in ("airflow", "prefect") if inside and one in words), "core")


def blocks(page: str = "README.md", language: str | None = None) -> list[Block]:
    """The blocks of a page, in order; those of one language, if one is given."""
    return [block for block in _blocks(page) if language in (None, block.language)]


def _blocks(page: str) -> Iterator[Block]:
    text, end = (ROOT / page).read_text(), 0
    for match in _FENCE.finditer(text):
        says = {match["mark"]: match["says"]} if match["mark"] else {}
        yield Block(
            page=page,
            line=text.count("\n", 0, match.start("language")) + 1,
            language=match["language"],
            text=re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
            not_run=says.get("not run", ""),
            run_as=says.get("run as", ""),
            run_in=says.get("run in", environment(page)),
            follows=bool(end) and not text[end : match.start()].strip(),
        )
        end = match.end()


def script(name: str, page: str = "README.md") -> str:
    """The block whose first line is ``# name``."""
    [found] = [block.text for block in blocks(page) if block.name == name]
    return found


def write_script(name: str, directory: Path) -> Path:
    """Put that block of the README where its first line says, below *directory*."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script(name))
    return path


class Reader:
    """Somebody who works through a page in a directory, with one shell that stays open.

    Args:
        directory: Where; ``/srv/`` in what they type means it, too.
        env: What their environment has besides.
        places: Words of the page that are others here, such as the name of a bucket.
    """

    def __init__(self, directory: Path, env: Mapping[str, str] = {}, places: Mapping[str, str] = {}) -> None:
        self.directory = directory
        self._places = {"/srv/": f"{directory}/srv/", **places}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._env = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "110", **env}
        self._session = directory / ".session"
        self._session.write_text("")
        self._said = ""

    def read(self, page: str) -> None:
        """Do what the blocks of a page say, but for those that say that they are not run, or run elsewhere."""
        for block in blocks(page):
            if not block.not_run and block.run_in == environment(page):
                self.do(block)

    def do(self, block: Block) -> None:
        """Do what a block says."""
        text = self._here(block.text)
        if block.name:
            self._type(f'mkdir -p "$(dirname {block.name})"; cat > {block.name}', block, text)
        if block.run_as or block.language == "sh":
            self._said = self._type(block.run_as or text, block)
        elif block.language == "python" and not block.name:
            self._said = self._type("python -", block, text)
        elif block.language == "text" and block.follows:
            self._compare(block)
        else:
            _parse(block)

    def _here(self, text: str) -> str:
        for word, here in self._places.items():
            text = text.replace(word, here)
        return text

    def _type(self, text: str, block: Block, stdin: str = "") -> str:
        """What a piece of shell prints; the next one finds the variables and the directory of this one."""
        keep = f'{{ export -p; printf "cd %q\\n" "$PWD"; }} > {self._session}'
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"source {self._session}\n{text}\n{keep}"],
            cwd=self.directory,
            env=self._env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _compare(self, block: Block) -> None:
        checker, flags = OutputChecker(), ELLIPSIS | NORMALIZE_WHITESPACE
        said = self._said
        for word, here in self._places.items():
            said = said.replace(here, word)
        assert checker.check_output(block.text, said, flags), f"{block} says\n{block.text}\nbut it is\n{said}"


def _parse(block: Block) -> None:
    """Raise if a block is not valid in its language."""
    if block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        import yaml

        list(yaml.safe_load_all(block.text))
