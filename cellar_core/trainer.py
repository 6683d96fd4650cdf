"""What trains: a callable, an entry point such as ``pkg.mod:train``, or a command in a process group of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, TypeAlias, cast

from cellar_core.errors import CellarError
from cellar_core.record import Recipe
from cellar_core.ref import Model, Ref

__all__ = [
    "Command",
    "RetrainJob",
    "Train",
    "Trainer",
    "TrainerFailed",
    "TrainerTimeout",
    "UnknownTrainer",
    "as_trainer",
]

GRACE = 10.0
"""How many seconds a command has between SIGTERM and SIGKILL."""


class UnknownTrainer(CellarError, ValueError):
    """What was given to train with is no callable, no importable ``pkg.mod:name`` and no command."""


class TrainerFailed(CellarError):
    """The training itself failed; no version was made. Trying again helps if its cause has gone."""

    retryable = True


class TrainerTimeout(TrainerFailed):
    """The training took longer than it was allowed to; its whole process group was ended, no version was made."""


def _silent(fraction: float, metrics: Mapping[str, float]) -> None:
    pass


@dataclass(frozen=True)
class RetrainJob:
    """Everything that a training gets; there is nothing of the project's older versions in it.

    Attributes:
        model: The project's model that is made.
        base: The base to start from.
        base_dir: Its files, verified; read-only.
        output_dir: An empty directory for the files of the new version.
        recipe: Data references, parameters and so on.
        on_progress: What ``progress`` calls.
    """

    model: Model
    base: Ref
    base_dir: Path
    output_dir: Path
    recipe: Recipe
    on_progress: Callable[[float, Mapping[str, float]], None] = field(
        default=_silent, compare=False, repr=False
    )

    def progress(self, fraction: float, **metrics: float) -> None:
        """Tell how much is done, from 0 to 1, and any numbers worth seeing: ``job.progress(0.4, loss=0.12)``."""
        self.on_progress(fraction, metrics)


Train: TypeAlias = Callable[[RetrainJob], object] | str | Sequence[str]
"""What a user may give: a callable, ``"pkg.mod:name"``, or a command as a list of words."""


Trainer: TypeAlias = Callable[[RetrainJob], object]
"""What all three become."""


def as_trainer(
    train: Train, *, timeout: float | None = None, on_output: Callable[[str], None] = lambda line: None
) -> Trainer:
    """What *train* means.

    Args:
        train: A callable, ``"pkg.mod:name"``, or a command.
        timeout: How many seconds a command may take; callables cannot be stopped from within.
        on_output: Called with each line that a command prints.

    Raises:
        UnknownTrainer: It is none of these, or cannot be imported. Trying again does not help.

    >>> as_trainer("math:sqrt")(16)
    4.0
    """
    if callable(train):
        return train
    if isinstance(train, str):
        return _entry_point(train)
    words: object = train  # whatever a user really gave
    if isinstance(words, Sequence) and words and all(isinstance(word, str) for word in words):
        if shutil.which(words[0]) is None:
            raise UnknownTrainer(
                f"there is no command {words[0]!r}; is it on the PATH, or is ./ missing before it?"
            )
        return Command(tuple(words), timeout, on_output)
    raise UnknownTrainer(
        f"{train!r} cannot train: give a callable, 'pkg.mod:train', or a command such as ['python', 'train.py']"
    )


def _entry_point(text: str) -> Trainer:
    from importlib.metadata import EntryPoint

    try:
        found = EntryPoint(name="train", value=text, group="").load() if ":" in text else None
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UnknownTrainer(
            f"{text!r} cannot be imported ({error}); is it on the PYTHONPATH of this process?"
        ) from error
    if not callable(found):
        raise UnknownTrainer(f"{text!r} cannot train: write pkg.mod:train, or a command as a list of words")
    return cast(Trainer, found)


class Command:
    """A command that gets the job in its environment and in ``{base_dir}``… of its words.

    Args:
        words: The command.
        timeout: How many seconds it may take.
        on_output: Called with each line that it prints.
    """

    def __init__(self, words: Sequence[str], timeout: float | None, on_output: Callable[[str], None]) -> None:
        self._words = words
        self._timeout = timeout
        self._on_output = on_output
        self._process: subprocess.Popen[str] | None = None
        self._killed = False
        self._timed_out = False

    def __call__(self, job: RetrainJob) -> None:
        """Run it; raises TrainerFailed or TrainerTimeout. Whatever happens, its process group has ended afterwards."""
        self._timed_out = False
        scratch = job.output_dir.with_name("job")
        scratch.mkdir()
        facts = _facts(job, scratch)
        lines: SimpleQueue[str | None] = SimpleQueue()
        watch = _ProgressFile(Path(facts["progress"]), job)
        timer = threading.Timer(self._timeout or threading.TIMEOUT_MAX, self._time_out)
        timer.daemon = True
        try:
            # Not in this thread: a signal could raise between the start and the note of it, and it would train on.
            with ThreadPoolExecutor(1) as pool:
                process = pool.submit(self._start, facts, lines).result()
            if self._killed:
                raise TrainerFailed(f"{self._words[0]} was ended before it had begun")
            timer.start()
            watch.start()
            status = self._follow(process, lines)
        finally:
            timer.cancel()
            self._end()
            self._process = None  # its number may be somebody else's soon
            watch.stop()
        if self._timed_out:
            raise TrainerTimeout(
                f"{self._words[0]} had not trained {job.model} after {self._timeout:g} s and was ended"
            )
        if status:
            how = f"signal {_signal_name(-status)}" if status < 0 else f"exit code {status}"
            raise TrainerFailed(f"{' '.join(self._words)} ended with {how}; its output says why")

    def kill(self) -> None:
        """End the whole process group, or see to it that none begins; from any thread."""
        self._killed = True
        self._end()

    def _end(self) -> None:
        """End what was started, by SIGTERM and, where that is not enough, by SIGKILL."""
        process = self._process
        if process is None or not _signal_group(process.pid, signal.SIGTERM):
            return
        until = time.monotonic() + GRACE
        while time.monotonic() < until and _signal_group(process.pid, 0):
            process.poll()  # reap the leader, so that it does not look alive
            time.sleep(0.05)
        _signal_group(process.pid, signal.SIGKILL)

    def _start(self, facts: Mapping[str, str], lines: SimpleQueue[str | None]) -> subprocess.Popen[str]:
        words = [_fill(word, facts) for word in self._words]
        environment = {**os.environ, **{f"CELLAR_{name.upper()}": value for name, value in facts.items()}}
        environment.setdefault(
            "PYTHONUNBUFFERED", "1"
        )  # so that a Python trainer's lines are seen as they come
        try:
            self._process = process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise UnknownTrainer(f"{words[0]} cannot be run: {error.strerror}") from error
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        return process

    def _follow(self, process: subprocess.Popen[str], lines: SimpleQueue[str | None]) -> int:
        """Pass its lines on until it ends; a child of it that keeps its output open does not keep us waiting."""
        ended = False
        while True:
            if not ended and process.poll() is not None:
                ended = True
                self._end()  # else a child that goes on writing would keep us reading
            try:
                line = lines.get(timeout=0.5)
            except Empty:
                if not ended:
                    continue
                break
            if line is None:
                break
            self._on_output(line)
        return process.wait()

    def _time_out(self) -> None:
        self._timed_out = True
        self._end()


class _ProgressFile:
    """Follows the file of JSON lines that a command appends its progress to."""

    def __init__(self, path: Path, job: RetrainJob) -> None:
        self._path = path
        self._job = job
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._path.touch()
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            rest = ""
            while True:
                ending = self._end.is_set()  # looked at before reading, so that the last lines are read
                *lines, rest = (rest + file.read()).split("\n")
                for line in lines:
                    self._tell(line)
                if ending:
                    return
                self._end.wait(0.2)

    def _tell(self, line: str) -> None:
        try:
            facts: dict[str, Any] = json.loads(line)
            numbers = {name: float(value) for name, value in facts.items() if name != "progress"}
            self._job.progress(float(facts["progress"]), **numbers)
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # progress is for people: a line that is none must not end a training


def _read(output: IO[str], lines: SimpleQueue[str | None]) -> None:
    with output:
        for line in output:
            lines.put(line.rstrip("\n"))
    lines.put(None)


def _facts(job: RetrainJob, scratch: Path) -> dict[str, str]:
    recipe = scratch / "recipe.json"
    recipe.write_text(job.recipe.model_dump_json(exclude_defaults=True))
    return {
        "base_dir": str(job.base_dir),
        "output_dir": str(job.output_dir),
        "model": str(job.model),
        "base": str(job.base),
        "recipe": str(recipe),
        "progress": str(scratch / "progress.jsonl"),
    }


def _fill(word: str, facts: Mapping[str, str]) -> str:
    """Put the facts in; other braces, as in JSON arguments, stay as they are."""
    for name, value in facts.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in list(signal.Signals) else str(number)  # 40 has no name


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False if it has ended."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
