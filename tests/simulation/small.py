"""Settings so small that every schedule of theirs can be tried."""

from __future__ import annotations

from collections.abc import Callable

from cellar_core.record import FileEntry
from cellar_core.version import Bump, ProjectVersion
from tests.simulation.caller import Program
from tests.simulation.programs import BASE, ONE, PROJECT, REAL, gc, plan_of, read, register, run_rebuild, void
from tests.simulation.schedule import Setting
from tests.simulation.settings import Contents, parent_of, registry

__all__ = ["SMALL"]


def _on_line(name: str) -> Program:
    return register(name, REAL, parent=parent_of(ONE), source=name)
