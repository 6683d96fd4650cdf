"""The command line as a process: exit codes, pipes, signals and terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cellar_core import BaseVersion, Cellar, Model
from cellar_core.attempt import Attempt, Event
from cellar_core.layout import rebuild_log
from cellar_core.log import append
from tests.core.helpers import WAIT, until, write

RACK = "vit/vit-l"
A = f"{RACK}/projectA"
CELLAR = [sys.executable, "-P", "-c", "from cellar_core.cli import main; main()"]
COPY = ("--", "cp", "{base_dir}/model.bin", "{output_dir}/model.bin")


@pytest.fixture
def cellar(disk: Cellar, monkeypatch: pytest.MonkeyPatch) -> Cellar:
    """A cellar with one project that is stale; CELLAR_URL names it."""
    monkeypatch.setenv("CELLAR_URL", disk.url)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    disk.register_base(RACK, write(Path("one"), "one"), bump="major")
    disk.register_project(A, write(Path("tuned"), "tuned"), base=f"{RACK}/base/1.0")
    disk.register_base(RACK, write(Path("two"), "two"), bump="minor")
    return disk


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    environment = dict(os.environ)  # without what readline, which pytest loads, adds behind Python's back
    return subprocess.run(
        [*CELLAR, *words], capture_output=True, text=True, timeout=WAIT, check=False, env=environment
    )


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Exit codes and streams


def test_exit_codes(cellar: Cellar) -> None:
    assert run("plan", RACK).returncode == 0
    failed = run("resolve", f"{A}@^7")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert run("resolve", "no ref").returncode == 2
    assert run("plan").returncode == 2
    assert run("--help").returncode == 0


def test_what_a_training_prints_goes_to_stdout_and_its_progress_to_stderr(cellar: Cellar) -> None:
    script = """
        echo to stdout; echo to stderr >&2
        echo '{"progress": 1, "loss": 0.25}' >> "$CELLAR_PROGRESS"
        cat "{base_dir}/model.bin" > "{output_dir}/model.bin"
    """
    done = run("retrain", A, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    assert printed == ["to stdout", "to stderr"]
    assert last == f"registered {A}/1.1.1, made from {RACK}/base/1.1"
    assert f"{A}  loss 0.25: 100%" in done.stderr


NOISY = """
import os, subprocess

def train(job):
    print("from Python")
    os.write(1, b"from C\\n")
    subprocess.run(["echo", "from a child"], check=True)
    (job.output_dir / "model.bin").write_text("new")
