"""Examining a cellar: whether its store keeps the promises that a registry stands on, and what somebody should do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cellar_core import layout
from cellar_core.catalog import Catalog
from cellar_core.errors import CellarError, listing
from cellar_core.gc import PATIENCE
from cellar_core.record import RECORD_LEAST, TOMBSTONE_MOST
from cellar_core.value import Value

if TYPE_CHECKING:
    from cellar_core.cellar import Cellar

__all__ = ["Diagnosis", "Finding", "examine"]


class Finding(Value):
    """What one check found.

    Attributes:
        check: What was looked at.
        ok: Whether it is as it should be.
        detail: What was seen; if it is not ok, what is wrong, and the next step.
    """

    check: str
    ok: bool
    detail: str


class Diagnosis(Value):
    """What was found in a cellar.

    Attributes:
        url: The cellar.
        findings: What each check found, in the order in which it was looked at.
    """

    url: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return all(finding.ok for finding in self.findings)


def examine(cellar: Cellar) -> Diagnosis:
    """Look at everything, also behind a problem; only where there is no cellar, nothing more is looked at.

    It asks for what racing the exclusive create costs, one read per rack, and what a run of gc asks for.
    """
    findings = list(_findings("cellar", _cellar(cellar)))
    if findings[-1].ok:
        findings += _findings("exclusive create", _create(cellar))
        findings += _findings("listing", _listing(cellar))
        findings += _findings("rules", _rules(cellar))
        findings += _findings("records", _records(cellar))
        findings += _findings("uploads", _uploads(cellar))
    return Diagnosis(url=cellar.url, findings=findings)


Seen = Iterator[tuple[bool, str]]
"""What a check yields: whether something is as it should be, and what to say of it."""


def _findings(check: str, seen: Seen) -> Iterator[Finding]:
    try:
        for ok, detail in seen:
            yield Finding(check=check, ok=ok, detail=detail)
    except (CellarError, OSError) as error:
        yield Finding(check=check, ok=False, detail=str(error))


def _cellar(cellar: Cellar) -> Seen:
    cellar = copy(cellar)  # which knows nothing yet
    yield (
        True,
        f"{cellar.url} holds cellar {cellar.id}, in a layout that this release knows",
    )


def _create(cellar: Cellar) -> Seen:
    cellar.store.probe()
    yield True, "of several callers who create one object at the same moment, exactly one wins"


def _listing(cellar: Cellar) -> Seen:
    """Whether what another client has just written is seen, also where a listing was asked for shortly before."""
    run = uuid.uuid4().hex
    key = layout.probe(run, 0)
    cellar.store.find(layout.probes(run))
    copy(cellar).store.create(key, f"doctor {run}".encode())
    if key in cellar.store.find(layout.probes(run)):
        yield True, "what another client writes is seen at once"
    else:
        stale = f"{cellar.url} does not list at once what another client has written ({key})"
        yield False, f"{stale}, so plans may come late; switch off what caches its listings"


def _rules(cellar: Cellar) -> Seen:
    good = 0
    for rack in cellar.racks():
        try:
            cellar.config(rack)
            good += 1
        except CellarError as error:
            yield False, str(error)
    yield True, f"racks whose config.toml can be read: {good}"


def _records(cellar: Cellar) -> Seen:
    """By names and sizes only; what the records say is not read."""
    claimed = {
        layout.parse_claim(key) for key in cellar.store.find(layout.claims(None))
    }  # made before each record
    found = Catalog(cellar.store.find(layout.records(None))).settled
    versions = {ref for ref, size in found.items() if size > TOMBSTONE_MOST}
    for ref, size in found.items():
        if size == 0 or TOMBSTONE_MOST < size < RECORD_LEAST:
            yield False, f"{layout.record(ref)} was cut short, to {size} bytes; restore it from a backup"
    if bare := sorted(versions - claimed):
        what = f"{len(bare)} records have no claim ({listing(bare)}), as in a copy that is not whole"
        yield False, f"{what}; copy {layout.claims(None)} too before anything is registered here"
    yield True, f"versions: {len(versions)}, void numbers: {len(found) - len(versions)}"


def _uploads(cellar: Cellar) -> Seen:
    now = datetime.now(UTC)
    todo = cellar.gc(now=now, dry_run=True)
    hours = f"{PATIENCE.total_seconds() / 3600:.0f} h"
    for one in todo.waiting:
        if now - one.taken < PATIENCE:
            yield True, f"{one.ref} is being registered by {one.by}, since {one.taken:%Y-%m-%d %H:%M} UTC"
        else:
            began = f"{one.by} began to register {one.ref} on {one.taken:%Y-%m-%d} and has not finished"
            yield False, f"{began}; if nobody works on it: cellar gc --now {one.ref}"
    for ref in todo.voided:
        yield False, f"{ref} was given up: nothing has moved there for {hours}; void it: cellar gc"
    if todo.emptied or todo.discarded:
        rest = [*todo.emptied, *todo.discarded]
        yield False, f"files that belong to no version are left at {listing(rest)}; delete them: cellar gc"
    for problem in todo.problems:
        yield False, problem
    yield True, f"numbers that are neither versions nor void: {len(todo.waiting) + len(todo.voided)}"
