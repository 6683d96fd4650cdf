"""Yanking (as PEP 592 does): a version that no selector chooses and nothing is built from, but that still reads."""

from __future__ import annotations

from cellar_core import layout, lookup
from cellar_core.log import Entry, append
from cellar_core.ref import Ref
from cellar_core.store import Store

__all__ = ["turn"]


def turn(store: Store, ref: Ref, why: str, *, yanked: bool) -> None:
    """Yank *ref*, or take that back: an odd number of entries in its log is yanked, so names alone tell."""
    count = lookup.yanks(store, ref)
    if (count % 2 == 1) is not yanked:
        append(store, layout.yank_log(ref), count + 1, Entry(why=why))
