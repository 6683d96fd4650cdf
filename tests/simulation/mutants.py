"""The protocol with one rule switched off at a time, each in a copy of the one step that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from cellar_core import layout, lookup
from cellar_core.digest import digest_json
from cellar_core.line import Line
from cellar_core.plan import Rebuild
from cellar_core.rebuild import Rebuilt
from cellar_core.record import SKIPPED, Claim, FileEntry, Record, tombstone
from cellar_core.ref import Model, Ref, Version
from cellar_core.register import Draft, ForeignFiles, Registrar, Spot, Superseded
from cellar_core.store import Store, StoreUnavailable
from cellar_core.store.base import checked
from tests.simulation.client import Client, chunks
from tests.simulation.programs import REAL, Rules

Build = Callable[[], tuple[Record, bool]]

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """A rule that is switched off, and the invariants of which one breaks then."""

    rule: str
    rules: Rules
    breaks: frozenset[str]


MUTANTS: list[Mutant] = []


def without(rule: str, *breaks: str, **parts: object) -> None:
    """Add a mutant."""
    MUTANTS.append(Mutant(rule, Rules(**parts), frozenset(breaks)))  # type: ignore[arg-type]


# Taking a number


def other() -> Claim:
    """A claim taken for somebody else's, unread."""
    return Claim(identity="another's")


class ClaimNotRead(Registrar):
    def _claim(self, ref: Ref, claim: Claim) -> Claim:
        standing = super()._claim(ref, claim)
        return standing if standing.nonce == claim.nonce or layout.claim(ref) in self._listed else other()

    def _read_claims(self, of: Model | Line) -> dict[Ref, Claim]:
        found = super()._read_claims(of)
        self._listed = set(self._claims)
        return found


without("a claim that exists is read before walking on", "identity", registrar=ClaimNotRead)


class AfterTheMaximum(Registrar):
    def _take(self, draft: Draft, spot: Spot) -> Ref:
        taken = self._read_claims(spot.line)
        numbers = [spot.line.number(ref.version) or 0 for ref in taken]
        first = max(numbers, default=spot.line.first - 1) + 1
        ours = Claim(identity=draft.identity, request=draft.request, bump=draft.bump)
        for number in count(first):
            ref = spot.line.at(number)
            if self._claim(ref, ours).identity == draft.identity and not self._void(ref):
                return ref
        raise AssertionError


without(
    "numbers are walked from the first one, not taken after the maximum",
    "identity",
    registrar=AfterTheMaximum,
)


class UnknownIsLost(Registrar):
    def _claim(self, ref: Ref, claim: Claim) -> Claim:
        try:
            return super()._claim(ref, claim)
        except StoreUnavailable:
            return other()


without("after an unknown answer the same number is asked for again", "identity", registrar=UnknownIsLost)


class NothingSkipped(Registrar):
    def _claim(self, ref: Ref, claim: Claim) -> Claim:
        return claim if claim.identity == SKIPPED else super()._claim(ref, claim)


without(
    "H1: an exact number takes each free number below it", "identity", "numbers", registrar=NothingSkipped
)


class ForeignUnseen(Registrar):
    def _claim(self, ref: Ref, claim: Claim) -> Claim:
        key = layout.claim(ref)
        while (standing := self._read_claim(key)) is None:
            if self._store.create(key, claim.to_bytes()):
                return claim
        return standing


without("V11: files that nobody registered are looked for", "payload", "foreign", registrar=ForeignUnseen)


class ClaimReadBeforePlace(Registrar):
    def _claim(self, ref: Ref, claim: Claim) -> Claim:
        if standing := self._read_claim(layout.claim(ref)):
            return standing
        if self._store.find(layout.payload(ref)):
            raise ForeignFiles(f"{ref}/")
        while (standing := self._read_claim(layout.claim(ref))) is None:
            if self._store.create(layout.claim(ref), claim.to_bytes()):
                return claim
        return standing


without("the claim is read after the place was listed", "refused", registrar=ClaimReadBeforePlace)


class VoidAdopted(Registrar):
    def _known(self, draft: Draft) -> Ref | None:
        return next(
            (r for r, c in self._read_claims(draft.scope).items() if c.identity == draft.identity), None
        )


without("a number that was voided is not adopted", "ends", registrar=VoidAdopted)


# Sending files


