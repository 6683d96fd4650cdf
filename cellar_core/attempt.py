"""The log of one project's rebuild onto one base: which attempts were started, failed, lost or asked for."""

from __future__ import annotations

import enum

from cellar_core.log import Entry

__all__ = ["LOST_MOST", "Attempt", "Event", "follow"]

LOST_MOST = 3
"""So many attempts lost in a row count as a failure: something kills them."""


class Event(enum.StrEnum):
    """What happened to an attempt."""

    STARTED = "started"
    FAILED = "failed"
    LOST = "lost"
    ASKED = "asked"


class Attempt(Entry):
    """One entry. Each carries forward what a plan must know, so that the last one alone tells everything.

    Attributes:
        event: What happened.
        request: The digest ``Q`` of what was to be built, for started, failed and lost.
        holder: Who has the work: scheduler, run, task and map index; not the try.
        policy: For failed: the digest of the rack's rules and the project's recipe then.
        asked: The number of the last ``asked`` entry up to this one; 0 if there is none.
        lost: How many attempts were lost in a row up to this one.
        number: This entry's own number, from 1.
    """

    event: Event
    request: str | None = None
    holder: str | None = None
    policy: str | None = None
    asked: int = 0
    lost: int = 0
    number: int = 0


def follow(last: Attempt | None, event: Event, **facts: str | None) -> Attempt:
    """The entry that comes after *last*, or the first one."""
    number = last.number + 1 if last else 1
    goes_on = last and last.request == facts.get("request") and event in (Event.STARTED, Event.LOST)
    lost = last.lost if last and goes_on else 0
    return Attempt.model_validate(
        {
            **facts,
            "event": event,
            "number": number,
            "asked": number if event is Event.ASKED else (last.asked if last else 0),
            "lost": lost + (event is Event.LOST),
        }
    )
