"""What callers do: register, void what looks abandoned, rebuild, read. All of it is the real code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cellar_core import bump as bumping
from cellar_core import gc as collector
from cellar_core import layout, lookup, rebuild, state
from cellar_core.catalog import Catalog
from cellar_core.choose import NoSuchVersion
from cellar_core.errors import CellarError
from cellar_core.line import Line
from cellar_core.plan import Plan, Reason, plan
from cellar_core.rack import RackConfig
from cellar_core.record import Parent, Record
from cellar_core.ref import Model, Rack, Ref, Selector, Version
from cellar_core.register import Draft, Registrar, Spot
from cellar_core.store import Store
from cellar_core.version import BaseVersion, Bump
from tests.simulation.caller import Client, Program

__all__ = [
    "BASE", "CELLAR", "ONE", "PROJECT", "RACK", "REAL", "TRAINED",
    "Nothing", "Done", "Gave", "Planned", "Read", "Refused", "Rules", "Run",
    "gc", "plan_of", "read", "register", "run_rebuild", "trained", "void", "watch",
]  # fmt: skip

RACK = Rack("vit/vit-l")
BASE, PROJECT = RACK.base, RACK.project("projectA")
ONE = BASE.at("1.0")
CELLAR = "cellar"
CONFIG = RackConfig.parse(b"", layout.config(RACK), RACK)
TRAINED = "trained/"
"""Where trainings write, below it who had the work."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRIES = 10
"""How often a caller is tried again after an error that says that it helps."""


@dataclass(frozen=True)
class Rules:
    """The steps of the protocol: the real ones, unless a test has switched one off in its own copy."""

    registrar: type[Registrar] = Registrar
    client: type[Client] = Client
    draft: type[Draft] = Draft
    collect: Callable[[Client, Iterable[Ref]], None] = field(default=lambda *given: _collect(*given))
    attempt: Callable[..., rebuild.Rebuilt] = rebuild.attempt
    versions: Callable[[Client, Model], list[Version]] = field(default=lambda *given: _versions(*given))


REAL = Rules()


# How callers end


@dataclass(frozen=True)
class Done:
    """Registered."""

    draft: Draft
    record: Record
    created: bool

    def __str__(self) -> str:
        return f"{self.record.ref}, {'created' if self.created else 'was there'}"


@dataclass(frozen=True)
class Refused:
    """Nothing was registered."""

    error: CellarError

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class Gave:
    """Tried again and again, and was never done."""

    error: CellarError

    def __str__(self) -> str:
        return f"gave up: {type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class Read:
    """What a reader saw; *before* is what was committed before it began, by key."""

    before: frozenset[str]
    versions: tuple[Ref, ...]
    resolved: Record | None

    def __str__(self) -> str:
        return f"versions {', '.join(map(str, self.versions))}; newest {self.resolved and self.resolved.ref}"


@dataclass(frozen=True)
class Run:
    """A run of a rebuild, and the request that it was of."""

    request: str
    rebuilt: rebuild.Rebuilt

    def __str__(self) -> str:
        return f"{self.rebuilt.outcome}: {self.rebuilt.detail}"


@dataclass(frozen=True)
class Planned:
    """What a plan said."""

    plan: Plan

    def __str__(self) -> str:
        return f"{len(self.plan.rebuilds)} rebuilds; {', '.join(skip.reason for skip in self.plan.skips)}"


@dataclass(frozen=True)
class Nothing:
    """Ended, with nothing to tell."""

    def __str__(self) -> str:
        return "nothing more to do"


# Register


def register(
    name: str,
    rules: Rules,
    *,
    bump: Bump | None = None,
    version: Version | None = None,
    model: Model = PROJECT,
    parent: Parent | None = None,
    source: str,
) -> Program:
    """Register what lies in the caller's directory; again, if an error says that this helps."""

    def act(store: Client) -> object:
        registrar = rules.registrar(store)
        problem: CellarError | None = None
        for _ in range(TRIES):
            try:
                payload = store.scan(source)
                if not payload.files:
                    return Nothing()
                draft = rules.draft(model=model, payload=payload, parent=parent, bump=bump, version=version)
                record, created = registrar.register(draft, lambda: _spot(store, draft, holder=payload.tree))
                return Done(draft, record, created)
            except CellarError as error:
                if not error.retryable:
                    return Refused(error)
                problem = error
        assert problem
        return Gave(problem)

    return Program(name, act, rules.client)


def _spot(store: Client, draft: Draft, holder: str) -> Spot:
    """Which number: as the façade chooses it; tries of one bump are one holder, which keeps its line."""
    if draft.parent:
        return Spot(Line.on(draft.model, BaseVersion(str(draft.parent.ref.version))))
    if isinstance(draft.version, BaseVersion):
        return Spot(Line(draft.model, (draft.version.major,)))
    assert draft.bump
    bases = lookup.catalog(store, draft.model).bases(draft.model)
    return bumping.pin(store, bumping.spot(draft.model, bases, draft.bump), draft.bump, holder)


