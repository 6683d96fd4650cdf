"""Train a project's model from scratch, from a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from cellar_airflow.errors import no_vain_retries
from cellar_airflow.holder import holder, origin
from cellar_airflow.operator import CellarOperator
from cellar_core import RetrainJob
from cellar_core.narrate import by_tenths
from cellar_core.trainer import Command, Train, Trainer, TrainerTimeout, as_trainer


class RetrainFromBase(CellarOperator):
    """Trains a project's model from a base, and registers the result; never from a tuned model.

    Either `model`: train it now and register its next version. Or `rebuild`, one item of what `PlanRebuilds` returns:
    then nobody else does the same rebuild, and the task is skipped if it is done already or another run has it.

    Args:
        train: what trains: a function of a `RetrainJob`, an entry point `pkg.mod:train`, or a command as a list, which
            may name `{base_dir}`, `{output_dir}`, … and is templated. What a command prints goes to the task's log; its
            whole process group ends with the task.
        model: such as `vit/vit-l/projectA` (templated).
        rebuild: a planned rebuild (templated).
        base: for `model`: another base than the newest one that the rack's policy allows (templated).
        recipe: for `model`: what training needs besides the base; by default the project's own (templated).
        notes: free text for the record (templated).
        timeout: seconds after which a command is ended.

    Example:
        RetrainFromBase(task_id="retrain", model="vit/vit-l/projectA", train=["torchrun", "train.py", "{base_dir}"])
    """

    # `train` itself is no template: Airflow would call it to have it rendered.
    template_fields: Sequence[str] = ("command", "model", "rebuild", "base", "recipe", "notes", "conn_id")
    template_fields_renderers = {"rebuild": "json", "recipe": "json", "command": "py"}  # noqa: RUF012  Airflow's own form

    def __init__(
        self,
        *,
        train: Train,
        model: str | None = None,
        rebuild: Mapping[str, Any] | None = None,
        base: str | None = None,
        recipe: Mapping[str, Any] | None = None,
        notes: str = "",
        timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (model is None) == (rebuild is None):
            raise ValueError(
                f"{self.task_id}: give model, or rebuild (an item of what PlanRebuilds returns)."
            )
        self.train = train
        self.command = None if callable(train) or isinstance(train, str) else list(train)
        self.model = model
        self.rebuild = rebuild
        self.base = base
        self.recipe = recipe
        self.notes = notes
        self.timeout = timeout
        self._trainer: Trainer | None = None

    @no_vain_retries()
    def execute(self, context: Context) -> dict[str, Any]:
        """Train and register; a broken rule fails at once, a failed training is retried as often as Airflow is told to.

        Raises:
            AirflowSkipException: the rebuild needs nothing (more) from this run.
        """
        train = self.command or self.train
        self._trainer = as_trainer(train, timeout=self.timeout, on_output=self._say)
        common: dict[str, Any] = {
            "notes": self.notes,
            "origin": origin(context["ti"]),
            "on_progress": by_tenths(self._say),
        }
        if self.rebuild is not None:
            return self._rebuild(self.rebuild, context, common)
        assert self.model is not None
        registered = self.cellar.retrain(
            self.model, self._train, base=self.base, recipe=self.recipe, **common
        )
        self._made = registered.record
        self.log.info("%s is registered.", registered.ref)
        return registered.model_dump(mode="json")

    def _train(self, job: RetrainJob) -> None:
        assert self._trainer is not None
        try:
            self._trainer(job)
        except AirflowTaskTimeout:  # no Exception, and so it would not count as a failed training
            raise TrainerTimeout(f"execution_timeout ended the training of {job.model}") from None

    def _rebuild(
        self, rebuild: Mapping[str, Any], context: Context, common: dict[str, Any]
    ) -> dict[str, Any]:
        ti = context["ti"]
        self.log.info("%s onto %s: %s", rebuild["model"], rebuild["base"], rebuild["sentence"])
        last_try = ti.try_number > ti.max_tries
        rebuilt = self.cellar.rebuild(rebuild, self._train, holder=holder(ti), last_try=last_try, **common)
        self._made = rebuilt.record
        self.log.info("%s: %s", rebuilt.model, rebuilt.detail)
        result = rebuilt.model_dump(mode="json")
        if rebuilt.outcome == "skipped":
            ti.xcom_push(key="return_value", value=result)  # a skipped task returns nothing by itself
            raise AirflowSkipException(rebuilt.detail)
        return result

    def on_kill(self) -> None:
        """End the training with everything it started; Airflow calls this on a kill and on `execution_timeout`."""
        if isinstance(self._trainer, Command):
            self._trainer.kill()

    def _say(self, line: str) -> None:
        self.log.info("%s", line)
