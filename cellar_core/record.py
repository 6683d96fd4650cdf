"""What is stored under ``.cellar/``: claims and records, and the tombstone that stands where a number was voided.

Each is a small JSON object that is created once and never changed. It carries its schema number: fields that this
release does not know are kept, an object of a newer schema is an error on that object only.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cellar_core.digest import Digest, canonical, digest_json
from cellar_core.errors import CellarError
from cellar_core.ref import Model, Ref
from cellar_core.version import Bump

__all__ = [
    "RECORD_LEAST",
    "SKIPPED",
    "TOMBSTONE_MOST",
    "Claim",
    "FileEntry",
    "NewerSchema",
    "Origin",
    "Parent",
    "Recipe",
    "Record",
    "Stored",
    "Unreadable",
    "problems",
    "tombstone",
    "tree_digest",
    "who",
]

TOMBSTONE_MOST = 64
"""A tombstone has at most so many bytes, so that a listing with sizes tells it from a record."""
RECORD_LEAST = 256
"""A record has at least so many bytes."""
SKIPPED = "skipped"
"""The identity in a claim that only keeps a number from being given: see ``version=``."""


class Unreadable(CellarError):
    """A stored object is not what its place says; its key and the wrong field are named. Trying again does not help."""


class NewerSchema(Unreadable):
    """A stored object was written by a newer release; upgrade cellar-flows to read it."""


def who() -> str:
    """Who acts: ``user@host``, as claims and records keep it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def problems(error: ValidationError) -> str:
    """What pydantic found wrong, in one line: ``files.0.size: Input should be a valid integer``."""
    found = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors(include_url=False)]
    return "; ".join(f"{place}: {message}" if place else message for place, message in found)


