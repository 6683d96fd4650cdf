"""What Airflow learns of the provider; a mistake in it stops every provider."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow
import jsonschema
import pytest

import cellar_airflow
from cellar_airflow.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from tests.airflow.conftest import World

INFO = get_provider_info()


def test_metadata_has_airflows_form_and_this_distributions_name() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)
    (entry,) = (
        e for e in entry_points(group="apache_airflow_provider") if e.module.startswith("cellar_airflow")
    )
    assert entry.load() is get_provider_info
    assert entry.dist is not None
    assert INFO["package-name"] == entry.dist.name


def paths(value: Any) -> list[str]:
    """Every dotted name of ours in the metadata."""
    if isinstance(value, dict):
        return [path for item in value.values() for path in paths(item)]
    if isinstance(value, list):
        return [path for item in value for path in paths(item)]
    return [value] if isinstance(value, str) and value.startswith("cellar_airflow.") else []


@pytest.mark.parametrize("path", sorted(set(paths(INFO))))
def test_everything_that_is_named_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    found = import_module(path) if module == "cellar_airflow" else getattr(import_module(module), name)
    assert found


@pytest.mark.parametrize("name", cellar_airflow.__all__)
def test_public_names_load_and_are_documented(name: str) -> None:
    assert getattr(cellar_airflow, name).__doc__


def test_airflow_lists_the_provider_and_what_it_brings(world: World) -> None:
    """On the command line, and in what the form for a new connection is made of."""
    assert "cellar-flows" in world.airflow.cli("providers", "list", "--output", "plain")
    assert world.airflow.cli("config", "get-value", "cellar", "reannounce_interval").split()[-1] == "600"
    form = next(
        form
        for form in world.airflow.get("../../ui/connections/hook_meta")
        if form["connection_type"] == "cellar"
    )
    shown = form["standard_fields"]
    assert (shown["host"]["title"], shown["host"]["hidden"]) == ("Cellar URL", False)
    hidden = {name for name, field in shown.items() if field and field["hidden"]}
    assert hidden == {"url_schema", "login", "password", "port"}
    fields = form["extra_fields"]
    assert list(fields) == ["storage_options", "secret_storage_options", "storage_conn_id", "read_only"]
    assert [name for name, field in fields.items() if field["schema"].get("format") == "password"] == [
        "secret_storage_options"
    ]
    assert fields["read_only"]["schema"]["type"] == ["boolean", "null"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NoSuch'"):
        _ = cellar_airflow.NoSuch
