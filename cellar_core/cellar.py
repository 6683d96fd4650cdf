"""Cellar: what a user holds. Each method is a few lines; the rules lie in the modules that it calls."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cellar_core import bump as bumping
from cellar_core import fetch, layout, names, rebuild, state
from cellar_core.attempt import Attempt
from cellar_core.catalog import Catalog
from cellar_core.choose import NoSuchVersion, choose
from cellar_core.errors import CellarError, listing
from cellar_core.line import Line
from cellar_core.log import Entry, append, last_number
from cellar_core.payload import InvalidPayload, Payload, scan
from cellar_core.plan import Plan, Rebuild, Skip, Want, plan, want
from cellar_core.rack import RackConfig
from cellar_core.rebuild import Rebuilt
from cellar_core.record import (
    TOMBSTONE_MOST,
    Claim,
    NewerSchema,
    Origin,
    Parent,
    Recipe,
    Record,
    Unreadable,
    problems,
    who,
)
from cellar_core.ref import Alias, Model, Rack, Ref, Selector, Version, alias_name
from cellar_core.register import Draft, Registrar, Spot
from cellar_core.retrain import train as run_training
from cellar_core.retrain import workshop
from cellar_core.store import Store, open_store
from cellar_core.trainer import RetrainJob, Train, as_trainer
from cellar_core.version import BaseVersion, Bump, ProjectVersion

__all__ = ["BaseMismatch", "Cellar", "NoCellarGiven", "NotACellar", "Registered", "Yanked"]

LAYOUT = 1
"""The newest layout of ``.cellar/`` that this release reads and writes."""


class NoCellarGiven(CellarError, ValueError):
    """Neither a URL nor CELLAR_URL says which cellar is meant."""


class NotACellar(CellarError):
    """There is no cellar at the URL; make one with ``cellar init``."""


class BaseMismatch(CellarError, ValueError):
    """A project's version and the base it is said to come from do not belong together. Trying again does not help."""


class Yanked(CellarError):
    """What is asked for was yanked. Trying again does not help."""


class InvalidRecipe(CellarError, ValueError):
    """A recipe is not valid; the field is named. Trying again does not help."""


class Registered(BaseModel):
    """The answer of a registration.

    Attributes:
        ref: The version.
        record: Its record.
        created: Whether this call made it; False if the same content from the same recipe was there already.
        notices: Sentences worth telling, such as that a rack was made.
    """

    model_config = ConfigDict(frozen=True)

    ref: Ref
    record: Record
    created: bool
    notices: tuple[str, ...] = ()


