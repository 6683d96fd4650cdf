"""What callers do: register, void what looks abandoned, rebuild, read. All of it is the real code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cellar_core import bump as bumping
from cellar_core import gc as collector
from cellar_core import layout, lookup, rebuild, state
from cellar_core.catalog import Catalog
from cellar_core.choose import NoSuchVersion
from cellar_core.errors import CellarError
from cellar_core.line import Line
from cellar_core.plan import Plan, plan
from cellar_core.rack import RackConfig
from cellar_core.record import Parent, Record
from cellar_core.ref import Model, Ref, Selector, Version
from cellar_core.register import Draft, Registrar, Spot
from cellar_core.store import Store
from cellar_core.version import BaseVersion, Bump
from cellar_core.want import Reason
from tests.simulation.caller import Program
from tests.simulation.client import Client
from tests.simulation.ends import Done, GaveUp, Nothing, Planned, Read, Refused, Run
from tests.simulation.registry import BASE, PROJECT, RACK

__all__ = [
    "REAL",
    "SAME",
    "TRAINED",
    "Rules",
    "gc",
    "plan_of",
    "read",
    "register",
    "run",
    "trained",
    "void",
    "watch",
]

CONFIG = RackConfig.parse(b"", layout.config(RACK), RACK)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRAINED = "trained/"
"""Where trainings write, below it who had the work."""
SAME = "S"
"""The names of runs begin with it, of which each training gives the same bytes, as does that of their heirs."""
TRIES = 10
"""How often a caller is tried again after an error that says that it helps."""
LAST_TRY = 3
"""Which try of a rebuild's run is the orchestrator's last, so that its failure is remembered."""


def _collect(store: Client, refs: Iterable[Ref]) -> None:
    collector.collect(store, RACK, now=NOW, patience=timedelta(0), void=refs)


def _versions(store: Client, model: Model) -> list[Version]:
    return lookup.catalog(store, model).versions(model)


@dataclass(frozen=True)
class Rules:
    """The steps of the protocol: the real ones, unless a test has switched a rule off in its own copy of one."""

    registrar: type[Registrar] = Registrar
    client: type[Client] = Client
    draft: type[Draft] = Draft
    collect: Callable[[Client, Iterable[Ref]], None] = _collect
    attempt: Callable[..., rebuild.Rebuilt] = rebuild.attempt
    versions: Callable[[Client, Model], list[Version]] = _versions

    def program(self, name: str, turn: Callable[[Client, int], object]) -> Program:
        """A program that makes its *turn* again as long as an error says that this helps."""

        def act() -> object:
            store, problem = self.client(), CellarError("never tried")
            for number in range(1, TRIES + 1):
                try:
                    return turn(store, number)
                except CellarError as error:
                    if not error.retryable:
                        return Refused(error)
                    problem = error
            return GaveUp(problem)

        return Program(name, act)


REAL = Rules()


# Register


@dataclass(frozen=True)
class Wish:
    """What is asked for besides the content."""

    model: Model = PROJECT
    parent: Parent | None = None
    bump: Bump | None = None
    version: Version | None = None


def register(name: str, rules: Rules, wish: Wish, directory: str | None = None) -> Program:
    """Register what lies in the caller's *directory*, which has its name."""

    def turn(store: Client, number: int) -> object:
        payload = store.scan(directory or name)
        draft = rules.draft(wish.model, payload, parent=wish.parent, bump=wish.bump, version=wish.version)
        record, created = rules.registrar(store, store.claims).register(draft, lambda: _spot(store, draft))
        return Done(draft, record, created)

    return rules.program(name, turn)


def _spot(store: Client, draft: Draft) -> Spot:
    """Which number, as the façade chooses it; tries of one bump have one holder, whose line is kept."""
    if draft.parent:
        return Spot(Line.on(draft.model, BaseVersion(str(draft.parent.ref.version))))
    assert draft.bump
    chosen = bumping.spot(draft.model, [*lookup.catalog(store, BASE).bases(BASE)], draft.bump)
    return bumping.pin(store, chosen, draft.bump, holder=draft.payload.tree)


