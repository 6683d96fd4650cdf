"""What runs in the triggerer: looks at a rack now and then, and says when there is work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk.log import redact  # type: ignore[attr-defined]  # as Airflow's own providers do
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from cellar_airflow.hook import CellarHook
from cellar_airflow.settings import setting
from cellar_core import CellarError, Plan

LONGEST_PAUSE = 60.0
"""Seconds between two looks at a cellar that does not answer."""


async def look(rack: str, conn_id: str) -> Plan:
    """The plan of a rack, made in a thread: the triggerer's event loop is shared with all other triggers."""
    return await asyncio.to_thread(lambda: CellarHook(conn_id).cellar.plan(rack))


class Announcer:
    """Decides when a plan is worth an event: once for each new piece of work, and again while it is not done.

    It is only a hint, and forgets everything with its process: what has to be rebuilt is computed from the registry by
    whoever gets the event, so that one event too many costs a look, and one too few a delay of `interval`.

    Args:
        interval: seconds after which an unchanged plan is announced again, if work is wanted or in progress.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._announced: frozenset[str] = frozenset()
        self._at = float("-inf")

    def event(self, plan: Plan, now: float) -> dict[str, Any] | None:
        """The payload of the event to send at *now* (in seconds of any clock), or None."""
        work = {rebuild.run_key: str(rebuild.model) for rebuild in plan.rebuilds}
        in_progress = {str(skip.model) for skip in plan.in_progress}
        new = work.keys() - self._announced
        due = bool(work or in_progress) and now - self._at >= self.interval
        if not new and not due:
            return None
        self._announced, self._at = frozenset(work), now
        return {
            "rack": str(plan.rack),
            "base": plan.head and str(plan.head),
            "rebuild": sorted(work.values()),
            "in_progress": sorted(in_progress),
        }


class BaseBumpedTrigger(BaseEventTrigger):
    """Watches a rack, and sends one event when there is new work in its plan. It never ends.

    A cellar that does not answer is asked again with growing pauses, because Airflow restarts a trigger that fails
    every other second and tells no user. How often it looks is set in `[cellar]` of `airflow.cfg`.

    Args:
        rack: such as `vit/vit-l`.
        conn_id: connection of type `cellar`. Arguments of triggers can be read in the serialized DAG: no secret here.
    """

    def __init__(self, rack: str, conn_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rack = rack
        self.conn_id = conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow keeps of it."""
        return f"{__name__}.{type(self).__name__}", {"rack": self.rack, "conn_id": self.conn_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each change of the plan that adds work, and reminders while work is left."""
        pause = poll = float(setting("poll_interval"))
        announcer = Announcer(float(setting("reannounce_interval")))
        self.log.info("Looking at %s every %g s.", self.rack, poll)
        while True:
            try:
                plan = await look(self.rack, self.conn_id)
            except Exception as error:  # noqa: BLE001  whatever it is, the watcher stays
                pause = min(2 * pause, max(poll, LONGEST_PAUSE))
                self.log.warning("Cannot look at %s, next try in %g s: %s", self.rack, pause, error)
            else:
                pause = poll
                if event := announcer.event(plan, time.monotonic()):
                    self.log.info("Announcing %s", event)
                    yield TriggerEvent(event)
            await asyncio.sleep(pause)


class WorkTrigger(BaseTrigger):
    """Waits for a deferred `BaseBumpedSensor` until the rack's plan has work; then it ends.

    An error ends it as well, with an event that says so: an exception here would be hidden by the sensor's `soft_fail`.

    Args:
        rack: such as `vit/vit-l`.
        conn_id: connection of type `cellar`.
        poke_interval: seconds between two looks.
    """

    def __init__(self, rack: str, conn_id: str, poke_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rack = rack
        self.conn_id = conn_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow keeps of it."""
        arguments = {"rack": self.rack, "conn_id": self.conn_id, "poke_interval": self.poke_interval}
        return f"{__name__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the rebuilds that are wanted, or the error."""
        try:
            plan = await look(self.rack, self.conn_id)
            while not plan:
                await asyncio.sleep(self.poke_interval)
                plan = await look(self.rack, self.conn_id)
        except Exception as error:  # noqa: BLE001  the sensor raises it again, in the task
            permanent = isinstance(error, CellarError) and not error.retryable
            message = str(
                redact(str(error))
            )  # an event is kept in the database, and an error may quote an option
            yield TriggerEvent({"status": "error", "message": message, "permanent": permanent})
        else:
            yield TriggerEvent({"status": "work", "rebuilds": plan.model_dump(mode="json")["rebuilds"]})
