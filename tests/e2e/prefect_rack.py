"""A rack whose rebuilds a real Prefect does: its files, its workers, and what was trained in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from cellar_core import Cellar
from example_flows.demo.prefect_server import Child, PrefectServer, until

RACK = "vit/vit-l"
PROJECTS = ("projectA", "projectB")

TRAIN = """
import os, time, uuid
from pathlib import Path
from cellar_core import RetrainJob

HERE = Path(__file__).parent

def train(job: RetrainJob) -> None:
    project = job.model.project
    tries = len(list((HERE / "begun").glob(f"{project}@{job.base.version}@*")))
    mark = HERE / "begun" / f"{project}@{job.base.version}@{uuid.uuid4().hex}"
    new = HERE / uuid.uuid4().hex
    new.write_text(str(os.getpid()))
    new.rename(mark)
    if (HERE / f"fails-{project}").exists() and tries < 2:
        raise OSError("the disk is full")
    while (HERE / "hold").exists():
        time.sleep(0.1)
    base = (job.base_dir / "weights.txt").read_text()
    (job.output_dir / "weights.txt").write_text(f"{base}, tuned for {project}")
"""
BUMP = """
import sys
from pathlib import Path
from cellar_prefect import register_model

if __name__ == "__main__":
    for text in sys.argv[1:]:
        Path("payload/weights.txt").write_text(text)
        register_model("vit/vit-l/base", "payload", bump="minor")
"""


class RackOnPrefect:
    """A directory with the user's files, a cellar in which two projects stand on the newest base, and a server.

    Args:
        directory: Where all of it is.
        server: A Prefect server that runs.
    """

    def __init__(self, directory: Path, server: PrefectServer) -> None:
        self.directory = directory
        self.server = server
        self.workers: list[Child] = []
        directory.mkdir(exist_ok=True)
        (directory / "begun").mkdir()
        (directory / "train.py").write_text(TRAIN)
        (directory / "bump.py").write_text(BUMP)
        self.cellar = Cellar.init(str(directory / "cellar"))
        self.cellar.register_base(RACK, self.payload("base one"), bump="major")
        for project in PROJECTS:
            self.cellar.register_project(f"{RACK}/{project}", self.payload(project), base=f"{RACK}/base/1.0")

    def payload(self, text: str) -> Path:
        """A directory with one file of that text."""
        directory = self.directory / "payload"
        directory.mkdir(exist_ok=True)
        (directory / "weights.txt").write_text(text)
        return directory

    @property
    def env(self) -> dict[str, str]:
        return {**self.server.env, "CELLAR_URL": self.cellar.url, "PREFECT_WORKER_QUERY_SECONDS": "2"}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments, in the user's directory."""
        return subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **self.env},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=180,
            check=check,
        )

    def deploy(self, pool: str, *options: str) -> str:
        """Deploy the rack's rebuilds on a pool, by the command; returns what it printed."""
        command = ["-m", "cellar_prefect", "deploy", RACK, "--train", "train:train", "--work-pool", pool]
        return self.run(*command, "-jv", f"working_dir={self.directory}", *options).stdout

    def start_worker(self, pool: str) -> None:
        """Start a worker of a process pool, which its first start makes."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
        child = Child(command, log=self.directory / f"worker-{pool}.log", env=self.env)
        self.workers.append(child)
        with self.server.client() as client:
            until(
                lambda: child.check() or [one for one in client.read_work_pools() if one.name == pool],
                timeout=180,
                what=f"the worker to make its pool {pool}",
            )

    def stop_workers(self, *, kill: bool = False) -> None:
        """Ask the workers to end, or lose them: SIGKILL."""
        while self.workers:
            worker = self.workers.pop()
            worker.kill() if kill else worker.stop()

    def bump(self, *texts: str) -> None:
        """Register a base for each text in a process of its own, by the task that announces it."""
        self.run("bump.py", *texts)

    def versions(self, project: str) -> list[str]:
        return [str(ref.version) for ref in self.cellar.versions(f"{RACK}/{project}")]

    def newest(self) -> str:
        return str(self.cellar.resolve(f"{RACK}/base").ref.version)

    def rebuilt(self) -> bool:
        """Whether each project stands on the newest base."""
        return all(f"{self.newest()}.1" in self.versions(project) for project in PROJECTS)

    def begun(self, project: str = "*", base: str = "*") -> list[Path]:
        """What each training left when it began: its process's id."""
        return list((self.directory / "begun").glob(f"{project}@{base}@*"))

    def trainings(self, base: str) -> dict[str, int]:
        """How many trainings of each project onto a base have begun."""
        counted = Counter(one.name.partition("@")[0] for one in self.begun(base=base))
        return {project: counted[project] for project in PROJECTS}

    def reaction(self, base: str) -> float:
        """Seconds from the moment that a base was registered until the first training from it began."""
        registered = self.cellar.resolve(f"{RACK}/base/{base}").created_at.timestamp()
        return min(one.stat().st_mtime for one in self.begun(base=base)) - registered

    def hold(self) -> None:
        """Let each training that begins wait in the middle."""
        (self.directory / "hold").touch()

    def release(self) -> None:
        (self.directory / "hold").unlink()

    def wait(self, *, timeout: float = 180) -> None:
        """Until each project stands on the newest base, exactly once."""
        until(self.rebuilt, timeout=timeout, what=f"the projects to stand on {self.newest()}")
        for project in PROJECTS:
            assert [one for one in self.versions(project) if one.startswith(f"{self.newest()}.")] == [
                f"{self.newest()}.1"
            ]

    def wait_for_trainings(self, count: int, *, timeout: float = 180) -> list[Path]:
        """Until so many trainings onto the newest base are in the middle."""
        base = self.newest()
        until(
            lambda: len(self.begun(base=base)) >= count,
            timeout=timeout,
            what=f"{count} trainings onto {base}",
        )
        return self.begun(base=base)

    def kill_trainings(self, begun: list[Path]) -> None:
        """End these trainings, and the flow runs that are the same processes, as a lost machine does."""
        for one in begun:
            with suppress(ProcessLookupError):
                os.kill(int(one.read_text()), signal.SIGKILL)
