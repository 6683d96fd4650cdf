"""Settings so small that every schedule of theirs can be tried."""

from __future__ import annotations

from collections.abc import Callable

from cellar_core.register import BumpConflict, VersionTaken
from cellar_core.version import Bump, ProjectVersion
from tests.simulation.caller import Program
from tests.simulation.play import KINDS, Setting
from tests.simulation.programs import REAL, Wish, plan_of, read, register, run, void
from tests.simulation.registry import BASE, ONE, PROJECT, Plain, parent, registry
from tests.simulation.settings import LETTERS, Contents

__all__ = ["CONTENTS", "SMALL"]

CONTENTS = Contents(equal=True, files=1)


def on_line(name: str, version: str | None = None) -> Program:
    """Register on the line of a project."""
    exact = ProjectVersion(version) if version else None
    return register(name, REAL, Wish(parent=parent(ONE), version=exact))


def bump(name: str) -> Program:
    """Bump a base; content B is a major one."""
    return register(name, REAL, Wish(BASE, bump=Bump.MAJOR if name[0] == "B" else Bump.MINOR))


def voiding() -> Program:
    """Void the first number."""
    return void("gc", REAL, PROJECT.at("1.0.1"))


def _registering(
    *programs: Program,
    faults: int = 0,
    kinds: frozenset[str] = KINDS,
    changes: bool = False,
    again: Callable[[str], Program] = on_line,
    allowed: tuple[type[Exception], ...] = (),
) -> Setting:
    names = [program.name for program in programs if program.name[0] in LETTERS]
    heirs = {name: again(f"{name}+") for name in names} if faults else {}
    directories = [*names, *(heir.name for heir in heirs.values())]
    changed = {path: data for name in directories for path, data in CONTENTS.disk(name, changed=True).items()}
    return Setting(
        name=f"{', '.join(program.name for program in programs)}, {faults} faults",
        objects=registry(behind=False),
        disk={path: data for name in directories for path, data in CONTENTS.disk(name).items()},
        programs=programs,
        heirs=heirs,
        changes=tuple(changed.items()) if changes else (),
        again=again,
        allowed=allowed,
        faults=faults,
        kinds=kinds,
    )


def _rebuilding(*holders: str, kinds: frozenset[str] = KINDS) -> Setting:
    planned = plan_of(Plain(registry(behind=True)))
    programs = tuple(run(f"R{place}", REAL, holder, planned) for place, holder in enumerate(holders))
    name = f"runs of a rebuild by {', '.join(holders)}, one fault"
    return Setting(name, registry(behind=True), {}, programs, faults=1, kinds=kinds)


SMALL: dict[str, Callable[[], Setting]] = {
    "two contents, one fault": lambda: _registering(on_line("A1"), on_line("B1"), faults=1, changes=True),
    "one content twice, one fault": lambda: _registering(
        on_line("A1"), on_line("A2"), faults=1, changes=True
    ),
    "a content and a void, one fault": lambda: _registering(on_line("A1"), voiding(), faults=1),
    "one content twice and a void": lambda: _registering(on_line("A1"), on_line("A2"), voiding()),
    "two contents and a void": lambda: _registering(on_line("A1"), on_line("B1"), voiding()),
    "one content twice and another": lambda: _registering(on_line("A1"), on_line("A2"), on_line("B1")),
    "an exact number and a twin, one fault": lambda: _registering(
        on_line("A1"), on_line("A2", "1.0.2"), faults=1, allowed=(VersionTaken,)
    ),
    "a minor and a major bump, one fault": lambda: _registering(
        bump("A1"), bump("B1"), faults=1, again=bump, allowed=(BumpConflict,)
    ),
    "a holder's bump tried twice and a major one, one stale absence": lambda: _registering(
        *(bump("A1"), bump("A2"), bump("B1")),
        faults=1,
        kinds=frozenset(["absent"]),
        again=bump,
        allowed=(BumpConflict,),
    ),
    "a content, a void and a reader": lambda: _registering(on_line("A1"), voiding(), read("reader", REAL)),
    "two runs of one holder, one fault": lambda: _rebuilding(
        "one", "one", kinds=frozenset(["crash", "happened", "conflict"])
    ),
    "two runs of two holders, one fault": lambda: _rebuilding("one", "two"),
}
"""What is tried, by name."""
