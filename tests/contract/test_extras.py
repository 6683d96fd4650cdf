"""The packages for the clouds are extras: whoever lacks one is told which."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules["{package}"] = None  # as if it were not installed
from cellar_core.cli import main
sys.argv = ["cellar", "ls", "--cellar", "{url}"]
main()
"""


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://bucket/cellar", "s3fs", "s3"),
        ("s3a://bucket/cellar", "s3fs", "s3"),
        ("gs://bucket/cellar", "gcsfs", "gcs"),
        ("gcs://bucket/cellar", "gcsfs", "gcs"),
        ("abfs://container/cellar", "adlfs", "azure"),
        ("abfss://container@account.dfs.core.windows.net/cellar", "adlfs", "azure"),
        ("az://container/cellar", "adlfs", "azure"),
    ],
)
def test_missing_package(url: str, package: str, extra: str) -> None:
    """The error names the extra, as pip takes it; there is no traceback."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package=package, url=url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert f"needs the package {package}: pip install 'cellar-flows[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
