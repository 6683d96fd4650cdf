"""What becomes of a registered version when the transaction around its task ends, well or not.

The version itself is committed in the cellar by then, and stays: a version is never taken back.
"""

from __future__ import annotations

from prefect.context import TaskRunContext
from prefect.transactions import BaseTransaction, get_transaction

from cellar_core import Cellar, Record, Ref
from cellar_prefect.artifacts import link_version
from cellar_prefect.events import announce
from cellar_prefect.run import run_logger


def publish(cellar: Cellar, record: Record) -> None:
    """Announce a version, and link to it, when the transaction of this task commits; do nothing outside of a task run.

    The hook is the transaction's and not the task's: Prefect 3.7 forgets those of a task in `with_options`.
    """

    def announce_version(_: BaseTransaction) -> None:
        announce(cellar, record)
        link_version(cellar, record)

    if transaction := _transaction():
        transaction.on_commit_hooks.append(announce_version)


def point(cellar: Cellar, ref: Ref, alias: str) -> None:
    """Let an alias mean a version; if the transaction of this task is rolled back, it means what it meant before."""
    if cellar.aliases(ref.model).get(alias) == ref:
        return

    def withdraw_alias(_: BaseTransaction) -> None:
        means = cellar.withdraw(ref, alias)
        run_logger().info("%s@%s means %s; %s stays registered", ref.model, alias, means or "nothing", ref)

    cellar.alias(ref.model, alias, ref.version)
    run_logger().info("%s@%s means %s", ref.model, alias, ref)
    if transaction := _transaction():
        transaction.on_rollback_hooks.append(withdraw_alias)


def _transaction() -> BaseTransaction | None:
    """The transaction that Prefect opens around each task run; one of the user's alone is none of our business."""
    return get_transaction() if TaskRunContext.get() else None
