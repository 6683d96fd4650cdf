"""A line: the versions that are counted together, one ``X`` of a base or one ``X.Y`` of a project."""

from __future__ import annotations

from dataclasses import dataclass

from cellar_core.ref import Model, Ref, Version
from cellar_core.version import BaseVersion, ProjectVersion

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """The versions of *model* that begin with *stem*: ``(X,)`` of a base, ``(X, Y)`` of a project.

    >>> line = Line.of(Ref("vit/vit-l/projectA/1.2.3"))
    >>> line.prefix, line.first, line.at(4)
    ('1.2.', 1, Ref('vit/vit-l/projectA/1.2.4'))
    """

    model: Model
    stem: tuple[int, ...]

    @classmethod
    def of(cls, ref: Ref) -> Line:
        """The line that *ref* is on."""
        version = ref.version
        if isinstance(version, ProjectVersion):
            return cls(ref.model, (version.major, version.minor))
        return cls(ref.model, (version.major,))

    @classmethod
    def on(cls, model: Model, base: BaseVersion) -> Line:
        """The line of project *model* on *base*."""
        return cls(model, (base.major, base.minor))

    @property
    def first(self) -> int:
        """Where counting begins: ``Z`` from 1, ``Y`` from 0, but ``0.0`` is never given."""
        return 0 if self.model.is_base and self.stem[0] > 0 else 1

    @property
    def prefix(self) -> str:
        """What each version of the line begins with, with its dot: ``1.2.`` is not a prefix of ``1.20.1``."""
        return "".join(f"{part}." for part in self.stem)

    def at(self, number: int) -> Ref:
        """The ref of *number* on this line."""
        return self.model.at(f"{self.prefix}{number}")

    def number(self, version: Version) -> int | None:
        """The number of *version* on this line, or None if it is on another."""
        text = str(version)
        if not text.startswith(self.prefix) or "." in text[len(self.prefix) :]:
            return None
        return int(text[len(self.prefix) :])
