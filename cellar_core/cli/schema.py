"""What ``--json`` prints, as types; and ``docs/json.md``, which this module prints when it is run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from cellar_core.cellar import Registered
from cellar_core.check import Problem
from cellar_core.compare import Comparison
from cellar_core.copy import Copied
from cellar_core.doctor import Diagnosis
from cellar_core.gc import Collected
from cellar_core.history import Happening
from cellar_core.imports import Imported
from cellar_core.plan import Plan, Rebuild
from cellar_core.rack import ProjectPolicy
from cellar_core.rebuild import Rebuilt
from cellar_core.record import Record
from cellar_core.ref import Model, Rack, Ref
from cellar_core.report import RackReport, RackSummary, Sheet, VersionReport
from cellar_core.value import Value
from cellar_core.want import Skip
from cellar_core.yank import Yank

__all__ = ["ANSWERS", "Error", "markdown"]


class Place(Value):
    """A cellar.

    Attributes:
        url: Where it is.
        id: Its own id, which no other cellar has.
    """

    url: str
    id: str


class Made(Value):
    """A rack that was asked for.

    Attributes:
        rack: The rack.
        created: Whether it is new.
        config: Where its rules and policy lie.
    """

    rack: Rack
    created: bool
    config: str


class Written(Value):
    """A page about a rack.

    Attributes:
        rack: The rack.
        path: The file.
    """

    rack: Rack
    path: str


class Pulled(Value):
    """Files that were fetched.

    Attributes:
        ref: The version.
        path: The directory that they are in.
    """

    ref: Ref
    path: str


class Explained(Value):
    """Why a project is rebuilt or not.

    Attributes:
        decision: What the plan says of it; a Rebuild has ``request``.
        policy: What config.toml says of it.
        yanks: Those of its newest version, and of the base that this stands on.
        log: What happened to it, the oldest first.
    """

    decision: Rebuild | Skip
    policy: ProjectPolicy
    yanks: tuple[Yank, ...]
    log: tuple[Happening, ...]


class Lineage(Value):
    """What a version comes from, and what comes from it.

    Attributes:
        ancestors: What it comes from, the oldest first.
        record: Its own record.
        children: What was made from it.
    """

    ancestors: tuple[Ref, ...]
    record: Record
    children: tuple[Ref, ...]


class Approved(Value):
    """A base that projects may move to.

    Attributes:
        base: The base.
        project: The only project that may; null for all of them.
        why: What was said of it.
    """

    base: Ref
    project: str | None
    why: str


class Move(Value):
    """A move of an alias.

    Attributes:
        at: Since when it has meant this.
        by: Who moved it.
        ref: What it meant from then on; null for nothing.
        why: What was said of it.
    """

    at: datetime
    by: str
    ref: Ref | None
    why: str


class Consequence(Value):
    """What a yank changes for a project.

    Attributes:
        before: The version that it stood on before.
        decision: What the plan says of it now; a Rebuild has ``request``.
    """

    before: Ref | None
    decision: Rebuild | Skip


class Yanked(Value):
    """A version that was yanked, or whose yank was taken back.

    Attributes:
        ref: The version.
        yanked: Whether it is yanked now.
        changed: Whether this call made it so.
        projects: The projects for which the plan is another one now.
        aliases: The aliases that find nothing now, and what they mean.
    """

    ref: Ref
    yanked: bool
    changed: bool
    projects: tuple[Consequence, ...]
    aliases: Mapping[str, Ref]


class Error(Value):
    """What went wrong.

    Attributes:
        error: The class of the error, such as ``NoSuchVersion``.
        message: What was wrong with what, and the next step.
        retryable: Whether the same command, given again unchanged, can succeed.
    """

    error: str
    message: str
    retryable: bool


class Failed(Error):
    """A rebuild that failed.

    Attributes:
        error: The class of the error.
        message: What was wrong with what, and the next step.
        retryable: Whether the same rebuild can succeed if it is tried again unchanged.
        model: The project's model.
    """

    model: Model


class RebuildsDone(Value):
    """What became of a plan.

    Attributes:
        rebuilt: The rebuilds that were run.
        failed: Those that failed.
        skips: What is not rebuilt in the end, and why.
    """

    rebuilt: tuple[Rebuilt, ...]
    failed: tuple[Failed, ...]
    skips: tuple[Skip, ...]


class FilledIn(Value):
    """A rack's template, filled in.

    Attributes:
        document: Markdown.
    """

    document: str


ANSWERS: dict[str, Any] = {
    "init": Place,
    "rack": Made,
    "register": Registered,
    "copy": Copied,
    "ls": list[RackSummary],
    "ls RACK": RackReport,
    "ls MODEL": list[VersionReport],
    "show": Sheet,
    "report": Written,
    "resolve": Record,
    "pull": Pulled,
    "verify": Record,
    "log": list[Happening],
    "explain": Explained,
    "lineage": Lineage,
    "diff": Comparison,
    "plan": Plan,
    "approve": Approved,
    "alias MODEL": dict[str, Ref],
    "alias MODEL NAME": list[Move],
    "alias MODEL NAME VERSION": dict[str, Ref],
    "alias MODEL NAME --undo": dict[str, Ref | None],
    "yank": Yanked,
    "retrain": Registered,
    "rebuild": RebuildsDone,
    "gc": Collected,
    "doctor": Diagnosis,
    "check": list[Problem],
    "docs": FilledIn,
    "import": Imported,
}
"""What each command prints; one that prints different things stands here once for each."""

FORMATS = {
    "date-time": "time",
    "Ref": "ref",
    "Model": "model",
    "Rack": "rack",
    "BaseVersion": "version",
    "ProjectVersion": "version",
}
"""What text of a known form is called."""

INTRODUCTION = """\
# What `--json` prints

