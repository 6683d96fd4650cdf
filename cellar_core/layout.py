"""Where each thing lies: the only place that builds or parses a key.

SPEC gives the payload's tree, ``{rack}/{project}/{version}/``; all that is ours lies under ``.cellar/``, by kind.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cellar_core.line import Line
from cellar_core.ref import InvalidRef, Model, Rack, Ref, Version
from cellar_core.version import BaseVersion, InvalidVersion

__all__ = [
    "FORMAT",
    "LOOKS",
    "RACKS",
    "alias_log",
    "aliases",
    "approval_log",
    "claim",
    "claims",
    "config",
    "entry",
    "entry_number",
    "log_of",
    "name",
    "parse_alias",
    "parse_approval",
    "parse_claim",
    "parse_rack",
    "parse_rebuild",
    "parse_record",
    "parse_records",
    "parse_version",
    "payload",
    "pinned_line",
    "probe",
    "probes",
    "rack",
    "rack_file",
    "rebuild_log",
    "rebuild_logs",
    "record",
    "records",
    "yank_log",
    "yanks",
]

ROOT = ".cellar"
FORMAT = f"{ROOT}/format/"
LOOKS = f"{ROOT}/gc/"
RACKS = f"{ROOT}/racks/"
_RECORDS = f"{ROOT}/records/"


def config(of: Rack) -> str:
    """The rack's rules and policy; the only file that may change."""
    return f"{of}/config.toml"


def rack_file(of: Rack, name: str) -> str:
    """A file beside the projects of a rack, such as its ``README.md``."""
    return f"{of}/{name}"


def payload(of: Ref | Rack | None) -> str:
    """The prefix that a version's files lie under, those of a whole rack, or those of all racks (None)."""
    return f"{of}/" if of else ""


def rack(of: Rack) -> str:
    """What says that a rack exists."""
    return f"{RACKS}{of}.json"


def parse_rack(key: str) -> Rack | None:
    """The rack that such a key is of; None for a foreign file."""
    text = key.removeprefix(RACKS)
    try:
        return Rack(text.removesuffix(".json")) if text.endswith(".json") else None
    except InvalidRef:
        return None


def name(of: Model) -> str:
    """The one spelling of a model's name, under what all its spellings fold to."""
    return f"{ROOT}/names/{str(of).casefold()}.json"


def claim(ref: Ref) -> str:
    """The claim of a number."""
    return f"{ROOT}/claims/{ref}.json"


def claims(of: Model | Line | Rack | None) -> str:
    """The prefix of the claims of a model, of one line, of a whole rack, or of all racks (None)."""
    if isinstance(of, Line):
        return f"{ROOT}/claims/{of.model}/{of.prefix}"
    return f"{ROOT}/claims/{of}/" if of else f"{ROOT}/claims/"


def parse_claim(key: str) -> Ref | None:
    """The ref that a claim's key is of; None for a foreign file."""
    return _ref(key.removeprefix(f"{ROOT}/claims/"))


def record(ref: Ref) -> str:
    """THE commit point of a version."""
    return f"{ROOT}/records/{ref}.json"


def records(of: Model | Rack | None) -> str:
    """The prefix of the records of a model, of a whole rack, or of all racks (None)."""
    return f"{ROOT}/records/{of}/" if of else f"{ROOT}/records/"


def yanks(base: Ref) -> str:
    """The prefix of the yanks of *base* and of all that was made from it: few, so that listing them costs nothing."""
    return f"{_RECORDS}{base}.yank/"


def yank_log(ref: Ref) -> str:
    """The log of a version's yanks: an odd number of entries is yanked, an even number is taken back."""
    return f"{yanks(ref.base)}{ref.project}/{ref.version}/"


def parse_record(key: str) -> tuple[Ref, int] | None:
    """The ref that a key among the records is of, and the number of its yank entry (0: the record itself)."""
    text = key.removeprefix(_RECORDS)
    if ".yank/" in text and (match := re.fullmatch(r"(.+)\.yank/([^/]+/[^/]+)/([0-9]{6})\.json", text)):
        base = _ref(f"{match[1]}.json")
        ref = _ref(f"{base.rack}/{match[2]}.json") if base else None
        return (ref, int(match[3])) if ref and ref.base == base else None
    return (ref, 0) if (ref := _ref(text)) else None


