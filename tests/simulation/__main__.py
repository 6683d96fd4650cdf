"""Try many seeds: ``python -m tests.simulation --seeds 10000``; or replay one and tell what happens: ``--seed 7``."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.determinism import deterministic
from tests.simulation.search import Found, seeded


def main() -> int:
    """Returns 1 if a seed was found that breaks an invariant."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3000, help="how many seeds to try")
    parser.add_argument("--seed", type=int, help="replay this one and print what happens; or begin with it")
    options = parser.parse_args()
    alone = options.seed is not None
    seeds = [options.seed] if alone else range(options.seeds)
    begun = time.monotonic()
    with deterministic():
        for count, seed in enumerate(seeds, 1):
            try:
                play = seeded(seed)
            except Found as found:
                print(found)
                return 1
            if alone:
                print("\n".join(play.told()))
            elif count % 1000 == 0 or count == options.seeds:
                print(f"{count} of {options.seeds} seeds, {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
