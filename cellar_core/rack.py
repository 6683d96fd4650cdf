"""A rack's ``config.toml``: ml-cellar's artifact rules, and our policy for rebuilding; the only mutable file.

Everything has a default, so that an empty file is a valid one. Tables that this release does not know are let be.
"""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cellar_core.digest import digest_json
from cellar_core.errors import CellarError
from cellar_core.record import FileEntry, Recipe, problems
from cellar_core.ref import Alias, InvalidRef, Model, Rack, Selector
from cellar_core.version import BaseVersion

__all__ = [
    "ArtifactRules",
    "BrokenRules",
    "Hold",
    "InvalidConfig",
    "OnBump",
    "ProjectPolicy",
    "RackConfig",
    "RebuildPolicy",
    "starters",
]

_CONFIG = """\
# The rules and the policy of rack {rack}. All of it may be left out.

[rack]
name = "{name}"

[artifact]
required_files = []         # globs that every version must match, such as "config.yaml", "*.safetensors", "logs/"
optional_files = ["*"]      # globs of what else a version may hold; nothing, if only required_files is given
contract_files = []         # files that stay the same within one X, such as "signature.json"

[project]                   # read by `cellar check`: which versions the projects in each list may have
version_x_y = ["base"]
version_x_y_z = []

[document]
template_file = "template.md" # what `cellar docs` fills in
result_file = "result.json"   # where a version's metrics are read from

[rebuild]
on_minor = "auto"           # a new base X.(Y+1): rebuild the projects ("auto"), wait ("approve"), or "never"
on_major = "approve"        # a new base (X+1).0: SPEC asks for integration tests, so it waits for: cellar approve
max_parallel = 4            # how many rebuilds may go on at once

# [projects.projectA]
# hold = {{ reason = "audit", owner = "kim", until = 2027-01-31 }}
# track = "^1"              # which bases it follows: ^1, or a PEP 440 specifier such as >=1.2,<2
# [projects.projectA.recipe]
# data = ["s3://data/projectA/2026-11"]
# parameters = {{ epochs = 10 }}
"""


_README = """\
# {rack}

What the versions of `{rack}` are trained for, on which data, and who may be asked.

`base/X.Y` is trained on the full dataset; `PROJECT/X.Y.Z` is tuned for a project from `base/X.Y`. Their rules are in
`config.toml`, and `template.md` is what a version's document is made of.
"""

_TEMPLATE = """\
# {rack} {{{{version}}}}

Numbers from the version's results go here: a path in result.json, in single braces, is replaced by what is there.
"""


def starters(rack: Rack) -> dict[str, str]:
    """The files that a new rack gets, by name: the same that ml-cellar gives it."""
    texts = {"config.toml": _CONFIG, "README.md": _README, "template.md": _TEMPLATE}
    name = str(rack).rpartition("/")[2]
    return {file: text.format(rack=rack, name=name) for file, text in texts.items()}


class InvalidConfig(CellarError, ValueError):
    """A ``config.toml`` is not valid; its place and the wrong key are named. Trying again does not help."""


class BrokenRules(CellarError, ValueError):
    """A directory does not keep the rack's artifact rules; every problem is listed. Trying again does not help."""


class OnBump(enum.StrEnum):
    """What a bump of the base does to the projects."""

    AUTO = "auto"
    APPROVE = "approve"
    NEVER = "never"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")


class _OurTable(BaseModel):
    # A mistyped key in a table that only we read would silently change what is rebuilt.
    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")


class ArtifactRules(_Table):
    """Which files a version must and may hold (ml-cellar's ``[artifact]``).

    A pattern is a glob over the path: ``*`` also matches ``/``, and ``**/`` any directories, or none. One that ends in
    ``/`` means any file below; not in ``optional_files``, where ml-cellar knows globs only.

    Attributes:
        required_files: Each of these must match a file.
        optional_files: What else there may be. Left out: anything if ``required_files`` is too, else nothing.
        contract_files: What must stay the same within one ``X``.
    """

    required_files: tuple[str, ...] = ()
    optional_files: tuple[str, ...] | None = None
    contract_files: tuple[str, ...] = ()

    def broken(self, paths: Iterable[str]) -> list[str]:
        """What is wrong with a version that holds *paths*; empty if nothing is.

        >>> ArtifactRules(required_files=("*.safetensors", "logs/")).broken(["a.safetensors"])
        ['no file matches required_files pattern "logs/"']
        """
        paths = list(paths)
        optional = self.optional_files
        if optional is None:
            optional = () if self.required_files else ("*",)
        hint = "".join(f'; there, write "{one}*" for "{one}"' for one in optional if one.endswith("/"))
        missing = [
            pattern for pattern in self.required_files if not any(_fits(path, pattern) for path in paths)
        ]
        unexpected = [
            path
            for path in paths
            if not any(_fits(path, pattern) for pattern in self.required_files)
            and not any(_matches(path, pattern) for pattern in optional)
        ]
        return [
            *(f'no file matches required_files pattern "{pattern}"' for pattern in missing),
            *(f"{path} matches no pattern of required_files or optional_files{hint}" for path in unexpected),
        ]

    def contract(self, files: Iterable[FileEntry]) -> dict[str, str]:
        """The files that the application relies on, with their digests."""
        return {
            file.path: file.digest
            for file in files
            if any(_fits(file.path, one) for one in self.contract_files)
        }


