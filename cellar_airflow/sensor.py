"""Wait until a rack has something to rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue, conf
from airflow.triggers.base import StartTriggerArgs

from cellar_airflow.errors import no_vain_retries
from cellar_airflow.hook import DEFAULT_CONN_ID, CellarHook
from cellar_airflow.trigger import WorkTrigger
from cellar_core import CellarError


class BaseBumpedSensor(BaseSensorOperator):
    """Waits until the plan of a rack has work, and returns it: the rebuilds as a list of dicts, like `PlanRebuilds`.

    It asks for the state of the registry and not for an event: work that was there before the sensor began counts.

    With `soft_fail=True` the task is skipped if there is no work before `timeout`. An error is never skipped.

    Args:
        rack: such as `vit/vit-l` (templated).
        conn_id: connection of type `cellar` (templated).
        deferrable: wait in the triggerer, and hold no worker meanwhile; by default as `[operators] default_deferrable`.
        start_from_trigger: wait in the triggerer from the beginning: no worker looks first.
        kwargs: as for every sensor: `poke_interval` and `timeout` in seconds, `mode`, `soft_fail`, …

    Example:
        work = BaseBumpedSensor(task_id="work", rack="vit/vit-l", deferrable=True)
        RetrainFromBase.partial(task_id="rebuild", train=train).expand(rebuild=work.output)
    """

    template_fields: Sequence[str] = ("rack", "conn_id")
    start_trigger_args = StartTriggerArgs(
        trigger_cls=f"{WorkTrigger.__module__}.{WorkTrigger.__name__}", next_method="execute_complete"
    )

    def __init__(
        self,
        *,
        rack: str,
        conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rack = rack
        self.conn_id = conn_id
        self.deferrable = deferrable
        self.start_from_trigger = start_from_trigger
        if start_from_trigger:
            self.start_trigger_args = replace(
                self.start_trigger_args,
                trigger_kwargs={"rack": rack, "conn_id": conn_id, "poke_interval": self.poke_interval},
                timeout=timedelta(seconds=self.timeout),
            )

    @no_vain_retries()
    def execute(self, context: Context) -> Any:
        """Wait here, or look once and then wait in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        if found := self.poke(context):
            return found.xcom_value
        return self.defer(
            trigger=WorkTrigger(rack=self.rack, conn_id=self.conn_id, poke_interval=self.poke_interval),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002  Airflow's signature
        """Look once."""
        plan = CellarHook(self.conn_id).cellar.plan(self.rack)
        return self._found(plan.model_dump(mode="json")["rebuilds"])

    @no_vain_retries()
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer; the errors of `execute_complete` pass `soft_fail`, a timeout does not."""
        return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ARG002  Airflow's signature
        """Return what the trigger found, or raise what went wrong there.

        Raises:
            CellarError: the trigger met an error that a retry cannot help.
            RuntimeError: it met another one.
        """
        if event["status"] == "work":
            return self._found(event["rebuilds"]).xcom_value
        raise (CellarError if event["permanent"] else RuntimeError)(event["message"])

    def _found(self, rebuilds: list[dict[str, Any]]) -> PokeReturnValue:
        for rebuild in rebuilds:
            self.log.info("%s: %s", rebuild["model"], rebuild["sentence"])
        if not rebuilds:
            self.log.info("Nothing to rebuild in %s yet.", self.rack)
        return PokeReturnValue(is_done=bool(rebuilds), xcom_value=rebuilds)
