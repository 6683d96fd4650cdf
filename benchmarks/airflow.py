"""How fast a bump becomes a training under Airflow, and what the provider costs where Airflow repeats it for ever.

Run it in an environment with Airflow, from the checkout: `python -P benchmarks/airflow.py [ROUNDS]`.

*Reaction*, on Airflow's four real components (SQLite, LocalExecutor, loopback): from the moment that a base is
registered until its training begins. Beside it: from the moment that a file is there until a task begins in a DAG of
the same shape (a task, and one mapped over what it returns), by a bare `AssetWatcher` with Airflow's own
`FileDeleteTrigger`. Both look every second, and are started in turns, so that a slow moment of the machine hits both.

*Parsing*: that DAG beside the bare one, each in a fresh interpreter that has loaded the same of Airflow. To that belong
the handlers of asset URIs: the first URI with a scheme, whoever's it is, lets Airflow import those of every provider.

*Looking*: one look of the watcher at a rack of 1,000 projects on disk, when nothing is stale and when all are, beside
walking through the names of the records.

The reaction is in seconds of the clock, the other two are in seconds of a processor. Each figure is a median; the first
of those that are taken in turns is left out, since it fills caches.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[1]))  # example_flows is in no wheel

from example_flows.demo.airflow_server import AirflowServer

if TYPE_CHECKING:
    from cellar_core import Cellar

RACK = "vit/vit-l"
CONNECTION = "AIRFLOW_CONN_CELLAR_DEFAULT"
PROJECTS = 1000
LOOKS = PARSES = 5
REACTION_BAR, PARSE_BAR, LOOK_BAR = 1.0, 0.1, 1.0
"""So many seconds more than its floor each may take; a look a tenth of the default `poll_interval`."""

BARE = """
import time
from pathlib import Path
from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import Asset, AssetWatcher, dag, task

HERE = Path(__file__).parent.parent
trigger = FileDeleteTrigger(filepath=str(HERE / "flag"), poke_interval=1)

@task
def first():
    (HERE / "bare-first").write_text(str(time.time()))
    return [1]

@task
def second(item):
    (HERE / "bare-second").write_text(str(time.time()))

@dag(schedule=Asset("file_is_there", watchers=[AssetWatcher(name="file_is_there", trigger=trigger)]))
def bare():
    second.expand(item=first())

bare()
"""
OURS = """
import time
from pathlib import Path
from airflow.sdk import dag
from cellar_airflow import base_bumped, rebuild_projects

HERE = Path(__file__).parent.parent

def train(job):
    (HERE / "ours-second").write_text(str(time.time()))
    (job.output_dir / "weights").write_text(str(job.base))

@dag(schedule=base_bumped("vit/vit-l"))
def ours():
    rebuild_projects("vit/vit-l", train=train)

ours()
"""
PARSE = """
import sys, time
from airflow.sdk import Asset, AssetWatcher, BaseOperator, BaseSensorOperator, TaskGroup, dag, task
from airflow.triggers.base import BaseEventTrigger
Asset("s3://bucket/key")
source = compile(open(sys.argv[1]).read(), sys.argv[1], "exec")
begun = time.process_time()
exec(source, {"__name__": "retune", "__file__": sys.argv[1]})
print(time.process_time() - begun)
"""


def main(rounds: int = 7) -> None:
    """Measure, print a figure a line, and end with 1 if one misses its bar."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    with TemporaryDirectory() as name:
        place = Path(name)
        os.environ["AIRFLOW_HOME"] = str(place / "home")  # before Airflow is imported
        (place / "dags").mkdir()
        (place / "dags/bare.py").write_text(BARE)
        (place / "dags/ours.py").write_text(OURS)
        from airflow import __version__

        print(f"{machine}, Airflow {__version__}, load {os.getloadavg()[0]:.0f}")
        results = [_looking(place / "look"), _parsing(place / "dags"), _reaction(place, rounds)]
    sys.exit(not all(results))