"""


def test_with_json_stdout_holds_the_json_alone(cellar: Cellar) -> None:
    """Whatever prints: Python, C by its file descriptor, a child process of the training, a command."""
    Path("noisy.py").write_text(NOISY)
    script = "echo from a command; echo newer > {output_dir}/model.bin"
    for words in (["--train", "noisy:train"], ["--", "sh", "-c", script]):
        done = run("retrain", A, "--json", *words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["created"] is True
        seen = {"from a command"} if "--" in words else {"from Python", "from C", "from a child"}
        assert seen <= set(done.stderr.splitlines())


def test_a_module_beside_is_found_and_its_failure_is_told_with_its_place(cellar: Cellar) -> None:
    Path("beside.py").write_text("def train(job):\n    raise RuntimeError('out of memory')\n")
    done = run("rebuild", RACK, "--train", "beside:train")
    assert done.returncode == 1
    assert 'beside.py", line 2, in train' in done.stderr
    assert f"Error: training {A}" in done.stderr
    assert f"cellar rebuild {A} --again WHY" in done.stdout


def test_in_a_pipe_there_are_no_colours_and_no_wrapped_lines(cellar: Cellar) -> None:
    reason = " ".join(["why"] * 100)
    policy = f'[projects.projectA]\nhold = {{ reason = "{reason}" }}'
    Path("cellar", RACK, "config.toml").write_text(policy)
    for words in (["plan", RACK], ["ls", RACK], ["ls"], ["show", A], ["--help"]):
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        if RACK in words:
            assert any(reason in line for line in done.stdout.splitlines())


def test_a_reader_that_has_had_enough_is_told_nothing(cellar: Cellar) -> None:
    process = subprocess.Popen([*CELLAR, "show", A], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == b""
    process.wait(WAIT)


@pytest.mark.parametrize(
    "words", [["log", RACK, "--json"], ["show", A], ["ls", RACK], ["--help"], ["ls", "--help"]]
)
def test_a_reader_of_one_line_gets_it_and_nothing_else_is_said(cellar: Cellar, words: list[str]) -> None:
    """Also where there is far more to write than a pipe holds."""
    for number in range(40):
        cellar.alias(A, "production", "1.0.1", f"{number} {'why ' * 1000}")
    process = subprocess.Popen([*CELLAR, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() or process.stdout.readline()
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == ""
    assert process.wait(WAIT) in (0, 1)


def test_closed_streams_are_no_traceback(cellar: Cellar) -> None:
    for script, code in (
        ("ls >&-", 0),
        ("ls nothing 2>&-", 1),
        ("register vit/vit-l two --bump minor >&- 2>&-", 0),
    ):
        words = f"{shlex.join(CELLAR)} {script}"
        done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=WAIT, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_a_full_disk_is_an_error(cellar: Cellar) -> None:
    for words in (["ls"], ["ls", "--json"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*CELLAR, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT, check=False
            )
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_knows_few_characters_is_written_to_all_the_same(
    cellar: Cellar, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    cellar.register_base(RACK, write(Path("three"), "three"), bump="minor", notes="größer → besser")
    drawn = {words: run_bytes(*words).decode(encoding) for words in (("ls", RACK), ("show", f"{RACK}/base"))}
    assert ("└── " if encoding == "utf-8" else "`-- ") in drawn["ls", RACK]
    notes = "größer → besser".encode(encoding, "backslashreplace").decode(encoding)
    assert notes in drawn["show", f"{RACK}/base"]


def run_bytes(*words: str) -> bytes:
    """What a command that ends well writes to stdout."""
    done = subprocess.run([*CELLAR, *words], capture_output=True, timeout=WAIT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


# Signals


def test_a_key_stops_a_command_that_waits(cellar: Cellar) -> None:
    """Ctrl-C where nothing is trained: here it waits for somebody to write to a pipe."""
    os.mkfifo("recipe.json")
    words = ["register", RACK, "two", "--bump", "minor", "--recipe", "recipe.json"]
    process = subprocess.Popen([*CELLAR, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    held: list[int] = []

    def reads() -> bool:
        with suppress(OSError):  # as long as nobody reads
            held.append(os.open("recipe.json", os.O_WRONLY | os.O_NONBLOCK))
        return bool(held)

    until(reads)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=WAIT)
    os.close(held[0])
    assert (process.returncode, out, told) == (130, "", "ended by SIGINT\n")


@pytest.fixture
def training(cellar: Cellar) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A rebuild under way: its process, and the two of its training, a shell and what that started."""
    script = "sleep 1000 & echo $! > child; echo $$ > leader.new; mv leader.new leader; wait; sleep 1000"
    heard = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored where the tests run under nohup
    process = subprocess.Popen(
        [*CELLAR, "rebuild", RACK, "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGHUP, heard)
    leader = Path("leader")
    try:
        until(leader.exists)
        yield process, [int(leader.read_text()), int(Path("child").read_text())]
    finally:
        process.kill()
        process.communicate()
        if leader.exists():
            with suppress(ProcessLookupError):
                os.killpg(int(leader.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_whole_training(
    cellar: Cellar, training: tuple[subprocess.Popen[str], list[int]], number: signal.Signals
) -> None:
    process, trainers = training
    assert all(map(alive, trainers))
    process.send_signal(number)
    _, told = process.communicate(timeout=WAIT)
    assert process.returncode == 128 + number
    assert "Traceback" not in told
    until(lambda: not any(map(alive, trainers)))  # what is killed takes a moment to be gone
    [wanted] = cellar.plan(RACK).rebuilds
    assert wanted.reason == "was_lost"


def test_a_rebuild_that_was_killed_is_taken_up_by_the_next(
    cellar: Cellar, training: tuple[subprocess.Popen[str], list[int]]
) -> None:
    process, _ = training
    meanwhile = run("rebuild", RACK, *COPY)
    assert meanwhile.returncode == 0
    assert "has been at it since" in meanwhile.stdout
    process.kill()
    process.wait(WAIT)
    done = run("rebuild", RACK, *COPY)
    assert done.returncode == 0, done.stderr
    assert f"{A}/1.1.1 was built" in done.stdout


def test_a_rebuild_elsewhere_is_taken_over_by_a_person_alone(cellar: Cellar) -> None:
    [wanted] = cellar.plan(RACK).rebuilds
    elsewhere = "cli:kim@elsewhere:999999999"
    entry = Attempt(event=Event.STARTED, request=wanted.request, holder=elsewhere, number=1)
    append(cellar.store, rebuild_log(Model(A), BaseVersion("1.1")), 1, entry)
    assert elsewhere in run("rebuild", RACK, *COPY).stdout
    done = run("rebuild", A, "--take-over", "that machine burnt", *COPY)
    assert f"{A}/1.1.1 was built" in done.stdout


def test_a_command_that_takes_too_long_is_ended(cellar: Cellar) -> None:
    done = run("retrain", A, "--timeout", "0.5", "--", "sleep", "1000")
    assert done.returncode == 1
    assert "0.5 s" in done.stderr
    assert len(cellar.versions(A)) == 1


# At a terminal


def at_a_terminal(*words: str, code: int = 0, **settings: str) -> str:
    """What a command writes to a terminal of 100 columns."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", **settings}
    process = subprocess.Popen([*CELLAR, *words], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    written = b""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if not select.select([controller], [], [], 0.5)[0]:
            continue
        try:
            written += os.read(controller, 65536)
        except OSError:  # the other side was closed
            break
    os.close(controller)
    assert process.wait(WAIT) == code, written
    return written.decode()


def test_at_a_terminal_there_is_colour(cellar: Cellar) -> None:
    assert "\x1b[" in at_a_terminal("plan", RACK)
    assert "\x1b[36m" in at_a_terminal("--help")
    assert "\x1b[1;31mError" in at_a_terminal("ls", "vit/vit-x", code=1)


COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])[0-9;]*m")


@pytest.mark.parametrize("words", [("plan", RACK), ("ls", RACK), ("--help",), ("ls", "--help")])
def test_at_a_terminal_there_is_no_colour_for_who_wants_none(cellar: Cellar, words: tuple[str, ...]) -> None:
    assert COLOUR.search(at_a_terminal(*words))
    assert not COLOUR.search(at_a_terminal(*words, NO_COLOR="1"))
    assert "\x1b" not in at_a_terminal(*words, TERM="dumb")


def test_at_a_terminal_progress_is_a_bar_below_what_the_training_prints(cellar: Cellar) -> None:
    script = """
        for i in 1 2 3; do
            echo "step $i"
            echo "{\\"progress\\": 0.$i, \\"loss\\": $i}" >> "$CELLAR_PROGRESS"
            sleep 0.4
        done
        echo new > "$CELLAR_OUTPUT_DIR/model.bin"
    """
    text = at_a_terminal("retrain", A, "--", "sh", "-c", script)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    for seen in ("step 1", "step 3", "━", f"{A}  loss 2", "20%", f"registered {A}/1.1.1"):
        assert seen in plain


# How soon it starts


def test_help_loads_nothing_that_only_a_command_needs(cellar: Cellar) -> None:
    unwanted = {"cellar_core.cellar", "cellar_core.cli.output", "cellar_core.cli.watch", "cellar_core.report"}
    assert not (unwanted | {"blake3", "fsspec", "pydantic", "rich"}) & loaded_by("--help")


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["ls"], {"rich.table"}),
        (["ls", RACK], {"rich.tree"}),
        (["ls", RACK, "--json"], set()),
        (["plan", RACK], {"rich.table"}),
        (["resolve", A], set()),
        (["alias", A], set()),
        (["show", A, "--json"], set()),
        (["check", "."], {"cellar_core.check"}),
        (["pull", A, "model"], {"fsspec"}),
        (["report", RACK, "-o", "rack.html"], {"jinja2"}),
    ],
    ids=str,
)
def test_a_command_loads_only_what_it_needs(cellar: Cellar, words: list[str], needed: set[str]) -> None:
    loaded = loaded_by(*words)
    heavy = {"asyncio", "fsspec", "jinja2", "rich.table", "rich.tree", "cellar_core.check"}
    assert loaded & (heavy - implied(needed)) == needed
    assert not {"s3fs", "gcsfs", "adlfs", "rich.progress", "prefect", "airflow"} & loaded


def loaded_by(*words: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    program = "import atexit, sys; atexit.register(lambda: print('\\0', *sys.modules))"
    program += "; from cellar_core.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=True,
    )
    loaded = set(done.stdout.rpartition("\0")[2].split())
    assert "cellar_core.cli.train" in loaded
    return loaded


def implied(needed: set[str]) -> set[str]:
    """What comes along: fsspec and jinja2 load asyncio, and older releases of rich load tables for a tree."""
    along = {"fsspec": {"asyncio"}, "jinja2": {"asyncio"}, "rich.tree": {"rich.table"}}
    return set().union(*(along.get(name, set()) for name in needed))
