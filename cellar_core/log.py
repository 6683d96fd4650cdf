"""Numbered logs: entries are created exclusively, the highest counts; so each is a compare-and-set and its history."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from pydantic import Field

from cellar_core import layout
from cellar_core.errors import CellarError
from cellar_core.record import Stored, who
from cellar_core.store import Store

__all__ = ["ChangedMeanwhile", "Entry", "append", "last_number"]


class ChangedMeanwhile(CellarError):
    """Somebody else wrote the next entry of the log first. Trying again helps, once their entry was looked at."""

    retryable = True


class Entry(Stored):
    """An entry of a log: who wrote it, when, and why; the nonce tells one's own entry after a lost answer."""

    nonce: str = Field(default_factory=lambda: uuid.uuid4().hex)
    by: str = Field(default_factory=who)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    why: str = ""


def last_number(store: Store, log: str) -> int:
    """The number of the newest entry of *log*; 0 if it has none."""
    return max((layout.entry_number(key) or 0 for key in store.find(log)), default=0)


def append(store: Store, log: str, number: int, entry: Entry) -> None:
    """Write entry *number*; raises ChangedMeanwhile if somebody else has."""
    if not store.create(layout.entry(log, number), entry.to_bytes()):
        raise ChangedMeanwhile(
            f"{layout.entry(log, number)} was written by somebody else meanwhile; look, then decide"
        )
