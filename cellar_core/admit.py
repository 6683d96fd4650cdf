"""What may be registered: turning a user's words into a draft, and refusing what SPEC forbids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from cellar_core import bump as bumping
from cellar_core import lookup, names
from cellar_core.errors import CellarError
from cellar_core.line import Line
from cellar_core.payload import InvalidPayload, Payload
from cellar_core.rack import RackConfig
from cellar_core.record import Parent, Recipe, problems
from cellar_core.ref import Model, Ref
from cellar_core.register import Draft, Spot
from cellar_core.store import Store
from cellar_core.version import BaseVersion, ProjectVersion

__all__ = [
    "BaseMismatch",
    "InvalidMetrics",
    "InvalidRecipe",
    "base_spot",
    "metrics",
    "parent",
    "project",
    "recipe",
]


class BaseMismatch(CellarError, ValueError):
    """A project's version and the base it is said to come from do not belong together. Trying again does not help."""


class InvalidRecipe(CellarError, ValueError):
    """A recipe is not valid; the field is named. Trying again does not help."""


class InvalidMetrics(CellarError, ValueError):
    """Metrics are not plain JSON. Trying again does not help."""


def project(model: Model | str) -> Model:
    """A project's model; raises BaseMismatch for a base."""
    model = Model(model)
    if model.is_base:
        raise BaseMismatch(f"{model} is a base; name a project's model, such as {model.rack}/projectA")
    return model


def recipe(given: Recipe | Mapping[str, Any] | None) -> Recipe:
    """A recipe from what a user gave; raises InvalidRecipe."""
    try:
        return Recipe.model_validate(given or {})
    except ValidationError as error:
        raise InvalidRecipe(f"the recipe is not valid: {problems(error)}") from None


def metrics(config: RackConfig, payload: Payload, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What was *given*, or else what the rack's result file in the directory says; raises InvalidMetrics."""
    found = _results(config, payload) if given is None else given
    try:
        to_json(found)
    except ValueError as error:
        hint = "give plain numbers and text, such as by float()"
        raise InvalidMetrics(f"the metrics cannot be written as JSON ({error}); {hint}") from None
    return found


def _results(config: RackConfig, payload: Payload) -> Mapping[str, Any]:
    file = payload.root / config.document.result_file
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        hint = "metrics are read from it (config.toml: document.result_file)"
        raise InvalidPayload(f"{file} is no JSON ({error}); {hint}") from None
    return found if isinstance(found, dict) else {"result": found}


def parent(store: Store, model: Model, base: Ref, exact: ProjectVersion | None = None) -> Parent:
    """The base that *model* is made from, if it may be.

    SPEC: "`X.Y`: Version of the corresponding base model"; and "start from the base model", never from a tuned one.

    Raises:
        BaseMismatch: It is no base, of another rack, or not the one that version *exact* names.
        NoSuchVersion, Yanked: It does not exist, or was yanked.
    """
    if not base.model.is_base:
        raise BaseMismatch(f"{base} is a project's model: nothing is tuned from a tuned model; name a base")
    if base.rack != model.rack:
        raise BaseMismatch(f"{base} is of rack {base.rack}, but {model} is of {model.rack}")
    if exact and exact.base != base.version:
        raise BaseMismatch(f"version {exact} says that it was made from base {exact.base}, not from {base}")
    names.require_rack(store, model.rack)
    tree = lookup.record(store, base).tree
    lookup.refuse_yanked(store, base, f"make {model} from another base: cellar ls {base.rack}")
    return Parent(ref=base, tree=tree)


def base_spot(
    store: Store, draft: Draft, config: RackConfig, after: BaseVersion | None, holder: str | None
) -> Spot:
    """Where a base goes; raises BumpConflict or ContractChanged."""
    bases = [*lookup.catalog(store, draft.model).bases(draft.model)]
    spot = _spot(store, draft, bases, after, holder)
    same = [version for version in bases if spot.line.number(version) is not None]
    if same and spot.line.stem[0] > 0 and config.artifact.contract_files:
        first = lookup.record(store, draft.model.at(same[0]))
        bumping.check_contract(config.artifact, first, draft.payload.files)
    return spot


def _spot(
    store: Store, draft: Draft, bases: list[BaseVersion], after: BaseVersion | None, holder: str | None
) -> Spot:
    if draft.bump is None:
        assert draft.version is not None
        return Spot(Line(draft.model, (draft.version.major,)))
    spot = bumping.spot(draft.model, bases, draft.bump, after)
    return bumping.pin(store, spot, draft.bump, holder) if holder and after is None else spot
