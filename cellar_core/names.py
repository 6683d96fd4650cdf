"""Which names are in use: the racks that exist, and the one spelling of each model's name."""

from __future__ import annotations

import json
import uuid

from cellar_core import layout
from cellar_core.errors import CellarError, listing
from cellar_core.rack import TEMPLATE
from cellar_core.record import Unreadable, who
from cellar_core.ref import Model, Rack
from cellar_core.store import Store

__all__ = ["NameTaken", "NoSuchRack", "create_rack", "keep_spelling", "racks", "require_rack"]


class NameTaken(CellarError):
    """Another name stands in the way: a spelling that differs only in case, or a rack above or below."""


class NoSuchRack(CellarError, LookupError):
    """There is no such rack; the message lists those that are there."""


def racks(store: Store) -> list[Rack]:
    """All racks, by name."""
    return _racks(store, layout.RACKS)


def _racks(store: Store, prefix: str) -> list[Rack]:
    return sorted(filter(None, map(layout.parse_rack, store.find(prefix))))


def create_rack(store: Store, rack: Rack) -> bool:
    """Make *rack* and its ``config.toml``; returns whether it is new.

    Raises:
        NameTaken: A rack lies above or below it: ``vit`` and ``vit/vit-l`` cannot both be racks.
    """
    akin = _racks(store, f"{layout.RACKS}{str(rack).partition('/')[0]}")
    if rack in akin:
        return False
    if above := [one for one in akin if one in rack.parents]:
        raise NameTaken(f"{rack} would lie below rack {above[0]}; choose another name")
    if below := [one for one in akin if rack in one.parents]:
        raise NameTaken(f"{rack} would lie above rack {listing(below)}; choose another name")
    _spell(store, layout.name(rack.base), str(rack.base))
    store.create(layout.config(rack), TEMPLATE.format(rack=rack).encode())
    facts = {"schema": 1, "rack": str(rack), "by": who(), "nonce": uuid.uuid4().hex}
    return store.create(layout.rack(rack), json.dumps(facts).encode())


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


def _spell(store: Store, key: str, name: str) -> None:
    data = store.read(key)
    if data is None:
        ours = json.dumps({"schema": 1, "name": name}).encode()
        data = ours if store.create(key, ours) else store.read(key)
    try:
        spelled = json.loads(data or b"")["name"]
    except (ValueError, KeyError, TypeError):
        raise Unreadable(f"{key} names no model; restore it from a backup") from None
    if spelled != name:
        raise NameTaken(
            f"{name} is already spelled {spelled}, and some stores take both for one; write it like that"
        )
