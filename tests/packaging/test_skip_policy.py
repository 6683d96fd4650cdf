"""Our own rule for skips holds: it is what lets a green run mean that everything ran."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SUITE = """
import pytest

def test_listed(): pytest.skip("known reason")
def test_not_listed(): pytest.skip("some other reason")

@pytest.mark.skip(reason="by a mark")
def test_marked(): ...

@pytest.mark.xfail
def test_xfail(): raise AssertionError

def test_passes(): ...
"""


def run(directory: Path, conftest: str = CONFTEST.read_text(), **files: str) -> str:
    """What pytest says of a test suite of these files that has our conftest."""
    (directory / "conftest.py").write_text(conftest)
    (directory / "skips.txt").write_text("# a comment\nknown reason\n")
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    options = ["--import-mode=importlib", "-p", "no:cacheprovider", "--rootdir", str(directory)]
    command = [sys.executable, "-P", "-m", "pytest", *options, str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def test_a_skip_fails_unless_its_reason_is_listed(tmp_path: Path) -> None:
    output = run(tmp_path, test_suite=SUITE)
    assert "2 failed, 1 passed, 1 skipped, 1 error" in output
    for reason in ("some other reason", "by a mark"):
        assert f"skipped, and the reason is not in tests/skips.txt: {reason}" in output


def test_a_file_that_skips_itself_fails(tmp_path: Path) -> None:
    output = run(tmp_path, test_whole="import pytest\npytest.importorskip('no_such_module')\n")
    assert "could not import 'no_such_module'" in output
    assert "1 error" in output


def test_what_is_named_for_a_missing_orchestrator_is_not_collected(tmp_path: Path) -> None:
    """Here `absent` stands for an orchestrator that is not installed."""
    conftest = CONFTEST.read_text().replace('"airflow": "airflow"', '"absent": "absent"')
    assert conftest != CONFTEST.read_text()
    (tmp_path / "absent").mkdir()
    test = "def test(): ...\n"
    output = run(tmp_path, conftest, test_demo_absent=test, test_absentee=test, **{"absent/test_x": test})
    assert "test_absentee.py" in output
    assert "1 passed" in output
