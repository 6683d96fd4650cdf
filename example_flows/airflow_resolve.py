"""Deploy a project's model: find the version that an application can take, and hand it to any other operator.

`^1` is the newest version `1.Y.Z`: within one `X` the application need not be changed. The record that comes back
also has the digest of every file, the metrics, and the base that the version was made from.
"""

from __future__ import annotations

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Param, dag

from cellar_airflow import ResolveModel


@dag(schedule=None, params={"model": Param("vit/vit-l/projectA", type="string")})
def deploy() -> None:
    """Resolve, then fetch: `cellar pull` verifies each file, and leaves a whole directory or none."""
    found = ResolveModel(task_id="resolve", selector="{{ params.model }}@^1")
    fetch = BashOperator(
        task_id="fetch",
        bash_command='cellar pull "$REF" "$PWD/model" && ls model',
        env={"REF": "{{ ti.xcom_pull('resolve')['ref'] }}"},
        append_env=True,
    )
    found >> fetch


deploy()
