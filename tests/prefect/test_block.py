from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import pytest
from prefect import flow
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from cellar_core import Cellar, CellarError
from cellar_core.cellar import NoCellarGiven
from cellar_prefect import CellarBlock, rebuild_projects
from cellar_prefect.block import open_cellar

OPTIONS = {"key": "user", "client_kwargs": {"secret": "hush"}}


class TestAsAnyBlock(BlockStandardTestSuite):
    @pytest.fixture
    def block(self) -> type[CellarBlock]:
        return CellarBlock


class TestSecrets:
    def test_are_masked_wherever_the_block_is_shown(self) -> None:
        block = CellarBlock(url="memory://models", storage_options=OPTIONS)
        for shown in (repr(block), str(block), block.model_dump_json()):
            assert "hush" not in shown
            assert "memory://models" in shown

    def test_are_neither_in_the_database_nor_in_the_parameters_of_a_run(
        self, api: str, written: Callable[[], bytes]
    ) -> None:
        """Looked for byte by byte, in all that the server has written."""
        block = CellarBlock(url="memory://at-rest", storage_options=OPTIONS)
        block.save("at-rest", overwrite=True)

        @flow
        def look(cellar: CellarBlock) -> bool:
            return cellar.storage_options.get_secret_value() == OPTIONS

        assert look(block)
        kept = written()
        assert b"memory://at-rest" in kept
        assert b"hush" not in kept

    def test_survive_saving_and_loading(self, api: str) -> None:
        CellarBlock(url="memory://models", storage_options=OPTIONS).save("secrets", overwrite=True)
        loaded = CellarBlock.load("secrets")
        assert loaded.storage_options.get_secret_value() == OPTIONS

    def test_reach_the_store(self) -> None:
        """Which says here that it has no use for them."""
        with pytest.raises(CellarError, match="client_kwargs"):
            CellarBlock(url="memory://models", storage_options=OPTIONS).cellar()


class TestUpgrade:
    def test_what_an_older_release_has_saved_still_loads(self, api: str) -> None:
        """A release whose block had the URL only."""
        older: type[Block] = type(
            "CellarBlock",
            (Block,),
            {"_block_type_slug": "cellar", "_block_type_name": "Cellar", "__annotations__": {"url": str}},
        )
        older(url="memory://older").save("older", overwrite=True)
        loaded = CellarBlock.load("older")
        assert isinstance(loaded, CellarBlock)
        assert loaded.cellar().url == "memory://older"

    def test_fields_are_only_added_at_the_end_and_with_a_default(self) -> None:
        """Their order is part of the schema that Prefect has saved; a new one that is required would not load."""
        fields = list(CellarBlock.model_fields.items())
        assert [name for name, _ in fields][:2] == ["url", "storage_options"]
        assert [name for name, field in fields if field.is_required()] == ["url"]


class TestFindingACellar:
    def test_a_block(self) -> None:
        assert open_cellar(CellarBlock(url="memory://models")).url == "memory://models"

    @pytest.mark.parametrize("url", ["memory://models", "/srv/cellar", "./cellar"])
    def test_a_url_or_a_path(self, url: str) -> None:
        assert open_cellar(url).url == Cellar(url).url

    def test_the_name_of_a_saved_block(self, api: str) -> None:
        CellarBlock(url="memory://models").save("prod", overwrite=True)
        assert open_cellar("prod").url == "memory://models"

    def test_a_name_that_no_block_has(self, api: str) -> None:
        with pytest.raises(ValueError, match="no-such-block"):
            open_cellar("no-such-block")

    def test_the_environment(self, cellar: Cellar) -> None:
        assert open_cellar(None).url == cellar.url

    def test_nothing_says_where(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CELLAR_URL", raising=False)
        with pytest.raises(NoCellarGiven, match="CELLAR_URL"):
            open_cellar(None)


def test_a_deployment_may_name_the_block_by_reference(api: str) -> None:
    CellarBlock(url="memory://models").save("referred", overwrite=True)
    reference = {"$ref": {"block_document_slug": "cellar/referred"}}
    parameters = rebuild_projects.validate_parameters(
        {"rack": "vit/vit-l", "train": "a:b", "cellar": reference}
    )
    assert parameters["cellar"].url == "memory://models"


def test_prefect_finds_the_block_by_itself() -> None:
    found = {entry.name: entry for entry in entry_points(group="prefect.collections")}
    assert found["cellar_prefect"].load().CellarBlock is CellarBlock


def test_importing_is_light() -> None:
    """The server imports each collection when it starts."""
    script = """
import prefect.main, prefect.deployments, prefect.artifacts, prefect.events, sys
before = set(sys.modules)
import cellar_prefect
print(*{name.partition(".")[0] for name in set(sys.modules) - before if not name.startswith("prefect.server")})
print([name for name in set(sys.modules) - before if name.startswith("prefect.server")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    added, servers = done.stdout.splitlines()
    assert servers == "[]"
    assert not {"s3fs", "gcsfs", "adlfs", "boto3", "numpy", "sklearn", "torch", "typer"} & set(added.split())
