"""The grammar of names: racks, models, refs and selectors. Nothing here knows what exists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from cellar_core.errors import CellarError
from cellar_core.parsed import Parsed
from cellar_core.version import BaseVersion, InvalidVersion, ProjectVersion, looks_like_version

__all__ = [
    "Alias",
    "Caret",
    "InvalidRef",
    "Latest",
    "Model",
    "Rack",
    "Ref",
    "Selector",
    "Specifier",
    "Version",
    "alias_name",
]

Version: TypeAlias = BaseVersion | ProjectVersion

BASE = "base"
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,99}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Files that a rack keeps beside its projects: ml-cellar writes them, and a project of that name would hide them.
_RACK_FILES = frozenset({"config.toml", "readme.md", "template.md"})
_LONGEST = 500


class InvalidRef(CellarError, ValueError):
    """The text is no name of that kind. Trying again does not help."""


def _segments(text: str, what: str, example: str) -> tuple[str, ...]:
    """Split *text* at its slashes and check each part, or tell which part is wrong and why."""
    if len(text) > _LONGEST:
        raise InvalidRef(f"{text[:40]!r}… is no {what}: it has {len(text)} characters, more than {_LONGEST}")
    parts = tuple(text.split("/"))
    for part in parts:
        if problem := _problem(part):
            raise InvalidRef(f"{text!r} is no {what}: {part!r} {problem}. Write it like {example!r}")
    return parts


def _problem(part: str) -> str:
    if not part:
        return "is empty"
    if not _SEGMENT.fullmatch(part):
        return "must be 1-100 ASCII letters, digits, '_', '.' or '-', beginning with a letter or digit"
    if part.endswith("."):
        return "must not end with a dot"
    if looks_like_version(part):
        return "looks like a version"
    if _DEVICES.fullmatch(part):
        return "is a device name on Windows"
    if part.lower() == BASE and part != BASE:
        return f"is a spelling of the reserved name {BASE!r}"
    return ""


class Rack(Parsed):
    """A model family. SPEC: "I use `{algorithm}/{algorithm}-{option}` as rack name"; one segment or more.

    >>> Rack("vit/vit-l")
    Rack('vit/vit-l')
    """

    __slots__ = ()
    _example = "vit/vit-l"

    @classmethod
    def _parse(cls, text: str) -> tuple[str, ...]:
        parts = _segments(text, "rack", cls._example)
        if BASE in parts:
            raise InvalidRef(
                f"{text!r} is no rack: {BASE!r} is a model of a rack. Write it like {cls._example!r}"
            )
        return parts

    def __str__(self) -> str:
        return "/".join(self._key)

    @property
    def parents(self) -> tuple[Rack, ...]:
        """The racks that would lie above this one, nearest first; none of them may exist."""
        return tuple(Rack.from_key(*self._key[:end]) for end in range(len(self._key) - 1, 0, -1))

    @property
    def base(self) -> Model:
        """The base model of this rack."""
        return Model.from_key(self, BASE)

    def project(self, name: str) -> Model:
        """The model of project *name* in this rack."""
        return Model(f"{self}/{name}")


class Model(Parsed):
    """What has versions: a rack and a project, where project ``base`` is the base model.

    >>> Model("vit/vit-l/projectA").rack, Model("vit/vit-l/base").is_base
    (Rack('vit/vit-l'), True)
    """

    __slots__ = ()
    _example = "vit/vit-l/projectA"

    @classmethod
    def _parse(cls, text: str) -> tuple[Any, ...]:
        rack, slash, project = text.rpartition("/")
        if not slash:
            raise InvalidRef(f"{text!r} is no model: name its rack and its project, like {cls._example!r}")
        _segments(text, "model", cls._example)
        if project.lower() in _RACK_FILES:
            raise InvalidRef(
                f"{text!r} is no model: {project!r} is a file of the rack. Choose another project name"
            )
        return Rack(rack), project

    def __str__(self) -> str:
        return f"{self.rack}/{self.project}"

    @property
    def rack(self) -> Rack:
        """The rack that the model is in."""
        return self._key[0]  # type: ignore[no-any-return]

    @property
    def project(self) -> str:
        """The last segment: ``base``, or the project's name."""
        return str(self._key[1])

    @property
    def is_base(self) -> bool:
        """Whether this is the rack's base model."""
        return self.project == BASE

    def version(self, text: str) -> Version:
        """Parse a version of this model: ``X.Y`` of a base, ``X.Y.Z`` of a project; raises InvalidVersion."""
        return BaseVersion(text) if self.is_base else ProjectVersion(text)

    def at(self, version: Version | str) -> Ref:
        """The ref of one version of this model."""
        kind = BaseVersion if self.is_base else ProjectVersion
        return Ref.from_key(self, version if isinstance(version, kind) else kind(str(version)))


