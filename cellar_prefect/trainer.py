"""Commands that train: what they print goes to the run's log, and they end when the run does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from cellar_core import RetrainJob
from cellar_core.trainer import Command, Train, Trainer, TrainerFailed, as_trainer
from cellar_prefect.run import run_logger


class RunEnded(BaseException):
    """A command was ended because its run was; not an `Exception`, so that it does not count as a failed training."""


@dataclass
class _Commands:
    """The commands of a run, in whichever thread."""

    started: list[Command] = field(default_factory=list)
    ended: bool = False


_of_this_run: ContextVar[_Commands | None] = ContextVar("commands", default=None)


def trainer(train: Train, timeout: float | None) -> Trainer:
    """What `train` means, in a run.

    Args:
        train: A callable, `"pkg.mod:train"`, or a command as a list of words.
        timeout: Seconds that a command may take.
    """
    made = as_trainer(train, timeout=timeout, on_output=lambda line: run_logger().info("%s", line))
    commands = _of_this_run.get()
    if not isinstance(made, Command) or commands is None:
        return made
    commands.started.append(made)

    def run(job: RetrainJob) -> None:
        try:
            made(job)
        except TrainerFailed as error:
            if commands.ended:
                raise RunEnded(f"{job.model}: training was ended with its run") from error
            raise

    return run


@contextmanager
def ending_commands() -> Iterator[None]:
    """End each command that was started within, in whichever thread, if the block is left by an exception.

    Prefect cancels a run by an exception in its main thread, and then waits for the threads of its tasks: those are
    still reading what their commands print.
    """
    commands = _Commands()
    token = _of_this_run.set(commands)
    try:
        yield
    except BaseException:
        commands.ended = True
        for command in commands.started:
            command.kill()
        raise
    finally:
        _of_this_run.reset(token)
