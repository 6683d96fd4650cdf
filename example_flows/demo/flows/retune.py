"""The demo on Prefect: whenever the base is bumped, rebuild every project from it."""

from __future__ import annotations

from cellar_prefect import base_bumped, rebuild_projects

if __name__ == "__main__":
    rebuild_projects.serve(
        parameters={"rack": "digits/digits-mlp", "train": "example_flows.demo.digits:train"},
        triggers=[base_bumped("digits/digits-mlp")],  # at once
        interval=180,  # heals what an event missed; longer than the demo takes, so that one run is all there is to see
    )
