"""Collecting what was abandoned in a bucket: where a half-sent file is no object, and where it is nothing at all."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from cellar_core import Bump, Cellar, Model, Ref, layout
from cellar_core.gc import PATIENCE
from cellar_core.line import Line
from cellar_core.payload import Payload, scan
from cellar_core.register import Draft, Registrar, Spot
from tests.contract.servers import FakeGCS, Moto, Server
from tests.contract.store import forked
from tests.core.helpers import WAIT, blank, write

BASE = Model("vit/vit-l/base")
FIRST, SECOND = BASE.at("1.0"), BASE.at("1.1")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=[Moto, FakeGCS])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param() as started:
        yield started


@pytest.fixture
def cellar(server: Server) -> Cellar:
    made = blank(server.url(), server.options())
    made.create_rack("vit/vit-l")
    return made


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    """A file that is sent in several parts, and a small one."""
    with (write(tmp_path / "out") / "large.bin").open("wb") as file:
        file.truncate(20 * 2**20)
    return scan(tmp_path / "out")


def register(cellar: Cellar, payload: Payload, on_bytes: Callable[[int], object]) -> Ref:
    draft = Draft(BASE, payload, bump=Bump.MAJOR)
    record, _ = Registrar(cellar.store).register(draft, lambda: Spot(Line(BASE, (1,))), on_bytes)
    return record.ref


def test_an_upload_that_is_voided_while_it_lives(cellar: Cellar, payload: Payload) -> None:
    """It starts again at the next number; what still arrives at the void one is freed by the next run."""
    turn = count()

    def void(sent: int) -> None:
        if sent and next(turn) == 1:
            assert cellar.gc(void=[FIRST]).voided == (FIRST,)

    assert register(cellar, payload, void) == SECOND
    cellar.gc()
    assert not cellar.store.find(layout.payload(FIRST))
    assert not cellar.store.partials("")
    cellar.verify(SECOND)


def test_an_upload_that_was_killed(cellar: Cellar, payload: Payload) -> None:
    """Two looks a day apart void its number and free what was sent, parts too."""

    def die(sent: int) -> None:
        if sent > 2**20:
            os.kill(os.getpid(), signal.SIGKILL)

    process = forked(lambda: register(cellar, payload, die))
    process.join(WAIT)
    assert process.exitcode == -signal.SIGKILL
    assert [one.ref for one in cellar.gc(now=NOON).waiting] == [FIRST]
    assert cellar.gc(now=NOON + PATIENCE).voided == (FIRST,)
    assert not cellar.store.find(layout.payload(FIRST))
    assert not cellar.store.partials("")
    assert register(cellar, payload, lambda sent: None) == SECOND
    cellar.verify(SECOND)
