"""The register protocol, and voiding: the one place where numbers are taken.

Why it holds, whoever crashes and however late an answer comes: the author of a claim has looked at the claim of each
lower number of the line, and claims and records never change. So if number *n* was claimed for an identity, no lower
number is that identity's version: one content has one number, and no number has two contents. Only exclusive create
has to be strong; a listing is a hint about which creates would fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cellar_core import layout, lookup
from cellar_core.digest import digest_json
from cellar_core.errors import CellarError, listing
from cellar_core.line import Line
from cellar_core.payload import Payload
from cellar_core.record import SKIPPED, Claim, Origin, Parent, Recipe, Record, tombstone
from cellar_core.ref import Model, Ref, Version
from cellar_core.store import Store, StoreUnavailable
from cellar_core.version import BaseVersion, Bump

__all__ = [
    "BumpConflict",
    "Draft",
    "ForeignFiles",
    "Registrar",
    "Spot",
    "Superseded",
    "UploadLost",
    "VersionTaken",
]

SKIP_MOST = 1000
"""How many free numbers an exact ``version=`` may pass over."""


class VersionTaken(CellarError):
    """The exact number is another's, or the content already has another one. Trying again does not help."""


class BumpConflict(CellarError):
    """Somebody else bumped first, or bumped this content in another way. Trying again does not help."""


class ForeignFiles(CellarError):
    """Files that nobody registered lie where the next version would go. Trying again does not help."""


class Superseded(CellarError):
    """Another run of the same rebuild, or gc, has voided this one's number. Only the next plan can tell what helps."""


class UploadLost(CellarError):
    """Files that were sent are not there. Trying again may help."""

    retryable = True


@dataclass(frozen=True)
class Draft:
    """What is to be registered. SPEC raises ``Z`` for new data or parameters: so the recipe is part of the identity.

    Metrics, notes and origin are not: the same bytes from the same recipe are the same version.
    ``version`` asks for this number and no other.
    """

    model: Model
    payload: Payload
    recipe: Recipe = field(default_factory=Recipe)
    parent: Parent | None = None
    bump: Bump | None = None
    version: Version | None = None
    request: str | None = None
    again: str = ""
    metrics: Mapping[str, Any] | None = None
    notes: str = ""
    origin: Origin | None = None

    @property
    def scope(self) -> Model | Line:
        """Where the same content can already be: on any line of a base; on the one of its base, for a project."""
        base = self.parent.ref.version if self.parent else None
        return Line.on(self.model, base) if isinstance(base, BaseVersion) else self.model

    @property
    def identity(self) -> str:
        """What makes two registrations the same one."""
        base = str(self.parent.ref) if self.parent else None
        return digest_json(
            str(self.model), base, self.payload.tree, self.recipe.facts(), self.again, self.request
        )

    def record(self, ref: Ref, after: Ref | None) -> Record:
        """The record that makes this draft version *ref*."""
        return Record(
            ref=ref,
            kind="base" if ref.model.is_base else "project",
            identity=self.identity,
            tree=self.payload.tree,
            files=self.payload.files,
            recipe=self.recipe,
            parent=self.parent,
            bump=self.bump,
            after=after,
            request=self.request,
            again=self.again,
            metrics=self.metrics or {},
            notes=self.notes,
            origin=self.origin or Origin(),
        )


@dataclass(frozen=True)
class Spot:
    """Which number is wanted.

    Attributes:
        line: The line to count on.
        above: If given, nobody else may have taken a higher number than this one: the compare of a compare-and-set.
        seen: The newest version of the line that the author had seen.
    """

    line: Line
    above: int | None = None
    seen: Ref | None = None


