"""Saying that a version was registered, and the trigger that listens: a hint to look now, never the truth.

An event can be lost, late or doubled. What must be rebuilt is read from the cellar, so all that a lost one costs is
the wait for the next scheduled look.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from prefect.client.orchestration import get_client
from prefect.events import DeploymentEventTrigger, Event

from cellar_core import Cellar, Rack, Record
from cellar_prefect.run import api_url, flow_run_id, run_logger

BASE_REGISTERED = "cellar.base.registered"
PROJECT_REGISTERED = "cellar.project.registered"


def announce(cellar: Cellar, record: Record) -> bool:
    """Tell Prefect that a version is registered, and wait until its server has taken it.

    The event is named `cellar.base.registered` or `cellar.project.registered`. Its id is made from the cellar and the
    version, so announcing again after a lost answer is no second event. Nothing is raised: the version exists
    whatever becomes of its event. Nothing is sent, and no server started, when PREFECT_API_URL is not set.

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
        event = registered_event(cellar.id, record)
        # emit_event() would queue it, and drop it silently when the server is down or this process ends too soon.
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except Exception as error:  # noqa: BLE001 - the version is committed: whatever happens here must not undo that
        logger.warning(
            "%s is registered, but could not be announced: %s. The next scheduled look finds it.",
            record.ref,
            error,
        )
        return False
    logger.info("announced %s of %s", event.event, record.ref)
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
            "payload": record.model_dump(
                mode="json",
                include={"ref", "bump", "parent", "recipe", "metrics", "notes", "created_at", "created_by"},
            ),
            "id": uuid5(NAMESPACE_URL, f"cellar://{cellar_id}/{ref}"),
        }
    )


def base_bumped(rack: str | Rack, *, debounce: float = 0) -> DeploymentEventTrigger:
    """A trigger that starts the deployment when a base of `rack` is registered, for `serve` or `deploy(triggers=[…])`.

    The run gets the deployment's own parameters: it looks into the cellar for what is to be done. Bases that something
    other than `register_model` registered make no event; give the deployment a schedule too.

    Args:
        rack: The rack, such as `vit/vit-l`.
        debounce: Seconds. The run starts that much later, and a burst of bumps in that time is one run.
    """
    wait = timedelta(seconds=debounce)
    return DeploymentEventTrigger(
        name=f"cellar: a base of {Rack(str(rack))} was registered",
        expect={BASE_REGISTERED},
        match={"cellar.rack": str(rack)},
        # The first event of a burst opens the window, and the run begins when it closes: so it sees them all.
        within=wait,
        schedule_after=wait,
    )
