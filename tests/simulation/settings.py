"""Who wants what of the registry, and who is in the way: drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from cellar_core import layout
from cellar_core.ref import Model
from cellar_core.register import BumpConflict, ForeignFiles, VersionTaken
from cellar_core.version import Bump, ProjectVersion
from tests.simulation.caller import Program
from tests.simulation.play import Setting
from tests.simulation.programs import Rules, Wish, gc, plan_of, read, register, run, trained, watch
from tests.simulation.registry import BASE, ONE, PROJECT, TWO, Plain, parent, registry

__all__ = ["Contents", "drawn"]

LETTERS = "ABC"
"""The name of a caller who registers begins with the letter of its content."""


@dataclass(frozen=True)
class Contents:
    """What lies in directories: so many files; of *equal* sizes, whatever the content, or of others."""

    equal: bool
    files: int = 2

    def of(self, letter: str, *, changed: bool = False) -> dict[str, bytes]:
        """The files of content *letter*; *changed*, the first is another."""
        size = 4 if self.equal else LETTERS.index(letter) + 1
        text = (letter.lower() if changed else letter).encode() * size
        return dict([("f0", text), ("f1", f"{letter} too".encode())][: self.files])

    def disk(self, directory: str, *, changed: bool = False) -> dict[str, bytes]:
        """A directory whose name begins with the letter of its content."""
        return {f"{directory}/{name}": data for name, data in self.of(directory[0], changed=changed).items()}


@dataclass(frozen=True)
class Draw:
    """What settings are drawn with."""

    rng: Random
    rules: Rules
    contents: Contents


def drawn(seed: int, rules: Rules) -> tuple[Setting, Contents]:
    """The setting of a seed. Each second one has different contents of equal sizes: equal sizes hide overwriting."""
    rng = Random(seed)
    contents = Contents(equal=seed % 2 == 0)
    return rng.choice(MIX)(Draw(rng, rules, contents)), contents


def on_one_line(draw: Draw) -> Setting:
    """Callers who register on one line of a project, some of them the same content, one perhaps at an exact number."""
    rng = draw.rng
    names = rng.choice(["A1 A2", "A1 B1", "A1 A2 B1", "A1 B1 C1", "A1 A2 A3"]).split()
    exact = f"1.0.{rng.randint(1, 3)}" if rng.random() < 0.2 else None

    def registering(name: str, version: str | None = None) -> Program:
        wish = Wish(parent=parent(ONE), version=ProjectVersion(version) if version else None)
        return register(name, draw.rules, wish)

    setting = Setting(
        name=f"{' '.join(names)} on a line" + (f", the first at {exact}" if exact else ""),
        objects=registry(behind=False),
        disk={},
        programs=(registering(names[0], exact), *map(registering, names[1:])),
        heirs=_heirs(rng, names, registering),
        again=registering,
        allowed=(VersionTaken,) if exact else (),
    )
    return _disturbed(draw, setting, PROJECT)


def bumps(draw: Draw) -> Setting:
    """Callers who bump one base, minor and major."""
    rng = draw.rng
    names = rng.choice(["A1 A2", "A1 B1", "A1 A2 B1", "A1 B1 C1", "B1 C1"]).split()
    majors = rng.choice(["", "B", "BC"])

    def registering(name: str) -> Program:
        return register(name, draw.rules, Wish(BASE, bump=Bump.MAJOR if name[0] in majors else Bump.MINOR))

    setting = Setting(
        name=f"{' '.join(names)} bump a base" + (f", {majors} by a major one" if majors else ""),
        objects=registry(behind=False),
        disk={},
        programs=tuple(map(registering, names)),
        heirs=_heirs(rng, names, registering),
        again=registering,
        allowed=(BumpConflict,),
    )
    return _disturbed(draw, setting, BASE)


def beside_foreign_files(draw: Draw) -> Setting:
    """Files that nobody registered lie at a number of the line; listings tell the truth."""
    rng, setting = draw.rng, on_one_line(draw)
    place = layout.payload(PROJECT.at(f"1.0.{rng.randint(1, 2)}"))
    found = draw.contents.of(rng.choice("AB"), changed=rng.random() < 0.7)
    files = {f"{place}{name}": data for name, data in found.items() if name == "f0" or rng.random() < 0.7}
    return replace(
        setting,
        name=f"{setting.name}, beside foreign files",
        objects=setting.objects | files,
        foreign=frozenset(files),
        allowed=(*setting.allowed, ForeignFiles),
        kinds=setting.kinds - {"stale", "absent"},
    )


def rebuilds(draw: Draw) -> Setting:
    """Runs of one rebuild: doubled ones, retried ones whose first try lives, and who takes them for dead."""
    rng, rules = draw.rng, draw.rules
    planned = plan_of(Plain(registry(behind=True)))
    holders = rng.choice(["one one", "one two", "one one two", "one two three"]).split()
    names = {f"{rng.choice('RRS')}{place}": holder for place, holder in enumerate(holders)}
    programs = [
        run(name, rules, holder, rng.choice([planned, planned, None])) for name, holder in names.items()
    ]
    programs += [watch(f"watch{place}", rules) for place in range(rng.randint(0, 3))]
    disk = {}
    if rng.random() < 0.3:  # somebody registers by hand what a run trained
        programs.append(register("by hand", rules, Wish(parent=parent(TWO))))
        disk = {f"by hand/{file}": data for file, data in trained(next(iter(names))).items()}
    setting = Setting(
        name=f"runs of a rebuild: {', '.join(f'{name} by {holder}' for name, holder in names.items())}",
        objects=registry(behind=True),
        disk=disk,
        programs=tuple(programs),
        heirs={
            name: run(f"{name}+", rules, holder, planned)
            for name, holder in names.items()
            if rng.random() < 0.7
        },
    )
    return _disturbed(draw, setting, PROJECT)


MIX: tuple[Callable[[Draw], Setting], ...] = (
    *3 * (on_one_line,),
    *2 * (bumps,),
    beside_foreign_files,
    *4 * (rebuilds,),
)


def _heirs(rng: Random, names: list[str], registering: Callable[[str], Program]) -> dict[str, Program]:
    """Who takes a dead caller's place: with the same content mostly, or with other content."""
    return {
        name: registering(f"{name}+" if rng.random() < 0.7 else f"C{name}")
        for name in names
        if rng.random() < 0.7
    }


def _disturbed(draw: Draw, setting: Setting, model: Model) -> Setting:
    """Add those who void and read, the directories, and what the adversary may do."""
    rng, contents = draw.rng, draw.contents
    voiding, reading = rng.choice([0, 0, 1, 1, 2]), rng.choice([0, 0, 1])
    programs = [
        *setting.programs,
        *(gc(f"gc{place}", draw.rules, model, patient=rng.random() < 0.3) for place in range(voiding)),
        *(read(f"reader{place}", draw.rules, model) for place in range(reading)),
    ]
    everybody = (*programs, *setting.heirs.values())
    directories = [program.name for program in everybody if program.name[0] in LETTERS]
    changes = [(f"{name}/f0", contents.of(name[0], changed=True)["f0"]) for name in directories]
    return replace(
        setting,
        programs=tuple(programs),
        disk=setting.disk
        | {path: data for name in directories for path, data in contents.disk(name).items()},
        changes=tuple(changes) if rng.random() < 0.5 else (),
        faults=rng.choice([0, 0, 1, 1, 2, 3, 5]),
    )
