"""What is installed is what was built: the right files, entry points that load, and versions that were meant."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from importlib.metadata import distribution, entry_points, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

DIST = distribution("cellar-flows")
PACKAGES = {"cellar_core", "cellar_airflow", "cellar_prefect"}
ENVIRONMENT = Path(sys.prefix).name
ORCHESTRATORS = {"airflow": "apache-airflow", "prefect": "prefect"}
INSTALLED = {name for name in ORCHESTRATORS if find_spec(name)}
REQUIREMENTS = [Requirement(line) for line in DIST.requires or ()]


def files() -> set[str]:
    return {file.as_posix() for file in DIST.files or () if "__pycache__" not in file.parts}


def test_wheel_holds_the_three_packages_and_nothing_else() -> None:
    tops = {file.partition("/")[0] for file in files() if not file.startswith("..")}
    assert tops == PACKAGES | {f"cellar_flows-{DIST.version}.dist-info"}


def test_scripts_are_cellar_alone() -> None:
    assert {Path(file).name for file in files() if file.startswith("..")} == {"cellar"}


def test_wheel_holds_the_license_and_the_marks_of_typed_packages() -> None:
    assert f"cellar_flows-{DIST.version}.dist-info/licenses/LICENSE" in files()
    assert {f"{package}/py.typed" for package in PACKAGES} <= files()


@pytest.mark.parametrize("package", ["cellar_core", *(f"cellar_{name}" for name in sorted(INSTALLED))])
def test_tests_import_the_installed_wheel(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(sysconfig.get_path("purelib"))


def test_entry_points() -> None:
    ours = {(point.group, point.name): point for point in DIST.entry_points}
    assert set(ours) == {
        ("console_scripts", "cellar"),
        ("apache_airflow_provider", "provider_info"),
        ("airflow.plugins", "cellar"),
        ("prefect.collections", "cellar_prefect"),
    }
    ours["console_scripts", "cellar"].load()
    if "airflow" in INSTALLED:
        info = ours["apache_airflow_provider", "provider_info"].load()()
        # Airflow refuses every provider when one of them has a package name that is not its distribution's.
        assert info["package-name"] == "cellar-flows"
        assert ours["airflow.plugins", "cellar"].load().name == "cellar"
    if "prefect" in INSTALLED:
        assert ours["prefect.collections", "cellar_prefect"] in entry_points(group="prefect.collections")
        ours["prefect.collections", "cellar_prefect"].load()


def test_environment_has_the_orchestrators_that_it_is_named_for() -> None:
    named = {name for name in ORCHESTRATORS if name in ENVIRONMENT}
    assert (named or set(ORCHESTRATORS)) == INSTALLED


@pytest.mark.parametrize("orchestrator", sorted(INSTALLED))
def test_oldest_environment_has_the_oldest_release_that_is_allowed(orchestrator: str) -> None:
    name = ORCHESTRATORS[orchestrator]
    (requirement,) = [
        requirement for requirement in REQUIREMENTS if requirement.name == name and not requirement.extras
    ]
    (floor,) = [clause.version for clause in requirement.specifier if clause.operator == ">="]
    assert version(name) in requirement.specifier
    assert (Version(version(name)) == Version(floor)) == ENVIRONMENT.endswith("-oldest")
