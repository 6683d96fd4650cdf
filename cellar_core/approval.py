"""Approvals: who said that projects may move to a base that policy does not let them move to by themselves."""

from __future__ import annotations

from cellar_core import layout
from cellar_core.admit import BaseMismatch
from cellar_core.log import Entry, append, last_number
from cellar_core.ref import Ref
from cellar_core.store import Store
from cellar_core.version import BaseVersion

__all__ = ["approve"]


def approve(store: Store, base: Ref, project: str | None, why: str) -> None:
    """Write down that *base* is approved for *project*, or for all; raises BaseMismatch if it is no base."""
    if not base.model.is_base:
        raise BaseMismatch(f"{base} is no base; approve the base that projects are to move to")
    name = base.rack.project(project).project if project else base.project
    log = layout.approval_log(base.rack, name, BaseVersion(str(base.version)))
    append(store, log, last_number(store, log) + 1, Entry(why=why))
