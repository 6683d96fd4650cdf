"""What differs between two versions: their files, what they were made from and with, and their metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from cellar_core.record import FileEntry, Record
from cellar_core.ref import Ref
from cellar_core.value import Value

__all__ = ["Change", "Comparison", "compare"]

T = TypeVar("T")


class Change(BaseModel, Generic[T]):
    """What something was and what it is.

    Attributes:
        before: What it was; None if it was not there.
        after: What it is; None if it is not there any more.
    """

    # The class that is made of it for a T has no docstring of its own.
    model_config = ConfigDict(frozen=True, json_schema_extra={"description": __doc__})

    before: T | None
    after: T | None


class Comparison(Value):
    """What differs from one version to another, by name; what is the same is left out.

    Attributes:
        before: The one version.
        after: The other.
        parent: The base that they were made from.
        recipe: What they were trained with.
        metrics: Numbers and whatever else their results hold, at the top.
        files: By path.
    """

    before: Ref
    after: Ref
    parent: Mapping[str, Change[Ref]]
    recipe: Mapping[str, Change[Any]]
    metrics: Mapping[str, Change[Any]]
    files: Mapping[str, Change[FileEntry]]

    def __bool__(self) -> bool:
        return any((self.parent, self.recipe, self.metrics, self.files))


def compare(before: Record, after: Record) -> Comparison:
    """What differs from *before* to *after*; it is false if nothing does."""
    return Comparison(
        before=before.ref,
        after=after.ref,
        parent=_changes(*({"base": one.parent.ref} if one.parent else {} for one in (before, after))),
        recipe=_changes(before.recipe.facts(), after.recipe.facts()),
        metrics=_changes(before.metrics, after.metrics),
        files=_changes(*({file.path: file for file in one.files} for one in (before, after))),
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change[Any]]:
    """What differs, in the order of the names.

    >>> _changes({"lr": 0.1, "epochs": 3}, {"lr": 0.2, "seed": 1, "epochs": 3})
    {'lr': Change(before=0.1, after=0.2), 'seed': Change(before=None, after=1)}
    """
    names = sorted(before.keys() | after.keys())
    return {
        name: Change(before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    }
