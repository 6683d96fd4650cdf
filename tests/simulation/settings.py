"""What a play begins with: a small registry, and who wants what of it; and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

from cellar_core import layout
from cellar_core.line import Line
from cellar_core.payload import Payload
from cellar_core.plan import Reason
from cellar_core.record import FileEntry, Parent, Record
from cellar_core.ref import Model, Ref
from cellar_core.register import BumpConflict, Draft, ForeignFiles, Registrar, Spot, VersionTaken
from cellar_core.store import Store
from cellar_core.version import BaseVersion, Bump, ProjectVersion
from tests.simulation import invariants
from tests.simulation.caller import Program
from tests.simulation.invariants import Violation
from tests.simulation.programs import BASE, ONE, PROJECT, Planned, Rules, gc, plan_of, read, register, run_rebuild, trained, watch
from tests.simulation.schedule import Play, Setting
from tests.simulation.world import entry_digest

__all__ = ["drawn", "epilogue"]

TWO = BASE.at("1.1")


# The registry that is there


class Plain(Store):
    """A store that nobody disturbs."""

    url = "plain://"

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def create(self, key: str, data: bytes) -> bool:
        return self.objects.setdefault(key, data) == data

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def find(self, prefix: str) -> Mapping[str, int]:
        return {key: len(data) for key, data in self.objects.items() if key.startswith(prefix)}

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        yield self.objects[key]

    def upload(self, source: Path, key: str, expected: FileEntry, on_bytes: Callable[[int], object]) -> None:
        self.objects[key] = b"there"

    def delete(self, key: str) -> None:
        del self.objects[key]


@cache
def registry(*, behind: bool) -> dict[str, bytes]:
    """A rack with base 1.0; or also with projectA 1.0.1 on it and base 1.1, so that a rebuild is wanted."""
    store = Plain({})
    store.create(layout.rack(BASE.rack), b"{}")
    _add(store, ONE)
    if behind:
        _add(store, PROJECT.at("1.0.1"), Parent(ref=ONE, tree=_tree(store.objects, ONE)))
        _add(store, TWO)
    return store.objects


def _add(store: Plain, ref: Ref, parent: Parent | None = None) -> None:
    entry = FileEntry(path="f0", size=5, digest=entry_digest(b"there"))
    draft = Draft(ref.model, Payload(Path("there"), (entry,)), parent=parent, version=ref.version, again=str(ref))
    Registrar(store).register(draft, lambda: Spot(Line.of(ref)))


def _tree(objects: Mapping[str, bytes], ref: Ref) -> str:
    return Record.from_bytes(objects[layout.record(ref)], str(ref)).tree


# Who acts in it


def drawn(seed: int, rules: Rules) -> tuple[Setting, Contents]:
    """The setting of a seed. Each second has different contents of equal sizes: equal sizes hide overwriting."""
    rng = Random(seed)
    kind = rng.choice(MIX)
    contents = Contents(equal=seed % 2 == 0)
    return kind(rng, rules, contents), contents


@dataclass
class Contents:
    """What lies in directories: so many files; different contents of *equal* sizes, or of others."""

    equal: bool
    files: int = 2

    def of(self, letter: str, changed: bool = False) -> dict[str, bytes]:
        """The files of content *letter*; *changed*, one of them is another."""
        size = 4 if self.equal else ord(letter) - ord("A") + 1
        text = (letter.lower() if changed else letter).encode() * size
        return dict([("f0", text), ("f1", f"{letter} too".encode())][: self.files])

    def disk(self, directory: str) -> dict[str, bytes]:
        """A directory that is named for its content."""
        return {f"{directory}/{name}": data for name, data in self.of(directory[0]).items()}


def parent_of(base: Ref, *, behind: bool = False) -> Parent:
    """What a project's version that is made from *base* says of it."""
    return Parent(ref=base, tree=_tree(registry(behind=behind), base))


def line(rng: Random, rules: Rules, contents: Contents) -> Setting:
    """Callers who register on one line of a project, some of them the same content; and who disturbs them."""
    parent = parent_of(ONE)

    def registering(name: str, version: ProjectVersion | None = None) -> Program:
        return register(name, rules, parent=parent, version=version, source=name)

    names = list(rng.choice([("A1", "A2"), ("A1", "B1"), ("A1", "A2", "B1"), ("A1", "B1", "C1"), ("A1", "A2", "A3")]))
    exact = rng.random() < 0.2
    versions = {names[0]: ProjectVersion(f"1.0.{rng.randint(1, 3)}")} if exact else {}
    programs = [registering(name, versions.get(name)) for name in names]
    return _disturbed(rng, rules, contents, Setting(
        name=f"line {' '.join(names)}",
        objects=registry(behind=False),
        disk={},
        programs=tuple(programs),
        restarts={name: registering(_heir(rng, name)) for name in names if rng.random() < 0.7},
        again=registering,
        allowed=(VersionTaken,) if exact else (),
    ), PROJECT)  # fmt: skip


def base(rng: Random, rules: Rules, contents: Contents) -> Setting:
    """Callers who bump one base, minor and major; tries of one bump keep its line."""

    def registering(name: str) -> Program:
        bump = Bump.MAJOR if name[0] in majors else Bump.MINOR
        return register(name, rules, model=BASE, bump=bump, source=name)

    majors = rng.choice(["", "B", "BC"])
    names = rng.choice([("A1", "A2"), ("A1", "B1"), ("A1", "A2", "B1"), ("A1", "B1", "C1"), ("B1", "C1")])
    return _disturbed(rng, rules, contents, Setting(
        name=f"base {' '.join(names)}, major: {majors or 'none'}",
        objects=registry(behind=False),
        disk={},
        programs=tuple(map(registering, names)),
        restarts={name: registering(_heir(rng, name)) for name in names if rng.random() < 0.7},
        again=registering,
        allowed=(BumpConflict,),
    ), BASE)  # fmt: skip


