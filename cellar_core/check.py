"""Checking a tree of versions in a directory, such as a git repository that ml-cellar made: no cellar is needed.

The rules are those of each rack's ``config.toml``: ml-cellar's ``[artifact]`` and ``[project]`` tables. What only SPEC
asks for is advice, since ml-cellar lets a project that no list names have any versions.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cellar_core.errors import CellarError
from cellar_core.rack import ArtifactRules
from cellar_core.record import problems
from cellar_core.ref import BASE
from cellar_core.version import BaseVersion, InvalidVersion, ProjectVersion

__all__ = ["NoRackHere", "Problem", "check", "rack_above"]

CONFIG = "config.toml"
FORMS = {
    "version_yyyymmdd": r"[0-9]{8}",
    "version_x": r"[0-9]+",
    "version_x_y": r"[0-9]+\.[0-9]+",
    "version_x_y_z": r"[0-9]+\.[0-9]+\.[0-9]+",
}
"""ml-cellar's lists of projects, and the versions that a project in each may have."""


class NoRackHere(CellarError):
    """No rack lies at a path, above it or below it. Trying again does not help."""


class Problem(BaseModel):
    """Something that does not keep a rule.

    Attributes:
        path: Where, from the directory that was checked on.
        rule: Which: ``config``, ``structure``, ``version``, ``required_files``, ``optional_files`` or ``SPEC``.
        sentence: What is wrong, for people.
        advice: Whether it is only advice: ml-cellar lets it be.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    rule: str
    sentence: str
    advice: bool = False


class _Tables(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")

    artifact: ArtifactRules = ArtifactRules()
    project: Mapping[str, tuple[str, ...]] = {}


def check(path: Path) -> list[Problem]:
    """Everything in the racks at, above or below *path* that does not keep their rules; below *path*, that is.

    Args:
        path: A directory of racks, a rack, a project or a version in one.

    Raises:
        NoRackHere: There is no ``config.toml`` of a rack.
    """
    above = rack_above(path)
    racks = [above] if above else sorted(one.parent for one in path.rglob(CONFIG) if not _hidden(one, path))
    if not racks:
        raise NoRackHere(
            f"no rack is at {path}, above it or below it: a rack has a {CONFIG}; see: cellar rack"
        )
    return [problem for rack in racks for problem in _rack(rack, path)]


def rack_above(path: Path) -> Path | None:
    """The rack that *path* lies in, or is; None if it lies in none."""
    return next((one for one in (path, *path.absolute().parents) if (one / CONFIG).is_file()), None)


def _rack(rack: Path, scope: Path) -> Iterator[Problem]:
    try:
        tables = _Tables.model_validate(tomllib.loads((rack / CONFIG).read_text()))
    except (ValidationError, ValueError) as error:
        text = problems(error) if isinstance(error, ValidationError) else str(error)
        yield Problem(path=_shown(rack / CONFIG, scope), rule="config", sentence=text)
        return
    for project in _directories(rack):
        for file in sorted(
            one for one in project.iterdir() if one.is_file() and not one.name.startswith(".")
        ):
            if file.name != "README.md" and _within(file, scope):
                sentence = "a project's directory holds directories of versions only"
                yield Problem(path=_shown(file, scope), rule="structure", sentence=sentence)
        for version in _directories(project):
            if _within(version, scope):
                yield from _version(tables, rack, version, _shown(version, scope))


def _version(tables: _Tables, rack: Path, version: Path, shown: str) -> Iterator[Problem]:
    project = version.parent.name
    if wrong := _form(tables.project, project, version.name):
        yield Problem(path=shown, rule="version", sentence=wrong)
    elif advice := _spec(rack, project, version.name):
        yield Problem(path=shown, rule="SPEC", sentence=advice, advice=True)
    files = [one.relative_to(version).as_posix() for one in sorted(version.rglob("*")) if one.is_file()]
    for sentence in tables.artifact.broken(files):
        rule = "required_files" if sentence.startswith("no file") else "optional_files"
        yield Problem(path=shown, rule=rule, sentence=sentence)


def _shown(path: Path, scope: Path) -> str:
    near = path.absolute().is_relative_to(scope.absolute())
    return str(path.absolute().relative_to(scope.absolute())) if near else str(path)


def _directories(place: Path) -> list[Path]:
    return sorted(one for one in place.iterdir() if one.is_dir() and not one.name.startswith("."))


def _hidden(path: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(top).parts)


def _within(path: Path, scope: Path) -> bool:
    """Whether *path* lies below *scope*, or *scope* below it."""
    one, other = path.absolute(), scope.absolute()
    return one.is_relative_to(other) or other.is_relative_to(one)


def _form(lists: Mapping[str, tuple[str, ...]], project: str, version: str) -> str:
    forms = [name for name in FORMS if project in lists.get(name, ())]
    if not forms or any(re.fullmatch(FORMS[name], version) for name in forms):
        return ""
    return f"{version} is no version of {project}, which {' and '.join(forms)} name"


def _spec(rack: Path, project: str, version: str) -> str:
    """What SPEC says of a version; nothing if all is well."""
    kind, form = (BaseVersion, "X.Y") if project == BASE else (ProjectVersion, "X.Y.Z")
    try:
        parsed = kind(version)
    except InvalidVersion:
        return f"a version of {project} is {form}; as it is, it cannot be imported"
    if isinstance(parsed, ProjectVersion) and not (rack / BASE / str(parsed.base)).is_dir():
        return f"it is made from base {parsed.base}, which is not here; import that first"
    return ""
