"""Everything that a rack needs in Prefect, by one call or one command that can be repeated."""

from __future__ import annotations

import os
import re
from typing import Any

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.types.entrypoint import EntrypointType

from cellar_core import Cellar, Rack
from cellar_core.trainer import Train
from cellar_prefect.automations import ensure_automation
from cellar_prefect.block import CellarBlock, is_block_name
from cellar_prefect.flows import rebuild_project, rebuild_projects

NO_OVERLAP = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""For `serve(global_limit=…)`: a run of `rebuild_projects` looks again before it ends, so a second one is cancelled."""


def deploy_rebuilds(
    rack: str,
    train: Train,
    work_pool: str,
    *,
    cellar: str | None = None,
    name: str | None = None,
    interval: float = 60,
    debounce: float = 0,
    silence: float = 600,
    timeout: float | None = None,
    retries: int = 0,
    limit: str | None = None,
    report: str | None = None,
    image: str | None = None,
    job_variables: dict[str, Any] | None = None,
) -> tuple[str, str]:
    """Deploy both flows for a rack on a work pool, with trigger, schedule and `missing_heartbeat`; or update them.

    `rebuild-projects/NAME` is started by each bump and by the schedule; it makes each rebuild that is wanted a run of
    `rebuild-project/NAME`, on whichever machine works for the pool.

    Args:
        rack: The rack, such as `vit/vit-l`.
        train: What trains: `"pkg.mod:train"`, or a command as a list of words; the workers must find it.
        work_pool: The work pool; make one with `prefect work-pool create`.
        cellar: A URL, or the name of a saved `CellarBlock`; CELLAR_URL if None, of this process if it is set here, else
            of the runs.
        name: What both deployments are called; made from the rack's name if None.
        interval: Seconds between two scheduled looks.
        debounce: As for `base_bumped`.
        silence: As for `missing_heartbeat`.
        timeout: Seconds that a command may take to train one project.
        retries: How often a failed training is tried again within its run.
        limit: A global concurrency limit of which each training takes a slot.
        report: Where the rack's page is written after each rebuild, as an fsspec URL.
        image: For a pool of containers: the image, which is used as it is.
        job_variables: The pool's, such as `{"working_dir": "/srv/train"}` or `{"env": {…}}`.

    Returns:
        The names of the two deployments.

    Raises:
        ValueError: There is no such work pool.
    """
    name = name or re.sub("[^a-z0-9]+", "-", str(Rack(rack)).lower())
    where = _where(cellar)
    common: dict[str, Any] = {
        "name": name,
        "work_pool_name": work_pool,
        "image": image,
        "build": False,
        "push": False,
        "job_variables": job_variables,
        "entrypoint_type": EntrypointType.MODULE_PATH,  # the flows lie in an installed package
        "print_next_steps": False,
        "ignore_warnings": True,
    }
    training = {"train": train, "timeout": timeout, "retries": retries, "limit": limit, "report": report}
    one, every = f"rebuild-project/{name}", f"rebuild-projects/{name}"
    rebuild_project.deploy(parameters=training | where, **common)
    rebuild_projects.deploy(
        parameters={"rack": rack, "deployment": one} | where,
        interval=interval,
        concurrency_limit=NO_OVERLAP,
        **common,
    )
    ensure_automation(rack, every, debounce=debounce, silence=silence)
    return every, one


def _where(cellar: str | None) -> dict[str, Any]:
    """The `cellar` parameter of a deployment; a block goes in by reference, so that its secrets stay where they are."""
    if cellar and is_block_name(cellar):
        return {"cellar": {"$ref": {"block_document_slug": f"{CellarBlock.get_block_type_slug()}/{cellar}"}}}
    url = cellar or os.environ.get("CELLAR_URL")
    if not url:
        return {}
    # A path is made absolute: the workers run elsewhere.
    return {"cellar": url if "://" in url else Cellar(url).url}
