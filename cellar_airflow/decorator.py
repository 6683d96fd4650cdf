"""`@task.retrain_from_base`: the decorated function is the training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from cellar_airflow.retrain import RetrainFromBase

FILLED_IN_LATER = None
"""Stands for the `RetrainJob` until there is one: Airflow checks a call's arguments when the DAG is parsed."""


class _RetrainDecoratedOperator(DecoratedOperator, RetrainFromBase):
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *RetrainFromBase.template_fields)
    template_fields_renderers = {  # noqa: RUF012  Airflow's own form
        **DecoratedOperator.template_fields_renderers,
        **RetrainFromBase.template_fields_renderers,
    }
    custom_operator_name = "@task.retrain_from_base"

    def __init__(
        self,
        *,
        python_callable: Callable[..., object],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=(FILLED_IN_LATER, *(op_args or ())),
            op_kwargs=op_kwargs,
            train=python_callable,
            **kwargs,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        self.train = lambda job: self.python_callable(job, *list(self.op_args)[1:], **self.op_kwargs)
        return RetrainFromBase.execute(self, context)


def retrain_from_base(python_callable: Callable[..., object] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a function of a `RetrainJob` a task that trains and registers a project's model.

    Args:
        python_callable: the function; its first argument is the job, further ones are given in the call as usual.
        kwargs: as for `RetrainFromBase`, without `train`.

    Example:
        @task.retrain_from_base(model="vit/vit-l/projectA")
        def project_a(job, epochs):
            ...

        project_a(epochs=3)
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_RetrainDecoratedOperator, **kwargs
    )
