"""A project-based model registry on any fsspec store: versions, records, claims, plans and lineage."""

from cellar_core.cellar import Cellar, Registered
from cellar_core.errors import CellarError
from cellar_core.plan import Plan, Reason, Rebuild, Skip
from cellar_core.rebuild import Rebuilt
from cellar_core.record import Origin, Recipe, Record
from cellar_core.ref import Model, Rack, Ref, Selector
from cellar_core.trainer import RetrainJob
from cellar_core.version import BaseVersion, Bump, ProjectVersion

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
