"""The chaos benchmark at a small size: real processes, real SIGKILLs, and every promise kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "benchmarks/chaos.py"


@pytest.mark.parametrize("store", ["local", "s3"])
def test_nothing_is_doubled_torn_or_lost(store: str, tmp_path: Path) -> None:
    words = [
        "--store",
        store,
        "--writers",
        "6",
        "--registers",
        "20",
        "--limit",
        "120",
        "--dir",
        str(tmp_path),
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-P", str(CHAOS), *words], check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert (facts["duplicates"], facts["torn"], facts["lost"], facts["problems"]) == (0, 0, 0, [])
    assert facts["killed"]
    assert facts["committed"]
