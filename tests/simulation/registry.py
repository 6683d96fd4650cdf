"""The small registry that is there before anybody acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from cellar_core import layout
from cellar_core.line import Line
from cellar_core.payload import Payload
from cellar_core.record import FileEntry, Parent, Record
from cellar_core.ref import Rack, Ref
from cellar_core.register import Draft, Registrar, Spot
from cellar_core.store import Store
from tests.simulation.world import digest

__all__ = ["BASE", "ONE", "PROJECT", "RACK", "TWO", "Plain", "parent", "registry"]

RACK = Rack("vit/vit-l")
BASE, PROJECT = RACK.base, RACK.project("projectA")
ONE, TWO = BASE.at("1.0"), BASE.at("1.1")


class Plain(Store):
    """A store that nobody disturbs."""

    url = "plain://"

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def create(self, key: str, data: bytes) -> bool:
        return self.objects.setdefault(key, data) == data

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def find(self, prefix: str) -> Mapping[str, int]:
        return {key: len(data) for key, data in self.objects.items() if key.startswith(prefix)}

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        yield self.objects[key]

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> None:
        self.objects[key] = b"there"

    def delete(self, key: str) -> None:
        del self.objects[key]


@cache
def registry(*, behind: bool) -> dict[str, bytes]:
    """A rack with base 1.0; or also with projectA 1.0.1 on it and base 1.1, so that a rebuild is wanted."""
    store = Plain({})
    store.create(layout.rack(RACK), b"{}")
    _add(store, ONE)
    if behind:
        _add(store, PROJECT.at("1.0.1"), _parent(store.objects, ONE))
        _add(store, TWO)
    return store.objects


def parent(base: Ref) -> Parent:
    """What a project's version that is made from *base* says of it."""
    return _parent(registry(behind=True), base)


def _parent(objects: Mapping[str, bytes], base: Ref) -> Parent:
    return Parent(ref=base, tree=Record.from_bytes(objects[layout.record(base)], str(base)).tree)


def _add(store: Plain, ref: Ref, made_from: Parent | None = None) -> None:
    entry = FileEntry(path="f0", size=5, digest=digest(b"there"))
    payload = Payload(Path("there"), (entry,))
    draft = Draft(ref.model, payload, parent=made_from, version=ref.version, again=str(ref))
    Registrar(store).register(draft, lambda: Spot(Line.of(ref)))
