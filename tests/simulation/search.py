"""Trying schedules: one that a seed draws, or all that there are."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from unittest import mock

from cellar_core import gc
from tests.simulation.epilogue import epilogue
from tests.simulation.invariants import Violation
from tests.simulation.play import Move, Play, Setting
from tests.simulation.programs import REAL, Rules
from tests.simulation.settings import drawn

__all__ = ["Found", "every", "seeded"]


class Found(Exception):
    """A schedule that breaks an invariant, and how it goes."""

    def __init__(self, violation: Violation, play: Play, title: str) -> None:
        super().__init__(f"{title}\n{play.told()}\n{violation}")
        self.name = violation.name


def seeded(seed: int, rules: Rules = REAL) -> Play:
    """Play a seed to its end; raises Found."""
    setting, contents = drawn(seed, rules)
    play = Play.of(setting)
    try:
        with mock.patch.object(gc, "Registrar", rules.registrar):
            _draw(play, Random(f"moves of {seed}"))
            epilogue(play, rules, contents)
    except Violation as violation:
        title = f"seed {seed}: {setting.name}; replay it with: python -m tests.simulation --seed {seed}"
        raise Found(violation, play, title) from None
    finally:
        play.close()
    return play


def _draw(play: Play, rng: Random) -> None:
    """Make moves at random until all have ended.

    In half of the plays one caller goes on for as long as it can, and only now and then another is preferred: what
    breaks a protocol is mostly somebody who was slow for long.
    """
    hurried = rng.random() < 0.5
    harmful = rng.uniform(0.05, 0.3)
    ranks: dict[str, float] = {}
    while not play.over:
        if hurried and rng.random() < 0.1:
            ranks.clear()
        move = _harm(play, rng) if play.faults and rng.random() < harmful else None
        if move is None:
            calm = play.calm()
            names = [_who(play, one) for one in calm]
            ranks |= {name: rng.random() for name in names if name not in ranks}
            place = (
                max(range(len(calm)), key=lambda one: ranks[names[one]])
                if hurried
                else rng.randrange(len(calm))
            )
            move = calm[place]
        play.make(move)


def _harm(play: Play, rng: Random) -> Move | None:
    """A fault: of each kind as likely, however many requests it could happen to."""
    harm = play.harm()
    if not harm:
        return None
    kind = rng.choice(sorted({move.kind for move in harm}))
    move = rng.choice([move for move in harm if move.kind == kind])
    return next(iter(play.stale(move, rng)), None) if kind == "stale" else move


def _who(play: Play, move: Move) -> str:
    return play.actors[move.who].name if move.kind == "go" else f"{move.kind} {move.who}"


def every(setting: Setting, ended: Callable[[Play], None]) -> int:
    """Make every schedule of *setting*; returns how many different situations there are, or raises Found.

    Where two schedules lead to one situation, only one of them is gone on from.

    Args:
        setting: The beginning.
        ended: Called at each end.
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
                    if after.over:
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
