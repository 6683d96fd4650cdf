"""What is seen: the pages that Airflow's API server shows, in a real browser too, and the links from tasks to them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cellar_core import RetrainJob
from tests.browser import Browser

if TYPE_CHECKING:
    from tests.airflow.conftest import World

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
RACK = "vit/vit-h"
SECRET = "not-to-be-seen"
FITS = "document.documentElement.scrollWidth <= innerWidth"


def request(
    world: World, query: str = "", *, user: str | None = "viewer", method: str = "GET"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {world.airflow.token(user)}"} if user else {}
    url = f"{world.airflow.url}/cellar/{query}"
    return httpx.request(method, url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def rack(world: World) -> str:
    """A rack in which something is in every state that a person has to look at."""

    def base(name: str, accuracy: float, loss: float, bump: str = "minor") -> str:
        metrics = {"accuracy": accuracy, "loss": loss}
        files = world.files(f"{RACK} {name}")
        return str(world.cellar.register_base(RACK, files, bump=bump, notes=name, metrics=metrics).ref)

    def project(name: str, base: str, accuracy: float, notes: str = "") -> None:
        world.cellar.register_project(
            f"{RACK}/{name}",
            world.files(f"{name} {base} {accuracy}"),
            base=base,
            metrics={"accuracy": accuracy, "recall": round(accuracy - 0.03, 3)},
            recipe={"data": [f"s3://data/{name}/2026-11"], "parameters": {"epochs": 10}},
            notes=notes,
        )

    def out_of_memory(job: RetrainJob) -> None:
        raise RuntimeError("CUDA out of memory")

    first = base("First release", 0.78, 0.61, "major")
    second = base("More augmentation", 0.802, 0.55)
    for name, accuracy in (
        ("factory-north", 0.88),
        ("factory-south", 0.86),
        ("harbour", 0.79),
        ("retail", 0.9),
    ):
        project(name, first, accuracy)
        project(name, second, accuracy + 0.013)
    project("retail", second, 0.921, "New labels for the second shop")
    project("retail-night", first, 0.71)
    third = base("Longer schedule", 0.823, 0.5)
    project("factory-north", third, 0.905)
    world.cellar.yank(third, "wrong normalisation")
    fourth = base("Trained on the snapshot of 2026-05", 0.831, 0.48)
    project("factory-north", fourth, 0.913)
    project("retail", fourth, 0.934)
    (world.directory / "cellar" / RACK / "config.toml").write_text(
        '[projects.harbour]\nhold = { reason = "the new camera is not in yet", owner = "kim" }\n'
    )
    [south] = [one for one in world.cellar.plan(RACK).rebuilds if one.model.project == "factory-south"]
    with pytest.raises(Exception, match="CUDA out of memory"):
        world.cellar.rebuild(south, out_of_memory, holder="somebody")
    world.cellar.alias(f"{RACK}/factory-north", "production", "1.3.1")
    world.cellar.alias(f"{RACK}/retail", "production", "1.1.2")
    return RACK


@pytest.fixture(scope="module")
def connections(world: World) -> None:
    """Connections that lead nowhere, or to what is no cellar."""
    for conn_id, conn_type, host, extra in (
        ("page_other", "cellar", world.cellar.url, ""),
        ("page_nowhere", "cellar", (world.directory / "nowhere").as_uri(), ""),
        ("page_empty", "cellar", "", ""),
        ("page_unreadable", "cellar", "s3://models/cellar", f'{{"secret_storage_options": "{SECRET}"}}'),
        ("page_down", "cellar", f"file:///{SECRET}{300 * 'a'}", ""),  # too long a name for any disk
        ("page_database", "postgres", f"{SECRET}.example.com", ""),
    ):
        body = {"connection_id": conn_id, "conn_type": conn_type, "host": host, "extra": extra or None}
        world.airflow.post("connections", {**body, "password": SECRET})


# What it costs


def test_the_plugin_costs_other_processes_next_to_nothing() -> None:
    """Each of Airflow's processes loads plugins; only the API server needs the pages."""
    program = """
import sys, airflow.sdk.plugins_manager
before = set(sys.modules)
import cellar_airflow.plugin
print("added:", *sorted(set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    added = set(run.stdout.rpartition("added:")[2].split())
    assert "cellar_airflow.plugin" in added
    assert added <= {"cellar_airflow", "cellar_airflow.plugin", "cellar_airflow.settings"}


# Who may see it


@pytest.mark.parametrize("query", ["", "?rack=vit/vit-h", "?conn_id=page_nowhere", "docs", "openapi.json"])
def test_nobody_sees_anything_without_a_name(world: World, query: str) -> None:
    response = request(world, query, user=None)
    assert response.status_code == (404 if query in ("docs", "openapi.json") else 401)
    assert "<html" not in response.text


@pytest.mark.parametrize("user", ["viewer", "admin"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nobody_can_write(world: World, user: str, method: str) -> None:
    assert request(world, user=user, method=method).status_code == 405


def test_a_viewer_sees_racks_and_versions(world: World, rack: str) -> None:
    racks = request(world)
    assert racks.status_code == 200
    assert f'<a href="?conn_id=cellar_default&amp;rack={rack}">{rack}</a>' in racks.text
    page = request(world, f"?conn_id=cellar_default&rack={rack}")
    assert page.status_code == 200
    for model in world.cellar.models(rack):
        for ref in world.cellar.versions(model):
            assert f'<article id="{ref.project}/{ref.version}"' in page.text
            assert world.cellar.resolve(ref).tree in page.text
    assert "failed on base 1.3 (RuntimeError: CUDA out of memory)" in page.text
    assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert page.headers["cache-control"] == "no-store"


def test_other_cellars_are_named_to_those_who_may_see_connections(world: World, connections: None) -> None:
    link = '<a href="?conn_id=page_other">page_other</a>'
    assert link in request(world, user="admin").text
    assert "page_database" not in request(world, user="admin").text
    assert link not in request(world, user="viewer").text
    assert request(world, "?conn_id=page_other").status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("?rack=vit/no", 404, "there is no rack vit/no"),
        ("?rack=..", 404, "is no rack"),
        ("?conn_id=page_missing", 404, "There is no connection &#39;page_missing&#39;"),
        (
            "?conn_id=page_database",
            404,
            "There is no connection &#39;page_database&#39; of type &#39;cellar&#39;",
        ),
        ("?conn_id=page_nowhere", 404, "there is no cellar at"),
        ("?conn_id=page_empty", 404, "names no cellar"),
        ("?conn_id=page_unreadable", 404, "must be a JSON object"),
        ("?conn_id=page_down", 502, "the log of Airflow&#39;s API server says more"),
        ("?conn_id=%3Cscript%3E", 404, "&lt;script&gt;"),
    ],
)
def test_what_is_wrong_is_a_page_that_says_what_to_do(
    world: World, connections: None, query: str, status: int, message: str
) -> None:
    response = request(world, query)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert message in response.text
    assert not any(word in response.text for word in (SECRET, "Traceback", "<script"))


# What a browser makes of it


@pytest.fixture(scope="module")
def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser in which a viewer is logged in."""
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.cookie(world.airflow.url, "_token", world.airflow.token("viewer"))
        yield browser


