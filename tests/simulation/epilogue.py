"""When all have ended or died: whoever comes then, undisturbed, still gets what was promised."""

from __future__ import annotations

from collections.abc import Callable

from cellar_core.want import Reason
from tests.simulation import invariants
from tests.simulation.caller import Program
from tests.simulation.ends import Planned
from tests.simulation.invariants import Violation
from tests.simulation.play import Play
from tests.simulation.programs import SAME, TRAINED, Rules, run, watch
from tests.simulation.settings import LETTERS, Contents

__all__ = ["epilogue"]


def epilogue(play: Play, rules: Rules, contents: Contents) -> None:
    """Let everybody come once more; raises Violation."""
    names = [program.name for program in play.setting.programs]
    if play.setting.again is None:
        if not any(name.startswith("watch") for name in names):
            invariants.unwasted(
                play.world, {path.split("/")[1] for path in play.world.disk if path.startswith(TRAINED)}
            )
        if not any(name.startswith(SAME) for name in names):
            invariants.frugal(play.world)
        _rebuilt(play, rules)
        return
    if not play.caused and not play.setting.allowed and not any(name.startswith("gc") for name in names):
        invariants.settled(play.world)  # nobody failed, so nothing is missing
    _finished(play, contents, play.setting.again)
    invariants.settled(play.world)


def _finished(play: Play, contents: Contents, again: Callable[[str], Program]) -> None:
    """The next register of the same content finishes what a dead caller has begun."""
    everybody = (*play.setting.programs, *play.setting.heirs.values())
    for letter in sorted({program.name[0] for program in everybody} & set(LETTERS)):
        for changed in (False, True) if play.setting.changes else (False,):
            name = f"{letter}-last{'-changed' * changed}"
            play.world.disk |= contents.disk(name, changed=changed)
            play.alone(again(name))


def _rebuilt(play: Play, rules: Rules) -> None:
    """A project does not stay behind for ever: plans, runs and people who ask bring it to the newest base."""
    for turn in range(8):
        end = play.alone(run(f"last{turn}", rules, f"last{turn}"))
        if isinstance(end, Planned):
            if [skip.reason for skip in end.plan.skips] == [Reason.UP_TO_DATE]:
                return
            play.alone(watch(f"ask{turn}", rules))
    raise Violation("ends", "the project stays behind for ever")
