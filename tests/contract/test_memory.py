"""The contract in the memory of one process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from cellar_core.store import open_store
from tests.contract.store import StoreContract


class TestStore(StoreContract):
    """fsspec's memory."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        url = f"memory://{uuid.uuid4().hex}"
        yield url
        store = open_store(url)
        for key in list(store.find("")):
            store.delete(key)
