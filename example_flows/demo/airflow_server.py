"""A real Airflow on this machine for a demo or a test: its four components, one SQLite file, no containers.

`AirflowServer` starts what a deployment runs (api-server, scheduler, dag-processor, triggerer), each a process of
its own, all of it listening on 127.0.0.1 only, and everything it writes below one directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from example_flows.demo.loopback import free_port

T = TypeVar("T")

COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server", "--host", "127.0.0.1", "--workers", "1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),  # the log servers would listen on every interface
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
ANSWER = 60.0
"""Seconds that one answer may take. Some load every provider first, which is ten on an idle machine."""
USERS = {"admin": "admin", "viewer": "viewer"}  # name: role


class AirflowServer:
    """Runs Airflow in `home`, with the DAG files of `dags`; a context manager that starts and stops it.

    Args:
        home: directory for the database, the logs and the configuration; made if missing, and reused by a later start.
        dags: directory of the DAG files.
        env: environment variables for every component, e.g. `CELLAR_URL`, `PYTHONPATH` or `AIRFLOW_CONN_…`;
            an `AIRFLOW__…` here wins over what is set by default.
        python: interpreter that has Airflow installed.
        prefix: what precedes every path of its address, such as `/airflow`, as behind a proxy that it shares.

    Example:
        with AirflowServer(Path("build/airflow"), Path("dags"), env={"CELLAR_URL": "file:///srv/cellar"}) as airflow:
            run = airflow.wait_for_run("retune", timeout=60)
            print(run["state"], run["run_type"])
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
        prefix: str = "",
    ) -> None:
        self.home = home.absolute()
        self.dags = dags.absolute()
        self.python = python
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{prefix}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.passwords = {user: secrets.token_urlsafe(16) for user in USERS}
        self._tokens: dict[str, str] = {}
        self._client = httpx.Client(base_url=self.url, timeout=ANSWER, trust_env=False)
        self.env = {**os.environ, **self._settings(), **(env or {})}

    def _settings(self) -> dict[str, str]:
        # httpx in Airflow's own processes obeys HTTP_PROXY: our addresses must not go there.
        no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
        return {
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{role}" for u, role in USERS.items()),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
        }

    # --- life ---------------------------------------------------------------------------------------------

    def start(self, timeout: float = 240) -> Self:
        """Create or upgrade the database, start the components and wait until each one reports itself healthy.

        Raises:
            RuntimeError: a component ended, or they are not healthy after `timeout` seconds; the message ends
                with the last lines of its log, and everything is stopped again.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps(self.passwords))
        try:
            self.cli("db", "migrate")
            for component in COMPONENTS:
                self.spawn(component)
            self.wait_for(self._healthy, timeout, "Airflow's components to be healthy")
        except BaseException:
            self.stop(patience=5)
            raise
        return self

    def spawn(self, component: str) -> None:
        """Start one of `COMPONENTS`; its output goes to `{home}/{component}.log`."""
        with self.log_file(component).open("ab") as log:
            self.processes[component] = subprocess.Popen(
                [self.python, "-m", "airflow", *COMPONENTS[component]],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, and `stop` ends them in order
            )

    def kill(self, component: str) -> None:
        """End one component and the processes it started with SIGKILL, as a crash of its machine would."""
        process = self.processes.pop(component)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, patience: float = 8) -> None:
        """Ask every component to end, and kill what is still there after `patience` seconds."""
        self._client.close()
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + patience
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        for component in list(self.processes):
            self.kill(component)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def cli(self, *arguments: str) -> str:
        """Run one `airflow` command with this server's settings and return what it prints.

        Raises:
            RuntimeError: it failed; the message ends with its output.
        """
        done = subprocess.run(
            [self.python, "-m", "airflow", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"`airflow {' '.join(arguments)}` failed:\n{tail(done.stdout + done.stderr)}")
        return done.stdout

    def log_file(self, component: str) -> Path:
        """Where a component's output is kept."""
        return self.home / f"{component}.log"

    def _healthy(self) -> bool:
        for component, process in self.processes.items():
            if process.poll() is not None:
                log = tail(self.log_file(component).read_text(errors="replace"))
                raise RuntimeError(f"Airflow's {component} ended with code {process.returncode}:\n{log}")
        try:
            health = self._client.get("/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(
            health[name]["status"] == "healthy" for name in ("scheduler", "triggerer", "dag_processor")
        )

    # --- REST ---------------------------------------------------------------------------------------------

    def get(self, path: str, *, user: str | None = "admin", **params: Any) -> Any:
        """GET below `/api/v2/`, e.g. `get("dags/retune/dagRuns", order_by="-run_after")`, as one of `USERS`."""
        return self._request("GET", path, user, params=params)

    def post(self, path: str, body: Any = None, *, user: str | None = "admin") -> Any:
        """POST JSON below `/api/v2/`, as one of `USERS`."""
        return self._request("POST", path, user, json=body)

    def patch(self, path: str, body: Any, *, user: str | None = "admin") -> Any:
        """PATCH JSON below `/api/v2/`, e.g. `patch("dags/retune", {"is_paused": True})`, as one of `USERS`."""
        return self._request("PATCH", path, user, json=body)

    def _request(self, method: str, path: str, user: str | None, **kwargs: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        for pause in (0.5, 1, 2, 4, None):
            response = self._send(method, f"/api/v2/{path}", headers=headers, **kwargs)
            # SQLite turns away one of two writers at once ("database is locked"); nothing was done then.
            if response.status_code != httpx.codes.INTERNAL_SERVER_ERROR or pause is None:
                break
            time.sleep(pause)
        if response.is_error:
            log = self._log() if response.is_server_error else ""
            raise RuntimeError(
                f"{method} {path}: {response.status_code} {response.text[:500]}\n{log}".rstrip()
            )
        return response.json() if response.content else None

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **kwargs)
        except httpx.TransportError as error:  # it may have been done, so only a person may ask again
            raise RuntimeError(f"{method} {path}: no answer ({error!r})\n{self._log()}") from error

    def _log(self) -> str:
        return tail(self.log_file("api-server").read_text(errors="replace"))

    def token(self, user: str = "admin") -> str:
        """A bearer token for one of `USERS`."""
        if user not in self._tokens:
            body = {"username": user, "password": self.passwords[user]}
            answer = self._send("POST", "/auth/token", json=body).raise_for_status()
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]

    # --- what is seen -------------------------------------------------------------------------------------

    def wait_for(
        self, condition: Callable[[], T | None], timeout: float, what: str, interval: float = 0.5
    ) -> T:
        """Ask `condition` every `interval` seconds until what it returns is truthy, and return that.

        Raises:
            RuntimeError: not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {timeout:g} s for {what}; the logs are in {self.home}")
            time.sleep(interval)
        return found

    def wait_for_dag(self, dag_id: str, timeout: float = 90) -> dict[str, Any]:
        """Wait until the DAG is known to the server.

        Raises:
            RuntimeError: a DAG file cannot be imported (with Airflow's trace), or the time is over.
        """

        def known() -> dict[str, Any] | None:
            if errors := self.get("importErrors")["import_errors"]:
                raise RuntimeError("\n".join(f"{e['filename']}:\n{e['stack_trace']}" for e in errors))
            return next((dag for dag in self.get("dags", limit=100)["dags"] if dag["dag_id"] == dag_id), None)

        return self.wait_for(known, timeout, f"DAG {dag_id}")

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The DAG's runs, oldest first; `run_type` and `triggering_user_name` say who created each."""
        found: list[dict[str, Any]] = self.get(f"dags/{dag_id}/dagRuns", order_by="run_after", limit=100)[
            "dag_runs"
        ]
        return found

    def wait_for_run(
        self, dag_id: str, *, after: int = 0, finished: bool = True, timeout: float = 120
    ) -> dict[str, Any]:
        """Wait for the run that follows the first `after` ones, by default until it has ended."""

        def run() -> dict[str, Any] | None:
            later = self.runs(dag_id)[after:]
            return next((r for r in later[:1] if not finished or r["state"] in {"success", "failed"}), None)

        return self.wait_for(run, timeout, f"run {after + 1} of {dag_id}")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        found: list[dict[str, Any]] = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=1000)[
            "task_instances"
        ]
        return found

    def task_log(self, task: Mapping[str, Any]) -> Iterator[str]:
        """The log lines of one task instance's last try (one of what `tasks` returned), its error as a last line."""
        path = f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        answer = self.get(f"{path}/logs/{task['try_number']}", map_index=task["map_index"], full_content=True)
        for line in answer["content"]:
            yield line if isinstance(line, str) else str(line["event"])
            for error in line.get("error_detail") or () if isinstance(line, dict) else ():
                yield f"{error['exc_type']}: {error['exc_value']}"


def tail(text: str, lines: int = 30) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-lines:])
