"""Fixtures of the core's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cellar_core import Cellar
from tests.core.helpers import Bench, blank, forget

# A busy machine is no reason to fail: what takes too long is ended by pytest's own timeout.
settings.register_profile("core", deadline=None)
settings.load_profile("core")


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run outside of this repository, and without a cellar in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELLAR_URL", raising=False)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A blank cellar in memory, and a directory for what is registered in it."""
    made = Bench(tmp_path / "payloads")
    yield made
    forget(made.cellar)


@pytest.fixture
def disk(tmp_path: Path) -> Cellar:
    """A blank cellar on disk."""
    return blank(tmp_path / "cellar")