# Void


def gc(name: str, rules: Rules, model: Model = PROJECT, *, patient: bool = False) -> Program:
    """A garbage collection: a *patient* one looks twice; else a person takes all for abandoned that has no record."""

    def act(store: Client) -> object:
        for _ in range(TRIES):
            try:
                if patient:
                    rules.collect(store, ())
                rules.collect(store, () if patient else _open(store, model))
                break
            except CellarError as error:
                if not error.retryable:
                    return Refused(error)
        return Nothing()

    return Program(name, act, rules.client)


def _open(store: Client, model: Model) -> list[Ref]:
    claims = filter(None, map(layout.parse_claim, store.find(layout.claims(model))))
    committed = Catalog(store.find(layout.records(model)))
    return [ref for ref in claims if ref not in committed]


def _collect(store: Client, refs: Iterable[Ref]) -> None:
    collector.collect(store, RACK, now=NOW, patience=timedelta(0), void=refs)


def void(name: str, rules: Rules, ref: Ref) -> Program:
    """The heart of a garbage collection: void a number, then empty its place."""

    def act(store: Client) -> object:
        for _ in range(TRIES):
            try:
                if rules.registrar(store).void(ref) is None:
                    for key in store.find(layout.payload(ref)):
                        store.delete(key)
                break
            except CellarError as error:
                if not error.retryable:
                    return Refused(error)
        return Nothing()

    return Program(name, act, rules.client)


# Read


def read(name: str, rules: Rules, model: Model = PROJECT) -> Program:
    """List the versions of a model, and resolve the newest."""

    def act(store: Client) -> object:
        before = store.now(layout.records(model))
        for _ in range(TRIES):
            try:
                versions = tuple(model.at(version) for version in rules.versions(store, model))
                try:
                    resolved = lookup.resolve(store, Selector(f"{model}@latest"))
                except NoSuchVersion:
                    resolved = None
                return Read(before, versions, resolved)
            except CellarError as error:
                if not error.retryable:
                    return Refused(error)
        raise AssertionError("no answer at all")

    return Program(name, act, rules.client)


def _versions(store: Client, model: Model) -> list[Version]:
    return lookup.catalog(store, model).versions(model)


# Rebuild


def run_rebuild(name: str, rules: Rules, holder: str, planned: Plan | None = None) -> Program:
    """A run of what a plan asked for, or asks for now; a second training gives other bytes, as on a GPU."""

    def act(store: Client) -> object:
        registrar = rules.registrar(store)
        known, problem = planned, None
        for turn in range(1, TRIES + 1):
            try:
                known = plan_of(store) if known is None else known
                if not known.rebuilds:
                    return Planned(known)
                todo = known.rebuilds[0]
                line = Line.on(todo.model, BaseVersion(str(todo.base.version)))

                def build() -> tuple[Record, bool]:
                    payload = store.save(f"{TRAINED}{holder}/{name}-{turn}", trained(name, turn))
                    parent = Parent(ref=todo.base, tree=lookup.record(store, todo.base).tree)
                    draft = rules.draft(model=todo.model, payload=payload, parent=parent, request=todo.request)
                    return registrar.register(draft, lambda: Spot(line))

                done = rules.attempt(
                    store,
                    todo,
                    holder,
                    build,
                    found=lambda: registrar.find_request(line, todo.request),
                    policy=CONFIG.digest(todo.model),
                    last_try=turn == 3,
                )
                return Run(todo.request, done)
            except CellarError as error:
                if not error.retryable:
                    return Refused(error)
                problem = error
        assert problem
        return Gave(problem)

    return Program(name, act, rules.client)


def trained(name: str, turn: int = 1) -> dict[str, bytes]:
    """What a training of that run writes."""
    return {"f0": f"{name} {turn:2}".encode()}


def watch(name: str, rules: Rules) -> Program:
    """Somebody who takes whoever has the work for dead, rightly or not; and asks again for what failed."""

    def act(store: Client) -> object:
        planned: Plan | None = None
        for _ in range(TRIES):
            try:
                planned = plan_of(store)
                for skip in planned.skips:
                    if skip.reason is Reason.IN_PROGRESS:
                        rebuild.mark_lost(store, skip, "thought dead")
                    elif skip.reason in (Reason.FAILED_BEFORE, Reason.YANKED_BEFORE):
                        rebuild.ask(store, planned, skip.model, "once more")
                break
            except CellarError as error:
                if not error.retryable:
                    return Refused(error)
        assert planned is not None
        return Planned(planned)

    return Program(name, act, rules.client)


def plan_of(store: Store) -> Plan:
    """What is to be rebuilt, seen from now."""
    return plan(state.load(store, lambda: CELLAR, RACK, CONFIG, NOW), CONFIG, NOW)
