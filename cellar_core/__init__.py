"""A project-based model registry on any fsspec store: versions, records, claims, plans and lineage.

Names are loaded when they are first asked for, so that a command line's ``--help`` pays for none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellar_core.cellar import Cellar, Registered
    from cellar_core.errors import CellarError
    from cellar_core.plan import Plan, Rebuild
    from cellar_core.rebuild import Rebuilt
    from cellar_core.record import Origin, Recipe, Record
    from cellar_core.ref import Model, Rack, Ref, Selector
    from cellar_core.trainer import RetrainJob
    from cellar_core.version import BaseVersion, Bump, ProjectVersion
    from cellar_core.want import Reason, Skip

__all__ = [
    "BaseVersion",
    "Bump",
    "Cellar",
    "CellarError",
    "Model",
    "Origin",
    "Plan",
    "ProjectVersion",
    "Rack",
    "Reason",
    "Rebuild",
    "Rebuilt",
    "Recipe",
    "Record",
    "Ref",
    "Registered",
    "RetrainJob",
    "Selector",
    "Skip",
]

_ROOMS = {
    "cellar": ("Cellar", "Registered"),
    "errors": ("CellarError",),
    "plan": ("Plan", "Rebuild"),
    "rebuild": ("Rebuilt",),
    "record": ("Origin", "Recipe", "Record"),
    "ref": ("Model", "Rack", "Ref", "Selector"),
    "trainer": ("RetrainJob",),
    "version": ("BaseVersion", "Bump", "ProjectVersion"),
    "want": ("Reason", "Skip"),
}


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
