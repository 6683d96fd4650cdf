"""How soon `cellar --help` answers, beside the `--help` of a bare typer program of two commands.

Run it in any environment: `python -P benchmarks/terminal.py [RUNS]`. Each figure is a median over fresh interpreters
that take turns, with every module compiled already. It fails if ours takes more than 1.3 times as long.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from statistics import median
from time import perf_counter

MOST = 1.3
BARE = """
import typer

app = typer.Typer()

@app.command()
def hello(name: str, loud: bool = False) -> None:
    "Greet somebody."

@app.command()
def goodbye(name: str) -> None:
    "Part from somebody."

app(["--help"])
"""
OURS = "import sys; sys.argv = ['cellar', '--help']; from cellar_core.cli import main; main()"
CASES = {
    "a bare typer program": (BARE, {}),
    "cellar": (OURS, {}),
    "a bare typer program that leaves rich out": (BARE, {"TYPER_USE_RICH": "0"}),
}


def seconds(program: str, settings: dict[str, str]) -> float:
    """The wall time of one fresh interpreter that runs `program`."""
    start = perf_counter()
    environment = {**os.environ, **settings}
    subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, env=environment)
    return perf_counter() - start


def main(runs: int = 15) -> int:
    """Measure in turns, so that a slow moment of the machine hits every program alike."""
    rounds = [{name: seconds(*case) for name, case in CASES.items()} for _ in range(runs + 1)]
    times = {name: median(each[name] for each in rounds[1:]) for name in CASES}  # the first fills caches
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    print(f"{machine}, Python {platform.python_version()}; `--help`, median of {runs} runs")
    for name, time in times.items():
        print(f"{name}: {time * 1000:.0f} ms")
    ratio = times["cellar"] / times["a bare typer program"]
    verdict = "PASS" if ratio <= MOST else "FAIL"
    print(f"{verdict}: cellar takes {ratio:.2f} times as long as a bare typer program; the bar is {MOST}")
    return ratio > MOST


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