# Void


def gc(name: str, rules: Rules, model: Model = PROJECT, *, patient: bool = False) -> Program:
    """A garbage collection: a *patient* one looks twice; else a person takes all for abandoned that has no record."""

    def turn(store: Client, number: int) -> object:
        if patient:
            rules.collect(store, ())
        rules.collect(store, () if patient else _open(store, model))
        return Nothing()

    return rules.program(name, turn)


def _open(store: Client, model: Model) -> list[Ref]:
    claims = filter(None, map(layout.parse_claim, store.find(layout.claims(model))))
    committed = Catalog(store.find(layout.records(model)))
    return [ref for ref in claims if ref not in committed]


def void(name: str, rules: Rules, ref: Ref) -> Program:
    """The heart of a garbage collection: void a number, then empty its place."""

    def turn(store: Client, number: int) -> object:
        if rules.registrar(store, store.claims).void(ref) is None:
            for key in store.find(layout.payload(ref)):
                store.delete(key)
        return Nothing()

    return rules.program(name, turn)


# Read


def read(name: str, rules: Rules, model: Model = PROJECT) -> Program:
    """List the versions of a model, and resolve the newest."""

    def turn(store: Client, number: int) -> object:
        before = store.now(layout.records(model))
        versions = tuple(model.at(version) for version in rules.versions(store, model))
        return Read(before, versions, _newest(store, model))

    return rules.program(name, turn)


def _newest(store: Client, model: Model) -> Record | None:
    try:
        return lookup.resolve(store, Selector(f"{model}@latest"))
    except NoSuchVersion:
        return None


# Rebuild


def run(name: str, rules: Rules, holder: str, planned: Plan | None = None) -> Program:
    """A run of what a plan asked for, or asks for now.

    A second training gives other bytes, as on a GPU; but the same ones if the run is one of SAME.
    """

    def turn(store: Client, number: int) -> object:
        known = plan_of(store) if planned is None else planned
        if not known.rebuilds:
            return Planned(known)
        todo = known.rebuilds[0]
        registrar = rules.registrar(store, store.claims)
        line = Line.on(todo.model, BaseVersion(str(todo.base.version)))

        def build() -> tuple[Record, bool]:
            files = trained(name.rstrip("+")) if name.startswith(SAME) else trained(name, number)
            payload = store.save(f"{TRAINED}{holder}/{name}-{number}", files)
            parent = Parent(ref=todo.base, tree=lookup.record(store, todo.base).tree)
            draft = rules.draft(todo.model, payload, parent=parent, request=todo.request)
            return registrar.register(draft, lambda: Spot(line))

        done = rules.attempt(
            store,
            todo,
            holder,
            build,
            found=lambda: registrar.find_request(line, todo.request),
            policy=CONFIG.digest(todo.model),
            last_try=number == LAST_TRY,
        )
        return Run(todo.request, done)

    return rules.program(name, turn)


def trained(name: str, number: int = 1) -> dict[str, bytes]:
    """What a training of that run writes."""
    return {"f0": f"{name} {number:2}".encode()}


def watch(name: str, rules: Rules) -> Program:
    """Somebody who takes whoever has the work for dead, rightly or not, and asks again for what failed."""

    def turn(store: Client, number: int) -> object:
        planned = plan_of(store)
        for skip in planned.skips:
            if skip.reason is Reason.IN_PROGRESS:
                rebuild.mark_lost(store, skip, "thought dead")
            elif skip.reason in (Reason.FAILED_BEFORE, Reason.YANKED_BEFORE):
                rebuild.ask(store, planned, skip.model, "once more")
        return Planned(planned)

    return rules.program(name, turn)


def plan_of(store: Store) -> Plan:
    """What is to be rebuilt, seen from now."""
    found, wanted = state.load(store, lambda: "cellar", RACK, CONFIG, NOW)
    return plan(found, CONFIG, wanted)