def _reaction(place: Path, rounds: int) -> bool:
    cellar = _cellar(place, projects=1)
    connection = json.dumps({"conn_type": "cellar", "host": cellar.url})
    env = {CONNECTION: connection, "AIRFLOW__CELLAR__POLL_INTERVAL": "1"}
    with AirflowServer(place / "home", place / "dags", env=env) as airflow:

        def seconds(act: Callable[[], object], dag_id: str) -> float:
            """From what *act* does until the mapped task begins; then Airflow comes to rest."""
            begun = place / f"{dag_id}-second"
            begun.unlink(missing_ok=True)
            before = time.time()
            act()
            airflow.wait_for(lambda: begun.exists() and begun.read_text(), 180, f"a task of {dag_id}", 0.1)
            airflow.wait_for(lambda: _at_rest(airflow, dag_id), 180, f"the end of {dag_id}")
            time.sleep(2)  # its processes end, and take nothing from the next one
            return float(begun.read_text()) - before

        def flag() -> None:
            (place / "new").touch()
            (place / "new").rename(place / "flag")

        airflow.wait_for_dag("bare")
        airflow.wait_for_dag("ours")
        turns = [
            (seconds(flag, "bare"), seconds(lambda: _bump(cellar, place), "ours")) for _ in range(rounds + 1)
        ]
    floor, ours = _medians(turns)
    return _verdict(f"bump to training, of {rounds}", ours, floor, REACTION_BAR)


def _at_rest(airflow: AirflowServer, dag_id: str) -> bool:
    return all(run["state"] in {"success", "failed"} for run in airflow.runs(dag_id))


def _parsing(dags: Path) -> bool:
    def seconds(file: str) -> float:
        command = [sys.executable, "-P", "-c", PARSE, str(dags / file)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    turns = [(seconds("bare.py"), seconds("ours.py")) for _ in range(PARSES + 1)]
    bare, ours = _medians(turns)
    return _verdict(f"parsing a DAG, of {PARSES}", ours, bare, PARSE_BAR)


def _looking(place: Path) -> bool:
    cellar = _cellar(place, PROJECTS)
    os.environ[CONNECTION] = json.dumps({"conn_type": "cellar", "host": cellar.url})
    from cellar_airflow.trigger import look

    def seconds() -> float:
        begun = time.process_time()
        asyncio.run(look(RACK, "cellar_default"))
        return time.process_time() - begun

    quiet = median(seconds() for _ in range(LOOKS))
    listing = median(_listing(place / "cellar/.cellar/records") for _ in range(LOOKS))
    _bump(cellar, place)
    stale = median(seconds() for _ in range(LOOKS))
    good = _verdict(f"a look at {PROJECTS:,} projects, nothing stale", quiet, listing, LOOK_BAR)
    return _verdict(f"a look at {PROJECTS:,} projects, all stale", stale, listing, LOOK_BAR) and good


def _listing(directory: Path) -> float:
    """The floor of a look: the names of all records."""
    begun = time.process_time()
    for _ in os.walk(directory):
        pass
    return time.process_time() - begun


def _cellar(place: Path, projects: int) -> Cellar:
    from cellar_core import Cellar

    cellar = Cellar.init(place / "cellar")
    base = cellar.register_base(RACK, _payload(place), bump="minor").ref
    for number in range(projects):
        cellar.register_project(f"{RACK}/project{number}", _payload(place), base=base)
    return cellar


def _bump(cellar: Cellar, place: Path) -> None:
    cellar.register_base(RACK, _payload(place), bump="minor")


def _payload(place: Path) -> Path:
    directory = place / "payload"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "weights").write_text(str(time.time_ns()))
    return directory


def _medians(turns: list[tuple[float, float]]) -> tuple[float, float]:
    floor, ours = zip(*turns[1:], strict=True)
    return median(floor), median(ours)


def _verdict(what: str, ours: float, floor: float, bar: float) -> bool:
    good = ours <= floor + bar
    figures = f"{ours:.3f} s, floor {floor:.3f} s, {ours / floor:.2f} times"
    print(f"{'PASS' if good else 'FAIL'}  {what}: {figures}; the bar is the floor + {bar:g} s")
    return good


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
