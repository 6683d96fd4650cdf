"""What a Prefect server does by itself: start the rebuilds when a base is registered, and notice runs that died."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events import DeploymentEventTrigger
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from cellar_core import Rack
from cellar_prefect.events import BASE_REGISTERED
from cellar_prefect.run import api_url, run_logger

RUNNING = "prefect.flow-run.Running"
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDINGS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
FLOWS = ["rebuild-projects", "rebuild-project"]


def base_bumped(rack: str | Rack, *, debounce: float = 0) -> DeploymentEventTrigger:
    """A trigger that starts the deployment when a base of `rack` is registered, for `serve` or `deploy(triggers=[…])`.

    The run gets the deployment's own parameters and nothing from the event: it looks into the cellar for what is to be
    done. Bases that something other than `register_model` registered make no event; give the deployment a schedule too.

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


def missing_heartbeat(silence: float = 600) -> AutomationCore:
    """The automation that turns a run of our flows into Crashed when its heartbeat is missing.

    A run whose processes were killed stays Running otherwise, for ever: nothing is left that could say that it ended.
    Once it has, the next plan marks its rebuilds as lost, and they are done again.

    Args:
        silence: Seconds without a heartbeat. Prefect sends one each 180 s, or as PREFECT_FLOWS_HEARTBEAT_FREQUENCY
            says in the environment of the runs; give at least twice that.
    """
    return AutomationCore(
        name="cellar: a run without a heartbeat has crashed",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            # A run may be killed before its first heartbeat is out: that it runs, its server knows by itself.
            after={RUNNING, HEARTBEAT},
            expect={HEARTBEAT, *ENDINGS},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": FLOWS},
            for_each={"prefect.resource.id"},
            within=timedelta(seconds=silence),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {silence:g} s")],
    )


def ensure_automation(
    rack: str | Rack, deployment: str, *, debounce: float = 0, silence: float = 600
) -> list[UUID]:
    """Make the automations that a rack needs, or bring those of the same name up to date.

    One starts the deployment when a base of the rack is registered; the other is `missing_heartbeat`. Unlike the
    triggers of `serve` and `deploy`, which are deleted and made anew at each start, they keep their ids, and stay
    paused if somebody paused them. Name a deployment here or in `triggers=`, not in both.

    Args:
        rack: The rack, such as `vit/vit-l`.
        deployment: A deployment of `rebuild_projects`, such as `rebuild-projects/vit-vit-l`.
        debounce: As for `base_bumped`.
        silence: As for `missing_heartbeat`.

    Returns:
        The ids of the two automations.

    Raises:
        ObjectNotFound: There is no such deployment (of `prefect.exceptions`).
    """
    trigger = base_bumped(rack, debounce=debounce)
    trigger.name = f"{trigger.name}, run {deployment}"
    with get_client(sync_client=True) as client:
        trigger.set_deployment_id(client.read_deployment_by_name(deployment).id)
        return [_upsert(client, one) for one in (trigger.as_automation(), missing_heartbeat(silence))]


def watch_heartbeats() -> None:
    """Make `missing_heartbeat` if there is none: a flow that is served has nobody else who would.

    What is there is left as it is, paused or changed. Nothing is raised: rebuilding works without it.
    """
    if api_url() is None:
        return
    automation = missing_heartbeat()
    try:
        with get_client(sync_client=True) as client:
            if not client.read_automations_by_name(automation.name):
                client.create_automation(automation)
                run_logger().info("made the automation %r; pause it if you do not want it", automation.name)
    except Exception as error:  # noqa: BLE001 - it may be forbidden here, or unknown
        run_logger().warning("runs that die are not noticed, the automation could not be made: %s", error)


def _upsert(client: SyncPrefectClient, automation: AutomationCore) -> UUID:
    """Names are not unique in Prefect: what has this one already is updated, and copies of it are deleted."""
    # Without an owner: what a deployment owns, `serve` and `deploy` delete.
    facts = automation.model_dump(exclude={"owner_resource"})
    found = client.read_automations_by_name(automation.name)
    if not found:
        return client.create_automation(AutomationCore.model_validate(facts))
    first, *copies = sorted(found, key=lambda one: str(one.id))
    facts["enabled"] = first.enabled
    client.update_automation(first.id, AutomationCore.model_validate(facts))
    for copy in copies:
        client.delete_automation(copy.id)
    return first.id
