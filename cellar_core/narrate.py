"""What a run tells its log, the same in every orchestrator: what a plan decided, and how far a training is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cellar_core.plan import Plan
from cellar_core.want import Reason
from cellar_core.words import figure

__all__ = ["by_tenths", "plan_lines"]


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan in lines: each project that is rebuilt or not as far as its base, why, and how many there are."""
    yield f"the newest base of {plan.rack} is {plan.head or 'not there yet'}"
    for rebuild in plan.rebuilds:
        yield f"rebuild {rebuild.model} onto {rebuild.base}: {rebuild.sentence}"
    left = [skip for skip in plan.skips if skip.reason is not Reason.UP_TO_DATE]
    for skip in left:
        yield f"leave {skip.model} ({skip.reason}): {skip.sentence}"
    for skip in plan.overtaken:
        yield f"{skip.model} takes a place: {skip.sentence}"
    current = len(plan.skips) - len(left)
    yield f"{len(plan.rebuilds)} to rebuild, {current} up to date, {len(plan.rebuilds) + len(plan.skips)} in all"


def by_tenths(say: Callable[[str], None]) -> Callable[[float, Mapping[str, float]], None]:
    """What to give as ``on_progress``: *say* gets a line for each tenth that is done, however often a trainer reports.

    >>> progress = by_tenths(print)
    >>> for step in range(1, 31):
    ...     progress(step / 100, {"loss": 1 / step})
    1 % done, loss 1
    10 % done, loss 0.1
    20 % done, loss 0.05
    30 % done, loss 0.0333333
    """
    shown = -1

    def progress(fraction: float, metrics: Mapping[str, float]) -> None:
        nonlocal shown
        if (tenth := int(10 * fraction)) > shown:
            shown = tenth
            numbers = "".join(f", {name} {figure(value, 6)}" for name, value in metrics.items())
            say(f"{100 * fraction:.0f} % done{numbers}")

    return progress
