"""What must hold after every step, whoever dies and whatever comes late. Each invariant has a name in ``quotes``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cellar_core import layout
from cellar_core.choose import NoSuchVersion
from cellar_core.gc import NotAbandoned
from cellar_core.line import Line
from cellar_core.names import NoSuchRack
from cellar_core.record import SKIPPED, TOMBSTONE_MOST, Claim, Record, Unreadable
from cellar_core.ref import Ref
from cellar_core.register import BumpConflict, ForeignFiles, VersionTaken
from cellar_core.version import Bump
from tests.simulation.ends import Done, GaveUp, Nothing, Planned, Read, Refused, Run
from tests.simulation.world import World, digest

__all__ = ["Violation", "answered", "arrived", "fair", "frugal", "records", "settled", "unwasted"]

OURS = f"{layout.ROOT}/"
STALE = (ForeignFiles, BumpConflict, VersionTaken, NoSuchRack, NoSuchVersion, NotAbandoned, Unreadable)
"""What a caller may be told falsely once the adversary has given somebody an answer that was too old."""


class Violation(Exception):
    """An invariant does not hold: its name, and what was seen."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name


def _require(holds: object, name: str, what: str) -> None:
    if not holds:
        raise Violation(name, what)


# What the store holds


@lru_cache(10_000)
def _record(key: str, data: bytes) -> Record:
    return Record.from_bytes(data, key)


@lru_cache(10_000)
def _claim(key: str, data: bytes) -> Claim:
    return Claim.from_bytes(data, key)


@lru_cache(10_000)
def _place(key: str) -> Ref | None:
    """The number that a record or a tombstone at *key* is of."""
    parsed = layout.parse_record(key) if key.startswith(f"{OURS}records/") else None
    return parsed[0] if parsed and not parsed[1] else None


def _places(world: World) -> Iterator[tuple[Ref, str, bytes]]:
    return ((ref, key, data) for key, data in world.objects.items() if (ref := _place(key)))


def _versions(world: World) -> dict[Ref, Record]:
    return {ref: _record(key, data) for ref, key, data in _places(world) if len(data) > TOMBSTONE_MOST}


def _voided(world: World) -> set[Ref]:
    return {ref for ref, _, data in _places(world) if len(data) <= TOMBSTONE_MOST}


def _claims(world: World) -> dict[Ref, Claim]:
    found = {key: layout.parse_claim(key) for key in world.objects if key.startswith(f"{OURS}claims/")}
    return {ref: _claim(key, world.objects[key]) for key, ref in found.items() if ref}


def records(world: World, prefix: str) -> frozenset[str]:
    """The keys of all records below *prefix*."""
    return frozenset(key for key in map(layout.record, _versions(world)) if key.startswith(prefix))


# After each change of the store


def arrived(world: World, key: str, before: bytes | None, foreign: frozenset[str]) -> None:
    """``grows``: nothing under ``.cellar/`` is changed or deleted. ``foreign``: files that nobody registered stay."""
    if key.startswith(OURS):
        _require(before is None, "grows", f"{key} was changed or deleted")
        if _place(key) and len(world.objects[key]) > TOMBSTONE_MOST:
            _committed(world, _record(key, world.objects[key]))
        return
    _require(key not in foreign, "foreign", f"{key} is nobody's, and was written over")
    record = layout.record(Ref(key.rpartition("/")[0]))
    if len(world.objects.get(record, b"")) > TOMBSTONE_MOST:
        _whole(world, _record(record, world.objects[record]))


def _whole(world: World, record: Record) -> None:
    """``payload``: a committed payload is its record's bytes for ever."""
    there = dict(world.list(layout.payload(record.ref)))
    wanted = {f"{layout.payload(record.ref)}{file.path}": file for file in record.files}
    _require(there.keys() == wanted.keys(), "payload", f"{record.ref} holds {sorted(there)}")
    for key, file in wanted.items():
        _require(digest(world.objects[key]) == file.digest, "payload", f"{key} has other bytes")


def _committed(world: World, record: Record) -> None:
    """``identity``: one identity is one version. ``twice``: a request has one. ``major``: it is first on its line."""
    _whole(world, record)
    for ref, other in _versions(world).items():
        if ref != record.ref:
            _require(other.identity != record.identity, "identity", f"{ref} and {record.ref} are the same")
            _require(
                not record.request or other.request != record.request, "twice", f"{ref} and {record.ref}"
            )
    if record.bump is Bump.MAJOR:
        line = Line.of(record.ref)
        lower = {line.at(one) for one in range(line.first, line.number(record.ref.version) or 0)}
        _require(lower <= _voided(world), "major", f"{record.ref} is a major bump, but not the first")


