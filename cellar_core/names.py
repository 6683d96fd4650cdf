"""Which names are in use: the racks that exist, and the one spelling of each model's name."""

from __future__ import annotations

import json
import uuid

from cellar_core import layout
from cellar_core.errors import CellarError, listing
from cellar_core.rack import starters
from cellar_core.record import Unreadable, who
from cellar_core.ref import Model, Rack
from cellar_core.store import Store

__all__ = [
    "NameTaken",
    "NoSuchRack",
    "create_rack",
    "furnish",
    "is_rack",
    "keep_spelling",
    "racks",
    "refuse_spelling",
    "require_rack",
]


class NameTaken(CellarError):
    """Another name stands in the way: a spelling that differs only in case, or a rack above or below."""


class NoSuchRack(CellarError, LookupError):
    """There is no such rack; the message lists those that are there."""


def racks(store: Store) -> list[Rack]:
    """All racks, by name."""
    return _racks(store, layout.RACKS)


def _racks(store: Store, prefix: str) -> list[Rack]:
    return sorted(filter(None, map(layout.parse_rack, store.find(prefix))))


def is_rack(store: Store, rack: Rack) -> bool:
    """Whether *rack* exists.

    Raises:
        NameTaken: It cannot: a rack lies above or below it; ``vit`` and ``vit/vit-l`` cannot both be racks.
    """
    akin = _racks(store, f"{layout.RACKS}{str(rack).partition('/')[0]}")
    if rack in akin:
        return True
    if above := [one for one in akin if one in rack.parents]:
        raise NameTaken(f"{rack} would lie below rack {above[0]}; choose another name")
    if below := [one for one in akin if rack in one.parents]:
        raise NameTaken(f"{rack} would lie above rack {listing(below)}; choose another name")
    return False


def create_rack(store: Store, rack: Rack) -> bool:
    """Make *rack* and its ``config.toml``; returns whether it is new. Raises NameTaken, see is_rack."""
    if is_rack(store, rack):
        return False
    _spell(store, layout.name(rack.base), str(rack.base))
    store.create(layout.config(rack), starters(rack)["config.toml"].encode())
    facts = {"schema": 1, "rack": str(rack), "by": who(), "nonce": uuid.uuid4().hex}
    return store.create(layout.rack(rack), json.dumps(facts).encode())


def furnish(store: Store, rack: Rack) -> None:
    """Give *rack* the files that ml-cellar gives one; those that are there already stay as they are."""
    for name, text in starters(rack).items():
        store.create(layout.rack_file(rack, name), text.encode())


def require_rack(store: Store, rack: Rack) -> None:
    """Raise NoSuchRack unless *rack* exists."""
    if store.read(layout.rack(rack)) is None:
        there = listing(racks(store))
        raise NoSuchRack(
            f"there is no rack {rack}; racks here: {there}. The first base makes one: cellar register"
        )


def keep_spelling(store: Store, model: Model) -> None:
    """Give *model* its one spelling, before its first claim; raises NameTaken if it has another."""
    _spell(store, layout.name(model), str(model))


def refuse_spelling(store: Store, model: Model) -> None:
    """Raise NameTaken if *model* has another spelling; nothing is written."""
    key = layout.name(model)
    if (data := store.read(key)) is not None:
        _compare(data, key, str(model))


def _spell(store: Store, key: str, name: str) -> None:
    data = store.read(key)
    if data is None:
        ours = json.dumps({"schema": 1, "name": name}).encode()
        data = ours if store.create(key, ours) else store.read(key)
    _compare(data or b"", key, name)


def _compare(data: bytes, key: str, name: str) -> None:
    try:
        spelled = json.loads(data)["name"]
    except (ValueError, KeyError, TypeError):
        raise Unreadable(f"{key} names no model; restore it from a backup") from None
    if spelled != name:
        raise NameTaken(
            f"{name} is already spelled {spelled}, and some stores take both for one; write it like that"
        )
