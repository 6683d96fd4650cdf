"""Retraining: the base, a recipe and an empty directory go in; a version comes out, or nothing at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from cellar_core import CellarError, Origin, Recipe, Registered, RetrainJob
from cellar_core import trainer as trainers
from cellar_core.admit import BaseMismatch
from cellar_core.choose import NoSuchVersion
from cellar_core.fetch import PayloadCorrupt
from cellar_core.payload import InvalidPayload
from cellar_core.rack import BrokenRules
from cellar_core.ref import Model, Ref
from cellar_core.retrain import BaseTouched, EmptyOutput, workshop
from cellar_core.store import LocalStore
from cellar_core.trainer import Command, TrainerFailed, TrainerTimeout, UnknownTrainer, as_trainer
from tests.core.helpers import WAIT, Bench, blank, snapshot, train, write

A = Model("vit/vit-l/projectA")
PYTHON = (sys.executable, "-S")


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """A registry with a base and a project."""
    path = bench.files("the base", config__yaml="layers: 2")
    bench.cellar.register_base("vit/vit-l", path, version="1.0")
    bench.project("vit/vit-l/base/1.0", recipe={"seed": 7})
    return bench


def script(directory: Path, text: str) -> list[str]:
    """A training command: a Python program of that text."""
    path = directory / "train_it.py"
    path.write_text("import json, os, pathlib, signal, subprocess, sys, time\nenv = os.environ\n" + text)
    return [*PYTHON, str(path)]


SAVES = "pathlib.Path(env['CELLAR_OUTPUT_DIR'], 'model.bin').write_text('tuned')\n"


class TestJob:
    """What a training gets."""

    def test_job(self, ready: Bench) -> None:
        """Model, base, the base's files, an empty directory and the recipe: nothing of the project's older versions."""
        jobs: list[RetrainJob] = []

        def look(job: RetrainJob) -> None:
            assert (str(job.model), str(job.base)) == (str(A), "vit/vit-l/base/1.0")
            assert {path.name: path.read_text() for path in job.base_dir.iterdir()} == {
                "model.bin": "the base",
                "config.yaml": "layers: 2",
            }
            assert list(job.output_dir.iterdir()) == []
            assert job.recipe == Recipe(seed=7)
            with pytest.raises(FrozenInstanceError):
                job.base = job.base  # type: ignore[misc]
            jobs.append(job)
            train(job)

        done = ready.cellar.retrain(A, look)
        assert (str(done.ref), done.created) == ("vit/vit-l/projectA/1.0.2", True)
        assert done.record.recipe == Recipe(seed=7)
        assert done.record.parent is not None
        assert done.record.parent.tree == ready.cellar.resolve("vit/vit-l/base").tree
        assert not jobs[0].base_dir.exists()  # nothing temporary stays
        assert not jobs[0].output_dir.exists()

    def test_base_is_read_only(self, ready: Bench) -> None:
        """The base directory is read-only, so that who writes there by mistake is told at once."""

        def look(job: RetrainJob) -> None:
            for path in (job.base_dir, *job.base_dir.rglob("*")):
                assert not path.stat().st_mode & 0o222
            train(job)

        ready.cellar.retrain(A, look)

    @pytest.mark.parametrize(
        "base", [None, "vit/vit-l/base", "vit/vit-l/base@^1", "vit/vit-l/base/1.0", "vit/vit-l/base@latest"]
    )
    def test_which_base(self, ready: Bench, base: str | None) -> None:
        """The base is the newest that the project follows, or the one that a ref or a selector means."""
        assert ready.cellar.retrain(A, train, base=base).ref == Ref("vit/vit-l/projectA/1.0.2")

    def test_newest_base_that_is_followed(self, ready: Bench) -> None:
        """A new X that waits for its approval is not taken by a bare retrain; who wants it names it."""
        ready.base(version="1.1")
        ready.base(version="2.0")
        assert str(ready.cellar.retrain(A, train).ref) == "vit/vit-l/projectA/1.1.1"
        assert (
            str(ready.cellar.retrain(A, train, base="vit/vit-l/base/2.0").ref) == "vit/vit-l/projectA/2.0.1"
        )

    @pytest.mark.parametrize(
        "base", ["vit/vit-l/projectA/1.0.1", "vit/vit-l/projectA", "vit/vit-l/projectA@latest"]
    )
    def test_never_from_a_tuned_model(self, ready: Bench, base: str) -> None:
        """There is no argument through which a project's model could become the start of a training."""
        with pytest.raises(BaseMismatch, match="nothing is tuned from a tuned model; name a base"):
            ready.cellar.retrain(A, train, base=base)

    def test_no_base(self, ready: Bench) -> None:
        """Without a base that it follows a project cannot be trained."""
        ready.configure('[projects.projectA]\ntrack = "^3"')
        with pytest.raises(
            NoSuchVersion, match="projectA has no base to start from: the rack has no base that it follows"
        ):
            ready.cellar.retrain(A, train)

    def test_corrupt_base(self, ready: Bench) -> None:
        """A base whose files are not what was registered is not trained from."""
        store = ready.cellar.store
        store._fs.pipe_file(store._path("vit/vit-l/base/1.0/model.bin"), b"THE BASE")  # type: ignore[attr-defined]
        with pytest.raises(PayloadCorrupt):
            ready.cellar.retrain(A, lambda job: pytest.fail("trained from a corrupt base"))

    def test_recipe(self, ready: Bench) -> None:
        """The recipe is the one given, else that of ``config.toml``, else the last version's."""

        def recipe(**keywords: Any) -> Recipe:
            return ready.cellar.retrain(A, train, **keywords).record.recipe

        assert recipe() == Recipe(seed=7)
        ready.configure("[projects.projectA.recipe]\nseed = 8")
        assert recipe() == Recipe(seed=8)
        assert recipe(recipe={"seed": 9, "parameters": {"epochs": 3}}) == Recipe(
            seed=9, parameters={"epochs": 3}
        )
        assert recipe(recipe={}) == Recipe()

    def test_notes_and_origin(self, ready: Bench) -> None:
        """What is told besides is in the record; what an origin leaves open is found out."""
        record = ready.cellar.retrain(A, train, notes="a trial", origin=Origin(run={"dag": "retune"})).record
        assert (record.notes, record.origin.run) == ("a trial", {"dag": "retune"})
        assert record.origin.python == ".".join(map(str, sys.version_info[:3]))

    def test_workdir(self, ready: Bench, tmp_path: Path) -> None:
        """Temporary files lie where they are wanted, and are gone afterwards, also after a failure."""
        place = tmp_path / "scratch"
        place.mkdir()

        def look(job: RetrainJob) -> None:
            assert job.base_dir.is_relative_to(place)
            assert job.output_dir.is_relative_to(place)
            raise ValueError

        with pytest.raises(TrainerFailed):
            ready.cellar.retrain(A, look, workdir=place)
        assert not list(place.iterdir())

    def test_workshop_goes_away_with_a_read_only_base_in_it(self, tmp_path: Path) -> None:
        """A read-only directory is no reason for leaving it behind."""
        with workshop(LocalStore("elsewhere"), tmp_path) as directory:
            path = write(directory / "base")
            for one in (path / "model.bin", path):
                one.chmod(0o500)
        assert not list(tmp_path.iterdir())

    def test_progress(self, ready: Bench) -> None:
        """What a training tells of its progress is shown to whoever runs it."""
        told: list[tuple[float, Mapping[str, float]]] = []

        def tells(job: RetrainJob) -> None:
            job.progress(0.5, loss=0.12)
            job.progress(1.0)
            train(job)

        ready.cellar.retrain(A, tells, on_progress=lambda fraction, metrics: told.append((fraction, metrics)))
        assert told == [(0.5, {"loss": 0.12}), (1.0, {})]
        ready.cellar.retrain(A, tells, recipe={"seed": 8})  # nobody listens: that is fine too


