"""What becomes of a registered version when the transaction around its task ends, well or not.

The version itself is committed in the cellar by then, and stays: a version is never taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from prefect.context import TaskRunContext
from prefect.transactions import BaseTransaction, get_transaction

from cellar_core import Cellar, Record, Ref
from cellar_prefect.artifacts import link_version
from cellar_prefect.events import announce
from cellar_prefect.run import run_logger

_KEY = "cellar_prefect.published"


@dataclass(frozen=True)
class Published:
    """A version that a task has registered, and the alias that it moved there.

    Attributes:
        cellar: Where the version is.
        record: The version.
        alias: The alias, if one was moved.
        before: What the alias meant until then, if anything.
    """

    cellar: Cellar
    record: Record
    alias: str | None = None
    before: Ref | None = None


def publish(published: Published) -> None:
    """Leave word for the hooks below; outside of a task run, where none are called, do nothing."""
    transaction = get_transaction()
    if transaction and TaskRunContext.get():
        transaction.set(_KEY, published)


def announce_version(transaction: BaseTransaction) -> None:
    """For `on_commit`: announce the version, and link to it."""
    if published := transaction.get(_KEY, None):
        announce(published.cellar, published.record)
        link_version(published.cellar, published.record)


def withdraw_alias(transaction: BaseTransaction) -> None:
    """For `on_rollback`: let the alias mean again what it meant before, unless somebody else has moved it since."""
    published: Published | None = transaction.get(_KEY, None)
    if published is None or published.alias is None:
        return
    cellar, ref, before, logger = published.cellar, published.record.ref, published.before, run_logger()
    if cellar.aliases(ref.model).get(published.alias) != ref or before == ref:
        return
    if before is None:
        logger.warning("%s still means %s: it meant nothing before", published.alias, ref)
        return
    cellar.alias(ref.model, published.alias, before.version)
    logger.info("%s means %s again; %s stays registered", published.alias, before, ref)
