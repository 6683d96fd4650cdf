"""Settings so small that every schedule of theirs can be tried."""

from __future__ import annotations

from collections.abc import Callable

from cellar_core.register import BumpConflict, VersionTaken
from cellar_core.version import Bump, ProjectVersion
from tests.simulation.caller import Program
from tests.simulation.programs import BASE, ONE, PROJECT, REAL, plan_of, read, register, run_rebuild, void
from tests.simulation.schedule import KINDS, Setting
from tests.simulation.settings import Contents, Plain, parent_of, registry

__all__ = ["CONTENTS", "SMALL"]

CONTENTS = Contents(equal=True, files=1)
def on_line(name: str, version: str | None = None) -> Program:
    """Register on the line of a project."""
    exact = ProjectVersion(version) if version else None
    return register(name, REAL, parent=parent_of(ONE), source=name, version=exact)


def bump(name: str) -> Program:
    """Bump a base; content B is a major one."""
    return register(name, REAL, model=BASE, bump=Bump.MAJOR if name[0] == "B" else Bump.MINOR, source=name)


def voiding() -> Program:
    """Void the first number."""
    return void("gc", REAL, PROJECT.at("1.0.1"))


def _setting(
    *programs: Program,
    faults: int = 0,
    again: Callable[[str], Program] = on_line,
    allowed: tuple[type, ...] = (),
    changes: bool = False,
) -> Setting:
    names = [program.name for program in programs if program.name[0] in "ABC"]
    heirs = {name: again(f"{name}+") for name in names} if faults else {}
    directories = [*names, *(heir.name for heir in heirs.values())]
    disk = {path: data for name in directories for path, data in CONTENTS.disk(name).items()}
    return Setting(
        name=f"{', '.join(program.name for program in programs)}, {faults} faults",
        objects=registry(behind=False),
        disk=disk,
        programs=programs,
        restarts=heirs,
        changes=tuple((path, CONTENTS.of(path[0], changed=True)["f0"]) for path in disk if changes),
        again=again,
        allowed=allowed,
        faults=faults,
    )


def _rebuilds(*holders: str, kinds: frozenset[str] = KINDS) -> Setting:
    planned = plan_of(Plain(registry(behind=True)))
    programs = tuple(run_rebuild(f"R{place}", REAL, holder, planned) for place, holder in enumerate(holders))
    name = f"rebuilds by {', '.join(holders)}, one fault"
    return Setting(name, registry(behind=True), {}, programs, faults=1, kinds=kinds)


def _read_and_void() -> Setting:
    return _setting(on_line("A1"), voiding(), read("reader", REAL))


SMALL: dict[str, Callable[[], Setting]] = {
    "two contents, one fault": lambda: _setting(on_line("A1"), on_line("B1"), faults=1, changes=True),
    "one content twice, one fault": lambda: _setting(on_line("A1"), on_line("A2"), faults=1, changes=True),
    "a content and a void, one fault": lambda: _setting(on_line("A1"), voiding(), faults=1),
    "one content twice and a void": lambda: _setting(on_line("A1"), on_line("A2"), voiding()),
    "two contents and a void": lambda: _setting(on_line("A1"), on_line("B1"), voiding()),
    "one content twice and another": lambda: _setting(on_line("A1"), on_line("A2"), on_line("B1")),
    "an exact number and a twin, one fault": lambda: _setting(
        on_line("A1"), on_line("A2", "1.0.2"), faults=1, allowed=(VersionTaken,)
    ),
    "a minor and a major bump, one fault": lambda: _setting(
        bump("A1"), bump("B1"), faults=1, again=bump, allowed=(BumpConflict,)
    ),
    "a content, a void and a reader": _read_and_void,
    "two runs of one holder, one fault": lambda: _rebuilds("one", "one", kinds=KINDS - {"late", "stale", "absent"}),
    "two runs of two holders, one fault": lambda: _rebuilds("one", "two"),
}
"""What is tried, by name."""
