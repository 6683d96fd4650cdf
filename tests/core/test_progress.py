"""How many bytes are done: told to fsspec's callbacks, in lines in the log, and in bars at a terminal."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from fsspec.callbacks import Callback, NoOpCallback

from cellar_core import Cellar, progress
from cellar_core.cli import watch
from cellar_core.progress import Progress, lines
from tests.core.helpers import WAIT, Bench, threads, train, write
from tests.core.test_cli_process import CELLAR, at_a_terminal

BASE = "vit/vit-l/base"
A = "vit/vit-l/projectA"


class Heard(Callback):  # type: ignore[misc]
    """A callback that remembers its phases: what, verb, size, and the last value of each."""

    def __init__(self) -> None:
        super().__init__(hooks={"hear": self.hear})
        self.phases: list[tuple[str, str]] = []
        self.ends: list[tuple[int, int]] = []

    def hear(self, size: int, value: int, what: str = "", verb: str = "") -> None:
        if verb:
            self.phases.append((what, verb))
            self.ends.append((0, 0))
        else:
            self.ends[-1] = (size, value)


class TestPhases:
    """What a callback is told."""

    def test_register(self, bench: Bench) -> None:
        """Digesting and sending each go from 0 to all bytes."""
        heard = Heard()
        bench.cellar.register_base("vit/vit-l", bench.files("x" * 100), bump="major", callback=heard)
        assert heard.phases == [(BASE, "digested"), (BASE, "sent")]
        assert heard.ends == [(100, 100), (100, 100)]

    def test_pull_and_verify(self, bench: Bench, tmp_path: Path) -> None:
        """So do fetching and verifying, of the version that was chosen."""
        heard = Heard()
        bench.base("x" * 100, version="1.0")
        bench.cellar.pull(BASE, tmp_path / "pulled", callback=heard)
        bench.cellar.verify(BASE, callback=heard)
        assert heard.phases == [(f"{BASE}/1.0", "fetched"), (f"{BASE}/1.0", "verified")]
        assert heard.ends == [(100, 100)] * 2

    def test_retrain_and_rebuild(self, bench: Bench) -> None:
        """A training has three phases: its base, and its result twice."""
        heard = Heard()
        bench.project(bench.base("x" * 100, version="1.0"))
        bench.base("y" * 100, version="1.1")
        [rebuild] = bench.cellar.plan("vit/vit-l").rebuilds
        bench.cellar.rebuild(rebuild, train, holder="a test", callback=heard)
        assert heard.phases == [(f"{BASE}/1.1", "fetched"), (A, "digested"), (A, "sent")]
        assert heard.ends[0] == (100, 100)
        assert heard.ends[1] == heard.ends[2]

    def test_moved(self, disk: Cellar, bench: Bench) -> None:
        """What is moved instead of sent counts too."""
        heard = Heard()
        disk.register_base("vit/vit-l", bench.files("base"), bump="major")
        disk.retrain(A, lambda job: write(job.output_dir, "x" * 100, log__txt="y" * 10), callback=heard)
        assert heard.ends[1:] == [(110, 110)] * 2

    def test_what_is_there_already(self, bench: Bench) -> None:
        """What an earlier try has sent counts as sent."""
        heard = Heard()
        path = bench.files("x" * 100)
        for _ in range(2):
            bench.cellar.register_base("vit/vit-l", path, bump="major", callback=heard)
        assert heard.ends == [(100, 100)] * 4

    def test_many_threads(self) -> None:
        """No count is lost, though fsspec's callbacks are not made for threads."""

        class Slow(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                value = self.value
                time.sleep(1e-4)
                self.absolute_update(value + inc)

        slow = Slow()
        told = Progress(slow)
        told.begin("a", "sent", 160)

        def count(index: int) -> None:
            for _ in range(20):
                told.add(1)

        threads(8, count)
        assert (slow.size, slow.value) == (160, 160)

    @pytest.mark.parametrize("callback", [Callback(), NoOpCallback()])
    def test_any_callback_will_do(self, bench: Bench, callback: Any) -> None:
        """With hooks or without, of any kind."""
        bench.cellar.register_base("vit/vit-l", bench.files(), bump="major", callback=callback)


class TestLines:
    """Lines in a log."""

    def test_every_few_seconds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line says how much is done, and how fast that goes since the last one; not more often than that."""
        now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
        said: list[str] = []
        told = Progress(lines(said.append))
        told.begin(f"{BASE}/1.2", "sent", 10_700_000_000)
        for second in range(12):
            now = 100.0 + second
            told.add(500_000_000 if second < 6 else 250_000_000)
        assert said == [
            f"{BASE}/1.2: 3.0 of 10.7 GB sent, 600 MB/s",
            f"{BASE}/1.2: 4.2 of 10.7 GB sent, 250 MB/s",
        ]

    def test_in_the_log(
        self, bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a callback they are in the log of cellar_core, at INFO."""
        caplog.set_level(logging.INFO, logger="cellar_core")
        monkeypatch.setattr(progress, "lines", lambda say: lines(say, every=1e-9))
        bench.base("x" * 100, version="1.0")
        assert re.search(f"{BASE}: 100 of 100 bytes sent, ", caplog.text)
        assert {record.levelno for record in caplog.records} == {logging.INFO}

    def test_nothing_of_what_ends_soon(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """What takes less than that has none."""
        caplog.set_level(logging.INFO, logger="cellar_core")
        bench.base(version="1.0")
        assert caplog.text == ""


class TestCommands:
    """What the commands show."""

    def test_bar(self, disk: Cellar, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """At a terminal each phase has a bar, on stderr."""
        monkeypatch.setenv("CELLAR_URL", disk.url)
        path = bench.files("x" * 5000)
        for words, phases in (
            (("register", "vit/vit-l", str(path), "--bump", "major"), [f"{BASE} digested", f"{BASE} sent"]),
            (("pull", BASE, "pulled"), [f"{BASE}/1.0 fetched"]),
            (("verify", BASE), [f"{BASE}/1.0 verified"]),
            (("retrain", A, "--", "sh", "-c", 'cp "$CELLAR_BASE_DIR"/* "$CELLAR_OUTPUT_DIR"'), [f"{A} sent"]),
        ):
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", at_a_terminal(*words))
            for seen in (*phases, "━", "5.0 of 5.0 kB"):
                assert seen in plain

    def test_elsewhere(self, disk: Cellar, bench: Bench) -> None:
        """In a pipe there are no bars, and nothing at all of what ends soon."""
        done = subprocess.run(
            [*CELLAR, "register", "vit/vit-l", str(bench.files()), "--bump", "major"],
            env={**os.environ, "CELLAR_URL": disk.url},
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=True,
        )
        assert done.stderr == ""
        assert done.stdout.startswith(f"registered {BASE}/1.0\n")

    def test_lines_elsewhere(
        self, bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What takes longer has lines on stderr, since stdout is for the answer."""
        monkeypatch.setattr(watch, "lines", lambda say: lines(say, every=1e-9))
        bench.base("x" * 5000, version="1.0")
        with watch.transfer() as callback:
            bench.cellar.verify(BASE, callback=callback)
        out, err = capsys.readouterr()
        assert out == ""
        assert f"{BASE}/1.0: 5.0 of 5.0 kB verified, " in err
