"""Looking things up: what exists, the record of a ref, and what a selector means."""

from __future__ import annotations

from cellar_core import layout, names
from cellar_core.alias import meaning
from cellar_core.catalog import Catalog
from cellar_core.choose import NoSuchVersion, choose
from cellar_core.errors import CellarError, listing
from cellar_core.record import TOMBSTONE_MOST, Record
from cellar_core.ref import Alias, Model, Ref, Selector
from cellar_core.store import Store
from cellar_core.version import BaseVersion, ProjectVersion

__all__ = ["Yanked", "catalog", "parse", "read", "record", "refuse_yanked", "resolve", "yanks"]


class Yanked(CellarError):
    """What is asked for was yanked. Trying again does not help."""


def read(store: Store, ref: Ref) -> Record | None:
    """The record of *ref*; None if there is none, or a tombstone in its place."""
    data = store.read(layout.record(ref))
    return parse(data, ref) if data is not None else None


def parse(data: bytes, ref: Ref) -> Record | None:
    """The record that lies in the place of *ref*'s, None if it is a tombstone; raises Unreadable if it is neither."""
    if len(data) <= TOMBSTONE_MOST and b'"void"' in data:  # a record may have been cut short
        return None
    return Record.from_bytes(data, layout.record(ref))


def record(store: Store, ref: Ref) -> Record:
    """The record of *ref*; raises NoSuchVersion, which lists the versions that there are."""
    if found := read(store, ref):
        return found
    names.require_rack(store, ref.rack)
    there = listing(catalog(store, ref.model).versions(ref.model))
    raise NoSuchVersion(f"there is no {ref}; versions of {ref.model}: {there}")


def catalog(store: Store, model: Model) -> Catalog:
    """What exists of *model*, and of its base: a project's version stands only as long as its base does."""
    prefixes = dict.fromkeys(layout.records(one) for one in (model, model.rack.base))
    return Catalog(*store.each(store.find, prefixes))


def yanks(store: Store, ref: Ref) -> int:
    """How often *ref* was yanked or taken back: it is yanked if that is odd."""
    return Catalog(store.find(layout.yank_log(ref))).yanks(ref)


def refuse_yanked(store: Store, ref: Ref, hint: str) -> None:
    """Raise Yanked if *ref* is yanked; *hint* is the next step."""
    if yanks(store, ref) % 2:
        raise Yanked(f"{ref} was yanked; {hint}")


def resolve(store: Store, selector: Selector) -> Record:
    """The record of the version that *selector* means; see Cellar.resolve."""
    model, choice = selector.model, selector.choice
    if isinstance(choice, BaseVersion | ProjectVersion):
        return record(store, model.at(choice))
    if isinstance(choice, Alias) and (meant := meaning(store, model, choice.name)):
        return _meant(store, selector, meant)
    known = catalog(store, model)
    versions = known.named(model)
    if not versions:
        names.require_rack(store, model.rack)
    return record(
        store, model.at(choose(selector, versions, allowed=lambda version: known.eligible(model.at(version))))
    )


def _meant(store: Store, alias: Selector, meant: Record) -> Record:
    """The record that an alias means; only what is known of this version and its base is looked at."""
    known = Catalog(store.find(layout.yanks(meant.ref.base)))
    if known.yanked(meant.ref) or known.yanked(meant.ref.base):
        raise Yanked(
            f"{alias} means {meant.ref.version}, which was yanked or stands on a yanked base; move the alias"
        )
    return meant
