"""A cellar in Prefect: a block that says where it is, tasks, a trigger, and the flow that rebuilds projects."""

from cellar_prefect.automations import base_bumped, ensure_automation, missing_heartbeat
from cellar_prefect.block import CellarBlock
from cellar_prefect.deploy import NO_OVERLAP, deploy_rebuilds
from cellar_prefect.events import announce
from cellar_prefect.flows import rebuild_project, rebuild_projects
from cellar_prefect.tasks import (
    aplan_rebuilds,
    aregister_model,
    aresolve_model,
    aretrain_from_base,
    plan_rebuilds,
    register_model,
    resolve_model,
    retrain_from_base,
)

__all__ = [
    "NO_OVERLAP",
    "CellarBlock",
    "announce",
    "aplan_rebuilds",
    "aregister_model",
    "aresolve_model",
    "aretrain_from_base",
    "base_bumped",
    "deploy_rebuilds",
    "ensure_automation",
    "missing_heartbeat",
    "plan_rebuilds",
    "rebuild_project",
    "rebuild_projects",
    "register_model",
    "resolve_model",
    "retrain_from_base",
]
