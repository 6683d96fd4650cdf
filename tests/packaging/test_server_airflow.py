"""Airflow starts with the provider and with what the extra resolved to."""

from __future__ import annotations

from pathlib import Path

from example_flows.demo.airflow_server import AirflowServer


def test_airflow_starts_and_knows_the_provider(tmp_path: Path) -> None:
    """A FastAPI that is too new stops the api-server, and one bad provider stops all of Airflow."""
    (tmp_path / "dags").mkdir()
    with AirflowServer(tmp_path / "airflow", tmp_path / "dags") as airflow:
        providers = airflow.get("providers", limit=100)["providers"]
        assert "cellar-flows" in {provider["package_name"] for provider in providers}
        assert airflow.get("importErrors")["total_entries"] == 0
