"""The options of the `[cellar]` section in `airflow.cfg` (`AIRFLOW__CELLAR__…` in the environment)."""

from __future__ import annotations

from typing import Any

SECTION = "cellar"
PAGES = "cellar"
"""Where the pages for people are, below the address of Airflow's API server."""

OPTIONS: dict[str, dict[str, Any]] = {
    "poll_interval": {
        "description": "Seconds between two looks of a watcher at a rack. A look costs a few listings.",
        "type": "float",
        "default": "10",
    },
    "reannounce_interval": {
        "description": (
            "Seconds after which a watcher announces a rack again while rebuilds are wanted or in progress, so that "
            "what an event missed, or a worker's death left behind, is looked at again."
        ),
        "type": "float",
        "default": "600",
    },
    "scheduler": {
        "description": (
            "Name of this Airflow in a cellar's logs, where it says who rebuilds what. It must differ from every other "
            "Airflow's that works on the same cellar, and stay the same. Empty: the address in [api] base_url."
        ),
        "type": "string",
        "default": "",
    },
}


def setting(option: str) -> str:
    """The value of one of `OPTIONS`.

    The defaults are Airflow's as well, through the provider's metadata; but not every process loads those.
    """
    from airflow.sdk import conf

    return str(conf.get(SECTION, option, fallback=OPTIONS[option]["default"]))
