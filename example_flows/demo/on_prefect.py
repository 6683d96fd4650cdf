"""Prefect for the demo: a real server, and a process that serves the flow of `flows/retune.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from example_flows.demo.prefect_server import PrefectServer, ServedFlow
from example_flows.demo.story import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prefect.client.schemas.objects import FlowRun

    from cellar_core import Recipe

FLOWS = Path(__file__).parent / "flows"


class OnPrefect:
    """A running Prefect, as the story sees it."""

    def __init__(self, server: PrefectServer, served: ServedFlow) -> None:
        self.url = server.url
        self._log = server.home / "publish.log"
        self._served = served

    @classmethod
    @contextmanager
    def running(cls, home: Path, env: Mapping[str, str]) -> Iterator[OnPrefect]:
        """Prefect with all that it writes below `home`; `env` is for the flows. Stopped at the end."""
        server = PrefectServer(home)
        # Prefect reads its settings when it is imported; those of whoever tries the demo are left alone.
        os.environ.update({**server.env, **env})
        with server, server.serve(FLOWS / "retune.py") as served:
            yield cls(server, served)

    def register_base(self, model_dir: Path, recipe: Recipe) -> None:
        """Register in a flow of another process; its task tells Prefect, and there the automation waits."""
        command = [sys.executable, str(FLOWS / "publish.py"), str(model_dir), json.dumps(recipe.facts())]
        with self._log.open("wb") as log:
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{FLOWS / 'publish.py'} failed; see {self._log}")

    def runs(self) -> list[Run]:
        """The runs of the served flow that have begun, oldest first."""
        return [_run(run) for run in self._served.flow_runs()]


def _run(run: FlowRun) -> Run:
    creator, state = run.created_by, run.state
    created_by = (
        f"the {(creator.type or '').lower()} {creator.display_value!r}" if creator else "nobody known"
    )
    return Run(str(run.id), created_by, state.name if state and state.is_final() else None)