class Stored(BaseModel):
    """A small JSON object in the cellar; frozen, and true to fields that it does not know."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="allow", populate_by_name=True)
    _newest: ClassVar[int] = 1
    _least: ClassVar[int] = 0

    schema_number: int = Field(default=1, alias="schema", ge=1)

    def to_bytes(self) -> bytes:
        """The object as it is stored; never shorter than its kind must be."""
        text = self.model_dump_json(by_alias=True, indent=1)
        return text.encode().ljust(self._least)

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Self:
        """Read what lies at *key*; raises Unreadable (naming key and field) or NewerSchema."""
        try:
            raw = json.loads(data)
        except ValueError as error:
            raise Unreadable(f"{key} is not JSON ({error}); restore it from a backup") from None
        number = raw.get("schema", 1) if isinstance(raw, dict) else 1
        if isinstance(number, int) and number > cls._newest:
            raise NewerSchema(
                f"{key} has schema {number}, this release reads up to {cls._newest}; upgrade cellar-flows"
            )
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise Unreadable(
                f"{key} is no {cls.__name__.lower()}: {problems(error)}; restore it from a backup"
            ) from None


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="allow")


class FileEntry(_Value):
    """One file of a version.

    Attributes:
        path: Where, below the version's directory.
        size: Its size in bytes.
        digest: Its digest, with the name of the algorithm.
    """

    path: str
    size: int = Field(ge=0)
    digest: Digest

    @field_validator("path")
    @classmethod
    def _stays_below(cls, path: str) -> str:
        if any(part in ("", ".", "..") for part in path.split("/")):
            message = f"{path!r} leads out of the version's directory"
            raise ValueError(message)
        return path


class Parent(_Value):
    """The base that a project's version was made from.

    Attributes:
        ref: The base.
        tree: The digest of its files.
    """

    ref: Ref
    tree: Digest


class Recipe(_Value):
    """What training needs besides the base; part of a version's identity.

    SPEC: `Z` rises "when the dataset used for fine-tuning is updated" and "when fine-tuning parameters are changed".
    Further fields may be given: they are kept, and count in the identity like these.

    Attributes:
        code: The revision of the training code.
        data: References to the data, such as URLs with a version in them.
        parameters: Training parameters, any JSON.
        seed: The seed of the random numbers.
        environment: Such as an image digest.
        pretrained: For a base: the earlier base whose weights it starts from. Never a project's model.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")  # so that NaN is seen, and refused

    code: str | None = None
    data: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    environment: str | None = None
    pretrained: Ref | None = None

    @field_validator("pretrained")
    @classmethod
    def _never_from_a_tuned_model(cls, ref: Ref | None) -> Ref | None:
        if ref is not None and not ref.model.is_base:
            message = f"{ref} is a project's model: nothing is ever tuned from a tuned model; name a base"
            raise ValueError(message)
        return ref

    @model_validator(mode="after")
    def _is_json(self) -> Self:
        for name in self.model_fields_set:
            try:
                canonical(self.model_dump(mode="json", include={name}))
            except ValueError as error:
                message = f"{name} must be plain JSON, without NaN ({error})"
                raise ValueError(message) from None
        return self

    def facts(self) -> dict[str, Any]:
        """What is really said, as plain JSON: fields left at their default do not count."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Origin(_Value):
    """Where a version came from, as far as it was found out by itself; not part of its identity.

    Attributes:
        commit: The git commit of the directory that the program ran in.
        python: The Python that ran.
        run: The orchestrator's run, as its adapter describes it.
    """

    commit: str | None = None
    python: str | None = None
    run: Mapping[str, str] = Field(default_factory=dict)


class Claim(Stored):
    """A number taken, and the identity it was taken for; permanent.

    Attributes:
        identity: What is being registered, as a digest; or ``skipped``.
        request: The rebuild that it is for, if it is for one.
        bump: The kind of bump, for a base.
        nonce: Different for each attempt, so that a lost answer can be told from a lost race.
        copied_from: The id of the cellar that the number was taken in, if it came from there by ``cellar copy``.
    """

    identity: str
    request: str | None = None
    bump: Bump | None = None
    nonce: str = Field(default_factory=lambda: uuid.uuid4().hex)
    by: str = Field(default_factory=who)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    copied_from: str | None = None

    @property
    def is_work(self) -> bool:
        """Whether somebody works here on a version, as long as there is none: not if it was passed over, or copied."""
        return self.identity != SKIPPED and not self.copied_from


class Record(Stored):
    """What makes a version exist; immutable.

    Attributes:
        schema: The number of this layout of records.
        ref: The version.
        kind: ``base`` or ``project``.
        identity: Digest of model, base, files, recipe, ``again`` and request: the same identity is the same version.
        tree: Digest of the files (paths, sizes, contents).
        files: The files, by path.
        recipe: What it was trained with.
        parent: The base it was made from; None for a base.
        bump: Which number rose; None for a project or an exact ``version=``.
        after: The newest version of the line that its author had seen.
        request: The rebuild that made it, if one did.
        again: Why the same content has another number on purpose.
        metrics: What ``result_file`` says, or what was given.
        notes: Free text.
        origin: Where it came from.
        created_at: When the record was made (UTC).
        created_by: Who made it.
        nonce: Different for each attempt.
    """

    _least: ClassVar[int] = RECORD_LEAST

    ref: Ref
    kind: Literal["base", "project"]
    identity: Digest
    tree: Digest
    files: tuple[FileEntry, ...]
    recipe: Recipe = Field(default_factory=Recipe)
    parent: Parent | None = None
    bump: Bump | None = None
    after: Ref | None = None
    request: str | None = None
    again: str = ""
    metrics: Mapping[str, Any] = Field(default_factory=dict)
    notes: str = ""
    origin: Origin = Field(default_factory=Origin)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    created_by: str = Field(default_factory=who)
    nonce: str = Field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def model(self) -> Model:
        """The model that this is a version of."""
        return self.ref.model

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(entry.size for entry in self.files)


def tree_digest(files: tuple[FileEntry, ...]) -> str:
    """The digest of a directory: of its files' paths, sizes and digests, in the order of their paths."""
    return digest_json(
        [[entry.path, entry.size, entry.digest] for entry in sorted(files, key=lambda entry: entry.path)]
    )


def tombstone() -> bytes:
    """What is put in a record's place to void its number; at most 64 bytes.

    >>> len(tombstone()) <= TOMBSTONE_MOST
    True
    """
    return json.dumps({"void": uuid.uuid4().hex}).encode()
