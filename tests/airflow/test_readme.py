"""The README's shortest DAG, as it stands there; `test_end_to_end.py` runs it on a real Airflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.readme import write_script


def test_the_shortest_dag_is_a_script_that_ends_well(tmp_path: Path) -> None:
    """As Airflow's documentation advises to check a DAG file: run it with Python."""
    dag = write_script("dags/retune.py", tmp_path)
    write_script("train.py", dag.parent)
    done = subprocess.run([sys.executable, dag], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
