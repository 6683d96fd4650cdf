"""What must hold after every step, whoever dies and whatever comes late."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from cellar_core import layout
from cellar_core.choose import NoSuchVersion
from cellar_core.names import NoSuchRack
from cellar_core.gc import NotAbandoned
from cellar_core.line import Line
from cellar_core.record import SKIPPED, TOMBSTONE_MOST, Claim, Record, Unreadable
from cellar_core.ref import Ref
from cellar_core.register import BumpConflict, ForeignFiles, VersionTaken
from cellar_core.version import Bump
from tests.simulation.programs import Nothing, Done, Gave, Planned, Read, TRAINED, Refused, Run
from tests.simulation.world import World, entry_digest

__all__ = ["Violation", "answered", "arrived", "settled"]

OURS = f"{layout.ROOT}/"


class Violation(Exception):
    """An invariant does not hold: its name, and what was seen."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name


def _require(holds: object, name: str, what: str) -> None:
    if not holds:
        raise Violation(name, what)


@lru_cache(maxsize=10_000)
def _record(key: str, data: bytes) -> Record:
    return Record.from_bytes(data, key)


@lru_cache(maxsize=10_000)
def _claim(key: str, data: bytes) -> Claim:
    return Claim.from_bytes(data, key)


@lru_cache(maxsize=10_000)
def _ref_of_record(key: str) -> Ref | None:
    parsed = layout.parse_record(key) if key.startswith(f"{OURS}records/") else None
    return parsed[0] if parsed and not parsed[1] else None


def committed(world: World) -> dict[Ref, Record]:
    """The versions that exist, by looking at everything."""
    found = ((key, _ref_of_record(key), data) for key, data in world.objects.items())
    return {ref: _record(key, data) for key, ref, data in found if ref and len(data) > TOMBSTONE_MOST}


def voided(world: World) -> set[Ref]:
    """The numbers that a tombstone stands at."""
    found = ((_ref_of_record(key), data) for key, data in world.objects.items())
    return {ref for ref, data in found if ref and len(data) <= TOMBSTONE_MOST}


# After a change of the store


def arrived(world: World, key: str, before: bytes | None, foreign: frozenset[str]) -> None:
    """Look at what just changed.

    ``grows``: nothing under ``.cellar/`` is ever changed or deleted. ``foreign``: files that nobody registered stay.
    """
    if key.startswith(OURS):
        _require(before is None, "grows", f"{key} was changed or deleted")
        if (ref := _ref_of_record(key)) and len(world.objects[key]) > TOMBSTONE_MOST:
            _committed(world, _record(key, world.objects[key]))
        return
    _require(key not in foreign, "foreign", f"{key} is nobody's, and was written over")
    try:
        record = layout.record(Ref(key.rpartition("/")[0]))
    except ValueError:
        return
    if len(world.objects.get(record, b"")) > TOMBSTONE_MOST:
        _whole(world, _record(record, world.objects[record]))


def _whole(world: World, record: Record) -> None:
    """``payload``: a committed payload is its record's bytes for ever."""
    place = layout.payload(record.ref)
    there = {key.removeprefix(place): data for key, data in world.objects.items() if key.startswith(place)}
    _require(there.keys() == {file.path for file in record.files}, "payload", f"{record.ref} holds {sorted(there)}")
    for file in record.files:
        _require(
            entry_digest(there[file.path]) == file.digest, "payload", f"{record.ref}/{file.path} has other bytes"
        )


def _committed(world: World, record: Record) -> None:
    """``payload``; ``identity``: one identity is one version; ``twice``: a request has one; ``major``: X.0 comes first."""
    _whole(world, record)
    for ref, other in committed(world).items():
        if ref != record.ref:
            _require(other.identity != record.identity, "identity", f"{ref} and {record.ref} are the same")
            _require(not record.request or other.request != record.request, "twice", f"{ref} and {record.ref}")
    if record.bump is Bump.MAJOR:
        line, gone = Line.of(record.ref), voided(world)
        number = line.number(record.ref.version) or 0
        lower = [line.at(one) for one in range(line.first, number)]
        _require(all(ref in gone for ref in lower), "major", f"{record.ref} is a major bump, after {lower}")


# After the answer of a caller

STALE_REFUSALS = (ForeignFiles, BumpConflict, VersionTaken, NoSuchRack, NoSuchVersion, Unreadable)
"""What a caller may be told falsely because the adversary gave it an answer that was too old."""


