"""`BaseBumpedSensor` in each mode; `test_sensor.py` runs them on a real Airflow."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from cellar_airflow import BaseBumpedSensor


@dag(schedule=None)
def sensors():
    quick = {"poke_interval": 1, "retries": 2, "retry_delay": timedelta(minutes=20)}
    for deferrable in (False, True):
        mode = {"deferrable": deferrable, **quick}
        name = "deferred" if deferrable else "poked"
        # Airflow takes the news of a task's first half for those of its second, and retries it, if they come so late.
        timeout = 30 if deferrable else 3
        BaseBumpedSensor(task_id=f"{name}_work", rack="sense/work", **mode)
        BaseBumpedSensor(task_id=f"{name}_later", rack="sense/later", **mode)
        BaseBumpedSensor(task_id=f"{name}_never", rack="sense/never", timeout=timeout, **mode)
        BaseBumpedSensor(
            task_id=f"{name}_never_softly", rack="sense/never", timeout=timeout, soft_fail=True, **mode
        )
        BaseBumpedSensor(task_id=f"{name}_broken_softly", rack="sense/broken", soft_fail=True, **mode)
    BaseBumpedSensor(
        task_id="deferred_breaks_softly", rack="sense/breaks", deferrable=True, soft_fail=True, **quick
    )
    BaseBumpedSensor(task_id="started_there_later", rack="sense/later", start_from_trigger=True, **quick)


sensors()
