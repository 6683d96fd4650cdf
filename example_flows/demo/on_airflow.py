"""Airflow for the demo: its four real components, and the DAG of `dags/retune.py`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellar_core import Bump, Cellar
from example_flows.demo.airflow_server import AirflowServer
from example_flows.demo.story import RACK, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cellar_core import Recipe

DAGS = Path(__file__).parent / "dags"
DAG = "retune"


class OnAirflow:
    """A running Airflow, as the story sees it."""

    def __init__(self, server: AirflowServer, cellar: Cellar) -> None:
        self.url = server.url
        self._server = server
        self._cellar = cellar

    @classmethod
    @contextmanager
    def running(cls, home: Path, env: Mapping[str, str]) -> Iterator[OnAirflow]:
        """Airflow with all that it writes below `home`; `env` is for its components. Stopped at the end."""
        # So seldom looked at as by default, a bump would be seen after 10 seconds.
        with AirflowServer(home, DAGS, env={"AIRFLOW__CELLAR__POLL_INTERVAL": "2", **env}) as server:
            server.wait_for_dag(DAG)
            yield cls(server, Cellar(env["CELLAR_URL"]))

    def register_base(self, model_dir: Path, recipe: Recipe) -> None:
        """Register with the core alone, as any program may: nobody tells Airflow, its watcher sees it."""
        self._cellar.register_base(RACK, model_dir, bump=Bump.MINOR, recipe=recipe)

    def runs(self) -> list[Run]:
        """The DAG's runs that have begun, oldest first."""
        # Of a run that is still queued, Airflow 3.3 cannot tell the events: it answers with an error 500.
        return [self._run(run) for run in self._server.runs(DAG) if run["start_date"]]

    def _run(self, run: dict[str, Any]) -> Run:
        name, state = run["dag_run_id"], run["state"]
        events = self._server.get(f"dags/{DAG}/dagRuns/{name}/upstreamAssetEvents")["asset_events"]
        watched = {event["uri"] for event in events if event["extra"].get("from_trigger")}
        told = f", told by the triggerer's watcher of {', '.join(watched)}" if watched else ""
        return Run(
            name,
            f"the scheduler ({run['run_type']}{told})",
            state if state in {"success", "failed"} else None,
        )
