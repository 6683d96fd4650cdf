"""Let an alias follow what has succeeded."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.sdk import BaseNotifier, Context

from cellar_airflow.hook import DEFAULT_CONN_ID, CellarHook
from cellar_core import Ref


class AliasNotifier(BaseNotifier):
    """Points an alias to a version once a task or a whole run has succeeded: give it as `on_success_callback`.

    For what comes after a registration, such as the application's integration tests: while they do not pass,
    `production` goes on to mean what it meant.

    Airflow fails no task over a callback that fails; it is in the task's log, and the alias is where it was.

    Args:
        ref: the version, such as `vit/vit-l/projectA/1.2.3` (templated).
        alias: the name that shall mean it, such as `production` (templated).
        conn_id: connection of type `cellar` (templated).

    Example:
        BashOperator(
            task_id="integration_tests",
            bash_command="make -C /srv/app test",
            on_success_callback=AliasNotifier(ref="{{ ti.xcom_pull('register')['ref'] }}", alias="production"),
        )
    """

    template_fields: Sequence[str] = ("ref", "alias", "conn_id")

    def __init__(self, *, ref: str, alias: str, conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.ref = ref
        self.alias = alias
        self.conn_id = conn_id

    def notify(self, context: Context) -> None:  # noqa: ARG002  Airflow's signature
        """Move the alias; what it meant before stays in its log.

        Raises:
            CellarError: there is no such version, it was yanked, or somebody else moved the alias at this moment.
        """
        ref = Ref(self.ref)
        CellarHook(self.conn_id).cellar.alias(ref.model, self.alias, ref.version)
        self.log.info("%s@%s is %s from now on.", ref.model, self.alias, ref.version)
