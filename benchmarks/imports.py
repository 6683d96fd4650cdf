"""How long an import takes, of its own and beside what a user imports anyway.

Run it in an environment that has one orchestrator or both: `python -P benchmarks/imports.py [RUNS]`.
Each figure is a median over fresh interpreters, with every module compiled already.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import find_spec
from os import cpu_count
from statistics import median
from time import perf_counter

# What the core needs, and a user's project nearly always has: the core's own time is beyond these.
NEEDS = "import fsspec, packaging.version, packaging.specifiers, pydantic"
CASES = {
    "cellar_core": (NEEDS, "from cellar_core import *"),
    "cellar_airflow": ("import airflow.sdk", "from cellar_airflow import *"),
    "cellar_prefect": ("import prefect", "from cellar_prefect import *"),
}
ORCHESTRATORS = {"cellar_airflow": "airflow", "cellar_prefect": "prefect"}


def seconds(program: str) -> float:
    """The wall time of one fresh interpreter that runs `program`."""
    start = perf_counter()
    subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True)
    return perf_counter() - start


def main(runs: int = 15) -> None:
    """Measure in turns, so that a slow moment of the machine hits every program alike."""
    cases = {
        name: pair for name, pair in CASES.items() if name == "cellar_core" or find_spec(ORCHESTRATORS[name])
    }
    programs = {"pass"}.union(*({before, f"{before}; {ours}"} for before, ours in cases.values()))
    rounds = [{program: seconds(program) for program in programs} for _ in range(runs + 1)]
    times = {
        program: median(each[program] for each in rounds[1:]) for program in programs
    }  # the first fills caches

    start = times["pass"]
    print(
        f"{platform.machine()}, {cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )
    print(f"median of {runs} runs, less the {start * 1000:.0f} ms that a bare interpreter takes")
    for name, (before, ours) in cases.items():
        alone, both = (times[program] - start for program in (before, f"{before}; {ours}"))
        print(
            f"{name}: {(both - alone) * 1000:+.0f} ms, {both / alone:.2f} times `{before}` ({alone * 1000:.0f} ms)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
