"""The sensor in each mode, on a real Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.airflow.conftest import World


def break_config(world: World, rack: str) -> None:
    (world.directory / "cellar" / rack / "config.toml").write_text("[rebuild]\nmax_parallel = 0\n")


def test_waits_in_the_triggerer_if_airflow_is_set_so() -> None:
    """The option is read when the module is imported, as in Airflow's own sensors."""
    ask = (
        "from cellar_airflow import BaseBumpedSensor as S; print(S(task_id='s', rack='vit/vit-l').deferrable)"
    )
    for value in ("True", "False"):
        env = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": value}
        done = subprocess.run(
            [sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True, timeout=120
        )
        assert done.stdout.split()[-1] == value


def test_each_mode_ends_as_it_should(world: World) -> None:
    """Work is told, a timeout is soft if it is wanted so, and no breakage is hidden by `soft_fail`, nor retried."""
    for rack in ("work", "later", "never", "broken", "breaks"):
        world.rack(f"sense/{rack}", "projectA")
    world.base("sense/work", "second")
    break_config(world, "sense/broken")
    run_id = world.start("sensors")

    def waiting() -> bool:
        # Deferred, and the scheduler knows: else it may take the news of the first half for those of the second.
        scheduler = world.airflow.log_file("scheduler").read_text()
        told = [
            line for line in scheduler.splitlines() if "Received executor event with state success" in line
        ]
        deferred = ("deferred_later", "deferred_breaks_softly")
        poked = world.tasks("sensors", run_id)["poked_later"]["state"] == "running"
        return poked and all(any(f"'{name}'" in line for line in told) for name in deferred)

    world.airflow.wait_for(waiting, 120, "the sensors to wait")
    world.base("sense/later", "second")
    break_config(world, "sense/breaks")
    _, tasks = world.finished("sensors", run_id, timeout=180)
    states = {name: (task["state"], task["try_number"]) for name, task in tasks.items()}
    expected = {"deferred_breaks_softly": ("failed", 1), "started_there_later": ("success", 1)}
    for name in ("poked", "deferred"):
        expected |= {
            f"{name}_work": ("success", 1),
            f"{name}_later": ("success", 1),
            f"{name}_never": ("failed", 1),
            f"{name}_never_softly": ("skipped", 1),
            f"{name}_broken_softly": ("failed", 1),
        }
    assert states == expected
    for name in ("poked_work", "deferred_work", "poked_later", "deferred_later", "started_there_later"):
        (rebuild,) = world.xcom(tasks[name])
        assert rebuild["model"] == f"sense/{name.rpartition('_')[2]}/projectA"
        assert "stands on base 1.0; base 1.1 is newer" in world.log(tasks[name])
    assert "max_parallel" in world.log(tasks["deferred_breaks_softly"])