class Ref(Parsed):
    """One version of one model; the last two segments are the project and the version.

    >>> ref = Ref("vit/vit-l/projectA/1.2.3")
    >>> ref.model, ref.version
    (Model('vit/vit-l/projectA'), ProjectVersion('1.2.3'))
    """

    __slots__ = ()
    _example = "vit/vit-l/projectA/1.2.3"

    @classmethod
    def _parse(cls, text: str) -> tuple[Any, ...]:
        path, slash, version = text.rpartition("/")
        if not slash or "/" not in path or version == BASE:
            raise InvalidRef(f"{text!r} is no ref: write rack, project and version, like {cls._example!r}")
        model = Model(path)
        return model, model.version(version)

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"

    @property
    def model(self) -> Model:
        """The model that this is a version of."""
        return self._key[0]  # type: ignore[no-any-return]

    @property
    def rack(self) -> Rack:
        """The rack that the model is in."""
        return self.model.rack

    @property
    def project(self) -> str:
        """``base``, or the project's name."""
        return self.model.project

    @property
    def version(self) -> Version:
        """The version: a BaseVersion or a ProjectVersion."""
        return self._key[1]  # type: ignore[no-any-return]

    @property
    def base(self) -> Ref:
        """The base that a project's version is made from (for a base: itself)."""
        version = self.version
        return self.rack.base.at(version.base) if isinstance(version, ProjectVersion) else self


@dataclass(frozen=True)
class Latest:
    """The highest version: ``@latest``, or nothing at all."""

    def __str__(self) -> str:
        return "latest"


@dataclass(frozen=True)
class Alias:
    """The version that an alias points to: ``@production``."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Caret:
    """What the application that takes *least* can take: ``@^1.2`` is 1.2 or newer, below 2.

    In early development (``0.Y``) each ``Y`` may break, so ``^0.2`` takes only 0.2.
    """

    least: tuple[int, ...]

    def __str__(self) -> str:
        return "^" + ".".join(map(str, self.least))


@dataclass(frozen=True)
class Specifier:
    """A PEP 440 specifier set: ``@~=1.2``, ``@>=1.1,<2``, ``@==1.2.*``."""

    text: str

    def __str__(self) -> str:
        return self.text


Choice: TypeAlias = BaseVersion | ProjectVersion | Latest | Alias | Caret | Specifier


class Selector(Parsed):
    """A model and what to choose of it; a bare model means its latest version.

    >>> Selector("vit/vit-l/projectA").choice, Selector("vit/vit-l/projectA@^1.2").choice
    (Latest(), Caret(least=(1, 2)))
    >>> Selector("vit/vit-l/projectA/1.2.3").choice
    ProjectVersion('1.2.3')
    """

    __slots__ = ()
    _example = "vit/vit-l/projectA@^1.2"

    @classmethod
    def _parse(cls, text: str) -> tuple[Any, ...]:
        name, at, choice = text.partition("@")
        if at:
            model = Model(name)
            return model, _choice(model, choice)
        if looks_like_version(name.rpartition("/")[2]):
            ref = Ref(name)
            return ref.model, ref.version
        return Model(name), Latest()

    def __str__(self) -> str:
        exact = isinstance(self.choice, BaseVersion | ProjectVersion)
        return f"{self.model}{'/' if exact else '@'}{self.choice}"

    @property
    def model(self) -> Model:
        """The model to choose from."""
        return self._key[0]  # type: ignore[no-any-return]

    @property
    def choice(self) -> Choice:
        """What to choose: an exact version, or a rule."""
        return self._key[1]  # type: ignore[no-any-return]


def _choice(model: Model, text: str) -> Choice:
    if text == "latest":
        return Latest()
    if text.startswith("^"):
        return _caret(model, text)
    if looks_like_version(text):
        return _exact(model, text)
    if _ALIAS.fullmatch(text):
        return Alias(text)
    return _specifier(model, text)


def _caret(model: Model, text: str) -> Caret:
    parts = text[1:].split(".")
    depth = 2 if model.is_base else 3
    if not all(re.fullmatch(r"0|[1-9][0-9]{0,8}", part) for part in parts) or len(parts) > depth:
        raise InvalidRef(f"'{model}@{text}' is no selector: write ^X or ^X.Y, such as ^1.2")
    if parts == ["0"]:
        raise InvalidRef(
            f"'{model}@^0' is ambiguous: in 0.Y each Y may break the application. Write ^0.Y, such as ^0.2"
        )
    return Caret(tuple(map(int, parts)))


def _exact(model: Model, text: str) -> Version:
    try:
        return model.version(text)
    except InvalidVersion as error:
        raise InvalidRef(
            f"'{model}@{text}' is ambiguous: {error}, or a range: @^{text}, @~={text}, @=={text}.*"
        ) from None


def _specifier(model: Model, text: str) -> Specifier:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if not text.strip():
            raise InvalidSpecifier
        return Specifier(str(SpecifierSet(text)))
    except InvalidSpecifier:
        message = (
            f"'{model}@{text}' is no selector: after '@' write latest, an alias such as production, ^1.2, "
            "or a PEP 440 specifier such as ~=1.2 or >=1.1,<2"
        )
        raise InvalidRef(message) from None


def alias_name(text: str) -> str:
    """Check the name of an alias: lower-case letters, digits and dashes, not ``latest``; raises InvalidRef."""
    if not _ALIAS.fullmatch(text) or text == "latest":
        raise InvalidRef(
            f"{text!r} is no alias: write lower-case letters, digits and dashes, such as production (not latest)"
        )
    return text
