"""The real register, void, rebuild and readers under an adversary; and the proof that it would find mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.caller import deterministic
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.search import Found, seeded

SEEDS = 3000
MUTANT_SEEDS = 3000


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    with deterministic():
        yield


@pytest.mark.parametrize("part", range(6))
def test_seeds(part: int) -> None:
    """Thousands of schedules drawn at random break nothing; one that does is printed, and ``--seed`` replays it."""
    for seed in range(part, SEEDS, 6):
        seeded(seed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_mutant(mutant: Mutant) -> None:
    """Each rule is needed: without it some seed breaks one of the invariants that it keeps."""
    names = []
    for seed in range(MUTANT_SEEDS):
        try:
            seeded(seed, mutant.rules)
        except Found as found:
            names.append(found.name)
            if found.name in mutant.breaks:
                return
    pytest.fail(f"without this rule {MUTANT_SEEDS} seeds found {names or 'nothing'}, not {mutant.breaks}")
