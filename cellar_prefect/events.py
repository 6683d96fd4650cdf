"""Saying that a version was registered: a hint to look now, never the truth.

An event can be lost, late or doubled. What must be rebuilt is read from the cellar, so all that a lost one costs is
the wait for the next scheduled look.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from prefect.client.orchestration import get_client
from prefect.events import Event

from cellar_core import Cellar, Record
from cellar_prefect.assets import materialized, metadata
from cellar_prefect.run import api_url, flow_run_id, run_logger

BASE_REGISTERED = "cellar.base.registered"
PROJECT_REGISTERED = "cellar.project.registered"


def announce(cellar: Cellar, record: Record) -> bool:
    """Tell Prefect that a version is registered, and wait until its server has taken it.

    The event is named `cellar.base.registered` or `cellar.project.registered`; with it goes the one that says that
    the model's asset was materialized. Their ids are made from the cellar and the version, so announcing again after a
    lost answer is no second event. Nothing is raised: the version exists whatever becomes of its event. Nothing is
    sent, and no server started, when PREFECT_API_URL is not set.

    Args:
        cellar: Where the version is.
        record: The version.

    Returns:
        Whether the server took it; if not, the log says why.
    """
    logger = run_logger()
    if api_url() is None:
        logger.info("%s is not announced: PREFECT_API_URL is not set", record.ref)
        return False
    try:
        events = [registered_event(cellar.id, record), materialized(cellar, record)]
        # emit_event() would queue it, and drop it silently when the server is down or this process ends too soon.
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
    except Exception as error:  # noqa: BLE001 - the version is committed: whatever happens here must not undo that
        logger.warning(
            "%s is registered, but could not be announced: %s. The next scheduled look finds it.",
            record.ref,
            error,
        )
        return False
    logger.info("announced %s of %s", events[0].event, record.ref)
    return True


def registered_event(cellar_id: str, record: Record) -> Event:
    """The event that says that a version is registered.

    Its resource is `cellar.version.{ref}`, with labels to match on; related are the base that a project's version
    was made from, and the flow run that registered it.
    """
    ref, run = record.ref, flow_run_id()
    related = []
    if record.parent:
        related.append(
            {"prefect.resource.id": f"cellar.version.{record.parent.ref}", "prefect.resource.role": "base"}
        )
    if run:
        related.append(
            {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}
        )
    return Event.model_validate(
        {
            "event": BASE_REGISTERED if ref.model.is_base else PROJECT_REGISTERED,
            "resource": {
                "prefect.resource.id": f"cellar.version.{ref}",
                "prefect.resource.name": str(ref),
                "cellar.id": cellar_id,
                "cellar.rack": str(ref.rack),
                "cellar.model": str(ref.model),
            },
            "related": related,
            "payload": metadata(record),
            "id": uuid5(NAMESPACE_URL, f"cellar://{cellar_id}/{ref}"),
        }
    )
