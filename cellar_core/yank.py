"""Yanking (as PEP 592 does): a version that no selector chooses and nothing is built from, but that still reads."""

from __future__ import annotations

from datetime import datetime

from cellar_core import layout, lookup
from cellar_core.catalog import Catalog
from cellar_core.log import Entry, append
from cellar_core.ref import Ref
from cellar_core.store import Store
from cellar_core.value import Value

__all__ = ["Yank", "find", "turn"]


class Yank(Value):
    """That a version is yanked.

    Attributes:
        ref: The version.
        at: Since when.
        by: Who did it.
        why: What was said of it.
    """

    ref: Ref
    at: datetime
    by: str
    why: str

    def __str__(self) -> str:
        return f"{self.ref} was yanked by {self.by} on {self.at:%Y-%m-%d %H:%M} UTC{f': {self.why}' * bool(self.why)}"


def turn(store: Store, ref: Ref, why: str, *, yanked: bool) -> bool:
    """Yank *ref*, or take that back; returns whether it was not so already.

    An odd number of entries in its log is yanked, so names alone tell.
    """
    count = lookup.yanks(store, ref)
    if (count % 2 == 1) is yanked:
        return False
    append(store, layout.yank_log(ref), count + 1, Entry(why=why))
    return True


def find(store: Store, ref: Ref) -> tuple[Yank, ...]:
    """Why no selector chooses *ref*: its yank and that of the base it stands on, if there are any."""
    known = Catalog(store.find(layout.yanks(ref.base)))
    found = []
    for one in dict.fromkeys((ref, ref.base)):
        if known.yanked(one):
            key = layout.entry(layout.yank_log(one), known.yanks(one))
            entry = Entry.from_bytes(store.read(key) or b"", key)
            found.append(Yank(ref=one, at=entry.at, by=entry.by, why=entry.why))
    return tuple(found)
