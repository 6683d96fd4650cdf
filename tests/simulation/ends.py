"""How callers end."""

from __future__ import annotations

from dataclasses import dataclass

from cellar_core.errors import CellarError
from cellar_core.plan import Plan
from cellar_core.rebuild import Rebuilt
from cellar_core.record import Record
from cellar_core.ref import Ref
from cellar_core.register import Draft

__all__ = ["Done", "GaveUp", "Nothing", "Planned", "Read", "Refused", "Run"]


@dataclass(frozen=True)
class Done:
    """Registered."""

    draft: Draft
    record: Record
    created: bool

    def __str__(self) -> str:
        return f"{self.record.ref}, {'created' if self.created else 'was there'}"


@dataclass(frozen=True)
class Run:
    """A run of a rebuild, and the request that it was of."""

    request: str
    rebuilt: Rebuilt

    def __str__(self) -> str:
        return f"{self.rebuilt.outcome}: {self.rebuilt.detail}"


@dataclass(frozen=True)
class Planned:
    """What a plan said."""

    plan: Plan

    def __str__(self) -> str:
        return f"{len(self.plan.rebuilds)} rebuilds; {', '.join(skip.reason for skip in self.plan.skips)}"


@dataclass(frozen=True)
class Read:
    """What a reader saw; *before* is what was committed before it began, by key."""

    before: frozenset[str]
    versions: tuple[Ref, ...]
    resolved: Record | None

    def __str__(self) -> str:
        newest = self.resolved.ref if self.resolved else "nothing"
        return f"versions {', '.join(map(str, self.versions))}; the newest is {newest}"


@dataclass(frozen=True)
class Nothing:
    """Ended, with nothing to tell."""

    def __str__(self) -> str:
        return "nothing more to do"


@dataclass(frozen=True)
class Refused:
    """An error that trying again does not help."""

    error: CellarError

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class GaveUp:
    """An error that trying again should have helped, again and again."""

    error: CellarError

    def __str__(self) -> str:
        return f"gave up: {type(self.error).__name__}: {self.error}"
