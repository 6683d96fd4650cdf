"""Airflow below a path, as with `[api] base_url = https://example.com/airflow`: the page, and the links to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cellar_core import Cellar
from example_flows.demo.airflow_server import AirflowServer
from tests.browser import Browser

RACK = "vit/vit-l"
DAG = """
from airflow.sdk import dag
from cellar_airflow import RegisterModel

@dag(schedule=None)
def register():
    RegisterModel(task_id="register", rack="vit/vit-l", path={path!r}, bump="major")

register()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowServer]:
    directory = tmp_path_factory.mktemp("airflow")
    for name in ("dags", "files"):
        (directory / name).mkdir()
    (directory / "files/weights.txt").write_text("weights")
    (directory / "dags/register.py").write_text(DAG.format(path=str(directory / "files")))
    cellar = Cellar.init(directory / "cellar")
    env = {"AIRFLOW_CONN_CELLAR_DEFAULT": json.dumps({"conn_type": "cellar", "host": cellar.url})}
    with AirflowServer(directory / "home", directory / "dags", env=env, prefix="/far/away") as running:
        running.wait_for_dag("register")
        yield running


@pytest.fixture(scope="module")
def link(server: AirflowServer) -> str:
    """Where the extra link of a task leads that has registered a base."""
    run = server.post("dags/register/dagRuns", {"logical_date": None})["dag_run_id"]
    task = f"dags/register/dagRuns/{run}/taskInstances/register"
    # A task's process stores the link after it has told that it succeeded.
    found: str = server.wait_for(
        lambda: server.get(f"{task}/links")["extra_links"]["Cellar"], 120, "the link"
    )
    return found


@pytest.fixture(scope="module")
def browser(server: AirflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.cookie(server.url, "_token", server.token("viewer"))
        browser.look(1280, 900)
        yield browser


def test_the_link_of_a_task_leads_to_its_version(server: AirflowServer, link: str, browser: Browser) -> None:
    assert link == f"{server.url}/cellar/?conn_id=cellar_default&rack={RACK}#base/1.0"
    assert httpx.get(link, trust_env=False).status_code == 401
    browser.open(link)
    assert "base/1.0" in browser.run("document.querySelector('article:target').id")


def test_the_pages_lead_to_each_other(server: AirflowServer, link: str, browser: Browser) -> None:
    browser.open(f"{server.url}/cellar/")
    browser.run(f"document.querySelector('a[href$=\"rack={RACK}\"]').click()")
    browser.wait(f"document.querySelector('h1')?.innerText == '{RACK}'")
    assert browser.run("location.pathname") == "/far/away/cellar/"


def test_airflows_navigation_leads_to_the_page(server: AirflowServer, link: str, browser: Browser) -> None:
    entry = "document.querySelector('a[href$=\"/plugin/cellar\"]')"
    browser.open(f"{server.url}/", ready=entry)
    browser.run(f"{entry}.click()")
    inside = "document.querySelector('iframe')?.contentDocument"
    browser.wait(f"{inside}?.querySelector('a[href$=\"rack={RACK}\"]')")
    assert browser.run(f"{inside}.location.pathname") == "/far/away/cellar/"
    browser.shoot(Path(__file__).parents[2] / "build/screenshots/prefix.png")
