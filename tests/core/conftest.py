"""Fixtures of the core's tests."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from cellar_core import Cellar
from tests.core.helpers import Bench, blank, forget, write
from tests.core.terminal import RACK, TRAINERS, A, B, Terminal

# A busy machine is no reason to fail: what takes too long is ended by pytest's own timeout.
settings.register_profile("core", deadline=None)
settings.load_profile("core")


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Hear SIGINT, which a script's background job does not, nor what it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def term(disk: Cellar, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal with CELLAR_URL set, in a directory with a blank ``cellar`` and the module ``trainers``."""
    monkeypatch.setenv("CELLAR_URL", disk.url)
    Path("trainers.py").write_text(TRAINERS)
    monkeypatch.syspath_prepend("elsewhere")  # puts sys.path back afterwards
    return Terminal()


@pytest.fixture(scope="module")
def bumped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cellar in which two projects stand on base 1.0, and there is a base 1.1; to be copied."""
    place = tmp_path_factory.mktemp("bumped")
    made = blank(place / "cellar")
    trainers: dict[str, Any] = {}
    exec(TRAINERS, trainers)
    one = write(place / "one", "one", result__json='{"accuracy": 0.9}')
    two = write(place / "two", "two", result__json='{"accuracy": 0.95}')
    made.register_base(RACK, one, bump="major")
    made.retrain(A, trainers["good"])
    made.retrain(B, trainers["good"])
    made.register_base(RACK, two, bump="minor")
    return place


@pytest.fixture
def stale(term: Terminal, bumped: Path) -> Terminal:
    """The same terminal, where the rack has two projects that are stale."""
    shutil.copytree(bumped, Path.cwd(), dirs_exist_ok=True)
    return term