# After each answer to a caller


def answered(world: World, name: str, end: object, before: Iterable[object]) -> None:
    """What a caller is told is true; *before* is what others were told."""
    if isinstance(end, Done):
        _holds(world, name, end, before)
    elif isinstance(end, Run):
        _one_version(name, end, before)
    elif isinstance(end, Read):
        _no_tombstone(world, name, end)
    elif isinstance(end, Planned):
        bases = {todo.base for todo in end.plan.rebuilds}
        _require(bases <= _versions(world).keys(), "reader", f"{name} plans to build from what is no version")


def _holds(world: World, name: str, done: Done, before: Iterable[object]) -> None:
    """``answer``: a returned number is committed and holds the caller's content, and one caller created it."""
    ref = done.record.ref
    _require(
        _versions(world).get(ref) == done.record, "answer", f"{name} was told {ref}, which is not committed"
    )
    same = done.record.tree == done.draft.payload.tree
    _require(same, "answer", f"{name} was told {ref}, which is other content")
    others = [one for one in before if isinstance(one, Done) and one.created and one.record.ref == ref]
    _require(not (done.created and others), "answer", f"{name} and another both created {ref}")


def _one_version(name: str, run: Run, before: Iterable[object]) -> None:
    """``twice``: all runs of a request are told the same version, whatever zombies live."""
    told = {one.rebuilt.ref for one in (*before, run) if isinstance(one, Run) and one.request == run.request}
    _require(len(told - {None}) <= 1, "twice", f"{name} was told {run.rebuilt.ref}, of {told}")


def _no_tombstone(world: World, name: str, read: Read) -> None:
    """``reader``: by names, nobody sees a tombstone as a version."""
    there = _versions(world)
    _require(there.keys() >= set(read.versions), "reader", f"{name} saw what is no version")
    _require(
        not read.resolved or there.get(read.resolved.ref) == read.resolved,
        "reader",
        f"{name} resolved nothing",
    )


def fair(name: str, end: object, allowed: tuple[type[Exception], ...], *, stale: bool) -> None:
    """``ends``, ``refused``, ``error``: everybody who is not dead ends, and nobody is refused without a reason.

    ``reader``: unless a listing was *stale*, what one has committed, another sees at its next look.
    """
    if isinstance(end, Refused):
        reasons = (*allowed, NotAbandoned, *(STALE if stale else ()))
        _require(isinstance(end.error, reasons), "refused", f"{name}: {end}")
    elif isinstance(end, GaveUp):
        raise Violation("ends", f"{name}: {end}")
    elif isinstance(end, Read):
        missed = end.before - set(map(layout.record, end.versions))
        _require(
            stale or (not missed and (end.resolved or not end.before)), "reader", f"{name} missed {missed}"
        )
    else:
        _require(isinstance(end, Done | Run | Planned | Nothing), "error", f"{name}: {end!r}")


# At the end


def settled(world: World) -> None:
    """``numbers``: they are consecutive; each is a version, or was voided, or kept from being given."""
    lines: dict[Line, set[int]] = defaultdict(set)
    known = _versions(world).keys() | _voided(world)
    for ref, claim in _claims(world).items():
        line = Line.of(ref)
        lines[line].add(line.number(ref.version) or 0)
        _require(ref in known or claim.identity == SKIPPED, "numbers", f"{ref} was left open")
    for line, numbers in lines.items():
        expected = set(range(line.first, line.first + len(numbers)))
        _require(numbers == expected, "numbers", f"{line.prefix} has {sorted(numbers)}")


def unwasted(world: World, holders: set[str]) -> None:
    """``waste``: R1: while nobody is taken for dead and nothing failed, one holder trains, however many are sent."""
    logs = (json.loads(data) for key, data in world.objects.items() if key.startswith(f"{OURS}rebuilds/"))
    calm = all(entry["event"] == "started" for entry in logs)
    _require(len(holders) <= 1 or not calm, "waste", f"{sorted(holders)} all trained")


def frugal(world: World) -> None:
    """``ends``: what a training of a rebuild made takes one number at most: whoever was voided gives up.

    Else two finishers could void each other for ever.
    """
    taken = [claim.identity for claim in _claims(world).values() if claim.request]
    _require(len(set(taken)) == len(taken), "ends", "what one training made took two numbers")
