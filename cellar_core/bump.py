"""How a base gets its number: which line a bump is on, and what a minor bump promises the application."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cellar_core import layout
from cellar_core.digest import canonical, digest_json
from cellar_core.errors import CellarError, listing
from cellar_core.line import Line
from cellar_core.rack import ArtifactRules
from cellar_core.record import FileEntry, Record, Unreadable
from cellar_core.ref import Model
from cellar_core.register import BumpConflict, Spot
from cellar_core.store import Store
from cellar_core.version import BaseVersion, Bump

__all__ = ["ContractChanged", "check_contract", "pin", "spot"]


class ContractChanged(CellarError):
    """A minor bump would change what the application relies on. Trying again does not help: make it a major one."""


def spot(model: Model, versions: Sequence[BaseVersion], bump: Bump, after: BaseVersion | None = None) -> Spot:
    """Where a bump of base *model* goes, whose committed *versions* (ascending, yanked ones too) were seen.

    A minor bump is on the newest ``X``, or on the one of *after*. Of two major bumps at once one is refused, because
    two incompatible contracts are not to be numbered by a race; two minor ones become ``Y`` and ``Y+1``.

    Raises:
        BumpConflict: *after* is not the newest version of its line.

    >>> versions = [BaseVersion("1.4"), BaseVersion("2.0")]
    >>> spot(Model("vit/vit-l/base"), versions, Bump.MINOR, after=BaseVersion("1.4")).line.prefix
    '1.'
    """
    if after is None:
        newest = max(versions, default=None)
    else:
        same_line = [version for version in versions if version.major == after.major]
        newest = max(same_line, default=None)
        if newest != after:
            there = listing(same_line)
            raise BumpConflict(
                f"{model} {after} is not the newest of its line; there is: {there}. Look, then decide"
            )
    first = newest.bumped(bump) if newest else BaseVersion.first(bump)
    line = Line(model, (first.major,))
    seen = model.at(newest) if newest else None
    return Spot(line, above=_above(line, bump, after), seen=seen)


def _above(line: Line, bump: Bump, after: BaseVersion | None = None) -> int | None:
    if bump is Bump.MAJOR:
        return line.first - 1
    return after.minor if after else None


def pin(store: Store, chosen: Spot, bump: Bump, holder: str) -> Spot:
    """The spot on the line that *holder* was given first, so that a retry next morning does not hop to a newer ``X``.

    Args:
        store: The cellar's.
        chosen: What would be chosen now.
        bump: The kind of bump.
        holder: The orchestrator's task, the same for each try.
    """
    model = chosen.line.model
    # Of each kind one: a task may make a minor bump and then a major one.
    key = layout.pinned_line(model, digest_json(holder, bump))
    ours = canonical({"schema": 1, "line": chosen.line.stem[0], "holder": holder})
    standing = None
    while standing is None:  # it stands: what reads as absent is stale, and must not let the line go
        if store.create(key, ours):
            return chosen
        standing = store.read(key)
    try:
        line = Line(model, (int(json.loads(standing)["line"]),))
    except (ValueError, KeyError, TypeError):
        raise Unreadable(f"{key} names no line; restore it from a backup") from None
    return chosen if line == chosen.line else Spot(line, above=_above(line, bump))


def check_contract(rules: ArtifactRules, first: Record, files: Sequence[FileEntry]) -> None:
    """Raise ContractChanged if a minor bump changes a contract file of its line's *first* committed version.

    SPEC: "when `X` is not changed, it guarantees that the application can continue to work with the new model".
    """
    before, now = rules.contract(first.files), rules.contract(files)
    if changed := sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
        message = (
            f"{listing(changed)} is not as in {first.ref}, whose contract each version of the same X keeps"
        )
        raise ContractChanged(f"{message}; register with bump=major, or keep the file")
