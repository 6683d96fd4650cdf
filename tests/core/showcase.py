"""A rack to look at, with something of everything; always the same, so that its picture changes only with the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from cellar_core import Cellar, layout
from cellar_core.attempt import Event, follow
from cellar_core.digest import digest_json
from cellar_core.log import append
from cellar_core.record import FileEntry, Parent, Record
from cellar_core.ref import Model, Rack, Ref
from cellar_core.version import BaseVersion
from tests.core.helpers import blank

RACK = Rack("vit/vit-l")
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
GB = 10**9


def record(ref: Ref, **facts: Any) -> Record:
    """The record of a version as register writes it, but at a time and by somebody of our choice."""
    name = str(ref)
    files = (
        FileEntry(path="model.safetensors", size=int(1.21 * GB), digest=digest_json(name, "model")),
        FileEntry(path="result.json", size=412, digest=digest_json(name, "result")),
    )
    parent = None if ref.model.is_base else Parent(ref=ref.base, tree=digest_json(str(ref.base), "tree"))
    return Record(
        ref=ref,
        kind="project" if parent else "base",
        parent=parent,
        files=files,
        tree=digest_json(name, "tree"),
        identity=digest_json(name, "identity"),
        **facts,
    )


def plant(cellar: Cellar, *records: Record) -> None:
    """Write records straight into the store."""
    for one in records:
        cellar.store.create(layout.record(one.ref), one.to_bytes())


class Showcase:
    """The rack, in a new cellar in *directory*."""

    def __init__(self, directory: Path) -> None:
        self.cellar = blank(directory / "cellar")
        self._times: Iterator[datetime] = (
            NOW - timedelta(days=200) + timedelta(days=11) * n for n in count()
        )
        first = self._base("1.0", "major", (0.761, 0.64), "First release")
        self._project("factory-north", "1.0.1", (0.861, 0.84))
        self._project("factory-south", "1.0.1", (0.842, 0.81))
        self._project("harbour", "1.0.1", (0.774, 0.75))
        self._project("retail-night", "1.0.1", (0.702, 0.66))
        self._base("1.1", "minor", (0.802, 0.55), "More augmentation")
        self._project("factory-north", "1.1.1", (0.884, 0.86))
        self._project("factory-south", "1.1.1", (0.861, 0.83))
        self._project("depot", "1.1.1", (0.779, 0.76))
        self._project("harbour", "1.1.1", (0.803, 0.77))
        self._project("retail", "1.1.1", (0.897, 0.86))
        self._project("retail", "1.1.2", (0.921, 0.89), "New labels for the second shop")
        bad = self._base("1.2", "minor", (0.811, 0.58), "Longer schedule")
        self._project("factory-north", "1.2.1", (0.871, 0.85))
        self._base("1.3", "minor", (0.831, 0.48), "Trained on the snapshot of 2026-09")
        self._project("factory-north", "1.3.1", (0.913, 0.89))
        self._project("retail", "1.3.1", (0.934, 0.91))
        self.cellar.yank(bad, "wrong normalisation")
        self.cellar.alias(f"{RACK}/factory-north", "production", "1.3.1")
        self.cellar.alias(f"{RACK}/retail", "production", "1.1.2")
        self.cellar.alias(f"{RACK}/base", "stable", str(first.version))
        config = directory / "cellar" / str(RACK) / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            '[projects.harbour]\nhold = { reason = "the new camera is not in yet", owner = "kim" }\n'
            '[projects.retail]\nhold = { reason = "wait for the audit", owner = "ana", until = 2026-12-31 }\n'
        )
        self._attempt("factory-south", Event.FAILED, "RuntimeError: CUDA out of memory")
        self._attempt("depot", Event.STARTED)

    def _attempt(self, project: str, event: Event, why: str = "") -> None:
        model = RACK.project(project)
        [wanted] = [one for one in self.cellar.plan(RACK).rebuilds if one.model == model]
        policy = self.cellar.config(RACK).digest(model)
        facts = {"request": wanted.request, "holder": "airflow/nightly", "policy": policy, "why": why}
        entry = follow(None, event, **facts).model_copy(update={"at": NOW - timedelta(minutes=41)})
        append(self.cellar.store, layout.rebuild_log(model, BaseVersion(str(wanted.base.version))), 1, entry)

    def _base(self, version: str, bump: str, metrics: tuple[float, float], notes: str) -> Ref:
        facts = {"accuracy": metrics[0], "loss": metrics[1]}
        recipe = {"data": ["s3://data/labels/2026-09"], "parameters": {"epochs": 90}, "seed": 7}
        return self._add(RACK.base, version, facts, notes, bump=bump, recipe=recipe)

    def _project(self, name: str, version: str, metrics: tuple[float, float], notes: str = "") -> Ref:
        facts = {"accuracy": metrics[0], "recall": metrics[1]}
        recipe = {"data": [f"s3://data/{name}/2026-11"], "parameters": {"epochs": 10}}
        return self._add(RACK.project(name), version, facts, notes, recipe=recipe)

    def _add(self, model: Model, version: str, metrics: Mapping[str, float], notes: str, **facts: Any) -> Ref:
        by = "ana@trainer-2" if model.is_base else "airflow@worker-1"
        made = record(
            model.at(version),
            metrics=metrics,
            notes=notes,
            created_at=next(self._times),
            created_by=by,
            **facts,
        )
        plant(self.cellar, made)
        return made.ref
