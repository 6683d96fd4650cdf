"""Aliases: names such as ``production`` for one version of a model; each is a log of what it meant."""

from __future__ import annotations

from cellar_core import layout
from cellar_core.log import Entry, append, last_number
from cellar_core.ref import Model, Ref, Version, alias_name
from cellar_core.store import Store

__all__ = ["aliased", "aliases", "point"]


class AliasEntry(Entry):
    """What an alias means from this entry on."""

    version: str


def point(store: Store, ref: Ref, name: str) -> None:
    """Let *name* mean *ref*; raises ChangedMeanwhile if somebody else moves it at the same moment."""
    log = layout.alias_log(ref.model, alias_name(name))
    append(store, log, last_number(store, log) + 1, AliasEntry(version=str(ref.version)))


def aliased(store: Store, model: Model, name: str) -> Version | None:
    """What *name* means, or None if it means nothing."""
    log = layout.alias_log(model, name)
    if not (number := last_number(store, log)):
        return None
    key = layout.entry(log, number)
    return model.version(AliasEntry.from_bytes(store.read(key) or b"", key).version)


def aliases(store: Store, model: Model) -> dict[str, Ref]:
    """What each alias of *model* means."""
    prefix = layout.aliases(model)
    found = sorted({key.removeprefix(prefix).partition("/")[0] for key in store.find(prefix)})
    return {name: model.at(version) for name in found if (version := aliased(store, model, name))}
