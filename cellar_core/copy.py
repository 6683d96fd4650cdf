"""Copying a cellar into another one, between any two stores. What is there already is skipped, so a copy may be killed.

What is copied is what the first listings tell of, so the source may grow meanwhile. It is written in the order in
which it came to be: names and claims, then each version's files, then its record, bases first. So at no moment does
the target show a version whose files are not there, nor a project's version without its base. Records, tombstones,
names and logs are copied byte by byte: a version keeps its number, its digests, its lineage, and who made it and when.

The target is a cellar of its own and keeps its own id. From the id, requests of rebuilds, the keys of the runs that an
orchestrator starts for them, assets and events are made: with one id, the runs of the one cellar would pass for those
of the other, and never be started. So what only tells of work in the source stays there: the logs of rebuilds, the
lines that tasks were given, the looks of gc. And each claim is marked as copied, so that nobody takes it for work that
goes on in the target: its number is kept, for the version or the tombstone that a later copy may bring.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from cellar_core import layout, lookup, names
from cellar_core.catalog import Catalog
from cellar_core.errors import CellarError, listing
from cellar_core.fetch import PayloadCorrupt, PayloadMissing, verified
from cellar_core.line import Line
from cellar_core.payload import WORKERS, at_once
from cellar_core.progress import Progress
from cellar_core.rack import InvalidConfig, RackConfig
from cellar_core.record import TOMBSTONE_MOST, Claim, FileEntry, Record, Unreadable
from cellar_core.ref import Model, Rack, Ref
from cellar_core.store import Store
from cellar_core.value import Value

__all__ = ["Copied", "CopyConflict", "CopyIncomplete", "copy"]

T = TypeVar("T")
R = TypeVar("R")


class CopyConflict(CellarError):
    """The target has something else where a version would go; the message names it. Trying again does not help."""


class CopyIncomplete(CellarError):
    """Some versions cannot be copied as they are in the source; all others were. Trying again does not help."""


class Copied(Value):
    """What a copy did.

    Attributes:
        copied: The versions that are in the target now.
        already: The versions that were there before.
        voided: The numbers that are void in the target now.
        kept: What both cellars have and wrote on differently, by key: the target's was left as it is.
    """

    copied: tuple[Ref, ...] = ()
    already: tuple[Ref, ...] = ()
    voided: tuple[Ref, ...] = ()
    kept: tuple[str, ...] = ()


def copy(
    source: Store, target: Store, racks: Iterable[Rack], *, origin: str, progress: Progress | None = None
) -> Copied:
    """Copy *racks* of one cellar into another; see Cellar.copy.

    Args:
        source: The store of the one.
        target: The store of the other.
        racks: Which racks, all of which the source has.
        origin: The id of the source.
        progress: What is told of the bytes.
    """
    progress = progress or Progress()
    todo = [_Rack(source, target, rack) for rack in racks]
    if conflicts := [one for rack in todo for one in rack.conflicts()]:
        have = f"{target.url} cannot take what {source.url} has: {listing(conflicts)}"
        raise CopyConflict(f"{have}; nothing was copied. Leave these racks out, or copy into another cellar")
    done: list[Ref] = []
    kept: list[str] = []
    bad: list[CellarError] = []
    for rack in todo:
        progress.begin(rack.rack, "copied", sum(rack.sizes.values()))
        kept += rack.copy_names(origin)
        copied, failed = rack.copy_versions(progress.add)
        done += copied
        bad += failed
        if not failed:  # an alias may mean one that is not there
            kept += rack.copy_decisions()
    if bad:
        told = bad[0] if len(bad) == 1 else listing(bad)
        raise CopyIncomplete(f"all but this was copied: {told}")
    return Copied(
        copied=sorted(done),
        already=sorted(one for rack in todo for one in rack.already),
        voided=sorted(one for rack in todo for one in rack.void),
        kept=kept,
    )


@dataclass(frozen=True)
class _Found:
    """What the listings of one rack tell.

    Attributes:
        decisions: The keys of what was decided: entries of aliases and of approvals.
        records: The keys of what lies among the records: records, tombstones, and entries of yanks.
        settled: The size of the record or tombstone of each number.
        claims: The numbers that are taken.
    """

    decisions: frozenset[str]
    records: frozenset[str]
    settled: Mapping[Ref, int]
    claims: frozenset[Ref]

    @classmethod
    def list(cls, store: Store, rack: Rack) -> _Found:
        """List a rack. What a thing stands on is listed after the thing itself: so it is never missing."""
        approvals = (key for key in store.find(layout.rebuild_logs(rack)) if layout.parse_approval(key, rack))
        decisions = frozenset((*store.find(layout.aliases(rack)), *approvals))
        everything, bases = (store.find(layout.records(one)) for one in (rack, rack.base))
        claims = filter(None, map(layout.parse_claim, store.find(layout.claims(rack))))
        return cls(
            decisions, frozenset((*everything, *bases)), Catalog(everything, bases).settled, frozenset(claims)
        )


class _Rack:
    """The copy of one rack.

    Attributes:
        rack: Which.
        already: The versions that the target has.
        sizes: The versions that it is to get, bases first, and how many bytes each has.
        void: The numbers that become void in it.
    """

    def __init__(self, source: Store, target: Store, rack: Rack) -> None:
        self.rack = rack
        self._source = source
        self._target = target
        self._here = _Found.list(source, rack)
        self._there = _Found.list(target, rack)
        new = self._here.settled.keys() - self._there.settled.keys()
        versions = [ref for ref in new if self._is_version(ref)]
        versions.sort(key=lambda ref: (not ref.model.is_base, ref))
        self.sizes = dict(zip(versions, _many(self._size, versions), strict=True))
        self.void = [ref for ref in new if not self._is_version(ref)]
        common = self._here.settled.keys() & self._there.settled.keys()
        self.already = [ref for ref in common if self._is_version(ref)]
        self._room = BoundedSemaphore(WORKERS)  # several versions at once, but no more files than these

    def _is_version(self, ref: Ref) -> bool:
        return self._here.settled[ref] > TOMBSTONE_MOST

    def _size(self, ref: Ref) -> int:
        try:
            record = lookup.read(self._source, ref)
        except Unreadable:  # told when its turn comes
            return 0
        return record.size if record else 0

    @property
    def _models(self) -> list[Model]:
        return sorted({self.rack.base, *(ref.model for ref in self._here.claims)})

    # What stands in the way

    def conflicts(self) -> Iterator[CellarError | str]:
        """Whatever in the target is something else; nothing is written."""
        for model in self._models:
            try:
                names.is_rack(self._target, self.rack)
                names.refuse_spelling(self._target, model)
            except names.NameTaken as error:
                yield error
        common = sorted(self._here.settled.keys() & self._there.settled.keys())
        yield from filter(None, _many(self._other_version, common))
        yield from filter(None, _many(self._other_claim, sorted((*self.sizes, *self.void))))

    def _other_version(self, ref: Ref) -> str:
        """What is wrong with a number that is settled in both; nothing if it is the same."""
        ours, theirs = (lookup.read(store, ref) for store in (self._source, self._target))
        if (ours and ours.identity) == (theirs and theirs.identity):
            return ""
        kinds = [f"of {one.tree} by {one.created_by}" if one else "void" for one in (theirs, ours)]
        return f"{ref} is {kinds[0]} there, and {kinds[1]} here"

    def _other_claim(self, ref: Ref) -> str:
        """What is wrong with a number that is not settled in the target; nothing if it is free, or ours."""
        ours = self._claim(self._source, ref)
        if ours is None:
            return f"{ref} has no claim here: cellar doctor tells what to do"
        foreign = next(iter(self._target.find(layout.payload(ref))), None)
        theirs = self._claim(self._target, ref)  # read after that: a claim is made before a file is sent
        if theirs is None:
            return f"{ref}/ holds files there that nobody registered" if foreign else ""
        return _taken(ref, theirs) if theirs.identity != ours.identity else ""

    def _claim(self, store: Store, ref: Ref) -> Claim | None:
        data = store.read(key := layout.claim(ref))
        return Claim.from_bytes(data, key) if data is not None else None

    # Names and numbers

    def copy_names(self, origin: str) -> list[str]:
        """Copy the rack's files, its names, its claims, and what was yanked; returns what was left as it is."""
        self._create(layout.name(self.rack.base))
        kept = [key for key in self._files() if not self._create(key)]
        self._create(layout.rack(self.rack))
        for model in self._models:
            self._create(layout.name(model))
        lines: dict[Line, list[Ref]] = defaultdict(list)
        for ref in sorted(self._here.claims - self._there.claims):
            lines[Line.of(ref)].append(ref)
        _many(lambda refs: self._copy_claims(refs, origin), lines.values())
        # Before the versions, so that no selector chooses one that was yanked.
        return kept + self._copy_logs(
            (key for key in self._here.records if _is_yank(key)), self._there.records
        )

    def _files(self) -> list[str]:
        """The keys of the files that lie beside the projects."""
        key = layout.config(self.rack)
        try:
            config = RackConfig.parse(self._source.read(key) or b"", key, self.rack)
        except InvalidConfig:  # it is copied as it is
            config = RackConfig()
        beside = {"README.md", config.document.template_file}
        return [key, *(layout.rack_file(self.rack, name) for name in sorted(beside) if "/" not in name)]

    def _create(self, key: str) -> bool:
        """Copy a small object, if it is not there; False if another stands there."""
        data, standing = self._source.read(key), self._target.read(key)
        if data is None or standing is not None:
            return data in (None, standing)
        return self._target.create(key, data)

    def _copy_claims(self, refs: Sequence[Ref], origin: str) -> None:
        """Copy claims of a line, in their order: no number is taken before those below it."""
        for ref in refs:
            claim = self._claim(self._source, ref)
            assert claim, "claims are never deleted"
            ours = claim.model_copy(update={"copied_from": origin})
            if not self._target.create(layout.claim(ref), ours.to_bytes()):
                theirs = self._claim(self._target, ref)
                if ref in self._here.settled and theirs and theirs.identity != ours.identity:
                    raise CopyConflict(f"{_taken(ref, theirs)}, since this copy began; look at it there")

    # Versions

    def copy_versions(self, on_bytes: Callable[[int], object]) -> tuple[list[Ref], list[CellarError]]:
        """Copy what is to be copied, and void what is void; which versions were, and why others were not."""
        _many(lambda ref: self._commit(ref, self._source.read(layout.record(ref)) or b""), self.void)
        standing = {*self.already}
        failed: list[CellarError] = []
        for is_base in (True, False):
            refs = [ref for ref in self.sizes if ref.model.is_base is is_base]
            ready = [ref for ref in refs if is_base or ref.base in standing]
            errors = at_once(self._copy_version, ready, on_bytes)
            standing |= {ref for ref, error in zip(ready, errors, strict=True) if error is None}
            failed += filter(None, errors)
            if left := [ref for ref in refs if ref not in ready]:
                failed.append(CopyIncomplete(f"{listing(left)}: their bases are not there"))
        return [ref for ref in self.sizes if ref in standing], failed

    def _copy_version(self, ref: Ref, on_bytes: Callable[[int], object]) -> CellarError | None:
        """Copy a version's files, and last its record; what is wrong with it in the source, if something is."""
        data = self._source.read(layout.record(ref)) or b""
        try:
            record = Record.from_bytes(data, layout.record(ref))
            self._copy_files(record, on_bytes)
        except (Unreadable, PayloadMissing, PayloadCorrupt) as error:
            return error
        self._commit(ref, data)
        return None

    def _copy_files(self, record: Record, on_bytes: Callable[[int], object]) -> None:
        """Send the files that are not there yet; a file is there whole and right, or not at all."""
        place = layout.payload(record.ref)
        begun = record.ref in self._there.claims  # else the place was empty
        there = self._target.find(place) if begun else {}
        missing = [file for file in record.files if there.get(place + file.path) != file.size]
        on_bytes(record.size - sum(file.size for file in missing))

        def send(file: FileEntry, told: Callable[[int], object]) -> None:
            with self._room, closing(verified(self._source, record, file, told)) as pieces:
                self._target.put(place + file.path, file.size, pieces)

        at_once(send, missing, on_bytes)
        self._target.settle(place + file.path for file in record.files)

    def _commit(self, ref: Ref, data: bytes) -> None:
        """Create a record or a tombstone; raises CopyConflict if another stands there by now."""
        if not self._target.create(layout.record(ref), data) and (wrong := self._other_version(ref)):
            raise CopyConflict(f"{wrong}, since this copy began; look at it, then copy again")

    # Decisions

    def copy_decisions(self) -> list[str]:
        """Copy aliases and approvals; returns the logs that were left as they are."""
        return self._copy_logs(self._here.decisions, self._there.decisions)

    def _copy_logs(self, keys: Iterable[str], there: frozenset[str]) -> list[str]:
        logs: dict[str, list[str]] = defaultdict(list)
        for key in sorted(keys):
            logs[layout.log_of(key)].append(key)
        goes_on = _many(lambda entries: self._copy_log(entries, there), logs.values())
        return [log for log, same in zip(logs, goes_on, strict=True) if not same]

    def _copy_log(self, keys: Sequence[str], there: frozenset[str]) -> bool:
        """Copy the entries of a log, in their order; False if the target's goes on in another way."""
        common = [key for key in keys if key in there]
        return all(self._create(key) for key in [*common[-1:], *(key for key in keys if key not in there)])


def _taken(ref: Ref, claim: Claim) -> str:
    return f"{ref} is taken there by {claim.by}, for something else"


def _is_yank(key: str) -> bool:
    found = layout.parse_record(key)
    return found is not None and found[1] > 0


def _many(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What *act* answers for each of *items*, several at once."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(act, items))
