"""The page for Prefect: each of its blocks, in order, beside a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellar_core import Cellar
from tests.pages import Reader, blocks
from tests.prefect.helpers import Payload

GUIDE = "docs/prefect.md"


def test_python(api: str, cellar: Cellar, payload: Payload) -> None:
    """What a piece needs around it is here; the transaction on the page is rolled back, as it says."""
    import cellar_prefect

    assert api
    cellar.register_base("vit/vit-l", payload("base"), version="1.2")
    names = {name: getattr(cellar_prefect, name) for name in cellar_prefect.__all__}
    exec("from prefect import flow, task\nfrom prefect.transactions import transaction", names)

    def evaluate(selector: str) -> None:
        raise ArithmeticError(selector)

    names |= {"out": payload("tuned"), "evaluate": evaluate}
    for block in blocks(GUIDE, "python"):
        code = compile(block.text, str(block), "exec")
        if "evaluate(" in block.text:
            with pytest.raises(ArithmeticError, match="projectA@staging"):
                exec(code, names)
        else:
            exec(code, names)
    assert [str(ref.version) for ref in cellar.versions("vit/vit-l/projectA")] == ["1.2.1"]
    assert cellar.aliases("vit/vit-l/projectA") == {}


def test_commands(api: str, cellar: Cellar, tmp_path: Path) -> None:
    reader = Reader(tmp_path, {"PREFECT_API_URL": api, "CELLAR_URL": cellar.url})
    for block in blocks(GUIDE, "sh"):
        if not block.not_run:
            reader.do(block)