def parse_records(directory: str) -> Model | None:
    """The model whose records lie in a directory; None if it is none of a model."""
    try:
        return _model(directory.removeprefix(_RECORDS))
    except InvalidRef:
        return None


@lru_cache(maxsize=2**14)  # who polls lists the same names again and again
def parse_version(of: Model, name: str) -> Version | None:
    """The version that a record in the directory of its model is of, from the file's name; None for a foreign file."""
    text = name.removesuffix(".json")
    try:
        return of.version(text) if text != name else None
    except InvalidVersion:
        return None


def _ref(text: str) -> Ref | None:
    model, _, version = text.removesuffix(".json").rpartition("/")
    try:
        return _model(model).at(version) if text.endswith(".json") else None
    except (InvalidRef, InvalidVersion):
        return None


_model = lru_cache(maxsize=1024)(Model)  # a listing has few models, and many versions of each


def rebuild_logs(of: Rack) -> str:
    """The prefix of the logs of a rack's rebuilds, and of what was approved for them."""
    return f"{ROOT}/rebuilds/{of}/"


def rebuild_log(model: Model, base: BaseVersion) -> str:
    """The log of what happened to the rebuild of *model* onto *base*."""
    return f"{ROOT}/rebuilds/{model}/{base}/"


def parse_rebuild(key: str) -> tuple[Model, BaseVersion, int] | None:
    """Model, base and number of an entry of a rebuild log; None for a foreign file."""
    parts = key.removeprefix(f"{ROOT}/rebuilds/").rsplit("/", 2)
    number = entry_number(key)
    try:
        return (Model(parts[0]), BaseVersion(parts[1]), number) if number and len(parts) == 3 else None
    except (InvalidRef, InvalidVersion):
        return None


def alias_log(model: Model, alias: str) -> str:
    """The log of where an alias pointed."""
    return f"{ROOT}/aliases/{model}/{alias}/"


def aliases(of: Model | Rack) -> str:
    """The prefix of the logs of the aliases of a model, or of a whole rack."""
    return f"{ROOT}/aliases/{of}/"


def parse_alias(key: str) -> tuple[Model, str] | None:
    """The model and the alias that a key of such a log is of; None for a foreign file."""
    match = re.fullmatch(rf"{re.escape(ROOT)}/aliases/(.+)/([^/]+)/[0-9]{{6}}\.json", key)
    try:
        return (Model(match[1]), match[2]) if match else None
    except InvalidRef:
        return None


def approval_log(of: Rack, project: str, base: BaseVersion) -> str:
    """The log of who approved *base* for *project* (``base``: for all); beside the rebuilds, so one listing tells."""
    return f"{rebuild_logs(of)}{project}/{base}.approved."


def parse_approval(key: str, of: Rack) -> tuple[str, BaseVersion] | None:
    """The project (``base`` for all of them) and the base that an approval's key names; None for a foreign file."""
    match = re.fullmatch(r"([^/]+)/([^/]+)\.approved\.[0-9]{6}\.json", key.removeprefix(rebuild_logs(of)))
    try:
        return (match[1], BaseVersion(match[2])) if match else None
    except InvalidVersion:
        return None


def pinned_line(model: Model, holder: str) -> str:
    """The line that *holder*, a digest of an orchestrator's task, was given for its bump."""
    return f"{ROOT}/lines/{model}/{holder.partition(':')[2]}.json"


def probes(run: str) -> str:
    """The prefix of what the racers of a probe race for."""
    return f"{ROOT}/probe/{run}/"


def probe(run: str, turn: int) -> str:
    """What they race for in one round."""
    return f"{probes(run)}{turn:06}.json"


def entry(log: str, number: int) -> str:
    """Entry *number* (from 1) of a numbered log."""
    return f"{log}{number:06}.json"


def entry_number(key: str) -> int | None:
    """The number of a log entry, from its key; None for a foreign file."""
    match = re.search(r"([0-9]{6})\.json$", key)
    return int(match[1]) if match else None


def log_of(key: str) -> str:
    """The numbered log that an entry's key is of; the key without its number.

    >>> log_of(entry("log/", 7))
    'log/'
    """
    return re.sub(r"[0-9]{6}\.json$", "", key)
