"""A schedule as it unfolds: callers whose requests are answered, requests that come late, and the adversary."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, TypeVar

from cellar_core import layout
from tests.simulation import invariants, trace
from tests.simulation.caller import Caller, Program
from tests.simulation.ends import Done
from tests.simulation.invariants import Violation
from tests.simulation.world import Effect, Error, Listing, Request, World

__all__ = ["KINDS", "Move", "Play", "Setting"]

T = TypeVar("T")

STEPS = 600
"""So many steps are more than any schedule needs; whoever needs more does not end."""
LOST = ("happened", "never", "late")
"""No answer comes, and the request happened, or never will, or arrives later, after other requests."""
FAULTS = {
    "create": (*LOST, "conflict"),  # 409, and nothing was written
    "put": LOST,
    "delete": LOST,
    "get": ("never", "absent"),  # an answer from before the object was there
    "list": ("never", "stale"),
}
"""What the adversary can do to a request."""
KINDS = frozenset(["crash", "change", *(kind for kinds in FAULTS.values() for kind in kinds)])
"""All that it can do: also kill a caller between any two requests, and change a file on its disk."""


@dataclass(frozen=True)
class Setting:
    """What a play begins with.

    Attributes:
        name: What it is about.
        objects: What the store holds.
        disk: What lies in directories.
        programs: Who acts.
        heirs: Who takes the place of a program that dies, by its name.
        changes: What may happen to files: the path, and its other content.
        foreign: Payload keys that nobody registered.
        allowed: The refusals that the callers' wishes can earn them.
        again: Registers what lies in a directory, when all others have ended.
        faults: How many faults the adversary may cause.
        kinds: Which.
    """

    name: str
    objects: dict[str, bytes]
    disk: dict[str, bytes]
    programs: tuple[Program, ...]
    heirs: dict[str, Program] = field(default_factory=dict)
    changes: tuple[tuple[str, bytes], ...] = ()
    foreign: frozenset[str] = frozenset()
    allowed: tuple[type[Exception], ...] = ()
    again: Callable[[str], Program] | None = None
    faults: int = 0
    kinds: frozenset[str] = KINDS


class Move(NamedTuple):
    """One step.

    Attributes:
        kind: ``go``: a request is answered; ``deliver``: a late one arrives; ``start``: a dead caller's heir begins;
            or a fault, one of KINDS.
        who: The caller's place, or that of the late request, of the heir, of the change.
        more: For ``stale``: what the listing tells instead. For ``crash``: what becomes of the request, one of LOST.
    """

    kind: str
    who: int
    more: Hashable = None


class Actor(NamedTuple):
    """A caller on the stage, who waits for an answer."""

    name: str
    caller: Caller
    asks: Request


@dataclass
class Play:
    """A schedule as it unfolds.

    Attributes:
        setting: What it began with.
        world: The store.
        faults: How many the adversary may still cause.
        actors: Who lives.
        waiting: Heirs of the dead, who have not begun.
        ends: How callers have ended, in order.
        caused: Which faults there were.
        steps: How many moves were made.
        history: What happened, newest first: pairs of a step and the earlier ones.
        beginnings: Each program at its first request; shared by all plays that go on from one beginning.
    """

    setting: Setting
    world: World
    faults: int
    actors: tuple[Actor, ...] = ()
    waiting: tuple[Program, ...] = ()
    ends: tuple[object, ...] = ()
    caused: frozenset[str] = frozenset()
    steps: int = 0
    history: tuple[Any, Any] | None = None
    beginnings: dict[str, Caller] = field(default_factory=dict)

    @classmethod
    def of(cls, setting: Setting) -> Play:
        """The beginning."""
        known = tuple((key, len(data)) for key, data in setting.objects.items())
        world = World(dict(setting.objects), dict(setting.disk), changes=known)
        play = cls(setting, world, setting.faults)
        for program in setting.programs:
            play._enter(program)
        return play

    def copy(self) -> Play:
        """The same, to go on from in another way."""
        other = copy(self)
        other.world = self.world.copy()
        return other

    def close(self) -> None:
        """End all programs, wherever they stand."""
        for caller in self.beginnings.values():
            caller.close()

    @property
    def over(self) -> bool:
        """Whether nothing can happen any more."""
        return not self.actors and not self.waiting and not self.world.late

    @property
    def key(self) -> Hashable:
        """Equal for plays that can only go on alike."""
        older = self.world.changes if self.faults and "stale" in self.setting.kinds else ()
        callers = tuple(id(actor.caller) for actor in self.actors)
        waiting = tuple(program.name for program in self.waiting)
        created = frozenset(end.record.ref for end in self.ends if isinstance(end, Done) and end.created)
        return (
            self.world.key,
            older,
            callers,
            waiting,
            self.faults,
            created,
            self.caused & {"stale", "absent"},
        )

    def alone(self, program: Program) -> object:
        """Let *program* act with nobody and nothing in its way; returns how it ended."""
        self.caused, self.faults = frozenset(), 0
        self._enter(program)
        while self.actors:
            self.make(Move("go", 0))
        return self.ends[-1]

    def told(self) -> str:
        """What happened, step by step."""
        lines, rest = [], self.history
        while rest:
            step, rest = rest
            lines.append(trace.line(*step))
        return "\n".join(reversed(lines))

    # What can happen

    def calm(self) -> list[Move]:
        """The moves of a friendly world."""
        return [
            *(Move("go", who) for who in range(len(self.actors))),
            *(Move("deliver", place) for place in range(len(self.world.late))),
            *(Move("start", place) for place in range(len(self.waiting))),
        ]

    def quick(self) -> Move | None:
        """A move that no other can change nor be changed by, so that its turn does not matter."""
        for who, actor in enumerate(self.actors):
            kind, key, _ = actor.asks
            # What lies under .cellar/ stays as it is; a disk is its caller's own.
            final = kind in ("get", "create") and key in self.world.objects and key.startswith(layout.ROOT)
            own = kind == "save" or (kind in ("scan", "file") and not self.setting.changes)
            if final or own:
                return Move("go", who)
        return None

    def harm(self) -> list[Move]:
        """The moves of the adversary; of a stale listing, what it tells is left open."""
        if not self.faults:
            return []
        moves = []
        for who, actor in enumerate(self.actors):
            kinds = FAULTS.get(actor.asks.kind, ())
            moves += [Move(kind, who) for kind in kinds]
            moves += [Move("crash", who, fate) for fate in (LOST if "late" in kinds else ("never",))]
        for place, (path, data) in enumerate(self.setting.changes):
            if self.world.disk[path] != data:
                moves.append(Move("change", place))
        return [move for move in moves if move.kind in self.setting.kinds]

    def stale(self, move: Move, rng: Random | None = None) -> list[Move]:
        """The ways in which a listing can be stale: any older one; and it may miss anything."""
        prefix = self.actors[move.who].asks.key
        now = self.world.list(prefix)
        older = list(dict.fromkeys([*self.world.older(prefix), now]))
        if rng:
            listing = rng.choice(older)
            seen: list[Listing] = [tuple(one for one in listing if rng.random() < 0.7)]
        else:
            seen = [*older, *(now[:place] + now[place + 1 :] for place in range(len(now)))]
        return [move._replace(more=listing) for listing in dict.fromkeys(seen) if listing != now]

    # What happens

    def make(self, move: Move) -> None:
        """Let *move* happen; raises Violation."""
        self.steps += 1
        if move.kind in KINDS:
            self.faults -= 1
            self.caused |= {move.kind}
        if move.kind == "deliver":
            effect, self.world.late = _take(self.world.late, move.who)
            self._note("(late)", effect, "arrives" if self._arrive(effect) else "comes to nothing")
        elif move.kind == "start":
            program, self.waiting = _take(self.waiting, move.who)
            self._enter(program)
        elif move.kind == "change":
            path, data = self.setting.changes[move.who]
            self.world.disk[path] = data
            self._note("(disk)", path, data)
        elif move.kind == "crash":
            self._die(move)
        else:
            self._go_on(move)
        if self.steps > STEPS:
            raise Violation("ends", f"{[actor.name for actor in self.actors]} still act after {STEPS} steps")

    def _enter(self, program: Program) -> None:
        if program.name not in self.beginnings:
            self.beginnings[program.name] = Caller.start(program)
        self._note(program.name, "begins", "")
        self._stand(len(self.actors), program.name, self.beginnings[program.name])

    def _stand(self, who: int, name: str, caller: Caller) -> None:
        """Put a caller in its place, or see how it has ended."""
        here = (Actor(name, caller, caller.asks),) if caller.asks else ()
        self.actors = self.actors[:who] + here + self.actors[who + 1 :]
        if not caller.asks:
            self._note(name, "ends:", caller.end)
            stale = bool(self.caused & {"absent", "stale"})
            invariants.answered(self.world, name, caller.end, self.ends)
            invariants.fair(name, caller.end, self.setting.allowed, stale=stale)
            self.ends += (caller.end,)

    def _die(self, move: Move) -> None:
        actor, self.actors = _take(self.actors, move.who)
        self._send(actor.asks, str(move.more))
        self._note(actor.name, actor.asks, f"dies; its request: {move.more}")
        if heir := self.setting.heirs.get(actor.name):
            self.waiting += (heir,)

    def _go_on(self, move: Move) -> None:
        actor = self.actors[move.who]
        answer = self._fault(actor.asks, move) if move.kind in KINDS else self._answer(actor.asks)
        self._note(actor.name, actor.asks, answer, "" if move.kind == "go" else move.kind)
        self._stand(move.who, actor.name, actor.caller.answer(answer))

    def _fault(self, request: Request, move: Move) -> Hashable:
        if move.kind in LOST:
            self._send(request, move.kind)
            return Error.UNANSWERED
        return {"conflict": Error.CONFLICT, "absent": None, "stale": move.more}[move.kind]

    def _answer(self, request: Request) -> Hashable:
        kind, key, data = request
        if kind == "get":
            return self.world.objects.get(key)
        if kind == "list":
            return self.world.list(key)
        if kind == "scan":
            return self.world.files(key)
        if kind == "file":
            return self.world.disk[key]
        if kind == "save":
            self.world.disk |= {f"{key}/{name}": content for name, content in data}
            return self.world.files(key)
        if kind == "now":
            return invariants.records(self.world, key)
        effect = Effect.of(request)
        assert effect
        return True if self._arrive(effect) or kind != "create" else Error.EXISTS

    def _send(self, request: Request, fate: str) -> None:
        """Send a request whose answer nobody will read."""
        effect = Effect.of(request)
        if effect and fate == "happened":
            self._arrive(effect)
        elif effect and fate == "late":
            self.world.late += (effect,)

    def _arrive(self, effect: Effect) -> bool:
        before = self.world.objects.get(effect.key)
        changed = self.world.arrive(effect)
        if changed:
            invariants.arrived(self.world, effect.key, before, self.setting.foreign)
        return changed

    def _note(self, who: str, what: object, how: object, fault: str = "") -> None:
        self.history = ((self.steps, who, what, how, fault), self.history)


def _take(items: tuple[T, ...], place: int) -> tuple[T, tuple[T, ...]]:
    return items[place], items[:place] + items[place + 1 :]