Every command takes `--json`: stdout then holds one JSON document and nothing else; what a person would see
meanwhile goes to stderr. If the command fails (exit code 1) or is not understood (exit code 2), stdout is empty and
the last line of stderr is an [Error](#error). `rebuild`, `check`, `import`, `gc` and `doctor` print their answer also
when they end with exit code 1 because of what is in it.

This is an interface: within a major version of cellar-flows a field keeps its name, its type and its meaning, and is
never left out. Fields may be added, so skip those that you do not know. A ref is text such as
`vit/vit-l/projectA/1.2.3`, a model such as `vit/vit-l/projectA`, a rack such as `vit/vit-l`; a time is ISO 8601 in UTC.
In Python most of these objects are classes of `cellar_core`: `Plan.model_validate_json(text)`.

`python -m cellar_core.cli.schema` prints this page from the types that a test holds each command's answer against.
"""


def markdown() -> str:
    """The whole page."""
    every: Any = tuple.__class_getitem__((*ANSWERS.values(), Error))
    schema = TypeAdapter[Any](every).json_schema(mode="serialization", by_alias=True)
    rows = [
        (f"`cellar {name}`", _type(kind)) for name, kind in zip(ANSWERS, schema["prefixItems"], strict=False)
    ]
    parts = [INTRODUCTION, _table(("command", "prints"), rows), "\n## Objects\n"]
    for name, kind in sorted(schema["$defs"].items(), key=lambda item: item[0].lower()):
        if "properties" in kind:
            parts.append(_object(name, kind))
        elif "enum" in kind:
            values = ", ".join(f"`{value}`" for value in kind["enum"])
            parts.append(f"### {name}\n\n{_summary(kind)} One of {values}.\n")
    return "\n".join(parts)


def _object(name: str, schema: dict[str, Any]) -> str:
    meanings = dict(_attributes(schema.get("description", "")))
    rows = [
        (f"`{field}`", _type(kind), meanings.get(field, "")) for field, kind in schema["properties"].items()
    ]
    return f"### {_title(name)}\n\n{_summary(schema)}\n\n{_table(('field', 'type', 'meaning'), rows)}"


def _summary(schema: dict[str, Any]) -> str:
    return inspect.cleandoc(schema.get("description", "")).partition("\n")[0]


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    r"""The fields that a docstring tells of.

    >>> list(_attributes("A.\n\nAttributes:\n    a: One\n        more.\n    b: Two.\n"))
    [('a', 'One more.'), ('b', 'Two.')]
    """
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    for found in re.finditer(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
        meaning = " ".join(found[2].split()).replace("``", "`")
        yield found[1], re.sub(r"\bNone\b", "null", meaning).replace("False", "false")


def _type(schema: dict[str, Any]) -> str:
    """A type in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "$ref" in schema:
        title = _title(schema["$ref"].rpartition("/")[2])
        return f"[{title}](#{title.lower().replace(' ', '-')})"
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map of names to {_type(values) if isinstance(values, dict) else 'any'}"
    return FORMATS.get(schema.get("format", ""), str(kind))


def _title(name: str) -> str:
    """What a generic type is called.

    >>> _title("Change_Ref_"), _title("Plan")
    ('Change of Ref', 'Plan')
    """
    return " of ".join(filter(None, name.split("_")))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201
