"""Collecting what was abandoned: numbers that were taken and never became versions, and the bytes that lie there.

Whether somebody still works on a number cannot be known; it is guessed from two looks at its place. Nothing depends on
the guess: a number is voided by an exclusive create, and its files are deleted only once a tombstone was read back in
its record's place. So a wrong guess costs one upload, which fails cleanly and starts again, and damages nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from cellar_core import layout, lookup
from cellar_core.catalog import Catalog
from cellar_core.digest import digest_json
from cellar_core.errors import CellarError, listing
from cellar_core.log import ChangedMeanwhile, Entry, append, last_number
from cellar_core.record import SKIPPED, TOMBSTONE_MOST, Claim, Unreadable
from cellar_core.ref import Rack, Ref
from cellar_core.register import Registrar
from cellar_core.store import Store
from cellar_core.value import Value

__all__ = ["PATIENCE", "Collected", "NotAbandoned", "Sight", "Waiting", "abandoned", "collect", "sights"]

PATIENCE = timedelta(hours=24)
"""So long nothing may have moved before something counts as abandoned."""


class NotAbandoned(CellarError):
    """There is nothing to void: the number is a version, or nobody took it. Trying again does not help."""


class Sight(Value):
    """What was seen of one thing: a digest of what it held, and since when each look has found just that."""

    holds: str
    since: datetime


class Look(Entry):
    """One look at everything that was not finished; the last one alone tells all that a run has to know.

    Attributes:
        seen: By ref, the numbers that were taken and not settled; by name, the half-written files.
    """

    seen: Mapping[str, Sight] = Field(default_factory=dict)


class Waiting(Value):
    """A number that was taken and is neither a version nor void: an upload that goes on, or was abandoned.

    Attributes:
        ref: The number.
        by: Who took it.
        taken: When, by the clock of who took it.
        since: When a look first found its place as it is now.
        due: From when on a run voids it, if nothing moves there.
    """

    ref: Ref
    by: str
    taken: datetime
    since: datetime
    due: datetime


class Collected(Value):
    """What a run did, or would do if it was a dry one.

    Attributes:
        voided: Numbers that were voided; their files are deleted.
        emptied: Numbers that were void before, and whose files are deleted now.
        committed: Numbers that were to be voided and whose commit was faster: versions, which were left alone.
        discarded: Half-written files elsewhere, which are deleted.
        waiting: Numbers that may still be worked on.
        freed: How many bytes were freed.
        problems: What could not be judged, since an object of it cannot be read; it was left alone.
        dry_run: Whether nothing was done.
    """

    voided: tuple[Ref, ...] = ()
    emptied: tuple[Ref, ...] = ()
    committed: tuple[Ref, ...] = ()
    discarded: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    freed: int = 0
    problems: tuple[str, ...] = ()
    dry_run: bool = False


# The decision


def abandoned(
    last: Mapping[str, Sight], holds: Mapping[str, str], now: datetime, patience: timedelta
) -> frozenset[str]:
    """What counts as abandoned: what was seen before, and has not changed for *patience*.

    Args:
        last: What the newest look saw.
        holds: What each thing holds now.
        now: The time.
        patience: How long nothing may have moved.

    >>> noon = datetime(2026, 11, 24, 12)
    >>> last = {"a/base/1.0": Sight(holds="1 file", since=noon), "a/base/1.1": Sight(holds="1 file", since=noon)}
    >>> holds = {"a/base/1.0": "1 file", "a/base/1.1": "2 files", "a/base/1.2": "nothing"}
    >>> sorted(abandoned(last, holds, noon + PATIENCE, PATIENCE))
    ['a/base/1.0']
    """
    return frozenset(
        name
        for name, sight in last.items()
        if holds.get(name) == sight.holds and now - sight.since >= patience
    )


def sights(last: Mapping[str, Sight], holds: Mapping[str, str], now: datetime) -> dict[str, Sight]:
    """What the next look says: what has not changed keeps its time, which is never later than *now*."""

    def since(name: str) -> datetime:
        before = last.get(name)
        return min(before.since, now) if before and before.holds == holds[name] else now

    return {name: Sight(holds=what, since=since(name)) for name, what in holds.items()}


# What there is


@dataclass(frozen=True)
class _State:
    """What is not finished.

    Attributes:
        open: The claims of the numbers that are neither versions nor void.
        void: The void numbers whose places are not empty.
        partials: Half-written files, and their sizes.
        holds: What each open number and each half-written file holds.
        problems: What could not be read.
    """

    open: Mapping[Ref, Claim]
    void: Collection[Ref]
    partials: Mapping[str, int]
    holds: Mapping[str, str]
    problems: tuple[str, ...]


def _survey(store: Store, rack: Rack | None) -> _State:
    taken = [ref for key in store.find(layout.claims(rack)) if (ref := layout.parse_claim(key))]
    settled = Catalog(store.find(layout.records(rack))).settled
    rest = [ref for ref in taken if ref not in settled]
    claims = dict(zip(rest, store.each(lambda ref: _claim(store, ref), rest), strict=True))
    open_ = {ref: one for ref, one in claims.items() if isinstance(one, Claim) and one.is_work}
    void = [ref for ref, size in settled.items() if size <= TOMBSTONE_MOST]
    partials = _sizes(store.partials(layout.payload(rack)))
    places = [*open_, *void]
    files = dict(zip(places, store.each(lambda ref: _files(store, ref, partials), places), strict=True))
    return _State(
        open=open_,
        void=[ref for ref in void if files[ref]],
        partials=partials,
        holds={str(ref): digest_json(files[ref]) for ref in open_}
        | {name: str(size) for name, size in partials.items()},
        problems=tuple(str(one) for one in claims.values() if isinstance(one, Unreadable)),
    )


def _claim(store: Store, ref: Ref) -> Claim | Unreadable:
    key = layout.claim(ref)
    try:
        return Claim.from_bytes(store.read(key) or b"", key)
    except Unreadable as error:  # of this number only
        return error


def _files(store: Store, ref: Ref, partials: Mapping[str, int]) -> dict[str, int]:
    """What lies in the place of a number, and how large it is; half-written files too."""
    place = layout.payload(ref)
    return _sizes(store.find(place)) | {
        name: size for name, size in partials.items() if name.startswith(place)
    }


def _sizes(found: Mapping[str, int]) -> dict[str, int]:
    """The sizes in a listing, without what has gone meanwhile: on a disk, each is looked up only now."""
    sizes = {}
    for key in found:
        with suppress(FileNotFoundError):
            sizes[key] = found[key]
    return sizes


# The run


def collect(
    store: Store,
    rack: Rack | None = None,
    *,
    now: datetime,
    patience: timedelta = PATIENCE,
    void: Iterable[Ref] = (),
    dry_run: bool = False,
) -> Collected:
    """Void what was abandoned and free its bytes, then write down what is open, for a later run; see Cellar.gc.

    It asks for: one listing each of claims, records, looks and half-written files; the newest look; the claim of each
    number that is not settled, and a listing of its place, as of that of each void number; and for a number that is
    voided an exclusive create, a read, two listings, and one request for each file that is deleted.
    """
    asked = {ref: _is_void(store, ref) for ref in void}
    state = _survey(store, rack)
    number = last_number(store, layout.LOOKS)
    last = _look(store, number)
    due = abandoned(last, state.holds, now, patience)
    sweep = _Sweep(store, dry_run=dry_run)
    for ref in sorted({*asked, *state.void, *(ref for ref in state.open if str(ref) in due)}):
        sweep.settle(ref, was_void=asked.get(ref, ref in state.void))
    sweep.discard({name: size for name, size in state.partials.items() if name in due and name not in sweep})
    seen = sights(last, {name: what for name, what in state.holds.items() if name not in sweep}, now)
    if not dry_run and any(last.get(name) != sight for name, sight in seen.items()):
        elsewhere = {name: sight for name, sight in last.items() if not name.startswith(layout.payload(rack))}
        with suppress(ChangedMeanwhile):  # somebody else looks too: what they saw will do for the next run
            append(store, layout.LOOKS, number + 1, Look(at=now, seen=elsewhere | seen))
    return Collected(
        voided=sweep.voided,
        emptied=sweep.emptied,
        committed=sweep.committed,
        discarded=sweep.discarded,
        waiting=[
            Waiting(ref=ref, by=claim.by, taken=claim.at, since=sight.since, due=sight.since + patience)
            for ref, claim in sorted(state.open.items(), key=lambda item: item[0])
            if (sight := seen.get(str(ref)))
        ],
        freed=sweep.freed,
        problems=[*state.problems, *sweep.problems],
        dry_run=dry_run,
    )


def _is_void(store: Store, ref: Ref) -> bool:
    """Whether a number that a person names is void already; raises NotAbandoned if it cannot be."""
    if lookup.read(store, ref):
        raise NotAbandoned(
            f"{ref} is a version, and no version is ever voided; yank it, and nothing will choose it"
        )
    if store.read(layout.record(ref)) is not None:
        return True
    if (data := store.read(layout.claim(ref))) is None:
        known = (one for key in store.find(layout.claims(ref.model)) if (one := layout.parse_claim(key)))
        raise NotAbandoned(
            f"nobody took {ref}; taken of {ref.model}: {listing(one.version for one in sorted(known))}"
        )
    if Claim.from_bytes(data, layout.claim(ref)).identity == SKIPPED:
        raise NotAbandoned(f"{ref} was passed over by an exact version=, so nothing was sent there; leave it")
    return False


def _look(store: Store, number: int) -> Mapping[str, Sight]:
    key = layout.entry(layout.LOOKS, number)
    return Look.from_bytes(store.read(key) or b"", key).seen if number else {}


class _Sweep:
    """What one run has voided and deleted so far; or would have, if it is a dry one."""

    def __init__(self, store: Store, *, dry_run: bool) -> None:
        self.voided: list[Ref] = []
        self.emptied: list[Ref] = []
        self.committed: list[Ref] = []
        self.discarded: list[str] = []
        self.problems: list[str] = []
        self.freed = 0
        self._store = store
        self._dry_run = dry_run

    def __contains__(self, name: str) -> bool:
        """Whether *name*, of a number or of a half-written file, is settled."""
        empty = [*self.voided, *self.emptied]
        return (
            name in map(str, [*empty, *self.committed])
            or name in self.discarded
            or name.startswith(tuple(map(layout.payload, empty)))
        )

    def settle(self, ref: Ref, *, was_void: bool) -> None:
        """Void a number and, once a tombstone was read back, empty its place."""
        try:
            # Also where a tombstone was listed: nothing is deleted by what a listing says.
            record = None if self._dry_run else Registrar(self._store).void(ref)
        except Unreadable as error:
            self.problems.append(str(error))
            return
        if record:
            self.committed.append(ref)
            return
        (self.emptied if was_void else self.voided).append(ref)
        self._free(_sizes(self._store.find(layout.payload(ref))), self._store.delete)
        self._free(_sizes(self._store.partials(layout.payload(ref))), self._store.discard)

    def discard(self, partials: Mapping[str, int]) -> None:
        """Delete half-written files."""
        self.discarded += partials
        self._free(partials, self._store.discard)

    def _free(self, sizes: Mapping[str, int], delete: Callable[[str], None]) -> None:
        def one(name: str) -> None:
            with suppress(FileNotFoundError):  # somebody else was faster
                delete(name)

        self.freed += sum(sizes.values())
        if not self._dry_run:
            self._store.each(one, sizes)
