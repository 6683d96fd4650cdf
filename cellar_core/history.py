"""What happened to a rack or a model, in order: whatever was decided left an entry that says by whom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cellar_core import layout
from cellar_core.alias import AliasEntry
from cellar_core.attempt import Attempt
from cellar_core.log import Entry
from cellar_core.record import TOMBSTONE_MOST, Record, Unreadable
from cellar_core.ref import Model, Rack
from cellar_core.store import Store
from cellar_core.value import Value

__all__ = ["Happening", "history"]


class Happening(Value):
    """One thing that happened.

    Attributes:
        at: When, by the clock of who did it; None if its entry cannot be read.
        by: Who did it.
        name: What it is about: a version, an alias, or a project and the base that it is rebuilt onto.
        what: What happened, such as ``yanked``.
        why: What who did it says of it.
    """

    at: datetime | None
    by: str = ""
    name: str
    what: str
    why: str = ""


def history(store: Store, place: Rack | Model) -> list[Happening]:
    """What happened to *place*, the oldest first; three or four listings, and a read for each entry."""
    entries = [*_versions(store, place), *_rebuilds(store, place), *_aliases(store, place)]
    found = store.each(lambda entry: _happening(store, *entry), entries)
    return sorted(found, key=lambda one: (one.at.timestamp() if one.at else 0.0, one.name))


_Found = tuple[str, str, type[Record | Entry], str]
"""Of an entry: its key, what it is about, what it is read as, and what it says if that is not in it."""


def _versions(store: Store, place: Rack | Model) -> Iterator[_Found]:
    yanks = {} if isinstance(place, Rack) else store.find(layout.records(place.rack.base))
    sizes = {**yanks, **store.find(layout.records(place))}
    for key, size in sizes.items():
        ref, yank = layout.parse_record(key) or (None, 0)
        if ref is None or place not in (ref.rack, ref.model):
            continue
        if yank:
            yield key, str(ref), Entry, "yanked" if yank % 2 else "yank taken back"
        elif size > TOMBSTONE_MOST:
            yield key, str(ref), Record, ""


def _rebuilds(store: Store, place: Rack | Model) -> Iterator[_Found]:
    rack = place if isinstance(place, Rack) else place.rack
    for key in store.find(layout.rebuild_logs(rack)):
        if parsed := layout.parse_rebuild(key):
            model, base, _ = parsed
            if place in (rack, model):
                yield key, f"{model} onto {base}", Attempt, ""
        elif approval := layout.parse_approval(key, rack):
            project, base = approval
            everybody = project == rack.base.project
            if place == rack or everybody or place == rack.project(project):
                whom = "every project" if everybody else project
                yield key, str(rack.base.at(base)), Entry, f"approved for {whom}"


def _aliases(store: Store, place: Rack | Model) -> Iterator[_Found]:
    for key in store.find(layout.aliases(place)):
        if parsed := layout.parse_alias(key):
            yield key, "{}@{}".format(*parsed), AliasEntry, ""


def _happening(store: Store, key: str, name: str, kind: type[Record | Entry], what: str) -> Happening:
    try:
        entry = kind.from_bytes(store.read(key) or b"", key)
    except Unreadable as error:  # which hides none of the others
        return Happening(at=None, name=name, what="cannot be read", why=str(error))
    if isinstance(entry, Record):
        at, by, why = entry.created_at, entry.created_by, entry.notes
    else:
        at, by, why = entry.at, entry.by, entry.why
    if isinstance(entry, Attempt) and entry.holder:
        by = entry.holder
    return Happening(at=at, by=by, name=name, what=what or _what(entry), why=why)


def _what(entry: Record | Entry) -> str:
    if isinstance(entry, Record):
        if entry.parent:
            return f"registered, made from {entry.parent.ref.project} {entry.parent.ref.version}"
        return f"registered, a {entry.bump} bump" if entry.bump else "registered"
    if isinstance(entry, Attempt):
        return f"rebuild {entry.event}"
    return f"means {entry}" if isinstance(entry, AliasEntry) else ""
