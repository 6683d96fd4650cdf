"""Versions, as SPEC's "Versioning" section defines them: ``X.Y`` of a base, ``X.Y.Z`` of a project's model."""

from __future__ import annotations

import enum
import re
from operator import attrgetter
from typing import ClassVar, Self

from cellar_core.errors import CellarError
from cellar_core.parsed import Parsed

__all__ = ["BaseVersion", "Bump", "InvalidVersion", "ProjectVersion", "looks_like_version"]

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"


class InvalidVersion(CellarError, ValueError):
    """The text is no version of this kind. Trying again does not help.

    >>> BaseVersion("v1.2")
    Traceback (most recent call last):
      ...
    cellar_core.version.InvalidVersion: 'v1.2' is no base version: write X.Y, such as 1.2 ...
    """


class Bump(enum.StrEnum):
    """Which number of a base rises.

    SPEC: "When changes are required on the application side, increment the major version X"; "When no changes
    are required on the application side, increment the minor version Y".
    """

    MINOR = "minor"
    MAJOR = "major"

    @classmethod
    def between(cls, old: BaseVersion, new: BaseVersion) -> Bump:
        """Which kind of bump leads from *old* to *new*.

        >>> Bump.between(BaseVersion("1.2"), BaseVersion("2.0"))
        <Bump.MAJOR: 'major'>
        """
        return cls.MINOR if old.major == new.major else cls.MAJOR


class _Version(Parsed):
    __slots__ = ()
    numbers: tuple[int, ...] = property(  # type: ignore[assignment]
        attrgetter("_key"), doc="The version as a tuple, such as ``(1, 2)``; many are sorted by it."
    )
    _pattern: ClassVar[re.Pattern[str]]
    _kind: ClassVar[str]
    _form: ClassVar[str]

    @classmethod
    def _parse(cls, text: str) -> tuple[int, ...]:
        if not cls._pattern.fullmatch(text):
            message = (
                f"{text!r} is no {cls._kind} version: write {cls._form}, such as {cls._example} "
                "(plain numbers of at most nine digits, without 'v', spaces, signs or leading zeros)"
            )
            raise InvalidVersion(message)
        return tuple(map(int, text.split(".")))

    def __str__(self) -> str:
        return ".".join(map(str, self._key))

    def __hash__(self) -> int:
        return hash(self._key)  # of a few numbers: remembering it would take longer

    @property
    def major(self) -> int:
        """``X``: rises when the application must change; 0 is early development."""
        return int(self._key[0])

    @property
    def minor(self) -> int:
        """``Y``: counts the trainings of the base within one ``X``."""
        return int(self._key[1])


class BaseVersion(_Version):
    """The version of a base model. SPEC: "Format: `{algorithm}-{option}/base/X.Y`".

    >>> BaseVersion("1.10") > BaseVersion("1.9")
    True
    >>> str(BaseVersion("1.2"))
    '1.2'
    """

    __slots__ = ()
    _pattern = re.compile(rf"{_NUMBER}\.{_NUMBER}")
    _kind = "base"
    _form = "X.Y"
    _example = "1.2"

    @classmethod
    def first(cls, bump: Bump) -> Self:
        """The version that *bump* makes of a base that has none: ``0.1`` (early development), or ``1.0``."""
        return cls("0.1" if bump is Bump.MINOR else "1.0")

    def bumped(self, bump: Bump) -> Self:
        """The version that follows this one.

        SPEC: "Version update from `base/X.Y` to `base/(X+1).0`" (major), "to `base/X.(Y+1)`" (minor).

        >>> BaseVersion("1.1").bumped(Bump.MAJOR), BaseVersion("1.0").bumped(Bump.MINOR)
        (BaseVersion('2.0'), BaseVersion('1.1'))
        """
        minor = bump is Bump.MINOR
        return type(self)(f"{self.major}.{self.minor + 1}" if minor else f"{self.major + 1}.0")


class ProjectVersion(_Version):
    """The version of a project's model.

    SPEC: "`X.Y`: Version of the corresponding base model", "`Z`: Version of the project model (number of updates …)".

    >>> ProjectVersion("1.2.3").base
    BaseVersion('1.2')
    """

    __slots__ = ()
    _pattern = re.compile(rf"{_NUMBER}\.{_NUMBER}\.[1-9][0-9]{{0,8}}")
    _kind = "project"
    _form = "X.Y.Z with Z from 1"
    _example = "1.2.3"

    @classmethod
    def first(cls, base: BaseVersion) -> Self:
        """The first version made from *base*. SPEC: "create a new model such as `projectA/X.(Y+1).1`"."""
        return cls(f"{base}.1")

    @property
    def base(self) -> BaseVersion:
        """The version of the base that this model was fine-tuned from."""
        return BaseVersion.from_key(*self._key[:2])

    @property
    def update(self) -> int:
        """``Z``: the how-manieth model of this project on this base, from 1."""
        return int(self._key[2])

    def bumped(self) -> Self:
        """The next update on the same base. SPEC: "Update from `X.Y.Z` to `X.Y.(Z+1)`"."""
        return type(self)(f"{self.base}.{self.update + 1}")


def looks_like_version(text: str) -> bool:
    """Whether *text* could be taken for a version (``1``, ``1.2``, ``01.2.3``): no name of a model may.

    >>> looks_like_version("1.2"), looks_like_version("vit-1.2")
    (True, False)
    """
    return re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None
