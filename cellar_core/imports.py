"""Making versions of files that lie there already, such as those of an ml-cellar repository: not a byte is moved.

The numbers are in the directories' names, so they are taken as they are, a line at a time and in order: a number
that is left out is passed over for good, so nothing of a line is imported before all of it can be.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cellar_core import admit, layout, names
from cellar_core.catalog import Catalog
from cellar_core.check import Problem
from cellar_core.digest import digest_stream
from cellar_core.errors import CellarError, listing
from cellar_core.line import Line
from cellar_core.origin import complete
from cellar_core.payload import TEMPORARY, WORKERS, Payload, one_spelling
from cellar_core.rack import RackConfig
from cellar_core.record import FileEntry
from cellar_core.ref import InvalidRef, Model, Rack, Ref
from cellar_core.register import Draft, Registrar, Spot
from cellar_core.store import Store
from cellar_core.value import Value
from cellar_core.version import BaseVersion, InvalidVersion, ProjectVersion

__all__ = ["Imported", "import_versions"]

POINTER = b"version https://git-lfs.github.com/spec/"
"""How what stands in for a file begins, in a git repository whose large files were not fetched."""
POINTER_MOST = 1024


class Imported(Value):
    """What an import did.

    Attributes:
        imported: What are versions now, in the order in which they became so.
        already: What were versions before.
        problems: What was not imported, and why.
    """

    imported: tuple[Ref, ...]
    already: tuple[Ref, ...]
    problems: tuple[Problem, ...]


class _Importer(Registrar):
    """Takes numbers for files that lie in their places."""

    def _refuse_foreign(self, ref: Ref, key: str) -> None:
        pass


def import_versions(store: Store, place: Rack | Model, config: RackConfig) -> Imported:
    """Make versions of all directories of *place* that are none yet, bases first; each file is read and digested.

    Args:
        store: The cellar's.
        place: A rack, or one model in it.
        config: The rack's rules, which each directory must keep.

    Raises:
        NameTaken: The rack's name, or a project's, cannot be used here.
    """
    rack = place if isinstance(place, Rack) else place.rack
    names.create_rack(store, rack)
    found, problems = _directories(store, rack)
    known = Catalog(store.find(layout.records(rack)))
    wanted = {ref: files for ref, files in found.items() if place in (rack, ref.model)}
    already = [ref for ref in wanted if ref in known]
    lines: dict[Line, list[Ref]] = defaultdict(list)
    for ref in sorted(
        wanted.keys() - set(already), key=lambda ref: (not ref.model.is_base, str(ref.model), ref)
    ):
        lines[Line.of(ref)].append(ref)
    imported: list[Ref] = []
    for line, refs in lines.items():
        drafts = {ref: _draft(store, config, ref, wanted[ref]) for ref in refs}
        if wrong := [one for _, found in drafts.values() for one in found]:
            others = [ref.version for ref in refs if not drafts[ref][1]]
            problems += [*wrong, *_waiting(line, others)]
            continue
        names.keep_spelling(store, line.model)
        for ref in refs:
            try:
                record, _ = _Importer(store).register(drafts[ref][0], lambda line=line: Spot(line))  # type: ignore[misc]
                imported.append(record.ref)
            except CellarError as error:
                problems.append(Problem(path=str(ref), rule="register", sentence=str(error)))
                break  # a later number would pass this one over
    return Imported(imported=imported, already=sorted(already), problems=problems)


def _directories(store: Store, rack: Rack) -> tuple[dict[Ref, dict[str, int]], list[Problem]]:
    """The sizes of the files of each version that lies in *rack*, and what is no version."""
    found: dict[Ref, dict[str, int]] = defaultdict(dict)
    wrong: dict[str, Problem] = {}
    for key, size in store.find(layout.payload(rack)).items():
        parts = key.removeprefix(layout.payload(rack)).split("/", 2)
        if len(parts) < 3 or any(part.startswith((".git", TEMPORARY)) for part in parts):
            continue  # a file of the rack or of a project
        path = f"{rack}/{parts[0]}/{parts[1]}"
        try:
            found[Ref(path)][parts[2]] = size
        except (InvalidRef, InvalidVersion) as error:
            wrong[path] = Problem(path=path, rule="SPEC", sentence=str(error))
    return found, list(wrong.values())


def _entries(store: Store, ref: Ref, sizes: Mapping[str, int]) -> dict[str, FileEntry | Problem]:
    def one(path: str) -> FileEntry | Problem:
        key = layout.payload(ref) + path
        if sizes[path] <= POINTER_MOST and (store.read(key) or b"").startswith(POINTER):
            fetch = f"fetch it first: git lfs pull --include {shlex.quote(key)}"
            return Problem(
                path=str(ref), rule="git-lfs", sentence=f"{path} is a pointer, and no file; {fetch}"
            )
        return FileEntry(path=path, size=sizes[path], digest=digest_stream(store.chunks(key, sizes[path])))

    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(zip(sorted(sizes), pool.map(one, sorted(sizes)), strict=True))


def _draft(
    store: Store, config: RackConfig, ref: Ref, sizes: Mapping[str, int]
) -> tuple[Draft, list[Problem]]:
    """What lies at *ref*, and what is wrong with it."""
    entries = _entries(store, ref, sizes)
    files = tuple(entry for entry in entries.values() if isinstance(entry, FileEntry))
    wrong = [entry for entry in entries.values() if isinstance(entry, Problem)]
    told = [("config.toml", sentence) for sentence in config.artifact.broken(entries)]
    parent = None
    try:
        one_spelling(entries, str(ref))
        if isinstance(ref.version, ProjectVersion):
            parent = admit.parent(store, ref.model, ref.base, ref.version)
    except CellarError as error:
        told.append(("SPEC", str(error)))
    draft = Draft(
        model=ref.model,
        payload=Payload(Path(), files),
        parent=parent,
        version=ref.version,
        metrics=_metrics(store, config, ref),
        origin=complete(None),
    )
    return draft, wrong + [Problem(path=str(ref), rule=rule, sentence=sentence) for rule, sentence in told]


def _waiting(line: Line, versions: list[BaseVersion | ProjectVersion]) -> Iterator[Problem]:
    if versions:
        sentence = f"{listing(versions)} can be imported once the others of {line.prefix}* can"
        yield Problem(path=str(line.model), rule="order", sentence=sentence, advice=True)


def _metrics(store: Store, config: RackConfig, ref: Ref) -> Mapping[str, object]:
    data = store.read(layout.payload(ref) + config.document.result_file)
    try:
        found = json.loads(data or b"{}")
    except ValueError:  # ml-cellar asks for none
        return {}
    return found if isinstance(found, dict) else {"result": found}
