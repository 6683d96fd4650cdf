"""What a listing of records tells: which versions exist, which are yanked, which may be chosen. No record is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import cast

from cellar_core import layout
from cellar_core.record import TOMBSTONE_MOST
from cellar_core.ref import Model, Ref, Version
from cellar_core.version import BaseVersion, ProjectVersion
from cellar_core.versions import Versions

__all__ = ["Catalog"]


class Catalog:
    """The versions of one model or of a whole rack, from the names and sizes of the objects among their records.

    A name with more than 64 bytes behind it is a version, one with fewer is a number that was voided. Sizes are
    looked at only where they decide, because on a disk each costs a ``stat``.
    """

    def __init__(self, *listings: Mapping[str, int]) -> None:
        self._sizes: dict[Model, Mapping[str, int]] = {}
        self._found: dict[Model, dict[Version, str]] = {}
        self._yanks: dict[Ref, int] = defaultdict(int)
        self._versions: dict[Model, Versions[Version]] = {}
        for sizes in listings:
            directory, model = "", None
            for key in sizes:
                above, _, name = key.rpartition("/")
                if above != directory:  # a listing has one after the other
                    directory, model = above, layout.parse_records(above)
                    if model:
                        found = self._found.setdefault(model, {})
                        self._sizes[model] = sizes
                if model:
                    if version := layout.parse_version(model, name):
                        found[version] = key
                elif parsed := layout.parse_record(key):
                    ref, yank = parsed
                    self._yanks[ref] = max(self._yanks[ref], yank)

    @property
    def models(self) -> list[Model]:
        """The models that have a version, base first, then by name."""
        return sorted(filter(self._lazy, self._found), key=lambda model: (not model.is_base, model))

    @property
    def settled(self) -> dict[Ref, int]:
        """The size of what stands at each number: a record or a tombstone; each is looked up."""
        return {
            model.at(version): self._sizes[model][key]
            for model, found in self._found.items()
            for version, key in found.items()
        }

    def descending(self, model: Model) -> Iterator[Version]:
        """The committed versions of *model*, the highest first, yanked ones too; looked up one by one."""
        return reversed(self._lazy(model))

    def named(self, model: Model) -> list[Version]:
        """The numbers of *model* that have a record or a tombstone, in no order; nothing is looked up."""
        return list(self._found.get(model, ()))

    def versions(self, model: Model) -> list[Version]:
        """The committed versions of *model*, ascending, yanked ones too."""
        return [*self._lazy(model)]

    def __contains__(self, ref: Ref) -> bool:
        return self._stands(ref.model, ref.version)

    def _stands(self, model: Model, version: Version) -> bool:
        key = self._found.get(model, {}).get(version)
        return key is not None and self._sizes[model][key] > TOMBSTONE_MOST

    def yanks(self, ref: Ref) -> int:
        """How many entries the log of a version's yanks has."""
        return self._yanks.get(ref, 0)

    def yanked(self, ref: Ref) -> bool:
        """Whether a version is yanked: an odd number of entries is, an even number was taken back."""
        return self.yanks(ref) % 2 == 1

    def yanked_of(self, model: Model) -> frozenset[Version]:
        """The versions of *model* that are yanked."""
        return frozenset(ref.version for ref in self._yanks if ref.model == model and self.yanked(ref))

    def eligible(self, ref: Ref) -> bool:
        """Whether a selector may choose a version: it exists, and neither it nor the base it stands on is yanked."""
        return not self.yanked(ref) and not self.yanked(ref.base) and ref in self

    def bases(self, model: Model) -> Versions[BaseVersion]:
        """Like versions, of a base; looked up one by one, and once."""
        return cast("Versions[BaseVersion]", self._lazy(model))

    def builds(self, model: Model) -> Versions[ProjectVersion]:
        """Like bases, of a project."""
        return cast("Versions[ProjectVersion]", self._lazy(model))

    def _lazy(self, model: Model) -> Versions[Version]:
        if model not in self._versions:
            self._versions[model] = Versions(self.named(model), cache(partial(self._stands, model)))
        return self._versions[model]
