"""Racks whose rebuilds a real Airflow does: their files, their DAGs, and what was trained in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from cellar_core import Cellar
from example_flows.demo.airflow_server import AirflowServer

PROJECTS = ("projectA", "projectB")
ONCE = dict.fromkeys(PROJECTS, 1)

SETTINGS = {
    "AIRFLOW__CELLAR__POLL_INTERVAL": "1",
    "AIRFLOW__CELLAR__REANNOUNCE_INTERVAL": "15",
    # The dead are missed after seconds; by default it is minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}

DAGS = """
import sys
from datetime import timedelta
from pathlib import Path
from airflow.sdk import dag
from cellar_airflow import base_bumped, rebuild_projects

HERE = Path(__file__).parent.parent

for rack in {racks!r}:
    again = {{"retries": 2, "retry_delay": timedelta(seconds=1)}} if rack == "faults/failing" else {{}}

    @dag(dag_id=rack.replace("/", "-"), schedule=base_bumped(rack))
    def retune():
        rebuild_projects(rack, train=[sys.executable, "-I", str(HERE / rack / "train.py")], **again)

    retune()
"""
TRAIN = """
import os, time, uuid
from pathlib import Path

HERE = Path(__file__).parent
project, base = (os.environ[name].rpartition("/")[2] for name in ("CELLAR_MODEL", "CELLAR_BASE"))
tries = len(list((HERE / "begun").glob(f"{project}@{base}@*")))
new = HERE / uuid.uuid4().hex
new.write_text(str(os.getpid()))
new.rename(HERE / "begun" / f"{project}@{base}@{new.name}")
if (HERE / f"fails-{project}").exists() and tries < 2:
    raise SystemExit("the disk is full")
while (HERE / "hold").exists():
    time.sleep(0.1)
weights = Path(os.environ["CELLAR_BASE_DIR"], "weights.txt").read_text()
Path(os.environ["CELLAR_OUTPUT_DIR"], "weights.txt").write_text(f"{weights}, tuned for {project}")
"""
BUMP = """
import sys
from pathlib import Path
from cellar_core import Cellar

for text in sys.argv[2:]:
    Path("payload/weights.txt").write_text(text)
    Cellar().register_base(sys.argv[1], "payload", bump="minor")
