"""What Airflow knows of this package before it imports anything else of it."""

from __future__ import annotations

from typing import Any

from cellar_airflow.settings import OPTIONS, SECTION


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, in the form of Airflow's `provider_info.schema.json`."""
    return {
        "package-name": "cellar-flows",
        "name": "Cellar",
        "description": "A model registry in plain directories: register, resolve, and rebuild projects on a base bump.",
        "integrations": [{"integration-name": "Cellar", "tags": ["software"]}],
        "operators": _modules("plan", "register", "resolve", "retrain"),
        "sensors": _modules("sensor"),
        "hooks": _modules("hook"),
        "triggers": _modules("trigger"),
        "notifications": ["cellar_airflow.notifier.AliasNotifier"],
        "connection-types": [
            {
                "connection-type": "cellar",
                "hook-class-name": "cellar_airflow.hook.CellarHook",
                "hook-name": "Cellar",
                "conn-fields": {
                    "storage_options": {
                        "label": "Storage options",
                        "description": 'Options for fsspec as a JSON object, such as {"endpoint_url": "…"}',
                        "schema": {"type": ["string", "null"]},
                    },
                    "secret_storage_options": {
                        "label": "Secret storage options",
                        "description": 'The same for secrets, such as {"key": "…", "secret": "…"}',
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "storage_conn_id": {
                        "label": "Storage connection",
                        "description": "Another connection whose credentials open the bucket, such as aws_default",
                        "schema": {"type": ["string", "null"]},
                    },
                    "read_only": {
                        "label": "Read-only",
                        "description": "Refuse every task that would write",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "password", "port"],
                    "relabeling": {"host": "Cellar URL"},
                    "placeholders": {"host": "s3://models/cellar"},
                },
            }
        ],
        "extra-links": ["cellar_airflow.link.CellarLink"],
        "asset-uris": [{"schemes": ["cellar"], "handler": "cellar_airflow.asset.sanitize_uri"}],
        "task-decorators": [
            {"name": "retrain_from_base", "class-name": "cellar_airflow.decorator.retrain_from_base"}
        ],
        "config": {
            SECTION: {
                "description": "How cellars are watched.",
                "options": {
                    name: {"version_added": None, "example": None, **option}
                    for name, option in OPTIONS.items()
                },
            }
        },
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    modules = [f"cellar_airflow.{name}" for name in names]
    return [{"integration-name": "Cellar", "python-modules": modules}]
