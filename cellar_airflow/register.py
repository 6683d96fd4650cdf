"""Put a version into the cellar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Context

from cellar_airflow.asset import base_bumped
from cellar_airflow.errors import no_vain_retries
from cellar_airflow.holder import holder, origin
from cellar_airflow.operator import CellarOperator
from cellar_core import Bump, Registered


class RegisterModel(CellarOperator):
    """Registers a directory as the next version, and returns what was registered as a dict of plain JSON.

    A base: `rack` and `bump` (or an exact `version`). A project's model: `model` and the `base` it was tuned from.
    Running again with the same content returns the version that is there, so a retry registers nothing twice.

    Registering a base emits the event of the asset `base_bumped(rack)` with `ref`, `digest` and `bump` in its extra,
    so that DAGs with this schedule start at once.

    Args:
        path: the directory (templated).
        rack: for a base: such as `vit/vit-l` (templated).
        bump: for a base: `minor` or `major` (templated). The line it counts on is chosen once a run, not once a try.
        model: for a project: such as `vit/vit-l/projectA` (templated).
        base: for a project: such as `vit/vit-l/base/1.2` (templated).
        version: an exact version instead of the next one (templated).
        recipe: what training needed besides the base: data, parameters, seed, … (templated).
        metrics: results; by default they are read from the rack's result file (templated).
        notes: free text (templated).
    """

    template_fields: Sequence[str] = (
        "path",
        "rack",
        "bump",
        "model",
        "base",
        "version",
        "recipe",
        "metrics",
        "notes",
        "conn_id",
    )
    template_fields_renderers = {"recipe": "json", "metrics": "json"}  # noqa: RUF012  Airflow's own form

    def __init__(
        self,
        *,
        path: str,
        rack: str | None = None,
        bump: Bump | str | None = None,
        model: str | None = None,
        base: str | None = None,
        version: str | None = None,
        recipe: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        notes: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (rack is None) == (model is None) or (model is None) != (base is None):
            raise ValueError(
                f"{self.task_id}: give rack and bump to register a base, or model and base for a project."
            )
        self.path = path
        self.rack = rack
        self.bump = bump
        self.model = model
        self.base = base
        self.version = version
        self.recipe = recipe
        self.metrics = metrics
        self.notes = notes
        if isinstance(rack, str) and "{" not in rack + self.conn_id:  # else it is known when the task runs
            self.add_outlets([base_bumped(rack, conn_id=self.conn_id)])

    @no_vain_retries()
    def execute(self, context: Context) -> dict[str, Any]:
        """Register; a refused directory or number fails at once, a store that does not answer is retried."""
        registered = self._register(context)
        self._made = registered.record
        for notice in registered.notices:
            self.log.info("%s", notice)
        done = "registered as" if registered.created else "was registered before, and is"
        self.log.info("%s %s %s (%s)", self.path, done, registered.ref, registered.record.tree)
        self._announce(registered, context)
        return registered.model_dump(mode="json")

    def _register(self, context: Context) -> Registered:
        ti = context["ti"]
        common: dict[str, Any] = {
            "version": self.version,
            "recipe": self.recipe,
            "metrics": self.metrics,
            "notes": self.notes,
            "origin": origin(ti),
        }
        if self.rack is not None:
            return self.cellar.register_base(
                self.rack, self.path, bump=self.bump, holder=holder(ti), **common
            )
        assert self.model is not None
        assert self.base is not None
        return self.cellar.register_project(self.model, self.path, base=self.base, **common)

    def _announce(self, registered: Registered, context: Context) -> None:
        """Say in the asset's event what was registered; Airflow sends it when the task succeeds."""
        if self.rack is None:
            return
        asset = base_bumped(self.rack, conn_id=self.conn_id)
        if asset.uri not in (getattr(outlet, "uri", None) for outlet in self.outlets):
            self.add_outlets([asset])  # the rack was a template when the DAG was parsed
        record = registered.record
        context["outlet_events"][asset].extra.update(
            ref=str(record.ref), digest=record.tree, bump=record.bump and str(record.bump)
        )