"""


class RackOnAirflow:
    """A rack in which two projects stand on the newest base, and the DAG that watches it.

    Args:
        cellar: Where the rack is made.
        directory: Where its user's files are.
        rack: Its name; its DAG is called the same, with a hyphen for the slash.
    """

    def __init__(self, cellar: Cellar, directory: Path, rack: str) -> None:
        self.cellar = cellar
        self.directory = directory
        self.rack = rack
        self.dag_id = rack.replace("/", "-")
        (directory / "begun").mkdir(parents=True)
        (directory / "train.py").write_text(TRAIN)
        cellar.register_base(rack, self._payload("base one"), bump="major")
        for project in PROJECTS:
            cellar.register_project(f"{rack}/{project}", self._payload(project), base=f"{rack}/base/1.0")

    def _payload(self, text: str) -> Path:
        directory = self.directory / "payload"
        directory.mkdir(exist_ok=True)
        (directory / "weights.txt").write_text(text)
        return directory

    def bump(self, *texts: str) -> None:
        """Register a base for each text, in a process that knows nothing of Airflow."""
        subprocess.run(
            [sys.executable, "-c", BUMP, self.rack, *texts],
            env={**os.environ, "CELLAR_URL": self.cellar.url},
            cwd=self.directory,
            check=True,
            timeout=60,
        )

    def hold(self) -> None:
        """Let each training that begins wait in the middle."""
        (self.directory / "hold").touch()

    def release(self) -> None:
        (self.directory / "hold").unlink()

    # --- what became of it --------------------------------------------------------------------------------

    def versions(self, project: str) -> list[str]:
        return [str(ref.version) for ref in self.cellar.versions(f"{self.rack}/{project}")]

    def newest(self) -> str:
        return str(self.cellar.resolve(f"{self.rack}/base").ref.version)

    def begun(self, base: str = "*", project: str = "*") -> list[Path]:
        """What each training left when it began: the id of its process."""
        return list((self.directory / "begun").glob(f"{project}@{base}@*"))

    def trainings(self) -> dict[str, dict[str, int]]:
        """How many trainings have begun, by base and project."""
        counted = Counter(tuple(one.name.split("@")[:2]) for one in self.begun())
        bases = sorted({base for _, base in counted})
        return {base: {project: counted[project, base] for project in PROJECTS} for base in bases}

    def attempts(self, project: str, base: str) -> list[str]:
        """What the log of the rebuild onto a base says."""
        log = Path(self.cellar.url.removeprefix("file://"), ".cellar/rebuilds", self.rack, project, base)
        return [json.loads(entry.read_text())["event"] for entry in sorted(log.glob("*.json"))]

    def reaction(self, base: str) -> float:
        """Seconds from the moment that a base was registered until the first training from it began."""
        registered = self.cellar.resolve(f"{self.rack}/base/{base}").created_at.timestamp()
        return min(one.stat().st_mtime for one in self.begun(base)) - registered

    def rebuilt(self) -> bool:
        """Whether each project stands on the newest base."""
        return all(f"{self.newest()}.1" in self.versions(project) for project in PROJECTS)

    def wait(self, airflow: AirflowServer, timeout: float = 180) -> None:
        """Until each project stands on the newest base, exactly once, by runs that only the watcher made."""
        airflow.wait_for(self.rebuilt, timeout, f"{self.rack} to stand on {self.newest()}")

        def ended() -> bool:
            return all(run["state"] in {"success", "failed"} for run in airflow.runs(self.dag_id))

        airflow.wait_for(ended, 180, f"the runs of {self.dag_id} to end")
        newest = self.newest()
        for project in PROJECTS:
            made = [one for one in self.versions(project) if one.rpartition(".")[0] == newest]
            assert made == [f"{newest}.1"]
        assert not self.cellar.plan(self.rack)
        assert {run["run_type"] for run in airflow.runs(self.dag_id)} == {"asset_triggered"}
        print(f"\n{self.rack}: from {newest} registered to its training {self.reaction(newest):.1f} s")

    def wait_for_trainings(self, airflow: AirflowServer, base: str, count: int = len(PROJECTS)) -> list[Path]:
        """Until so many trainings onto a base have begun."""
        airflow.wait_for(
            lambda: len(self.begun(base)) >= count, 90, f"{count} trainings of {self.rack} onto {base}"
        )
        return self.begun(base)


def kill_worker(training: Path) -> None:
    """End a training, its task and what supervises that with SIGKILL, as the loss of their machine does.

    Args:
        training: What it left in ``begun``.
    """
    process = int(training.read_text())
    task = parent(process)
    os.kill(parent(task), signal.SIGKILL)  # first, else it would tell how the task ended
    with suppress(ProcessLookupError):
        os.kill(task, signal.SIGKILL)  # and that how the training did; it leads no group in each release
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def component_of(airflow: AirflowServer, training: Path) -> str:
    """The component of an Airflow that a training descends from, such as its Celery worker."""
    names = {process.pid: name for name, process in airflow.processes.items()}
    process = int(training.read_text())
    while process not in names:
        process = parent(process)
    return names[process]


def kill_with_all_that_it_runs(airflow: AirflowServer, component: str) -> None:
    """End a component with SIGKILL, and every process that it or one of those has started."""
    family = [airflow.processes[component].pid]
    for process in family:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            for thread in Path(f"/proc/{process}/task").iterdir():
                family += map(int, (thread / "children").read_text().split())
    airflow.kill(component)
    for process in family:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def parent(process: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def make_racks(directory: Path, *names: str) -> dict[str, RackOnAirflow]:
    """A cellar in ``directory``, with a rack ``faults/{name}`` for each name, and their DAGs below ``dags``."""
    cellar = Cellar.init(directory / "cellar")
    racks = {name: RackOnAirflow(cellar, directory / "faults" / name, f"faults/{name}") for name in names}
    (directory / "dags").mkdir()
    (directory / "dags/retune.py").write_text(DAGS.format(racks=[rack.rack for rack in racks.values()]))
    return racks


def airflow(directory: Path, **settings: str) -> AirflowServer:
    """An Airflow for what `make_racks` made there."""
    connection = {"conn_type": "cellar", "host": Cellar(directory / "cellar").url}
    env = {**SETTINGS, "AIRFLOW_CONN_CELLAR_DEFAULT": json.dumps(connection), **settings}
    return AirflowServer(directory / "home", directory / "dags", env=env)
