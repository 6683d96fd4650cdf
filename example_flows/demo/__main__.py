"""`python -m example_flows.demo`: bump a base, and watch a real Prefect or Airflow rebuild every project from it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from cellar_core import CellarError
from example_flows.demo.story import RACK, Orchestrator, Story, lineage

PLACE = Path("build/demo/cellar")


def main() -> int:
    """Tell the story; the exit status is 0 if it ended well."""
    asked = arguments()
    if find_spec(asked.orchestrator) is None:
        print(
            f"{asked.orchestrator} is not installed here; it is by: make demo ORCHESTRATOR={asked.orchestrator}"
        )
        return 2
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as Ctrl-C: the servers are stopped on the way out
    place = asked.cellar or default_place(asked.orchestrator)
    logs = place.parent / "logs" / f"{asked.orchestrator}-{time.strftime('%Y%m%d-%H%M%S')}"
    story = Story(place, Console(highlight=False, width=None if sys.stdout.isatty() else 200))
    try:
        story.begin()
        if story.finished:
            story.heading(
                "Every project stands on the better base already", f"to begin anew, remove {near(place)}"
            )
        else:
            hand_over(story, asked.orchestrator, logs)
    except (CellarError, RuntimeError, TimeoutError, KeyboardInterrupt) as error:
        story.say(
            f"\n{str(error) or 'Stopped.'}\nThe logs are in {near(logs)}. Run the demo again: it goes on from here."
        )
        return 1
    story.end()
    compare(story)
    suggest(story)
    return 0


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m example_flows.demo", description=__doc__)
    parser.add_argument("--orchestrator", choices=["prefect", "airflow"], default="prefect")
    parser.add_argument("--cellar", type=Path, help=f"directory of the cellar (default: {PLACE})")
    return parser.parse_args()


def default_place(orchestrator: str) -> Path:
    """Where the cellar is if nobody says: a second one beside it, once the other orchestrator has filled the first."""
    rebuilt_by = Story(PLACE, Console(quiet=True)).rebuilt_by
    return PLACE if rebuilt_by in (None, orchestrator) else PLACE.with_name(f"{PLACE.name}-{orchestrator}")


def hand_over(story: Story, orchestrator: str, logs: Path) -> None:
    """Start the orchestrator, bump the base, and look on while the orchestrator does the rest."""
    name = orchestrator.title()
    story.give_back()
    story.heading(f"{name} starts", f"logs: {near(logs)}")
    env = {
        "CELLAR_URL": story.cellar.url,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # what is importable here is importable there
    }
    with ExitStack() as stack:
        began = time.monotonic()
        with story.console.status(f"{name} starts"):
            running = stack.enter_context(start(orchestrator, logs, env))
        story.say(f"  ready after {time.monotonic() - began:.0f} s, at {running.url}")
        story.bump(running)
        story.heading(f"What {name} does by itself", "this process only looks on")
        story.watch(running)


def start(orchestrator: str, home: Path, env: dict[str, str]) -> AbstractContextManager[Orchestrator]:
    """The orchestrator, running as long as the context lasts."""
    if orchestrator == "airflow":
        from example_flows.demo.on_airflow import OnAirflow

        return OnAirflow.running(home, env)
    from example_flows.demo.on_prefect import OnPrefect

    return OnPrefect.running(home, env)


def compare(story: Story) -> None:
    """Say whether the other orchestrator has left the same, if its story was told here too."""
    for place in {PLACE, *PLACE.parent.glob(f"{PLACE.name}-*")} - {story.place}:
        if place.exists() and (other := Story(place, Console(quiet=True))).finished:
            same = "the same" if lineage(other.cellar) == lineage(story.cellar) else "OTHER"
            story.heading(f"{near(place)} has {same} versions, parents and digests", f"by {other.rebuilt_by}")


def suggest(story: Story) -> None:
    """Print three commands to go on with."""
    cellar = f"{near(Path(sys.executable).with_name('cellar'))} --cellar {near(story.place)}"
    story.heading("To go on")
    story.say(f"  {cellar} ls {RACK}")
    story.say(f"  {cellar} show {RACK}/postal/1.1.1")
    story.say(f"  {cellar} plan {RACK}")


def near(path: Path) -> Path:
    """A path as it is written from here, if it lies below."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


if __name__ == "__main__":
    sys.exit(main())
