"""A connection full of secrets, and tasks that fail and talk: nothing that Airflow keeps has one of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tests.airflow.conftest import SECRETS

if TYPE_CHECKING:
    from tests.airflow.conftest import World


def test_no_secret_is_in_any_log_or_table(world: World) -> None:
    """All that Airflow writes lies below its home: the logs of tasks and components, and the database.

    The scheduler's own output is left out: the LocalExecutor repeats there what tasks print, and masks nothing of it.
    """
    state, tasks = world.run("secrets")
    assert state == "failed"
    assert {task["state"] for task in tasks.values()} == {"failed"}
    assert "the options are {'" in world.log(tasks["talkative"])
    watching = world.airflow.log_file("triggerer")
    world.airflow.wait_for(lambda: "Cannot look at sec/rack" in watching.read_text(), 180, "the watcher")

    with closing(sqlite3.connect(world.airflow.home / "airflow.db")) as database:
        database.execute("PRAGMA wal_checkpoint(FULL)")
        rows = database.execute("SELECT data FROM serialized_dag WHERE dag_id = 'secrets'").fetchall()
        assert b"cellar_secret" in str(rows).encode()  # what is looked at is what there is to look at
    repeated = world.airflow.log_file("scheduler")
    kept = [path for path in world.airflow.home.rglob("*") if path.is_file() and path != repeated]
    assert {path.suffix for path in kept} >= {".log", ".db"}
    found = {
        (secret, str(path.relative_to(world.airflow.home)))
        for path in kept
        for secret in SECRETS
        if secret.encode() in path.read_bytes()
    }
    assert found == set()
