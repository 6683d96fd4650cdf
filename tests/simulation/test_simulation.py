"""The real register, void, gc, rebuilds and readers under a controlled adversary; and the proof that it finds mistakes.

``python -m tests.simulation --seeds N`` tries more seeds, ``--seed S`` replays one and tells what happens in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.helpers import WAIT
from tests.simulation.determinism import deterministic
from tests.simulation.epilogue import epilogue
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.programs import REAL
from tests.simulation.search import Found, every, seeded
from tests.simulation.small import CONTENTS, SMALL

SEEDS = 3000
PARTS = 10
ENOUGH = 3000
"""In so many seeds each rule that is switched off must be missed."""


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    with deterministic():
        yield


class TestReal:
    """The real code keeps every invariant."""

    @pytest.mark.parametrize("part", range(PARTS))
    def test_seeds(self, part: int) -> None:
        """In thousands of schedules, drawn at random; one that breaks something is printed, and can be replayed."""
        for seed in range(part, SEEDS, PARTS):
            seeded(seed)

    @pytest.mark.parametrize("name", SMALL)
    def test_every_schedule(self, name: str) -> None:
        """In all schedules that there are, for two callers with one fault and the like."""
        assert every(SMALL[name](), lambda play: epilogue(play, REAL, CONTENTS)) > 500


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_without(mutant: Mutant) -> None:
    """Each rule is needed: when it is switched off, some seed breaks an invariant that it keeps."""
    broken = set()
    for seed in range(ENOUGH):
        try:
            seeded(seed, mutant.rules)
        except Found as found:
            broken.add(found.name)
            if found.name in mutant.breaks:
                return
    pytest.fail(
        f"{ENOUGH} seeds broke {broken or 'nothing'}; without this rule one should break {mutant.breaks}"
    )


class TestReplay:
    """A seed is a schedule."""

    def test_found(self) -> None:
        """What a seed has found, it finds again, word for word; its trace tells each request."""
        rules = next(mutant.rules for mutant in MUTANTS if mutant.rule.startswith("a claim that exists"))
        found: list[str] = []
        seed = 0
        while not found:
            for _ in range(2):
                try:
                    seeded(seed, rules)
                except Found as error:
                    found.append(str(error))
            seed += 1
        assert found[0] == found[1]
        assert f"python -m tests.simulation --seed {seed - 1}\n" in found[0]
        assert "create .cellar/claims/vit/vit-l/" in found[0]

    def test_other_process(self) -> None:
        """It goes the same way in every process, whatever the order of its sets."""
        told = [self._run("--seed", "7", hashes=hashes) for hashes in ("1", "2")]
        assert told[0] == told[1]
        assert told[0].count("\n") > 50

    def test_many(self) -> None:
        """Many seeds say how far they are."""
        assert self._run("--seeds", "20", hashes="0").startswith("20 of 20 seeds")

    def _run(self, *arguments: str, hashes: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", *arguments]
        root = Path(__file__).parents[2]
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=WAIT, check=True
        )
        return done.stdout
