"""Find the version to deploy, fetch it, verified, and say where it comes from.

CELLAR_URL=/srv/cellar python example_flows/prefect_resolve.py vit/vit-l/projectA@^1
"""

from __future__ import annotations

import sys
from pathlib import Path

from prefect import flow, task

from cellar_core import Cellar, Record
from cellar_prefect import resolve_model


@task
def fetch(record: Record, directory: Path) -> None:
    """Fetch exactly what was resolved: `latest` may be another version by now."""
    Cellar().pull(record.ref, directory)


@flow(log_prints=True)
def deploy(selector: str, directory: Path = Path("deployed")) -> Record:
    """Resolve once, and use that version from there on.

    Args:
        selector: `…@latest`, `…@^1` (what an application made for 1.x can take), `…@production`, or an exact version.
        directory: Where the files go; it must not exist yet.
    """
    record = resolve_model(selector)
    fetch(record, directory)
    print(f"{record.ref} is in {directory}; made from {record.parent.ref if record.parent else 'scratch'}")
    return record


if __name__ == "__main__":
    deploy(sys.argv[1])
