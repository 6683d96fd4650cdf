"""The README's shortest flow, as it stands there, in processes of its own beside a real server."""

from __future__ import annotations

from pathlib import Path

from cellar_core import Cellar
from example_flows.demo.prefect_server import PrefectServer, until
from tests.readme import write_script

PUBLISH = """
from cellar_prefect import register_model

if __name__ == "__main__":
    register_model("vit/vit-l/base", "runs/1", bump="minor")
"""


def test_the_shortest_flow_does_the_whole_job(tmp_path: Path) -> None:
    """A base that the README's reader bumps rebuilds the project that they registered, from that base."""
    for name in ("train.py", "register.py", "retune.py"):
        script = write_script(name, tmp_path)
    (tmp_path / "publish.py").write_text(PUBLISH)
    cellar = Cellar.init(tmp_path / "cellar")
    with (
        PrefectServer(tmp_path / "prefect") as server,
        server.serve(script, env={"CELLAR_URL": cellar.url}) as served,
    ):
        served.run(tmp_path / "register.py")
        served.run(tmp_path / "publish.py")
        project = "vit/vit-l/projectA"
        until(lambda: len(cellar.versions(project)) > 1, timeout=120, what="projectA to be rebuilt")
    record = cellar.resolve(project)
    assert (str(record.ref), str(record.ref.base)) == (f"{project}/1.1.1", "vit/vit-l/base/1.1")
    assert record.metrics == {"accuracy": 0.9}
