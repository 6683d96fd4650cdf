"""How a cellar's errors become Airflow's: the one place that says which of them a retry cannot help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from cellar_core import CellarError


@contextmanager
def no_vain_retries() -> Iterator[None]:
    """Fail the task at once, whatever its `retries`, on an error that trying again cannot help.

    The other errors pass unchanged, so that Airflow retries them. Also usable as a decorator.

    Raises:
        AirflowFailException: for a `CellarError` that is not `retryable`; the message is the same.
    """
    try:
        yield
    except CellarError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from error
