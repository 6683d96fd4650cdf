"""Aliases: names such as ``production`` for one version of a model; each is a log of what it meant."""

from __future__ import annotations

from cellar_core import layout
from cellar_core.log import Entry, append, last_number
from cellar_core.record import Record
from cellar_core.ref import Model, Rack, Ref, alias_name
from cellar_core.store import Store

__all__ = ["AliasEntry", "aliases", "history", "meaning", "meanings", "point", "withdraw"]


class AliasEntry(Entry):
    """What an alias means from this entry on.

    Attributes:
        record: The record of the version, so that whoever follows the alias need not read it too; None for nothing.
        restores: If the entry takes another one back: the number of the one that holds again; 0 for "none yet".
    """

    record: Record | None
    restores: int | None = None

    def __str__(self) -> str:
        return str(self.record.ref.version) if self.record else "nothing"


def point(store: Store, record: Record, name: str, why: str = "") -> None:
    """Let *name* mean a version; raises ChangedMeanwhile if somebody else moves it at the same moment."""
    log = layout.alias_log(record.model, alias_name(name))
    append(store, log, last_number(store, log) + 1, AliasEntry(record=record, why=why))


def withdraw(store: Store, ref: Ref, name: str) -> Ref | None:
    """Let *name* mean again what it meant before it meant *ref*; do nothing if it means another version by now.

    Returns:
        What it means then.

    Raises:
        ChangedMeanwhile: Somebody else moved the alias at the same moment.
    """
    log = layout.alias_log(ref.model, alias_name(name))
    number = newest = last_number(store, log)
    while (entry := _entry(store, log, number)).record and entry.record.ref == ref:
        number = (number if entry.restores is None else entry.restores) - 1
    if number != newest:
        append(store, log, newest + 1, AliasEntry(record=entry.record, restores=max(number, 0)))
    return entry.record.ref if entry.record else None


def meaning(store: Store, model: Model, name: str) -> Record | None:
    """The record of what *name* means, or None if it means nothing."""
    log = layout.alias_log(model, name)
    return _entry(store, log, last_number(store, log)).record


def aliases(store: Store, model: Model) -> dict[str, Ref]:
    """What each alias of *model* means."""
    return {name: ref for (_, name), ref in meanings(store, model).items()}


def meanings(store: Store, of: Model | Rack) -> dict[tuple[Model, str], Ref]:
    """What each alias means, of a model or of all models of a rack: one listing, and a read for each alias."""
    newest: dict[tuple[Model, str], int] = {}
    for key in store.find(layout.aliases(of)):
        if (log := layout.parse_alias(key)) and (number := layout.entry_number(key)):
            newest[log] = max(newest.get(log, 0), number)
    logs = sorted(newest, key=lambda log: (str(log[0]), log[1]))
    records = store.each(lambda log: _entry(store, layout.alias_log(*log), newest[log]).record, logs)
    return {log: record.ref for log, record in zip(logs, records, strict=True) if record}


def history(store: Store, model: Model, name: str) -> list[AliasEntry]:
    """What *name* has meant, the oldest first."""
    log = layout.alias_log(model, alias_name(name))
    return [_entry(store, log, number) for number in range(1, last_number(store, log) + 1)]


def _entry(store: Store, log: str, number: int) -> AliasEntry:
    """Entry *number*; before the first one an alias means nothing."""
    if number < 1:
        return AliasEntry(record=None)
    key = layout.entry(log, number)
    return AliasEntry.from_bytes(store.read(key) or b"", key)
