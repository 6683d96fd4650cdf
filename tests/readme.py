"""The code of the README, as a reader copies it: a block is known by the file name in its first line."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    """All blocks of *language*, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)


def script(name: str) -> str:
    """The Python block whose first line is ``# name``."""
    [found] = [block for block in blocks("python") if block.startswith(f"# {name}\n")]
    return found


def write_script(name: str, directory: Path) -> Path:
    """Put that block where its first line says, below *directory*."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script(name))
    return path