def _fits(path: str, pattern: str) -> bool:
    if pattern.endswith(("/", "\\")):
        return path.startswith(f"{pattern[:-1]}/")
    return _matches(path, pattern)


def _matches(path: str, pattern: str) -> bool:
    """Whether a glob matches, as those of Rust's ``glob`` do."""
    first, *rest = re.split(r"(?:^|(?<=/))\*\*/", pattern)
    return any(
        fnmatchcase(path, first + "".join(map("".join, zip(directories, rest, strict=True))))
        for directories in product(("", "*/"), repeat=len(rest))
    )


class Document(_Table):
    """ml-cellar's ``[document]``: where results are."""

    template_file: str = "template.md"
    result_file: str = "result.json"


class RebuildPolicy(_OurTable):
    """What a bump does, and how many rebuilds may go on at once.

    SPEC: "When the major version `X` is changed, … application-side engineers need to perform integration tests": so
    a new ``X`` waits for an approval unless the policy says otherwise.
    """

    on_minor: OnBump = OnBump.AUTO
    on_major: OnBump = OnBump.APPROVE
    max_parallel: int = Field(default=4, ge=1)


class Hold(_OurTable):
    """A project that is not to be rebuilt.

    Attributes:
        reason: Why.
        owner: Who says so.
        until: When that ends (UTC if no zone is named); None for never.
    """

    reason: str = ""
    owner: str = ""
    until: datetime | None = None

    @field_validator("until", mode="before")
    @classmethod
    def _a_date_ends_with_its_day(cls, value: object) -> datetime | None:
        if isinstance(value, str):  # quoted in the TOML
            value = date.fromisoformat(value) if len(value) <= 10 else datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime.combine(value, time.max, UTC)
        if value is not None:  # a number would be seconds since 1970: long over
            raise ValueError("write a date, such as 2027-01-31")
        return None

    def holds(self, now: datetime) -> bool:
        """Whether it still holds at *now*."""
        return self.until is None or now <= self.until

    def __str__(self) -> str:
        facts = (
            self.reason,
            f"by {self.owner}" if self.owner else "",
            f"until {self.until:%Y-%m-%d}" if self.until else "",
        )
        return ", ".join(filter(None, facts)) or "no reason given"


class ProjectPolicy(_OurTable):
    """One ``[projects.X]`` table.

    Attributes:
        hold: Why it is not to be rebuilt, if so.
        track: Which bases it follows: ``latest``, ``^1``, or a PEP 440 specifier.
        recipe: What its rebuilds train with; that of its last version if None.
    """

    hold: Hold | None = None
    track: str = "latest"
    recipe: Recipe | None = None

    @field_validator("track")
    @classmethod
    def _is_a_selector(cls, text: str) -> str:
        try:
            choice = Selector(f"rack/base@{text}").choice
        except InvalidRef as error:
            raise ValueError(str(error).replace("rack/base@", "")) from None
        if isinstance(choice, Alias | BaseVersion):
            hint = "write latest, ^1, or a specifier such as >=1.2,<2; to stay, use hold"
            message = f"{text!r} does not follow anything: {hint}"
            raise ValueError(message)
        return text


class RackConfig(_Table):
    """The whole file."""

    artifact: ArtifactRules = Field(default_factory=ArtifactRules)
    document: Document = Field(default_factory=Document)
    rebuild: RebuildPolicy = Field(default_factory=RebuildPolicy)
    projects: Mapping[str, ProjectPolicy] = Field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, key: str, rack: Rack) -> RackConfig:
        """Read the file that lies at *key*; raises InvalidConfig, which names the file and the key in it."""
        try:
            config = cls.model_validate(tomllib.loads(data.decode()))
            for project in config.projects:
                if rack.project(project).is_base:
                    raise InvalidRef("'base' is no project")
        except ValidationError as error:
            raise InvalidConfig(f"{key}: {problems(error)}") from None
        except InvalidRef as error:
            raise InvalidConfig(f"{key}: projects: {error}") from None
        except ValueError as error:
            raise InvalidConfig(f"{key} is no TOML: {error}") from None
        return config

    def project(self, model: Model) -> ProjectPolicy:
        """The policy of a project; the default one if the file does not name it."""
        return self.projects.get(model.project, ProjectPolicy())

    def check(self, files: Iterable[FileEntry]) -> None:
        """Raise BrokenRules, with every problem, if *files* do not keep the artifact rules."""
        if broken := self.artifact.broken(file.path for file in files):
            raise BrokenRules(
                "the directory does not keep the rack's rules (config.toml): " + "; ".join(broken)
            )

    def digest(self, model: Model) -> str:
        """The digest of what can make a rebuild of *model* end differently; a hold or a limit cannot."""
        facts: dict[str, Any] = self.model_dump(mode="json", include={"artifact", "document"})
        recipe = self.project(model).recipe
        return digest_json(facts, recipe.facts() if recipe else None)
