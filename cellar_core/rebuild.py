"""One attempt at a rebuild: begin it, train, register; at most one version ever comes of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from cellar_core import layout
from cellar_core.attempt import Attempt, Event, follow
from cellar_core.errors import CellarError
from cellar_core.log import ChangedMeanwhile, append, last_number
from cellar_core.plan import Plan, Rebuild
from cellar_core.record import Record
from cellar_core.ref import Model, Ref
from cellar_core.register import Superseded
from cellar_core.state import read_attempt
from cellar_core.store import Store
from cellar_core.trainer import TrainerFailed
from cellar_core.value import Value
from cellar_core.version import BaseVersion
from cellar_core.want import Reason, Skip

__all__ = ["NotAskable", "Rebuilt", "ask", "attempt", "mark_lost", "skip_of"]


class NotAskable(CellarError):
    """There is no attempt at a rebuild to ask for again, or to take over. Trying again does not help."""


class Rebuilt(Value):
    """How an attempt ended, when it did not fail.

    Attributes:
        outcome: ``built`` by this run; ``already`` there from an earlier run of the same request; ``skipped``,
            because another run has the work or it is not wanted any more.
        model: The project's model.
        ref: The version, unless skipped.
        record: Its record, unless skipped.
        detail: One sentence for people.
    """

    outcome: Literal["built", "already", "skipped"]
    model: Model
    ref: Ref | None = None
    record: Record | None = None
    detail: str

    @classmethod
    def of(cls, outcome: Literal["built", "already"], record: Record) -> Rebuilt:
        """The outcome of a request that has a version."""
        verb = "was built" if outcome == "built" else "is there already, of the same request"
        return cls(
            outcome=outcome, model=record.model, ref=record.ref, record=record, detail=f"{record.ref} {verb}"
        )


def attempt(
    store: Store,
    rebuild: Rebuild,
    holder: str,
    build: Callable[[], tuple[Record, bool]],
    *,
    found: Callable[[], Record | None],
    policy: str,
    last_try: bool,
) -> Rebuilt:
    """Run one attempt, and leave in its log how it went.

    Args:
        store: The cellar's.
        rebuild: What the plan asked for.
        holder: Who runs it: scheduler, run, task and map index; the same for each try.
        build: Trains and registers; gives the record, and whether it is this run's own.
        found: Looks for a version that the request already has.
        policy: The digest that a failure is remembered with.
        last_try: Whether the orchestrator will not try again by itself; only then is a failure written down, or if
            trying again cannot help: then no orchestrator does.
    """
    if record := found():
        return Rebuilt.of("already", record)
    begun = _begin(store, rebuild, holder)
    if isinstance(begun, str):
        return Rebuilt(outcome="skipped", model=rebuild.model, detail=begun)
    try:
        record, own = build()
        return Rebuilt.of("built" if own else "already", record)
    except Superseded as error:
        _note(store, rebuild, begun, Event.LOST, why=str(error))
        record = found()
        return (
            Rebuilt.of("already", record)
            if record
            else Rebuilt(outcome="skipped", model=rebuild.model, detail=str(error))
        )
    except Exception as error:
        if last_try or (isinstance(error, CellarError) and not error.retryable):
            _note(store, rebuild, begun, Event.FAILED, policy=policy, why=_short(error))
        raise
    except BaseException:
        if last_try:
            _note(store, rebuild, begun, Event.LOST, why="interrupted")
        raise


def ask(store: Store, plan: Plan, model: Model, why: str) -> Attempt:
    """Ask for another attempt at a rebuild that failed; raises NotAskable if none failed."""
    skip = skip_of(plan, model)
    if skip.reason not in (Reason.FAILED_BEFORE, Reason.YANKED_BEFORE) or skip.base is None:
        hints = {
            Reason.UP_TO_DATE: f"for new data or parameters use: cellar retrain {model}",
            Reason.IN_PROGRESS: "if its scheduler is gone for good use: cellar rebuild --take-over",
        }
        raise NotAskable(
            f"{model}: nothing failed, it {skip.sentence}; {hints.get(skip.reason, 'see: cellar plan')}"
        )
    return _append(store, skip, Event.ASKED, why=why)


def mark_lost(store: Store, skip: Skip, why: str) -> Attempt:
    """Write down that the holder of a rebuild in progress has ended without a word, so that a plan asks for it anew.

    Only whoever knows may say so: the holder's own scheduler, or a person. If the holder lives after all, it and
    its successor still make one version between them.

    Raises:
        NotAskable: It is not in progress.
        ChangedMeanwhile: Its log has grown.
    """
    if skip.reason is not Reason.IN_PROGRESS:
        raise NotAskable(f"{skip.model} is not in progress: it {skip.sentence}")
    return _append(store, skip, Event.LOST, why=why)


def skip_of(plan: Plan, model: Model) -> Skip:
    """What *plan* says of *model*; raises NotAskable if it is about to be rebuilt anyway, or unknown."""
    for skip in plan.skips:
        if skip.model == model and skip.reason is not Reason.QUEUED:
            return skip
    if model in {one.model for one in plan.rebuilds} | {one.model for one in plan.skips}:
        raise NotAskable(f"{model} will be rebuilt as it is; see: cellar plan {model.rack}")
    raise NotAskable(f"{model} is no project of the rack that a plan knows; see: cellar plan {model.rack}")


def _append(store: Store, skip: Skip, event: Event, why: str) -> Attempt:
    assert skip.base is not None
    base = BaseVersion(str(skip.base.version))
    last = read_attempt(store, skip.model, base, skip.attempt)
    entry = follow(last, event, request=last.request, holder=skip.holder, why=why)
    append(store, layout.rebuild_log(skip.model, base), entry.number, entry)
    return entry


def _begin(store: Store, rebuild: Rebuild, holder: str) -> Attempt | str:
    """Write ``started``, or find one's own from an earlier try; a sentence, if another run has the work."""
    base = BaseVersion(str(rebuild.base.version))
    log = layout.rebuild_log(rebuild.model, base)
    number = last_number(store, log)
    last = read_attempt(store, rebuild.model, base, number) if number else None
    if last and number >= rebuild.attempt:
        if last.holder != holder:
            what = "has the work since" if last.event is Event.STARTED else f"wrote {last.event} at"
            return f"{last.holder or last.by} {what} {last.at:%Y-%m-%d %H:%M} UTC"
        if last.event is Event.STARTED:
            return last
    entry = follow(last, Event.STARTED, request=rebuild.request, holder=holder)
    try:
        append(store, log, entry.number, entry)
    except ChangedMeanwhile:
        return _begin(store, rebuild, holder)
    return entry


def _note(store: Store, rebuild: Rebuild, begun: Attempt, event: Event, **facts: str) -> None:
    log = layout.rebuild_log(rebuild.model, BaseVersion(str(rebuild.base.version)))
    entry = follow(begun, event, request=begun.request, holder=begun.holder, **facts)
    # Somebody who thought this run lost may have written already: then theirs counts.
    store.create(layout.entry(log, entry.number), entry.to_bytes())


def _short(error: BaseException) -> str:
    """The first line of what went wrong; of what the trainer raised itself, if it did."""
    error = error.__cause__ if isinstance(error, TrainerFailed) and error.__cause__ else error
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
