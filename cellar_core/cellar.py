"""Cellar: what a user holds. Each method is a few lines; the rules lie in the modules that it calls."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellar_core import admit, alias, approval, fetch, gc, layout, lookup, names, origin, rebuild, state, yank
from cellar_core.alias import AliasEntry
from cellar_core.attempt import Attempt
from cellar_core.catalog import Catalog
from cellar_core.choose import NoSuchVersion
from cellar_core.copy import Copied
from cellar_core.copy import copy as copy_racks
from cellar_core.doctor import Diagnosis, examine
from cellar_core.errors import CellarError, listing
from cellar_core.gc import Collected
from cellar_core.line import Line
from cellar_core.payload import Output, Payload, scan
from cellar_core.plan import Plan, Rebuild, plan
from cellar_core.progress import Progress
from cellar_core.rack import RackConfig
from cellar_core.rebuild import Rebuilt
from cellar_core.record import Claim, NewerSchema, Origin, Recipe, Record, Unreadable, who
from cellar_core.ref import Model, Rack, Ref, Selector, Version
from cellar_core.register import Draft, Registrar, Spot
from cellar_core.retrain import train as run_training
from cellar_core.retrain import workshop
from cellar_core.store import FileSystem, ReadOnlyStore, Store, open_store
from cellar_core.trainer import RetrainJob, Train, as_trainer
from cellar_core.value import Value
from cellar_core.version import BaseVersion, Bump, ProjectVersion
from cellar_core.want import Skip, Want, want
from cellar_core.yank import Yank

if TYPE_CHECKING:
    from fsspec.callbacks import Callback

__all__ = ["Cellar", "NoBumpGiven", "NoCellarGiven", "NotACellar", "Registered"]

LAYOUT = 1
"""The newest layout of ``.cellar/`` that this release reads and writes."""


class NoCellarGiven(CellarError, ValueError):
    """Neither a URL nor CELLAR_URL says which cellar is meant."""


class NotACellar(CellarError):
    """There is no cellar at the URL; make one with ``cellar init``."""


class NoBumpGiven(CellarError, ValueError):
    """Neither a bump nor an exact version, or both, say which number a base shall get."""


class Registered(Value):
    """The answer of a registration.

    Attributes:
        ref: The version.
        record: Its record.
        created: Whether this call made it; False if the same content from the same recipe was there already.
        notices: Sentences worth telling, such as that a rack was made.
    """

    ref: Ref
    record: Record
    created: bool
    notices: tuple[str, ...] = ()


class Cellar:
    """A model registry at one URL. Making this object touches nothing; it survives forks, threads and pickling.

    Args:
        url: A path, ``file://…`` or ``memory://…``; ``CELLAR_URL`` from the environment if None.
        storage_options: What fsspec needs to get there, such as credentials.
        filesystem: What makes a bucket's fsspec file system out of them, in each process anew; must be a function
            that can be pickled. Fsspec itself if None.
        read_only: Refuse everything that would write with ReadOnly, whatever the credentials allow.

    >>> cellar = Cellar.init("memory://doc")
    >>> cellar.racks()
    []
    """

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        *,
        filesystem: FileSystem | None = None,
        read_only: bool = False,
    ) -> None:
        given = os.fspath(url) if url is not None else os.environ.get("CELLAR_URL", "")
        if not given:
            raise NoCellarGiven("which cellar? Give its URL, or set CELLAR_URL")
        self._options = dict(storage_options or {})
        self._keywords: dict[str, Any] = {"filesystem": filesystem, "read_only": read_only}
        store = open_store(given, self._options, filesystem)
        self._store = ReadOnlyStore(store) if read_only else store
        self._claims: dict[str, Claim] = {}
        self._id: str | None = None

    @classmethod
    def init(
        cls, url: str | os.PathLike[str] | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> Cellar:
        """Make a cellar, or find the one that is there; races the store's exclusive create for real first.

        Raises:
            NotExclusive: The store lets two callers create one object; no cellar can live there.
        """
        cellar = cls(url, storage_options)
        if not cellar._formats():
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

    def __reduce__(self) -> tuple[Callable[..., Cellar], tuple[str, dict[str, Any]]]:
        return partial(type(self), **self._keywords), (self.url, self._options)

    @property
    def id(self) -> str:
        """The cellar's own id; raises NotACellar, or NewerSchema if a newer release has changed its layout."""
        # Not a cached_property: up to Python 3.11 all objects of the class would share its lock, also over a fork.
        if self._id is None:
            self._id = self._read_id()
        return self._id

    def _formats(self) -> list[str]:
        return sorted(key for key in self._store.find(layout.FORMAT) if layout.entry_number(key))

    def _read_id(self) -> str:
        found = self._formats()
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
        """Make a rack, its ``config.toml``, and the ``README.md`` and ``template.md`` that ml-cellar gives one too.

        Files that are there stay as they are. The first base of a rack makes it too, without these two.

        Returns:
            Whether it is new.

        Raises:
            NameTaken: A rack lies above or below it.
        """
        new = names.create_rack(self.store, rack := Rack(rack))
        names.furnish(self.store, rack)
        return new

    def config(self, rack: Rack | str) -> RackConfig:
        """The rules and policy of a rack; raises InvalidConfig, which names the file and the key in it."""
        key = layout.config(Rack(rack))
        if (data := self._store.read(key)) is None:
            self.id  # noqa: B018 - raises where there is no cellar
        return _parsed(data or b"", key, Rack(rack))

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
        callback: Callback | None = None,
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
            origin: Where it comes from; what it leaves open is found out.
            holder: The orchestrator's task, the same for each try: its first try decides the line of the bump.
            callback: Fsspec's, told how many bytes are done; lines in the log every few seconds if None.

        Raises:
            InvalidPayload, BrokenRules, ContractChanged, BumpConflict, VersionTaken, ForeignFiles, Yanked: see
                there; nothing was registered, trying again does not help.
            SourceChanged: A file changed meanwhile; nothing was registered, trying again helps.
        """
        rack = Rack(rack)
        if (bump is None) == (version is None) or bump not in (None, *Bump):
            raise NoBumpGiven(
                "give either bump= (minor or major) or an exact version=, such as 1.0; "
                f"not bump={bump!r}, version={version!r}"
            )
        if version is not None and after is not None:
            raise NoBumpGiven(f"after={after} goes with a bump=; version={version} says exactly which number")
        seen = BaseVersion(after) if after is not None else None
        progress = Progress(callback)
        draft = Draft(
            model=rack.base,
            payload=_scan(path, rack.base, progress),
            recipe=admit.recipe(recipe),
            bump=Bump(bump) if bump is not None else None,
            version=BaseVersion(version) if version is not None else None,
            again=again,
            metrics=metrics,
            notes=notes,
            origin=origin,
        )
        if draft.recipe.pretrained:
            lookup.record(self.store, draft.recipe.pretrained)
        if seen:
            names.require_rack(self.store, rack)
        return self._register(
            draft, lambda config: admit.base_spot(self.store, draft, config, seen, holder), progress
        )

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
        callback: Callback | None = None,
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
            origin: Where it comes from; what it leaves open is found out.
            request: The rebuild that it is of.
            callback: Fsspec's, told how many bytes are done; lines in the log every few seconds if None.

        Raises:
            BaseMismatch: *base* is no base of the same rack, or not the one that *version* names.
            NoSuchVersion, Yanked: *base* does not exist, or was yanked.
            InvalidPayload, BrokenRules, VersionTaken, ForeignFiles, Superseded: see there. None of these is
                helped by trying again, and nothing was registered.
            SourceChanged: A file changed meanwhile; nothing was registered, trying again helps.
        """
        model, base = admit.project(model), Ref(base)
        exact = ProjectVersion(version) if version is not None else None
        parent = admit.parent(self.store, model, base, exact)
        progress = Progress(callback)
        draft = Draft(
            model=model,
            payload=_scan(path, model, progress),
            recipe=admit.recipe(recipe),
            parent=parent,
            version=exact,
            request=request,
            again=again,
            metrics=metrics,
            notes=notes,
            origin=origin,
        )
        return self._register(draft, _next_on(base, model), progress)

    def _register(self, draft: Draft, spot: Callable[[RackConfig], Spot], progress: Progress) -> Registered:
        config = self.config(draft.model.rack)
        config.check(draft.payload.files)
        found = admit.metrics(config, draft.payload, draft.metrics)
        draft = replace(draft, metrics=found, origin=origin.complete(draft.origin))
        notices = self._name(draft.model)  # only now: what is refused leaves no name behind
        progress.begin(draft.model, "sent", draft.payload.size)
        record, created = self._registrar.register(draft, lambda: spot(config), progress.add)
        if not created:
            hint = "it is this very content; give again= to number it once more"
            lookup.refuse_yanked(self.store, record.ref, hint)
            notices = (*notices, f"the same content and recipe were already {record.ref}")
        return Registered(ref=record.ref, record=record, created=created, notices=notices)

    def _name(self, model: Model) -> tuple[str, ...]:
        """Give *model* its name, and its rack if it is a base; what is worth telling of that."""
        if not model.is_base:
            names.keep_spelling(self.store, model)
        elif names.create_rack(self.store, model.rack):
            return (
                f"created rack {model.rack}; its rules and policy: {self.url}/{layout.config(model.rack)}",
            )
        return ()

    @property
    def _registrar(self) -> Registrar:
        return Registrar(self.store, self._claims)

    # Look

    def exists(self, ref: Ref | str) -> bool:
        """Whether a version exists, yanked or not."""
        return lookup.read(self.store, Ref(ref)) is not None

    def models(self, rack: Rack | str) -> list[Model]:
        """The models of a rack that have a version, base first."""
        rack = Rack(rack)
        names.require_rack(self.store, rack)
        return Catalog(self.store.find(layout.records(rack))).models

    def versions(self, model: Model | str) -> list[Ref]:
        """The versions of a model, ascending; yanked ones too."""
        model = Model(model)
        return [model.at(version) for version in lookup.catalog(self.store, model).versions(model)]

    def records(self, model: Model | str) -> list[Record]:
        """The records of a model, ascending; one read for each."""
        return [lookup.record(self.store, ref) for ref in self.versions(model)]

    def resolve(self, selector: Selector | Model | Ref | str) -> Record:
        """The record of the version that *selector* means.

        An exact ref is found even if it was yanked; nothing else chooses a yanked version, or one on a yanked base.

        Raises:
            InvalidRef, InvalidVersion: *selector* is none.
            NoSuchVersion: Nothing fits; the message lists what exists.
            Yanked: An alias means a version that was yanked.
        """
        try:
            return lookup.resolve(self._store, Selector(str(selector)))
        except LookupError:
            self.id  # noqa: B018 - raises where there is no cellar
            raise

    def pull(
        self,
        selector: Selector | Model | Ref | str,
        path: str | os.PathLike[str],
        *,
        callback: Callback | None = None,
    ) -> Path:
        """Copy a version's files to *path*, verified, whole or not at all; returns where they are.

        From afar, each file comes to this machine once: the cache that all processes here share keeps it
        (``CELLAR_CACHE_SIZE``, such as ``200GB``, says how large that may grow; 0 switches it off).

        Args:
            selector: Which version.
            path: A directory that is not there yet, or is empty.
            callback: Fsspec's, told how many bytes are done; lines in the log every few seconds if None.

        Raises:
            TargetExists: *path* exists and is not empty.
            PayloadMissing, PayloadCorrupt: The stored files are not what was registered.
        """
        return self._pull(self.resolve(selector), Path(path), Progress(callback))

    def _pull(self, record: Record, path: Path, progress: Progress) -> Path:
        progress.begin(record.ref, "fetched", sum(file.size for file in record.files))
        return fetch.pull(self.store, record, path, progress.add)

    def verify(self, selector: Selector | Model | Ref | str, *, callback: Callback | None = None) -> Record:
        """Digest a version's stored files and return its record; raises PayloadMissing or PayloadCorrupt."""
        record, progress = self.resolve(selector), Progress(callback)
        progress.begin(record.ref, "verified", sum(file.size for file in record.files))
        fetch.verify(self.store, record, progress.add)
        return record

    # Decide

    def alias(self, model: Model | str, name: str, version: Version | str, why: str = "") -> Ref:
        """Let *name* mean *version* of *model* from now on; what it meant before, and *why*, stays in its log.

        Raises:
            InvalidRef, NoSuchVersion, Yanked: see there.
            ChangedMeanwhile: Somebody else moved the alias at the same moment.
        """
        record = lookup.record(self.store, Model(model).at(version))
        lookup.refuse_yanked(
            self.store, record.ref, f"no alias can mean it; choose another: cellar ls {model}"
        )
        alias.point(self.store, record, name, why)
        return record.ref

    def withdraw(self, ref: Ref | str, name: str) -> Ref | None:
        """Let alias *name* mean again what it meant before it meant *ref*; returns that, or None if it was nothing.

        *ref* itself stays a version. If the alias means another one by now, nothing is done.

        Raises:
            ChangedMeanwhile: Somebody else moved the alias at the same moment.
        """
        return alias.withdraw(self.store, Ref(ref), name)

    def aliases(self, model: Model | str) -> dict[str, Ref]:
        """What each alias of a model means."""
        return alias.aliases(self.store, Model(model))

    def alias_history(self, model: Model | str, name: str) -> list[AliasEntry]:
        """What an alias of a model has meant: an entry for each move, the oldest first."""
        return alias.history(self.store, Model(model), name)

    def yanks(self, ref: Ref | str) -> tuple[Yank, ...]:
        """Why no selector chooses a version: that it was yanked, or the base it stands on, by whom and when."""
        return yank.find(self.store, Ref(ref))

    def yank(self, ref: Ref | str, why: str) -> bool:
        """Let no selector choose a version any more, and no project be built from it; its exact ref still reads.

        Returns:
            Whether it was not yanked before.
        """
        return yank.turn(self.store, lookup.record(self.store, Ref(ref)).ref, why, yanked=True)

    def unyank(self, ref: Ref | str, why: str) -> bool:
        """Take a yank back; returns whether there was one."""
        return yank.turn(self.store, lookup.record(self.store, Ref(ref)).ref, why, yanked=False)

    def approve(self, base: Ref | str, project: str | None = None, why: str = "") -> None:
        """Let projects move to *base* (for a new ``X``: to any base of that ``X``), all of them or one.

        SPEC: "When the major version `X` is changed, … application-side engineers need to perform integration tests":
        this says that they have.

        Raises:
            BaseMismatch: *base* is no base.
            NoSuchVersion: It does not exist, or *project* has no version and no policy.
        """
        ref = lookup.record(self.store, Ref(base)).ref
        if (
            project
            and project not in self.config(ref.rack).projects
            and not self.versions(ref.rack.project(project))
        ):
            known = listing(model.project for model in self.models(ref.rack) if not model.is_base)
            raise NoSuchVersion(f"{ref.rack} has no project {project!r}; there is: {known}")
        approval.approve(self.store, ref, project, why)

    # Rebuild

    def plan(self, rack: Rack | str, now: datetime | None = None) -> Plan:
        """What must be rebuilt in a rack and what not, each with its reason; reads, and changes nothing."""
        rack, now = Rack(rack), now or datetime.now(UTC)
        config = self.config(rack)
        found, wanted = state.load(self._store, lambda: self.id, rack, config, now)
        if not found.bases:
            names.require_rack(self.store, rack)
        return plan(found, config, wanted)

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
        callback: Callback | None = None,
    ) -> Registered:
        """Fine-tune a project's model from its base, from scratch, and register it.

        Beside what is listed below it raises all that register_project does. None of it leaves a version behind.

        Args:
            model: The project's model.
            train: A callable that takes a RetrainJob, ``"pkg.mod:name"``, or a command as a list of words.
            base: Which base to start from: a ref or a selector; the newest that the project follows if None.
            recipe: What to train with; that of ``config.toml``, or else of the project's last version, if None.
            request: The rebuild that it is of.
            notes: Free text for the record.
            origin: Where it comes from; found out if None.
            timeout: How many seconds a command may take.
            workdir: Where base and result lie meanwhile; ``TMPDIR`` if None, or else, if the cellar is on a disk
                here, that disk: then the result is not copied but moved.
            on_progress: Called with the fraction done and numbers, as the training tells them.
            on_output: Called with each line that a command prints.
            callback: Fsspec's, told how many bytes are done; lines in the log every few seconds if None.

        Raises:
            TrainerFailed, TrainerTimeout: Trying again may help.
            EmptyOutput, BaseTouched, BrokenRules, UnknownTrainer: Trying again does not help.
        """
        model = admit.project(model)
        if isinstance(self._store, ReadOnlyStore):
            self._store.refuse()  # now, and not when the training is done
        trainer = as_trainer(train, timeout=timeout, on_output=on_output)
        start = self.resolve(base).ref if base is not None else self._followed(model)
        admit.parent(self.store, model, start)
        recipe = admit.recipe(recipe) if recipe is not None else self._last_recipe(model)
        progress = Progress(callback)
        with workshop(self.store, workdir) as directory:
            job = RetrainJob(
                model=model,
                base=start,
                base_dir=self._pull(lookup.record(self.store, start), directory / "base", progress),
                output_dir=directory / "output",
                recipe=recipe,
                on_progress=on_progress,
            )
            run_training(trainer, job)
            draft = Draft(
                model=model,
                payload=Output.of(_scan(job.output_dir, model, progress)),
                recipe=recipe,
                parent=admit.parent(self.store, model, start),  # it may have been yanked meanwhile
                request=request,
                notes=notes,
                origin=origin,
            )
            return self._register(draft, _next_on(start, model), progress)

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

        Beside what is listed below it raises what retrain does. With *last_try*, plans then skip the project until
        somebody asks, or its recipe or the rack's rules change.

        Args:
            planned: From ``plan``, or its JSON.
            train: As for retrain.
            holder: Who runs it, the same for each try: scheduler, run, task and map index.
            last_try: Whether nobody will try again by itself if this fails; only then is the failure remembered.
            training: Further keywords of retrain.

        Raises:
            UnknownTrainer: *train* cannot train; nothing was begun.
            Yanked: The request has a version, and that was yanked.
        """
        todo = planned if isinstance(planned, Rebuild) else Rebuild.model_validate(planned)
        # Before anything is begun: a mistyped trainer is no failure of the project.
        how = {name: training[name] for name in ("timeout", "on_output") if name in training}
        trainer = as_trainer(train, **how)
        line = Line.on(todo.model, BaseVersion(str(todo.base.version)))

        def found() -> Record | None:
            record = self._registrar.find_request(line, todo.request)
            if record:
                hint = f"to build it once more: cellar rebuild {todo.model} --again WHY"
                lookup.refuse_yanked(self.store, record.ref, hint)
            return record

        def build() -> tuple[Record, bool]:
            done = self.retrain(
                todo.model, trainer, base=todo.base, recipe=todo.recipe, request=todo.request, **training
            )
            return done.record, done.created

        if record := found():
            return Rebuilt.of("already", record)
        wanted = self._wanted(todo.model)
        if isinstance(wanted, Skip) or wanted.base != todo.base.version:
            now = wanted.sentence if isinstance(wanted, Skip) else f"base {wanted.base} is wanted by now"
            return Rebuilt(outcome="skipped", model=todo.model, detail=f"not wanted any more: {now}")
        return rebuild.attempt(
            self.store,
            todo,
            holder,
            build,
            found=found,
            policy=self.config(todo.model.rack).digest(todo.model),
            last_try=last_try,
        )

    def ask(self, model: Model | str, why: str) -> Attempt:
        """Ask for another attempt at a rebuild that failed; raises NotAskable if none did."""
        model = admit.project(model)
        return rebuild.ask(self.store, self.plan(model.rack), model, why)

    def take_over(self, model: Model | str, why: str) -> Attempt:
        """Declare the holder of a rebuild gone, whose scheduler cannot be asked; the next plan has the work again."""
        model = admit.project(model)
        plan = self.plan(model.rack)
        held = next((skip for skip in plan.in_progress if skip.model == model), None)
        return self.mark_lost(held or rebuild.skip_of(plan, model), why)

    def mark_lost(self, skip: Skip, why: str) -> Attempt:
        """Write down that the holder of a rebuild in progress (from a plan) has ended without a word."""
        return rebuild.mark_lost(self.store, skip, why)

    def _wanted(self, model: Model) -> Want | Skip:
        config, now = self.config(model.rack), datetime.now(UTC)
        outline = state.outline(self.store, model.rack, config)
        projects = {project.model: project for project in outline.projects}
        return want(outline, config, projects.get(model, state.unknown(model)), now)

    def _followed(self, model: Model) -> Ref:
        names.require_rack(self.store, model.rack)
        wanted = self._wanted(model)
        base = model.rack.base.at(wanted.base) if isinstance(wanted, Want) else wanted.base
        if base is None:
            raise NoSuchVersion(f"{model} has no base to start from: {wanted.sentence}")
        return base

    def _last_recipe(self, model: Model) -> Recipe:
        if (recipe := self.config(model.rack).project(model).recipe) is not None:
            return recipe
        newest = self.versions(model)[-1:]
        return lookup.record(self.store, newest[0]).recipe if newest else Recipe()

    # Tend

    def gc(
        self,
        rack: Rack | str | None = None,
        *,
        patience: timedelta = gc.PATIENCE,
        now: datetime | None = None,
        void: Iterable[Ref | str] = (),
        dry_run: bool = False,
    ) -> Collected:
        """Void the numbers that somebody took and gave up, and free their bytes; no version is ever touched.

        Whether a number was given up is guessed: two looks at least *patience* apart, with no change under it between
        them. Each run is a look. An upload that goes on all the same fails cleanly, and starts again at a new number.
        Half-written files that are as old, and files at numbers that were void before, are deleted too.

        Args:
            rack: Only this rack; all of them if None.
            patience: How long nothing may have moved.
            now: The time; that of this machine's clock if None.
            void: Numbers that a person knows to be given up: they are voided at once, besides.
            dry_run: Tell what would be done, and do nothing.

        Raises:
            NotAbandoned: A number in *void* is a version, or nobody took it; nothing was done.
            NoSuchRack: There is no such rack.
        """
        if rack is not None:
            names.require_rack(self.store, rack := Rack(rack))
        refs, now = [Ref(ref) for ref in void], now or datetime.now(UTC)
        return gc.collect(self.store, rack, now=now, patience=patience, void=refs, dry_run=dry_run)

    def copy(
        self,
        target: Cellar | str | os.PathLike[str],
        racks: Iterable[Rack | str] | None = None,
        *,
        callback: Callback | None = None,
    ) -> Copied:
        """Copy racks into another cellar, on whichever store; what is there is skipped, so it may be killed and rerun.

        Versions keep their numbers, digests and lineage, and who made them and when; aliases, yanks and approvals are
        copied too. What only tells of work here is not: the logs of rebuilds, and uploads that go on. The target keeps
        an id of its own, so that an orchestrator does not take its rebuilds for those of this cellar.

        Args:
            target: The other cellar; one is made at a URL where none is.
            racks: Which racks; all of them if None.
            callback: Fsspec's, told how many bytes are done; lines in the log every few seconds if None.

        Raises:
            CopyConflict: The target has other content at a number that is used here; nothing was written, unless it
                was registered there meanwhile.
            CopyIncomplete: Some versions' files are missing here, or not what was registered; all others were copied.
            NoSuchRack: There is no such rack.
        """
        other = target if isinstance(target, Cellar) else Cellar.init(target)
        chosen = self.racks() if racks is None else sorted({Rack(rack) for rack in racks})
        for rack in chosen:
            names.require_rack(self.store, rack)
        return copy_racks(self.store, other.store, chosen, origin=self.id, progress=Progress(callback))

    def doctor(self) -> Diagnosis:
        """Look whether the store keeps its promises, whether all can be read, and what was left behind.

        The exclusive create is raced for real, which leaves a few tiny objects below ``.cellar/probe/``; else nothing
        is changed. What is wrong is told, with the next step, and never raised.
        """
        return examine(self)


_parsed = lru_cache(maxsize=1024)(RackConfig.parse)  # who polls reads the same text again and again


def _scan(path: str | os.PathLike[str], model: Model, progress: Progress) -> Payload:
    progress.begin(model, "digested")
    return scan(path, progress.add, progress.set_size)


def _next_on(base: Ref, model: Model) -> Callable[[RackConfig], Spot]:
    line = Line.on(model, BaseVersion(str(base.version)))
    return lambda config: Spot(line)