class TestEntryPoint:
    """``pkg.mod:train``."""

    def test_imported(self, ready: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A function is imported by its name when it is needed."""
        package = tmp_path / "somebodys"
        package.mkdir()
        (package / "training.py").write_text(
            "class Trainer:\n"
            "    @staticmethod\n"
            "    def run(job):\n"
            "        (job.output_dir / 'model.bin').write_text('tuned')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        done = ready.cellar.retrain(A, "somebodys.training:Trainer.run")
        assert ready.cellar.store.read(f"{done.ref}/model.bin") == b"tuned"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("no_such_module:train", "cannot be imported .*no_such_module.*PYTHONPATH"),
            ("math:no_such_function", "cannot be imported .*no_such_function"),
            ("broken_module:train", "cannot be imported .*invalid syntax"),
            ("math:pi", r"cannot train: write pkg\.mod:train"),
            ("math", r"cannot train: write pkg\.mod:train"),
            ("python train.py", r"cannot train: write pkg\.mod:train, or a command as a list of words"),
            ("", "cannot train"),
            (":", "cannot"),
            ("a b:c d", "cannot"),
        ],
    )
    def test_no_trainer(
        self, ready: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
    ) -> None:
        """What cannot be imported or called is told before anything is trained; trying again does not help."""
        (tmp_path / "broken_module.py").write_text("def train(:\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(UnknownTrainer, match=message) as caught:
            ready.cellar.retrain(A, text)
        assert not caught.value.retryable

    @pytest.mark.parametrize("thing", [None, 3, [], ["python", 3], {}])
    def test_no_trainer_at_all(self, thing: Any) -> None:
        """So is what is neither a callable, nor a name, nor a command."""
        with pytest.raises(UnknownTrainer, match=r"give a callable, 'pkg\.mod:train', or a command"):
            as_trainer(thing)


class TestCommand:
    """A command."""

    def test_environment_and_placeholders(self, ready: Bench, tmp_path: Path) -> None:
        """A command gets the job in its environment, and in the places it names among its words."""
        command = script(
            tmp_path,
            "facts = {name: value for name, value in env.items() if name.startswith('CELLAR_')}\n"
            "facts['base'] = pathlib.Path(env['CELLAR_BASE_DIR'], 'model.bin').read_text()\n"
            "facts['recipe'] = json.load(open(env['CELLAR_RECIPE']))\n"
            "facts['words'] = sys.argv[1:]\n"
            "json.dump(facts, open(env['CELLAR_OUTPUT_DIR'] + '/facts.json', 'w'))\n",
        )
        words = [
            *("{base_dir}", "{output_dir}", "{model}", "{base}", "{recipe}", "{progress}"),
            *("--out={output_dir}/x", '{"lr": 0.1}', "{unknown}", "{}", "%s"),
        ]
        done = ready.cellar.retrain(A, [*command, *words], recipe={"seed": 3, "parameters": {"lr": 0.1}})
        facts = json.loads(ready.cellar.store.read(f"{done.ref}/facts.json") or b"")
        names = {"BASE_DIR", "OUTPUT_DIR", "MODEL", "BASE", "RECIPE", "PROGRESS"}
        told = {name for name in facts if name.startswith("CELLAR_")} - os.environ.keys()
        assert told == {f"CELLAR_{name}" for name in names}
        assert (facts["CELLAR_MODEL"], facts["CELLAR_BASE"]) == (str(A), "vit/vit-l/base/1.0")
        assert facts["base"] == "the base"
        assert facts["recipe"] == {"seed": 3, "parameters": {"lr": 0.1}}
        assert facts["words"] == [
            *(
                facts[f"CELLAR_{name}"]
                for name in ("BASE_DIR", "OUTPUT_DIR", "MODEL", "BASE", "RECIPE", "PROGRESS")
            ),
            *(f"--out={facts['CELLAR_OUTPUT_DIR']}/x", '{"lr": 0.1}', "{unknown}", "{}", "%s"),
        ]

    def test_output_arrives_before_the_end(self, ready: Bench, tmp_path: Path) -> None:
        """Output is passed on line by line as it comes, also if the program does not flush."""
        seen = tmp_path / "seen"
        command = script(
            tmp_path,
            f"print('epoch 1')\nseen = pathlib.Path({str(seen)!r})\n"
            f"until = time.monotonic() + {WAIT}\n"
            "while not seen.exists() and time.monotonic() < until: time.sleep(0.01)\n"
            "assert seen.exists()\nprint('epoch 2', file=sys.stderr)\nprint('no newline', end='')\n" + SAVES,
        )
        lines: list[str] = []

        def listen(line: str) -> None:
            lines.append(line)
            seen.touch()

        ready.cellar.retrain(A, command, on_output=listen)
        assert lines == ["epoch 1", "epoch 2", "no newline"]

    def test_any_output(self, ready: Bench, tmp_path: Path) -> None:
        """Bytes that are no text, progress bars and a great deal of output end no training."""
        command = script(
            tmp_path,
            "sys.stdout.buffer.write(b'\\xff\\xfe\\n10%\\r20%\\r\\n')\nsys.stdout.flush()\n"
            "for number in range(20000): print(number)\n" + SAVES,
        )
        lines: list[str] = []
        ready.cellar.retrain(A, command, on_output=lines.append)
        assert lines[:3] == ["\ufffd\ufffd", "10%", "20%"]
        assert lines[3:] == [str(number) for number in range(20000)]

    def test_no_input(self, ready: Bench, tmp_path: Path) -> None:
        """A command that asks something waits for nobody."""
        ready.cellar.retrain(A, script(tmp_path, "assert sys.stdin.read() == ''\n" + SAVES))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("sys.exit(3)", "ended with exit code 3; its output says why"),
            ("raise ValueError", "ended with exit code 1"),
            ("os.kill(os.getpid(), signal.SIGKILL)", "ended with signal SIGKILL"),
            ("os.kill(os.getpid(), 40)", "ended with signal 40"),
        ],
    )
    def test_fails(self, ready: Bench, tmp_path: Path, text: str, message: str) -> None:
        """A command that fails leaves no version behind, and the error says how it ended."""
        before = snapshot(ready.cellar)
        with pytest.raises(TrainerFailed, match=message) as caught:
            ready.cellar.retrain(A, script(tmp_path, SAVES + text))
        assert "train_it.py" in str(caught.value)
        assert caught.value.retryable
        assert snapshot(ready.cellar) == before

    @pytest.mark.parametrize("command", [["no-such-program", "x"], ["/no/such/program"], ["/"]])
    def test_cannot_be_run(self, ready: Bench, command: list[str]) -> None:
        """A program that is not there is named; trying again does not help."""
        with pytest.raises(
            UnknownTrainer, match=f"^there is no command '{command[0]}'; is it on the PATH"
        ) as caught:
            ready.cellar.retrain(A, command)
        assert not caught.value.retryable

    def test_progress_file(self, ready: Bench, tmp_path: Path) -> None:
        """JSON lines that a command appends to its progress file are told; what is none is passed over."""
        command = script(
            tmp_path,
            "with open(env['CELLAR_PROGRESS'], 'a') as file:\n"
            "    for line in ('{\"progress\": 0.5, \"loss\": 0.12}', 'nonsense', '[]', '{\"loss\": 1}',\n"
            "                 '{\"progress\": \"x\"}', '', '{\"progress\": 1}'):\n"
            "        print(line, file=file, flush=True)\n"
            "    file.write('{\"progress\": 0.9')\n" + SAVES,
        )
        told: list[tuple[float, Mapping[str, float]]] = []
        ready.cellar.retrain(
            A, command, on_progress=lambda fraction, metrics: told.append((fraction, metrics))
        )
        assert told == [(0.5, {"loss": 0.12}), (1.0, {})]

    def test_progress_arrives_before_the_end(self, ready: Bench, tmp_path: Path) -> None:
        """Progress is told while the command runs."""
        seen = tmp_path / "seen"
        command = script(
            tmp_path,
            "with open(env['CELLAR_PROGRESS'], 'a') as file: file.write('{\"progress\": 0.5}\\n')\n"
            f"until = time.monotonic() + {WAIT}\n"
            f"while not os.path.exists({str(seen)!r}) and time.monotonic() < until: time.sleep(0.01)\n"
            f"assert os.path.exists({str(seen)!r})\n" + SAVES,
        )
        ready.cellar.retrain(A, command, on_progress=lambda fraction, metrics: seen.touch())


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def gone(processes: list[int]) -> bool:
    """Whether all of them end soon."""
    until = time.monotonic() + 5
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(alive, processes))


class TestProcessGroup:
    """Whatever ends a command ends all that it has started."""

    # A child and a grandchild, both in the group; the command says their numbers and then does *text*.
    FAMILY = (
        "child = subprocess.Popen(['sh', '-c', '{trap}sleep 600 & echo $!; wait'], stdout=subprocess.PIPE, text=True)\n"
        "print(os.getpid(), child.pid, child.stdout.readline().strip(), flush=True)\n"
    )

    def run(
        self,
        ready: Bench,
        tmp_path: Path,
        text: str,
        act: Callable[[list[int]], object],
        trap: str = "",
        **keywords: Any,
    ) -> list[int]:
        """Retrain with such a command and call *act* once it has said the numbers; returns them."""
        family: list[int] = []

        def listen(line: str) -> None:
            family.extend(map(int, line.split()))
            act(family)

        command = script(tmp_path, self.FAMILY.replace("{trap}", trap) + text)
        before = snapshot(ready.cellar)
        try:
            ready.cellar.retrain(A, command, on_output=listen, **keywords)
        finally:
            assert len(family) == 3
            assert gone(family)
        assert snapshot(ready.cellar) != before
        return family

    def test_timeout(self, ready: Bench, tmp_path: Path) -> None:
        """A command that takes too long is ended with its grandchildren, and leaves no version behind."""
        before = snapshot(ready.cellar)
        with pytest.raises(
            TrainerTimeout, match=r"had not trained vit/vit-l/projectA after 1 s and was ended"
        ) as caught:
            self.run(ready, tmp_path, SAVES + "time.sleep(600)", lambda family: None, timeout=1)
        assert caught.value.retryable
        assert snapshot(ready.cellar) == before

    def test_timeout_of_what_does_not_listen(
        self, ready: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What does not end at SIGTERM is killed."""
        monkeypatch.setattr(trainers.Command.kill, "__defaults__", (0.3,))
        text = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
        with pytest.raises(TrainerTimeout):
            self.run(ready, tmp_path, text, lambda family: None, trap='trap "" TERM; ', timeout=1)

    def test_has_time_to_save(self, ready: Bench, tmp_path: Path) -> None:
        """A command has some seconds after SIGTERM to end in order."""
        saved = tmp_path / "saved"
        text = (
            f"def save(*_): time.sleep(0.3); pathlib.Path({str(saved)!r}).touch(); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, save)\nwhile True: time.sleep(1)"
        )
        with pytest.raises(TrainerTimeout):
            self.run(ready, tmp_path, text, lambda family: None, timeout=1)
        assert saved.exists()

    def test_interrupt_of_the_process(self, tmp_path: Path, ready: Bench) -> None:
        """A SIGINT, as from Ctrl-C, of the process that retrains ends the command's whole group before it goes on."""

        def interrupt(family: list[int]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            self.run(ready, tmp_path, "time.sleep(600)", interrupt)

    def test_kill_from_another_thread(self, ready: Bench, tmp_path: Path) -> None:
        """An adapter that holds the command can end it, from whichever thread."""
        family: list[int] = []
        killers: list[threading.Thread] = []

        def listen(line: str) -> None:
            family.extend(map(int, line.split()))
            killers.append(threading.Thread(target=command.kill))
            killers[0].start()

        command = Command(
            script(tmp_path, self.FAMILY.replace("{trap}", "") + "time.sleep(600)"), None, listen
        )
        with pytest.raises(TrainerFailed, match="ended with signal SIGTERM"):
            ready.cellar.retrain(A, command)
        killers[0].join(WAIT)
        assert gone(family)

    def test_kill_before_it_begins(self, ready: Bench, tmp_path: Path) -> None:
        """It may come while the base is pulled: then nothing begins any more."""
        command = Command(script(tmp_path, SAVES), None, lambda line: None)
        command.kill()
        with pytest.raises(TrainerFailed, match="was ended before it had begun"):
            ready.cellar.retrain(A, command)

    def test_a_signal_at_the_very_start(
        self, ready: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may come when the command has begun and nobody knows its number yet."""
        started: list[int] = []

        class Slow(subprocess.Popen[str]):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                started.append(self.pid)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.5)

        monkeypatch.setattr(subprocess, "Popen", Slow)
        with pytest.raises(KeyboardInterrupt):
            ready.cellar.retrain(A, script(tmp_path, "time.sleep(600)"))
        assert gone(started)

    def test_leftovers(self, ready: Bench, tmp_path: Path) -> None:
        """Children that outlive a command that ended well are ended too, and do not keep it waiting."""
        started = time.monotonic()
        self.run(ready, tmp_path, SAVES, lambda family: None)
        assert time.monotonic() - started < trainers.GRACE

    def test_chatty_leftovers(self, ready: Bench, tmp_path: Path) -> None:
        """Nor does a child that goes on writing into the command's output."""
        text = SAVES + "subprocess.Popen(['sh', '-c', 'while :; do echo still here; sleep 0.05; done'])\n"
        started = time.monotonic()
        ready.cellar.retrain(A, script(tmp_path, text))
        assert time.monotonic() - started < trainers.GRACE

    def test_without_leftovers_it_is_quick(self, ready: Bench, tmp_path: Path) -> None:
        """A command that leaves nothing behind is not waited for."""
        started = time.monotonic()
        ready.cellar.retrain(A, script(tmp_path, SAVES))
        assert time.monotonic() - started < 5


class TestRefused:
    """No version is left behind, and the error says which rule was broken."""

    def refuses(
        self, bench: Bench, kind: type[CellarError], message: str, train: Callable[[RetrainJob], object]
    ) -> CellarError:
        before = snapshot(bench.cellar)
        with pytest.raises(kind, match=message) as caught:
            bench.cellar.retrain(A, train)
        assert snapshot(bench.cellar) == before
        return caught.value

    def test_raises(self, ready: Bench) -> None:
        """A training that raises."""

        def raises(job: RetrainJob) -> None:
            train(job)
            raise RuntimeError("CUDA out of memory")

        message = (
            r"training vit/vit-l/projectA from vit/vit-l/base/1\.0 raised RuntimeError: CUDA out of memory"
        )
        error = self.refuses(ready, TrainerFailed, message, raises)
        assert isinstance(error.__cause__, RuntimeError)
        assert error.retryable

    def test_raises_an_error_of_ours(self, ready: Bench) -> None:
        """An error of the cellar's stays what it is, with its own word on whether to try again."""

        def raises(job: RetrainJob) -> None:
            raise NoSuchVersion("no such data set")

        self.refuses(ready, NoSuchVersion, "^no such data set$", raises)

    @pytest.mark.parametrize("directories", [False, True])
    def test_writes_nothing(self, ready: Bench, directories: bool) -> None:
        """A training that ends well but writes no file."""

        def nothing(job: RetrainJob) -> None:
            if directories:
                (job.output_dir / "checkpoints").mkdir()

        error = self.refuses(
            ready, EmptyOutput, r"training vit/vit-l/projectA wrote no file into output \(output_dir", nothing
        )
        assert not error.retryable

    def test_breaks_the_rules(self, ready: Bench) -> None:
        """A training whose files are not those that the rack asks for; each problem is named."""
        ready.configure('[artifact]\nrequired_files = ["config.yaml", "*.safetensors"]\noptional_files = []')
        message = (
            r'no file matches required_files pattern "config\.yaml"; no file matches required_files pattern '
            r'"\*\.safetensors"; model\.bin matches no pattern of required_files or optional_files'
        )
        assert not self.refuses(ready, BrokenRules, message, train).retryable

    @pytest.mark.parametrize(
        "how", ["writes", "same size", "adds", "deletes", "renames", "replaces", "chmod", "mtime kept"]
    )
    def test_touches_the_base(self, ready: Bench, how: str) -> None:
        """A training that changes its base directory, in whatever way; the file is named."""

        def touches(job: RetrainJob) -> None:
            train(job)
            path = job.base_dir / "model.bin"
            old = path.stat()
            for one in (job.base_dir, path):
                one.chmod(0o700)
            if how == "writes":
                path.write_text("something else")
            elif how == "same size":
                path.write_text("THE BASE")
            elif how == "mtime kept":
                path.write_text("THE BASE")
                os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
            elif how == "adds":
                (job.base_dir / "more.bin").touch()
            elif how == "deletes":
                path.unlink()
            elif how == "renames":
                path.rename(job.base_dir / "other.bin")
            elif how == "replaces":
                path.unlink()
                path.write_text("the base")

        name = "more.bin" if how == "adds" else "model.bin"
        error = self.refuses(
            ready,
            BaseTouched,
            rf"changed its base directory \(.*{name}.*\); write to output_dir only",
            touches,
        )
        assert not error.retryable

    def test_reading_the_base_is_no_touch(self, ready: Bench) -> None:
        """Reading is what the base is for."""

        def reads(job: RetrainJob) -> None:
            write(job.output_dir, (job.base_dir / "model.bin").read_text() + " tuned")
            assert len(list(job.base_dir.iterdir())) == 2

        ready.cellar.retrain(A, reads)

    def test_links_to_the_base(self, ready: Bench) -> None:
        """A result that is a link to the base, or to anywhere else outside, is none."""

        def links(job: RetrainJob) -> None:
            (job.output_dir / "model.bin").symlink_to(job.base_dir / "model.bin")

        self.refuses(ready, InvalidPayload, "is a link that leads out of the directory", links)

    def test_metrics_are_no_json(self, ready: Bench) -> None:
        """A result file that cannot be read is told, rather than that the metrics go missing."""

        def wrong(job: RetrainJob) -> None:
            write(job.output_dir, result__json="accuracy: 0.9")

        self.refuses(ready, InvalidPayload, r"result\.json is no JSON .*document\.result_file", wrong)


class TestMetrics:
    """Metrics are read from the rack's ``result_file``."""

    def metrics(self, bench: Bench, **files: str) -> Mapping[str, Any]:
        return bench.cellar.retrain(A, lambda job: write(job.output_dir, **files)).record.metrics

    def test_read(self, ready: Bench) -> None:
        """They are in the record, and a plain read of it has them."""
        assert self.metrics(ready, result__json='{"accuracy": 0.9, "per_class": [1, 2]}') == {
            "accuracy": 0.9,
            "per_class": [1, 2],
        }
        assert ready.cellar.resolve(A).metrics["accuracy"] == 0.9

    def test_none(self, ready: Bench) -> None:
        """No file, no metrics."""
        assert self.metrics(ready) == {}

    def test_no_table(self, ready: Bench) -> None:
        """Anything but a table is kept under one name."""
        assert self.metrics(ready, result__json="[0.9]") == {"result": [0.9]}

    def test_other_file(self, ready: Bench) -> None:
        """The rack says which file it is."""
        ready.configure('[document]\nresult_file = "metrics.json"')
        assert self.metrics(ready, result__json='{"a": 1}', metrics__json='{"b": 2}') == {"b": 2}

    def test_not_a_number(self, ready: Bench) -> None:
        """A loss of NaN, as Python writes it into JSON, is a metric too, and what is read back is what was returned."""
        done = ready.cellar.retrain(A, lambda job: write(job.output_dir, result__json='{"loss": NaN}'))
        assert done.record.metrics == ready.cellar.resolve(A).metrics


AUDITED = """
import json, sys
from pathlib import Path

opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)

from cellar_core import Cellar

cellar = Cellar(sys.argv[1])
[rebuild] = cellar.plan("vit/vit-l").rebuilds

def train(job):
    (job.output_dir / "model.bin").write_text((job.base_dir / "model.bin").read_text() + " tuned")

done = cellar.rebuild(rebuild, train, holder="a test")
print(json.dumps({"ref": str(done.ref), "opened": opened}))
"""


def test_opens_no_older_version(tmp_path: Path, bench: Bench) -> None:
    """An audit hook sees every file that a rebuild opens: none is of the project's own older versions."""
    cellar = blank(tmp_path / "cellar")
    done: Registered = cellar.register_base("vit/vit-l", bench.files("base 1"), version="1.0")
    for content in ("tuned 1", "tuned 2"):
        cellar.register_project(A, bench.files(content), base=done.ref)
    cellar.register_base("vit/vit-l", bench.files("base 2"), bump="minor")
    program = tmp_path / "audited.py"
    program.write_text(AUDITED)
    answer = subprocess.run(
        [sys.executable, str(program), cellar.url],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    told = json.loads(answer.stdout)
    assert told["ref"] == "vit/vit-l/projectA/1.1.1"
    payload = f"{tmp_path}/cellar/vit/vit-l/"
    opened = {
        Path(path).relative_to(payload).as_posix() for path in told["opened"] if path.startswith(payload)
    }
    assert "base/1.1/model.bin" in opened  # the hook sees what is opened
    assert any(path.startswith("projectA/1.1.1/") for path in opened)
    assert not [path for path in opened if path.startswith("projectA/1.0.")]
    assert not [path for path in opened if path.startswith("base/1.0/")]
