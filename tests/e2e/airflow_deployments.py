"""What an Airflow can run on: SQLite; PostgreSQL, for two schedulers; that, and Celery with Redis, for two workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from example_flows.demo.airflow_server import COMPONENTS
from tests.e2e.databases import postgresql, redis


@dataclass(frozen=True)
class Deployment:
    """How an Airflow differs from the demo's.

    Attributes:
        settings: Its environment.
        components: Further processes, by name: the arguments of the command ``airflow``.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@contextmanager
def on_sqlite() -> Iterator[Deployment]:
    yield Deployment()


SECOND_SCHEDULER = {"scheduler-two": COMPONENTS["scheduler"]}


@contextmanager
def with_two_schedulers() -> Iterator[Deployment]:
    with postgresql() as address:
        settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}"}
        yield Deployment(settings, SECOND_SCHEDULER)


@contextmanager
def with_celery() -> Iterator[Deployment]:
    """Two workers that take two tasks each."""
    with postgresql() as address, redis() as broker, TemporaryDirectory() as directory:
        settings = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{address}",
        }
        worker = ("celery", "worker", "--skip-serve-logs", "--concurrency", "2")
        workers = {
            f"worker-{name}": (*worker, "--celery-hostname", name, "--pid", f"{directory}/{name}.pid")
            for name in ("one", "two")
        }
        yield Deployment(settings, SECOND_SCHEDULER | workers)


DEPLOYMENTS: dict[str, Callable[[], AbstractContextManager[Deployment]]] = {
    "sqlite": on_sqlite,
    "two-schedulers": with_two_schedulers,
    "celery": with_celery,
}
