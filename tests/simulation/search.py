"""Trying schedules: one drawn by a seed, or all that there are."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from unittest import mock

from cellar_core import gc
from tests.simulation.invariants import Violation
from tests.simulation.programs import REAL, Rules
from tests.simulation.schedule import Move, Play, Setting
from tests.simulation.settings import drawn, epilogue

__all__ = ["Found", "draw", "every", "seeded"]


class Found(Exception):
    """A schedule that breaks an invariant, and how it goes."""

    def __init__(self, violation: Violation, play: Play, title: str) -> None:
        trace = "\n".join(play.told())
        super().__init__(f"{title}\n{trace}\n{violation}")
        self.name = violation.name


def draw(play: Play, rng: Random) -> None:
    """Make moves at random until all have ended.

    Half of the plays let each caller go on for as long as it can and change only now and then who acts: what breaks
    a protocol is mostly somebody who was slow for long.
    """
    hurried = rng.random() < 0.5
    harmful = rng.uniform(0.05, 0.3)
    favourite = rng.random
    ranks: dict[str, float] = {}
    while play.actors or play.world.late or play.waiting:
        moves = play.calm()
        if play.faults and rng.random() < harmful and (harm := play.harm()):
            kind = rng.choice(sorted({move.kind for move in harm}))
            move = rng.choice([move for move in harm if move.kind == kind])
            if move.kind == "stale":
                listings = play.stale(move, rng)
                if not listings:
                    continue
                move = listings[0]
        elif hurried:
            if rng.random() < 0.1:
                ranks.clear()
            move = max(moves, key=lambda one: ranks.setdefault(_who(play, one), favourite()))
        else:
            move = rng.choice(moves)
        play.make(move)


def _who(play: Play, move: Move) -> str:
    return play.actors[move.who].name if move.kind == "go" else f"{move.kind} {move.who}"


def every(setting: Setting, ended: Callable[[Play], None] = lambda play: None) -> int:
    """Make every schedule of *setting*; returns how many different situations there are.

    Two schedules that lead to one situation are gone on from once.
    """
    first = Play.of(setting)
    seen = {first.key}
    todo = [first]
    try:
        while todo:
            play = todo.pop()
            for move in _moves(play):
                after = play.copy()
                try:
                    after.make(move)
                    if not after.actors and not after.world.late and not after.waiting:
                        ended(after.copy())
                except Violation as violation:
                    raise Found(violation, after, f"{setting.name}, one of all schedules") from None
                if after.key not in seen:
                    seen.add(after.key)
                    todo.append(after)
    finally:
        first.close()
    return len(seen)


def _moves(play: Play) -> list[Move]:
    harm = [move for one in play.harm() for move in (play.stale(one) if one.kind == "stale" else [one])]
    if quick := play.quick():
        return [quick, *(move for move in harm if move.who == quick.who and move.kind != "change")]
    return play.calm() + harm


def seeded(seed: int, rules: Rules = REAL) -> Play:
    """Play a seed to its end; raises Found."""
    setting, contents = drawn(seed, rules)
    play = Play.of(setting)
    try:
        with mock.patch.object(gc, "Registrar", rules.registrar):
            draw(play, Random(f"moves {seed}"))
            epilogue(play, rules, contents)
    except Violation as violation:
        raise Found(violation, play, f"seed {seed}: {setting.name}") from None
    finally:
        play.close()
    return play
