"""The pages as they are built: whole, and without a request to anybody else's server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?([^"' >]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; the build is strict, so a link that leads nowhere, or a page that no menu has, is an error."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No fonts, no scripts, no pictures of other hosts: the pages work without a network."""
    loaded = {
        (page.name, place) for page in site.rglob("*.html") for place in LOADED.findall(page.read_text())
    }
    assert len(loaded) > 100
    assert {(page, place) for page, place in loaded if re.match(r"(?!data:)[a-z]+:|//", place)} == set()


def test_the_reference_has_every_public_name(site: Path) -> None:
    """What the packages export is in the reference, with its own words."""
    import ast

    for package, page in (
        ("cellar_core", "core"),
        ("cellar_airflow", "airflow"),
        ("cellar_prefect", "prefect"),
    ):
        tree = ast.parse((ROOT / package / "__init__.py").read_text())
        [names] = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        text = (site / f"reference/{page}.html").read_text()
        assert [name for name in names if not re.search(rf'id="{package}\.[\w.]*\b{name}"', text)] == []


def test_each_command_has_its_help(site: Path) -> None:
    text = (site / "reference/cli.html").read_text()
    for command in ("register", "retrain", "doctor", "import"):
        assert f'id="cellar-{command}"' in text


def test_it_can_be_searched(site: Path) -> None:
    assert "tombstone" in (site / "search/search_index.json").read_text()
