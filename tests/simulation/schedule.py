"""Who acts next: callers, requests that come late, and the adversary; drawn at random, or each way in turn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
import json
from random import Random
from typing import Any, NamedTuple

from cellar_core import layout
from cellar_core.record import TOMBSTONE_MOST
from tests.simulation import invariants
from tests.simulation.caller import Caller, Program
from tests.simulation.invariants import Violation
from tests.simulation.programs import Done
from tests.simulation.world import FAULTS, Effect, Error, Listing, Request, World

__all__ = ["KINDS", "Actor", "Move", "Play", "Setting"]

STEPS = 600
"""So many steps are more than any schedule needs; whoever needs more does not end."""


KINDS = frozenset(["crash", "change", *(kind for kinds in FAULTS.values() for kind in kinds)])
"""What the adversary can do: kill a caller, change a file on its disk, or do something to a request."""


@dataclass(frozen=True)
class Setting:
    """What a play begins with.

    Attributes:
        name: What it is about.
        objects: What the store holds.
        disk: What lies in directories.
        programs: Who acts.
        restarts: For a program that dies: who takes its place, if anybody does.
        changes: What may happen to directories: the path, and its other content.
        foreign: Payload keys that nobody registered.
        allowed: The refusals that the callers' wishes can earn them.
        again: Who registers what lies in a directory, when all others have ended.
        faults: How many faults the adversary may cause.
        kinds: Which.
    """

    name: str
    objects: dict[str, bytes]
    disk: dict[str, bytes]
    programs: tuple[Program, ...]
    restarts: dict[str, Program] = field(default_factory=dict)
    changes: tuple[tuple[str, bytes], ...] = ()
    foreign: frozenset[str] = frozenset()
    allowed: tuple[type, ...] = ()
    again: Callable[[str], Program] | None = None
    faults: int = 0
    kinds: frozenset[str] = KINDS


class Fated(NamedTuple):
    """An answer that the adversary chose, for the trace."""

    answer: object
    fault: str


class Move(NamedTuple):
    """One step.

    Attributes:
        kind: ``go``: a request is answered; ``deliver``: a late one arrives; ``start``: a dead caller's successor
            begins; or a fault: a key of FAULTS' values, ``crash`` or ``change``.
        who: The caller's place, or that of the late request or of the change.
        more: For ``stale``: what the listing tells instead. For ``crash``: what becomes of its request.
    """

    kind: str
    who: int
    more: Hashable = None


@dataclass(frozen=True)
class Actor:
    """A caller on the stage."""

    name: str
    caller: Caller

    @property
    def asks(self) -> Request | None:
        return self.caller.asks


@dataclass
class Play:
    """A schedule as it unfolds.

    Attributes:
        setting: What it began with.
        world: The store.
        actors: Who lives.
        waiting: Who may take the place of a dead caller.
        ends: How callers have ended, in order.
        faults: How many the adversary may still cause.
        caused: Which kinds it has caused.
        trace: What happened, newest first, as pairs of a step and the earlier ones.
        steps: How many moves were made.
        callers: Each program at its beginning; shared by all that go on from one beginning.
    """

    setting: Setting
    world: World
    actors: tuple[Actor, ...]
    faults: int
    waiting: tuple[Program, ...] = ()
    ends: tuple[object, ...] = ()
    caused: frozenset[str] = frozenset()
    trace: tuple[Any, Any] | None = None
    steps: int = 0
    callers: dict[str, Caller] = field(default_factory=dict)

    @classmethod
    def of(cls, setting: Setting) -> Play:
        """The beginning."""
        world = World(dict(setting.objects), dict(setting.disk))
        world.changes = tuple((key, len(data)) for key, data in world.objects.items())
        play = cls(setting, world, (), setting.faults)
        for program in setting.programs:
            play._enter(program)
        return play

    def copy(self) -> Play:
        """The same, to go on from in another way."""
        other = copy(self)
        other.world = self.world.copy()
        return other

    @property
    def key(self) -> Hashable:
        """Equal for plays that can only go on alike."""
        old = self.world.changes if self.faults and "stale" in self.setting.kinds else ()
        callers = tuple(id(actor.caller) for actor in self.actors)
        waiting = tuple(program.name for program in self.waiting)
        created = frozenset(end.record.ref for end in self.ends if isinstance(end, Done) and end.created)
        return self.world.key, old, callers, waiting, self.faults, created, self.caused & {"stale", "absent"}

    def close(self) -> None:
        """End all programs where they stand."""
        for caller in self.callers.values():
            caller.close()

    def alone(self, program: Program) -> object:
        """Let *program* act with nobody and nothing in its way; returns how it ended."""
        self.caused, self.faults = frozenset(), 0
        self._enter(program)
        while self.actors:
            self.make(Move("go", 0))
        return self.ends[-1]

    # What can happen

    def calm(self) -> list[Move]:
        """The moves of a friendly world."""
        moves = [Move("go", who) for who in range(len(self.actors))]
        moves += [Move("deliver", place) for place in range(len(self.world.late))]
        return moves + [Move("start", place) for place in range(len(self.waiting))]

    def quick(self) -> Move | None:
        """A move that no other can change, nor be changed by: it need not be tried in every order."""
        for who, actor in enumerate(self.actors):
            request = actor.asks
            assert request
            final = request.kind in ("get", "create") and request.key in self.world.objects
            final = final and request.key.startswith(f"{layout.ROOT}/")  # for ever, since all there only grows
            own = request.kind == "save" or (request.kind in ("scan", "file") and not self.setting.changes)
            if final or own:
                return Move("go", who)
        return None

    def harm(self) -> list[Move]:
        """The moves of the adversary; a stale listing is still to be chosen."""
        if not self.faults:
            return []
        moves = []
        for who, actor in enumerate(self.actors):
            request = actor.caller.asks
            assert request
            kinds = FAULTS.get(request.kind, ())
            moves += [Move(kind, who) for kind in kinds if kind in self.setting.kinds]
            if "crash" in self.setting.kinds:
                fates = kinds[:3] if "late" in kinds else ("never",)
                moves += [Move("crash", who, fate) for fate in fates]
        if "change" in self.setting.kinds:
            moves += [
                Move("change", place)
                for place, (path, data) in enumerate(self.setting.changes)
                if self.world.disk[path] != data
            ]
        return moves

    def stale(self, move: Move, rng: Random | None = None) -> list[Move]:
        """The ways in which a listing can be stale: any older one; and it may miss anything."""
        request = self.actors[move.who].asks
        assert request
        now = self.world.list(request.key)
        older = list(dict.fromkeys([*self.world.older(request.key), now]))
        if rng:
            listing = rng.choice(older)
            seen: tuple[Listing, ...] = (tuple(one for one in listing if rng.random() < 0.7),)
        else:
            seen = (*older, *(now[:place] + now[place + 1 :] for place in range(len(now))))
        return [move._replace(more=listing) for listing in dict.fromkeys(seen) if listing != now]

    # What happens

    def make(self, move: Move) -> None:
        """Let *move* happen; raises Violation."""
        self.steps += 1
        if move.kind not in ("go", "deliver", "start"):
            self.faults -= 1
            self.caused |= {move.kind}
        if move.kind == "deliver":
            effect = self.world.late[move.who]
            self.world.late = self.world.late[: move.who] + self.world.late[move.who + 1 :]
            self._note("(late)", f"{effect.kind} {effect.key}", "arrives" if self._arrive(effect) else "comes to nothing")
        elif move.kind == "start":
            program = self.waiting[move.who]
            self.waiting = self.waiting[: move.who] + self.waiting[move.who + 1 :]
            self._enter(program)
        elif move.kind == "change":
            path, data = self.setting.changes[move.who]
            self.world.disk[path] = data
            self._note("(disk)", path, f"is now {data!r}")
        else:
            self._request(move)
        if self.steps > STEPS:
            raise Violation("ends", f"after {STEPS} steps there is still {[actor.name for actor in self.actors]}")

    def _request(self, move: Move) -> None:
        actor = self.actors[move.who]
        request = actor.asks
        assert request
        if move.kind == "crash":
            fate = self._send(request, str(move.more))
            self._note(actor.name, request, f"dies; the request: {fate}")
            self.actors = self.actors[: move.who] + self.actors[move.who + 1 :]
            if heir := self.setting.restarts.get(actor.name):
                self.waiting += (heir,)
            return
        answer = self._answer(request, move)
        self._note(actor.name, request, answer if move.kind == "go" else Fated(answer, move.kind))
        caller = actor.caller.answer(answer)
        after = (replace(actor, caller=caller),) if caller.asks else ()
        self.actors = self.actors[: move.who] + after + self.actors[move.who + 1 :]
        if not caller.asks:
            self._leave(actor.name, caller.end)

    def _answer(self, request: Request, move: Move) -> Hashable:
        if move.kind == "conflict":
            return Error.CONFLICT
        if move.kind == "absent":
            return None
        if move.kind == "stale":
            return move.more
        if move.kind != "go":
            self._send(request, move.kind)
            return Error.UNANSWERED
        if request.kind == "get":
            return self.world.objects.get(request.key)
        if request.kind == "list":
            return self.world.list(request.key)
        if request.kind == "now":
            return frozenset(key for key in map(layout.record, invariants.committed(self.world)) if request.key in key)
        if request.kind == "save":
            self.world.disk |= {f"{request.key}/{name}": data for name, data in request.data}  # type: ignore[union-attr]
            return request.data
        if request.kind == "scan":
            start = f"{request.key}/"
            return tuple((p.removeprefix(start), data) for p, data in self.world.disk.items() if p.startswith(start))
        if request.kind == "file":
            return self.world.disk[request.key]
        effect = self.world.effect(request)
        assert effect
        return True if self._arrive(effect) or request.kind != "create" else Error.EXISTS

    def _send(self, request: Request, fate: str) -> str:
        """Send a request of which nobody will read the answer."""
        effect = self.world.effect(request)
        if effect and fate == "happened":
            self._arrive(effect)
        elif effect and fate == "late":
            self.world.late += (effect,)
        return fate

    def _arrive(self, effect: Effect) -> bool:
        before = self.world.objects.get(effect.key)
        done = self.world.change(effect)
        if done:
            invariants.arrived(self.world, effect.key, before, self.setting.foreign)
        return done

    def _enter(self, program: Program) -> None:
        if program.name not in self.callers:
            self.callers[program.name] = Caller.start(program)
        caller = self.callers[program.name]
        assert caller.asks, caller.end
        self.actors += (Actor(program.name, caller),)
        self._note(program.name, "begins", "")

    def _leave(self, name: str, end: object) -> None:
        self._note(name, "ends:", end)
        invariants.answered(self.world, name, end, self.ends, self.caused, self.setting.allowed)
        self.ends += (end,)

    def _note(self, who: str, what: object, how: object) -> None:
        self.trace = ((self.steps, who, what, how), self.trace)

    def told(self) -> list[str]:
        """What happened, step by step."""
        lines, rest = [], self.trace
        while rest:
            (step, who, what, how), rest = rest  # type: ignore[misc]
            lines.append(f"{step:4}  {who:8} {_told(what):80} {_told(how)}".rstrip())
        return lines[::-1]


def _told(what: object) -> str:
    """A request, an answer or an end in a few words."""
    if isinstance(what, Request):
        data = f" {_told(what.data)}" if what.kind == "create" else ""
        return f"{what.kind} {what.key}{data}"
    if isinstance(what, bytes):
        return _body(what)
    if isinstance(what, Fated):
        return f"{_told(what.answer)}   <-- {what.fault}"
    if isinstance(what, Error):
        return f"error: {what.value}"
    if isinstance(what, tuple):
        return ", ".join(map(_told, what)) or "nothing"
    if isinstance(what, frozenset):
        return ", ".join(sorted(map(str, what))) or "nothing"
    return str(what)


def _body(data: bytes) -> str:
    """The fields of a stored object that decide anything."""
    if len(data) <= TOMBSTONE_MOST and data.startswith(b'{"void"'):
        return "tombstone"
    try:
        facts = json.loads(data)
    except ValueError:
        return repr(data)
    if not isinstance(facts, dict):
        return repr(data)
    kind = "record" if "files" in facts else "claim" if "identity" in facts else facts.get("event", "object")
    digests = [str(facts[name]).partition(":")[2][:6] for name in ("identity", "request") if facts.get(name)]
    return " ".join([kind, *digests])