class Cellar:
    """A model registry at one URL. Making this object touches nothing; it survives forks, threads and pickling.

    Args:
        url: A path, ``file://…`` or ``memory://…``; ``CELLAR_URL`` from the environment if None.
        storage_options: What fsspec needs to get there, such as credentials.

    >>> cellar = Cellar.init("memory://doc")
    >>> cellar.racks()
    []
    """

    def __init__(
        self, url: str | os.PathLike[str] | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> None:
        given = os.fspath(url) if url is not None else os.environ.get("CELLAR_URL", "")
        if not given:
            raise NoCellarGiven("which cellar? Give its URL, or set CELLAR_URL")
        self._options = dict(storage_options or {})
        self._store = open_store(given, self._options)
        self._claims: dict[str, Claim] = {}

    @classmethod
    def init(
        cls, url: str | os.PathLike[str] | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> Cellar:
        """Make a cellar, or find the one that is there; races the store's exclusive create for real first.

        Raises:
            NotExclusive: The store lets two callers create one object; no cellar can live there.
        """
        cellar = cls(url, storage_options)
        if not cellar._store.find(layout.FORMAT):
            cellar._store.probe()
            facts = {"schema": 1, "layout": LAYOUT, "cellar": uuid.uuid4().hex, "by": who()}
            cellar._store.create(layout.entry(layout.FORMAT, 1), json.dumps(facts).encode())
        cellar.id  # noqa: B018 - reads what stands there, whoever made it
        return cellar

    @property
    def url(self) -> str:
        """Where the cellar is."""
        return self._store.url

    def __repr__(self) -> str:
        return f"Cellar({self.url!r})"

    def __reduce__(self) -> tuple[type[Cellar], tuple[str, dict[str, Any]]]:
        return type(self), (self.url, self._options)

    @cached_property
    def id(self) -> str:
        """The cellar's own id; raises NotACellar, or NewerSchema if a newer release has changed its layout."""
        found = sorted(self._store.find(layout.FORMAT))
        if not found:
            raise NotACellar(f"there is no cellar at {self.url}; make one with: cellar init {self.url}")
        try:
            facts = [json.loads(self._store.read(key) or b"") for key in found]
            newest, cellar = int(facts[-1]["layout"]), str(facts[0]["cellar"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(
                f"{found[-1]} in {self.url} is no format of a cellar ({error}); restore it from a backup"
            ) from None
        if newest > LAYOUT:
            raise NewerSchema(
                f"{self.url} has layout {newest}, this release knows {LAYOUT}; upgrade cellar-flows"
            )
        return cellar

    @property
    def store(self) -> Store:
        """The store, once it is known that there is a cellar in it."""
        self.id  # noqa: B018 - raises where there is none
        return self._store

    # Names and rules

    def racks(self) -> list[Rack]:
        """All racks, by name."""
        return names.racks(self.store)

    def create_rack(self, rack: Rack | str) -> bool:
        """Make a rack and its ``config.toml``; returns whether it is new. Raises NameTaken."""
        return names.create_rack(self.store, Rack(rack))

    def config(self, rack: Rack | str) -> RackConfig:
        """The rules and policy of a rack; raises InvalidConfig, which names the file and the key in it."""
        key = layout.config(Rack(rack))
        return RackConfig.parse(self.store.read(key) or b"", key, Rack(rack))

    # Register

    def register_base(
        self,
        rack: Rack | str,
        path: str | os.PathLike[str],
        *,
        bump: Bump | str | None = None,
        version: BaseVersion | str | None = None,
        after: BaseVersion | str | None = None,
        recipe: Recipe | Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        notes: str = "",
        again: str = "",
        origin: Origin | None = None,
        holder: str | None = None,
    ) -> Registered:
        """Register a directory as a new version of a rack's base; the first one makes the rack.

        The same content with the same recipe is the same version, so a retry never makes a second one.

        Args:
            rack: The rack.
            path: The directory.
            bump: ``minor`` (``Y`` rises: the application needs no change) or ``major`` (``X`` rises: it does).
            version: This number and no other; instead of *bump*.
            after: Only if this is still the newest version of its line; the bump is then on that line.
            recipe: What it was trained with.
            metrics: Instead of what the rack's ``result_file`` in the directory says.
            notes: Free text.
            again: Why the same content shall have a new number.
            origin: Where it comes from; found out if None.
            holder: The orchestrator's task, the same for each try: its first try decides the line of the bump.

        Raises:
            InvalidPayload, BrokenRules, ContractChanged, BumpConflict, VersionTaken, ForeignFiles, Yanked: see
                there; nothing was registered, trying again does not help.
            SourceChanged: A file changed meanwhile; nothing was registered, trying again helps.
        """
        rack = Rack(rack)
        if (bump is None) == (version is None):
            raise BaseMismatch("give either bump= (minor or major) or an exact version=, such as 1.0")
        kind = Bump(bump) if bump is not None else None
        recipe = _recipe(recipe)
        if recipe.pretrained and not self.exists(recipe.pretrained):
            raise NoSuchVersion(f"the recipe's pretrained base {recipe.pretrained} does not exist")
        payload = scan(path)
        created = self.create_rack(rack)
        config = self.config(rack)
        draft = Draft(
            model=rack.base,
            payload=payload,
            recipe=recipe,
            bump=kind,
            version=BaseVersion(version) if version is not None else None,
            again=again,
            metrics=_metrics(config, payload) if metrics is None else metrics,
            notes=notes,
            origin=origin or _origin(),
        )
        seen = BaseVersion(after) if after is not None else None

        def spot() -> Spot:
            if draft.version:
                return Spot(Line(draft.model, (draft.version.major,)))
            bases = self._catalog(draft.model).bases(draft.model)
            chosen = bumping.spot(draft.model, bases, kind or Bump.MINOR, seen)
            if holder and seen is None:
                chosen = bumping.pin(self.store, chosen, kind or Bump.MINOR, holder)
            self._check_contract(config, chosen.line, bases, payload)
            return chosen

        notices = (f"created rack {rack}; its rules and policy: {layout.config(rack)}",) if created else ()
        return self._register(draft, config, spot, notices)

    def register_project(
        self,
        model: Model | str,
        path: str | os.PathLike[str],
        *,
        base: Ref | str,
        version: ProjectVersion | str | None = None,
        recipe: Recipe | Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        notes: str = "",
        again: str = "",
        origin: Origin | None = None,
        request: str | None = None,
    ) -> Registered:
        """Register a directory as a new version of a project's model, made from *base*.

        Args:
            model: The project's model.
            path: The directory.
            base: The ref of the base that it was fine-tuned from; the version is the next ``Z`` on it.
            version: This number and no other.
            recipe: What it was trained with.
            metrics: Instead of what the rack's ``result_file`` in the directory says.
            notes: Free text.
            again: Why the same content shall have a new number.
            origin: Where it comes from; found out if None.
            request: The rebuild that it is of.

        Raises:
            BaseMismatch: *base* is no base of the same rack, or not the one that *version* names.
            NoSuchVersion, Yanked: *base* does not exist, or was yanked.
            InvalidPayload, BrokenRules, VersionTaken, ForeignFiles, Superseded: see there. None of these is
                helped by trying again, and nothing was registered.
            SourceChanged: A file changed meanwhile; nothing was registered, trying again helps.
        """
        model, base = _project(model), Ref(base)
        exact = ProjectVersion(version) if version is not None else None
        parent = self._parent(model, base, exact)
        payload = scan(path)
        config = self.config(model.rack)
        names.keep_spelling(self.store, model)
        draft = Draft(
            model=model,
            payload=payload,
            recipe=_recipe(recipe),
            parent=parent,
            version=exact,
            request=request,
            again=again,
            metrics=_metrics(config, payload) if metrics is None else metrics,
            notes=notes,
            origin=origin or _origin(),
        )
        line = Line.on(model, BaseVersion(str(base.version)))
        return self._register(draft, config, lambda: Spot(line), ())

    def _register(
        self, draft: Draft, config: RackConfig, spot: Callable[[], Spot], notices: tuple[str, ...]
    ) -> Registered:
        config.check(draft.payload.files)
        record, created = self._registrar.register(draft, spot)
        if not created and self._catalog(record.ref).yanked(record.ref):
            raise Yanked(
                f"this content is already {record.ref}, which was yanked; give again= to number it once more"
            )
        if not created:
            notices = (*notices, f"the same content and recipe were already {record.ref}")
        return Registered(ref=record.ref, record=record, created=created, notices=notices)

    @property
    def _registrar(self) -> Registrar:
        return Registrar(self.store, self._claims)

    def _parent(self, model: Model, base: Ref, exact: ProjectVersion | None = None) -> Parent:
        if not base.model.is_base:
            raise BaseMismatch(
                f"{base} is a project's model: nothing is ever tuned from a tuned model; name a base"
            )
        if base.rack != model.rack:
            raise BaseMismatch(f"{base} is of rack {base.rack}, but {model} is of {model.rack}")
        if exact and exact.base != base.version:
            raise BaseMismatch(
                f"version {exact} says that it was made from base {exact.base}, not from {base}"
            )
        names.require_rack(self.store, model.rack)
        record = self._record(base)
        if self._catalog(base).yanked(base):
            raise Yanked(f"{base} was yanked; make {model} from another base: cellar ls {base.rack}")
        return Parent(ref=base, tree=record.tree)

    def _check_contract(
        self, config: RackConfig, line: Line, bases: Sequence[BaseVersion], payload: Payload
    ) -> None:
        same = [version for version in bases if line.number(version) is not None]
        if same and line.stem[0] > 0 and config.artifact.contract_files:
            bumping.check_contract(config.artifact, self._record(line.model.at(min(same))), payload.files)

    # Look

    def exists(self, ref: Ref | str) -> bool:
        """Whether a version exists, yanked or not."""
        data = self.store.read(layout.record(Ref(ref)))
        return data is not None and len(data) > TOMBSTONE_MOST

    def models(self, rack: Rack | str) -> list[Model]:
        """The models of a rack that have a version, base first."""
        names.require_rack(self.store, Rack(rack))
        catalog = self._catalog(Rack(rack))
        return [model for model in catalog.models if any(True for _ in catalog.descending(model))]

    def versions(self, model: Model | str) -> list[Ref]:
        """The versions of a model, ascending; yanked ones too."""
        model = Model(model)
        return [model.at(version) for version in self._catalog(model).versions(model)]

    def records(self, model: Model | str) -> list[Record]:
        """The records of a model, ascending."""
        return [self._record(ref) for ref in self.versions(model)]

    def resolve(self, selector: Selector | Model | Ref | str) -> Record:
        """The record of the version that *selector* means.

        An exact ref is found even if it was yanked; nothing else chooses a yanked version, or one on a yanked base.

        Raises:
            InvalidRef, InvalidVersion: *selector* is none.
            NoSuchVersion: Nothing fits; the message lists what exists.
        """
        wanted = selector if isinstance(selector, Selector) else Selector(str(selector))
        if isinstance(wanted.choice, BaseVersion | ProjectVersion):
            return self._record(wanted.model.at(wanted.choice))
        catalog = self._catalog(wanted.model)
        eligible = [v for v in catalog.versions(wanted.model) if catalog.eligible(wanted.model.at(v))]
        aliased = (
            self._aliased(wanted.model, wanted.choice.name) if isinstance(wanted.choice, Alias) else None
        )
        if aliased and aliased not in eligible:
            raise Yanked(
                f"{wanted} is {wanted.model.at(aliased)}, which was yanked or stands on a yanked base; move the alias"
            )
        if not eligible:
            names.require_rack(self.store, wanted.model.rack)
        return self._record(wanted.model.at(choose(wanted, eligible, aliased)))

    def pull(self, selector: Selector | Model | Ref | str, path: str | os.PathLike[str]) -> Path:
        """Copy a version's files to *path*, verified, whole or not at all; returns where they are.

        Raises:
            TargetExists: *path* exists and is not empty.
            PayloadMissing, PayloadCorrupt: The stored files are not what was registered.
        """
        return fetch.pull(self.store, self.resolve(selector), Path(path))

    def verify(self, selector: Selector | Model | Ref | str) -> Record:
        """Digest a version's stored files and return its record; raises PayloadMissing or PayloadCorrupt."""
        record = self.resolve(selector)
        fetch.verify(self.store, record)
        return record

    def _catalog(self, of: Rack | Model | Ref) -> Catalog:
        if isinstance(of, Ref):
            return Catalog(self.store.find(layout.yank_log(of)))
        if isinstance(of, Rack) or of.is_base:
            return Catalog(self.store.find(layout.records(of)))
        # A project's version stands only as long as its base does.
        mine, bases = self.store.find(layout.records(of)), self.store.find(layout.records(of.rack.base))
        return Catalog({**mine, **bases})

    def _record(self, ref: Ref) -> Record:
        if record := self._registrar.read(ref):
            return record
        names.require_rack(self.store, ref.rack)
        there = listing(one.version for one in self.versions(ref.model))
        raise NoSuchVersion(f"there is no {ref}; versions of {ref.model}: {there}")

    # Decide

    def alias(self, model: Model | str, name: str, version: Version | str) -> Ref:
        """Let *name* mean *version* of *model* from now on; what it meant before stays in its log.

        Raises:
            InvalidRef, NoSuchVersion, Yanked: see there.
            ChangedMeanwhile: Somebody else moved the alias at the same moment.
        """
        model = Model(model)
        ref = self._record(model.at(version)).ref
        if self._catalog(ref).yanked(ref):
            raise Yanked(f"{ref} was yanked; no alias can mean it")
        log = layout.alias_log(model, alias_name(name))
        entry = Entry.model_validate({"version": str(ref.version)})
        append(self.store, log, last_number(self.store, log) + 1, entry)
        return ref

    def aliases(self, model: Model | str) -> dict[str, Ref]:
        """What each alias of a model means."""
        model = Model(model)
        prefix = layout.alias_log(model, "")[:-1]
        found = sorted({key.removeprefix(prefix).partition("/")[0] for key in self.store.find(prefix)})
        return {name: model.at(version) for name in found if (version := self._aliased(model, name))}

    def _aliased(self, model: Model, name: str) -> Version | None:
        log = layout.alias_log(model, name)
        if not (number := last_number(self.store, log)):
            return None
        key = layout.entry(log, number)
        entry = Entry.from_bytes(self.store.read(key) or b"", key)
        return model.version(str((entry.model_extra or {}).get("version")))

    def yank(self, ref: Ref | str, why: str) -> None:
        """Let no selector choose a version any more, and no project be built from it; its exact ref still reads."""
        self._turn_yank(Ref(ref), why, yanked=True)

    def unyank(self, ref: Ref | str, why: str) -> None:
        """Take a yank back."""
        self._turn_yank(Ref(ref), why, yanked=False)

    def _turn_yank(self, ref: Ref, why: str, *, yanked: bool) -> None:
        self._record(ref)
        catalog = self._catalog(ref)
        if catalog.yanked(ref) is not yanked:
            append(self.store, layout.yank_log(ref), catalog.yanks(ref) + 1, Entry(why=why))

    def approve(self, base: Ref | str, project: str | None = None, why: str = "") -> None:
        """Let projects move to *base* (for a new ``X``: to any base of that ``X``), all of them or one.

        SPEC: "When the major version `X` is changed, … application-side engineers need to perform integration tests":
        this says that they have.
        """
        base = self._record(Ref(base)).ref
        if not base.model.is_base:
            raise BaseMismatch(f"{base} is no base; approve the base that projects are to move to")
        name = base.rack.project(project).project if project else base.project
        log = layout.approval_log(base.rack, name, BaseVersion(str(base.version)))
        append(self.store, log, last_number(self.store, log) + 1, Entry(why=why))

    # Rebuild

    def plan(self, rack: Rack | str, now: datetime | None = None) -> Plan:
        """What must be rebuilt in a rack and what not, each with its reason; reads, and changes nothing."""
        rack, now = Rack(rack), now or datetime.now(UTC)
        names.require_rack(self.store, rack)
        config = self.config(rack)
        return plan(state.load(self.store, self.id, rack, config, now), config, now)

    def retrain(
        self,
        model: Model | str,
        train: Train,
        *,
        base: Ref | Selector | str | None = None,
        recipe: Recipe | Mapping[str, Any] | None = None,
        request: str | None = None,
        notes: str = "",
        origin: Origin | None = None,
        timeout: float | None = None,
        workdir: str | os.PathLike[str] | None = None,
        on_progress: Callable[[float, Mapping[str, float]], None] = lambda fraction, metrics: None,
        on_output: Callable[[str], None] = lambda line: None,
    ) -> Registered:
        """Fine-tune a project's model from its base, from scratch, and register it.

        Args:
            model: The project's model.
            train: A callable that takes a RetrainJob, ``"pkg.mod:name"``, or a command as a list of words.
            base: Which base to start from: a ref or a selector; the newest that the project follows if None.
            recipe: What to train with; that of ``config.toml``, or else of the project's last version, if None.
            request: The rebuild that it is of.
            notes: Free text for the record.
            origin: Where it comes from; found out if None.
            timeout: How many seconds a command may take.
            workdir: Where temporary files may lie; base and result must fit there.
            on_progress: Called with the fraction done and numbers, as the training tells them.
            on_output: Called with each line that a command prints.

        Raises:
            TrainerFailed, TrainerTimeout: Trying again may help.
            EmptyOutput, BaseTouched, BrokenRules, UnknownTrainer: Trying again does not help.
            All that register_project raises. No version is left behind by any of them.
        """
        model = _project(model)
        trainer = as_trainer(train, timeout=timeout, on_output=on_output)
        start = self.resolve(base).ref if base is not None else self._followed(model)
        self._parent(model, start)
        recipe = _recipe(recipe) if recipe is not None else self._last_recipe(model)
        with workshop(workdir) as directory:
            job = RetrainJob(
                model=model,
                base=start,
                base_dir=fetch.pull(self.store, self._record(start), directory / "base"),
                output_dir=directory / "output",
                recipe=recipe,
                on_progress=on_progress,
            )
            run_training(trainer, job)
            return self.register_project(
                model, job.output_dir, base=start, recipe=recipe, request=request, notes=notes, origin=origin
            )

    def rebuild(
        self,
        planned: Rebuild | Mapping[str, Any],
        train: Train,
        *,
        holder: str,
        last_try: bool = True,
        **training: Any,
    ) -> Rebuilt:
        """Run one rebuild that a plan asked for; whoever else runs it too, at most one version comes of it.

        Args:
            planned: From ``plan``, or its JSON.
            train: As for retrain.
            holder: Who runs it, the same for each try: scheduler, run, task and map index.
            last_try: Whether nobody will try again by itself if this fails; only then is the failure remembered.
            training: Further keywords of retrain.

        Raises:
            What retrain raises. With *last_try*, plans then skip the project until somebody asks, or its recipe or
            the rack's rules change.
        """
        todo = planned if isinstance(planned, Rebuild) else Rebuild.model_validate(planned)
        line = Line.on(todo.model, BaseVersion(str(todo.base.version)))
        found = self._registrar.find_request
        if record := found(line, todo.request):
            return Rebuilt.of("already", record)
        wanted = self._wanted(todo.model)
        if isinstance(wanted, Skip) or wanted.base != todo.base.version:
            now = wanted.sentence if isinstance(wanted, Skip) else f"base {wanted.base} is wanted by now"
            return Rebuilt(outcome="skipped", model=todo.model, detail=f"not wanted any more: {now}")
        return rebuild.attempt(
            self.store,
            todo,
            holder,
            lambda: (
                self.retrain(
                    todo.model, train, base=todo.base, recipe=todo.recipe, request=todo.request, **training
                ).record
            ),
            found=lambda: found(line, todo.request),
            policy=self.config(todo.model.rack).digest(todo.model),
            last_try=last_try,
        )

    def ask(self, model: Model | str, why: str) -> Attempt:
        """Ask for another attempt at a rebuild that failed; raises NotAskable if none did."""
        model = _project(model)
        return rebuild.ask(self.store, self.plan(model.rack), model, why)

    def take_over(self, model: Model | str, why: str) -> Attempt:
        """Declare the holder of a rebuild gone, whose scheduler cannot be asked; the next plan has the work again."""
        model = _project(model)
        return self.mark_lost(rebuild.skip_of(self.plan(model.rack), model), why)

    def mark_lost(self, skip: Skip, why: str) -> Attempt:
        """Write down that the holder of a rebuild in progress (from a plan) has ended without a word."""
        return rebuild.mark_lost(self.store, skip, why)

    def _wanted(self, model: Model) -> Want | Skip:
        config, now = self.config(model.rack), datetime.now(UTC)
        outline = state.outline(self.store, self.id, model.rack, config)
        projects = {project.model: project for project in outline.projects}
        return want(outline, config, projects.get(model, state.unknown(model)), now)

    def _followed(self, model: Model) -> Ref:
        wanted = self._wanted(model)
        base = model.rack.base.at(wanted.base) if isinstance(wanted, Want) else wanted.base
        if base is None:
            raise NoSuchVersion(f"{model} has no base to start from: {wanted.sentence}")
        return base

    def _last_recipe(self, model: Model) -> Recipe:
        if (recipe := self.config(model.rack).project(model).recipe) is not None:
            return recipe
        newest = next(self._catalog(model).descending(model), None)
        return self._record(model.at(newest)).recipe if newest else Recipe()


def _project(model: Model | str) -> Model:
    model = Model(model)
    if model.is_base:
        raise BaseMismatch(f"{model} is a base; name a project's model, such as {model.rack}/projectA")
    return model


def _recipe(recipe: Recipe | Mapping[str, Any] | None) -> Recipe:
    try:
        return Recipe.model_validate(recipe or {})
    except ValidationError as error:
        raise InvalidRecipe(f"the recipe is not valid: {problems(error)}") from None


def _metrics(config: RackConfig, payload: Payload) -> Mapping[str, Any]:
    """What the rack's result file in the directory says; nothing if there is none."""
    file = payload.root / config.document.result_file
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise InvalidPayload(
            f"{file} is no JSON ({error}); metrics are read from it (config.toml: document.result_file)"
        ) from None
    return found if isinstance(found, dict) else {"result": found}


def _origin() -> Origin:
    return Origin(commit=_commit(), python=platform.python_version())


def _commit() -> str | None:
    """The git commit of the directory that this process runs in, if it is in a repository."""
    if not any((parent / ".git").exists() for parent in (Path.cwd(), *Path.cwd().parents)):
        return None
    try:
        words = ["git", "rev-parse", "HEAD"]
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