def foreign(rng: Random, rules: Rules, contents: Contents) -> Setting:
    """The same, where files that nobody registered lie at a number; listings tell the truth."""
    setting = line(rng, rules, contents)
    place = layout.payload(PROJECT.at(f"1.0.{rng.randint(1, 2)}"))
    files = contents.of(rng.choice("AB"), changed=rng.random() < 0.7)
    files = {f"{place}{name}": data for name, data in files.items() if rng.random() < 0.7 or name == "f0"}
    return replace(
        setting,
        name=f"foreign files, {setting.name}",
        objects=setting.objects | files,
        foreign=frozenset(files),
        allowed=(*setting.allowed, ForeignFiles),
        kinds=setting.kinds - {"stale", "absent"},
    )


def rebuilds(rng: Random, rules: Rules, contents: Contents) -> Setting:
    """Runs of one rebuild: doubled ones, retried ones whose first try lives, and somebody who takes them for dead."""
    planned = plan_of(Plain(registry(behind=True)))
    holders = rng.choice([("one", "one"), ("one", "two"), ("one", "one", "two"), ("one", "two", "three")])
    runs = [(f"R{place}", holder) for place, holder in enumerate(holders)]
    programs = [run_rebuild(name, rules, holder, rng.choice([planned, planned, None])) for name, holder in runs]
    programs += [watch(f"watch{place}", rules) for place in range(rng.randint(0, 3))]
    disk = {}
    if rng.random() < 0.3:  # somebody registers by hand what a run trained
        programs.append(register("by hand", rules, parent=parent_of(TWO, behind=True), source="rescued"))
        disk = {f"rescued/{file}": data for file, data in trained("R0").items()}
    return _disturbed(rng, rules, contents, Setting(
        name=f"rebuilds by {' '.join(holders)}",
        objects=registry(behind=True),
        disk=disk,
        programs=tuple(programs),
        restarts={name: run_rebuild(f"{name}+", rules, holder, planned) for name, holder in runs if rng.random() < 0.7},
    ), PROJECT)  # fmt: skip


MIX = (line, line, line, base, base, foreign, rebuilds, rebuilds, rebuilds, rebuilds)


def _heir(rng: Random, name: str) -> str:
    """Who takes a dead caller's place: with the same content mostly, or with other content."""
    return f"{name}+" if rng.random() < 0.7 else f"C{name}"


def _disturbed(rng: Random, rules: Rules, contents: Contents, setting: Setting, model: Model) -> Setting:
    """Add those who void and read, the directories, and what the adversary may do."""
    programs = list(setting.programs)
    programs += [gc(f"gc{place}", rules, model, patient=rng.random() < 0.3) for place in range(rng.choice([0, 0, 1, 1, 2]))]
    programs += [read(f"reader{place}", rules, model) for place in range(rng.choice([0, 0, 1]))]
    registering = [p.name for p in (*programs, *setting.restarts.values()) if p.name[0] in "ABC"]
    disk = {path: data for name in registering for path, data in contents.disk(name).items()}
    changes = tuple((f"{name}/f0", contents.of(name[0], changed=True)["f0"]) for name in registering)
    return replace(
        setting,
        programs=tuple(programs),
        disk=setting.disk | disk,
        changes=changes if rng.random() < 0.3 else (),
        faults=rng.choice([0, 0, 1, 1, 2, 3, 5]),
    )


# How it ends


def epilogue(play: Play, rules: Rules, contents: Contents) -> None:
    """When all have ended or died: whoever comes then, undisturbed, still gets what was promised."""
    setting = play.setting
    voids = any(program.name.startswith("gc") for program in setting.programs)
    if not setting.again:
        names = [program.name for program in setting.programs]
        if not any(name.startswith("watch") for name in names):
            invariants.unwasted(play.world)
        invariants.frugal(play.world)
        return _rebuilt(play, rules)
    if not play.caused and not voids and not setting.allowed:
        invariants.settled(play.world)  # nobody failed, so nothing is missing
    _finished(play, contents, setting.again)
    invariants.settled(play.world)
    return None


def _finished(play: Play, contents: Contents, again: Callable[[str], Program]) -> None:
    """The next register of the same content finishes what a dead caller has begun; so nothing is left open."""
    programs = (*play.setting.programs, *play.setting.restarts.values())
    for letter in sorted({program.name[0] for program in programs} & set("ABC")):
        for changed in (False, True) if play.setting.changes else (False,):
            name = f"{letter}-last{'-changed' * changed}"
            play.world.disk |= {f"{name}/{file}": data for file, data in contents.of(letter, changed).items()}
            play.alone(again(name))


def _rebuilt(play: Play, rules: Rules) -> None:
    """A project does not stay behind for ever: plans, runs and people who ask bring it to the newest base."""
    for turn in range(8):
        end = play.alone(run_rebuild(f"last{turn}", rules, f"last{turn}"))
        if isinstance(end, Planned):
            if [skip.reason for skip in end.plan.skips] == [Reason.UP_TO_DATE]:
                return
            play.alone(watch(f"ask{turn}", rules))
    raise Violation("ends", "the project stays behind for ever")