class NotCompared(Client):
    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        with self._telling(key):
            self._fs.pipe_file(self._path(key), b"".join(chunks(source)))


without("V2: bytes that differ from the scan never become visible", "payload", client=NotCompared)


class InPlace(Client):
    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        data = b"".join(checked(source, expected, on_bytes))
        with self._telling(key):
            for size in (1, len(data)):
                self._fs.pipe_file(self._path(key), data[:size])


without("V3: files appear whole", "payload", client=InPlace)


# The commit


class ExistsNotRead(Registrar):
    def __init__(self, store: Store, claims: MutableMapping[str, Claim] | None = None) -> None:
        super().__init__(store, claims)
        self._lost: set[Ref] = set()

    def _commit(self, record: Record) -> tuple[Record, bool] | None:
        if self._store.create(layout.record(record.ref), record.to_bytes()):
            return record, True
        self._lost.add(record.ref)
        return None

    def _void(self, ref: Ref) -> bool:
        return ref in self._lost or super()._void(ref)


without("a record that exists is read back", "identity", registrar=ExistsNotRead)


class LowerLeftOpen(Registrar):
    def _close_lower(self, draft: Draft, ref: Ref) -> Record | None:
        return None


without("lower claims of the same request are closed", "twice", registrar=LowerLeftOpen)


class LowerOnlyLookedAt(Registrar):
    def _close_lower(self, draft: Draft, ref: Ref) -> Record | None:
        line = Line.of(ref)
        lower = [line.at(number) for number in range(line.first, line.number(ref.version) or line.first)]
        for one in lower:
            claim = self._read_claim(layout.claim(one))
            if claim and claim.request == draft.request and (record := lookup.read(self._store, one)):
                return record
        return None


without("an open lower claim of the same request is voided", "twice", registrar=LowerOnlyLookedAt)


class RequestNotInIdentity(Draft):
    @property
    def identity(self) -> str:
        base = str(self.parent.ref) if self.parent else None
        return digest_json(str(self.model), base, self.payload.tree, self.recipe.facts(), self.again)


without("H2: the request is part of a rebuild's identity", "twice", draft=RequestNotInIdentity)


class NeverGivesUp(Registrar):
    def register(
        self, draft: Draft, choose: Callable[[], Spot], on_bytes: Callable[[int], object] = lambda count: None
    ) -> tuple[Record, bool]:
        while True:
            try:
                return super().register(draft, choose, on_bytes)
            except Superseded:
                pass


without("a rebuild whose number was voided gives up", "ends", registrar=NeverGivesUp)


def without_start(store: Store, todo: Rebuild, holder: str, build: Build, **more: Any) -> Rebuilt:
    """Train at once."""
    if found := more["found"]():
        return Rebuilt.of("already", found)
    try:
        record, own = build()
    except Superseded:
        return Rebuilt(outcome="skipped", model=todo.model, detail="was voided")
    return Rebuilt.of("built" if own else "already", record)


without("R1: a run writes that it starts before it trains", "waste", attempt=without_start)


# Voiding


class Marked(Registrar):
    def void(self, ref: Ref) -> Record | None:
        self._store.create(f"{layout.ROOT}/void/{ref}.json", tombstone())
        return super().void(ref)

    def _void(self, ref: Ref) -> bool:
        return self._store.read(f"{layout.ROOT}/void/{ref}.json") is not None


without(
    "a number is void by the tombstone read at its record, and by nothing else", "identity", registrar=Marked
)


class VoidNotRead(Registrar):
    def void(self, ref: Ref) -> Record | None:
        self._store.create(layout.record(ref), tombstone())
        return None


without(
    "a payload is deleted only once its tombstone was read back", "payload", "twice", registrar=VoidNotRead
)


def delete_first(store: Client, refs: Iterable[Ref]) -> None:
    """Empty the places, then void their numbers."""
    for ref in refs:
        for key in store.find(layout.payload(ref)):
            store.delete(key)
    REAL.collect(store, refs)


without("V7: a payload is deleted after its number was voided, not before", "payload", collect=delete_first)


# Reading


def by_name(store: Client, model: Model) -> list[Version]:
    """Each name among the records, whatever its size."""
    found = map(layout.parse_record, store.find(layout.records(model)))
    return [parsed[0].version for parsed in found if parsed and not parsed[1]]


without("V12: a reader tells a tombstone from a record", "reader", versions=by_name)