def answered(
    world: World, name: str, end: object, before: Iterable[object], faults: frozenset[str], allowed: tuple[type, ...]
) -> None:
    """Look at how a caller has ended.

    Args:
        world: The store now.
        name: Who ended.
        end: Its answer.
        before: The answers of those who ended earlier.
        faults: What the adversary has done so far.
        allowed: The refusals that the callers' wishes can earn them.
    """
    stale = faults & {"absent", "stale"}
    if isinstance(end, Done):
        _holds(world, name, end)
        again = [one for one in before if isinstance(one, Done) and one.created and one.record.ref == end.record.ref]
        _require(not (end.created and again), "answer", f"{name} and another both created {end.record.ref}")
    elif isinstance(end, Run):
        _one_version(name, end, before)
    elif isinstance(end, Read):
        _truth(world, name, end, fresh=not stale)
    elif isinstance(end, Planned):
        there = committed(world)
        for todo in end.plan.rebuilds:
            _require(todo.base in there, "reader", f"{name} plans to build from {todo.base}, which is no version")
    elif isinstance(end, Refused):
        fair = isinstance(end.error, (*allowed, NotAbandoned)) or (stale and isinstance(end.error, STALE_REFUSALS))
        _require(fair, "refused", f"{name}: {type(end.error).__name__}: {end.error}")
    elif isinstance(end, Gave):
        raise Violation("ends", f"{name} was tried again and again: {end.error}")
    elif not isinstance(end, Nothing):
        raise Violation("error", f"{name}: {end!r}")


def _holds(world: World, name: str, done: Done) -> None:
    """``answer``: a returned number is committed and holds the caller's content."""
    ref = done.record.ref
    _require(committed(world).get(ref) == done.record, "answer", f"{name} was told {ref}, which is not committed")
    _require(done.record.tree == done.draft.payload.tree, "answer", f"{name} was told {ref}, which is other content")


def _one_version(name: str, run: Run, before: Iterable[object]) -> None:
    """``twice``: whoever asks for a request is told the same version, whatever zombies live."""
    earlier = {one.rebuilt.ref for one in before if isinstance(one, Run) and one.request == run.request} - {None}
    if run.rebuilt.ref:
        _require(earlier <= {run.rebuilt.ref}, "twice", f"{name} was told {run.rebuilt.ref}, another {earlier}")


def _truth(world: World, name: str, read: Read, *, fresh: bool) -> None:
    """``reader``: by names, nobody sees a tombstone as a version; and each sees what was committed before it looked."""
    there = committed(world)
    for ref in read.versions:
        _require(ref in there, "reader", f"{name} saw {ref}, which is no version")
    if read.resolved:
        _require(there.get(read.resolved.ref) == read.resolved, "reader", f"{name} resolved {read.resolved.ref}")
    if fresh:
        missed = read.before - {layout.record(ref) for ref in read.versions}
        _require(not missed, "reader", f"{name} missed {missed}")
        _require(read.resolved or not read.before, "reader", f"{name} resolved nothing")


# At the end


def settled(world: World) -> None:
    """``numbers``: numbers are consecutive: each is a version, or was voided, or kept from being given."""
    lines: dict[Line, set[int]] = defaultdict(set)
    there, gone = committed(world), voided(world)
    for key, data in world.objects.items():
        if key.startswith(f"{OURS}claims/") and (ref := layout.parse_claim(key)):
            line = Line.of(ref)
            lines[line].add(line.number(ref.version) or 0)
            known = ref in there or ref in gone or _claim(key, data).identity == SKIPPED
            _require(known, "numbers", f"{ref} was left open")
    for line, numbers in lines.items():
        first = line.first
        _require(numbers == set(range(first, first + len(numbers))), "numbers", f"{line} has {sorted(numbers)}")


def unwasted(world: World) -> None:
    """``waste``: R1: while nobody is taken for dead, or has failed, one holder trains, however often it is asked for."""
    events = [json.loads(data)["event"] for key, data in world.objects.items() if key.startswith(f"{OURS}rebuilds/")]
    holders = {path.split("/")[1] for path in world.disk if path.startswith(TRAINED)}
    _require(len(holders) <= 1 or set(events) - {"started"}, "waste", f"{sorted(holders)} all trained")


def frugal(world: World) -> None:
    """``ends``: what one training of a rebuild made takes one number at most: whoever was voided gives up.

    Else two finishers could void each other for ever.
    """
    claims = [_claim(key, data) for key, data in world.objects.items() if key.startswith(f"{OURS}claims/")]
    taken = [claim.identity for claim in claims if claim.request]
    _require(len(set(taken)) == len(taken), "ends", "a training took two numbers")
