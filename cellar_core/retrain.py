"""Making a project's model: get the base, train from it and from nothing else, register what was written.

SPEC: "our policy is to ensure reproducibility by retraining from scratch, rather than relying on incremental 'top-up'
training on an already fine-tuned model". So there is no argument here through which a tuned model could come in.
"""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager
from pathlib import Path

from cellar_core import disk
from cellar_core.errors import CellarError, listing
from cellar_core.store import Store
from cellar_core.trainer import RetrainJob, Trainer, TrainerFailed

__all__ = ["BaseTouched", "EmptyOutput", "train", "workshop"]

Signature = dict[str, tuple[int, int, int]]


class EmptyOutput(TrainerFailed):
    """The training ended well but wrote nothing; no version was made."""

    retryable = False


class BaseTouched(TrainerFailed):
    """The training changed its base directory, so what it made is from no known base; no version was made."""

    retryable = False


def workshop(store: Store, where: str | os.PathLike[str] | None = None) -> AbstractContextManager[Path]:
    """A temporary directory to train in, gone afterwards.

    It lies below *where*, or below ``TMPDIR``, if somebody has said so; else on the disk of the cellar, if that is on
    one here: there is room for models, and the result can be moved into its place instead of copied. Else where the
    system keeps such things.
    """
    return disk.scratch(where or os.environ.get("TMPDIR") or store.workplace)


def train(trainer: Trainer, job: RetrainJob) -> None:
    """Run *trainer* on *job*, whose base directory lies there and whose output directory is made here.

    Raises:
        TrainerFailed: It raised; its error is the cause.
        EmptyOutput, BaseTouched: see there.
    """
    before = _protect(job.base_dir)
    job.output_dir.mkdir()
    try:
        trainer(job)
    except CellarError:
        raise
    except (Exception, SystemExit) as error:  # a training that ends the process has made no version
        raise TrainerFailed(
            f"training {job.model} from {job.base} raised {type(error).__name__}: {error}"
        ) from error
    if touched := _differences(before, _signature(job.base_dir)):
        raise BaseTouched(
            f"training {job.model} changed its base directory ({listing(touched)}); write to output_dir only"
        )
    if not any(path.is_file() for path in job.output_dir.rglob("*")):
        raise EmptyOutput(
            f"training {job.model} wrote no file into {job.output_dir.name} (output_dir, CELLAR_OUTPUT_DIR)"
        )


def _protect(directory: Path) -> Signature:
    """Make the base read-only, and note what its files look like (root can write all the same)."""
    for path in (*directory.rglob("*"), directory):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return _signature(directory)


def _signature(directory: Path) -> Signature:
    """Size, change time and inode of each file; the change time cannot be set, so no write goes unseen."""
    found = ((path, path.lstat()) for path in directory.rglob("*"))
    return {
        str(path.relative_to(directory)): (what.st_size, what.st_ctime_ns, what.st_ino)
        for path, what in found
    }


def _differences(before: Signature, after: Signature) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
