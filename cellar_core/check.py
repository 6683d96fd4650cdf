"""Checking a tree of versions in a directory, such as a git repository that ml-cellar made: no cellar is needed.

The rules are those of each rack's ``config.toml``: ml-cellar's ``[artifact]`` and ``[project]`` tables. What only SPEC
asks for is advice, since ml-cellar lets a project that no list names have any versions.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cellar_core.errors import CellarError
from cellar_core.rack import ArtifactRules
from cellar_core.record import problems
from cellar_core.ref import BASE
from cellar_core.version import BaseVersion, InvalidVersion, ProjectVersion

__all__ = ["NoRackHere", "Problem", "check", "rack_above"]

CONFIG = "config.toml"
ROOTS = (".git", ".mlcellar.toml", ".cellar")
"""What lies in the directory that all racks are in: a repository, one of ml-cellar's, a cellar."""


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch("[0-9]{8}", text) and datetime.strptime(text, "%Y%m%d"))  # noqa: DTZ007 - a day
    except ValueError:
        return False


FORMS: Mapping[str, Callable[[str], object]] = {
    "version_yyyymmdd": _is_date,
    "version_x": re.compile(r"[0-9]+").fullmatch,
    "version_x_y": re.compile(r"[0-9]+\.[0-9]+").fullmatch,
    "version_x_y_z": re.compile(r"[0-9]+\.[0-9]+\.[0-9]+").fullmatch,
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
    racks = [above] if above else list(_racks(path))
    if not racks:
        raise NoRackHere(
            f"no rack is at {path}, above it or below it: a rack has a {CONFIG}; see: cellar rack"
        )
    return [problem for rack in racks for problem in _rack(rack, path)]


def rack_above(path: Path) -> Path | None:
    """The rack that *path* lies in, or is; None if it lies in none.

    A version may hold a ``config.toml`` too, so of several that lie in one repository the outermost is the rack's.
    """
    here = path.absolute()
    found = [one for one in (here, *here.parents) if (one / CONFIG).is_file()]
    top = _root(here)
    return next((one for one in reversed(found) if top and one.is_relative_to(top)), next(iter(found), None))


def _root(path: Path) -> Path | None:
    return next((one for one in (path, *path.parents) if any((one / name).exists() for name in ROOTS)), None)


def _racks(place: Path) -> Iterator[Path]:
    """The racks below a directory; none lies below another."""
    for one in _directories(place):
        if (one / CONFIG).is_file():
            yield one
        else:
            yield from _racks(one)


def _rack(rack: Path, scope: Path) -> Iterator[Problem]:
    try:
        tables = _Tables.model_validate(tomllib.loads((rack / CONFIG).read_text()))
    except (ValidationError, ValueError) as error:
        text = problems(error) if isinstance(error, ValidationError) else str(error)
        yield Problem(path=_shown(rack / CONFIG, scope), rule="config", sentence=text)
        return
    if (advice := _convention(rack)) and rack.absolute().is_relative_to(scope.absolute()):
        yield Problem(path=_shown(rack, scope), rule="SPEC", sentence=advice, advice=True)
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


def _within(path: Path, scope: Path) -> bool:
    """Whether *path* lies below *scope*, or *scope* below it."""
    one, other = path.absolute(), scope.absolute()
    return one.is_relative_to(other) or other.is_relative_to(one)


def _form(lists: Mapping[str, tuple[str, ...]], project: str, version: str) -> str:
    forms = [name for name in FORMS if project in lists.get(name, ())]
    if not forms or any(FORMS[name](version) for name in forms):
        return ""
    return f"{version} is no version of {project}, which {' and '.join(forms)} name"


def _convention(rack: Path) -> str:
    """What SPEC suggests, ``{algorithm}/{algorithm}-{option}``, and no more: "You can use more deep … or less one"."""
    top = _root(rack.absolute())
    names = rack.absolute().relative_to(top).parts if top else ()
    if not names or (len(names) > 1 and names[-1].startswith(f"{names[-2]}-")):
        return ""
    return f"a rack is usually called ALGORITHM/ALGORITHM-OPTION, such as vit/vit-l; this one is {'/'.join(names)}"


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