class Registrar:
    """Takes numbers in one store.

    Args:
        store: Where.
        claims: A cache of claims by key, which never change; shared between calls.
    """

    def __init__(self, store: Store, claims: MutableMapping[str, Claim] | None = None) -> None:
        self._store = store
        self._claims = {} if claims is None else claims

    def register(
        self, draft: Draft, choose: Callable[[], Spot], on_bytes: Callable[[int], object] = lambda count: None
    ) -> tuple[Record, bool]:
        """Make *draft* a version, or find the version that it already is.

        Args:
            draft: What is to be registered.
            choose: Which number is wanted; asked only if the draft has none yet.
            on_bytes: Called with each number of bytes that was sent, from several threads.

        Returns:
            The record, and whether this very call made it.

        Raises:
            VersionTaken, BumpConflict, ForeignFiles, Superseded: see there; nothing was registered.
            SourceChanged: A file is no longer what was scanned; nothing was registered, trying again helps.
        """
        while True:
            spot: Spot | None = None
            ref = self._known(draft)
            if ref is None:
                spot = choose()
                ref = self._take(draft, spot)
            try:
                self._upload(draft, ref, on_bytes)
            except (FileNotFoundError, StoreUnavailable, UploadLost):
                # The place of a voided number may be emptied meanwhile: then the commit will tell.
                if not self._void(ref):
                    raise
            if draft.request and (sibling := self._close_lower(draft, ref)):
                return sibling, False
            if done := self._commit(draft.record(ref, spot.seen if spot else None)):
                return done
            if draft.request:
                told = "was voided by another run of the same rebuild, or by gc"
                raise Superseded(f"{ref} {told}; whether it is still wanted: cellar plan {ref.rack}")

    def find_request(self, line: Line, request: str) -> Record | None:
        """The version that a rebuild has already made on *line*, or None."""
        for ref, claim in sorted(self._read_claims(line).items(), key=lambda item: item[0]):
            if claim.request == request and (record := lookup.read(self._store, ref)):
                return record
        return None

    def void(self, ref: Ref) -> Record | None:
        """Void a number; returns the record if its commit was faster, else None: then its payload may be deleted."""
        while True:
            self._store.create(layout.record(ref), tombstone())
            if (data := self._store.read(layout.record(ref))) is not None:
                return lookup.parse(data, ref)

    def _void(self, ref: Ref) -> bool:
        data = self._store.read(layout.record(ref))
        return data is not None and lookup.parse(data, ref) is None

    def _known(self, draft: Draft) -> Ref | None:
        """The number that was claimed for this content and not voided, on any line of the model."""
        for ref, claim in self._read_claims(draft.scope).items():
            if claim.identity == draft.identity and not self._void(ref):
                _agree(draft, ref, claim)
                return ref
        return None

    def _read_claims(self, of: Model | Line) -> dict[Ref, Claim]:
        """The claims that a listing tells of; their bodies never change, so each is read once."""
        keys = {key: ref for key in self._store.find(layout.claims(of)) if (ref := layout.parse_claim(key))}
        claims = self._store.each(self._read_claim, keys)
        return {ref: claim for ref, claim in zip(keys.values(), claims, strict=True) if claim}

    def _read_claim(self, key: str) -> Claim | None:
        if key not in self._claims and (data := self._store.read(key)) is not None:
            self._claims[key] = Claim.from_bytes(data, key)
        return self._claims.get(key)

    def _take(self, draft: Draft, spot: Spot) -> Ref:
        """Walk the line from its first number; no number is passed without being looked at."""
        exact = spot.line.number(draft.version) if draft.version else None
        if exact is not None and not 0 <= exact - spot.line.first <= SKIP_MOST:
            first, last = (spot.line.at(spot.line.first + step).version for step in (0, SKIP_MOST))
            raise VersionTaken(
                f"{spot.line.at(exact)} cannot be given: choose a version= from {first} to {last}"
            )
        ours = Claim(identity=draft.identity, request=draft.request, bump=draft.bump)
        for number in count(spot.line.first):
            ref = spot.line.at(number)
            below = exact is not None and number < exact
            claim = self._claim(ref, Claim(identity=SKIPPED) if below else ours)
            if claim is ours or (claim.identity == draft.identity and not self._void(ref)):
                _agree(draft, ref, claim)
                return ref
            if number == exact:
                raise VersionTaken(
                    f"{ref} is taken by other content (by {claim.by}), or was voided; choose another version="
                )
            if (
                spot.above is not None
                and number > spot.above
                and claim.identity != SKIPPED
                and not self._void(ref)
            ):
                hint = f"look at it, then register again with after={ref.version}"
                gone = f"if it was given up, void it first: cellar gc --now {ref}"
                raise BumpConflict(f"{ref} was taken meanwhile (by {claim.by}): {hint}; {gone}")
        raise AssertionError("a line has no end")

    def _claim(self, ref: Ref, claim: Claim) -> Claim:
        """The claim that stands at a number: ours if it was free, else whosever it is."""
        key = layout.claim(ref)
        if known := self._claims.get(key):
            return known
        self._refuse_foreign(ref, key)
        data = claim.to_bytes()
        while not self._store.create(key, data):
            if standing := self._read_claim(key):
                return standing
        self._claims[key] = claim
        return claim

    def _refuse_foreign(self, ref: Ref, key: str) -> None:
        """Raise ForeignFiles if files lie in the place of a number, and *key*, read after that, is no claim of it."""
        if next(iter(self._store.find(layout.payload(ref))), None) and not self._read_claim(key):
            hint = "move them away, or make them versions with: cellar import"
            raise ForeignFiles(f"{ref}/ holds files that nobody registered; {hint}")

    def _upload(self, draft: Draft, ref: Ref, on_bytes: Callable[[int], object]) -> None:
        """Send what is not there yet, look once whether names and sizes are those of the draft, and make it last."""
        place = layout.payload(ref)
        wanted = {place + file.path: file for file in draft.payload.files}
        there = self._store.find(place)
        missing = {key: file for key, file in wanted.items() if there.get(key) != file.size}
        on_bytes(sum(file.size for key, file in wanted.items() if key not in missing))
        draft.payload.send(self._store, missing, on_bytes)
        if missing:
            there = self._store.find(place)
        if foreign := sorted(set(there) - set(wanted)):
            raise ForeignFiles(
                f"files that are not of this version lie in {ref}/: {listing(foreign)}; move them away"
            )
        lost = [key for key, file in wanted.items() if key not in there or there[key] != file.size]
        if lost:
            raise UploadLost(f"{listing(sorted(lost))} did not arrive whole; register again")
        self._store.settle(wanted)

    def _close_lower(self, draft: Draft, ref: Ref) -> Record | None:
        """Settle each lower number of the same rebuild: return its version, or void it. The first finisher wins."""
        line = Line.of(ref)
        for number in range(line.first, line.number(ref.version) or line.first):
            lower = line.at(number)
            claim = self._read_claim(layout.claim(lower))
            if claim is None:  # no number is claimed before those below it: what reads as absent is stale
                raise StoreUnavailable(f"the claim of {lower} cannot be read just now; try again")
            if claim.request == draft.request and (record := self.void(lower)):
                return record
        return None

    def _commit(self, record: Record) -> tuple[Record, bool] | None:
        """Create the record: only now does the version exist. None if a tombstone was faster."""
        key = layout.record(record.ref)
        data = record.to_bytes()
        while not self._store.create(key, data):
            if (standing := self._store.read(key)) is not None:
                found = lookup.parse(standing, record.ref)
                return (found, False) if found else None
        return Record.from_bytes(
            data, key
        ), True  # as readers see it: in JSON, NaN is null and a tuple a list


def _agree(draft: Draft, ref: Ref, claim: Claim) -> None:
    """Refuse content that was already registered as something else than what is asked for now."""
    if draft.version and draft.version != ref.version:
        raise VersionTaken(
            f"this content is already {ref}; give again= to number it once more, as {draft.version}"
        )
    if draft.bump and claim.bump and draft.bump is not claim.bump:
        raise BumpConflict(
            f"this content is already {ref}, a {claim.bump} bump; give again= to number it once more"
        )