def test_a_browser_shows_the_page_on_every_screen_and_complains_of_nothing(
    world: World, rack: str, browser: Browser
) -> None:
    browser.complaints.clear()
    for name, width, height, dark in (
        ("rack", 1280, 1150, False),
        ("rack-dark", 1280, 1150, True),
        ("rack-phone", 390, 844, False),
    ):
        browser.look(width, height, dark=dark)
        browser.open(f"{world.airflow.url}/cellar/?rack={rack}")
        assert browser.run("document.querySelector('h1').innerText") == rack
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        assert paper == (
            "rgb(23, 20, 22)" if dark else "rgb(248, 246, 247)"
        )  # the page's policy let its style in
        assert browser.run(FITS)
        browser.shoot(SCREENSHOTS / f"airflow-{name}.png")
    assert browser.complaints == []


def test_the_address_of_a_version_shows_its_digests(world: World, rack: str, browser: Browser) -> None:
    browser.look(1280, 620)
    browser.open(f"{world.airflow.url}/cellar/?rack={rack}#factory-north/1.3.1")
    box = "document.querySelector('article:target').getBoundingClientRect()"
    assert 0 <= browser.run(f"{box}.top") < browser.run(f"{box}.bottom") <= 620
    tree = world.cellar.resolve(f"{rack}/factory-north/1.3.1").tree
    assert tree in browser.run("document.querySelector('article:target').innerText")
    browser.shoot(SCREENSHOTS / "airflow-version.png")


def test_airflows_navigation_leads_to_the_page(world: World, rack: str, browser: Browser) -> None:
    browser.look(1440, 960)
    inside = "document.querySelector('iframe')?.contentDocument"
    link = f"{inside}?.querySelector('a[href$=\"rack={rack}\"]')"
    browser.open(f"{world.airflow.url}/plugin/cellar", ready=link)
    browser.run(f"{link}.click()")
    browser.wait(f"{inside}?.querySelector('h1')?.innerText == '{rack}'")
    browser.shoot(SCREENSHOTS / "airflow.png")
    browser.complaints.clear()
    browser.run(f"{inside}.getElementById('_text').focus()")
    browser.write("second shop")
    assert (
        browser.run(f"{inside}.getElementById('_shown').textContent") == "1 of 5 projects, 1 of 17 versions"
    )
    assert browser.complaints == []
    plugins = world.airflow.get("plugins")["plugins"]
    [view] = [view for plugin in plugins for view in plugin["external_views"] if view["name"] == "Cellar"]
    assert (view["destination"], view["url_route"], view["href"]) == ("nav", "cellar", "cellar/")
    assert world.airflow.get("plugins/importErrors")["import_errors"] == []


# From a task to its version


def test_each_task_has_a_link_to_what_it_made_or_found(world: World) -> None:
    paths = {"old": str(world.files("links old")), "new": str(world.files("links new"))}
    state, tasks = world.run("links", **paths)
    assert state == "failed"  # by the last of them
    here = partial("{}/cellar/?conn_id=cellar_default&rack=links/one{}".format, world.airflow.url)
    assert {task: link(world, tasks[task]) for task in tasks} == {
        "old": here("#base/1.0"),
        "project": here("#projectA/1.0.1"),
        "new": here("#base/1.1"),
        "plan": here(""),
        "rebuild[0]": here("#projectA/1.1.1"),
        "found": here("#projectA/1.1.1"),
        "nothing": f"{world.airflow.url}/cellar/?conn_id=cellar_default",
    }
    page = request(world, link(world, tasks["rebuild[0]"]).partition("/cellar/")[2].partition("#")[0])
    assert '<article id="projectA/1.1.1"' in page.text
    assert tasks["rebuild[0]"]["dag_run_id"].replace("+", "%2B").replace(":", "%3A") in page.text


def link(world: World, task: dict[str, Any]) -> str:
    path = f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/links"
    found: str = world.airflow.get(path, map_index=task["map_index"])["extra_links"]["Cellar"]
    return found
