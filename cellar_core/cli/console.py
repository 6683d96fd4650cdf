"""The console that everything is printed on."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console"]


def console(file: IO[str] | None = None) -> Console:
    """A console on *file*, or on stdout; where nobody looks (in a pipe, in a log), lines are as long as they are."""
    from rich.console import Console

    file = file or sys.stdout
    width = None if file.isatty() or "COLUMNS" in os.environ else 10_000
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
