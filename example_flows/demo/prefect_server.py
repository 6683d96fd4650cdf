"""A real Prefect server and a served flow, each a child process that is stopped by its own process group.

The demo and the end-to-end tests run on it; it is also a recipe for trying `cellar_prefect` by hand:

    with PrefectServer(Path("build/prefect")) as server, server.serve(Path("retune.py")) as served:
        ...                                  # register a base from any process that has server.env
        print(served.flow_runs())
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, TypeVar

from example_flows.demo.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.events.schemas.automations import Automation

T = TypeVar("T")

REBUILD = "rebuild-projects/rebuild-projects"  # flow/deployment, as `rebuild_projects.serve(…)` names it


def until(look: Callable[[], T | None], *, timeout: float, what: str, every: float = 0.2) -> T:
    """Call `look` every `every` seconds until it returns something true, and return that.

    Raises:
        TimeoutError: nothing came within `timeout` seconds; the message says `what` was awaited.
    """
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")
        time.sleep(every)
    return found


class Child:
    """A child process in a process group of its own; its output goes to a log file."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None = None):
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **env},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise, with the end of the log, if the process has ended."""
        if (code := self.process.poll()) is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(
                f"{self.process.args!r} ended with exit status {code}; the end of {self.log}:\n{tail}"
            )

    def stop(self, patience: float = 20) -> None:
        """Ask it to end as Ctrl-C does; kill its whole group if it has not after `patience` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self.kill()

    def kill(self) -> None:
        """End the process, and what it started, at once (SIGKILL): what a lost machine looks like."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class PrefectServer:
    """`prefect server start` on loopback, its whole state below one directory.

    Args:
        home: becomes PREFECT_HOME: logs, settings and an SQLite database are there and outlive the server.
        port: the port to listen on; a free one is chosen when not given.
        ui: serve Prefect's pages as well, at `url`.
        database: another database, as SQLAlchemy writes its address.
    """

    def __init__(
        self, home: Path, *, port: int | None = None, ui: bool = False, database: str | None = None
    ) -> None:
        self.home = home.absolute()
        self.database = database or f"sqlite+aiosqlite:///{self.home / 'prefect.db'}"
        self.port = port or free_port()
        self.ui = ui
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_url = f"{self.url}/api"
        self.child: Child | None = None

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to talk to this server, and to nobody else."""
        return {
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds; Prefect's own default is 10
        }

    def start(self, timeout: float = 120) -> Self:
        """Start the server and return once it answers.

        Raises:
            RuntimeError: the server ended; the message has the end of its log.
            TimeoutError: no answer within `timeout` seconds (a first start takes 20 s or more).
        """
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--ui" if self.ui else "--no-ui"]
        self.child = Child(command, log=self.home / "server.log", env=self.env)
        until(self._healthy, timeout=timeout, what=f"the Prefect server at {self.url} to answer")
        return self

    def _healthy(self) -> bool:
        assert self.child is not None
        self.child.check()
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """Stop the server; its state stays, and `start` goes on from it at the same address."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *error: object) -> None:
        self.stop()

    def client(self) -> SyncPrefectClient:
        """A client of this server, whatever the settings of the calling process; use it in a `with`."""
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(self.api_url)

    def serve(
        self, script: Path, *, env: Mapping[str, str] | None = None, deployment: str = REBUILD
    ) -> ServedFlow:
        """Run `script`, which calls `flow.serve(…)`, in a process of its own; use it in a `with`.

        Args:
            script: the Python file; it runs in its own directory, as a user would run it.
            env: added to the environment, for example CELLAR_URL.
            deployment: `flow/deployment`, to know when the script is ready.
        """
        return ServedFlow(self, script, env or {}, deployment)


class ServedFlow:
    """A process that serves a flow on a `PrefectServer`: started by `with`, ready when its triggers exist."""

    def __init__(self, server: PrefectServer, script: Path, env: Mapping[str, str], deployment: str) -> None:
        self.server = server
        self.script = script.absolute()
        self.env = env
        self.deployment = deployment
        self.child: Child | None = None

    def __enter__(self) -> Self:
        log = self.server.home / f"{self.script.stem}.log"
        command = [sys.executable, str(self.script)]
        before = self._automation_ids()
        self.child = Child(command, log=log, env={**self.server.env, **self.env}, cwd=self.script.parent)
        try:
            # serve() deletes the automations that an earlier start left and makes new ones: wait for those.
            until(
                lambda: self._automation_ids() - before,
                timeout=90,
                what=f"{self.script.name} to serve {self.deployment}",
            )
        except BaseException:
            self.child.kill()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.child is not None:
            self.child.stop()

    def run(self, script: Path, *arguments: str, timeout: float = 120) -> str:
        """Run another script to its end, as a process with the same environment, and return what it printed.

        Raises:
            subprocess.CalledProcessError: it failed; its output is in the error's notes.
            subprocess.TimeoutExpired: it was not done within `timeout` seconds.
        """
        ended = subprocess.run(
            [sys.executable, str(script.absolute()), *arguments],
            env={**os.environ, **self.server.env, **self.env},
            cwd=self.script.parent,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if ended.returncode:
            error = subprocess.CalledProcessError(ended.returncode, ended.args, ended.stdout, ended.stderr)
            error.add_note(ended.stdout + ended.stderr)
            raise error
        return ended.stdout

    def automations(self) -> list[Automation]:
        """The automations that the deployment's triggers became."""
        from prefect.exceptions import ObjectNotFound

        if self.child is not None:
            self.child.check()
        with self.server.client() as client:
            try:
                served = client.read_deployment_by_name(self.deployment)
            except ObjectNotFound:
                return []
            return client.read_resource_related_automations(f"prefect.deployment.{served.id}")

    def _automation_ids(self) -> set[str]:
        return {str(automation.id) for automation in self.automations()}

    def flow_runs(self) -> list[FlowRun]:
        """The deployment's flow runs that have begun or ended, oldest first (scheduled ones are left out)."""
        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
        from prefect.client.schemas.sorting import FlowRunSort

        with self.server.client() as client:
            runs = client.read_flow_runs(
                deployment_filter=DeploymentFilter(
                    name=DeploymentFilterName(any_=[self.deployment.split("/")[1]])
                ),
                sort=FlowRunSort.START_TIME_ASC,
            )
        return [run for run in runs if run.start_time]

    def output(self) -> str:
        """What the process has printed so far, over all its starts."""
        return (self.server.home / f"{self.script.stem}.log").read_text(errors="replace")
