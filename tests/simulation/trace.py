"""Telling what happened, one request a line."""

from __future__ import annotations

import json

from cellar_core.record import TOMBSTONE_MOST
from tests.simulation.world import Effect, Error, Request

__all__ = ["line"]


def line(step: int, who: str, what: object, how: object, fault: str) -> str:
    """One step: who did what, how it went, and what the adversary did to it."""
    return f"{step:4}  {who:8} {_told(what):72} {_told(how)}{'   <-- ' * bool(fault)}{fault}".rstrip()


def _told(what: object) -> str:
    if isinstance(what, Request | Effect):
        return f"{what.kind} {what.key}" + (f" {_body(what.data)}" if what.kind == "create" else "")
    if isinstance(what, bytes):
        return _body(what)
    if isinstance(what, Error):
        return f"error: {what.value}"
    if isinstance(what, tuple):
        return ", ".join(map(_told, what)) or "nothing"
    if isinstance(what, frozenset):
        return ", ".join(sorted(what)) or "nothing"
    return str(what)


def _body(data: object) -> str:
    """What decides anything in a stored object."""
    if not isinstance(data, bytes):
        return str(data)
    try:
        facts = json.loads(data)
    except ValueError:
        return repr(data)
    if not isinstance(facts, dict):
        return repr(data)
    if len(data) <= TOMBSTONE_MOST and "void" in facts:
        return "tombstone"
    kind = "record" if "files" in facts else "claim" if "identity" in facts else facts.get("event", "object")
    digests = [str(facts[name]).partition(":")[2][:6] for name in ("identity", "request") if facts.get(name)]
    return " ".join([kind, *digests])
