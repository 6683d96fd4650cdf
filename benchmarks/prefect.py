"""How long a bump takes to become a training under Prefect, beside what Prefect takes for an empty flow.

Run it in an environment with Prefect, from the checkout: `python -P benchmarks/prefect.py [ROUNDS]`.
A real server (SQLite, loopback) and one process that serves two deployments: a flow that does nothing but note the
time, started by a bare automation, and `rebuild_projects`. They are started in turns, so that a slow moment of the
machine hits both alike. Then, in one flow, calls of the tasks beside an empty task and the cellar's own methods.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[1]))  # example_flows is in no wheel

from example_flows.demo.prefect_server import PrefectServer, until

if TYPE_CHECKING:
    from cellar_core import Cellar, Record

SERVE = """
import time
from pathlib import Path
from prefect import flow, serve
from prefect.events import DeploymentEventTrigger
from cellar_prefect import base_bumped, rebuild_projects

@flow
def empty() -> None:
    Path("begun").write_text(str(time.time()))

def train(job):
    Path("begun").write_text(str(time.time()))
    (job.output_dir / "weights").write_text(str(job.base))

if __name__ == "__main__":
    serve(
        empty.to_deployment("bench", triggers=[DeploymentEventTrigger(expect={"bench.empty"})]),
        rebuild_projects.to_deployment(
            "bench",
            parameters={"rack": "vit/vit-l", "train": "served:train"},
            triggers=[base_bumped("vit/vit-l")],
        ),
    )
"""
CALLS = 20


def main(rounds: int = 7) -> None:
    """Measure, and print one figure a line."""
    with TemporaryDirectory() as name:
        place = Path(name)
        server = PrefectServer(place / "prefect")
        os.environ.update({**server.env, "CELLAR_URL": str(place / "cellar")})  # before Prefect is imported
        (place / "served.py").write_text(SERVE)
        try:
            server.start(timeout=300)
            print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SQLite")
            with server.serve(place / "served.py", deployment="rebuild-projects/bench"):
                _reaction(place, rounds)
            _overhead(place)
        finally:
            server.stop()


def _reaction(place: Path, rounds: int) -> None:
    from cellar_core import Cellar
    from cellar_prefect import announce

    cellar = Cellar.init()
    base = _base(cellar, place)
    cellar.register_project("vit/vit-l/projectA", _payload(place), base=base.ref)

    floor, ours = [], []
    for _ in range(rounds):
        floor.append(_until_begun(place, _emit))
        bumped = _base(cellar, place)
        ours.append(_until_begun(place, partial(announce, cellar, bumped)))
        until(lambda: not cellar.plan("vit/vit-l").rebuilds, timeout=60, what="the rebuild")
        time.sleep(3)  # the run's process ends, and takes nothing from the next one
    print(f"event to an empty flow of a bare automation: {median(floor):.1f} s ({_range(floor)})")
    print(f"event of a base to the training from it:     {median(ours):.1f} s ({_range(ours)})")
    between = [mine - bare for mine, bare in zip(ours, floor, strict=True)]
    print(f"the difference of two in turn, median of {rounds}:   {median(between):+.1f} s")


def _until_begun(place: Path, start: Callable[[], object]) -> float:
    begun = place / "begun"
    begun.unlink(missing_ok=True)
    before = time.time()
    start()
    until(lambda: begun.exists() and begun.read_text(), timeout=180, what="user code to begin")
    return float(begun.read_text()) - before


def _emit() -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import Event

    event = Event.model_validate({"event": "bench.empty", "resource": {"prefect.resource.id": "bench"}})
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])


def _overhead(place: Path) -> None:
    from prefect import flow, task

    from cellar_core import Cellar
    from cellar_prefect import plan_rebuilds, register_model, resolve_model

    cellar = Cellar()

    @task
    def empty() -> None:
        """Stands for what Prefect itself takes for a task."""

    def register(by: Callable[..., object]) -> Callable[[], object]:
        return lambda: by("vit/vit-l/base", _payload(place), bump="minor")

    def plainly(model: str, path: Path, bump: str) -> object:
        return cellar.register_base(model.rpartition("/")[0], path, bump=bump)

    cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "an empty task": (empty, lambda: None),
        "resolve_model": (lambda: resolve_model("vit/vit-l/base"), lambda: cellar.resolve("vit/vit-l/base")),
        "plan_rebuilds": (lambda: plan_rebuilds("vit/vit-l"), lambda: cellar.plan("vit/vit-l")),
        "register_model": (register(register_model), register(plainly)),
    }

    @flow
    def measure() -> dict[str, tuple[float, float]]:
        return {name: (_seconds(task), _seconds(core)) for name, (task, core) in cases.items()}

    for name, (by_task, by_core) in measure().items():
        print(f"{name}: {1000 * by_task:.0f} ms a call, of which the cellar {1000 * by_core:.0f} ms")


def _seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return median(times)


def _base(cellar: Cellar, place: Path) -> Record:
    return cellar.register_base("vit/vit-l", _payload(place), bump="minor").record


def _payload(place: Path) -> Path:
    directory = place / "payload"
    directory.mkdir(exist_ok=True)
    (directory / "weights").write_text(str(time.time_ns()))
    return directory


def _range(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
