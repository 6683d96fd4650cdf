"""`python -m cellar_prefect`: what a rack needs in Prefect, by one command."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """A cellar in Prefect."""


@app.command()
def deploy(
    rack: Annotated[str, typer.Argument(help="The rack, such as vit/vit-l.")],
    command: Annotated[
        list[str] | None, typer.Argument(help="Instead of --train, after --: a command that trains.")
    ] = None,
    *,
    work_pool: Annotated[str, typer.Option(help="The work pool whose workers train.")],
    train: Annotated[str, typer.Option(help="What trains: my_pkg:train, which the workers can import.")] = "",
    cellar: Annotated[
        str | None, typer.Option(help="A URL, or the name of a saved block; CELLAR_URL by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of both deployments; from the rack's name by default.")
    ] = None,
    interval: Annotated[float, typer.Option(help="Seconds between two scheduled looks.")] = 60,
    debounce: Annotated[
        float, typer.Option(help="Seconds that a burst of bumps may take to be one run.")
    ] = 0,
    silence: Annotated[float, typer.Option(help="Seconds without heartbeat until a run has crashed.")] = 600,
    timeout: Annotated[float | None, typer.Option(help="Seconds that a command may take.")] = None,
    retries: Annotated[int, typer.Option(help="How often a failed training is tried again in its run.")] = 0,
    limit: Annotated[
        str | None, typer.Option(help="A global concurrency limit of which each training takes a slot.")
    ] = None,
    report: Annotated[str | None, typer.Option(help="Where the rack's page is written, as a URL.")] = None,
    image: Annotated[str | None, typer.Option(help="For a pool of containers.")] = None,
    job_variable: Annotated[
        list[str] | None,
        typer.Option("--job-variable", "-jv", help="KEY=VALUE of the work pool, in JSON or as text."),
    ] = None,
) -> None:
    """Deploy the rebuilds of a rack on a work pool: deployments, trigger and schedule. Again, it updates them."""
    if bool(train) == bool(command):
        raise typer.BadParameter("give --train, or a command after --")
    variables = dict(_variable(one) for one in job_variable or [])

    from cellar_prefect.deploy import deploy_rebuilds  # only now: importing Prefect takes seconds

    try:
        every, one = deploy_rebuilds(
            rack,
            train or command or [],
            work_pool,
            cellar=cellar,
            name=name,
            interval=interval,
            debounce=debounce,
            silence=silence,
            timeout=timeout,
            retries=retries,
            limit=limit,
            report=report,
            image=image,
            job_variables=variables or None,
        )
    except ValueError as error:
        typer.echo(f"nothing was deployed: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{every} looks at {rack} each {interval:g} s and whenever a base of it is registered;")
    typer.echo(f"each rebuild is a run of {one}. Workers: prefect worker start --pool {work_pool}")


def _variable(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{text!r} is no KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


if __name__ == "__main__":
    app(prog_name="python -m cellar_prefect")
