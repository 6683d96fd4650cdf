"""Cellars in Airflow: a base model is bumped, and each project's model is rebuilt from it.

The DAG that does the whole job:

    from airflow.sdk import dag
    from cellar_airflow import base_bumped, rebuild_projects
    from train import train

    @dag(schedule=base_bumped("vit/vit-l"))
    def retune():
        rebuild_projects("vit/vit-l", train=train)

    retune()

Names are loaded when they are first asked for, so that looking at the provider costs no process anything.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellar_airflow.asset import base_bumped
    from cellar_airflow.hook import CellarHook
    from cellar_airflow.notifier import AliasNotifier
    from cellar_airflow.plan import PlanRebuilds
    from cellar_airflow.rebuild import rebuild_projects
    from cellar_airflow.register import RegisterModel
    from cellar_airflow.resolve import ResolveModel
    from cellar_airflow.retrain import RetrainFromBase
    from cellar_airflow.sensor import BaseBumpedSensor
    from cellar_airflow.trigger import BaseBumpedTrigger

__all__ = [
    "AliasNotifier",
    "BaseBumpedSensor",
    "BaseBumpedTrigger",
    "CellarHook",
    "PlanRebuilds",
    "RegisterModel",
    "ResolveModel",
    "RetrainFromBase",
    "base_bumped",
    "rebuild_projects",
]

_HOMES = {
    "AliasNotifier": "notifier",
    "BaseBumpedSensor": "sensor",
    "BaseBumpedTrigger": "trigger",
    "CellarHook": "hook",
    "PlanRebuilds": "plan",
    "RegisterModel": "register",
    "ResolveModel": "resolve",
    "RetrainFromBase": "retrain",
    "base_bumped": "asset",
    "rebuild_projects": "rebuild",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
