"""When the watcher speaks, and that it never dies: the real trigger on a real cellar."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cellar_airflow.trigger import Announcer, BaseBumpedTrigger, WorkTrigger
from cellar_core import Cellar, Plan

RACK = "vit/vit-l"


@pytest.fixture
def cellar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cellar:
    """A cellar whose rack has two projects on its only base; it is the default connection's."""
    made = Cellar.init(tmp_path / "cellar")
    monkeypatch.setenv("AIRFLOW_CONN_CELLAR_DEFAULT", json.dumps({"conn_type": "cellar", "host": made.url}))
    monkeypatch.setenv("AIRFLOW__CELLAR__POLL_INTERVAL", "0.05")
    bump(made, tmp_path)
    for project in ("a", "b"):
        made.register_project(f"{RACK}/{project}", files(tmp_path, project), base=f"{RACK}/base/0.1")
    return made


def files(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "files" / content
    path.mkdir(parents=True, exist_ok=True)
    (path / "weights.txt").write_text(content)
    return path


def bump(cellar: Cellar, tmp_path: Path) -> None:
    count = len(cellar.versions(f"{RACK}/base")) if cellar.racks() else 0
    cellar.register_base(RACK, files(tmp_path, f"base-{count}"), bump="minor")


def start(cellar: Cellar, index: int = 0, holder: str = "somebody") -> None:
    """Begin a planned rebuild and leave it there, as a worker that dies does."""

    def die(job: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cellar.rebuild(cellar.plan(RACK).rebuilds[index], die, holder=holder, last_try=False)


# When


def plan(cellar: Cellar) -> Plan:
    return cellar.plan(RACK, datetime.now(UTC))


def test_nothing_is_said_while_there_is_nothing_to_do(cellar: Cellar) -> None:
    announcer = Announcer(interval=10)
    assert [announcer.event(plan(cellar), now) for now in (0, 100, 1000)] == [None, None, None]


def test_new_work_is_said_once_and_all_of_it_at_once(cellar: Cellar, tmp_path: Path) -> None:
    announcer = Announcer(interval=10)
    bump(cellar, tmp_path)
    event = announcer.event(plan(cellar), 0)
    expected = {
        "rack": RACK,
        "base": f"{RACK}/base/0.2",
        "rebuild": [f"{RACK}/a", f"{RACK}/b"],
        "in_progress": [],
    }
    assert event == expected
    assert announcer.event(plan(cellar), 1) is None
    bump(cellar, tmp_path)
    assert announcer.event(plan(cellar), 2) == {**expected, "base": f"{RACK}/base/0.3"}


def test_work_that_gets_less_is_nothing_new(cellar: Cellar, tmp_path: Path) -> None:
    announcer = Announcer(interval=10)
    bump(cellar, tmp_path)
    assert announcer.event(plan(cellar), 0)
    start(cellar)
    assert announcer.event(plan(cellar), 1) is None


def test_it_reminds_while_work_is_wanted_or_in_progress(cellar: Cellar, tmp_path: Path) -> None:
    announcer = Announcer(interval=10)
    bump(cellar, tmp_path)
    assert announcer.event(plan(cellar), 0)
    assert announcer.event(plan(cellar), 9.9) is None
    assert announcer.event(plan(cellar), 10) is not None
    start(cellar)
    start(cellar)
    event = announcer.event(plan(cellar), 20)
    assert event is not None
    assert (event["rebuild"], event["in_progress"]) == ([], [f"{RACK}/a", f"{RACK}/b"])
    assert announcer.event(plan(cellar), 21) is None


# How


async def first_events(trigger: Any, count: int, act: Callable[[], None] = lambda: None) -> list[Any]:
    """The first *count* events, while `act` goes on in a thread; at most ten seconds."""
    threading.Timer(0.3, act).start()
    found = []
    async with asyncio.timeout(10):
        async for event in trigger.run():
            found.append(event.payload)
            if len(found) == count:
                break
    return found


def test_watcher_sees_a_bump(cellar: Cellar, tmp_path: Path) -> None:
    trigger = BaseBumpedTrigger(rack=RACK, conn_id="cellar_default")
    (event,) = asyncio.run(first_events(trigger, 1, lambda: bump(cellar, tmp_path)))
    assert event["rebuild"] == [f"{RACK}/a", f"{RACK}/b"]


def test_watcher_survives_what_breaks(
    cellar: Cellar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(cellar.url.removeprefix("file://")) / RACK / "config.toml"
    good = config.read_text()
    config.write_text("not toml")

    def mend() -> None:
        config.write_text(good)
        bump(cellar, tmp_path)

    (event,) = asyncio.run(first_events(BaseBumpedTrigger(rack=RACK, conn_id="cellar_default"), 1, mend))
    assert event["base"] == f"{RACK}/base/0.2"
    log = capsys.readouterr().out
    assert f"Cannot look at {RACK}, next try in 0.1 s: {RACK}/config.toml is no TOML" in log
    assert f"Cannot look at {RACK}, next try in 0.2 s" in log


def test_watcher_does_not_hold_up_the_event_loop(cellar: Cellar, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that hangs must not hang all other triggers of the process."""
    hanging = threading.Event()
    monkeypatch.setattr(Cellar, "plan", lambda *_: hanging.wait(10))

    async def beats() -> int:
        watcher = asyncio.ensure_future(anext(BaseBumpedTrigger(rack=RACK, conn_id="cellar_default").run()))
        count = 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            count += 1
        watcher.cancel()
        hanging.set()
        return count

    started = asyncio.run(asyncio.wait_for(beats(), 5))
    assert started == 20


def test_sensors_trigger_tells_work_or_what_went_wrong(cellar: Cellar, tmp_path: Path) -> None:
    trigger = WorkTrigger(rack=RACK, conn_id="cellar_default", poke_interval=0.05)
    (event,) = asyncio.run(first_events(trigger, 1, lambda: bump(cellar, tmp_path)))
    assert [rebuild["model"] for rebuild in event["rebuilds"]] == [f"{RACK}/a", f"{RACK}/b"]
    assert event["status"] == "work"
    json.dumps(event)

    (event,) = asyncio.run(
        first_events(WorkTrigger(rack="no/rack", conn_id="cellar_default", poke_interval=1), 1)
    )
    assert (event["status"], event["permanent"]) == ("error", True)
    assert "there is no rack no/rack" in event["message"]

    (event,) = asyncio.run(first_events(WorkTrigger(rack=RACK, conn_id="not_there", poke_interval=1), 1))
    assert (event["status"], event["permanent"]) == ("error", False)


@pytest.mark.parametrize(
    "trigger",
    [BaseBumpedTrigger(rack=RACK, conn_id="c"), WorkTrigger(rack=RACK, conn_id="c", poke_interval=2.5)],
)
def test_triggers_survive_serialization(trigger: Any) -> None:
    from airflow.sdk._shared.module_loading import import_string

    path, arguments = trigger.serialize()
    assert import_string(path)(**json.loads(json.dumps(arguments))).serialize() == trigger.serialize()
