"""What is found out by itself about where a version comes from; not part of its identity."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from cellar_core.record import Origin

__all__ = ["complete"]


def complete(given: Origin | None) -> Origin:
    """*given*, with what it leaves open: the git commit of the working directory, and the Python that runs."""
    found = Origin(commit=_commit(), python=platform.python_version())
    return found.model_copy(update=given.model_dump(exclude_none=True)) if given else found


def _commit() -> str | None:
    if not any((parent / ".git").exists() for parent in (Path.cwd(), *Path.cwd().parents)):
        return None
    words = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or a repository without a commit: then it is not known
