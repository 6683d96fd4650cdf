"""What a run shows beside its log: the plan, the lineage of the rack, progress, and a link to each version.

They are for people to look at, so a run never fails for want of one: the log says why it is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from cellar_core import Cellar, Model, Plan, Rack, Rebuild, Record
from cellar_core.markdown import markdown
from cellar_core.narrate import by_tenths
from cellar_core.progress import lines
from cellar_core.report import decisions, read, read_current
from cellar_prefect.run import flow_run_id, run_logger, task_run_id

if TYPE_CHECKING:
    from fsspec.callbacks import Callback


def show_plan(plan: Plan) -> None:
    """Keep a plan as a table, `cellar-plan-{rack}`: what is rebuilt, what is left, and why."""
    rows = [
        {
            "project": one.model.project,
            "has": str(one.current.version) if one.current else "",
            "base": str(one.base.version) if one.base else "",
            "decision": "rebuild" if isinstance(one, Rebuild) else "leave",
            "reason": one.reason.value,
            "why": one.sentence,
        }
        for one in decisions(plan)
    ]
    about = f"What was to be rebuilt in {plan.rack}, whose newest base is {plan.head}."
    _keep("table", "plan", plan.rack, lambda: json.dumps(rows), about)


def show_lineage(cellar: Cellar, rack: Rack, report: str | None = None) -> None:
    """Keep a rack as Markdown, `cellar-lineage-{rack}`: which version was made from which base, and what is stale.

    Args:
        cellar: Where the rack is.
        rack: The rack.
        report: Where its page goes, as an fsspec URL; it is linked then.
    """

    def data() -> str:
        text = markdown(read_current(cellar, rack))
        if report is None:
            return text
        _write_page(cellar, rack, report)
        return f"[The whole report]({report})\n\n{text}"

    _keep("markdown", "lineage", rack, data)


def link_version(cellar: Cellar, record: Record) -> None:
    """Keep a link to where a version lies, `cellar-version-{model}`: the history of the key is that of the model."""
    made_from = f", made from {record.parent.ref}" if record.parent else ""
    link = f"[{record.ref}]({cellar.url}/{record.ref})"
    _keep("markdown", "version", record.model, lambda: link, f"{record.ref}{made_from}")


def show_progress(model: Model) -> Callable[[float, Mapping[str, float]], None]:
    """What to give as `on_progress`: each tenth is a line of the run's log, and moves `cellar-progress-{model}`."""
    logger, bar, done = run_logger(), _Bar("progress", model, f"The training of {model}."), 0.0

    def say(line: str) -> None:
        logger.info("%s: %s", model, line)
        bar.move(done)

    tenths = by_tenths(_from_any_thread(say))

    def progress(fraction: float, metrics: Mapping[str, float]) -> None:
        nonlocal done
        done = fraction
        tenths(fraction, metrics)

    return progress


def show_bytes(model: Model) -> Callback:
    """What to give as `callback`: every few seconds a line of the run's log, and a move of `cellar-transfer-{model}`.

    What takes less time than that has neither.
    """
    logger, bar = run_logger(), _Bar("transfer", model, f"Bytes of {model}, or of its base.")

    def say(line: str) -> None:
        logger.info("%s", line)
        if callback.size:
            bar.move(callback.value / callback.size)

    callback = lines(_from_any_thread(say))
    return callback


def _from_any_thread(say: Callable[[str], None]) -> Callable[[str], None]:
    """The same within this run: a thread that reports may know neither of a run nor of its API."""
    context = copy_context()
    return lambda line: context.copy().run(say, line)


class _Bar:
    """A progress artifact, made when it is moved first.

    Args:
        what: The middle of its key.
        model: The end of its key.
        about: Its description.
    """

    def __init__(self, what: str, model: Model, about: str) -> None:
        self._make = partial(_keep, "progress", what, model, about=about)
        self._id: UUID | None = None

    def move(self, fraction: float) -> None:
        """Move it to a fraction from 0 to 1."""
        percent = round(100 * min(max(fraction, 0.0), 1.0), 1)
        if self._id is None:
            self._id = self._make(lambda: percent)
            return
        try:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._id, ArtifactUpdate(data=percent))
        except Exception as error:  # noqa: BLE001 - what is only shown must not end what is done
            run_logger().warning("the progress artifact could not be moved: %s", error)


def _write_page(cellar: Cellar, rack: Rack, url: str) -> None:
    from fsspec.core import url_to_fs

    from cellar_core import page

    files, path = url_to_fs(url)
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    files.pipe_file(path, page.rack(read(cellar, rack, most=page.RECORDS_MOST)).encode())


def _keep(
    kind: str, what: str, of: Rack | Model, data: Callable[[], str | float], about: str | None = None
) -> UUID | None:
    """Create an artifact of this run; Prefect's own functions for it turn into coroutines in an async flow."""
    flow, task = flow_run_id(), task_run_id()
    if not (flow or task):
        return None
    key = f"cellar-{what}-{re.sub('[^a-z0-9]+', '-', str(of).lower())}"
    try:
        artifact = ArtifactCreate(
            type=kind,
            key=key,
            data=data(),
            description=about,
            flow_run_id=UUID(flow) if flow else None,
            task_run_id=UUID(task) if task else None,
        )
        with get_client(sync_client=True) as client:
            return client.create_artifact(artifact).id
    except Exception as error:  # noqa: BLE001 - what is only shown must not end what was done
        run_logger().warning("the artifact %s could not be made: %s", key, error)
        return None
