"""The pages for Airflow: the five-minute start as a reader works through it, and each block of the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from tests.pages import Block, Reader, blocks, pages, write_script

GUIDE = "docs/airflow.md"
FILES = [
    block
    for page in pages()
    for block in blocks(page, "python")
    if block.run_in == "airflow" and block.name and page not in ("README.md", "docs/start-airflow.md")
]
BEFORE = """\
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, dag, task
from cellar_airflow import *

def train(job): ...
"""
"""What the pieces of DAGs on the page need around them."""


def run(text: str, path: Path) -> None:
    """As Airflow's documentation advises to check a DAG file: run it with Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{text}\n{done.stderr}"


def test_the_shortest_dag_is_a_script_that_ends_well(tmp_path: Path) -> None:
    """The README's DAG, as it stands there; `test_end_to_end.py` runs it on a real Airflow."""
    dag = write_script("dags/retune.py", tmp_path)
    write_script("train.py", dag.parent)
    run(dag.read_text(), dag)


def test_five_minutes(tmp_path: Path) -> None:
    """The start, in an Airflow of its own. `airflow dags test` stands for the scheduler and the triggerer."""
    Reader(tmp_path, {"AIRFLOW_HOME": str(tmp_path / "airflow")}).read("docs/start-airflow.md")


@pytest.mark.parametrize("block", FILES, ids=str)
def test_file(block: Block, tmp_path: Path) -> None:
    """Each file is a script that ends well."""
    run(block.text, tmp_path / str(block.name))


def test_pieces(tmp_path: Path) -> None:
    """Each piece of a DAG on the page is one, in a DAG of its own."""
    text = BEFORE
    for block in blocks(GUIDE, "python"):
        if not block.name:
            text += f'\nwith DAG("line-{block.line}"):\n' + indent(block.text, "    ")
    run(text, tmp_path / "page.py")


def test_commands_of_the_guide(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for block in blocks(GUIDE, "sh"):
        if not block.not_run:
            reader.do(block)
